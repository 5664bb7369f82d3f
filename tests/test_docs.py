"""The pages: docs/score-any-model.md is followed to the letter; links, names and order are right.

What needs the hub, or a stranger's own files, is passed over by name; all others must run.
"""

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from helpers.tiny import TINY_MODEL, TINY_TRAINING

import dghin.__main__ as command
from dghin.ablation import steadiness
from dghin.report.run_report import verify_report

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


def markdown_pages():
    kept = ("reports/README.md", "tests/golden/README.md")
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / name for name in kept)]


def test_links_of_all_pages_lead_somewhere():
    """To files, and to headings of pages, as GitHub names these."""
    pages = markdown_pages()
    assert len(pages) > 12
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\((?!https?:)([^)]+)", text):
            path, _, heading = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            assert to.exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(to), f"{page.name}: {target}"


def headings(page):
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found]


def test_there_are_eight_to_ten_pages_and_the_index_names_each():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert 8 <= len(pages) <= 10
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert pages <= set(re.findall(r"\]\(([\w-]+\.md)\)", index))


def test_the_page_on_evaluation_explains_every_name_of_the_glossary():
    from dghin.evaluation.answers import PROTOCOLS
    from dghin.evaluation.glossary import glossary_table

    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    for name in (*PROTOCOLS, *glossary_table()["Name"]):
        assert name in text, name


def test_the_page_on_architecture_has_the_order_that_lint_holds():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in contracts["contracts"]:
        package = contract.get("containers", [""])[0]
        if package in ("dghin", "data_preprocess"):
            line = re.search(rf"^- `{package}`: (.*?)(?:;|\n-|\n\n)", text, re.M | re.S)[1]
            order = re.findall(r"`(\w+)`", line)
            assert order == [name for name in contract["layers"][::-1] if name in order], package
            assert set(contract["layers"]) - set(order) <= {"__main__"}, package


def test_files_that_are_named_are_there():
    """`dghin/run/config.py` and the like, on every page; capitals stand for the reader's own."""
    roots = "dghin|data_preprocess|tests|docs|benchmarks|examples|notebooks|scripts"
    named = 0
    for page in markdown_pages():
        text = page.read_text(encoding="utf-8")
        if page.name == "CHANGELOG.md":
            continue  # what was is not what is
        for path in re.findall(rf"`((?:{roots})/[\w/.-]+\.\w+)`", text):
            if "data_process_v3" in path or re.search("[A-Z]{3}", path.replace("README", "")):
                continue
            assert (ROOT / path).exists(), f"{page.name}: {path}"
            named += 1
    assert named > 20


def test_the_study_of_steadiness_follows_from_its_rows():
    """It meets its aim; docs/training.md shows it as it is, README has its mean and spread."""
    folder = ROOT / "docs" / "steadiness"
    found = verify_report(folder, {steadiness.KIND: steadiness.study_tables})
    assert found.startswith("verified: ")
    table = (folder / "tables" / "steadiness.md").read_text(encoding="utf-8").strip()
    assert table in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    numbers = pd.read_csv(folder / "tables" / "steadiness.csv").set_index("Case")
    names = (steadiness.MEAN, steadiness.SPREAD, steadiness.WORST)
    mean, spread, worst = (numbers.loc[name] for name in names)
    assert spread.max() <= 1.0 and worst.max() <= 2.5 and len(numbers) == len(steadiness.CASES) + 3
    assert (mean >= [72, 78, 70]).all()
    told = [f"{mean[split]:.1f} ± {spread[split]:.1f}" for split in numbers.columns]
    assert f"{told[0]}, {told[1]} and {told[2]}" in (ROOT / "README.md").read_text(encoding="utf-8")
