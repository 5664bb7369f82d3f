"""The ablation's page: the numbers of its rows, and sentences that say no more than these."""

import json
import re

import pandas as pd
import pytest
from helpers.ablation_folders import (
    COMMIT,
    SCORES,
    add_kinds_and_spread,
    scored_rows,
    write_ablation,
)
from helpers.pages import page_tables

from data_preprocess.base.errors import UserError
from data_preprocess.base.tables import cells
from dghin.ablation.page import (
    OWN_FACTS,
    ablation_tables,
    different_settings,
    is_ablation,
    origin_table,
    shown_table,
    verify_ablation,
    warnings,
    write_ablation_report,
)
from dghin.ablation.table import ablation_table
from dghin.ablation.trainings import FULL, VARIANTS, read_members
from dghin.ablation.verdict import CHANGES, REMOVES, dual_graph, p_text, scales, signed, verdict
from dghin.commands import report as command
from dghin.report.proof import read_proof, verify
from dghin.report.tables.origins import environment_table, read_origin
from dghin.run.config import load_config, save_config

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture
def folder(tmp_path):
    return write_ablation(tmp_path / "ablation")


def words_of(page):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("</style>")[1]))
    return text.replace("&lt;", "<").replace("&#39;", "'")


def table(**effects):
    """What the sentences are made of; an effect: difference, low, high, p."""
    lines = [[FULL, None, None, None, None]]
    lines += [[name.replace("_", " "), *effect] for name, effect in effects.items()]
    columns = ["Variant", "To full", "To full, low", "To full, high", "p"]
    return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(columns[1:], float))


LOWER, HIGHER, UNSURE = (-2.0, -3.0, -1.0, 0.004), (1.5, 0.5, 2.5, 0.02), (-0.3, -1.25, 0.7, 0.41)
UNKNOWN = (-0.5, None, None, None)


