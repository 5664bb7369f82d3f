"""Claims: what a paper says beside what was measured; a verdict only where both are the same."""

import dataclasses
import math

import pytest
import yaml
from helpers.ablation_folders import scored_rows
from helpers.rows import make_rows

from data_preprocess.base.errors import UserError
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.provenance import rows_digest
from dghin.evaluation.segmenters.about import About
from dghin.evaluation.uncertainty import bootstrap, paired_difference
from dghin.report.tables.claims import (
    SHIPPED,
    Claim,
    claims_table,
    compared_runs,
    judge,
    provide_claims,
    read_claims,
    run_claims,
    sort_claims,
)
from dghin.report.tables.results import write_results
from dghin.run.config import load_config, save_config
from dghin.run.folder import RunFolder

ENTRY = {"claim": "It is good.", "where": "table 1", "dataset": "refcoco", "split": "testA",
         "metric": "oiou", "protocol": "paper", "expected": 70.0}  # fmt: skip
CLAIM = Claim(**ENTRY)
ABOUT = About("DGHIN", image_size=416, training_data="single")


@pytest.fixture
def run(tmp_path):
    """A run's folder with rows of RefCOCO's testA, of which every protocol has its own scores."""
    write_rows(tmp_path / "own", make_rows("testA", 60))
    return tmp_path / "own"


def write_rows(folder, rows):
    path = RunFolder(folder).rows(rows["split"][0])
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)


def line(run, claim=CLAIM, words=(), config="refcoco", about=ABOUT, results=None):
    """The table's line about one claim."""
    rows = make_rows("testA", 60)
    frame = claims_table(
        results or {"": {"testA": rows}}, load_config(config, words), about, [claim], run
    )
    return frame.iloc[0]


def claim(**values):
    return dataclasses.replace(CLAIM, **values)


def test_a_line_holds_claim_measurement_interval_and_evidence(run):
    found = line(run)
    rows = make_rows("testA", 60)
    interval = bootstrap(rows, "paper", ["oiou"])["oiou"]
    measured = [found["Measured"], found["Measured, low"], found["Measured, high"]]
    expected = [metrics_from_rows(rows, "paper")["oiou"], *interval]
    assert measured == pytest.approx([100 * value for value in expected])
    assert list(found[["Claim", "Where", "Split", "Metric", "Protocol", "Expected"]]) == [
        "It is good.", "table 1", "refcoco testA", "oIoU", "paper", 70.0,
    ]  # fmt: skip
    digest = rows_digest(RunFolder(run).rows("testA"))
    assert found["Evidence"] == f"rows/testA.parquet {digest[:12]}"


def test_the_metric_and_protocol_of_the_claim_are_measured(run):
    rows = make_rows("testA", 60)
    found = line(run, claim(metric="pr70", protocol="strict"))
    assert found["Measured"] == pytest.approx(100 * metrics_from_rows(rows, "strict")["pr70"])
    other_name = line(run, claim(metric="ciou"))  # where every expression means one object
    assert other_name["Measured"] == line(run)["Measured"]


def test_the_rule_of_the_verdict():
    inside = (60.0, 58.0, 62.0)
    for expected, verdict in ((58.0, "reproduced"), (62.0, "reproduced"), (60.5, "reproduced"),
                              (57.99, "not reproduced"), (62.01, "not reproduced")):  # fmt: skip
        assert judge(claim(expected=expected), *inside)[0] == verdict, expected
    assert judge(claim(expected=63.0), *inside)[1] == "3.00 points lower than claimed"
    assert judge(claim(expected=50.0), *inside)[1] == "10.00 points higher than claimed"
    assert judge(claim(expected=63.0, tolerance=3.0), *inside)[0] == "reproduced"
    assert judge(claim(expected=63.1, tolerance=3.0), *inside)[0] == "not reproduced"


def test_without_an_interval_only_a_tolerance_can_judge():
    alone = (60.0, math.nan, math.nan)
    assert judge(CLAIM, *alone)[0] == "not comparable"
    assert judge(claim(expected=60.5, tolerance=1.0), *alone)[0] == "reproduced"
    assert judge(claim(expected=62.0, tolerance=1.0), *alone)[0] == "not reproduced"


