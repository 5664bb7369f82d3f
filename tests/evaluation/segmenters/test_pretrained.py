"""What all adapters share: a photo seen once, batches of expressions, weights, facts, digests."""

import json
import shutil

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from torch import nn

from data_preprocess.base.errors import UserError
from dghin.evaluation.answers import as_answer
from dghin.evaluation.segmenters.load import load_segmenter
from dghin.evaluation.segmenters.pretrained import facts_of, weights_digest

# isort: split
from safetensors.torch import load_file, save_file

WRITERS = {
    "clipseg": tiny_models.write_tiny_clipseg,
    "sam3": tiny_models.write_tiny_sam3,
    "florence2": tiny_models.write_tiny_florence2,
    "grounded_sam2": tiny_models.write_tiny_grounded_sam2,
}
TEXTS = ["the red circle", "", "a man left of the dog, no. 5", "blue", "star on top of a dog"]


@pytest.fixture(scope="module", params=WRITERS)
def name(request, tmp_path_factory):
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def segmenter(name):
    return load_segmenter(f"hf:{name}")


@pytest.fixture
def other_photo():
    pixels = np.random.default_rng(1).integers(0, 255, (70, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def assert_same(answers, others):
    """The same answers up to rounding; in a mask, of which at most two pixels may turn over."""
    assert len(answers) == len(others)
    for one, other in zip(answers, others, strict=True):
        assert (one.form, one.no_target) == (other.form, other.no_target)
        a, b = (np.asarray(answer.values) for answer in (one, other))
        assert a.shape == b.shape
        if one.form == "mask":
            assert (a != b).sum() <= 2
        else:
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_photo_seen_once_serves_all_its_expressions(segmenter, photo, other_photo):
    seen, other = segmenter.look(photo), segmenter.look(other_photo)
    first = segmenter.answer(seen, TEXTS)
    segmenter.answer(other, TEXTS)  # between them, and nothing of it stays
    assert_same(segmenter.answer(seen, TEXTS), first)
    assert_same(segmenter.answer(segmenter.look(photo), TEXTS), first)


def test_a_batch_is_one_by_one(segmenter, photo):
    seen = segmenter.look(photo)
    alone = [segmenter.answer(seen, [text])[0] for text in TEXTS]
    assert_same(segmenter.answer(seen, TEXTS), alone)
    assert_same(segmenter.answer(seen, TEXTS[::-1])[::-1], alone)


def test_answers_fit_their_photo(segmenter, other_photo):
    for given in segmenter.answer(segmenter.look(other_photo), TEXTS):
        as_answer(given, (70, 50))
    assert segmenter.answer(segmenter.look(other_photo), []) == []


def test_at_most_sixteen_at_once(segmenter, photo, monkeypatch):
    sizes = []
    read = segmenter.read

    def counted(seen, expressions):
        sizes.append(len(expressions))
        return read(seen, expressions)

    monkeypatch.setattr(segmenter, "read", counted)
    assert len(segmenter.answer(segmenter.look(photo), TEXTS * 4)) == 20
    assert max(sizes) == segmenter.at_once <= 16 and sum(sizes) == 20


def test_it_is_float32_in_eval_mode_and_keeps_no_gradients(segmenter, photo):
    for model in segmenter.parts.values():
        assert not model.training
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for given in segmenter.answer(segmenter.look(photo), TEXTS[:1]):
        assert not getattr(given.values, "requires_grad", False)


def test_the_digest_changes_with_a_weight(segmenter, name):
    again = load_segmenter(f"hf:{name}")
    assert again.digest == segmenter.digest
    assert len(again.digest) == 64 and int(again.digest, 16)
    for part, model in again.parts.items():
        changed = load_segmenter(f"hf:{name}")
        with torch.no_grad():
            list(changed.parts[part].parameters())[-1].view(-1)[0] += 1e-3
        assert changed.digest != segmenter.digest, model


def test_weights_that_are_missing_are_an_error(name, tmp_path):
    first, plus, rest = name.partition("+")
    shutil.copytree(first, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    weights = load_file(file)
    lost = next(key for key in weights if key.endswith("norm1.weight") or "layer_norm" in key)
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="hold no weights for .*norm"):
        load_segmenter(f"hf:{tmp_path / 'copy'}{plus}{rest}")


def test_a_file_that_is_missing_is_an_error(name, tmp_path):
    first, plus, rest = name.partition("+")
    shutil.copytree(first, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded from this folder.*hf download"):
        load_segmenter(f"hf:{tmp_path / 'copy'}{plus}{rest}")


def test_digests_know_names_types_and_shapes():
    layer = nn.Linear(2, 3, bias=False)
    digest = weights_digest({"a": layer})
    assert digest == weights_digest({"a": layer})
    assert digest != weights_digest({"b": layer})
    assert digest != weights_digest({"a": layer.double()})
    turned = nn.Linear(3, 2, bias=False)
    turned.weight.data = layer.float().weight.data.reshape(2, 3)
    assert digest != weights_digest({"a": turned})


def test_facts_of_a_folder(tmp_path):
    folder = tmp_path / "clipseg"
    folder.mkdir()
    assert facts_of(str(folder), {}) == {"name": "clipseg"}
    (folder / "README.md").write_text("---\ntags: [a]\nlicense: apache-2.0\n---\n\n# CLIPSeg\n")
    assert facts_of(str(folder), {}, backbone="ViT") == {
        "name": "clipseg",
        "backbone": "ViT",
        "licence": "apache-2.0",
    }
    assert facts_of(str(folder), {"license": "mit"})["licence"] == "mit"


def test_facts_of_a_name_of_the_hub():
    link = "https://huggingface.co/CIDAS/clipseg-rd64-refined"
    assert facts_of("CIDAS/clipseg-rd64-refined", {}) == {
        "name": "CIDAS/clipseg-rd64-refined",
        "link": link,
    }
    assert facts_of("CIDAS/clipseg-rd64-refined", {}, "583b388")["link"] == f"{link}/tree/583b388"


def test_tiny_models_are_the_same_for_the_same_seed(tmp_path):
    write = tiny_models.write_tiny_clipseg
    names = [write(tmp_path / str(number), seed) for number, seed in enumerate((0, 0, 1))]
    digests = [load_segmenter(f"hf:{name}").digest for name in names]
    assert digests[0] == digests[1] != digests[2]
    assert json.loads((tmp_path / "0" / "config.json").read_text())["model_type"] == "clipseg"
