"""DGHIN as evaluation asks it: an image once, its expressions together, in the run's precision."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from data_preprocess.base.settings import difference, to_mapping
from dghin.data.batches import language_batch
from dghin.data.dataset import PreparedDataset, open_split
from dghin.evaluation.answers import Answer
from dghin.model.dghin import DGHIN, EncodedImage
from dghin.run.config import Config
from dghin.run.folder import WEIGHTS
from dghin.run.precision import TYPES, autocast, flags_of_scoring
from dghin.run.processes import Place, threads

if TYPE_CHECKING:
    from dghin.evaluation.controls import Altered


def segment(model: DGHIN, image: EncodedImage, features: Any) -> Tensor:
    """The logits (E, 2, S, S) of E expressions about one encoded image, in one pass: the one path
    of evaluation and predictor.

    image: `model.encode_image` of one image. features: word_ids, attention_mask, pos and heads,
    each (E, L), as data_preprocess.language.features.Features has them.
    """
    words, adjacency = language_batch(features, image.shallow.device)
    sentence = model.encode_words(**words)
    return model.interact(image, sentence, adjacency, with_scales=False).mask


def with_short_weights(model: DGHIN, kind: torch.dtype) -> DGHIN:
    """A copy whose linear layers and convolutions hold their weights and biases in a short type,
    those of convolutions channels last. All else (norms, statistics, embeddings) is shared.

    Autocast would cast every weight again for every image, which on a CPU takes longer than the
    products themselves. The copy does not follow later changes of the model's weights.
    """
    kept = (*model.parameters(), *model.buffers(), model.look_up)
    known: dict[int, Any] = {id(x): x for x in kept}
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            for weight in part.parameters(recurse=False):
                layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
                short = weight.detach().to(kind, memory_format=layout)
                known[id(weight)] = nn.Parameter(short, requires_grad=False)
    return copy.deepcopy(model, known)


class Network:
    """Logits of a DGHIN, from a split's prepared features."""

    reads_photos = True
    reads_features = True

    def __init__(self, model: DGHIN, precision: str = "float32", weights: Path | None = None):
        self.model, self.precision = model.eval(), precision
        self.device = next(model.parameters()).device
        if precision in TYPES and self.device.type == "cpu":
            self.model = with_short_weights(model, TYPES[precision])
        path = Path(weights) / WEIGHTS if weights else None
        self.digest = sha256_file(path) if path and path.is_file() else None

    def open(self, config: Config, split: str) -> PreparedDataset:
        return open_split(config, split)

    def load(self, dataset: Any, name: str) -> Tensor:
        """The image at the network's size: (3, S, S) uint8."""
        return dataset.resized_image(name)

    def origin(self) -> dict[str, Any]:
        return {"threads": torch.get_num_threads()} if self.device.type == "cpu" else {}

    @torch.inference_mode()
    def look(self, loaded: Tensor) -> EncodedImage:
        with flags_of_scoring(), autocast(self.precision, self.device):
            return self.model.encode_image(loaded[None].to(self.device))

    @torch.inference_mode()
    def answer(
        self, seen: EncodedImage, inputs: "Altered", chosen: np.ndarray, control: str
    ) -> Sequence[Answer]:
        """Under a control, expressions that read the same go through the network once."""
        features, back = inputs.features[chosen], np.arange(len(chosen))
        if control:
            read = [getattr(features, name) for name in ("word_ids", "attention_mask", "pos")]
            _, first, back = np.unique(
                np.hstack([*read, features.heads]), axis=0, return_index=True, return_inverse=True
            )
            features = features[first]
        with flags_of_scoring(), autocast(self.precision, self.device):
            logits = segment(self.model, seen, features)  # (E, 2, S, S)
        return [Answer(logits[number], "logits") for number in back.reshape(-1).tolist()]


@torch.inference_mode()
def graph_spread(network: Network, dataset: PreparedDataset, photos: int = 16) -> dict[str, float]:
    """On how many patches the visual graphs rest (`VisualGraph.spread`), by level: the mean over
    the first photos of a split. graph_rows_1 ... of a patch's own row, graph_all_1 ... of all rows
    together. Empty where the network has no visual graph."""
    names = list(dict.fromkeys(expression.image for expression in dataset.expressions))[:photos]
    if not network.model.has_visual_graph:
        return {}
    found = []
    for name in names:
        levels = network.look(network.load(dataset, name)).levels
        graphs: list[Any] = [level.visual_graph for level in network.model.levels]
        pairs = zip(graphs, levels, strict=True)
        with flags_of_scoring(), autocast(network.precision, network.device):
            found.append([graph.spread(seen.patches) for graph, seen in pairs])
    means = np.mean(found, axis=0)  # (levels, 2)
    return {
        f"graph_{what}_{level}": round(float(means[level - 1, place]), 3)
        for place, what in enumerate(("rows", "all"))
        for level in range(1, len(means) + 1)
    }


def network_of(model: DGHIN | None, config: Config, weights: Path | None, place: Place) -> Network:
    """A DGHIN, or the one of a folder, checked against the settings and put into its place."""
    if model is None:
        assert weights is not None, "a model, or the folder of its weights"
        model = DGHIN.from_pretrained(weights)
    if changed := difference(to_mapping(config.model), to_mapping(model.config)):
        raise UserError(
            f"{weights or 'the model'}: a model of other settings (key: asked, there): "
            f"{changed}. Leave the model's settings out, or train them in another run."
        )
    model.to(place.device)
    torch.set_num_threads(threads(config.train.threads))
    return Network(model, config.evaluate.precision, weights)