def test_a_measured_value_decides_the_verdict(run):
    measured = line(run)["Measured"]
    assert line(run, claim(expected=measured))["Verdict"] == "reproduced"
    high = line(run)["Measured, high"]
    far = line(run, claim(expected=high + 0.1))
    assert far["Verdict"] == "not reproduced" and "lower than claimed" in far["Why"]


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        ({"expected": None}, (), "value not public: fill in 'expected' in claims.yaml"),
        ({"dataset": "refcoco+"}, (), "other data set: this run's is refcoco"),
        ({}, ("data.shapes=100",), "embedded data set of drawn scenes"),
        ({"split": "testB"}, (), "split testB was not scored"),
        ({"protocol": "threshold=0.5"}, (), "the rows have no protocol threshold=0.5"),
        ({"metric": "n_acc"}, (), "the rows have no N-acc"),
        ({}, ("evaluate.expressions=50",), "only the first 50 expressions of a split"),
        ({"trained_on": "mixed"}, (), "other training data: single, not mixed"),
        (
            {"network": "paper"},
            ("model.text_graph=false", "model.width=64"),
            "other settings of the network: text_graph, width",
        ),
    ],
)
def test_what_does_not_compare_says_why(run, change, words, reason):
    assert line(run)["Verdict"] != "not comparable"
    found = line(run, claim(**change), words)
    assert found["Verdict"] == "not comparable" and found["Why"].startswith(reason)


def test_all_reasons_are_said_and_the_value_is_measured_all_the_same(run):
    found = line(run, claim(expected=None, trained_on="mixed", network="paper"),
                 about=About("LAVT"))  # fmt: skip
    assert found["Why"] == (
        "other training data: on what is not stated, not mixed; other model: LAVT; "
        "value not public: fill in 'expected' in claims.yaml"
    )
    assert found["Measured"] == line(run)["Measured"] and math.isnan(found["Expected"])


def test_the_papers_network_compares(run):
    measured = line(run)["Measured"]
    found = line(run, claim(network="paper", trained_on="single", expected=measured))
    assert found["Verdict"] == "reproduced"


def test_claims_about_the_embedded_data_set_are_called_shapes(run):
    found = line(run, claim(dataset="shapes"), config="demo")
    assert found["Verdict"] in ("reproduced", "not reproduced")
    assert line(run, claim(dataset="shapes"))["Why"].startswith("other data set")


def test_joint_runs_are_judged_on_their_members(run):
    rows = make_rows("refcoco_testA", 60)
    write_rows(run, rows)
    results = {"": {"refcoco_testA": rows}}
    mixed = About("DGHIN", training_data="mixed")
    found = line(run, claim(trained_on="mixed"), config="joint", about=mixed, results=results)
    assert found["Verdict"] != "not comparable"
    assert "rows/refcoco_testA.parquet" in found["Evidence"]
    elsewhere = claim(dataset="referit", split="test")
    assert line(run, elsewhere, config="joint", results=results)["Why"].startswith("other data set")


def test_a_claim_that_one_run_is_better_than_another(run):
    better = {"": {"testA": scored_rows("testA", 0.61)}}
    write_rows(run.parent / "without", scored_rows("testA", 0.55))
    asked = claim(expected=None, better_than="../without")
    found = line(run, asked, results=better)
    difference = paired_difference(scored_rows("testA", 0.61), scored_rows("testA", 0.55), "paper")
    assert found["Measured"] == pytest.approx(100 * difference.value) == pytest.approx(6.0)
    assert found["Verdict"] == "reproduced" and found["Metric"] == "Δ oIoU"
    assert "../without/rows/testA.parquet" in found["Evidence"]
    for score in (0.61, 0.70):  # no difference, and a worse one
        write_rows(run.parent / "without", scored_rows("testA", score))
        assert line(run, asked, results=better)["Verdict"] == "not reproduced", score
    write_rows(run.parent / "without", scored_rows("testA", 0.55, count=16))
    assert "do not hold the same expressions" in line(run, asked, results=better)["Why"]
    gone = line(run, claim(expected=None, better_than="../gone"), results=better)
    assert gone["Why"] == "no rows of the other run: ../gone"


