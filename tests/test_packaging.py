"""Packaging stays in step: environment.yml, constraints, the Makefile, what imports cost."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


CUDA = ("nvidia-", "cuda-", "triton")  # torch's build for GPUs brings them, and pins them itself


def requirements():
    """What pyproject.toml asks for, with every extra."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(r) for part in (PROJECT["dependencies"], *extras) for r in part]


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def installed():
    """Every distribution here that the requirements bring in, directly or through others."""
    waiting, seen = requirements(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            try:
                needs = distribution(name).requires or []
            except PackageNotFoundError:
                continue
            seen.add((name, extra))
            for need in map(Requirement, needs):
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(need)
    return {name for name, _ in seen}


def test_every_dependency_is_pinned_within_its_range():
    pins = pinned()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{requirement}: {pins[name]} is outside"


def test_everything_that_is_brought_in_is_pinned():
    found = installed()
    assert {"torch", "sympy", "scikit-learn", "hypothesis"} <= found  # the last two by extras
    missing = {name for name in found - pinned().keys() if not name.startswith(CUDA)}
    assert not missing, f"constraints.txt has no version of {sorted(missing)}"


def test_torch_range_holds_both_tested_versions():
    torch = next(requirement for requirement in requirements() if requirement.name == "torch")
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


def test_the_package_says_who_made_it_where_it_is_and_that_it_has_types():
    assert PROJECT["authors"] and PROJECT["urls"] and "Typing :: Typed" in PROJECT["classifiers"]
    for package in ("dghin", "data_preprocess"):
        assert (ROOT / package / "py.typed").is_file()


def test_the_public_host_runs_what_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
    commands = [step.get("run") for step in workflow["jobs"]["check"]["steps"]]
    assert ".ci/run" in commands and "make docs" in commands


def test_a_commit_is_checked_by_the_tools_of_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text()
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert programs == {"ruff", "nbstripout", "lint-imports"}
    assert all(f"$(BIN)/{program}" in makefile for program in programs)
