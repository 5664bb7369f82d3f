"""A data set of your own: the example of the README, and tables that are invalid."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_trees import LANGUAGE, SHARED, edit_json, needs_shared, tree_bytes
from PIL import Image

from data_preprocess.base.errors import UserError
from data_preprocess.cli import main
from data_preprocess.prepared.custom import CustomSettings, prepare_custom, read_table
from data_preprocess.verify.verify import VerifySettings, verify_all
from dghin.data.dataset import open_split
from dghin.data.preparing import prepare_data, split_card
from dghin.evaluation.evaluate import evaluate_split
from dghin.model.dghin import DGHIN
from dghin.run.config import load_config
from dghin.training.trainer import train

EXAMPLE = Path(__file__).parents[2] / "examples/custom"


@pytest.fixture
def example(tmp_path):
    """A copy of the example that a test may change."""
    shutil.copytree(EXAMPLE, tmp_path / "example")
    return tmp_path / "example"


def settings(example, **others):
    values = {
        "dataset": "mine", "table": str(example / "expressions.csv"),
        "images": str(example / "photos"), "coco": str(example / "annotations.json"),
        "data": str(example.parent / "data"), "workers": 1, **LANGUAGE,
    }  # fmt: skip
    return CustomSettings(**(values | others))


def entries(example, split):
    return json.loads((example.parent / f"data/data_v3/anns/mine/{split}.json").read_text())


def mask(example, entry):
    path = example.parent / f"data/data_v3/masks/mine/{entry['segment_id']}.png"
    return np.asarray(Image.open(path)) > 127


def replace_line(example, old, new):
    path = example / "expressions.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_example_is_prepared(example):
    manifest = prepare_custom(settings(example))
    counts = {name: split["expressions"] for name, split in manifest["splits"].items()}
    assert counts == {"train": 4, "val": 2, "test": 1} and manifest["source"] == "custom"
    heart, both, nothing = entries(example, "train")
    said = [sentence["sent"] for sentence in heart["sentences"]]
    assert said == ["the green heart", "heart on the left"] and heart["category"] == "heart"
    assert (both["targets"], nothing["targets"]) == (2, 0)
    assert "distractors" in heart and "distractors" in both and "distractors" not in nothing
    one, two, none = (mask(example, entry) for entry in (heart, both, nothing))
    assert one.any() and (two & one).sum() == one.sum() and two.sum() > one.sum()
    assert not none.any()
    (square,) = entries(example, "test")
    drawn = np.asarray(Image.open(EXAMPLE / "masks/square.png")) > 0
    assert np.array_equal(mask(example, square), drawn) and "distractors" not in square
    found = verify_all(VerifySettings("mine", str(example.parent / "data"), workers=1))
    assert found.sound and found.checked.masks == 6


def test_others_of_the_same_class_are_counted(example):
    def change(coco):
        for annotation in coco["annotations"]:
            annotation["category_id"] = coco["categories"][0]["id"]

    edit_json(example / "annotations.json", change)
    prepare_custom(settings(example))
    coco = json.loads((example / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    for entry in entries(example, "train")[:2]:
        there = [a for a in coco["annotations"] if names[a["image_id"]] == entry["img_name"]]
        assert entry["distractors"] == len(there) - entry.get("targets", 1)


def test_prepared_twice_is_prepared_once(example):
    prepare_custom(settings(example))
    root = example.parent / "data"
    before = tree_bytes(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    prepare_custom(settings(example))
    assert tree_bytes(root) == before
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}


def test_a_changed_table_changes_the_data(example):
    prepare_custom(settings(example))
    replace_line(example, "crosses.jpg,75,", "crosses.jpg,74,")
    before = mask(example, entries(example, "val")[0])
    prepare_custom(settings(example))
    assert not np.array_equal(mask(example, entries(example, "val")[0]), before)


def test_it_is_trained_and_scored_on(example, tiny_config, tmp_path):
    prepare_custom(settings(example))
    data = dataclasses.replace(
        tiny_config.data, root=str(example.parent / "data"), dataset="mine", shapes=0,
        test_splits=("test",),
    )  # fmt: skip
    config = dataclasses.replace(
        tiny_config, data=data, train=dataclasses.replace(tiny_config.train, batch=2,
                                                          batch_per_process=2),
    )  # fmt: skip
    assert prepare_data(config)["dataset"] == "mine"
    assert split_card(config)["Published"].isna().all()
    train(config, tmp_path / "run")
    model = DGHIN.from_pretrained(tmp_path / "run/train/best")
    rows = evaluate_split(model, open_split(config, "test"), config)
    assert rows["sentence"].tolist() == ["the orange square"]


def test_the_config_for_it():
    config = load_config("custom", ["data.dataset=mine", "data.root=DATA"])
    assert config.data.test_splits == ("test",) and config.data.dataset == "mine"


def test_the_command(example, capsys):
    words = [f"{f.name}={value}" for f in dataclasses.fields(CustomSettings)
             if isinstance(value := getattr(settings(example), f.name), str) and value
             and f.name != "dataset"]  # fmt: skip
    assert main(["custom", "mine", *words]) == 0
    out = capsys.readouterr().out
    assert "mine train: 1 images, 3 objects, 4 expressions" in out and "masks: 6" in out


def test_an_image_in_train_and_test_is_said(example, caplog):
    replace_line(example, "square.jpg,,", "hearts.jpg,23,,purple heart,test\nsquare.jpg,,")
    with caplog.at_level(logging.WARNING):
        prepare_custom(settings(example))
    assert "test: 1 of its 2 images are in train, too (such as hearts.jpg)" in caplog.text
    found = verify_all(VerifySettings("mine", str(example.parent / "data"), workers=1))
    assert found.leaks == 1 and not found.sound


def test_spreadsheets_write_a_mark_and_other_line_ends(example):
    path = example / "expressions.csv"
    text = path.read_text().replace("\n", "\r\n").replace("image,", " image ,", 1)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b",,,,\r\n")  # and an empty last line
    rows = list(read_table(path))
    assert len(rows) == 7 and rows[0][1]["image"] == "hearts.jpg"
    assert rows[4][1]["expression"] == "the large cross, bottom right"


def test_kinds_and_categories_may_be_given(example):
    text = (example / "expressions.csv").read_text().splitlines()
    lines = [f"{text[0]},kind,category"] + [f"{line},place,thing" for line in text[1:]]
    (example / "expressions.csv").write_text("\n".join(lines))
    prepare_custom(settings(example))
    entry = entries(example, "train")[0]
    assert entry["category"] == "thing" and entry["sentences"][0]["kind"] == "place"


def test_photos_may_lie_beside_the_table_and_in_folders(example):
    replace_line(example, "square.jpg,,", "photos/square.jpg,,")
    text = (example / "expressions.csv").read_text().splitlines()
    (example / "expressions.csv").write_text("\n".join([text[0], text[-1]]))
    manifest = prepare_custom(settings(example, images="", coco=""))
    assert manifest["splits"].keys() == {"test"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("hearts.jpg,21,,the green heart", "hearts.jpg,21,,", "line 2: the expression is empty"),
     ("21;23", "21;x", "line 4: annotation '21;x'. Give the id"),
     ("21;23", "21;99", "its ann_id 99 is no annotation of"),
     ("21;23", "", "line 4: annotation '' and mask ''. Give one of them"),
     ("masks/square.png", "../square.png", "may lead out of the folder"),
     ("masks/square.png", "masks/none.png", "none.png: no such file"),
     ("square.jpg,,masks", "../square.jpg,,masks", "may lead out of the folder"),
     ("hearts.jpg,none", "heart.jpg,none", "heart.jpg: no such file"),
     ("crosses.jpg,75", "hearts.jpg,75", "annotation 75 of .* is of 'crosses.jpg'"),
     (",train", ",manifest", "split 'manifest'. Name it"),
     (",annotation,mask,", ";annotation;mask;", "Needed: image"),
     (",train", ",my split", "split 'my split'. Name it with letters"),
     ('"the large cross, bottom right"', "the large cross, bottom right", "not as many cells"),
     (",split", ",splits", "its columns are image, annotation, mask, expression, splits."),
     (",annotation,mask,", ",annotations,masks,", "Needed: image, expression, split"),
     ("square.jpg,,masks", "crosses.jpg,,masks", "crosses.jpg: the image is 186x224")],
)  # fmt: skip
def test_what_is_amiss_is_named(example, old, new, message):
    replace_line(example, old, new)
    with pytest.raises(UserError, match=message):
        prepare_custom(settings(example))
    assert not (example.parent / "data/data_v3/anns/mine/manifest.json").exists()


def test_a_table_with_semicolons_is_told_so(example):
    path = example / "expressions.csv"
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(UserError, match="its cells are apart by ';'. Save it with commas"):
        prepare_custom(settings(example))


def test_columns_may_be_in_capitals(example):
    replace_line(example, "image,annotation,mask,", "Image,Annotation,MASK,")
    assert prepare_custom(settings(example))["masks"]["count"] == 6


def test_an_image_of_the_same_name_in_another_folder_is_another(example):
    """COCO's a/hearts.jpg is not the row's b/hearts.jpg, nor hearts.jpg if there are two."""
    path = example / "annotations.json"
    edit_json(path, lambda content: content["images"][0].update(file_name="a/hearts.jpg"))
    prepare_custom(settings(example))  # a bare name that is there once
    edit_json(path, lambda content: content["images"].append(
        {"id": 99, "file_name": "b/hearts.jpg", "height": 175, "width": 203}))  # fmt: skip
    with pytest.raises(UserError, match="annotation 21 of .* is of 'a/hearts.jpg'"):
        prepare_custom(settings(example))
    replace_line(example, "hearts.jpg", "b/hearts.jpg")
    with pytest.raises(UserError, match="annotation 21 of .* is of 'a/hearts.jpg'"):
        prepare_custom(settings(example))


def test_data_under_a_linked_folder(example, tmp_path):
    (tmp_path / "far/away/disk").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/away/disk")
    prepare_custom(settings(example, data=str(tmp_path / "link")))
    found = verify_all(VerifySettings("mine", str(tmp_path / "link"), workers=1))
    assert found.checked.problems == [] and found.checked.images == 3


@pytest.mark.parametrize("changed", ["table", "coco", "mask", "gone"])
def test_what_changed_since_is_noticed(example, changed, caplog, tiny_config):
    prepare_custom(settings(example))
    path = example / {
        "table": "expressions.csv", "coco": "annotations.json", "mask": "masks/square.png",
        "gone": "annotations.json",
    }[changed]  # fmt: skip
    if changed == "mask":
        Image.fromarray(np.full((182, 219), 255, np.uint8)).save(path)
    elif changed == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("75", "74"))
    found = verify_all(VerifySettings("mine", str(example.parent / "data"), workers=1))
    ((where, what),) = found.checked.problems
    assert where.endswith("expressions.csv") and "custom mine ...' again" in what
    data = dataclasses.replace(tiny_config.data, root=str(example.parent / "data"),
                               dataset="mine", shapes=0)  # fmt: skip
    prepare_data(dataclasses.replace(tiny_config, data=data))
    assert "custom mine ...' again" in caplog.text


def test_without_the_sources_the_prepared_data_are_taken_as_they_are(example):
    prepare_custom(settings(example))
    (example / "expressions.csv").unlink()
    assert verify_all(VerifySettings("mine", str(example.parent / "data"), workers=1)).sound


def save_mask(example, image, name="masks/square.png"):
    image.save(example / name)


def test_mask_images_that_cannot_be_meant(example, caplog):
    save_mask(example, Image.new("L", (219, 182)))
    with pytest.raises(UserError, match="line 8: the mask image .* is all black"):
        prepare_custom(settings(example))
    save_mask(example, Image.new("L", (219, 182), 255))
    with caplog.at_level(logging.WARNING):
        prepare_custom(settings(example))
    assert "marks every pixel" in caplog.text
    Image.open(EXAMPLE / "masks/square.png").save(example / "masks/square.jpg")
    replace_line(example, "masks/square.png", "masks/square.jpg")
    with pytest.raises(UserError, match="a mask must not be JPEG"):
        prepare_custom(settings(example))


def test_mask_images_with_transparency_and_palettes(example):
    drawn = np.asarray(Image.open(EXAMPLE / "masks/square.png")) > 0
    clear = np.full((*drawn.shape, 4), 255, np.uint8)
    clear[..., 3] = 255 * drawn
    palette = Image.fromarray(drawn.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    for image in (Image.fromarray(clear), palette, Image.fromarray(drawn)):
        save_mask(example, image)
        prepare_custom(settings(example))
        assert np.array_equal(mask(example, entries(example, "test")[0]), drawn)


def test_all_lines_amiss_are_said_at_once(example):
    replace_line(example, "21;23", "21;99")
    replace_line(example, "the green heart", "")
    replace_line(example, "crosses.jpg,71", ",71")
    with pytest.raises(UserError) as error:
        prepare_custom(settings(example))
    text = str(error.value)
    assert "3 lines are invalid" in text and all(f"line {n}" in text for n in (2, 4, 7))


@pytest.mark.parametrize(
    ("others", "message"),
    [({"dataset": "refcoco"}, "'refcoco': give yours a name of its own"),
     ({"dataset": "../mine"}, "give yours a name of its own"),
     ({"dataset": ""}, "give yours a name of its own"),
     ({"table": ""}, "table: give the CSV file"),
     ({"table": "nowhere.csv"}, "nowhere.csv: no such file"),
     ({"images": "nowhere"}, "nowhere: no such folder"),
     ({"coco": ""}, "annotation 21, but no coco=FILE is given"),
     ({"coco": "nowhere.json"}, "nowhere.json: no such file")],
)  # fmt: skip
def test_settings_amiss(example, others, message):
    with pytest.raises(UserError, match=message):
        prepare_custom(settings(example, **others))


def test_an_unknown_data_set_points_to_the_importer(capsys):
    assert main(["prepare", "mine", "data=."]) == 2
    assert "dghin data custom mine table=FILE" in capsys.readouterr().err


@needs_shared
def test_real_coco_annotations(tmp_path):
    """Every annotation of the sample of COCO photos, by its id: masks as large as COCO's areas."""
    sample = Path(SHARED) / "data/coco_sample"
    instances = json.loads((sample / "instances.json").read_text())
    names = {image["id"]: image["file_name"] for image in instances["images"]}
    kinds = {category["id"]: category["name"] for category in instances["categories"]}
    lines = ["image,annotation,expression,split"]
    for number, entry in enumerate(instances["annotations"]):
        split = ("train", "val")[entry["image_id"] % 5 == 0]
        name = names[entry["image_id"]]
        lines.append(f"{name},{entry['id']},{kinds[entry['category_id']]} {number},{split}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    prepare_custom(
        CustomSettings(
            "mine", str(tmp_path), table=str(tmp_path / "table.csv"), workers=2,
            images=str(sample / "images"), coco=str(sample / "instances.json"), **LANGUAGE,
        )
    )  # fmt: skip
    found = verify_all(VerifySettings("mine", str(tmp_path), workers=2))
    assert found.sound and (found.checked.images, found.checked.masks) == (60, 510)
    areas = [None if e["iscrowd"] else e["area"] for e in instances["annotations"]]  # crowds: vague
    by_id = {}
    for split in ("train", "val"):
        path = tmp_path / f"data_v3/anns/mine/{split}.json"
        by_id |= {int(e["segment_id"]): e for e in json.loads(path.read_text())}
    for number, area in zip(sorted(by_id), areas, strict=True):
        path = tmp_path / f"data_v3/masks/mine/{number}.png"
        drawn = int((np.asarray(Image.open(path)) > 127).sum())
        assert area is None or abs(drawn - area) <= 0.06 * area + 40
