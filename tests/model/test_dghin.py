"""The network's shapes and invariants (small), and its recorded outputs (full size, slow)."""

import json
import sys

import numpy as np
import pytest
import torch
from helpers.tiny import GOLDEN

from dghin import DGHIN, ModelConfig
from dghin.model.original import DROPPED, convert_state_dict, rename
from dghin.training.losses import segmentation_loss

sys.path.insert(0, str(GOLDEN))
import stand_in  # noqa: E402

NAMES = ("image", "word_ids", "attention_mask", "pos", "adjacency")
PROBES = {
    "bert_context": "context",
    "bert_words": "text_encoder",
    "mapping_word": "embedding.word",
    "mapping_hT": "context_projection",
    "pos_encoder": "embedding.pos",
    "word_pos": "embedding",
    "v_0_conv2": "shallow_level",
    **{f"wordvisual{i}": f"levels.{i - 1}.entity_attention" for i in (1, 2, 3)},
    **{f"graph_wordvisual{i}": f"levels.{i - 1}.graph_attention" for i in (1, 2, 3)},
    **{f"text_graph_{i}": f"levels.{i - 1}.text_graph" for i in (1, 2, 3)},
    **{f"vis_graph_{i}": f"levels.{i - 1}.visual_graph" for i in (1, 2, 3)},
    **{f"fea_fuse_{i}": f"levels.{i - 1}.merge" for i in (1, 2, 3)},
    **{f"fuse_{i}": f"decoder.merge.{i}" for i in (0, 1, 2)},
    "backbone": "visual_encoder",
}


def inputs(batch: int = 2, size: int = 64) -> dict[str, torch.Tensor]:
    arrays = stand_in.model_inputs(3, batch, size)
    return {name: torch.from_numpy(a) for name, a in zip(NAMES, arrays, strict=True)}


def test_shapes(tiny_model):
    out = tiny_model(**inputs())
    assert out.mask.shape == (2, 2, 64, 64)
    assert [s.shape for s in out.scales] == [(2, 2, n, n) for n in (16, 8, 4, 2)]


def test_one_pass_over_an_image_serves_all_its_expressions(tiny_model):
    given = inputs(4)
    index = torch.tensor([0, 0, 1, 0])
    images = given.pop("image")[:2]
    shared = tiny_model(images, **given, image_index=index)
    repeated = tiny_model(images[index], **given)
    torch.testing.assert_close(shared.mask, repeated.mask, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_input_matters(tiny_model, name):
    given = inputs()
    before = tiny_model(**given).mask
    changed = given[name].clone()
    if name == "adjacency":
        changed[:, 1] = 0
        changed[:, 1, 2] = 1 - given[name][:, 1, 2]
    else:
        changed = changed.flip(-1)
    assert not torch.equal(before, tiny_model(**given | {name: changed}).mask)


@pytest.fixture(scope="module")
def paper():
    """The paper's network with the recorded weights, in float64.

    What is then seen is the record's own rounding (float32), the same on every machine; in
    float32 ours comes on top, and differs from processor to processor.
    """
    model = DGHIN(ModelConfig())
    state = convert_state_dict(
        {k: torch.from_numpy(np.asarray(v)) for k, v in stand_in.reference_state_dict().items()}
    )
    model.load_state_dict(state, strict=True)
    return model.double().eval()


def recorded_inputs() -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    recorded = dict(np.load(GOLDEN / "model_outputs.npz"))
    given = {name: torch.from_numpy(recorded[name]) for name in NAMES}
    return {name: x.double() if x.is_floating_point() else x for name, x in given.items()}, recorded


@pytest.mark.slow
def test_recorded_outputs_and_probes(paper):
    given, recorded = recorded_inputs()
    found: dict[str, torch.Tensor] = {}
    modules = dict(paper.named_modules())
    handles = [
        modules[ours].register_forward_hook(lambda _m, _i, out, n=name: found.update({n: out}))
        for name, ours in PROBES.items()
    ]
    with torch.inference_mode():
        out = paper(**given)
    for handle in handles:
        handle.remove()
    found["bert_words"] = found["bert_words"].last_hidden_state
    found |= {f"backbone_{i}": x for i, x in enumerate(found.pop("backbone"))}
    assert len(found) == 29
    differences = {"seg": np.abs(out.mask.numpy() - recorded["seg"]).max()}
    for i, logits in enumerate(out.scales):
        differences[f"scale{i}"] = np.abs(logits.numpy() - recorded[f"scale{i}"]).max()
    for name, value in found.items():
        picked = value.flatten()[torch.from_numpy(recorded[f"probe_{name}_index"])]
        differences[name] = np.abs(picked.numpy() - recorded[f"probe_{name}_value"]).max()
    assert max(differences.values()) < 1e-4, differences


@pytest.mark.slow
def test_recorded_losses_and_gradients(paper):
    given, recorded = recorded_inputs()
    golden = json.loads((GOLDEN / "gradients.json").read_text())
    paper.zero_grad()
    losses = segmentation_loss(paper(**given), torch.from_numpy(recorded["mask"]))
    names = ("seg", "scale0", "scale1", "scale2", "scale3")
    found = np.array([losses[name].item() for name in names])
    assert np.abs(found - recorded["losses"]).max() < 1e-5
    assert losses["total"].item() == pytest.approx(golden["total_loss"], abs=1e-5)
    losses["total"].backward()
    parameters = dict(paper.named_parameters())
    compared = 0
    for name, norm in golden["gradient_norms"].items():
        if DROPPED.fullmatch(name) or norm is None:
            continue
        ours = parameters[rename(name)].grad.norm().item()
        # gradients that vanish by symmetry (biases before a softmax or a norm) are rounding noise
        assert ours == pytest.approx(norm, rel=0.005, abs=1e-5), name
        compared += 1
    assert compared > 300
