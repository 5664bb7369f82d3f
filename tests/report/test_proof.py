"""Proof: a report's numbers follow from its rows, and whatever does not is found and named."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml
from helpers.ablation_folders import SPLITS, scored_rows

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from dghin.evaluation.segmenters.about import write_about
from dghin.model.hub import WEIGHTS
from dghin.report.proof import Verdict, read_proof, verify, write_proof
from dghin.report.run_report import run_tables, verify_report, write_report
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick_figures")

MAKERS = {"run": run_tables}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's folder with rows, weights, and the report of both."""
    folder = tmp_path_factory.mktemp("reports") / "demo"
    save_config(load_config("demo"), folder / "config.yaml")
    RunFolder(folder).best.mkdir(parents=True)
    (RunFolder(folder).best / WEIGHTS).write_bytes(b"weights")
    for control, gain in (("", 1.0), ("shuffled", 0.25)):
        (folder / "rows" / control).mkdir(parents=True, exist_ok=True)
        for place, split in enumerate(SPLITS):
            rows = scored_rows(split, gain * (0.61 + place / 50))
            rows.attrs["provenance"] = {"checkpoint": sha256_file(RunFolder(folder).best / WEIGHTS)}
            rows.to_parquet(folder / "rows" / control / f"{split}.parquet")
    write_report(folder)
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy, to be altered."""
    return shutil.copytree(made, tmp_path / "demo")


def found(run):
    return verify(run, MAKERS).differences


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_report_follows_from_its_rows(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    verdict = verify(run, MAKERS)
    assert verdict.differences == [] and verdict.rows == 6 and verdict.tables >= 2
    numbers = [
        pd.read_csv(path).select_dtypes("number").count().sum()
        for path in (run / "tables").glob("*.csv")
    ]
    assert verdict.numbers == sum(numbers) > 100
    assert verify_report(run) == verdict.text()
    assert re.fullmatch(
        r"verified: [\d,]+ numbers in \d+ tables follow from 6 files of rows", verdict.text()
    )
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_it_can_move_as_a_whole(run, tmp_path):
    assert found(run.rename(tmp_path / "other")) == []


def test_a_digit_in_a_table(run):
    replace(run / "tables" / "main.csv", ",61.0,", ",61.1,")
    (difference,) = found(run)
    assert "tables/main.csv: line 2: " in difference and "by the rows" in difference
    with pytest.raises(UserError, match="does not follow from its rows:\n.*main.csv: line 2"):
        verify_report(run)


def test_a_digit_in_metrics_json(run):
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["testA"]["strict"]["oiou"] += 1e-6
    metrics["controls"]["shuffled"]["val"]["paper"]["pr50"] = 1.0
    path.write_text(json.dumps(metrics))
    (difference,) = found(run)
    assert "metrics.json: testA.strict.oiou: 0.630001, by the rows 0.63" in difference


def test_rounding_between_machines_is_no_difference(run):
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["testA"]["strict"]["miou"] *= 1 + 3e-16
    path.write_text(json.dumps(metrics))
    assert found(run) == []
    metrics["testA"]["strict"]["count"] += 1
    path.write_text(json.dumps(metrics))
    assert "testA.strict.count: 21, by the rows 20" in found(run)[0]
    del metrics["testB"]
    metrics["testA"]["strict"]["count"] -= 1
    path.write_text(json.dumps(metrics))
    assert "testB.strict.oiou: missing, by the rows" in found(run)[0]
    for broken in ("{", "[1]"):
        path.write_text(broken)
        assert "metrics.json: not readable as JSON" in found(run)[0]


def test_a_digit_in_the_page(run):
    replace(run / "report.html", ">63.00</td>", ">63.01</td>")
    assert found(run) == [f"{run / 'report.html'}: was altered since the report was made"]
    with pytest.raises(UserError, match="does not follow from its rows:\n.*report.html: was alt"):
        verify_report(run)


def test_a_digit_in_the_first_sentence_of_the_page(run):
    replace(run / "report.html", "<strong>63.00 %</strong> on testA", "<strong>64.00 %</strong>")
    assert found(run) == [f"{run / 'report.html'}: was altered since the report was made"]


def test_a_table_that_is_not_in_the_page(run):
    page = run / "report.html"
    table = re.search(r"<table>.*?</table>", page.read_text(), re.DOTALL)[0]
    replace(page, table, "")
    assert found(run) == [f"{page}: was altered since the report was made"]
    page.unlink()
    assert found(run) == [f"{page}: no such file"]


def test_a_line_too_many_in_the_page(run):
    page = run / "report.html"
    line = re.search(r"<tbody>\s*(<tr>.*?</tr>)", page.read_text(), re.DOTALL)[1]
    replace(page, line, f"{line}\n{line}")
    assert found(run) == [f"{page}: was altered since the report was made"]


@pytest.mark.parametrize("name", ["main.csv", "main.md", "main.tex", "by_length.csv"])
def test_every_form_of_a_table_is_compared(run, name):
    path = run / "tables" / name
    place = max(place for place, letter in enumerate(path.read_text()) if letter.isdigit())
    text = path.read_text()
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    (difference,) = found(run)
    assert difference.startswith(f"{path}: line ") and "by the rows" in difference


@pytest.mark.parametrize("control", ["", "shuffled"])
def test_a_row_that_was_altered(run, control):
    path = run / "rows" / control / "testB.parquet"
    rows = pd.read_parquet(path)
    rows.loc[3, "strict_intersection"] += 5
    rows.to_parquet(path)
    differences = found(run)
    assert differences[0] == f"{path}: was altered since the report was made"
    assert any("metrics.json: " in text and "testB.strict.oiou" in text for text in differences)
    table = "main.csv" if not control else "controls.csv"
    assert any(f"tables/{table}: line" in text for text in differences)


def test_rows_that_are_scored_again_and_come_out_equal(run):
    """By another command: as README's papermill command does."""
    for path in RunFolder(run).all_rows.rglob("*.parquet"):
        rows = pd.read_parquet(path)
        rows.attrs["provenance"] |= {"command": "a notebook, by hand", "changed files": 1}
        rows.to_parquet(path, compression="gzip")
    assert found(run) == []
    rows.attrs["provenance"] |= {"data": {"masks": "others"}}
    rows.to_parquet(path)
    assert found(run) == [f"{path}: was altered since the report was made"]