def test_one_file_with_everything_inside(folder):
    path = write_ablation_report(folder)
    assert path == folder / "report.html"
    page = path.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "something lies outside the page"
    assert not re.search(r"@import|url\(|<script", page)
    assert page.count("data:image/png;base64,") == 2
    links = re.findall(r'href="#([^"]+)"', page)
    assert sorted(links) == sorted(re.findall(r'<h2 id="([^"]+)"', page))
    for name in ("ablation", "seeds"):
        assert {p.suffix for p in (folder / "tables").glob(f"{name}.*")} == {
            ".md", ".csv", ".tex"
        }  # fmt: skip
    assert {p.name for p in (folder / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("ablation", "validation") for suffix in ("png", "pdf")
    }
    text = words_of(page)
    for expected in (
        "How to read this", "Welch", "not corrected for many comparisons", "weak test",
        "nothing of the paper's network on photos", "model.text_graph=false", COMMIT[:12],
    ):  # fmt: skip
        assert expected in text
    for variant in SCORES:
        assert words_of("</style>" + REMOVES[variant]) in text
    assert REMOVES["graph level only"] not in text, "a variant that is not there"


def test_the_table_is_a_papers_and_the_csv_holds_numbers(folder):
    page = write_ablation_report(folder).read_text()
    shown = page_tables(page)[0]
    assert shown[0] == [
        "Variant", "Protocol", "Seeds", "val", "testA", "testB", "To full [95 %]", "p",
        "Parameters", "Minutes",
    ]  # fmt: skip
    mean = "61.0 ± 1.0"
    assert shown[1][:8] == ["full", "strict", "3", mean, mean, mean, "–", "–"]
    assert shown[2][6] == "−10.00 [−12.27, −7.73]" and shown[2][7] == "0.0003"
    assert re.fullmatch(r"\d{1,3}(,\d{3})+", shown[1][8]) and shown[1][9] == "3.8"
    frame = pd.read_csv(folder / "tables" / "ablation.csv")
    assert list(frame.testA) == [61, 51, 61] and list(frame["testA, sd"]) == [1, 1, 1]
    assert frame.p[1] == pytest.approx(0.0003) and frame["To full, low"][1] == -12.27
    assert list(frame.Key)[1:] == ["model.text_graph=false", "model.visual_graph=false"]
    assert "61.0 ± 1.0" in (folder / "tables" / "ablation.md").read_text()
    assert r"61.0 $\pm$ 1.0" in (folder / "tables" / "ablation.tex").read_text()
    assert "{ablation}" in (folder / "tables" / "tables.tex").read_text()


def test_one_seed_has_no_deviation_and_no_p(tmp_path):
    folder = write_ablation(tmp_path / "one", {FULL: (0.6,), "part of speech off": (0.55,)})
    shown = shown_table(ablation_table(read_members(folder)))
    line = cells(shown)[1]
    assert line[3:8] == ["55.0", "55.0", "55.0", "−5.00", "–"]
    text = words_of(write_ablation_report(folder).read_text())
    assert "with every seed: part of speech off" in text
    assert "The dual graph: nothing can be said of it" in text


def test_a_report_of_trainings_in_any_order_follows_from_its_rows(folder):
    """`run_ablation` gives them seed by seed."""
    found = sorted(read_members(folder), key=lambda member: member.seed)
    write_ablation_report(folder, found[:-2])
    assert "verified: " in verify_ablation(folder)
    assert len(read_proof(folder)["runs"]) == len(found) - 2


def test_a_report_follows_from_its_rows(folder, capsys):
    write_ablation_report(folder)
    command.verify([str(folder)])
    assert capsys.readouterr().out.startswith("verified: ")
    assert [entry["name"] for entry in read_proof(folder)["runs"]] == [
        f"{variant}-seed{seed}"
        for variant in ("full", "text-graph-off", "visual-graph-off")
        for seed in range(3)
    ]
    assert verify_ablation(folder).startswith("verified: ")
    verdict_found = verify(folder, {"ablation": ablation_tables})
    assert (verdict_found.tables, verdict_found.rows) == (2, 27)
    page = folder / "report.html"
    page.write_text(page.read_text().replace("51.0 ± 1.0", "51.3 ± 1.0", 1))
    with pytest.raises(UserError, match="report.html: was altered since the report was made"):
        verify_ablation(folder)


def test_a_training_that_came_later_changes_nothing(folder):
    write_ablation_report(folder)
    write_ablation(folder, {"graph level only": (0.4,)})
    assert verify_ablation(folder).startswith("verified: ")


def test_a_training_that_is_gone(folder):
    write_ablation_report(folder)
    for path in (folder / "runs" / "full-seed1" / "rows").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="full-seed1/rows/testA.parquet: is gone") as error:
        verify_ablation(folder)
    assert "no rows of an evaluation" in str(error.value)
    (folder / "runs").rename(folder / "elsewhere")
    with pytest.raises(UserError, match="none of the trainings that the report was made from"):
        verify_ablation(folder)


def test_made_again_it_is_the_same(folder):
    first = write_ablation_report(folder).read_bytes()
    assert write_ablation_report(folder).read_bytes() == first


def test_unfinished_trainings_are_named_and_not_counted(folder):
    (folder / "runs" / "full-seed1" / "rows" / "testB.parquet").unlink()
    (folder / "runs" / "graph-level-only-seed2").mkdir()
    text = words_of(write_ablation_report(folder).read_text())
    missing = re.search(r"are in no number below: (.*?)\. ", text)[1]
    assert missing == (
        "graph level only, seed 0; full, seed 1; graph level only, seed 1; graph level only, seed 2"
    )
    assert "8 trainings (3 variants, seeds 0, 1, 2)" in text
    assert cells(shown_table(ablation_table(read_members(folder))))[0][2] == "2"


