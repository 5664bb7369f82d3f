"""`make quick` runs what tests/quick.txt lists: it names tests that are there, and every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTED = (ROOT / "tests" / "quick.txt").read_text(encoding="utf-8").splitlines()
FILES = {line.partition("::")[0] for line in LISTED}
PACKAGES = ("dghin", "data_preprocess")

# Modules that no listed file is the mirror of or imports: the listed file that runs them, and how
OTHERS = {
    "data_preprocess.__main__": ("test_preprocess_cli.py", "the entry point's one line"),
    "data_preprocess.base.values": ("base/test_settings.py", "values of every setting"),
    "data_preprocess.fetch.obtain": ("fetch/test_fetch.py", "every file that is fetched"),
    "data_preprocess.fetch.presence": ("fetch/test_fetch.py", "what is there is not asked for"),
    "data_preprocess.prepared.members": ("prepared/test_joint.py", "the members of a joint set"),
    "data_preprocess.raw.forms.arefcoco": ("raw/forms/test_benchmarks.py", "by its form's name"),
    "data_preprocess.raw.forms.entries": ("raw/forms/test_read.py", "the records of every form"),
    "data_preprocess.raw.forms.gseval": ("raw/forms/test_benchmarks.py", "by its form's name"),
    "data_preprocess.raw.forms.hub": ("raw/forms/test_read.py", "by its form's name"),
    "data_preprocess.raw.forms.mdetr": ("raw/forms/test_read.py", "by its form's name"),
    "data_preprocess.raw.forms.refcoco_m": ("raw/forms/test_read.py", "by its form's name"),
    "data_preprocess.raw.forms.seqtr": ("raw/forms/test_read.py", "by its form's name"),
    "data_preprocess.raw.mat_file": ("raw/test_masks.py", "masks of .mat files"),
    "data_preprocess.shapes.wording": ("shapes/test_phrases.py", "the words of every phrase"),
    "dghin.commands.convert": ("model/test_original.py", "its work is dghin.model.original"),
    "dghin.demo.texts": ("demo/test_page.py", "the texts of the page"),
    "dghin.evaluation.predictions.score": ("test_score_any_model.py", "what is saved is scored"),
    "dghin.evaluation.segmenters.protocol": ("evaluation/segmenters/test_load.py", "types alone"),
    "dghin.report.masks": ("test_score_any_model.py", "the masks of its report"),
}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name != "__init__.py":
                yield path.relative_to(ROOT)


def mirror(module):
    """dghin/training/step.py → tests/training/test_step.py."""
    return Path("tests", *module.parts[1:-1], f"test_{module.name}").as_posix()


def imported(path):
    """Every name that a file imports: modules, and what it takes from them."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_has_a_listed_test():
    by_import = set().union(*map(imported, FILES))
    names = {".".join(module.with_suffix("").parts): module for module in modules()}
    without = {
        name
        for name, module in names.items()
        if mirror(module) not in FILES and name not in by_import
    }
    assert without - OTHERS.keys() == set(), "list a test of it in tests/quick.txt"
    assert OTHERS.keys() - without == set(), "take it out of OTHERS"
    assert {f"tests/{file}" for file, _ in OTHERS.values()} <= FILES


def test_every_line_names_a_test_that_is_not_slow():
    assert len(set(LISTED)) == len(LISTED)
    for line in LISTED:
        file, _, name = line.partition("::")
        functions = {
            node.name: node
            for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        assert functions if not name else name in functions, line
        if name:
            marks = [ast.unparse(mark) for mark in functions[name].decorator_list]
            assert "pytest.mark.slow" not in marks, line


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_has_listed_tests(package):
    folders = {module.parts[1] for module in modules() if module.parts[0] == package}
    listed = {Path(file).parts[1] for file in FILES}
    beside = {"commands"}  # tested beside what they start
    assert {f for f in folders if not f.endswith(".py")} - listed - beside == set()
