"""Comparing runs: one page, tables computed from the rows, words where numbers would lie."""

import json
import re

import pandas as pd
import pytest
from helpers.pages import page_tables
from helpers.rows import make_rows

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.base.tables import cells
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.uncertainty import bootstrap, paired_difference
from dghin.report.compare import (
    compare,
    compare_runs,
    comparison_tables,
    folder_name,
    labels,
    runs_of,
)
from dghin.report.figures.compare import interval_figure, validation_figure
from dghin.report.proof import read_proof, verify
from dghin.report.tables.compare import (
    differences_table,
    provenance_table,
    read_run,
    scores_table,
    seeds_table,
    settings_table,
)
from dghin.report.tables.origins import origin_warnings, read_origin
from dghin.report.tables.scores import with_intervals
from dghin.run.config import load_config, save_config

pytestmark = pytest.mark.usefixtures("quick_figures")

SPLITS = {"val": 40, "testA": 48}


def write_run(reports, name, gain=1.0, words=(), seed=0, commit="a" * 40, log=True, splits=SPLITS):
    """A run's folder: rows whose intersections are `gain` times the others', settings, log."""
    folder = reports / name
    for split, count in splits.items():
        rows = make_rows(split, count, seed).assign(targets=1)
        for protocol in ("strict", "paper"):
            better = rows[f"{protocol}_intersection"] * gain
            rows[f"{protocol}_intersection"] = better.clip(upper=rows[f"{protocol}_union"])
            rows = rows.astype({f"{protocol}_intersection": int})
        rows.attrs["provenance"] = {"commit": commit, "data": {"val": {"sha256": "0" * 64}}}
        (folder / "rows" / "shuffled").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / "rows" / f"{split}.parquet")
        rows.to_parquet(folder / "rows" / "shuffled" / f"{split}.parquet")
    save_config(load_config("demo", words), folder / "config.yaml")
    entry = {"code": {"commit": commit, "changed files": 0}, "hardware": {"GPUs": ["H100"] * 4}}
    write_json(folder / "environment.json", {"train": entry})
    if log:
        records = [
            {"kind": "val", "iteration": i, "oiou": gain * i / 100, "protocol": "strict"}
            for i in (10, 20)
        ]
        (folder / "train").mkdir()
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / "train" / "log.jsonl").write_text(lines)
    return folder


@pytest.fixture
def reports(tmp_path):
    """Three runs: two that differ in the seed alone, one with another width."""
    write_run(tmp_path, "base")
    write_run(tmp_path, "again", 1.1, ["train.seed=1", "train.workers=3"])
    write_run(tmp_path, "wide", 1.3, ["model.width=512"], commit="b" * 40)
    return tmp_path


@pytest.fixture
def runs(reports):
    return [read_run(reports / name, name) for name in ("base", "again", "wide")]


def test_scores_are_those_of_the_rows(runs):
    frame = scores_table(runs)
    assert list(frame.Run) == ["base", "again", "wide"] * 4
    assert list(frame.Split) == ["val"] * 6 + ["testA"] * 6
    assert list(frame.Protocol) == (["strict"] * 3 + ["paper"] * 3) * 2
    line, rows = frame.iloc[8], runs[2].splits["testA"]
    assert (line.Run, line.Split, line.Protocol) == ("wide", "testA", "strict")
    scores = metrics_from_rows(rows, "strict")
    interval = bootstrap(rows, "strict")["oiou"]
    expected = [scores["oiou"], *interval, scores["miou"], scores["pr50"]]
    columns = ["oIoU", "oIoU, low", "oIoU, high", "mIoU", "Pr@0.5"]
    assert list(line[columns]) == pytest.approx([100 * value for value in expected])
    assert (line.Expressions, line.Images) == (48, 12)


def test_differences_are_the_runs_minus_the_first(runs):
    frame, notes = differences_table(runs)
    assert not notes and "Note" not in frame
    assert list(zip(frame.Split, frame.Run, strict=True)) == [
        (split, run) for split in SPLITS for run in ("again", "wide")
    ]
    assert set(frame.Against) == {"base"} and set(frame.Expressions) == {40, 48}
    found = paired_difference(runs[2].splits["val"], runs[0].splits["val"], "strict")
    line = frame.iloc[1]
    assert line["Δ oIoU"] == pytest.approx(100 * found.value) and found.value > 0
    assert (line["Δ oIoU, low"], line["Δ oIoU, high"]) == pytest.approx(
        (100 * found.low, 100 * found.high)
    )
    assert line["p, oIoU"] == f"{found.p_value:.4f}"
    assert line["Δ mIoU"] > 0


