"""verify looks at every file, and at the images that splits share."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.raw_trees import (
    LANGUAGE,
    counted,
    edit_json,
    edit_pickle,
    write_image,
    write_refer,
    write_referit,
)
from PIL import Image

from data_preprocess.cli import main
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.verify.cards import split_card
from data_preprocess.verify.checks import Checked, box_meets
from data_preprocess.verify.overlap import COLUMNS, images_on_disk, overlaps, unexpected
from data_preprocess.verify.verify import VerifySettings, verify_all

IMAGE = "images/train2014/COCO_train2014_000000000001.jpg"


def problems(root, dataset="refcoco", **others):
    found = verify_all(VerifySettings(dataset, str(root), workers=1, **others))
    return found.checked.problems


def meeting_boxes(instances):
    """Boxes that fit the objects of write_refer."""
    boxes = ([2, 2, 18, 13], [0, 0, 2, 20], [3, 2, 6, 4], [0, 0, 5, 5], [0, 0, 5, 5])
    for entry, box in zip(instances["annotations"], boxes, strict=True):
        entry["bbox"] = box


@pytest.fixture
def raw(tmp_path):
    root = write_refer(tmp_path)
    edit_json(root / "refcoco/instances.json", meeting_boxes)
    return root


@pytest.fixture
def prepared(raw):
    prepare(PrepareSettings("refcoco", str(raw), workers=1, **LANGUAGE))
    return raw


@pytest.mark.parametrize("form", ["raw", "prepared"])
def test_sound_files_have_no_problem(prepared, form):
    found = verify_all(VerifySettings("refcoco", str(prepared), form=form, workers=2)).checked
    assert (found.images, found.masks, found.problems) == (3, 4, [])
    assert found.lines() == ["3 images and 4 masks looked at: 0 problems"]


def test_referit_files_are_looked_at_without_the_unreadable_images(tmp_path):
    assert problems(write_referit(tmp_path), "referit") == []


@pytest.mark.parametrize("form", ["raw", "prepared"])
def test_images_that_do_not_open(prepared, form):
    whole = (prepared / IMAGE).read_bytes()
    (prepared / IMAGE).write_bytes(whole[: len(whole) // 2])
    ((where, what),) = problems(prepared, form=form)
    assert where.endswith(IMAGE.rpartition("/")[2]) and "cannot be read as an image" in what
    (prepared / IMAGE).unlink()
    ((where, what),) = problems(prepared, form=form)
    assert what == "no such image"


def test_an_image_of_another_size(prepared):
    write_image(prepared / IMAGE, 10, 10)
    assert all("the image is 10x10" in what for _, what in problems(prepared, form="raw"))
    found = problems(prepared, form="prepared")
    assert len(found) == 2 and all("but the mask is 20x30" in what for _, what in found)


def test_an_empty_mask_and_a_box_beside_its_mask(raw):
    def spoil(instances):
        instances["annotations"][0]["segmentation"] = [[100, 100, 100, 100, 100, 100]]
        instances["annotations"][3]["bbox"] = [20, 15, 5, 5]

    edit_json(raw / "refcoco/instances.json", spoil)
    found = dict(problems(raw))
    assert sorted(found.values()) == [
        "no pixel of the mask is inside its box [20, 15, 5, 5]", "the mask has no pixel",
    ]  # fmt: skip
    assert all("instances.json, annotation 10" in where for where in found)


@pytest.mark.parametrize(
    ("path", "message"),
    [("masks/refcoco/10.png", "no such mask"),
     ("anns/refcoco/val.json", "no such file"),
     ("anns/refcoco/val.language.npz", "no such file")],
)  # fmt: skip
def test_prepared_files_that_are_lost(prepared, path, message):
    (prepared / "data_v3" / path).unlink()
    assert any(message in what for _, what in problems(prepared, form="prepared"))


def test_prepared_files_that_were_changed(prepared):
    edit_json(
        prepared / "data_v3/anns/refcoco/val.json",
        lambda entries: entries[0]["sentences"][0].update(sent="another"),
    )
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(prepared / "data_v3/masks/refcoco/11.png")
    found = [what for _, what in problems(prepared, form="prepared")]
    assert "the mask has no pixel" in found
    assert any("not the file that the manifest names" in what for what in found)
    assert any("made for other expressions" in what for what in found)


def test_without_photos_only_that_is_said(raw):
    for path in (raw / "images/train2014").iterdir():
        path.unlink()
    (raw / "images/train2014").rmdir()
    ((where, what),) = problems(raw)
    assert where.endswith("images/train2014") and "nothing could be checked" in what


def test_a_mask_that_was_altered_is_found_and_drawn_anew(prepared, caplog):
    path = prepared / "data_v3/masks/refcoco/11.png"
    whole = path.read_bytes()
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    edit_json(
        prepared / "data_v3/anns/refcoco/train.json",
        lambda entries: [entry.pop("bbox") for entry in entries],
    )
    whats = [what for _, what in problems(prepared, form="prepared")]
    assert len(whats) == 1 and "not the file that the manifest names" in whats[0]
    prepare(PrepareSettings("refcoco", str(prepared), workers=1, **LANGUAGE))
    assert path.read_bytes() == whole and "altered since they were drawn" in caplog.text
    Image.fromarray(np.ones((20, 30), np.uint8) * 255).save(path)
    ((where, what),) = problems(prepared, form="prepared")
    assert where.endswith("masks/refcoco") and "not the masks of the manifest" in what


def test_boxes_of_adopted_data_that_are_no_boxes(prepared):
    for box in ("null", '"x"', "[1, 2]"):
        path = prepared / "data_v3/anns/refcoco/val.json"
        entries = json.loads(path.read_text())
        entries[0]["bbox"] = json.loads(box)
        path.write_text(json.dumps(entries))
        whats = [what for _, what in problems(prepared, form="prepared")]
        assert (box == "null") == (not any("is not four numbers" in what for what in whats))


def test_a_split_that_is_not_there_is_a_difference(tmp_path):
    root = write_referit(tmp_path)
    (root / "referit/referit_query_trainval.json").write_text("{}")
    table = counted(VerifySettings("referit", str(root)))
    rows = table[(table["split"] == "trainval") & (table["stage"] == "as released")]
    assert rows["found"].tolist() == [0, 0, 0] and set(rows["verdict"]) == {"differs"}


def test_box_meets_rounds_out():
    mask = np.zeros((10, 10), bool)
    mask[4, 6] = True
    assert box_meets(mask, (6.0, 4.0, 1, 1)) and box_meets(mask, (5.2, 3.1, 1.0, 1.0))
    assert not box_meets(mask, (0, 0, 4, 4)) and not box_meets(mask, (20, 20, 5, 5))
    assert not box_meets(mask, (-9, -9, 3, 3))


def test_many_problems_are_cut_short():
    lines = Checked(5, 5, [(f"file{n}", "amiss") for n in range(30)]).lines(2)
    assert lines[1:] == ["  file0: amiss", "  file1: amiss", "  ... and 28 more"]


def test_auto_takes_raw_files_first_and_prepared_ones_where_there_are_no_others(prepared):
    assert set(counted(VerifySettings("refcoco", str(prepared)))["stage"]) == {"as released"}
    (prepared / "refcoco").rename(prepared / "elsewhere")
    table = counted(VerifySettings("refcoco", str(prepared)))
    assert set(table["stage"]) == {"prepared"}
    assert "anns/refcoco/val.language.npz" in table.attrs["sources"]


def test_prepared_referit_is_held_against_the_counts_without_unreadable_images(tmp_path):
    prepare(PrepareSettings("referit", str(write_referit(tmp_path)), workers=1, **LANGUAGE))
    table = counted(VerifySettings("referit", str(tmp_path), form="prepared"))
    published = table[table["split"] == "trainval"].set_index("count")["published"]
    assert published["objects"] == 49513 and pd.isna(published["images"])


def test_the_split_card_has_a_row_a_split(raw):
    card = split_card(counted(VerifySettings("refcoco", str(raw))))
    assert card["split"].tolist() == ["train", "val", "testA", "testB"]
    assert card["images"].iloc[0] == "1 (published 16,994)"
    assert card["images"].iloc[3] == "0 (published 750)"  # not there at all
    assert card["verdict"].tolist() == ["differs"] * 4
    other = split_card(counted(VerifySettings("referit", str(write_referit(raw)))))
    assert other["images"].tolist()[-1] == "1"  # none is published without unreadable images


def two_sets(root):
    """RefCOCO, and RefCOCO+ whose val holds RefCOCO's train image."""
    write_refer(root)
    write_refer(root, "refcoco+")
    edit_pickle(root / "refcoco+/refs(unc).p", lambda refs: refs[0].update(split="val"))
    return root


