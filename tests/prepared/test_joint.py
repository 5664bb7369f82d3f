"""The joint training set: nothing held out is trained on, nothing is lost without being counted."""

import dataclasses
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_trees import LANGUAGE, counted, edit_json, edit_pickle, tree_bytes, write_refer

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.cli import main
from data_preprocess.prepared import joint
from data_preprocess.prepared.adopt import adopt
from data_preprocess.prepared.manifest import read_manifest
from data_preprocess.prepared.one_dataset import LanguageSettings, PrepareSettings, SplitSettings
from data_preprocess.prepared.prepare import language, prepare
from data_preprocess.raw.datasets import MEMBERS, find_dataset
from data_preprocess.shapes.dataset import ShapesSettings, write_shapes
from data_preprocess.verify.published import published_counts
from data_preprocess.verify.verify import VerifySettings

REFS = {
    "refcoco": "refcoco/refs(unc).p",
    "refcoco+": "refcoco+/refs(unc).p",
    "refcocog_umd": "refcocog/refs(umd).p",
    "refcocog_google": "refcocog/refs(google).p",
}
HELD_OUT = {  # member -> last digit of the image's number -> split; the rest is train
    "refcoco": {0: "val", 1: "testA", 2: "testB"},
    "refcoco+": {1: "val", 3: "testA", 4: "testB"},
    "refcocog_umd": {0: "val", 3: "test", 5: "test"},
}
COUNTS = ("images", "objects", "expressions")


