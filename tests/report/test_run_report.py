"""The report: one file, everything inside, made from what a run has left."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from helpers.pages import altered, page_tables
from helpers.rows import as_control, make_rows, records, with_places

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.base.tables import cells
from dghin.evaluation.segmenters.about import write_about
from dghin.report.figures.curves import length_histogram, save_figure
from dghin.report.run_report import (
    headline,
    split_table,
    training_facts,
    verify_report,
    write_report,
)
from dghin.report.tables.results import score_tables
from dghin.report.tables.scores import read_results, run_metrics, with_intervals
from dghin.run.config import load_config, save_config
from dghin.run.environment import record_environment

pytestmark = pytest.mark.usefixtures("quick_figures")


def write_rows(folder, kinds=("attribute", "place")):
    for control, seed, share in (("", 1, 1.0), ("shuffled", 2, 0.2)):
        for split in ("val", "testA", "testB"):
            rows = make_rows(split, 40, seed, kinds)
            rows["strict_intersection"] = (rows.strict_intersection * share).astype(int)
            rows = as_control(rows) if control else rows
            path = folder / "rows" / control / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(path)


def fill(folder, config="demo", **options):
    write_rows(folder, **options)
    save_config(load_config(config), folder / "config.yaml")
    return folder


@pytest.fixture
def run(tmp_path):
    """A run's folder with everything in it."""
    folder = fill(tmp_path / "demo")
    train = [
        record | {"expressions_per_second": 9.0, "elapsed": 61.0}
        if record["kind"] == "train"
        else record
        for record in records()
    ]
    (folder / "train").mkdir()
    lines = "".join(json.dumps(record) + "\n" for record in train)
    (folder / "train" / "log.jsonl").write_text(lines)
    figure = length_histogram({"val": [1, 2]})
    for name in ("masks_best", "dependency_0", "samples_train", "visual_graph_start"):
        save_figure(figure, folder / "figures", name)
    record_environment(folder, load_config("demo"), "train")
    return folder


def words_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_one_file_with_everything_inside(run):
    page = write_report(run).read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "something lies outside the page"
    assert not re.search(r"@import|url\(|<script", page)
    figures = {path.stem for path in (run / "figures").glob("*.png")}
    assert {"precision", "by_length", "by_kind", "learning_curves"} <= figures
    assert page.count("data:image/png;base64,") == len(figures)
    text = words_of(page)
    for expected in ("Does it read the words?", "Pr@0.9", "commit", "iterations 19", "strict"):
        assert expected in text


def test_its_numbers_are_those_of_metrics_json(run):
    page = words_of(write_report(run).read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(run_metrics(read_results(run))))
    strict = metrics["testA"]["strict"]["oiou"]
    control = metrics["controls"]["shuffled"]["testA"]["strict"]["oiou"]
    assert f"{100 * strict:.2f} % on testA" in page
    assert f"a share of {control / strict:.2f}" in page and "Less than half" in page
    assert sorted(p.name for p in (run / "tables").glob("main.*")) == [
        "main.csv", "main.md", "main.tex",
    ]  # fmt: skip


def test_the_page_holds_every_table_that_follows_from_the_rows(run):
    shown = page_tables(write_report(run).read_text())
    for frame in map(with_intervals, score_tables(read_results(run)).values()):
        assert [list(frame.columns), *cells(frame)] in shown


def add_places(folder, split):
    """What masks lie on, into the rows of a split."""
    path = folder / "rows" / f"{split}.parquet"
    rows = pd.read_parquet(path)
    places = ("meant", "same class", "nothing", "several")
    lines = [("ordinal", places[n % 4], 2, n % 4 < 2, None, 1 + n % 2, n % 2) for n in rows.index]
    added = with_places(lines).drop(columns=["image"])
    rows.assign(**added).to_parquet(path)