def test_overlaps_within_and_between_data_sets(tmp_path):
    root = two_sets(tmp_path)
    table = overlaps(images_on_disk(root, root / "data_v3"))
    assert tuple(table.columns) == COLUMNS
    own = table[table["Leak"] == "own"].iloc[0]
    assert (own["Split"], own["Other split"]) == ("refcoco+:train", "refcoco+:val")
    assert own["Shared images"] == 1 and own["Images, other"] == 2
    leaks = table[table["Leak"] == "other"][["Split", "Other split"]].values.tolist()
    assert leaks == [["refcoco:train", "refcoco+:val"]]
    assert len(unexpected(table, DATASETS["refcoco+"])) == 1
    assert len(unexpected(table, DATASETS["refcoco"])) == 0


def test_joint_adds_no_rows_that_its_members_have(tmp_path):
    root = two_sets(tmp_path)
    members = ("refcoco", "refcoco+")
    alone = overlaps(images_on_disk(root, root / "data_v3"))
    edit_pickle(root / "refcoco/refs(unc).p", lambda refs: refs[3].update(split="train"))
    edit_pickle(root / "refcoco+/refs(unc).p", lambda refs: refs[3].update(split="train"))
    prepare(PrepareSettings("joint", str(root), members=members, workers=1, **LANGUAGE))
    table = overlaps(images_on_disk(root, root / "data_v3"))
    assert len(alone) and not table["Split"].str.startswith("joint").any()
    assert not table["Other split"].str.startswith("joint").any()