def split_of(name: str, number: int, ref: dict) -> str:
    if name == "refcocog_google":  # by object, not by image: its own splits share images
        return "val" if number % 4 == 0 else "train"
    return HELD_OUT[name].get(ref["image_id"] % 10, "train")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A raw root with all members, the three default ones put together in data_v3."""
    root = tmp_path_factory.mktemp("joint")
    write_shapes(root, ShapesSettings(images=20))
    shutil.copytree(root / "refcoco", root / "refcoco+")
    shutil.copytree(root / "refcoco", root / "refcocog")
    drawn = pickle.loads((root / REFS["refcoco"]).read_bytes())
    for place, (name, path) in enumerate(REFS.items()):
        refs = drawn[place:] + drawn[:place]  # the same ids mean other objects
        refs = [
            ref | {"ref_id": number, "split": split_of(name, number, ref)}
            for number, ref in enumerate(refs)
        ]
        (root / path).write_bytes(pickle.dumps(refs, protocol=2))
    (root / "refcocog/refs(unc).p").unlink()
    prepare(settings(root))
    return root


@pytest.fixture
def root(whole, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "root"))


def settings(root: Path, dataset: str = "joint", **changes) -> PrepareSettings:
    values = {"dataset": dataset, "data": str(root), "workers": 1} | LANGUAGE | changes
    return PrepareSettings(**values)


def refs(root: Path, name: str) -> list[dict]:
    return pickle.loads((root / REFS[name]).read_bytes())


def images(root: Path, name: str, split: str | None = None) -> set[str]:
    """Images of a split by the raw files; without a split, those of val and tests."""
    return {
        f"COCO_train2014_{ref['image_id']:012d}.jpg"
        for ref in refs(root, name)
        if (ref["split"] == split if split else ref["split"] != "train")
    }


def entries(root: Path, split: str, dataset: str = "joint") -> list[dict]:
    return read_json(root / "data_v3/anns" / dataset / f"{split}.json", "")


def said(listed: list[dict], prefix: str = "") -> list[tuple]:
    return [(prefix + e["segment_id"], s["idx"], s["sent"]) for e in listed for s in e["sentences"]]


def count(listed: list[dict]) -> dict[str, int]:
    expressions = sum(len(entry["sentences"]) for entry in listed)
    found = len({entry["img_name"] for entry in listed}), len(listed), expressions
    return dict(zip(COUNTS, found, strict=True))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_no_held_out_image_is_trained_on(whole):
    trained = {entry["img_name"] for entry in entries(whole, "train")}
    assert trained
    for name in MEMBERS:
        assert images(whole, name) and not trained & images(whole, name)


def test_every_expression_is_kept_or_counted_as_removed(whole):
    manifest = read_manifest(whole / "data_v3", "joint")
    held = set().union(*(images(whole, name) for name in MEMBERS))
    wanted = []
    for name in MEMBERS:
        train = entries(whole, "train", name)
        gone = [entry for entry in train if entry["img_name"] in held]
        removed = dict(manifest["removed"][name])
        causes = removed.pop("held_out_in")
        assert gone and removed == count(gone)
        for cause, found in causes.items():
            member, _, split = cause.rpartition("_")
            hidden = images(whole, member, split)
            assert found == count([entry for entry in gone if entry["img_name"] in hidden])
            assert member != name  # by its own splits none of these three loses anything
        assert sum(found["images"] for found in causes.values()) >= removed["images"]
        wanted += said([e for e in train if e["img_name"] not in held], f"{name}/")
    assert said(entries(whole, "train")) == wanted  # in the order of the members


def test_other_splits_are_the_members_own(whole):
    manifest = read_manifest(whole / "data_v3", "joint")
    assert list(manifest["splits"]) == list(find_dataset("joint").splits)
    for split in manifest["splits"]:
        assert count(entries(whole, split)) == {n: manifest["splits"][split][n] for n in COUNTS}
    for name in MEMBERS:
        for split in {ref["split"] for ref in refs(whole, name)} - {"train"}:
            own = said(entries(whole, split, name), f"{name}/")
            assert said(entries(whole, f"{name}_{split}")) == own
            numbers = [[e["distractors"] for e in entries(whole, s, d)] for s, d in
                       ((split, name), (f"{name}_{split}", "joint"))]  # fmt: skip
            assert numbers[0] == numbers[1] and any(numbers[0])
    vals = [said(entries(whole, "val", name), f"{name}/") for name in MEMBERS]
    assert said(entries(whole, "val")) == sum(vals, [])


def test_samples_are_those_of_the_members(whole):
    """Also where ids clash: the same number is another object in another member."""
    from dghin.data.dataset import PreparedDataset

    prepared = whole / "data_v3"
    own = {}
    for name in MEMBERS:
        for split in read_manifest(prepared, name)["splits"]:
            dataset = PreparedDataset(prepared, name, split, 32)
            for index, e in enumerate(dataset.expressions):
                own[f"{name}/{e.segment_id}", e.sentence_index] = dataset, index
    numbers = [{ref["ref_id"] for ref in refs(whole, name)} for name in MEMBERS]
    assert len(set.intersection(*numbers)) > 10
    seen = set()
    for split in ("train", "val", "refcoco+_testA", "refcocog_umd_test"):
        dataset = PreparedDataset(prepared, "joint", split, 32)
        for index, expression in enumerate(dataset.expressions):
            other, place = own[expression.segment_id, expression.sentence_index]
            assert expression.sentence == other.expressions[place].sentence
            assert expression.length == other.expressions[place].length
            np.testing.assert_array_equal(dataset.truth(index), other.truth(place))
            for field, value in other[place].items():
                if field != "index":
                    np.testing.assert_array_equal(dataset[index][field], value)
            seen.add(expression.segment_id)
    assert {segment.partition("/")[0] for segment in seen} == set(MEMBERS)
    assert not (prepared / "masks/joint").exists()


def test_second_run_changes_no_file(root):
    before = state(root / "data_v3")
    assert prepare(settings(root)) == read_manifest(root / "data_v3", "joint")
    assert state(root / "data_v3") == before


def test_without_spacy_and_raw_files(root, monkeypatch):
    """On a GPU box, the prepared members alone suffice."""
    before = tree_bytes(root / "data_v3")
    for path in [*root.glob("refcoco*"), root / "data_v3/anns/joint"]:
        shutil.rmtree(path)
    monkeypatch.setitem(sys.modules, "spacy", None)
    prepare(settings(root))
    assert tree_bytes(root / "data_v3") == before


def test_members_are_prepared_only_where_they_are_not(root):
    before = state(root / "data_v3/anns")
    for path in (root / "data_v3/anns/refcoco+", root / "data_v3/masks/refcoco+"):
        shutil.rmtree(path)
    (root / "data_v3/anns/joint/manifest.json").unlink()
    prepare(settings(root))
    after = state(root / "data_v3/anns")
    assert {n: content for n, (_, content) in after.items()} == {
        n: content for n, (_, content) in before.items()
    }
    kept = [n for n in before if n.startswith(("refcoco/", "refcocog_umd/"))]
    assert kept and all(after[n] == before[n] for n in kept)


def test_expressions_that_are_unread_are_counted_in_what_is_kept(root):
    """Of another script: of an image that a member holds out, and of one that none does."""
    held = {
        image for name in ("refcoco", "refcoco+", "refcocog_umd") for image in images(root, name)
    }
    own = [ref for ref in refs(root, "refcoco") if ref["split"] == "train"]
    name = "COCO_train2014_{:012d}.jpg".format
    gone = next(ref for ref in own if name(ref["image_id"]) in held)
    kept = next(ref for ref in own if name(ref["image_id"]) not in held)

    def rewrite(listed):
        for ref in listed:
            if ref["ref_id"] in (gone["ref_id"], kept["ref_id"]):
                for sentence in ref["sentences"]:
                    sentence["sent"] = sentence["raw"] = "\u55ac\u6728"

    edit_pickle(root / REFS["refcoco"], rewrite)
    splits = prepare(settings(root))["splits"]
    member = read_json(root / "data_v3/anns/refcoco/manifest.json", "")["splits"]
    assert member["train"]["unread"] == len(gone["sentences"]) + len(kept["sentences"])
    assert splits["train"]["unread"] == len(kept["sentences"])
    assert not any("unread" in entry for split, entry in splits.items() if split != "train")


def test_a_member_of_other_raw_files_is_prepared_anew(root):
    """An image that moves into G-Ref's test split leaves everyone's training."""
    image = sorted({entry["img_name"] for entry in entries(root, "train")})[0]
    number = int(image.removesuffix(".jpg").rpartition("_")[2])

    def move(listed):
        for ref in listed:
            if ref["image_id"] == number:
                ref["split"] = "test"

    edit_pickle(root / REFS["refcocog_umd"], move)
    manifest = prepare(settings(root))
    assert image not in {entry["img_name"] for entry in entries(root, "train")}
    assert image in images(root, "refcocog_umd", "test")
    for name in ("refcoco", "refcoco+"):
        before = entries(root, "train", name)
        own = count([e for e in before if e["img_name"] in images(root, "refcocog_umd", "test")])
        assert manifest["removed"][name]["held_out_in"]["refcocog_umd_test"] == own


@pytest.mark.parametrize("kind", ["annotations", "masks"])
def test_a_changed_member_is_noticed(root, kind):
    before = read_manifest(root / "data_v3", "joint")
    if kind == "annotations":
        path = root / "data_v3/anns/refcoco/train.json"
        edit_json(path, lambda listed: listed[-1].update(category="changed"))
    else:
        manifest = root / "data_v3/anns/refcoco/manifest.json"
        edit_json(manifest, lambda found: found["masks"].update(sha256="other"))
    after = prepare(settings(root))
    assert after["members"]["refcoco"] != before["members"]["refcoco"]
    assert after["members"]["refcoco+"] == before["members"]["refcoco+"]
    changed = after["splits"]["train"] != before["splits"]["train"]
    assert changed == (kind == "annotations")
    assert (after["masks"] != before["masks"]) == (kind == "masks")


@pytest.mark.parametrize("name", ["train.json", "val.language.npz", "refcoco_testA.json"])
def test_a_damaged_file_is_written_again(root, name):
    before = tree_bytes(root / "data_v3")
    (root / "data_v3/anns/joint" / name).write_bytes(b"half")
    prepare(settings(root))
    assert tree_bytes(root / "data_v3") == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("target", ["write_json", "write_features", "write_manifest"])
def test_interrupted_run_leaves_no_manifest_and_goes_on(root, monkeypatch, target):
    before = tree_bytes(root / "data_v3")
    shutil.rmtree(root / "data_v3/anns/joint")
    calls, original = iter(range(100)), getattr(joint, target)

    def interrupted(*arguments):
        if target != "write_manifest" and next(calls) < 2:
            return original(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(joint, target, interrupted)
        with pytest.raises(Killed):
            prepare(settings(root))
    left = tree_bytes(root / "data_v3")
    assert "anns/joint/manifest.json" not in left
    assert all(before[name] == content for name, content in left.items())
    prepare(settings(root))
    assert tree_bytes(root / "data_v3") == before


def test_other_members_replace_what_was_there(root):
    manifest = prepare(settings(root, members=("refcocog_umd", "refcoco")))
    files = {path.name for path in (root / "data_v3/anns/joint").glob("[!.]*.json")}
    assert files == {"manifest.json", *(f"{split}.json" for split in manifest["splits"])}
    assert not any("refcoco+" in split for split in manifest["splits"])
    assert [e["segment_id"].partition("/")[0] for e in entries(root, "train")][0] == "refcocog_umd"
    assert "members=[refcocog_umd,refcoco]" in manifest["command"]


def test_gref_google_loses_the_images_of_its_own_val(root):
    shared = images(root, "refcocog_google", "train") & images(root, "refcocog_google", "val")
    assert shared
    manifest = prepare(settings(root, members=("refcocog_google", "refcoco")))
    trained = {entry["img_name"] for entry in entries(root, "train")}
    assert trained and not trained & (shared | images(root, "refcoco"))
    causes = manifest["removed"]["refcocog_google"]["held_out_in"]
    assert causes["refcocog_google_val"]["images"] == len(shared)


def forget(folder: Path) -> None:
    """Leave of a prepared data set what the original's code would: annotations only."""
    for path in [folder / "manifest.json", folder / ".prepare.json", *folder.glob("*.npz")]:
        path.unlink()