def test_without_logs_and_environment(folder):
    write_ablation_report(folder)
    for path in folder.glob("runs/*/train/log.jsonl"):
        path.unlink()
    for path in folder.glob("runs/*/environment.json"):
        path.unlink()
    text = words_of(write_ablation_report(folder).read_text())
    assert not list((folder / "figures").glob("validation.*")) and "ringed" not in text
    assert "The environment was not recorded" in text


def test_no_training_no_report(tmp_path):
    with pytest.raises(UserError, match="no training of an ablation"):
        write_ablation_report(tmp_path)


def test_what_is_an_ablation(folder):
    assert is_ablation(folder)
    assert not is_ablation(folder / "runs" / "full-seed0") and not is_ablation(folder / "nowhere")
    (folder / "rows").mkdir()
    assert not is_ablation(folder), "a run that also has an ablation"


def origins_of(found):
    return [read_origin(member.folder) for member in found]


def test_where_the_numbers_come_from(folder):
    found = read_members(folder)
    frame = origin_table(found, origins_of(found))
    assert list(frame.Variant) == [member.variant for member in found]
    assert set(frame.Commit) == {COMMIT[:12]} and set(frame["Changed files"]) == {"0"}
    assert frame.Weights.nunique() == 9 and set(frame.Weights.str.len()) == {12}
    table = environment_table(origins_of(found), OWN_FACTS).set_index("What")
    assert table.train.to_dict() == {"versions: torch": "2.9", "hardware: GPUs": "none"}
    path = found[2].folder / "environment.json"
    entry = json.loads(path.read_text())
    entry["train"]["versions"]["torch"] = "2.8"
    path.write_text(json.dumps(entry))
    table = environment_table(origins_of(found), OWN_FACTS).set_index("What")
    assert table.train["versions: torch"] == "2.9 | 2.8"


def alter_rows(member, split="testA", **changes):
    path = member.folder / "rows" / f"{split}.parquet"
    rows = pd.read_parquet(path)
    rows.attrs["provenance"] = rows.attrs["provenance"] | changes
    rows.to_parquet(path)


def test_what_to_know_before_one_trusts_a_number(folder):
    found = read_members(folder)
    assert warnings(found, origins_of(found)) == []
    alter_rows(found[1], **{"changed files": 3})
    alter_rows(found[2], commit="d" * 40)
    alter_rows(found[3], data={"dataset": "other"})
    alter_rows(found[4], checkpoint="0" * 64)
    short = scored_rows("val", 0.5, 8)
    short.to_parquet(found[5].folder / "rows" / "val.parquet")
    assert warnings(found, origins_of(found)) == [
        "The trainings were scored by different commits of the code.",
        "The trainings were scored on data of different digests.",
        "full-seed1: the code that scored had changed files (3): the commit alone does not say "
        "what ran.",
        "full-seed2: the rows come from different commits: score all splits anew.",
        "text-graph-off-seed0: the rows come from different data: score all splits anew.",
        "text-graph-off-seed1: the rows come from different weights: score all splits anew.",
        "text-graph-off-seed1: the weights in this run's folder are not those that were scored.",
        "text-graph-off-seed2: some rows do not say what they were made with: score them anew.",
        "val: not scored on equally many expressions.",
    ]


def test_a_training_of_other_settings_is_named(folder):
    path = folder / "runs" / "text-graph-off-seed2" / "config.yaml"
    words = ["train.learning_rate=0.1", "train.workers=7"]
    save_config(load_config(str(path), words), path)
    assert different_settings(read_members(folder)) == [
        "text-graph-off-seed2 differs from full-seed0 in more than its variant and seed: "
        "train.learning_rate."
    ]


def test_every_variant_is_explained():
    assert list(REMOVES) == list(VARIANTS)


