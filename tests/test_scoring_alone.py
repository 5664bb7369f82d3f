"""`pip install dghin[score]`: saved masks are scored where no torch is installed."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from data_preprocess.raw.segmentation import run_lengths

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = [Requirement(text).name for text in PROJECT["dependencies"]]


def closure(names):
    """The distributions that these bring in, without extras."""
    waiting, found = list(names), set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            for need in map(Requirement, distribution(name).requires or []):
                if need.marker is None or need.marker.evaluate({"extra": ""}):
                    waiting.append(need.name)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The Python of an environment that has the base requirements and no more, by links."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    for name in closure(BASE):
        for file in distribution(name).files:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(distribution(name).locate_file(top))
    return folder / "bin" / "python"


def dghin(python, *words, folder):
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [python, "-m", "dghin", *words], cwd=folder, env=own, capture_output=True, text=True
    )


def test_the_base_requirements_are_what_scoring_needs():
    assert set(BASE) == {
        "numpy", "pandas", "pyarrow", "scipy", "pillow", "pycocotools", "pyyaml",
    }  # fmt: skip
    assert PROJECT["optional-dependencies"]["score"] == []


def test_prepare_and_score_without_torch(alone, shapes, tmp_path):
    for name in ("torch", "spacy", "transformers", "matplotlib", "tqdm", "jinja2", "requests"):
        gone = subprocess.run([alone, "-c", f"import {name}"], capture_output=True, text=True)
        assert "ModuleNotFoundError" in gone.stderr, name
    words = [f"data={shapes}", "output=prepared", "parser=none", "workers=1"]
    done = dghin(alone, "data", "prepare", "refcoco", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = []
    for split in ("val", "testA", "testB"):
        for entry in json.loads((tmp_path / f"prepared/anns/refcoco/{split}.json").read_text()):
            with Image.open(tmp_path / f"prepared/masks/refcoco/{entry['segment_id']}.png") as mask:
                found = run_lengths(np.asarray(mask.convert("L")) > 127)
            lines += [{"sent_id": one["sent_id"]} | found for one in entry["sentences"]]
    (tmp_path / "masks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = [f"data.root={shapes}", "data.prepared=prepared", "config=demo", "run=theirs"]
    done = dghin(alone, "evaluate", *settings, "predictions=masks.jsonl", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "reports/theirs/metrics.json").read_text())
    assert all(scores[split]["strict"]["oiou"] == 1 for split in ("val", "testA", "testB"))
    assert (tmp_path / "reports/theirs/tables/main.md").is_file()
    done = dghin(alone, "train", "config=demo", folder=tmp_path)
    assert done.returncode == 2 and "needs the package 'torch'" in done.stderr
    assert "Traceback" not in done.stderr
