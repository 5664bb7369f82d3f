"""Types are right, and the site builds without a warning: as `make types` and `make docs` do it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.slow
def test_types_of_the_core():
    run("-m", "mypy")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_site_builds_without_a_warning(tmp_path):
    site = tmp_path / "site"
    run(
        "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", tmp_path / "read", ".", site
    )
    assert (site / "index.html").is_file()  # leads to docs/index.html
    model = (site / "docs/api/dghin.model.html").read_text(encoding="utf-8")
    assert "dghin.model.dghin.DGHIN.interact" in model
    for page in ("training", "evaluation", "notebooks/04_evaluate"):
        assert (site / f"docs/{page}.html").is_file(), page