def test_runs_that_are_compared_are_named_once(run):
    entries = [ENTRY, *[{**ENTRY, "expected": None, "better_than": f"../{name}"}
                        for name in ("without", "without", "gone")]]  # fmt: skip
    write_rows(run.parent / "without", scored_rows("testA", 0.55))
    RunFolder(run).claims.write_text(yaml.safe_dump(entries))
    assert compared_runs(run) == [run / "../without"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expcted": 1.0}, "unknown key 'expcted'.*Did you mean 'expected'"),
        ({"expected": "many"}, "expected='many': expected a number"),
        ({"expected": 170}, "expected: 170.* from 0 to 100"),
        ({"expected": math.nan}, "expected: nan.* from 0 to 100"),
        ({"tolerance": -1}, "tolerance: -1.* from 0 to 100"),
        ({"metric": "iou"}, "unknown metric 'iou'.*Did you mean"),
        ({"protocol": "papre"}, "unknown protocol 'papre'.*Did you mean 'paper'"),
        ({"split": "test"}, "unknown split of refcoco: 'test'.*testA"),
        ({"trained_on": "all"}, "unknown value of trained_on: 'all'"),
        ({"where": ""}, "no 'where'. Every claim needs one"),
        ({"better_than": "../other"}, "both 'expected' and 'better_than'"),
    ],
)
def test_an_error_names_file_entry_value_and_remedy(tmp_path, change, message):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([ENTRY, {**ENTRY, **change}]))
    with pytest.raises(UserError, match=f"claims.yaml: claim 2: {message}"):
        read_claims(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claim: one", "claims.yaml: expected a list of claims.*Correct it"),
        ("[", "(?s)claims.yaml: not readable as YAML.*Correct it"),
        ("- words", "claims.yaml: claim 1: expected keys with values, not 'words'"),
        ("- 1: 2", "claims.yaml: claim 1: unknown key '1'"),
    ],
)
def test_a_file_that_holds_no_claims(tmp_path, text, message):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_claims(path)


def test_those_that_are_shipped_claim_no_number_and_name_their_source():
    claims = read_claims(SHIPPED)
    assert {entry.dataset for entry in claims} == {
        "refcoco", "refcoco+", "refcocog_umd", "refcocog_google", "referit",
    }  # fmt: skip
    assert all(entry.expected is None and "abstract" in entry.where for entry in claims)
    assert all((entry.protocol, entry.network) == ("paper", "paper") for entry in claims)


def test_dghins_runs_get_them_and_ones_own_stay(tmp_path):
    provide_claims(tmp_path, About("LAVT"))
    assert not RunFolder(tmp_path).claims.exists() and run_claims(tmp_path) == []
    provide_claims(tmp_path, ABOUT)
    assert RunFolder(tmp_path).claims.read_bytes() == SHIPPED.read_bytes()
    RunFolder(tmp_path).claims.write_text(yaml.safe_dump([ENTRY]))
    provide_claims(tmp_path, ABOUT)
    assert run_claims(tmp_path) == [CLAIM]


def test_the_page_shows_the_claims_about_this_data_first(run):
    claims = [claim(dataset="refcoco+"), CLAIM, claim(expected=None)]
    rows = {"": {"testA": make_rows("testA", 60)}}
    frame = claims_table(rows, load_config("refcoco"), ABOUT, claims, run)
    found = sort_claims(frame)
    assert list(found["shown"].index) == [1, 2] and found["left_out"] == 1
    assert found["verdicts"]["not comparable"] == 2 and sum(found["verdicts"].values()) == 3


def test_the_table_is_written_and_removed_with_its_claims(run):
    save_config(load_config("refcoco"), RunFolder(run).config)
    RunFolder(run).claims.write_text(yaml.safe_dump([ENTRY]))
    results = {"": {"testA": make_rows("testA", 60)}}
    tables = write_results(results, run)
    assert list(tables)[0] == "claims"
    names = {f"claims.{suffix}" for suffix in ("md", "csv", "tex")}
    assert names <= {path.name for path in RunFolder(run).tables.iterdir()}
    RunFolder(run).claims.unlink()
    assert "claims" not in write_results(results, run)
    assert not names & {path.name for path in RunFolder(run).tables.iterdir()}
