"""Who answered: what the report, the model card and the literature table say of the model.

about_run(folder, config)      # of reports/<run>/model.yaml; DGHIN by its settings without one
write_about(folder, {"name": "LAVT", "backbone": "Swin-B", "image_size": 480})

dghin evaluate run=lavt predictions=PATH about.name=LAVT about.backbone=Swin-B ...
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_text
from data_preprocess.base.settings import build
from data_preprocess.base.yaml_files import read_yaml
from data_preprocess.raw.datasets import JOINT
from dghin.run.config import Config
from dghin.run.folder import RunFolder

PREFIX = "about."  # of the keys of a command
DGHIN = "DGHIN"


@dataclass(frozen=True)
class About:
    """A model, as far as it is known; empty: not known."""

    name: str = ""
    backbone: str = ""
    image_size: int = 0  # S, that photos are resized to; 0: not known
    training_data: str = ""  # single (the data set that is scored), mixed, or in words
    licence: str = ""
    link: str = ""

    @property
    def is_dghin(self) -> bool:
        """Whether it is this project's network."""
        return self.name == DGHIN

    def facts(self) -> dict[str, str]:
        """What is known, as text by name."""
        known = {name: value for name, value in asdict(self).items() if value}
        return {name.replace("_", " "): str(value) for name, value in known.items()}


KEYS = tuple(field.name for field in fields(About))


def about_run(folder: Path, config: Config | None) -> About:
    """Of a run's model.yaml; without one, of DGHIN with the run's settings."""
    path = RunFolder(folder).about
    if path.is_file():
        return _read(path)
    if config is None:
        return About(DGHIN)
    data = config.data
    return About(
        DGHIN,
        config.model.backbone,
        config.model.image_size,
        "mixed" if data.dataset == JOINT else "single",
        "Apache-2.0",
        "Displays 80 (2023) 102575",
    )


def _read(path: Path) -> About:
    values = read_yaml(path, "Correct it.", as_written=True) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of {', '.join(KEYS)}. Correct it.")
    try:
        return build(About, values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def write_about(folder: Path, values: Mapping[str, Any]) -> About:
    """Lay what is given over a run's model.yaml; empty values are left out."""
    path = RunFolder(folder).about
    known = asdict(_read(path)) if path.is_file() else {}
    known |= {key: value for key, value in values.items() if value}
    about = build(About, known)
    write_text(path, yaml.safe_dump(asdict(about), sort_keys=False, allow_unicode=True))
    return about
