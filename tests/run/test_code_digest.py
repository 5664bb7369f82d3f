"""The digest of the code: comments do not count, what is computed does."""

import re
import shutil

import pytest

from dghin.run import code_digest
from dghin.run.code_digest import imported_modules, meaning, module_file, module_files
from dghin.run.environment import ROOT
from dghin.run.freshness import (
    BESIDE,
    TRAINER,
    code_cells,
    notebook_digest,
    set_stale_training_aside,
    training_digest,
)

PLAIN = "def f(x):\n    return x * (2 + 3)\n"


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of both packages' sources, which a test may change."""
    for package in code_digest.CODE:
        for path in (ROOT / package).rglob("*.py"):
            target = tmp_path / "code" / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    monkeypatch.setattr(code_digest, "ROOT", tmp_path / "code")
    return tmp_path / "code"


@pytest.mark.parametrize(
    "source",
    [
        '"""A module."""\n' + PLAIN,
        'def f(x):\n    """A function."""\n    return x * (2 + 3)  # why\n',
        "# why\n\n\ndef f(\n    x,\n):\n    return (x * (2 + 3))\n",
    ],
)
def test_comments_docstrings_and_layout_mean_nothing(source):
    assert meaning(source) == meaning(PLAIN)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return x * (2 + 4)\n",
        "def f(x):\n    return x * 2 + 3\n",
        "def f(x=None):\n    return x * (2 + 3)\n",
        "def f(x):\n    return x * (2 + 3.0)\n",
        "def f(x):\n    return x * ('2' + 3)\n",
    ],
)
def test_what_is_computed_counts(source):
    assert meaning(source) != meaning(PLAIN)


def test_a_finished_training_outlives_comments(sources, tmp_path, tiny_config):
    """Comments and docstrings are added to every file, the trainer's own included."""
    weights = tmp_path / "run" / "train" / "best" / "model.safetensors"
    set_stale_training_aside(tmp_path / "run", tiny_config, False)
    weights.parent.mkdir(parents=True)
    weights.touch()
    for path in sources.rglob("*.py"):
        text = path.read_text()
        changed = text.replace('"""', '"""Other words. ', 1) + "\n\n# a comment\n"
        if path.name != "texts.py":  # its first "return" is JavaScript's, in a text
            changed = re.sub(r"( *)return ", r'\1"""Why."""\n\g<0>', changed, count=1)
        path.write_text(changed)
        compile(changed, path, "exec")
    set_stale_training_aside(tmp_path / "run", tiny_config, False)
    assert weights.exists()
    path = module_file("dghin.training.losses")
    path.write_text(path.read_text().replace("AUXILIARY_WEIGHT = 0.5", "AUXILIARY_WEIGHT = 0.6"))
    set_stale_training_aside(tmp_path / "run", tiny_config, False)
    assert not weights.exists() and (tmp_path / "run" / "train-before-1").is_dir()


def test_a_trainings_digest_counts_the_modules_that_make_its_numbers(sources, tiny_config):
    def digest_with_a_line_in(name):
        path = module_file(name)
        text = path.read_text()
        path.write_text(text + "\nADDED = 1\n")
        found = training_digest(tiny_config, 1)
        path.write_text(text)
        return found

    plain = training_digest(tiny_config, 1)
    for name in ("training.trainer", "training.step", "training.losses", "training.schedule",
                 "model.dghin", "model.graphs", "model.pretrained", "data.dataset",
                 "evaluation.metrics", "evaluation.masks", "evaluation.scoring",
                 "evaluation.segmenters.network", "evaluation.evaluate"):  # fmt: skip
        assert digest_with_a_line_in(f"dghin.{name}") != plain, name
    for name in (
        *BESIDE,
        "dghin.training.launch",
        "dghin.report.figures.curves",
        "dghin.evaluation.controls",
        "dghin.report.run_report",
    ):
        assert digest_with_a_line_in(name) == plain, name
    assert training_digest(tiny_config, 2) != plain


def test_what_does_not_count_is_imported_by_the_trainer():
    assert {module_file(name) for name in BESIDE} <= module_files([TRAINER], inner=False)


def test_looking_at_data_does_not_depend_on_the_network(sources):
    """A change of the network repeats the second notebook, but not the first."""
    first, second = (next(ROOT.glob(f"notebooks/0{n}_*.ipynb")) for n in (1, 2))
    names = imported_modules("\n".join(code_cells(first)))
    network = (
        "dghin.model.dghin",
        "dghin.training.losses",
        "dghin.training.step",
        "dghin.training.trainer",
    )
    assert not module_files(names) & {module_file(name) for name in network}
    before = [notebook_digest(path, {}, (), "") for path in (first, second)]
    path = module_file("dghin.model.dghin")
    path.write_text(path.read_text() + "\nADDED = 1\n")
    after = [notebook_digest(path, {}, (), "") for path in (first, second)]
    assert before[0] == after[0] and before[1] != after[1]


def test_imports_are_followed_through_our_modules():
    names = {p.name for p in module_files({"dghin.training.losses"})}
    assert "losses.py" in names and "tables.py" not in names
    assert {"dghin.py", "graphs.py", "dataset.py"} <= {
        p.name for p in module_files({"dghin.training.trainer"})
    }


def test_imported_modules():
    source = "import os\nfrom . import b\nfrom .c import d\ndef f():\n    import dghin.late\n"
    assert imported_modules(source, "dghin") == {
        "dghin", "dghin.b", "dghin.c", "dghin.c.d", "dghin.late",
    }  # fmt: skip
