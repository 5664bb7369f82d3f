"""The network's parts: their shapes in one forward pass, their formulas beside their code.

    paper_parts()                # the paper's network at 416, on tensors without memory
    parts_table(model, inputs)   # any network, on inputs of its own
    formula_cards()              # Markdown: formula, and the forward pass that computes it

Shapes and counts come from the modules, by hooks, and the code from their source: none is typed.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dghin.data.batches import collate, model_inputs
from dghin.data.dataset import PreparedDataset
from dghin.model.dghin import DGHIN
from dghin.model.graphs import TextGraph, VisualGraph
from dghin.model.levels import Decoder, Merge, WordEmbedding
from dghin.model.word_attention import WordVisualAttention
from dghin.run.config import ModelConfig

COLUMNS = ["Part", "Class", "Reads", "Gives", "Parameters"]
FORMULAS: dict[type[nn.Module], str] = {
    WordEmbedding: r"f = L_2(\mathrm{PReLU}(\mathrm{BN}(W\,(w \odot p)))) + w",
    TextGraph: r"f' = L_2\Big(\mathrm{PReLU}\Big(b + \sum_j \frac{\hat{A}_{ij}}"
    r"{\sqrt{d_i d_j}}\,W h_j\Big)\Big) + f, \quad h = \mathrm{PReLU}(\mathrm{BN}(W_n f))",
    VisualGraph: r"u' = L_2(\mathrm{PReLU}(G X W_c)) + u, \quad "
    r"G = \mathrm{softmax}_{rows}\big((X W_1)(X W_2)^\top\big)",
    WordVisualAttention: r"a = \mathrm{softmax}_{words}(\mathrm{IN}(W_q v) \cdot W_k w), \quad "
    r"e = \mathrm{ReLU}(\mathrm{IN}(W_e \textstyle\sum a\, W_v w)), \quad "
    r"out = \mathrm{PReLU}(\mathrm{BN}(W_o(\mathrm{ReLU}(W_p v) \odot e)))",
    Merge: r"x_i = \mathrm{PReLU}(\mathrm{BN}(\mathrm{Conv}_{3\times3}"
    r"[\mathrm{enlarged}(x_{i+1}),\; L_2(v_i)]))",
    Decoder: r"x_3 = L_2(v_3), \quad x_i = \mathrm{Merge}_i(x_{i+1}, L_2(v_i)),\; i = 2, 1, 0",
}


def parts_of(model: DGHIN) -> Iterator[tuple[str, nn.Module]]:
    """The boxes of the paper's figure, with their names in the network: a level is several."""
    for name, part in model.named_children():
        if name == "levels":
            for number, level in enumerate(model.levels, start=1):
                yield from ((f"level {number}: {own}", box) for own, box in level.named_children())
        elif isinstance(part, nn.ModuleList):
            yield from ((f"{name}.{number}", one) for number, one in enumerate(part))
        else:
            yield name, part


@torch.no_grad()
def parts_table(model: DGHIN, inputs: Mapping[str, Any]) -> pd.DataFrame:
    """A row a part, in the order of one forward pass: COLUMNS, with the shapes that it had.

    inputs: what `DGHIN.forward` takes.
    """
    rows, reads = [], {}

    def before(name: str, part: nn.Module, given: tuple, named: dict) -> None:
        reads[name] = shapes([*given, *named.values()])

    def after(name: str, part: nn.Module, given: tuple, named: dict, out: Any) -> None:
        count = sum(parameter.numel() for parameter in part.parameters())
        rows.append([name, type(part).__name__, reads[name], shapes(out), count])

    hooks = []
    for name, part in parts_of(model):
        see, take = functools.partial(before, name), functools.partial(after, name)
        # first of all, before another hook changes what the part is given
        hooks.append(part.register_forward_pre_hook(see, with_kwargs=True, prepend=True))
        hooks.append(part.register_forward_hook(take, with_kwargs=True))
    try:
        model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return pd.DataFrame(rows, columns=COLUMNS)


def shapes(value: Any) -> str:
    """The shapes of the tensors in a value, as "1 × 512 × 52 × 52, ..."."""
    if isinstance(value, Tensor):
        return " × ".join(map(str, value.shape)) or "1"
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(inner, list | tuple) or isinstance(value, Mapping):
        return ", ".join(filter(None, map(shapes, inner)))
    return ""


def paper_parts(config: ModelConfig = ModelConfig()) -> pd.DataFrame:
    """`parts_table` of a network that takes no memory and computes nothing: shapes only."""
    with torch.device("meta"):
        model = DGHIN(config).eval()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        # BERT asks of a mask whether it hides anything: without numbers, nobody can say
        model.text_encoder.register_forward_pre_hook(
            lambda _, given, named: (given, {**named, "attention_mask": None}), with_kwargs=True
        )
        side, words = config.image_size, torch.zeros(1, config.words, dtype=torch.long)
        inputs = {
            "image": torch.zeros(1, 3, side, side),
            "word_ids": words,
            "attention_mask": words,
            "pos": words,
            "adjacency": torch.zeros(1, config.words, config.words),
        }
        return parts_table(model, inputs)


def walk(model: DGHIN, dataset: PreparedDataset, index: int) -> pd.DataFrame:
    """`parts_table` of one expression of a split, with its image."""
    batch = collate([dataset.inputs(index)], share_images=False)
    return parts_table(model, model_inputs(batch, next(model.parameters()).device))


def words_table(language: Any, part_names: tuple[str, ...]) -> pd.DataFrame:
    """What the network reads of an expression, a row a position: word, part of speech and head.

    language: data_preprocess.language.encoder.Language; part_names: names of its codes.
    """
    rows = []
    for place, word in enumerate(language.tokens[: len(language.pos) - 1], start=1):
        head = int(language.heads[place])
        of = "" if head < 1 else "root" if head == place else language.tokens[head - 1]
        code, piece = int(language.pos[place]), language.pieces[place - 1 : place]
        rows.append([place, *(piece or ("",)), word, part_names[code], of])
    return pd.DataFrame(rows, columns=["Position", "Word piece", "Word", "Part of speech", "Head"])


def formula_cards() -> str:
    """Markdown: every formula with its class, and the class's code folded below it."""
    cards = []
    for part, formula in FORMULAS.items():
        code = inspect.cleandoc("\n" + inspect.getsource(part.forward))
        cards.append(
            f"**{part.__name__}** (`{part.__module__}`)\n\n$${formula}$$\n\n"
            f"<details><summary>{part.__name__}.forward</summary>\n\n"
            f"```python\n{code}\n```\n\n</details>"
        )
    return "\n\n".join(cards)