def test_what_a_training_has_recorded(run):
    """Whoever only looked would otherwise stand there as who trained."""
    files = RunFolder(run)
    files.log.write_text('{"kind": "start", "iteration": 0}\n')
    files.environment.write_text(json.dumps({"train": {"command": "a"}, "evaluate": {}}))
    write_proof(run, "run", [run])
    files.environment.write_text(json.dumps({"train": {"command": "a"}, "evaluate": {"b": 1}}))
    assert found(run) == [], "an evaluation writes there, too"
    files.environment.write_text(json.dumps({"train": {"command": "b"}}))
    files.log.write_text(files.log.read_text() * 2)
    replace(files.config, "seed: 0", "seed: 1")
    differences = found(run)
    for path in (files.environment, files.config, files.log):
        assert any(text.startswith(f"{path}: ") for text in differences), path
    assert "what it says of the training was altered" in "".join(differences)
    files.log.unlink()  # the training need not come with a report
    assert not any("training" in text for text in found(run))


def test_rows_that_are_gone_new_or_broken(run):
    path = run / "rows" / "testA.parquet"
    shutil.copy(path, run / "rows" / "testC.parquet")
    path.write_bytes(b"no parquet")
    differences = found(run)
    assert f"{path}: was altered since the report was made" in differences
    assert f"{run / 'rows' / 'testC.parquet'}: is new since the report was made" in differences
    shutil.rmtree(run / "rows")
    differences = found(run)
    assert f"{path}: is gone since the report was made" in differences
    assert "no rows of an evaluation" in differences[-1]


@pytest.mark.parametrize("name", ["tables/main.tex", "tables/by_length.md", "metrics.json"])
def test_a_file_that_is_missing(run, name):
    (run / name).unlink()
    assert found(run) == [f"{run / name}: no such file"]


def test_tables_that_do_not_follow_from_rows_may_lie_beside(run):
    """Notebooks write some, and the document of all tables shows these as well."""
    (run / "tables" / "alignment.tex").write_text("\\begin{tabular}{l}\\end{tabular}\n")
    document = run / "tables" / "tables.tex"
    document.write_text(document.read_text() + "\\input{alignment}\n")
    assert found(run) == []


def test_weights_that_were_altered(run):
    path = RunFolder(run).best / WEIGHTS
    path.write_bytes(b"other weights")
    differences = found(run)
    assert differences[0] == f"{path}: was altered since the report was made"
    of_rows = [text for text in differences if ": of weights " in text]
    assert len(of_rows) == 6 and sha256_file(path)[:12] in of_rows[0]
    path.unlink()  # weights need not come with a report
    assert found(run) == []


def test_rows_of_other_weights_than_those_beside_them(run):
    (RunFolder(run).best / WEIGHTS).write_bytes(b"trained anew, never scored")
    write_report(run)
    differences = found(run)
    assert len(differences) == 6 and all(": of weights " in text for text in differences)