def test_adopted_members_with_a_mask_a_sentence(root):
    from dghin.data.dataset import PreparedDataset

    prepared = root / "data_v3"
    whole = read_manifest(prepared, "joint")
    shutil.rmtree(prepared / "anns/refcoco")
    shutil.rmtree(prepared / "masks/refcoco")
    prepare(settings(root, "refcoco", per_sentence_masks=True))
    forget(prepared / "anns/refcoco")
    adopt(LanguageSettings("refcoco", str(root), **LANGUAGE))
    adopted = state(prepared / "anns/refcoco")
    manifest = prepare(settings(root))
    assert state(prepared / "anns/refcoco") == adopted
    for split, entry in whole["splits"].items():
        assert {n: manifest["splits"][split][n] for n in COUNTS} == {n: entry[n] for n in COUNTS}
    assert manifest["removed"] == whole["removed"]
    dataset = PreparedDataset(prepared, "joint", "train", 32)
    assert dataset.expressions[0].segment_id.endswith("_0") and dataset.truth(0).any()
    assert dataset.truth(len(dataset) - 1).any()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            "[refcoco,refcocog_umb]",
            "unknown member of joint 'refcocog_umb'. Did you mean 'refcocog_umd'",
        ),
        ("[refcoco,joint]", "unknown member of joint 'joint'"),
        (
            "[refcoco,referit]",
            "'referit' cannot be put together with others (its images: images/referit/images)",
        ),
        ("[refcoco]", "members=[refcoco]: give two or more, each once"),
        ("[refcoco,refcoco+,refcoco]", "members=[refcoco,refcoco+,refcoco]: give two or more"),
    ],
)
@pytest.mark.parametrize("command", ["prepare", "verify"])
def test_members_that_are_refused(tmp_path, capsys, command, members, message):
    assert main([command, "joint", f"data={tmp_path}", f"members={members}"]) == 2
    assert message in capsys.readouterr().err