def test_what_cannot_be_compared_is_said_in_words(reports):
    write_run(reports, "short", splits={"val": 20})
    write_run(reports, "other", splits={"val": 40, "testC": 8})
    runs = [read_run(reports / name, name) for name in ("base", "short", "other")]
    frame, notes = differences_table(runs)
    assert list(frame.Run) == ["short", "other"]
    assert frame.Note[0].startswith("not compared") and pd.isna(frame["Δ oIoU"][0])
    assert pd.isna(frame.Expressions[0]) and frame.Expressions[1] == 40
    assert frame["Δ oIoU"][1] == 0 and pd.isna(frame.Note[1])
    assert "20 are in both; 20 only in the second, such as refcoco val" in notes[0]
    assert notes[1:] == [
        "testA, short: not scored in short.",
        "testA, other: not scored in other.",
        "testC, short: not scored in base and short.",
        "testC, other: not scored in base.",
    ]


def test_runs_that_differ_in_the_seed_alone_are_put_together(runs):
    frame = seeds_table(runs)
    assert set(frame.Runs) == {"base, again"} and set(frame.Seeds) == {2}
    assert list(frame.Split) == ["val", "val", "testA", "testA"]
    values = [metrics_from_rows(run.splits["val"], "strict")["oiou"] for run in runs[:2]]
    assert frame["oIoU, mean"][0] == pytest.approx(50 * sum(values))
    assert frame["oIoU, sd"][0] == pytest.approx(100 * abs(values[0] - values[1]) / 2**0.5)
    assert seeds_table([runs[0], runs[2]]).empty, "another width is another experiment"


def test_a_seed_counts_once_and_on_the_same_expressions_only(reports):
    write_run(reports, "repeated", 1.2, ["train.seed=1"])
    write_run(reports, "short", 1.2, ["train.seed=2"], splits={"val": 20})
    names = ("base", "again", "repeated", "short")
    frame = seeds_table([read_run(reports / name, name) for name in names])
    assert set(frame.Runs) == {"base, again"}


def test_settings_that_differ(runs):
    frame = settings_table(runs).set_index("Setting")
    assert list(frame.columns) == ["base", "again", "wide", "Changes the result"]
    assert set(frame.index) == {"model.width", "train.seed", "train.workers"}
    base = load_config("demo")
    assert list(frame.loc["model.width"]) == [str(base.model.width)] * 2 + ["512", "yes"]
    assert frame.loc["train.workers", "Changes the result"] == "no"
    assert settings_table(runs[:1] * 2).empty


def test_a_run_without_settings_is_compared_all_the_same(reports):
    (reports / "wide" / "config.yaml").unlink()
    runs = [read_run(reports / name, name) for name in ("base", "again", "wide")]
    assert list(settings_table(runs)["wide"]) == ["unknown"] * 2
    assert set(seeds_table(runs).Runs) == {"base, again"}
    page = compare_runs(["base", "wide"], reports).read_text()
    assert "its settings are unknown: wide" in words_of(page)


def warnings_of(runs):
    return origin_warnings([read_origin(run.folder, run.name) for run in runs])


def test_provenance_and_what_it_warns_of(runs, reports):
    frame = provenance_table(runs).set_index("What")
    assert list(frame.loc["train: commit"]) == ["a" * 12, "same", "b" * 12]
    assert list(frame.loc["rows: commit"]) == ["a" * 12, "same", "b" * 12]
    assert list(frame.loc["train: GPUs"]) == ["4 × H100", "same", "same"]
    assert frame.loc["rows: data: val: sha256", "base"] == "0" * 12
    assert warnings_of(runs) == [
        "The runs were trained by different commits of the code.",
        "The runs were scored by different commits of the code.",
    ]
    assert warnings_of(runs[:2]) == []
    code = {"commit": "a" * 40, "changed files": 3}
    write_json(reports / "again" / "environment.json", {"evaluate": {"code": code}})
    expected = (
        "again: the code that scored had changed files (3): the commit alone does not say what ran."
    )
    assert warnings_of(runs[:2]) == [expected]
    page = compare_runs(["base", "again"], reports).read_text()
    assert f"Before you trust a difference {expected}" in words_of(page)


def test_rows_of_an_older_version(runs, reports):
    """No provenance, no targets, no environment: shown as not recorded."""
    for path in (reports / "wide" / "rows").rglob("*.parquet"):
        rows = pd.read_parquet(path).drop(columns=["targets", "paper_union", "paper_intersection"])
        rows.attrs = {}
        rows.to_parquet(path)
    (reports / "wide" / "environment.json").unlink()
    old = read_run(reports / "wide", "wide")
    assert set(provenance_table([runs[0], old])["wide"]) == {"not recorded"}
    frame = scores_table([runs[0], old])
    assert set(frame[frame.Run == "wide"].Protocol) == {"strict"}
    assert compare_runs(["base", "wide"], reports).is_file()


def words_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("</style>")[1]))


