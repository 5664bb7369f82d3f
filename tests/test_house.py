"""The shape of the house: small rooms, mirrored tests, layers that `make lint` holds."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dghin", "data_preprocess")
CORE = ("run", "data", "model", "evaluation", "training")


def rooms():
    for package in PACKAGES:
        root = ROOT / package
        yield root
        yield from (p for p in root.rglob("*") if p.is_dir() and p.name != "__pycache__")


def test_a_room_has_at_most_ten_modules():
    for room in rooms():
        modules = [path.name for path in room.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 10, f"{room}: {sorted(modules)}"


def test_a_module_is_one_concept_of_a_few_hundred_lines():
    for room in rooms():
        for path in room.glob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, path


@pytest.mark.parametrize("folder", CORE)
def test_every_module_of_the_core_has_a_test(folder):
    for path in (ROOT / "dghin" / folder).glob("[!_]*.py"):
        file = ROOT / "tests" / folder / f"test_{path.stem}.py"
        assert file.is_file(), f"dghin/{folder}/{path.name}: no {file}"
        assert "def test_" in file.read_text(encoding="utf-8"), file


def test_lint_holds_the_layers_and_forbids_circles():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.M)[1]
    assert re.search(r"ruff check .*\n\t\S*lint-imports$", lint, re.M)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    kinds = {contract["type"] for contract in contracts["contracts"]}
    assert {"layers", "acyclic_siblings"} <= kinds
    order = next(c["layers"] for c in contracts["contracts"] if c.get("containers") == ["dghin"])
    assert order[::-1][:5] == list(CORE)  # the core first, each above the one before
