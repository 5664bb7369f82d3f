"""All settings, as frozen dataclasses; YAML files in `presets/` and `key=value` words on top.

    config = load_config("demo", ["train.iterations=100", "data.root=data/shapes"])

The defaults are the paper's. A config file names another as its `base`; unknown keys are refused.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import write_text
from data_preprocess.base.settings import PathText, build, flatten, to_mapping
from data_preprocess.base.yaml_files import read_yaml
from data_preprocess.prepared.manifest import prepared_root
from data_preprocess.raw.datasets import DRAWN, is_drawn, true_name

CONFIGS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class ModelConfig:
    """The network's shape. The defaults are the paper's: Swin-B and BERT-base at 416."""

    image_size: int = 416  # S: images are resized to S×S
    words: int = 17  # L: word pieces of an expression, [CLS] and [SEP] included
    width: int = 512  # D: channels of every level
    backbone: str = "swin_base_patch4_window12_384"  # a timm name with maps at strides 4, 8, 16, 32
    drop_path: float = 0.2  # stochastic depth of the backbone, rising linearly
    text_width: int = 768  # the text encoder: a BERT with these sizes
    text_layers: int = 12
    text_heads: int = 12
    text_mlp_width: int = 3072
    text_dropout: float = 0.1
    vocabulary: int = 30522
    # parts that can be left out, to see what each brings (ablations)
    text_graph: bool = True  # words passed along the edges of the parse
    visual_graph: bool = True  # patches passed along the learnt adjacency
    # how it compares patches: without 1/sqrt(D), with it, or by the cosine (model/graphs.py)
    visual_graph_scale: Literal["paper", "scaled", "normalised"] = "paper"
    interaction: Literal["both", "entity", "graph"] = "both"  # where words meet patches
    part_of_speech: bool = True  # in the words' embedding
    auxiliary_heads: bool = True  # the four coarser masks, which only the loss uses


@dataclass(frozen=True)
class DataConfig:
    """Where the data lies and how sentences were read."""

    root: PathText = "data"  # the raw data set's folder, laid out as the original's
    prepared: PathText = ""  # the prepared data set's folder; empty: <root>/data_v3
    images: PathText = ""  # the folder of the photos, where it is not that of the prepared data
    dataset: str = "refcoco"  # a name of data_preprocess.raw.datasets, joint, or one of your own
    members: tuple[str, ...] = ()  # the data sets that `joint` puts together
    train_split: str = "train"
    val_split: str = "val"
    test_splits: tuple[str, ...] = ("testA", "testB")
    tokenizer: str = "bert-base-uncased"  # hub name, folder, or package:NAME/FOLDER
    parser: str = "en_core_web_lg"  # a spaCy pipeline
    alignment: Literal["paper", "aligned"] = "paper"
    shapes: int = 0  # > 0: the embedded data set of so many scenes is drawn into `root` first

    @property
    def drawn(self) -> bool:
        """Whether these are the embedded data set's drawn scenes, which no paper has scored."""
        return self.shapes > 0 or is_drawn(self.dataset)

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """The splits that are scored: val, then the test splits, each once."""
        return tuple(dict.fromkeys(s for s in (self.val_split, *self.test_splits) if s))

    @property
    def shown_split(self) -> str:
        """The split that figures show: the first test split, or val where there is none."""
        return next((split for split in (*self.test_splits, self.val_split) if split), "")

    @property
    def prepared_root(self) -> Path:
        """The prepared data set's folder."""
        return prepared_root(self.root, self.prepared)


