"""Grounding DINO + SAM 2: the best box of the one, and the other's mask for it."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_sam2_config, write_tiny_grounded_sam2

from data_preprocess.base.errors import UserError
from dghin.evaluation.answers import as_answer
from dghin.evaluation.segmenters.grounded_sam2 import as_caption
from dghin.evaluation.segmenters.load import load_segmenter

# isort: split
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Sam2Model,
    Sam2Processor,
    Sam2VideoConfig,
    Sam2VideoModel,
)

TEXTS = ["the red circle", "", "a man left of the dog, no. 5", "Blue", "dog", "star"]
# of more than `at_once`


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return write_tiny_grounded_sam2(tmp_path_factory.mktemp("grounded"))


@pytest.fixture(scope="module")
def segmenter(name):
    return load_segmenter(f"hf:{name}")


def plainly(name, photo, text, threshold=0.25):
    """The best box and its mask, of a photo and a text at a time; None and None without one."""
    first, second = name.split("+")
    detector = GroundingDinoForObjectDetection.from_pretrained(first).eval()
    processor = GroundingDinoProcessor.from_pretrained(first)
    inputs = processor(images=photo, text=as_caption(text), return_tensors="pt")
    with torch.inference_mode():
        out = detector(**inputs)
    found = processor.post_process_grounded_object_detection(
        out, inputs.input_ids, threshold=threshold, target_sizes=[(40, 60)]
    )[0]
    if not len(found["scores"]):
        return None, None
    box = found["boxes"][found["scores"].argmax()].tolist()
    processor = Sam2Processor.from_pretrained(second)
    inputs = processor(images=photo, input_boxes=[[box]], return_tensors="pt")
    with torch.inference_mode():
        out = Sam2Model.from_pretrained(second).eval()(
            pixel_values=inputs.pixel_values, input_boxes=inputs.input_boxes, multimask_output=False
        )
    mask = processor.post_process_masks(out.pred_masks, inputs.original_sizes)[0]
    return box, mask[0, 0].numpy()


def test_masks_are_sam2s_for_the_best_box(name, segmenter, photo):
    seen = segmenter.look(photo)
    answers = segmenter.answer(seen, TEXTS)
    with torch.inference_mode():
        boxes = segmenter.boxes(seen, TEXTS)
    for text, given, box in zip(TEXTS, answers, boxes, strict=True):
        checked = as_answer(given, (40, 60))
        expected, mask = plainly(name, photo, text)
        assert (checked.form, checked.no_target) == ("mask", False)
        np.testing.assert_allclose(box, expected, rtol=1e-3, atol=1e-2)
        # a pixel whose logit is 0 to the last digit may fall on either side in a batch
        assert (np.asarray(checked.values) != mask).sum() <= 2
    assert len({tuple(np.round(box, 2)) for box in boxes}) > 1


def test_without_a_box_nothing_is_meant(name, segmenter, photo):
    with torch.inference_mode():
        scores = [best_score(segmenter, photo, text) for text in TEXTS]
    between = float(np.sort(scores)[-2:].mean())
    strict = load_segmenter(f"hf:{name}", {"threshold": between})
    answers = strict.answer(strict.look(photo), TEXTS)
    for given, score in zip(answers, scores, strict=True):
        assert given.no_target == (score <= between)
        assert given.values.shape == (40, 60)
        assert given.values.any() or score <= between
    assert sum(given.no_target for given in answers) == len(TEXTS) - 1


def best_score(segmenter, photo, text):
    inputs = segmenter.detector_processor(images=photo, text=as_caption(text), return_tensors="pt")
    return float(segmenter.detector(**inputs).logits.sigmoid().max())


def test_captions():
    assert as_caption("The man on the LEFT.") == "the man on the left."
    assert as_caption("no. 5, left?") == "no 5, left."
    assert as_caption("") == "."


def test_a_video_models_weights_are_read(name, segmenter, tmp_path, photo):
    # facebook/sam2-hiera-tiny is such a repository: model_type sam2_video.
    first, second = name.split("+")
    small = dict.fromkeys(
        (
            "memory_attention_hidden_size",
            "memory_attention_feed_forward_hidden_size",
            "memory_encoder_hidden_size",
            "memory_fuser_embed_dim",
            "memory_fuser_intermediate_dim",
            "mask_downsampler_embed_dim",
        ),
        32,
    )
    parts = tiny_sam2_config()
    video = Sam2VideoModel(
        Sam2VideoConfig(
            vision_config=parts.vision_config,
            prompt_encoder_config=parts.prompt_encoder_config,
            mask_decoder_config=parts.mask_decoder_config,
            image_size=64,
            memory_encoder_output_channels=16,
            **small,
        )
    )
    weights = Sam2Model.from_pretrained(second).state_dict()
    assert not video.load_state_dict(weights, strict=False).unexpected_keys
    video.save_pretrained(tmp_path)
    Sam2Processor.from_pretrained(second).save_pretrained(tmp_path)
    other = load_segmenter(f"hf:{first}+{tmp_path}")
    assert other.digest == segmenter.digest


def test_one_of_the_two_alone_is_refused(name):
    first, second = name.split("+")
    for one in (first, second):
        with pytest.raises(UserError, match=r"alone answers no expression.*DETECTOR\+SAM2"):
            load_segmenter(f"hf:{one}")
    with pytest.raises(UserError, match="unknown model_type in hf:.*'sam2'.*Known: grounding-dino"):
        load_segmenter(f"hf:{second}+{first}")


def test_revisions_are_two(name):
    with pytest.raises(UserError, match="revision=main: .* needs two"):
        load_segmenter(f"hf:{name}", {"revision": "main"})
    assert load_segmenter(f"hf:{name}", {"revision": "main+main"})


def test_facts(segmenter):
    assert segmenter.facts == {
        "name": "grounding-dino + sam2",
        "backbone": "swin + Hiera",
        "image_size": "64 (shorter side) + 64",
    }