def test_members_of_a_data_set_that_has_none(tmp_path):
    with pytest.raises(UserError, match=r"members=\[refcoco\]: 'referit' is put together from no"):
        prepare(settings(tmp_path, "referit", members=("refcoco",)))


def test_what_reads_raw_files_says_that_joint_has_none(tmp_path):
    values = {"dataset": "joint", "data": str(tmp_path)}
    with pytest.raises(UserError, match="'joint': it has no files of its own.*refcoco"):
        language(SplitSettings(**values))
    with pytest.raises(UserError, match="'joint': it has no files of its own.*refcoco"):
        adopt(LanguageSettings(**values))


def test_features_of_another_key(root):
    with pytest.raises(UserError, match=r"refcoco/manifest\.json.*words: '17' in the file, '20'"):
        prepare(settings(root, words=20))
    prepare(settings(root, "refcoco+", alignment="aligned"))
    with pytest.raises(UserError, match=r"refcoco\+/manifest\.json.*alignment: 'aligned' in the"):
        prepare(settings(root))
    edit_json(root / "data_v3/anns/refcoco+/manifest.json",
              lambda found: found["language"].update(alignment="paper"))  # fmt: skip
    with pytest.raises(UserError, match=r"refcoco\+/train\.language\.npz.*alignment: 'aligned'"):
        prepare(settings(root))