def test_a_report_without_proof(run):
    replace(run / "provenance.json", '"kind": "run"', '"kind": "rnu"')
    with pytest.raises(UserError, match="unknown kind of report 'rnu'.*Did you mean 'run'"):
        found(run)
    proof = json.loads((run / "provenance.json").read_text())
    del proof["page"]  # of a report that an older version made
    for older in ([], proof):
        (run / "provenance.json").write_text(json.dumps(older))
        with pytest.raises(UserError, match="names no runs, or no digest.*Make the report"):
            found(run)
    (run / "provenance.json").unlink()
    with pytest.raises(UserError, match="no such file. Make the report: .*report run=RUN"):
        found(run)


def test_what_is_noted(run, tmp_path):
    (entry,) = read_proof(run)["runs"]
    assert read_proof(run)["page"] == sha256_file(run / "report.html")
    assert entry["name"] == "demo" and entry["folder"] == "."
    assert entry["checkpoint"] == sha256_file(RunFolder(run).best / WEIGHTS)
    assert list(entry["rows"])[:2] == ["rows/shuffled/testA.parquet", "rows/shuffled/testB.parquet"]
    folder = tmp_path / "compare"
    folder.mkdir()
    write_proof(folder, "comparison", [run], ["a/demo"])
    made = read_proof(folder)
    assert made["kind"] == "comparison"
    assert (made["runs"][0]["name"], made["runs"][0]["folder"]) == ("a/demo", "../demo")


def test_a_verdict_in_words():
    assert Verdict(2, 1234, 3).text() == (
        "verified: 1,234 numbers in 2 tables follow from 3 files of rows"
    )
    assert Verdict(differences=["a", "b"]).text() == (
        "The report does not follow from its rows:\na\nb"
    )


def write_claims(run, **values):
    """A claim about the embedded data set, and the report of it; → its verdict."""
    entry = {"claim": "It reaches this.", "where": "table 1", "dataset": "shapes", "metric": "oiou",
             "split": "testB", "protocol": "strict"}  # fmt: skip
    RunFolder(run).claims.write_text(yaml.safe_dump([entry | values]))
    write_report(run)
    return pd.read_csv(run / "tables" / "claims.csv")["Verdict"].item()


def test_one_altered_row_flips_a_verdict(run):
    assert write_claims(run, expected=65.05) == "not reproduced" and found(run) == []
    path = run / "rows" / "testB.parquet"
    rows = pd.read_parquet(path)
    rows.loc[3, "strict_intersection"] += 5
    rows.to_parquet(path)
    differences = found(run)
    assert differences[0] == f"{path}: was altered since the report was made"
    (of_claims,) = (text for text in differences if "tables/claims.csv: line 2" in text)
    before, after = of_claims.split(", by the rows ")
    assert ",not reproduced," in before and ",reproduced," in after
    with pytest.raises(UserError, match="claims.csv: line 2"):
        verify_report(run)


def test_a_verdict_that_was_altered(run):
    assert write_claims(run, expected=70.0) == "not reproduced"
    replace(run / "tables" / "claims.csv", "not reproduced", "reproduced")
    (difference,) = found(run)
    assert "tables/claims.csv: line 2: 'It reaches this." in difference


def test_claims_that_were_altered_or_are_gone(run):
    write_claims(run, expected=70.0)
    claims = RunFolder(run).claims
    text = claims.read_text()
    replace(claims, "expected: 70.0", "expected: 65.0")
    differences = found(run)
    assert differences[0] == f"{claims}: was altered since the report was made"
    assert any("tables/claims.csv: line 2" in difference for difference in differences)
    claims.write_text(text + "  wher: x\n")
    assert any("unknown key 'wher'" in difference for difference in found(run))
    claims.unlink()
    differences = found(run)
    assert f"{run / 'tables' / 'claims.csv'}: does not follow from the rows" in differences


def test_rows_of_a_run_that_a_claim_compares_with(run):
    other = run.parent / "without" / "rows"
    shutil.copytree(run / "rows", other)
    scored_rows("testB", 0.60).to_parquet(other / "testB.parquet")
    assert write_claims(run, better_than="../without") == "reproduced" and found(run) == []
    scored_rows("testB", 0.70).to_parquet(other / "testB.parquet")
    differences = found(run)
    assert differences[0].endswith(
        "without/rows/testB.parquet: was altered since the report was made"
    )
    assert any("claims.csv: line 2" in text and "not reproduced" in text for text in differences)


def test_the_run_of_another_model(run):
    """Its model.yaml is read for the second computation as for the first."""
    save_config(load_config("refcoco"), run / "config.yaml")
    write_about(run, {"name": "LAVT", "backbone": "Swin-B", "image_size": 480})
    write_report(run)
    assert "resized, 480×480" in (run / "tables" / "literature.csv").read_text()
    assert found(run) == []
