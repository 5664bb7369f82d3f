"""docs/score-any-model.md is followed to the letter, on tiny data: every command that it can give.

What needs the hub, or a stranger's own files, is passed over by name; all others must run.
"""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from helpers.tiny import TINY_MODEL, TINY_TRAINING

import dghin.__main__ as command

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/score-any-model.md").read_text(encoding="utf-8")
TINY = [*TINY_MODEL, *TINY_TRAINING]
ELSEWHERE = ("predictions=PATH",)  # the reader's own files
FEWER = {"images=60": "images=30", "data.shapes=60": "data.shapes=30"}


def blocks(language):
    """The page's blocks of code, with continued lines as one."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return [re.sub(r"\\\n\s*", "", block) for block in found]


def commands():
    lines = (
        line.partition(" #")[0].strip() for block in blocks("bash") for line in block.split("\n")
    )
    return [line for line in lines if line]


@pytest.mark.slow
def test_the_page_is_followed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, code in zip(("my_model.py", "answer.py"), blocks("python"), strict=True):
        (tmp_path / name).write_text(code)
    done = []
    for line in commands():
        if any(word in line for word in ELSEWHERE):
            continue
        words = [FEWER.get(word, word) for word in shlex.split(line)]
        if words[0] == "python":
            monkeypatch.setattr("sys.argv", words[1:])
            here = tmp_path / words[1]
            runpy.run_path(str(here if here.is_file() else ROOT / words[1]), run_name="__main__")
            continue
        assert words[0] == "dghin", line
        if words[1] == "train":
            words += TINY
            words = [word for word in words if not word.startswith("train.validate_every=5")]
        assert not command.run(words[1:]), line
        done.append(words[1])
    assert set(done) == {"data", "evaluate", "report", "exam", "train", "compare", "verify"}
    assert "verified" in capsys.readouterr().out
    assert "The model is" in (tmp_path / "reports/clipseg/report.html").read_text()
    assert (tmp_path / "reports/clipseg/exam.html").is_file()
    assert (tmp_path / "reports/compare-quick-clipseg/report.html").is_file()
    assert (tmp_path / "cards/clipseg/README.md").is_file()
    assert "left-right" in (tmp_path / "asked-left-right.jsonl").read_text()


def test_the_page_names_every_form_that_is_read():
    from dghin.evaluation.predictions.read import SUFFIXES

    for suffix in (*SUFFIXES, "_detailed_results.json", "<ref_id>_<k>.png", "<sent_id>.png"):
        assert suffix in PAGE, suffix


def test_links_of_the_docs_lead_somewhere():
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