def test_one_file_with_everything_inside(reports):
    path = compare_runs(["base", "again", "wide"], reports)
    assert path == reports / "compare-base-again-wide" / "report.html"
    page = path.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r'(src|href)="(?!data:|#)', page), "something lies outside the page"
    assert not re.search(r"@import|url\(|<script", page)
    assert page.count("data:image/png;base64,") == 2
    for table in page.split("<table>")[:-1]:
        assert table.endswith('<div class="wide" tabindex="0">'), "a table that cannot scroll"
    text = words_of(page)
    for name in ("scores", "differences", "seeds", "settings", "provenance"):
        assert {p.suffix for p in (path.parent / "tables").glob(f"{name}.*")} == {
            ".md", ".csv", ".tex"
        }  # fmt: skip
        line = pd.read_csv(path.parent / "tables" / f"{name}.csv", dtype=str).iloc[-1].dropna()
        for cell in line:
            number = re.fullmatch(r"-?\d+\.\d+", cell)
            shown = f"{float(cell):.2f}" if number and len(cell.split(".")[1]) < 3 else cell
            assert shown in text
    for expected in ("How to read this", "not corrected for many comparisons", "over images"):
        assert expected in text


def test_every_link_of_the_page_leads_somewhere(reports):
    for names in (["base", "again", "wide"], ["base", "wide"]):
        page = compare_runs(names, reports).read_text()
        links = re.findall(r'href="#([^"]+)"', page)
        assert len(links) == len(set(links)) >= 6
        assert sorted(links) == sorted(re.findall(r'<h2 id="([^"]+)"', page))


def test_the_page_holds_the_tables_as_they_are_shown(reports, runs):
    path = compare_runs(["base", "again", "wide"], reports)
    frame = with_intervals(scores_table(runs))
    assert "oIoU, 95 %" in frame and "oIoU, low" not in frame
    assert [list(frame.columns), *cells(frame)] in page_tables(path.read_text())
    assert "oIoU, low" in (path.parent / "tables" / "scores.csv").read_text()
    document = (path.parent / "tables" / "tables.tex").read_text()
    for name in ("scores", "differences", "seeds", "settings", "provenance"):
        assert f"{{{name}}}" in document


def test_only_two_protocols_stand_side_by_side(reports):
    path = reports / "base" / "rows" / "val.parquet"
    rows = pd.read_parquet(path)
    for protocol in ("resized", "threshold=0.35"):
        for of in ("intersection", "union"):
            rows[f"{protocol}_{of}"] = rows[f"strict_{of}"]
    rows.to_parquet(path)
    assert set(scores_table([read_run(reports / "base", "base")]).Protocol) == {"strict", "paper"}


def test_a_comparison_follows_from_its_rows(reports):
    """Also where the runs' names are more than their folders' names."""
    write_run(reports / "study" / "runs", "base", 1.2)
    write_run(reports / "runs", "base", 1.3)
    folder = compare_runs(["study/runs/base", "runs/base", "wide"], reports).parent
    names = [entry["name"] for entry in read_proof(folder)["runs"]]
    assert names == labels([reports / name for name in ("study/runs/base", "runs/base", "wide")])
    verdict = verify(folder, {"comparison": comparison_tables})
    assert verdict.differences == [] and verdict.tables == 2 and verdict.rows == 12
    csv = folder / "tables" / "differences.csv"
    value = csv.read_text().splitlines()[1].split(",")[4]
    csv.write_text(csv.read_text().replace(f",{value},", ",12.34,", 1))
    (found,) = verify(folder, {"comparison": comparison_tables}).differences
    assert "differences.csv: line 2" in found and "12.34" in found


def test_the_command_that_makes_the_page_again(reports, tmp_path):
    write_run(reports / "study" / "runs", "full-seed0")
    page = words_of(compare_runs(["base", "study/runs/full-seed0"], reports).read_text())
    again = "dghin compare base study/runs/full-seed0 reports="
    assert again in page and "output=" not in page
    elsewhere = compare_runs(["base", "wide"], reports, tmp_path / "out").read_text()
    assert f"output={tmp_path / 'out'}" in words_of(elsewhere)


def test_equal_files_give_an_equal_page(reports):
    first = compare_runs(["base", "wide"], reports).read_bytes()
    assert compare_runs(["base", "wide"], reports).read_bytes() == first


def test_names_are_text_not_markup(reports):
    write_run(reports, "<b>&")
    page = compare_runs(["base", "<b>&"], reports).read_text()
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page


def test_without_logs_and_seeds_and_differences(reports, tmp_path):
    out = tmp_path / "out"
    compare_runs(["base", "again"], reports, out)
    assert (out / "figures" / "validation.png").is_file()
    assert (out / "tables" / "seeds.md").is_file()
    write_run(reports, "bare", log=False)
    write_run(reports, "bare2", log=False)
    page = compare_runs(["bare", "bare2"], reports, out).read_text()
    assert not list(out.glob("*/validation.*")) and not list(out.glob("*/seeds.*"))
    assert "The runs' settings are the same" in page.replace("&#39;", "'")
    assert "Over seeds" not in page and "Training" not in words_of(page)


