"""Expressions of which the network never reads the end: counted, kept, said, broken down."""

import json

import numpy as np
import pytest
from helpers.own_files import HEAD, write_own
from helpers.raw_trees import LANGUAGE, write_refer

from data_preprocess.cli import main
from data_preprocess.language.features import cut_off, read_features
from data_preprocess.language.unparsed import Unparsed
from data_preprocess.prepared.adopt import adopt
from data_preprocess.prepared.custom import CustomSettings, prepare_custom
from data_preprocess.prepared.manifest import cut_lines, features_path, read_manifest
from data_preprocess.prepared.one_dataset import LanguageSettings, PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.verify.verify import VerifySettings, verify_all
from dghin.data.preparing import split_card
from dghin.data.split import PreparedSplit
from dghin.evaluation.scoring import describe
from dghin.run.config import load_config

WORDS = "the old man in the red coat on the left".split()


def own(tmp_path, lengths, words=7, **others):
    """A data set of an expression a length, in word pieces; positions: `words`."""
    lines = [f"a.jpg,11,{' '.join(WORDS[:length])},train" for length in lengths]
    root = write_own(tmp_path, table="\n".join([HEAD, *lines, ""]))
    values = {"table": str(root / "table.csv"), "coco": str(root / "coco.json"),
              "data": str(root / "data"), "words": words, "workers": 1, **LANGUAGE}  # fmt: skip
    return root, prepare_custom(CustomSettings("mine", **(values | others)))


def opened(root, words=7):
    config = load_config("custom", [f"data.root={root / 'data'}", f"model.words={words}"])
    split = PreparedSplit(config.data.prepared_root, "mine", "train")
    return config, split


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [([1, 2, 5], [0, 0, 0]), ([5, 6, 1], [0, 1, 0]), ([6, 7], [1, 1]), ([5], [0]), ([6], [1]),
     ([5, 6], [0, 1]), ([10, 5, 6, 2], [1, 0, 1, 0])],
)  # fmt: skip
def test_the_count_is_that_of_the_pieces(tmp_path, lengths, cut):
    """Seven positions: [CLS], five pieces, [SEP]. Also where no expression leaves one free."""
    root, manifest = own(tmp_path, lengths)
    assert manifest["splits"]["train"]["cut"] == sum(cut)
    _, split = opened(root)
    assert [expression.cut for expression in split.expressions] == [bool(c) for c in cut]
    truth = np.zeros((30, 40), bool)
    assert [describe(split, i, truth)["cut"] for i in range(len(cut))] == cut


def test_it_is_said_and_beyond_five_percent_with_the_remedy(tmp_path, capsys):
    root, _ = own(tmp_path, [2] * 20 + [6])
    words = [f"table={root / 'table.csv'}", f"coco={root / 'coco.json'}", f"data={root / 'data'}",
             *(f"{key}={value}" for key, value in LANGUAGE.items()), "workers=1"]  # fmt: skip
    assert main(["custom", "mine", *words, "words=7"]) == 0
    out = capsys.readouterr().out
    assert "train: 1 of 21 expressions cut after 7 word pieces (4.8%)\n" in out
    own(tmp_path, [2] * 18 + [6])
    assert main(["verify", "mine", f"data={root / 'data'}"]) == 0
    out = capsys.readouterr().out
    assert "train: 1 of 19 expressions cut after 7 word pieces (5.3%). Warning: " in out
    assert "words=N" in out and "model.words=N" in out
    own(tmp_path, [2] * 18 + [6], words=17)
    found = verify_all(VerifySettings("mine", str(root / "data"), workers=1))
    assert found.cut == ("train: 0 of 19 expressions cut after 17 word pieces (0.0%)",)


def test_manifests_of_older_versions_are_read(tmp_path):
    root, _ = own(tmp_path, [6, 5, 2])
    prepared = root / "data/data_v3"
    path = prepared / "anns/mine/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["splits"]["train"]["cut"], manifest["end_id"]
    path.write_text(json.dumps(manifest))
    (line,) = cut_lines(prepared, read_manifest(prepared, "mine"))
    assert line.startswith("train: 1 of 3 expressions cut")
    config, split = opened(root)
    assert [expression.cut for expression in split.expressions] == [True, False, False]
    card = split_card(config).set_index("Count")["Here"]
    assert card["expressions cut"] == 1 and card["expressions"] == 3


def test_without_a_parse_nobody_knows(tmp_path):
    root, manifest = own(tmp_path, [6, 5], parser="none")
    assert "cut" not in manifest["splits"]["train"] and "end_id" not in manifest
    prepared = root / "data/data_v3"
    assert cut_lines(prepared, manifest) == []
    assert cut_off(Unparsed(7).encode_many(["a b c"])) is None
    config, split = opened(root)
    assert [expression.cut for expression in split.expressions] == [None, None]
    assert "expressions cut" not in split_card(config)["Count"].tolist()


def test_prepared_adopted_and_joint_sets_count_alike(tmp_path):
    """And the features' bytes are those of before: nothing new is stored in them."""
    raw = write_refer(tmp_path)
    write_refer(tmp_path, "refcoco+")
    settings = PrepareSettings("refcoco", str(raw), words=5, workers=1, **LANGUAGE)
    entries = prepare(settings)["splits"]
    assert {split: entry["cut"] for split, entry in entries.items()} == {
        "train": 1, "val": 0, "testA": 1}  # fmt: skip
    features = read_features(features_path(settings.root, "refcoco", "train"))
    assert set(vars(features)) == {
        "word_ids", "attention_mask", "pos", "heads", "length", "kind", "depth"}  # fmt: skip
    for path in [*settings.root.glob("anns/*/.prepare.json"),
                 *settings.root.glob("anns/*/manifest.json")]:  # fmt: skip
        path.unlink()
    adopted = adopt(LanguageSettings("refcoco", str(raw), words=5, **LANGUAGE))
    assert {s: e["cut"] for s, e in adopted["splits"].items()} == {"train": 1, "val": 0, "testA": 1}
