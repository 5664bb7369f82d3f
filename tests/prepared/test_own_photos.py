"""Photos of a data set of your own that their camera turned: outlines and pixels in one frame."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.raw_trees import write_refer
from PIL import Image, ImageDraw

from data_preprocess.base.errors import UserError
from data_preprocess.cli import main
from data_preprocess.prepared.custom import CustomSettings, prepare_custom
from data_preprocess.prepared.one_dataset import PrepareSettings
from data_preprocess.prepared.prepare import prepare
from data_preprocess.verify.verify import VerifySettings, verify_all
from dghin.data.dataset import PreparedDataset
from dghin.data.split import PreparedSplit
from dghin.evaluation.segmenters.answerers import Outside
from dghin.inspection.predictor import as_photo
from dghin.run.config import load_config
from dghin.run.environment import data_digests

BACK = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270}  # upright → as a camera stores it  # fmt: skip


def write_own(root, orientation, size=(80, 60), upright=True):
    """A red square, stored as a camera turned by so much stores it; outlined over the upright
    photo, or over what is stored. size: (width, height), upright."""
    photo = Image.new("RGB", size, (40, 90, 60))
    ImageDraw.Draw(photo).rectangle((10, 10, 29, 24), fill=(220, 20, 20))
    stored = photo.transpose(BACK[orientation]) if BACK[orientation] else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    root.mkdir(parents=True, exist_ok=True)
    stored.save(root / "a.png", exif=exif)
    shown = np.asarray(photo if upright else stored)
    rows, columns = np.nonzero((shown[..., 0] > 150) & (shown[..., 1] < 100))
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    outline = [int(value) for value in (x0, y0, x1, y0, x1, y1, x0, y1)]
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": shown.shape[0],
                    "width": shown.shape[1]}],
        "annotations": [{"id": 1, "image_id": 1, "segmentation": [outline]}],
    }  # fmt: skip
    (root / "coco.json").write_text(json.dumps(coco))
    (root / "table.csv").write_text(
        "image,annotation,expression,split\na.png,1,the red square,train\n"
    )
    return root


def settings(root, **others):
    values = {"dataset": "mine", "table": str(root / "table.csv"), "coco": str(root / "coco.json"),
              "data": str(root / "data"), "parser": "none", "workers": 1}  # fmt: skip
    return CustomSettings(**(values | others))


def overlap(root):
    """The IoU of the mask with the red square in the photo that the data set shows."""
    split = PreparedSplit(root / "data/data_v3", "mine", "train")
    photo, mask = np.asarray(split.image(0)), split.truth(0)
    red = (photo[..., 0] > 150) & (photo[..., 1] < 100)
    return (mask & red).sum() / (mask | red).sum()


def sound(root):
    return verify_all(VerifySettings("mine", str(root / "data"), workers=1)).checked.problems


@pytest.mark.parametrize("orientation", [6, 8])
@pytest.mark.parametrize("upright", [True, False])
def test_the_sizes_decide(tmp_path, orientation, upright):
    root = write_own(tmp_path, orientation, upright=upright)
    manifest = prepare_custom(settings(root))
    assert manifest["upright"] is upright and overlap(root) == 1 and sound(root) == []


@pytest.mark.parametrize(("orientation", "size"), [(3, (80, 60)), (6, (70, 70)), (8, (70, 70))])
def test_where_they_do_not_it_must_be_said(tmp_path, orientation, size):
    root = write_own(tmp_path, orientation, size)
    with pytest.raises(UserError, match=r"a\.png: .*EXIF.*upright=true .*upright=false"):
        prepare_custom(settings(root))
    assert not (root / "data").exists()
    manifest = prepare_custom(settings(root, upright=True))
    assert overlap(root) == 1 and sound(root) == [] and "upright=true" in manifest["command"]
    prepare_custom(settings(root, upright=False))
    assert overlap(root) < 0.5


def test_photos_that_no_camera_turned_leave_no_trace(tmp_path):
    root = write_own(tmp_path, 1)
    assert "upright" not in prepare_custom(settings(root)) and overlap(root) == 1


def test_a_wrong_word_of_the_user_names_exif(tmp_path):
    root = write_own(tmp_path, 6)
    with pytest.raises(UserError, match=r"EXIF orientation 6.*photo upright.*Say upright=true"):
        prepare_custom(settings(root, upright=False))


def test_a_mask_image_decides_by_its_own_size(tmp_path):
    root = write_own(tmp_path, 6)
    drawn = np.zeros((60, 80), np.uint8)
    drawn[10:25, 10:30] = 255
    Image.fromarray(drawn).save(root / "mask.png")
    (root / "table.csv").write_text("image,mask,expression,split\na.png,mask.png,red,train\n")
    assert prepare_custom(settings(root, coco=""))["upright"] is True and overlap(root) == 1


def test_everyone_reads_the_same_pixels(tmp_path):
    root = write_own(tmp_path, 6)
    prepare_custom(settings(root))
    place = (root / "data/data_v3", "mine", "train")
    split, network = PreparedSplit(*place), PreparedDataset(*place, image_size=60)
    photo = np.asarray(split.image(0))
    assert np.array_equal(photo, as_photo(root / "a.png"))  # predict and the page
    assert np.array_equal(photo, Outside(None, "any").load(split, "a.png"))
    small = split.image(0).resize((60, 60), Image.Resampling.BICUBIC)
    assert np.array_equal(network.inputs(0)["image"].permute(1, 2, 0), small)
    assert not np.array_equal(photo.shape, np.asarray(as_photo(root / "a.png", False)).shape)


def test_an_older_set_that_does_not_say_it_is_a_problem(tmp_path):
    root = write_own(tmp_path, 3)
    prepare_custom(settings(root, upright=True))
    path = root / "data/data_v3/anns/mine/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["upright"]
    path.write_text(json.dumps(manifest))
    ((where, what),) = sound(root)
    assert where.endswith("a.png") and "EXIF orientation 3" in what and "Prepare" in what


def test_what_was_trained_on_depends_on_it(tmp_path):
    root = write_own(tmp_path, 3)
    config = load_config("custom", [f"data.root={root / 'data'}", "data.dataset=mine"])
    digests = []
    for upright in (True, False):
        prepare_custom(settings(root, upright=upright))
        digests.append(data_digests(config))
    assert digests[0] != digests[1]


def test_known_data_sets_are_as_stored(tmp_path):
    """Whatever EXIF says: their outlines are over the pixels, and no byte of theirs changes."""
    raw = write_refer(tmp_path)
    settings = PrepareSettings("refcoco", str(raw), parser="none", workers=1)
    before = prepare(settings)
    photo = raw / "images/train2014/COCO_train2014_000000000001.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(photo).save(photo, exif=exif)
    assert prepare(settings) == before and "upright" not in before
    found = verify_all(VerifySettings("refcoco", str(raw), form="prepared", workers=1))
    assert found.checked.problems == []
    with pytest.raises(UserError, match="upright=true: the outlines of 'refcoco' .* as they are"):
        prepare(replace(settings, upright=True))


def test_photos_of_16_bits(tmp_path, capsys):
    root = write_own(tmp_path, 1)
    deep = np.full((60, 80), 30_000, np.uint16)
    Image.fromarray(deep).save(root / "a.png")
    prepare_custom(settings(root))
    split = PreparedSplit(root / "data/data_v3", "mine", "train")
    assert np.unique(split.image(0)).tolist() == [30_000 >> 8] and sound(root) == []
    Image.fromarray(deep.astype(np.float32)).save(root / "a.png", format="TIFF")
    assert "decimal point" in sound(root)[0][1]


def test_the_command_takes_it(tmp_path, capsys):
    root = write_own(tmp_path, 3)
    words = [f"table={root / 'table.csv'}", f"coco={root / 'coco.json'}", f"data={root / 'data'}"]
    assert main(["custom", "mine", *words, "parser=none", "workers=1"]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert main(["custom", "mine", *words, "parser=none", "workers=1", "upright=true"]) == 0
    assert overlap(root) == 1