def test_features_of_other_versions_of_a_parser(root):
    """Not what the settings ask for, but what the members must share."""
    edit_json(root / "data_v3/anns/refcoco+/manifest.json",
              lambda found: found["language"].update(parser_version="0.1"))  # fmt: skip
    with pytest.raises(UserError, match=r"refcoco\+/manifest\.json.*parser_version: '0\.1' in the"):
        prepare(settings(root))


def test_images_in_two_folders(root):
    edit_json(root / "data_v3/anns/refcoco+/manifest.json",
              lambda found: found.update(images_folder="elsewhere"))  # fmt: skip
    with pytest.raises(UserError, match=r"refcoco\+/manifest\.json: the images of 'refcoco\+' are"):
        prepare(settings(root))


def test_a_member_without_a_file_that_its_manifest_names(root):
    (root / "data_v3/anns/refcoco+/testA.json").unlink()
    with pytest.raises(UserError, match=r"refcoco\+/testA\.json: no such file.*prepare refcoco\+"):
        prepare(settings(root))


def test_prepared_data_of_another_origin_is_not_overwritten(root):
    folder = root / "data_v3/anns/joint"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "train.json").write_text("[]")
    with pytest.raises(UserError, match=r"joint/train\.json: prepared data of another origin"):
        prepare(settings(root))
    assert (folder / "train.json").read_text() == "[]"


def test_a_train_split_of_which_nothing_is_left(tmp_path):
    """Both show the same three images: what one trains on, the other holds out."""
    write_refer(tmp_path)
    write_refer(tmp_path, "refcocog", "umd")
    edit_pickle(tmp_path / REFS["refcocog_umd"],
                lambda listed: [ref.update(split="test") for ref in listed])  # fmt: skip
    with pytest.raises(UserError, match=r"refcoco/train\.json: nothing .* in refcocog_umd_test\."):
        prepare(settings(tmp_path, members=("refcoco", "refcocog_umd")))
    with pytest.raises(UserError, match=r"refcocog_umd/train\.json: nothing .*: there is none\."):
        prepare(settings(tmp_path, members=("refcocog_umd", "refcoco")))
    assert not (tmp_path / "data_v3/anns/joint").exists()


def test_the_command_prints_what_was_removed(root, capsys, caplog):
    words = [f"data={root}", "members=[refcoco,refcoco+]", "workers=1"]
    words += [f"{key}={value}" for key, value in LANGUAGE.items()]
    with caplog.at_level("INFO"):
        assert main(["prepare", "joint", *words]) == 0
    held = images(root, "refcoco+")
    gone = [entry for entry in entries(root, "train", "refcoco") if entry["img_name"] in held]
    shown = "{images:,} images, {objects:,} objects, {expressions:,} expressions"
    line = f"removed from refcoco train: {shown.format(**count(gone))}"
    printed = capsys.readouterr().out.splitlines()
    assert line in printed and line in caplog.messages
    causes = [e for e in gone if e["img_name"] in images(root, "refcoco+", "testB")]
    assert f"  held out in refcoco+_testB: {shown.format(**count(causes))}" in printed
    assert f"joint train: {shown.format(**count(entries(root, 'train')))}" in printed