def test_what_masks_lie_on_is_told_and_verified(run):
    add_places(run, "testA")
    page = write_report(run).read_text()
    assert '<h3 id="lies_on">' in page and (run / "figures" / "lies_on.png").is_file()
    assert "Of 40 expressions of kind “ordinal”, 25 % of the masks lie" in words_of(page)
    assert "By how many places is the count off?" in page
    assert "verified: " in verify_report(run)
    path = run / "tables" / "ordinals.csv"
    with (
        altered(path, ",first,20,", ",first,21,"),
        pytest.raises(UserError, match="ordinals.csv: line"),
    ):
        verify_report(run)
    write_rows(run)  # as of an older evaluation
    page = write_report(run).read_text()
    assert 'id="lies_on"' not in page and not path.exists()
    assert not (run / "figures" / "lies_on.png").exists() and "verified: " in verify_report(run)


def test_claims_come_first_and_those_about_other_data_are_folded(tmp_path):
    folder = fill(tmp_path / "own", "refcoco")
    page = write_report(folder).read_text()
    names = re.findall(r'<h2 id="(\w+)"', page)
    assert names[:3] == ["what", "claims", "results"] and '<a href="#claims">' in page
    shown, *_ = page_tables(page)
    assert {line[2] for line in shown[1:]} == {"refcoco val", "refcoco testA", "refcoco testB"}
    paper = run_metrics(read_results(folder))["testA"]["paper"]["oiou"]
    assert f"{100 * paper:.2f}" in shown[2]  # measured, though the claimed value is not public
    assert "value not public: fill in &#39;expected&#39;" in page
    folded = page[page.index("<summary>All 10 claims") :]
    assert len(page_tables(folded)[0]) == 11 and "10 not comparable." in words_of(page)


def test_of_the_embedded_data_set_no_claim_says_anything(run):
    page = write_report(run).read_text()
    claims = page[page.index('<h2 id="claims"') : page.index('<h2 id="results"')]
    assert "10 not comparable." in claims and "which no paper has scored" in claims
    opened = claims[: claims.index("<details>")]
    assert page_tables(opened) == [] and len(page_tables(claims)) == 1
    assert (run / "claims.yaml").is_file() and (run / "tables" / "claims.tex").is_file()


def test_a_model_without_claims_has_no_such_table(tmp_path):
    folder = fill(tmp_path / "lavt", "refcoco")
    write_about(folder, {"name": "LAVT"})
    page = write_report(folder).read_text()
    assert 'id="claims"' not in page and "#claims" not in page
    assert not (folder / "claims.yaml").exists()


