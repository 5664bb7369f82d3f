"""The alignment table: what it counts, and the recorded figures of real data sets."""

import json
from pathlib import Path

import pytest
from helpers.raw_trees import LANGUAGE, SHARED, needs_shared, write_refer

from data_preprocess.cli import main
from data_preprocess.language.encoder import LanguageEncoder
from data_preprocess.verify.alignment import (
    DRIFT,
    MEASURES,
    AlignmentSettings,
    alignment_table,
    beside_recorded,
    measure,
    recorded,
    split_pieces,
)

PLAIN, SPLIT = "the red dog", "gonna jump over the fence"  # spaCy makes "gon na" of the first


def counts(sentences):
    table, pieces = alignment_table(sentences, **LANGUAGE)
    return dict(zip(table["Measure"], table["Count"], strict=True)), table, pieces


def test_expressions_count_as_often_as_they_are_there():
    found, table, pieces = counts([PLAIN, SPLIT, SPLIT, PLAIN, PLAIN])
    assert found[DRIFT] == 2
    assert table["Of"].tolist() == [5, 19, 5, 5, 19, 19]
    assert table["Percent"].iloc[0] == 40
    assert pieces.values.tolist() == [["gonna", "gon + na", 2]]
    assert found["words at another place than their piece"] == 10  # all of the sentence


def test_without_drift_aligned_changes_nothing():
    found, _, pieces = counts(["the red dog", "left man in blue", "bushy bushes on right", "top"])
    assert set(found.values()) == {0} and len(pieces) == 0


def test_both_alignments_agree_where_no_piece_is_split(encoder):
    """The parser sees blanks, too: aligned documents have them where a text has."""
    aligned = LanguageEncoder(encoder.tokenizer, encoder.parser, alignment="aligned")
    for sentence in ("far left person", "sky top left", "door on right", "tallest bldng"):
        one, other = encoder(sentence), aligned(sentence)
        assert one.tokens == other.tokens
        assert (one.heads == other.heads).all() and (one.pos == other.pos).all()


def test_pieces_that_are_split(encoder):
    assert split_pieces(encoder(SPLIT)) == [("gonna", "gon + na")]
    assert split_pieces(encoder(PLAIN)) == []
    assert split_pieces(encoder("you cannot see it")) == [("cannot", "can + not")]


def test_the_recorded_figures_stand_beside_a_runs():
    known = recorded()
    assert set(known["measure"]) == set(MEASURES) and (known["count"] <= known["of"]).all()
    _, table, _ = counts([PLAIN, SPLIT])
    wide = beside_recorded(table, "mine")
    assert wide.columns.tolist() == ["Measure", "mine, %", "ReferIt, %",
                                     "RefCOCO val, testA, testB, %"]  # fmt: skip
    assert wide["mine, %"].iloc[0] == 50 and wide.notna().all().all()


def test_the_command_prints_both_tables(tmp_path, capsys):
    write_refer(tmp_path)
    words = [f"{key}={value}" for key, value in LANGUAGE.items()]
    assert main(["alignment", "refcoco", f"data={tmp_path}", *words]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"| {DRIFT} | 0 | 7 | 0.000 |" in text and "splits no piece" in text
    assert main(["alignment", "refcoco", f"data={tmp_path}", "split=val", *words]) == 0
    assert f"| {DRIFT} | 0 | 2 | 0.000 |" in " ".join(capsys.readouterr().out.split())


@needs_shared
@pytest.mark.slow
def test_the_recorded_figures_of_referit_are_met():
    settings = AlignmentSettings("referit", f"{SHARED}/data", **LANGUAGE)
    table, _ = measure(settings)
    known = recorded()[recorded()["dataset"] == "ReferIt"]
    assert table["Count"].tolist() == known["count"].tolist()
    assert table["Of"].tolist() == known["of"].tolist()


@needs_shared
@pytest.mark.slow
def test_the_recorded_figures_of_refcoco_are_met():
    refs = json.loads(Path(f"{SHARED}/data/expressions/refcoco_unc.json").read_text())
    sentences = [sentence["sent"] for ref in refs for sentence in ref["sentences"]]
    table, _ = alignment_table(sentences, **LANGUAGE)
    known = recorded()[recorded()["dataset"] == "RefCOCO val, testA, testB"]
    assert table["Count"].tolist() == known["count"].tolist()
    assert table["Of"].tolist() == known["of"].tolist()