def test_verify_counts_the_same_from_the_raw_files_alone(whole, tmp_path):
    for name in MEMBERS:
        folder = find_dataset(name).folder
        shutil.copytree(whole / folder, tmp_path / folder, dirs_exist_ok=True)
    table = counted(VerifySettings("joint", str(tmp_path)))
    manifest = read_manifest(whole / "data_v3", "joint")

    def found(dataset, split, stage):
        rows = table[(table["dataset"] == dataset) & (table["split"] == split)]
        rows = rows[rows["stage"] == stage]
        return dict(zip(rows["count"], rows["found"], strict=True))

    joint_train = found("joint", "train", "without held-out images")
    assert joint_train == {n: manifest["splits"]["train"][n] for n in COUNTS}
    assert found("joint", "val", "as released") == {n: manifest["splits"]["val"][n] for n in COUNTS}
    for name in MEMBERS:
        before = found(name, "train", "as released")
        after = found(name, "train", "without held-out images")
        removed = manifest["removed"][name]
        assert all(before[n] - after[n] == removed[n] > 0 for n in COUNTS)
    sources = {"refcoco/instances.json", "refcoco/refs(unc).p", "refcoco+/instances.json"}
    assert sources < set(table.attrs["sources"])
    alone = counted(VerifySettings("refcoco+", str(tmp_path)))
    own = table[(table["dataset"] == "refcoco+") & (table["stage"] == "as released")]
    assert own.reset_index(drop=True).equals(alone)


def test_published_figures_of_the_members_splits():
    published = published_counts(find_dataset("joint"))
    assert published["refcoco_val"] == published_counts(find_dataset("refcoco"))["val"]
    assert "refcocog_umd_test" in published and "refcoco_train" not in published


@pytest.fixture
def config(root):
    from dghin.run.config import load_config

    words = [f"data.{key}={value}" for key, value in LANGUAGE.items()]
    return load_config("joint", [f"data.root={root}", "model.image_size=32", *words])


def with_data(config, **values):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **values))


def test_a_run_prepares_and_reads_it(config, root):
    from dghin.data.dataset import open_split
    from dghin.data.preparing import prepare_data, split_card

    shutil.rmtree(root / "data_v3")
    manifest = prepare_data(config)
    assert list(manifest["members"]) == list(MEMBERS)
    data = config.data
    for split in (data.train_split, data.val_split, *data.test_splits):
        dataset = open_split(config, split)
        sample = dataset[len(dataset) - 1]
        assert len(dataset) and sample["image"].shape == (3, 32, 32)
        assert set(np.unique(sample["mask"])) <= {0, 1} and dataset.truth(0).any()
    card = split_card(config).set_index(["Split", "Count"])
    assert card.loc[("refcoco_testA", "objects"), "Published"] == 1975
    removed = manifest["removed"]["refcoco"]["expressions"]
    assert card.loc[("removed from refcoco", "expressions"), "Here"] == removed
    assert prepare_data(with_data(config, members=())) == manifest  # the default members


def test_a_run_takes_what_was_prepared_elsewhere(config, root):
    from dghin.data.preparing import prepare_data

    before = read_manifest(root / "data_v3", "joint")
    for path in [*root.glob("refcoco*"), *root.glob("data_v3/anns/refcoco*")]:
        shutil.rmtree(path)
    assert prepare_data(config) == before
    with pytest.raises(UserError, match=r"refcoco/instances\.json: no such file"):
        prepare_data(with_data(config, members=("refcoco", "refcoco+")))


def test_a_run_adopts_members_that_the_original_prepared(config, root):
    from dghin.data.preparing import prepare_data

    shutil.rmtree(root / "data_v3/anns/joint")
    forget(root / "data_v3/anns/refcoco+")
    prepare_data(config)
    assert read_manifest(root / "data_v3", "refcoco+")["adopted"]
    before = state(root / "data_v3")
    prepare_data(config)
    assert state(root / "data_v3") == before


def test_a_run_of_other_members_than_were_put_together(config):
    from dghin.data.dataset import open_split

    with pytest.raises(UserError, match=r"joint/manifest\.json: made of .*'refcoco\+'.*, but data"):
        open_split(with_data(config, members=("refcoco", "refcocog_umd")), "train")