def test_google_splits_are_known_to_share_images(tmp_path):
    root = write_refer(tmp_path, "refcocog", "google")
    edit_pickle(root / "refcocog/refs(google).p", lambda refs: refs[1].update(split="val"))
    found = verify_all(VerifySettings("refcocog_google", str(root), files=False))
    assert found.overlaps["Leak"].tolist() == ["own"] and found.leaks == 0


def test_prepared_data_take_part_and_broken_ones_are_left_out(prepared, caplog):
    (prepared / "refcoco").rename(prepared / "refcoco+")  # so that refcoco is prepared only
    table = overlaps(images_on_disk(prepared, prepared / "data_v3"))
    assert ["refcoco+:val", "refcoco:val"] in table[["Split", "Other split"]].values.tolist()
    (prepared / "refcoco+/refs(unc).p").write_bytes(b"broken")
    (prepared / "data_v3/anns/refcoco/val.json").write_text("broken")
    assert images_on_disk(prepared, prepared / "data_v3") == {}
    assert caplog.text.count("left out of the comparison") == 2


def test_the_command_shows_problems_and_shared_images(tmp_path, capsys):
    root = two_sets(tmp_path)
    edit_json(
        root / "refcoco+/instances.json",
        lambda instances: instances["annotations"][3].update(bbox=[20, 15, 5, 5]),
    )
    words = ["verify", "refcoco+", f"data={root}"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "4 masks looked at: 1 problems\n" in text and "inside its box" in text
    shown = " ".join(text.split())
    assert "| refcoco+:train | refcoco+:val | 1 | 1 | 2 | own |" in shown
    assert "pairs of splits on this disk share images, 1 of them a leak inside this data" in text
    assert main([*words, "overlap=false", "files=false"]) == 0
    text = capsys.readouterr().out
    assert "the files were not looked at" in text and "were not looked for" in text


@pytest.mark.parametrize("spoiled", ["nothing", "counts", "file", "leak"])
def test_strict_fails_on_any_difference(raw, capsys, monkeypatch, spoiled):
    """A data set whose counts are the published ones, with one thing amiss or none."""
    counts = {
        row.split: {c: getattr(row, c) for c in ("images", "objects", "expressions")}
        for row in _counts(raw).itertuples()
    }
    if spoiled == "counts":
        counts["val"]["objects"] += 1
    if spoiled == "file":
        (raw / IMAGE).write_bytes(b"broken")
    if spoiled == "leak":

        def leak(refs):
            refs[3]["image_id"] = 1

        edit_pickle(raw / "refcoco/refs(unc).p", leak)
        edit_json(raw / "refcoco/instances.json",
                  lambda instances: instances["annotations"][3].update(image_id=1))  # fmt: skip
    monkeypatch.setattr("data_preprocess.verify.verify.published_counts", lambda dataset: counts)
    assert main(["verify", "refcoco", f"data={raw}", "--strict"]) == (spoiled != "nothing")
    assert main(["verify", "refcoco", f"data={raw}"]) == 0


def _counts(raw):
    table = counted(VerifySettings("refcoco", str(raw)))
    return table.pivot(index="split", columns="count", values="found").reset_index()


def test_annotations_without_boxes_are_fine(raw):
    edit_json(
        raw / "refcoco/instances.json",
        lambda instances: [entry.pop("bbox") for entry in instances["annotations"]],
    )
    assert problems(raw) == []
