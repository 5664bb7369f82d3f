"""CLIPSeg's adapter gives what CLIPSegForImageSegmentation itself gives."""

import pytest
import torch
from tiny_models import write_tiny_clipseg

from dghin.evaluation.answers import as_answer
from dghin.evaluation.segmenters.load import load_segmenter

# isort: split
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

TEXTS = ["the red circle", "", "a man left of the dog, no. 5", "blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_clipseg(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(scope="module")
def segmenter(folder):
    return load_segmenter(f"hf:{folder}")


def plainly(folder, photo, text):
    """A photo and a text at a time, by the class's own forward."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    inputs = CLIPSegProcessor.from_pretrained(folder)(
        text=[text], images=[photo], return_tensors="pt"
    )
    with torch.inference_mode():
        return model(**inputs).logits.reshape(64, 64)


def test_logits_are_those_of_the_model_itself(folder, segmenter, photo):
    answers = segmenter.answer(segmenter.look(photo), TEXTS)
    assert len(answers) == len(TEXTS)
    for text, given in zip(TEXTS, answers, strict=True):
        checked = as_answer(given, (40, 60))
        assert (checked.form, checked.no_target) == ("logits", None)
        assert tuple(checked.values.shape) == (2, 64, 64)
        assert not checked.values[0].any()
        expected = plainly(folder, photo, text)
        torch.testing.assert_close(checked.values[1], expected, rtol=1e-4, atol=1e-5)
        softmax = checked.values.softmax(dim=0)[1]
        torch.testing.assert_close(softmax, expected.sigmoid(), rtol=1e-4, atol=1e-5)


def test_texts_make_a_difference(segmenter, photo):
    one, other = segmenter.answer(segmenter.look(photo), TEXTS[:2])
    assert ((one.values[1] > 0) != (other.values[1] > 0)).float().mean() > 0.01


def test_a_text_longer_than_the_model_reads_is_cut(segmenter, photo):
    seen = segmenter.look(photo)
    long, longer = segmenter.answer(seen, ["red " * 80, "red " * 90])
    torch.testing.assert_close(long.values, longer.values)


def test_facts(segmenter, folder):
    assert segmenter.facts["image_size"] == 64
    assert segmenter.facts["backbone"] == "CLIP ViT, 3 layers, patch 16"
    assert folder.endswith(segmenter.facts["name"])
    assert "link" not in segmenter.facts
