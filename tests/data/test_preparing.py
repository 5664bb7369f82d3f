"""A run's data: drawn, prepared, or taken as the original's code left them."""

import dataclasses
import shutil

import pytest
from helpers.raw_trees import edit_pickle, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import write_json
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from dghin.data.dataset import open_split
from dghin.data.preparing import (
    check_splits,
    is_of_the_original,
    prepare_data,
    published_lines,
    split_card,
)


def with_data(config, **values):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **values))


def test_what_is_there_is_kept(tiny_config):
    first = prepare_data(tiny_config)
    assert prepare_data(tiny_config) == first
    card = split_card(tiny_config)
    assert (
        set(card["Split"]) == {"train", "val", "testA", "testB"} and (card["Verdict"] == "").all()
    )


def test_prepared_data_of_the_original_are_taken_as_they_lie(tiny_config, shapes, tmp_path):
    """Also with the raw files beside them: per-sentence masks, no manifest, no features."""
    data = tiny_config.data
    settings = {"data": str(shapes), "tokenizer": data.tokenizer, "parser": data.parser}
    root = tmp_path / "data_v3"
    prepare(PrepareSettings(output=str(root), per_sentence_masks=True, **settings))
    folder = root / "anns/refcoco"
    for path in (folder / "manifest.json", folder / ".prepare.json", *folder.glob("*.npz")):
        path.unlink()
    annotations = (folder / "val.json").read_bytes()
    config = with_data(tiny_config, prepared=str(root), shapes=0)
    assert is_of_the_original(config)
    assert prepare_data(config)["adopted"]
    assert is_of_the_original(config) and prepare_data(config)["adopted"]  # and again
    assert (folder / "val.json").read_bytes() == annotations
    dataset = open_split(config, "val")
    assert dataset.expressions[0].segment_id.endswith("_0") and dataset.truth(0).any()


def test_prepared_data_without_raw_files(tiny_config, shapes, tmp_path):
    shutil.copytree(shapes / "data_v3", tmp_path / "data_v3")
    config = with_data(tiny_config, root=str(tmp_path), shapes=0)
    assert prepare_data(config)["splits"] == prepare_data(tiny_config)["splits"]


def test_nothing_there(tiny_config, tmp_path):
    with pytest.raises(UserError, match="instances.json"):
        prepare_data(with_data(tiny_config, root=str(tmp_path), shapes=0))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"train_split": "trainval"}, r"data.train_split: 'mine' has no split 'trainval'; it has "
                                   r"train, val. Name the one to train on: data.train_split=NAME"),
     ({"val_split": "dev"}, "data.val_split: .*no split 'dev'.*or data.val_split= for none"),
     ({"test_splits": ("test",)}, r"data.test_splits: .*'test'.*or data.test_splits=\[\] for none"),
     ({"train_split": ""}, "data.train_split is empty, so nothing can be trained"),
     ({"val_split": "", "test_splits": ()}, "are empty, so nothing can be scored")],
)  # fmt: skip
def test_splits_are_checked_before_any_work(tiny_config, tmp_path, values, message):
    """Of prepared data that no raw files are beside: as its manifest says."""
    counts = {"images": 1, "objects": 1, "expressions": 1}
    manifest = {"source": "custom", "splits": {"train": counts, "val": counts}}
    write_json(tmp_path / "anns/mine/manifest.json", manifest)
    config = with_data(tiny_config, prepared=str(tmp_path), dataset="mine", shapes=0,
                       test_splits=())  # fmt: skip
    check_splits(config)
    with pytest.raises(UserError, match=message):
        check_splits(with_data(config, **values))


def test_splits_of_raw_files_are_those_that_they_hold(tiny_config, tmp_path):
    """A copy without train is refused before it is prepared; evaluation alone needs none."""
    config = with_data(tiny_config, root=str(write_refer(tmp_path)), dataset="refcoco", shapes=0,
                       test_splits=("testA",))  # fmt: skip
    check_splits(config)
    with pytest.raises(UserError, match="'refcoco' has no split 'testB'; it has train, val, testA"):
        check_splits(with_data(config, test_splits=("testA", "testB")))
    edit_pickle(
        tmp_path / "refcoco/refs(unc).p",
        lambda refs: [ref.update(split="val") for ref in refs if ref["split"] == "train"],
    )
    with pytest.raises(UserError, match="data.train_split: 'refcoco' has no split 'train'"):
        check_splits(config)
    check_splits(config, trains=False)


def test_referit_is_held_against_the_counts_without_the_unreadable_images(tiny_config, tmp_path):
    counts = {"images": 9994, "objects": 49_513, "expressions": 59_969}
    write_json(tmp_path / "anns/referit/manifest.json", {"splits": {"trainval": counts}})
    config = with_data(tiny_config, prepared=str(tmp_path), dataset="referit", shapes=0)
    card = split_card(config).set_index("Count")
    assert card.loc["objects", "Verdict"] == card.loc["expressions", "Verdict"] == "same"


def test_sources_of_the_published_counts(tiny_config, tmp_path):
    assert published_lines(tiny_config) == []  # drawn
    write_json(tmp_path / "anns/refcoco+/manifest.json", {"source": "refer", "splits": {}})
    config = with_data(tiny_config, prepared=str(tmp_path), dataset="refcoco+", shapes=0)
    assert any("refcoco+ testB" in line and "MDETR" in line for line in published_lines(config))
