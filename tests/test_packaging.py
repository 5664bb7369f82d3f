"""Packaging stays in step: environment.yml, constraints, the Makefile, what imports cost."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {re.split(r"[<>=!~\[; ]", r)[0].lower().replace("_", "-") for r in requirements}


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_every_dependency_is_pinned_within_its_range():
    from packaging.requirements import Requirement

    pins = {name.lower().replace("_", "-"): version for name, version in pinned().items()}
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        assert name in pins, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{text}: {pins[name]} is outside"


def test_torch_range_holds_both_tested_versions():
    from packaging.requirements import Requirement

    torch = next(Requirement(r) for r in PROJECT["dependencies"] if r.startswith("torch>"))
    assert torch.specifier.contains("2.11.0") and torch.specifier.contains("2.13.0")


def test_conda_environment_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    dependencies = environment["dependencies"]
    assert f"python{PROJECT['requires-python']}" in dependencies and "pip" in dependencies
    pip = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    extras = re.search(r"-e \.\[(.+)\]", " ".join(pip))[1].split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"])
    assert "-c constraints.txt" in pip


def test_makefile_installs_every_extra():
    makefile = (ROOT / "Makefile").read_text()
    extras = re.search(r"-e '\.\[(.+)\]'", makefile)[1].split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"])


def test_imports_are_light():
    """Training and evaluation run where spaCy, pycocotools, matplotlib and papermill are absent."""
    heavy = ("spacy", "pycocotools", "matplotlib", "papermill")
    code = (
        "import sys\n"
        f"for name in {heavy}: sys.modules[name] = None\n"  # importing one of them now fails
        "import dghin.training.trainer, dghin.training.launch\n"
        "import dghin.evaluation.evaluate, dghin.inspection.predictor\n"
        "from dghin import DGHIN, ModelConfig, Predictor\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_no_torch():
    code = "import sys, dghin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_layers_point_one_way():
    """data_preprocess never imports dghin; the model never imports the data."""
    for path in (ROOT / "data_preprocess").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) dghin", path.read_text(), re.M), path
    for path in (ROOT / "dghin" / "model").glob("*.py"):
        source = path.read_text()
        assert not re.search(r"^\s*from dghin\.(data|training|evaluation)\b", source, re.M), path
