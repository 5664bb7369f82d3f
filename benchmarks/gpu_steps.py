"""Training steps on one device, measured so that the figures hold nothing else.

    bench = Bench(load_config("refcoco"), torch.device("cuda"))
    bench.measure(lambda: bench.ours(6, {"precision": "bfloat16"}), 6)
    bench.measure(bench.original, 6)

Before every measurement the card is emptied and compiled graphs are forgotten, so that each batch
is compiled for its own shapes alone. The peak of memory is that of the steps after the first three,
in which cuDNN tries its algorithms, which take many times the memory that training needs.
"""

import copy
import dataclasses
import functools
import gc
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
from harness import seconds_of
from noise import loss_of, random_batch, random_network
from original import Original
from torch.utils.flop_counter import FlopCounterMode

from data_preprocess.base.errors import unknown_name
from dghin.data.loading import Batch
from dghin.model.dghin import DGHIN
from dghin.run.config import Config
from dghin.run.processes import Place
from dghin.training.recipe import of_one_batch
from dghin.training.step import Stepper

GB = 10**9
RATE = 1e-6  # of learning: the weights hardly move
WARM = 3  # first steps at most, which do not count
TRIED = 2  # images of the step whose FLOPs are counted
SCHEDULE_IMAGES = 2.56e6  # of the paper's whole schedule
TF32 = ("default", "off", "on")
COMPILERS = ("inductor", "eager", "none")
FAST = {
    "precision": "bfloat16", "channels_last": True, "recompute": False, "compile": False,
    "checkpoint_activations": False,
}  # fmt: skip
PLAIN = FAST | {"precision": "float32", "channels_last": False}

Step = Callable[[list[Batch]], object]


class Bench:
    """The paper's network, or a smaller one, on a device, and what its speed is compared with.

    compiler: what compiles where a way asks for it: inductor, as the trainer does; eager, which
    finds the graphs and runs them as they are (to try a script); none.
    """

    def __init__(
        self, config: Config, device: torch.device, steps: int = 10, compiler: str = "inductor"
    ):
        if compiler not in COMPILERS:
            raise unknown_name("compiler", compiler, COMPILERS)
        self.config, self.device = config, device
        self.steps, self.warm, self.compiler = steps, min(WARM, steps), compiler
        self._executed: dict[tuple[Any, Any], float] = {}

    @functools.cached_property
    def network(self) -> DGHIN:
        """Random weights, kept in the host's memory: every step is taken on a copy."""
        return random_network(self.config)

    @functools.cached_property
    def rate(self) -> float:
        """FLOPs a second of a large product in bfloat16: the most that can be had here."""
        return matrix_rate(self.device, torch.bfloat16)

    @functools.cached_property
    def original_flops(self) -> float:
        """FLOPs of an image's forward and backward pass in the original's formulation."""
        return self._counted(self.original())

    def executed_flops(self, options: Mapping[str, Any]) -> float:
        """FLOPs of an image that a way really computes: what is computed twice counts twice.

        Counted without a compiler, which hides its products from the counter; it takes each once,
        as the network does without `recompute`.
        """
        key = options.get("recompute"), options.get("precision")
        if key not in self._executed:
            self._executed[key] = self._counted(self.ours(TRIED, {**options, "compile": False}))
        return self._executed[key]

    def _counted(self, step: Step) -> float:
        batches = [self.batch(TRIED)]
        with FlopCounterMode(display=False) as counter:
            step(batches)
        return counter.get_total_flops() / TRIED

    def batch(self, count: int) -> Batch:
        """Noise, in pinned memory before a GPU, as the loader's batches are."""
        batch = random_batch(self.config, count)
        if self.device.type != "cuda":
            return batch
        return {k: v.pin_memory() if torch.is_tensor(v) else v for k, v in batch.items()}

    def ours(self, batch: int, options: Mapping[str, Any]) -> Step:
        """The trainer's own step at so many expressions. options: of TrainConfig."""
        own = options.get("compile", False) and self.compiler == "inductor"
        train = dataclasses.replace(self.config.train, **{**options, "compile": own})
        config = dataclasses.replace(self.config, train=train)
        model = copy.deepcopy(self.network).to(self.device)
        recipe = of_one_batch(train, batch, 10, self.device, RATE)
        if recipe.settings.channels_last:
            model.to(memory_format=torch.channels_last)
        stepper = Stepper(model, config, recipe, Place(0, 1, self.device))
        if options.get("compile") and self.compiler == "eager":
            stepper.network = torch.compile(stepper.network, backend="eager")
        stepper.training_mode()
        return lambda batches: stepper.step(batches, RATE)

    def original(self) -> Step:
        """The original's formulation: forward, backward, AdamW. Nothing of ours is on the card."""
        network = Original(self.network).to(self.device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)

        def step(batches: list[Batch]) -> None:
            loss_of(network, batches[0], self.device).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def measure(self, make: Callable[[], Step], batch: int) -> dict[str, Any]:
        """Images a second, ms a step, bytes of memory at the peak, and the first step's seconds.

        {"fits": False} where there is not enough memory.
        """
        held = settle(self.device)
        try:
            step, batches = make(), [self.batch(batch)]
            first = seconds_of(lambda: step(batches))
            for _ in range(self.warm - 1):
                step(batches)
            tried = reset_peak(self.device)
            passed = statistics.median(seconds_of(lambda: step(batches)) for _ in range(self.steps))
        except torch.OutOfMemoryError:
            return {"fits": False}
        return {
            "fits": True, "images a second": batch / passed, "ms a step": 1000 * passed,
            "peak memory": peak(self.device), "peak of the first steps": tried,
            "held before": held, "first step s": first,
        }  # fmt: skip

    def utilisations(self, speed: float, options: Mapping[str, Any] | None) -> dict[str, float]:
        """Shares of the card's bfloat16 rate at so many images a second: of the FLOPs that are
        executed, and of those that the original's formulation takes. options: None: its own."""
        of_original = self.original_flops
        executed = of_original if options is None else self.executed_flops(options)
        return {
            "utilisation of executed FLOPs": speed * executed / self.rate,
            "utilisation of the original FLOPs": speed * of_original / self.rate,
        }