def test_sentences_say_what_the_numbers_say():
    said = verdict(table(text_graph_off=LOWER, part_of_speech_off=UNSURE, graph_level_only=HIGHER))
    assert said == [
        "Leaving these out lowers the score by more than chance between trainings (p < 0.05): text "
        "graph off, −2.00 points (p = 0.004).",
        "Leaving these out raises it by more than chance (p < 0.05): graph level only, +1.50 "
        "points (p = 0.020). Here the network is better without.",
        "No difference that these seeds can show: part of speech off, −0.30 points (p = 0.410). "
        "The intervals reach from −1.25 to +0.70 points, and an effect in there may have gone "
        "unseen.",
        "With 3 comparisons at p < 0.05, 0.15 come out by chance alone on average.",
    ]


def test_sentences_where_there_is_nothing():
    said = verdict(table(text_graph_off=UNSURE, visual_graph_off=UNKNOWN))
    assert said[0].startswith("No removal lowers the score by more than chance")
    assert said[2].endswith("the same score with every seed: visual graph off.")
    assert verdict(table(text_graph_off=UNKNOWN)) == [said[2].replace("visual", "text")]
    alone = table(text_graph_off=LOWER).iloc[1:]
    assert "the full network, which all are compared with, is missing" in verdict(alone)[0]
    assert verdict(table()) == ["Nothing was left out yet: there is the full network alone."]


def test_the_sentence_on_the_dual_graph():
    def said(text, visual, level):
        return dual_graph(
            table(text_graph_off=text, visual_graph_off=visual, entity_level_only=level)
        )

    assert said(LOWER, LOWER, LOWER) == (
        "The dual graph: without the text graph −2.00 points (p = 0.004); without the visual graph "
        "−2.00 points (p = 0.004); without the whole graph level −2.00 points (p = 0.004). "
        "The score is lower each time, by more than chance: here the graphs earn their place."
    )
    assert said(UNSURE, UNSURE, UNSURE).endswith("here the graphs are not shown to bring anything.")
    assert said(UNSURE, HIGHER, LOWER).endswith(
        "The score is lower by more than chance without the whole graph level; higher by more than "
        "chance without the visual graph; not told apart from chance otherwise."
    )
    assert (
        said(LOWER, UNKNOWN, LOWER).count("not judged: visual graph off. The score is lower") == 1
    )
    assert "nothing can be said" in dual_graph(table(part_of_speech_off=LOWER))


def test_numbers_in_sentences():
    assert (signed(-0.5), signed(2.346), signed(0.0)) == ("−0.50", "+2.35", "+0.00")
    assert (p_text(0.0004), p_text(0.0496)) == ("p < 0.001", "p = 0.050")


def test_a_changed_scale_is_not_judged_as_a_removal():
    frame = table(text_graph_off=LOWER, visual_graph_scaled=HIGHER, visual_graph_normalised=UNSURE)
    assert all(name not in " ".join(verdict(frame)) for name in CHANGES)
    assert scales(frame) == (
        "The visual graph's scale: scaled +1.50 points (p = 0.020); normalised −0.30 points "
        "(p = 0.410). 1 better than the paper's form by more than chance, 0 worse."
    )
    assert "None differs by more than chance" in scales(table(visual_graph_scaled=UNSURE))
    assert scales(table(text_graph_off=LOWER)) == scales(table(visual_graph_scaled=UNKNOWN)) == ""


def test_kinds_and_the_graphs_spread_stand_on_the_page(tmp_path):
    folder = write_ablation(tmp_path / "ablation", {**SCORES, "visual graph scaled": (0.6, 0.6)})
    for member in read_members(folder):
        add_kinds_and_spread(member)
    text = words_of(write_ablation_report(folder).read_text())
    for expected in (
        "By kind of expression", "relation (20)", "What the visual graph rests on",
        "Without the text graph, the score differs by more than chance on attribute", "scaled: ",
    ):  # fmt: skip
        assert expected in text, expected
    assert (folder / "figures" / "graph_spread.png").is_file()
    assert {"by_kind", "graph_spread"} <= {p.stem for p in (folder / "tables").glob("*.csv")}
    assert verify_ablation(folder).startswith("verified: ")
