"""Florence-2's adapter draws the polygons that its own generation and processor give."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny_models import write_tiny_florence2

from dghin.evaluation.answers import as_answer
from dghin.evaluation.segmenters.florence2 import PROMPT, TASK
from dghin.evaluation.segmenters.load import load_segmenter

# isort: split
from transformers import Florence2ForConditionalGeneration, Florence2Processor

TEXTS = ["the red circle", "", "a man left of the dog, no. 5", "blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_florence2(tmp_path_factory.mktemp("florence2"))


@pytest.fixture(scope="module")
def segmenter(folder):
    return load_segmenter(f"hf:{folder}")


def plainly(folder, photo, text, beams):
    """The tokens and the mask of a photo and a text at a time."""
    model = Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = Florence2Processor.from_pretrained(folder)
    inputs = processor(text=TASK + text, images=photo, return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**inputs, num_beams=beams, do_sample=False)
    said = processor.batch_decode(tokens, skip_special_tokens=False)[0]
    found = processor.post_process_generation(said, task=TASK, image_size=photo.size)[TASK]
    mask = np.zeros(photo.size[::-1], bool)
    for instance in found["polygons"]:
        for polygon in instance:
            if len(polygon) >= 6:
                canvas = Image.new("L", photo.size)
                ImageDraw.Draw(canvas).polygon(polygon, fill=255, outline=255)
                mask |= np.array(canvas) > 0
    return tokens[0], mask


@pytest.mark.parametrize("beams", [1, 3])
def test_masks_are_its_own_polygons_filled(folder, photo, beams):
    segmenter = load_segmenter(f"hf:{folder}", {"beams": beams})
    seen = segmenter.look(photo)
    answers = segmenter.answer(seen, TEXTS)
    with torch.inference_mode():
        written = segmenter.write(seen[0], TEXTS)
    for text, given, tokens in zip(TEXTS, answers, written, strict=True):
        checked = as_answer(given, (40, 60))
        assert (checked.form, checked.no_target) == ("mask", None)
        expected, mask = plainly(folder, photo, text, beams)
        assert tokens[: len(expected)].tolist() == expected.tolist()
        assert np.array_equal(checked.values, mask)
        assert mask.any()
    assert len({given.values.tobytes() for given in answers}) > 1


@pytest.mark.parametrize("text", TEXTS)
def test_the_prompt_is_the_one_its_processor_makes(segmenter, photo, text):
    processor = segmenter.processor
    theirs = processor(text=TASK + text, images=photo, return_tensors="pt").input_ids[0].tolist()
    photo_tokens = theirs.count(processor.image_token_id)
    assert photo_tokens == segmenter.look(photo)[0].shape[1]
    ours = f"<s>{PROMPT.format(text.strip())}</s>"
    words = processor.tokenizer(ours, add_special_tokens=False).input_ids
    assert theirs == [processor.image_token_id] * photo_tokens + words


def test_several_polygons_are_one_mask(segmenter):
    def square(x, y):
        corners = [(x, y), (x + 99, y), (x + 99, y + 99), (x, y + 99)]
        return "".join(f"<loc_{a}><loc_{b}>" for a, b in corners)

    text = f"</s><s>{square(0, 0)}<sep>{square(500, 500)}</s><pad>"
    mask = segmenter.draw(text, (100, 200))  # width, height
    assert mask.shape == (200, 100)
    expected = np.zeros((200, 100), bool)
    expected[0:20, 0:10] = expected[100:120, 50:60] = True
    assert (mask & expected).sum() == expected.sum()
    assert mask.sum() <= expected.sum() + 4 * 20  # a border of one pixel


@pytest.mark.parametrize("text", ["", "</s><s>no location</s>", "</s><s><loc_1><loc_2><loc_3></s>"])
def test_without_a_polygon_the_mask_is_empty(segmenter, text):
    mask = segmenter.draw(text, (60, 40))
    assert mask.shape == (40, 60) and not mask.any()


def test_the_longest_answer_can_be_chosen(folder, segmenter, photo):
    assert segmenter.longest == 12  # of its generation_config.json
    short = load_segmenter(f"hf:{folder}", {"max_new_tokens": 5})
    with torch.inference_mode():
        assert short.write(short.look(photo)[0], ["red"]).shape[1] <= 6


def test_facts(segmenter):
    assert segmenter.facts["image_size"] == 64
    assert segmenter.facts["backbone"] == "DaViT of width 16"