def settle(device: torch.device) -> int:
    """Forget compiled graphs, free what nobody holds; → bytes of tensors still on the card.

    Each shape is compiled for itself: a second batch size would else make sizes symbols, and what
    is compiled with symbols is slower.
    """
    torch.compiler.reset()
    torch._dynamo.config.automatic_dynamic_shapes = False
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def reset_peak(device: torch.device) -> int:
    """Begin to count the peak of memory anew; → the peak so far, bytes."""
    before = peak(device)
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return before


def peak(device: torch.device) -> int:
    """The most bytes of tensors since the count began; 0 on a CPU, where torch does not count."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else 0


def matrix_rate(device: torch.device, kind: torch.dtype, size: int = 8192) -> float:
    """FLOPs a second of a large matrix product here."""
    size = size if device.type == "cuda" else 512
    one = torch.randn(size, size, device=device, dtype=kind)
    for _ in range(3):
        one @ one
    seconds = statistics.median(seconds_of(lambda: one @ one) for _ in range(10))
    return 2 * size**3 / seconds


def set_tf32(policy: str) -> None:
    """default: as torch has it (convolutions only); off, on: in products and convolutions."""
    if policy not in TF32:
        raise unknown_name("tf32", policy, TF32)
    if policy != "default":
        torch.set_float32_matmul_precision("high" if policy == "on" else "highest")
        torch.backends.cudnn.allow_tf32 = policy == "on"


def tf32() -> dict[str, Any]:
    """Whether float32 is shortened to TF32 on a card, in each place where torch decides it."""
    return {
        "matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def tf32_text() -> str:
    """The same as a line."""
    return "TF32: " + ", ".join(f"{name}={value}" for name, value in tf32().items())