def test_made_again_it_is_the_same(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_what_a_run_has_not_is_left_out(tmp_path):
    folder = fill(tmp_path / "bare", "refcoco", kinds=("",))
    for path in (folder / "rows" / "shuffled").iterdir():
        path.unlink()
    page = words_of(write_report(folder).read_text())
    assert "By kind of expression" not in page and "drawn, not photographed" not in page
    assert "No training log" in page and "Not recorded" in page


def test_names_are_escaped(tmp_path):
    folder = fill(tmp_path / "a<b>&c")
    page = write_report(folder).read_text()
    assert "a<b>" not in page and "a&lt;b&gt;&amp;c" in page


def test_a_run_without_rows(tmp_path):
    with pytest.raises(UserError, match="no rows of an evaluation"):
        write_report(tmp_path)


def test_headline_without_test_split_or_control():
    (entry,) = headline({"": {"val": make_rows("val", 5)}}, ("testA",))
    assert entry["split"] == "val" and entry["control"] is None and entry["share"] is None


def test_headline_of_a_network_that_marks_nothing():
    rows = make_rows("val", 5)
    rows["strict_intersection"] = 0
    (entry,) = headline({"": {"val": rows}, "shuffled": {"val": rows}}, ())
    assert entry["oiou"] == 0 and entry["share"] is None


def test_a_damaged_environment_file_does_no_harm(run):
    (run / "environment.json").write_text("{")
    assert "Not recorded" in words_of(write_report(run).read_text())


def test_split_card_without_published_counts_is_a_row_a_split():
    card = pd.DataFrame(
        [["val", "images", 3], ["val", "objects", 4], ["testA", "images", 1],
         ["testA", "objects", 2]], columns=["Split", "Count", "Here"],
    ).assign(Published=np.nan, Verdict=np.nan)  # fmt: skip
    wide = split_table(card)
    assert wide.to_numpy().tolist() == [["val", 3, 4], ["testA", 1, 2]]
    known = card.assign(Published=5)
    assert split_table(known) is known


def test_environment_names_what_numbers_depend_on(tmp_path):
    entry = record_environment(tmp_path, load_config("demo", ["data.root=nowhere"]), "train")
    record_environment(tmp_path, load_config("demo", ["train.seed=7"]), "evaluate")
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written["train"] == entry and written["evaluate"]["seeds"]["training"] == 7
    assert entry["versions"]["torch"] and entry["hardware"]["cores"] >= 1
    assert set(entry["code"]) == {"commit", "changed files"}
    assert entry["data"] == {}  # nothing prepared there


def test_environment_holds_the_data_digests(tmp_path, tiny_config):
    entry = record_environment(tmp_path, tiny_config, "train")
    manifest = tiny_config.data.prepared_root / "anns" / "refcoco" / "manifest.json"
    splits = json.loads(manifest.read_text())["splits"]
    assert entry["data"]["val"]["language_sha256"] == splits["val"]["language_sha256"]


def test_without_git_there_is_no_commit(tmp_path):
    from dghin.run.environment import git_state

    write_json(tmp_path / "x.json", {})
    assert git_state(tmp_path) == {"commit": None, "changed files": None}


def test_of_few_images_nothing_is_said(tmp_path):
    fill(tmp_path)
    for path in (tmp_path / "rows").rglob("testA.parquet"):
        pd.read_parquet(path).head(20).to_parquet(path)  # of five images
    page = write_report(tmp_path).read_text()
    assert "Too few images to say what that means." in page and "Less than half" in page


def test_the_page_warns_of_expressions_that_are_cut(run):
    """As the split card of notebook 01 counts them; beyond 5 percent of a split."""
    card = pd.DataFrame(
        [[split, count, number, None, ""] for split, cut in (("train", 4), ("val", 6))
         for count, number in (("images", 9), ("expressions", 100), ("expressions cut", cut))],
        columns=["Split", "Count", "Here", "Published", "Verdict"],
    )  # fmt: skip
    (run / "tables").mkdir(exist_ok=True)
    card.to_csv(run / "tables/splits.csv", index=False)
    page = write_report(run).read_text()
    assert "val: 6 of 100 expressions cut after 17 word pieces (6.0%). Warning: " in page
    assert "model.words=N" in page and "4 of 100" not in page
    (splits,) = (t for t in page_tables(page) if "expressions cut" in str(t))
    assert "4" in str(splits)


def test_the_page_warns_of_a_network_that_answers_nothing(run):
    path = run / "rows/val.parquet"
    rows = pd.read_parquet(path)
    rows["targets"] = [0, 1] * 20
    rows.loc[rows["targets"] == 0, ["area", "strict_union", "strict_intersection"]] = 0
    rows["strict_intersection"] = 0
    rows["strict_union"] = rows["area"]
    rows.to_parquet(path)
    page = write_report(run).read_text()
    assert "val: every answer to an expression with a target is empty" in page
    assert "Its mIoU (gIoU) of 50.0 comes from expressions without a target alone" in page


def test_the_score_that_weights_were_picked_by_says_of_which_expressions(run):
    """While training it may be of the first ones only: it is not the one in the tables."""
    log = run / "train" / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]

    def kept(count, scored=40):
        shown = [line | {"count": count} if line["kind"] == "val" else line for line in lines]
        log.write_text("".join(json.dumps(line) + "\n" for line in shown))
        return training_facts(log, scored)["weights kept"]

    assert "50.00 % on the first 10 expressions of the validation split" in kept(10)
    assert "the tables are of all 40, whose score is another" in kept(10)
    assert "50.00 % on the validation split, strict protocol" in kept(40)
    assert "first" not in kept(10, scored=0), "where val is in no table"
    kept(10)
    assert "the tables are of all 40" in write_report(run).read_text()
