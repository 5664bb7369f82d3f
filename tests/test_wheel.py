"""The built wheel, installed into an empty environment, works without the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: nothing is left in the checkout."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("dghin", "data_preprocess"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(output)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    return next(output.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment with the wheel; what it needs comes from this one's packages.

    They are named in a .pth file as a plain folder, so that the link to the
    checkout is not followed.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--no-index", wheel], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "needs.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def run(python, *words, folder):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [python, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_every_module_and_its_data_are_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("dghin", "data_preprocess"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT).as_posix() in names


@pytest.mark.slow
def test_the_commands_of_an_installed_wheel(installed, tmp_path, tiny_model, encoder, photo):
    where = run(installed, "-c", "import dghin; print(dghin.__file__)", folder=tmp_path)
    assert str(installed.parents[1]) in where.stdout
    dghin = installed.with_name("dghin")
    for words in (["--help"], ["data", "--help"]):
        done = run(dghin, *words, folder=tmp_path)
        assert done.returncode == 0 and "usage" in done.stdout, done.stderr
    tiny_model.language = encoder.settings()
    tiny_model.save_pretrained(tmp_path / "model")
    photo.save(tmp_path / "photo.jpg")
    words = ["predict", "photo.jpg", "the red circle", "model=model", "-o", "mask.png"]
    done = run(dghin, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of the photo" in done.stdout
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (photo.height, photo.width) and set(np.unique(mask)) <= {0, 255}


def test_help_imports_nothing_heavy():
    code = (
        "import sys, dghin.__main__ as command; command.run(['--help']);"
        "assert not {'torch', 'pandas', 'spacy', 'papermill'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
