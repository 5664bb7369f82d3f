"""SAM 3's adapter gives the union of the instances that its own post-processing finds."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_sam3_config, write_tiny_sam3

from dghin.evaluation.answers import as_answer
from dghin.evaluation.segmenters.load import load_segmenter

# isort: split
from safetensors.torch import load_file, save_file
from transformers import Sam3Model, Sam3Processor, Sam3VideoConfig

TEXTS = ["the red circle", "", "a man left of the dog, no. 5", "blue", "a dog", "green triangle"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_sam3(tmp_path_factory.mktemp("sam3"))


@pytest.fixture(scope="module")
def segmenter(folder):
    return load_segmenter(f"hf:{folder}")


def plainly(folder, photo, text, threshold=0.5):
    """The instances' masks, (K, H, W), of a photo and a text at a time."""
    model = Sam3Model.from_pretrained(folder).eval()
    processor = Sam3Processor.from_pretrained(folder)
    inputs = processor(images=photo, text=text, return_tensors="pt")
    with torch.inference_mode():
        out = model(
            pixel_values=inputs.pixel_values,
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
        )
    return processor.post_process_instance_segmentation(
        out, threshold=threshold, mask_threshold=0.5, target_sizes=inputs.original_sizes.tolist()
    )[0]["masks"]


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_masks_are_the_union_of_its_own_instances(folder, photo, threshold):
    segmenter = load_segmenter(f"hf:{folder}", {"threshold": threshold})
    answers = segmenter.answer(segmenter.look(photo), TEXTS)
    counts = []
    for text, given in zip(TEXTS, answers, strict=True):
        checked = as_answer(given, (40, 60))
        masks = plainly(folder, photo, text, threshold)
        counts.append(len(masks))
        union = masks.sum(dim=0).numpy() > 0 if len(masks) else np.zeros((40, 60), bool)
        assert checked.form == "mask"
        assert checked.no_target == (not len(masks))
        # a pixel whose probability is 0.5 to the last digit may fall on either side in a batch
        assert (checked.values != union).sum() <= 2
    assert max(counts) > 1 or threshold == 0.5
    assert max(counts) > 0 and (min(counts) == 0 or threshold == 0.3)


def test_a_high_threshold_finds_nothing_anywhere(folder, photo):
    segmenter = load_segmenter(f"hf:{folder}", {"threshold": 0.99})
    for given in segmenter.answer(segmenter.look(photo), TEXTS):
        assert given.no_target is True
        assert given.values.shape == (40, 60) and not given.values.any()


def test_a_text_longer_than_the_model_reads_is_cut(segmenter, photo):
    (given,) = segmenter.answer(segmenter.look(photo), ["red circle " * 40])
    assert as_answer(given, (40, 60)).form == "mask"


def test_the_detector_of_a_video_model_is_read(folder, tmp_path, photo, segmenter):
    # facebook/sam3 is such a repository: model_type sam3_video, weights under detector_model.
    Sam3Processor.from_pretrained(folder).save_pretrained(tmp_path)
    Sam3VideoConfig(detector_config=tiny_sam3_config().to_dict()).save_pretrained(tmp_path)
    weights = load_file(f"{folder}/model.safetensors")
    video = {f"detector_model.{name}": value for name, value in weights.items()}
    save_file(video, tmp_path / "model.safetensors", metadata={"format": "pt"})
    other = load_segmenter(f"hf:{tmp_path}")
    assert other.digest == segmenter.digest
    (one,) = segmenter.answer(segmenter.look(photo), TEXTS[:1])
    (same,) = other.answer(other.look(photo), TEXTS[:1])
    assert (one.values == same.values).all()


def test_facts(segmenter):
    assert segmenter.facts["image_size"] == 112
    assert segmenter.facts["backbone"] == "ViT, 2 layers, patch 14"
