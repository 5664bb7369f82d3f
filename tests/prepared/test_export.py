"""Exported shards: a WebDataset that others read; the same samples and scores for the trainer."""

import dataclasses
import functools
import json
import shutil
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.raw_trees import edit_json, tree_bytes
from PIL import Image

from data_preprocess.base.common import UserError
from data_preprocess.cli import main as preprocess
from data_preprocess.prepared.export import ExportSettings, export
from data_preprocess.prepared.manifest import read_manifest
from dghin.data import storage as files
from dghin.data.dataset import open_split
from dghin.data.preparing import prepare_data, split_card, verification
from dghin.evaluation.evaluate import evaluate_split
from dghin.run.config import load_config
from dghin.training.trainer import train


@pytest.fixture(scope="module")
def shards(shapes, tmp_path_factory):
    """The tiny data set as shards, several a split."""
    output = tmp_path_factory.mktemp("shards")
    export(settings(shapes, output, shard_mb=0))
    return output


@pytest.fixture
def server(shards):
    """The shards behind http: (URL, paths that were asked for)."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(shards))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def settings(shapes, output, **others):
    return ExportSettings("refcoco", str(shapes), output=str(output), workers=1, **others)


def with_prepared(config, prepared, **others):
    data = dataclasses.replace(config.data, prepared=str(prepared), **others)
    return dataclasses.replace(config, data=data)


def assert_same_samples(one, other):
    assert one.expressions == other.expressions
    for index in range(len(one)):
        sample, expected = one[index], other[index]
        assert sample.keys() == expected.keys()
        for key, value in expected.items():
            equal = np.array_equal if isinstance(value, np.ndarray) else torch.equal
            same = equal(sample[key], value) if hasattr(value, "shape") else sample[key] == value
            assert same, key
        assert np.array_equal(one.truth(index), other.truth(index))


@pytest.mark.parametrize("split", ["train", "val", "testA", "testB"])
def test_shards_hold_the_same_samples(shards, tiny_config, split):
    one = open_split(with_prepared(tiny_config, shards), split)
    assert_same_samples(one, open_split(tiny_config, split))


def test_shards_give_the_same_scores(shards, tiny_config, tiny_model):
    expected = evaluate_split(tiny_model, open_split(tiny_config, "val"), tiny_config)
    exported = with_prepared(tiny_config, shards)
    found = evaluate_split(tiny_model, open_split(exported, "val"), exported)
    pd.testing.assert_frame_equal(found, expected)


def test_training_on_shards_is_the_same_training(shards, tiny_config, tmp_path):
    train(tiny_config, tmp_path / "folders")
    train(with_prepared(tiny_config, shards), tmp_path / "shards")
    weights = [(tmp_path / n / "train/best/model.safetensors") for n in ("folders", "shards")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_webdataset_library_reads_them(shards, shapes):
    import webdataset

    urls = sorted(map(str, (shards / "shards/refcoco").glob("train-*.tar")))
    assert len(urls) > 2
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    entries = json.loads((shapes / "data_v3/anns/refcoco/train.json").read_text())
    images = {entry["img_name"] for entry in entries}
    assert {sample["json"]["image"] for sample in samples} == images
    found = [e for sample in samples for e in sample["json"]["expressions"]]
    told = [sentence["sent"] for entry in entries for sentence in entry["sentences"]]
    assert [e["sent"] for e in sorted(found, key=lambda e: e["index"])] == told
    for sample in samples:
        size = sample["jpg"].size
        for expression in sample["json"]["expressions"]:
            mask = sample[f"mask{expression['mask']}.png"]
            assert mask.size == size and np.asarray(mask.convert("L")).any()
            assert len(expression["word_ids"]) == len(expression["heads"]) == 17
            assert expression["depth"] >= 0 and expression["distractors"] >= 0


def test_a_second_export_writes_nothing_anew(shards, shapes):
    before = {p: p.stat().st_mtime_ns for p in shards.rglob("*.tar")}
    assert export(settings(shapes, shards, shard_mb=0))["val"] > 1
    assert before == {p: p.stat().st_mtime_ns for p in shards.rglob("*.tar")}


def test_an_export_that_was_cut_off_goes_on(shards, shapes, tmp_path):
    export(settings(shapes, tmp_path, shard_mb=0, split="train"))
    folder = tmp_path / "shards/refcoco"
    kept, lost = sorted(folder.glob("train-*.tar"))[:2]
    (folder / "train.index.json").unlink()
    lost.unlink()
    before = kept.stat().st_mtime_ns
    export(settings(shapes, tmp_path, shard_mb=0, split="train"))
    assert kept.stat().st_mtime_ns == before
    for path in folder.glob("train*"):
        assert path.read_bytes() == (shards / "shards/refcoco" / path.name).read_bytes()


def test_other_prepared_data_replace_the_shards(shapes, tmp_path):
    export(settings(shapes, tmp_path, shard_mb=0, split="val"))
    many = len(list(tmp_path.rglob("val-*.tar")))
    export(settings(shapes, tmp_path, split="val"))  # shards of another size
    assert many > 1 and len(list(tmp_path.rglob("val-*.tar"))) == 1


def test_the_number_of_processes_changes_no_byte(shards, shapes, tmp_path):
    two = dataclasses.replace(settings(shapes, tmp_path, shard_mb=0), workers=2)
    export(two)
    assert tree_bytes(tmp_path) == tree_bytes(shards)


def test_splits_can_be_exported_one_by_one(shapes, tmp_path):
    export(settings(shapes, tmp_path, split="val"))
    assert list(read_manifest(tmp_path, "refcoco")["splits"]) == ["val"]
    export(settings(shapes, tmp_path, split="testA"))
    assert list(read_manifest(tmp_path, "refcoco")["splits"]) == ["val", "testA"]


def test_members_of_the_tar_are_plain(shards):
    for path in shards.rglob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                assert member.isreg() and member.mtime == 0 and "/" not in member.name


def test_a_url_is_read_as_it_is_needed_and_once(server, tiny_config, tmp_path):
    url, asked = server
    there = with_prepared(tiny_config, f"{url}/", cache=str(tmp_path))
    opened = open_split(there, "val")
    assert not any(path.endswith(".tar") for path in asked)
    opened.image(0)
    assert sum(path.endswith(".tar") for path in asked) == 1
    assert_same_samples(opened, open_split(tiny_config, "val"))
    assert len(asked) == len(set(asked))
    asked.clear()
    open_split(there, "val").image(0)
    assert asked == []
    assert not any(path.name.endswith((".part", ".lock.part")) for path in tmp_path.rglob("*"))


def test_workers_share_what_was_fetched(server, tiny_config, tiny_model, tmp_path):
    url, asked = server
    there = with_prepared(tiny_config, url, cache=str(tmp_path))
    there = dataclasses.replace(there, evaluate=dataclasses.replace(there.evaluate, workers=2))
    found = evaluate_split(tiny_model, open_split(there, "val"), there)
    expected = evaluate_split(tiny_model, open_split(tiny_config, "val"), tiny_config)
    pd.testing.assert_frame_equal(found, expected)
    assert len(asked) == len(set(asked))


def test_the_notebooks_take_exported_data_as_they_are(server, tiny_config, tmp_path):
    there = with_prepared(tiny_config, server[0], cache=str(tmp_path))
    assert prepare_data(there)["shards"]
    assert split_card(there)["Here"].sum() == split_card(tiny_config)["Here"].sum()
    found = verification(there)
    assert found.checked is None and len(found.table) == 12


def test_a_url_that_leads_nowhere_is_named(server, tiny_config, tmp_path):
    there = with_prepared(tiny_config, f"{server[0]}/nowhere", cache=str(tmp_path))
    with pytest.raises(UserError, match="nowhere/anns/refcoco/manifest.json: HTTP 404.*reaches it"):
        open_split(there, "val")


def test_a_shard_with_other_bytes_is_refused(server, shards, tiny_config, tmp_path):
    url, _ = server
    there = with_prepared(tiny_config, url, cache=str(tmp_path))
    opened = open_split(there, "val")
    shard = shards / "shards/refcoco/val-000000.tar"
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole[:-1] + b"x")
        with pytest.raises(UserError, match="val-000000.tar: sha256 is"):
            opened.image(0)
    finally:
        shard.write_bytes(whole)
    assert opened.image(0).size


def test_other_data_behind_a_url_are_noticed(server, shards, shapes, tiny_config, tmp_path):
    url, _ = server
    there = with_prepared(tiny_config, url, cache=str(tmp_path))
    open_split(there, "val")
    files._bring_manifest.cache_clear()  # as in another process
    open_split(there, "val")
    manifest = shards / "anns/refcoco/manifest.json"
    whole = manifest.read_text()
    try:
        manifest.write_text(whole.replace('"shards": 1', '"shards": 2'))
        files._bring_manifest.cache_clear()
        with pytest.raises(UserError, match="other data than those in .* Remove that folder"):
            open_split(there, "val")
    finally:
        manifest.write_text(whole)
    files._bring_manifest.cache_clear()
    open_split(there, "testA")


def test_without_the_server_what_was_fetched_is_taken(server, tiny_config, tmp_path, caplog):
    url, _ = server
    there = with_prepared(tiny_config, f"{url}/", cache=str(tmp_path))
    open_split(there, "val").image(0)
    files._bring_manifest.cache_clear()
    place = there.data.prepared_root
    gone = with_prepared(tiny_config, "http://127.0.0.1:9/", cache=str(tmp_path))
    place.rename(gone.data.prepared_root)
    assert open_split(gone, "val").image(0).size
    assert "What was fetched before is taken" in caplog.text


@pytest.mark.parametrize("name", ["val.json", "val.language.npz"])
def test_annotations_and_features_behind_a_url_are_checked(
    server, shards, tiny_config, tmp_path, name
):
    there = with_prepared(tiny_config, server[0], cache=str(tmp_path))
    path = shards / "anns/refcoco" / name
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + b" ")
        with pytest.raises(UserError, match=f"{name}: sha256 is"):
            open_split(there, "val")
    finally:
        path.write_bytes(whole)


def test_a_damaged_shard_in_the_cache_says_what_to_remove(server, tiny_config, tmp_path):
    there = with_prepared(tiny_config, server[0], cache=str(tmp_path))
    opened = open_split(there, "val")
    opened.truth(0)
    shard = next(tmp_path.rglob("val-000000.tar"))
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(UserError, match="Remove .*val-000000.tar: it is then fetched again"):
        opened.truth(0)


def test_what_is_lost_or_damaged_is_exported_again(shapes, tmp_path):
    export(settings(shapes, tmp_path, shard_mb=0))
    before = tree_bytes(tmp_path)
    (tmp_path / "shards/refcoco/val-000000.tar").unlink()
    (tmp_path / "shards/refcoco/val-000001.tar").write_bytes(b"damaged")
    (tmp_path / "anns/refcoco/testA.json").write_text("[]")
    (tmp_path / "shards/refcoco/testB.index.json").write_text("{}")
    export(settings(shapes, tmp_path, shard_mb=0))
    assert tree_bytes(tmp_path) == before


def test_splits_of_other_prepared_data_are_taken_out(shapes, tmp_path, caplog):
    """Exported, prepared anew from other masks, then only val is exported again."""
    root, output = tmp_path / "root", tmp_path / "shards"
    shutil.copytree(shapes, root)
    export(settings(root, output))
    path = root / "data_v3/anns/refcoco/manifest.json"
    edit_json(path, lambda manifest: manifest["masks"].update(sha256="0" * 64))
    export(settings(root, output, split="val"))
    assert list(read_manifest(output, "refcoco")["splits"]) == ["val"]
    assert "train.index.json: of other data than these, taken out" in caplog.text


def test_a_changed_photo_is_exported_again(shapes, tmp_path):
    root, output = tmp_path / "root", tmp_path / "shards"
    shutil.copytree(shapes, root)
    export(settings(root, output, split="val"))
    image = root / "images/train2014" / first_image(root, "val")
    Image.new("RGB", (9, 9)).save(image)
    export(settings(root, output, split="val"))
    with tarfile.open(output / "shards/refcoco/val-000000.tar") as tar:
        photo = next(m for m in tar.getmembers() if m.name.endswith(".jpg"))
        assert tar.extractfile(photo).read() == image.read_bytes()


def first_image(root, split):
    return json.loads((root / f"data_v3/anns/refcoco/{split}.json").read_text())[0]["img_name"]


def test_other_places_than_folders_and_http_are_refused(tiny_config):
    with pytest.raises(UserError, match="data.prepared=s3://bucket/x: give a folder, or http"):
        open_split(with_prepared(tiny_config, "s3://bucket/x"), "val")


def test_a_missing_shard_names_the_file_and_the_remedy(shards, tiny_config, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    opened = open_split(with_prepared(tiny_config, copy), "val")
    (copy / "shards/refcoco/val-000000.tar").unlink()
    with pytest.raises(UserError, match="val-000000.tar: not readable.*Export it again"):
        opened.truth(0)


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "output: name the folder"),
     (["output=OUT", "split=tset"], "refcoco has no split 'tset'. It has: train, val"),
     (["output=ROOT/data_v3"], "the prepared data are there"),
     (["output=OUT", "prepared=nowhere"], "nowhere/anns/refcoco/manifest.json: no such file")],
)  # fmt: skip
def test_errors(shapes, tmp_path, capsys, words, message):
    words = [w.replace("OUT", str(tmp_path)).replace("ROOT", str(shapes)) for w in words]
    assert preprocess(["export", "refcoco", f"data={shapes}", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_lost_mask_is_said_before_anything_is_written(shapes, tmp_path):
    root = tmp_path / "data_v3"
    shutil.copytree(shapes / "data_v3", root)
    (tmp_path / "images").symlink_to(shapes / "images")
    next(root.glob("masks/refcoco/*.png")).unlink()
    with pytest.raises(UserError, match="no such file. Prepare refcoco again"):
        export(settings(tmp_path, tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_the_command_says_how_to_use_the_shards(shapes, tmp_path, capsys):
    assert preprocess(["export", "refcoco", f"data={shapes}", f"output={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert "refcoco val: 1 shards" in text and f"data.prepared={tmp_path}" in text


def test_the_cache_is_beside_the_data_unless_named():
    words = ["data.prepared=https://host/shards", "data.root=DATA"]
    default = load_config("refcoco", words).data.prepared_root
    assert default.parent.as_posix() == "DATA/cache"
    named = load_config("refcoco", [*words, "data.cache=scratch"]).data.prepared_root
    assert named.parent.as_posix() == "scratch" and named.name == default.name
