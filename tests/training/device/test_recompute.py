"""Every mode of the arithmetic agrees with the plain run."""

import dataclasses

import pytest
import torch

from dghin.data.batches import model_inputs
from dghin.run.precision import set_deterministic
from dghin.run.processes import Place
from dghin.training.losses import segmentation_loss
from dghin.training.trainer import Trainer

ALONE = Place(0, 1, torch.device("cpu"))


@pytest.fixture
def trainer_of(tiny_config, tmp_path):
    """A trainer with settings on top of the tiny ones, in a folder of its own."""

    def make(name="plain", model={}, **values):
        train = dataclasses.replace(tiny_config.train, **values)
        network = dataclasses.replace(tiny_config.model, **model)
        config = dataclasses.replace(tiny_config, train=train, model=network)
        return Trainer(config, tmp_path / name, ALONE)

    return make


def two_steps(trainer):
    """Losses of two steps; the trainer holds the weights after them."""
    torch.manual_seed(0)  # dropout
    trainer.stepper.training_mode()
    steps = trainer.steps()
    return [float(trainer.stepper.step(next(steps), 1e-3).losses["total"]) for _ in range(2)]


def first_gradients(trainer):
    """The loss of the first step, and every parameter's gradient over the norm of all."""
    torch.manual_seed(0)
    trainer.model.double()
    trainer.stepper.training_mode()
    losses = trainer.stepper.backward(next(trainer.steps())[0], True)
    gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
    norm = torch.nn.utils.get_total_norm(list(gradients.values()))
    return float(losses["total"]), {name: grad / norm for name, grad in gradients.items()}


def assert_gradients_agree(one, other):
    """Gradients, not weights: AdamW's first step is a sign and would blow rounding up.

    In float64: in float32 rounding alone moves the gradient of this network by two percent.
    """
    (loss, gradients), (other_loss, others) = first_gradients(one), first_gradients(other)
    assert other_loss == pytest.approx(loss, rel=1e-9)
    apart = [others[name] - value for name, value in gradients.items()]
    assert float(torch.nn.utils.get_total_norm(apart)) < 1e-5


def states(one, other):
    first, second = one.model.state_dict(), other.model.state_dict()
    return [(name, value, second[name]) for name, value in first.items()]


def test_activation_checkpointing_is_equal_to_the_last_bit(trainer_of):
    """With dropout, and with batch norms that count every batch once."""
    plain, saving = trainer_of(), trainer_of("saving", checkpoint_activations=True)
    assert two_steps(plain) == two_steps(saving)
    for name, value, other in states(plain, saving):
        assert torch.equal(value, other), name
    assert all(p.grad is None for p in saving.model.parameters())


def test_recomputing_what_is_cheap_is_equal_to_the_last_bit(trainer_of):
    plain, saving = trainer_of(recompute=False), trainer_of("saving", recompute=True)
    assert two_steps(plain) == two_steps(saving)
    for name, value, other in states(plain, saving):
        assert torch.equal(value, other), name
    assert saved_bytes(saving) < saved_bytes(plain)


def saved_bytes(trainer, **words):
    """Bytes that a forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    trainer.stepper.training_mode()
    batch = next(trainer.steps())[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = trainer.stepper.network(**model_inputs(batch))
    segmentation_loss(out, batch["mask"])
    return sum(kept.values())


def test_activation_checkpointing_keeps_less(trainer_of):
    saving = saved_bytes(trainer_of("saving", checkpoint_activations=True))
    assert saving < 0.6 * saved_bytes(trainer_of())


def test_channels_last_agrees(trainer_of):
    plain, other = trainer_of(channels_last=False), trainer_of("other", channels_last=True)
    assert all(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in other.model.parameters()
        if p.dim() == 4
    )
    assert_gradients_agree(plain, other)
    two_steps(other)


@pytest.mark.slow
def test_compiled_agrees(trainer_of):
    """Without dropout: a compiled network draws other random numbers."""
    model = {"text_dropout": 0.0}
    plain, other = trainer_of(model=model), trainer_of("other", model=model, compile=True)
    assert plain.model.state_dict().keys() == other.model.state_dict().keys()
    assert_gradients_agree(plain, other)
    two_steps(other)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near(trainer_of, precision):
    plain, half = trainer_of(), trainer_of(precision, precision=precision)
    assert two_steps(plain) == pytest.approx(two_steps(half), rel=0.03)
    assert all(p.dtype == torch.float32 for p in half.model.parameters())
    assert half.stepper.scaler.is_enabled() == (precision == "float16")


@pytest.fixture
def deterministic():
    set_deterministic(True)
    yield
    set_deterministic(False)


def test_two_deterministic_runs_are_equal(trainer_of, deterministic):
    one = trainer_of(deterministic=True, workers=1)
    other = trainer_of("other", deterministic=True, workers=1)
    assert two_steps(one) == two_steps(other)
    assert torch.are_deterministic_algorithms_enabled()
    for name, value, found in states(one, other):
        assert torch.equal(value, found), name