def test_refusals(reports):
    with pytest.raises(UserError, match="1 run to compare.*Runs in .*: again, base, wide"):
        compare_runs(["base"], reports)
    with pytest.raises(
        UserError, match="unknown run 'bsae'.*Did you mean 'base'.*again, base, wide"
    ):
        compare_runs(["wide", "bsae"], reports)
    with pytest.raises(UserError, match="'base' is named twice"):
        compare_runs(["base", "base"], reports)
    with pytest.raises(UserError, match="wide: a run's own folder"):
        compare_runs(["base", "again"], reports, reports / "wide")
    with pytest.raises(UserError, match="no run with scores"):
        compare_runs(["base", "wide"], reports / "nowhere")
    (reports / "unscored").mkdir()
    with pytest.raises(UserError, match="no rows of an evaluation"):
        compare_runs(["base", "unscored"], reports)


def test_members_of_an_ablation_are_runs(reports):
    write_run(reports / "study" / "runs", "full-seed0")
    assert runs_of(reports) == ["again", "base", "study/runs/full-seed0", "wide"]
    path = compare_runs(["base", "study/runs/full-seed0"], reports)
    assert path.parent.name == "compare-base-study-runs-full-seed0"


def test_names_of_runs_and_folders(tmp_path):
    assert labels([tmp_path / "a" / "demo", tmp_path / "b" / "demo"]) == ["a/demo", "b/demo"]
    assert labels([tmp_path / "a" / "demo", tmp_path / "a" / "wide"]) == ["demo", "wide"]
    with pytest.raises(UserError, match="compared with itself"):
        compare([tmp_path / "demo", tmp_path / "demo"], tmp_path / "out")
    long = [f"{i}" * 40 for i in range(5)]
    assert len(folder_name(long)) == 100 and folder_name(long) != folder_name([*long, "x"])


def test_a_point_and_an_interval_for_every_run_and_split(runs):
    table = scores_table(runs)
    figure = interval_figure(table, "oIoU")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["base", "again", "wide"]
    strict = table[table.Protocol == "strict"]
    drawn = [part for lines in axes.collections for part in lines.get_segments()]
    assert sorted(end for part in drawn for end in part[:, 1]) == pytest.approx(
        sorted([*strict["oIoU, low"], *strict["oIoU, high"]])
    )
    points = [line for line in axes.lines if line.get_label() in ("base", "again", "wide")]
    for line in points:
        assert list(line.get_ydata()) == list(strict[strict.Run == line.get_label()]["oIoU"])
    assert len({(line.get_marker(), line.get_color()) for line in points}) == 3


def test_curves_of_runs_say_their_protocol():
    val = pd.DataFrame({"kind": "val", "iteration": [1, 2], "oiou": [0.4, 0.3]})
    logs = {"a": val.assign(protocol="strict"), "b": val.assign(protocol="paper")}
    axes = validation_figure(logs).axes[0]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a (strict)", "b (paper)"]
    alone = validation_figure({"a": logs["a"]}).axes[0]
    assert alone.get_ylabel() == "oIoU on validation, percent, strict protocol"
    ring = [line for line in alone.lines if line.get_markersize() == 9]
    assert [line.get_xydata().tolist() for line in ring] == [[[1, 40]]]
    train = pd.DataFrame({"kind": ["train"], "iteration": [1]})
    assert validation_figure({"a": train, "b": pd.DataFrame()}) is None


def test_runs_on_several_objects_or_none_are_compared_by_what_its_literature_uses(tmp_path):
    """gIoU, cIoU, N-acc and T-acc, each with its interval and its p."""
    for name, gain in (("one", 1.0), ("two", 0.5)):
        folder = write_run(tmp_path, name, gain, log=False, splits={"val": 40})
        path = folder / "rows/val.parquet"
        rows = pd.read_parquet(path)
        rows.assign(targets=rows.index % 3).to_parquet(path)
    runs = [read_run(tmp_path / name, name) for name in ("one", "two")]
    table, notes = differences_table(runs)
    assert not notes and {"Δ gIoU", "Δ cIoU", "Δ N-acc", "Δ T-acc", "p, gIoU"} <= set(table)
    assert "Δ oIoU" not in table
    scores = [metrics_from_rows(run.splits["val"], "strict")["giou"] for run in runs]
    assert table["Δ gIoU"].iloc[0] == pytest.approx(100 * (scores[1] - scores[0]))
    assert "verified" in verify_comparison(compare_runs(["one", "two"], tmp_path).parent)


def verify_comparison(folder):
    from dghin.report.run_report import verify_report

    return verify_report(folder)
