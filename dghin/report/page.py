"""Pages that need nothing beside them: HTML made of a template, with its pictures inside."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from data_preprocess.base.tables import cells, numeric
from dghin.report.figures.curves import remove_figure, save_figure


def render(template: str, values: Mapping[str, Any]) -> str:
    """The page that a template of `dghin/report/templates` makes of values.

    In HTML, text is escaped; a name that the template uses and `values` lacks is an error.
    Filters: cells and numeric of `data_preprocess.base.tables`; percent of a fraction.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dghin.report"),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cells": cells, "numeric": numeric, "percent": _percent}
    return environment.get_template(template).render(values)


def save_figures(made: Mapping[str, Figure | None], folder: Path) -> dict[str, str]:
    """Save figures as PNG and PDF; → {name: PNG as a data URI}. Where there is none (None), that of
    an earlier page is removed."""
    shown = {}
    for name, figure in made.items():
        remove_figure(folder, name)
        if figure is not None:
            shown[name] = data_uri(save_figure(figure, folder, name).png)
    return shown


def data_uri(path: Path) -> str:
    """A PNG as text inside a page."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
