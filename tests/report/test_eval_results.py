"""Scores in the hub's form: one file a data set, read back by the hub's own reader."""

import pytest
import yaml
from helpers.rows import make_rows
from huggingface_hub import parse_eval_result_entries

from data_preprocess.base.files import write_json
from data_preprocess.raw.datasets import DATASETS
from dghin.evaluation.metrics import metrics_from_rows
from dghin.evaluation.segmenters.about import write_about
from dghin.report.eval_results import FOLDER, HUB_DATASETS, write_eval_results
from dghin.run.config import load_config
from dghin.run.folder import RunFolder

RESULTS = {"": {"val": make_rows("val", 20), "testA": make_rows("testA", 30, 1)}}


def written(folder, config="refcoco", words=(), results=RESULTS):
    """The entries of every file that was written, by the file's name."""
    paths = write_eval_results(folder, results, load_config(config, words), folder)
    return {
        path.name: parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in paths
    }


def test_a_file_holds_every_split_and_score(tmp_path):
    write_json(RunFolder(tmp_path).environment, {"evaluate": {"time": "2026-11-28T09:00:00+00:00"}})
    ((name, entries),) = written(tmp_path).items()
    assert name == "refcoco.yaml" and (tmp_path / FOLDER / name).is_file()
    assert [entry.task_id for entry in entries] == [
        "val_oiou", "val_miou", "testA_oiou", "testA_miou",
    ]  # fmt: skip
    entry = entries[2]
    oiou = metrics_from_rows(RESULTS[""]["testA"], "strict")["oiou"]
    assert entry.value == pytest.approx(100 * oiou, abs=0.005)
    assert entry.dataset_id == "jxu124/refcoco" and entry.date == "2026-11-28T09:00:00+00:00"
    for said in ("split testA", "overall IoU", "protocol strict", "30 expressions"):
        assert said in entry.notes
    assert entry.source_url is None  # a journal's number is no link


def test_nothing_is_invented(tmp_path):
    (entries,) = written(tmp_path).values()
    assert {entry.date for entry in entries} == {None}
    write_about(tmp_path, {"name": "LAVT", "link": "https://example.org/lavt"})
    (entries,) = written(tmp_path).values()
    assert {entry.source_url for entry in entries} == {"https://example.org/lavt"}


@pytest.mark.parametrize(
    ("config", "words"),
    [("demo", ()), ("referit", ()), ("refcoco", ("evaluate.expressions=5",))],
)
def test_what_the_hub_has_no_data_set_of_is_not_written(tmp_path, config, words):
    assert written(tmp_path) != {}
    (tmp_path / FOLDER / "others.yaml").touch()
    assert written(tmp_path, config, words) == {}
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["others.yaml"]


def test_joint_runs_have_a_file_for_every_member(tmp_path):
    rows = make_rows("val", 20)
    results = {"": {"refcoco_testA": rows, "refcocog_umd_test": rows, "val": rows}}
    found = written(tmp_path, "joint", results=results)
    assert list(found) == ["refcoco.yaml", "refcocog_umd.yaml"]
    assert found["refcocog_umd.yaml"][0].task_id == "test_oiou"


def test_every_data_set_is_one_of_ours():
    assert set(HUB_DATASETS) <= set(DATASETS)
