"""The site that `make docs` builds: the pages, the API from docstrings, the executed notebooks.

The source is the whole checkout, so that links between pages are the same here, in an editor and
on a public host. Before it is read, two folders are written that git does not hold: docs/api, a
page a folder of the packages, and docs/notebooks, copies of the notebooks: as a run executed them
(RUN, or the ablation), or else as they are in git, without outputs. Nothing is executed.
"""

import os
import shutil
import sys
from pathlib import Path

from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from dghin import __version__  # noqa: E402

PACKAGES = ("dghin", "data_preprocess")
RUNS = (os.environ.get("RUN") or "demo", "ablation")  # whose executed notebooks are shown

project = "dghin"
copyright = "the dghin developers, Apache-2.0"
version = release = __version__
root_doc = "docs/index"
include_patterns = [
    "*.md", "docs/*.md", "docs/gallery/README.md", "docs/api/*", "docs/notebooks/*",
    "reports/README.md", "tests/golden/README.md",
]  # fmt: skip
exclude_patterns = [
    ".*", "build", "data", "dist", "reports/*/*", "**/__pycache__", "bert-base-uncased",
    "pretrained_weights", "docs/ablation/**", "docs/steadiness/**",
]  # fmt: skip
extensions = ["myst_nb", "sphinx.ext.autodoc"]
suppress_warnings = ["mystnb.unknown_mime_type"]  # widgets: their text is shown
linkcheck_ignore = [r"http://127\.0\.0\.1.*"]

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
myst_disable_syntax = ["html_inline", "html_block"]  # reports/<run> is text
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
    "ignore-module-all": True,  # what is only passed on is shown where it is defined
}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"dghin {__version__}"
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
html_static_path = ["style"]
html_css_files = ["wide.css"]
html_show_sourcelink = False


class Markdown(SphinxDirective):
    """Its content is Markdown: docstrings are."""

    has_content = True

    def run(self):
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse("\n".join(self.content), document)
        return document.children


def as_markdown(_app, _what, _name, _object, _options, lines):
    """Every docstring as the content of the directive above; so a field is no field of RST."""
    lines[:] = [".. markdown::", "", *(f"   {line}" for line in lines), ""]


def skip_member(_app, _what, _name, member, skip, _options):
    """Fields of named tuples have no text but their number."""
    return True if type(member).__name__ == "_tuplegetter" else skip


def write_api(folder: Path) -> None:
    """A page for each folder of the packages that holds a module, and one that lists these."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    pages = []
    for package in PACKAGES:
        for room in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            modules = [path for path in sorted(room.glob("*.py")) if path.stem != "__main__"]
            names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
            name = ".".join(room.relative_to(ROOT).parts)
            text = heading(name, "=")
            for module in names:
                module = module.removesuffix(".__init__")
                text += heading(module, "-") if module != name else ""
                text += f".. automodule:: {module}\n\n"
            (folder / f"{name}.rst").write_text(text, encoding="utf-8")
            pages.append(name)
    listed = "\n".join(f"   {name}" for name in pages)
    text = heading("API", "=") + f".. toctree::\n   :maxdepth: 1\n\n{listed}\n"
    (folder / "index.rst").write_text(text, encoding="utf-8")


def heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def copy_notebooks(folder: Path) -> None:
    """Each notebook as the first of the runs executed it, else without outputs."""
    folder.mkdir(exist_ok=True)
    for stripped in sorted((ROOT / "notebooks").glob("*.ipynb")):
        executed = [ROOT / "reports" / run / "notebooks" / stripped.name for run in RUNS]
        shutil.copy2(next((path for path in executed if path.is_file()), stripped), folder)


def setup(app: Sphinx) -> None:
    write_api(Path(__file__).parent / "api")
    copy_notebooks(Path(__file__).parent / "notebooks")
    app.add_directive("markdown", Markdown)
    app.connect("autodoc-process-docstring", as_markdown)
    app.connect("autodoc-skip-member", skip_member)