@dataclass(frozen=True)
class WeightsConfig:
    """Weights that training starts from; empty: random."""

    # a whole trained network instead of the two below: reports/RUN, a folder of weights, OWNER/NAME
    network: str = ""
    backbone: str = "pretrained_weights/swin_base_patch4_window12_384_22k.pth"
    text: str = "bert-base-uncased"


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. `training.recipe` derives from it what a run does on the hardware at hand."""

    seed: int = 0
    batch: int = 24  # expressions of a step, over all processes and accumulation; 0: what fits
    flip: float = 0.0  # chance that an epoch shows a photo mirrored, left and right exchanged
    # the most that go through the network at once on one process; 0: what fits (on a CPU: 6)
    batch_per_process: int = 0
    processes: int = 0  # 0: all GPUs (else 4, or the cores); accumulation keeps `batch`
    expressions_per_image: int = 1  # > 1: that many expressions share one image in a batch
    iterations: int = 320_000
    warmup: int = 40_000
    validate_every: int = 40_000
    iterations_of: int = 8  # the three above count steps of so many expressions; 0: real steps
    schedule: Literal["paper", "poly"] = "paper"  # poly: a step of the decay an iteration, as LAVT
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: matrices by Muon, the rest by AdamW
    # > 0: heads start at this share of referent's pixels, without weights.network; 0: as drawn
    head_start: float = 0.0
    learning_rate: float = 3e-5
    final_learning_rate: float = 3e-7
    power: float = 2.0
    weight_decay: float = 0.01
    backbone_learning_rate_scale: float = 1.0
    text_learning_rate_scale: float = 1.0
    keep_encoded: bool = False  # of a frozen text encoder: keep the encoded sentences on the disk
    keep_maps: bool = False  # of a frozen pyramid: compute each photo's maps once (frozen.py)
    referent_weight: float = 1.1  # of a referent's pixel in the loss; one of the background: 0.9
    clip_gradient: float = 0.0  # the largest norm of the gradient; 0: not clipped
    skip_limit: int = 10  # steps skipped for a non-finite loss, after which the run stops
    validate_expressions: int = 0  # 0: the whole split
    log_every: int = 50
    tensorboard: bool = True  # also write TensorBoard's curves, where it is installed
    save_minutes: float = 10.0  # between checkpoints, written beside the training; 0: not by time
    save_every: int = 0  # > 0: a checkpoint after so many steps, too; each validation writes one
    keep_checkpoints: int = 2
    # auto: as the device is best used; on a CPU float32, false, false, true, off
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: Literal["auto", True, False] = "auto"  # faster after minutes; other random numbers
    channels_last: Literal["auto", True, False] = "auto"  # memory layout of convolutions
    recompute: Literal["auto", True, False] = "auto"  # cheap activations twice instead of kept
    joint_norm: Literal["auto", "on", "off"] = "auto"  # batch norms count over all processes
    matmul_precision: Literal["highest", "high", "medium"] = "highest"  # high: TF32 on GPUs
    gradient_compression: Literal["none", "bfloat16"] = "none"  # of what processes send each other
    gradient_bucket: int = 25  # MiB of gradients that processes send at once
    deterministic: bool = False  # two runs on one machine are equal bit for bit; slower on GPUs
    checkpoint_activations: bool = False  # still less memory, about a third more time, the same
    workers: int = 4
    prefetch: int = 4  # batches that each worker reads ahead
    threads: int = 0  # CPU threads of a process; 0: the cores divided by the processes
    stop_at: int = 0  # > 0: save and stop after this step, as if asked to
    resume_changed: bool = False  # go on from checkpoints of other settings, data or processes
    max_restarts: int = 0  # times that torchrun starts all processes again when one dies


@dataclass(frozen=True)
class EvaluateConfig:
    """How splits are scored."""

    batch: int = 4  # images that a worker reads at a time; changes no digit
    workers: int = 2
    best_by: Literal["paper", "strict"] = "strict"  # the protocol that picks the checkpoint on val
    expressions: int = 0  # 0: all; else the first so many of a split, for trials
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: faster, a few other pixels


@dataclass(frozen=True)
class Config:
    """A whole run."""

    name: str = "refcoco"
    notebooks: tuple[str, ...] = ()  # that `dghin.reproduce` runs; empty: 01 to 06
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


def load_config(name: str, overrides: Iterable[str] = ()) -> Config:
    """The config called `name` (of `presets/`, or a YAML file's path), with overrides on top."""
    config = build(Config, read_config(name), overrides)
    for key, value in flatten(to_mapping(config)).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key}={value}: expected a finite number.")
    return _truly_named(config)


def _truly_named(config: Config) -> Config:
    """The config with drawn scenes called so; older ones call them by the layout of their files."""
    data = config.data
    layout = data.dataset
    name = DRAWN.get(layout, layout) if data.shapes else true_name(layout, Path(data.root))
    return replace(config, data=replace(data, dataset=name))


def read_config(name: str, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping of a config file, laid over that of its `base`; above: files that lead here."""
    path = Path(name).expanduser() if is_file_name(name) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        if path.parent == CONFIGS:
            raise unknown_name("config", name, sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise UserError(
            f"{path.absolute()}: no such config file. Give a YAML file or a name of {CONFIGS}."
        )
    if path.resolve() in above:
        raise UserError(f"{path}: its base is, in the end, itself. Name another base.")
    values = read_yaml(path, "Correct it.", as_written=True)
    if not (values is None or isinstance(values, dict)):
        raise UserError(f"{path}: a config is a mapping of keys to values. Correct it.")
    values = dict(values or {})
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise UserError(f"{path}: base: expected a config's name or file. Correct it.")
    beside = path.parent / base  # as seen from the working folder, or from this file
    if is_file_name(base) and not Path(base).expanduser().is_file() and beside.is_file():
        base = str(beside)
    return merge(read_config(base, (*above, path.resolve())), values)


def is_file_name(name: str) -> bool:
    """Whether a config is meant by its file, not by a preset's name."""
    return name.endswith((".yaml", ".yml"))


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A nested mapping laid over another."""
    merged = dict(under)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


WITHOUT_EFFECT = (  # on a training's result
    "name", "notebooks", "data.root", "data.prepared", "data.images", "data.shapes",
    "data.test_splits", "train.workers", "train.threads", "train.log_every",
    "train.tensorboard", "train.processes",
    "train.skip_limit", "train.save_every", "train.save_minutes",
    "train.keep_checkpoints", "train.prefetch",
    "train.keep_encoded", "train.recompute", "train.checkpoint_activations", "train.stop_at",
    "train.resume_changed", "train.max_restarts", "train.gradient_bucket",
    "evaluate.batch", "evaluate.workers", "evaluate.expressions",
)  # fmt: skip


def settings_with_effect(config: Config) -> dict[str, Any]:
    """The settings that a training's result depends on, as dotted keys."""
    settings = flatten(to_mapping(config))
    return {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}


def save_config(config: Config, path: Path) -> None:
    """Write a whole config as YAML; `load_config(str(path))` reads it back."""
    write_text(path, yaml.safe_dump(to_mapping(config), sort_keys=False))
