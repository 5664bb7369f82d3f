"""The network's shapes and invariants (small), and its recorded outputs (full size, slow)."""

import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.tiny import GOLDEN

from dghin import DGHIN, ModelConfig
from dghin.model.levels import ShallowLevel, convolve_enlarged, with_coordinates
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


def test_coordinates():
    x = with_coordinates(torch.zeros(2, 3, 4, 4))
    assert x.shape == (2, 11, 4, 4)
    x_min, y_min, x_max, y_max, x_centre, y_centre, height, width = x[0, 3:]
    assert x_min[:, 0].tolist() == [-1, -0.5, 0, 0.5]  # "x" runs down the rows
    assert y_max[0].tolist() == [-0.5, 0, 0.5, 1]
    torch.testing.assert_close(x_centre, (x_min + x_max) / 2)
    torch.testing.assert_close(y_centre, (y_min + y_max) / 2)
    assert (height == 0.25).all() and (width == 0.25).all()
    assert x_max.max() == 1 and y_min.min() == -1


@pytest.mark.parametrize(("small", "large"), [((2, 3), (4, 6)), ((3, 5), (7, 8)), ((4, 1), (4, 2))])
def test_convolving_an_enlarged_map_without_enlarging_it(small, large):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, *small), torch.randn(6, 5, 3, 3)
    enlarged = F.interpolate(x, large, mode="bilinear", align_corners=False)
    found = convolve_enlarged(x, weight, large)
    torch.testing.assert_close(found, F.conv2d(enlarged, weight, padding=1), atol=1e-5, rtol=1e-5)


def test_the_shallow_level_is_a_convolution_of_image_words_and_coordinates():
    torch.manual_seed(0)
    level = ShallowLevel(4, 6).eval()
    visual, context = torch.randn(2, 4, 5, 7), torch.randn(2, 4)
    tile = F.normalize(context, dim=1)[:, :, None, None].expand(-1, -1, 5, 7)
    whole = with_coordinates(torch.cat([F.normalize(visual, dim=1), tile], dim=1))
    expected = torch.nn.Sequential.forward(level, whole)
    found = level(level.see(visual), context)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_losses_weigh_classes_and_scales():
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 8, 8, dtype=torch.uint8)
    mask[:, ::2] = 1
    scales = tuple(torch.zeros(2, 2, n, n) for n in (2, 1, 1, 1))
    from dghin.model.dghin import Output

    losses = segmentation_loss(Output(logits, scales), mask)
    weights = torch.where(mask == 1, 1.1, 0.9)
    likelihood = logits.log_softmax(1).gather(1, mask[:, None].long())[:, 0]
    expected = -(weights * likelihood).sum() / weights.sum()
    torch.testing.assert_close(losses["seg"], expected)
    assert losses["scale0"].item() == pytest.approx(0.5 * np.log(2))
    total = sum(v for k, v in losses.items() if k != "total")
    torch.testing.assert_close(losses["total"], total)


def test_paper_network_has_every_entry_of_the_original():
    with torch.device("meta"):
        own = {k: tuple(v.shape) for k, v in DGHIN(ModelConfig()).state_dict().items()}
    listed = json.loads((GOLDEN / "state_dict.json").read_text())
    assert len(listed) == 948
    converted = {
        ours: tuple(value.shape)
        for ours, value in convert_state_dict(
            {name: torch.empty(shape, device="meta") for name, shape, _ in listed}
        ).items()
    }
    assert converted == own


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
