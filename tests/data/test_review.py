"""Reviewed expressions are joined onto rows that exist."""

import json

import pandas as pd
import pytest

from data_preprocess.base.errors import UserError
from dghin.data.review import COLUMN, EXCLUDED, KEPT, store_review, with_review
from dghin.report.tables.breakdowns import breakdown_table
from dghin.report.tables.scores import read_results

SENTENCES = ["the cat", "cat left ", "the dog", "the cat"]
ANNOTATIONS = ["7", "7", "8", "9"]  # two objects may have one phrase


@pytest.fixture
def run(tmp_path):
    rows = pd.DataFrame({
        "dataset": "refcoco", "split": "val", "segment_id": ["1", "1", "2", "3"],
        "sentence_index": [0, 1, 0, 0], "ann_id": ANNOTATIONS, "sentence": SENTENCES,
        "image": ["a.jpg", "a.jpg", "b.jpg", "b.jpg"], "targets": 1, "length": 2,
        "strict_intersection": [10, 0, 5, 8], "strict_union": [10, 10, 10, 10],
    })  # fmt: skip
    (tmp_path / "rows").mkdir()
    rows.to_parquet(tmp_path / "rows/val.parquet")
    return tmp_path


def write_reviewed(path, quality, sentences=SENTENCES, annotations=ANNOTATIONS):
    """MDETR's form: an image an expression."""
    content = {"images": [], "annotations": []}
    for number, (text, name) in enumerate(zip(sentences, annotations, strict=True)):
        content["images"].append({"id": number, "caption": text.strip()})
        content["annotations"].append({"id": number, "image_id": number, "original_id": int(name),
                                       "caption_quality": quality[number]})  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_scores_on_kept_expressions_need_no_new_run(run, tmp_path):
    write_reviewed(tmp_path / "refcoco_val_reviewed.json", [1, 0, 1, 1])
    before = (run / "rows/val.parquet").read_bytes()
    assert store_review(run, tmp_path) == {"val": (3, 4)}
    assert (run / "rows/val.parquet").read_bytes() == before
    results = read_results(run)
    assert list(results[""]["val"][COLUMN]) == [KEPT, EXCLUDED, KEPT, KEPT]
    table = breakdown_table(results, "by_review").set_index("Reviewed")
    assert table.loc[KEPT, "Expressions"] == 3
    assert table.loc[KEPT, "oIoU"] == pytest.approx(100 * 23 / 30)
    assert table.loc[EXCLUDED, "oIoU"] == 0


def test_what_is_not_reviewed_stays_out(run, tmp_path):
    path = write_reviewed(tmp_path / "x.json", [1, 1], SENTENCES[:1] * 2, ["7", "99"])
    assert store_review(run, path) == {"val": (1, 1)}
    assert list(read_results(run)[""]["val"][COLUMN]) == [KEPT, "", "", ""]


def test_a_phrase_that_an_object_has_twice_takes_both_verdicts(run, tmp_path):
    rows = pd.read_parquet(run / "rows/val.parquet").assign(sentence="it", ann_id="7")
    rows.to_parquet(run / "rows/val.parquet")
    path = write_reviewed(tmp_path / "x.json", [1, 0, 1, 1], ["it"] * 4, ["7"] * 4)
    assert store_review(run, path) == {"val": (3, 4)}
    assert list(read_results(run)[""]["val"][COLUMN]) == [KEPT, EXCLUDED, KEPT, KEPT]


def test_without_a_review_the_rows_stay_as_they_are(run):
    rows = pd.read_parquet(run / "rows/val.parquet")
    assert with_review(rows, "val", run) is rows
    assert len(breakdown_table(read_results(run), "by_review")) == 0


@pytest.mark.parametrize(
    ("quality", "message"),
    [([1, 2, 1, 1], "annotation number 1: caption_quality 2 is neither 1"),
     ([1, None, 1, 1], "annotation number 1: caption_quality None is neither 1")],
)  # fmt: skip
def test_a_quality_that_is_none_is_named(run, tmp_path, quality, message):
    path = write_reviewed(tmp_path / "x_reviewed.json", quality)
    with pytest.raises(UserError, match=message):
        store_review(run, path)
    assert not (run / "reviewed.json").exists()


def test_a_review_of_another_set_is_refused(run, tmp_path):
    path = write_reviewed(tmp_path / "x.json", [1] * 4, annotations=["1", "2", "3", "4"])
    with pytest.raises(UserError, match="none of its 4 expressions is one of the rows"):
        store_review(run, path)
    with pytest.raises(UserError, match="no such file, or no"):
        store_review(run, tmp_path / "nowhere")
    (tmp_path / "y.json").write_text("[]")
    with pytest.raises(UserError, match="no 'images' and 'annotations'"):
        store_review(run, tmp_path / "y.json")
