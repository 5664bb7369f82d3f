"""What a frozen encoder gives is computed once, before training: sentences, and maps of photos.

It is then looked up instead of computed anew in every epoch. All is encoded at the start and in a
fixed order, so that a resumed run sees the same bits, whatever the number of processes.

A sentence's words are the same as ever. The photos' maps need one thing more: the norm of colours
before the pyramid learns, and sees another batch at every step. Where maps are kept
(train.keep_maps) it stands still, too, at the colours of all training photos.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data_preprocess.base.files import atomic_path
from data_preprocess.base.progress import tqdm
from dghin.data.dataset import PhotoMaps, PreparedDataset
from dghin.data.mirror import Mirrored
from dghin.model.dghin import DGHIN
from dghin.run.processes import Place, gather

log = logging.getLogger(__name__)
LIMIT = 2 << 30  # bytes of encoded sentences, and of maps; beyond that they are computed as ever
BATCH = 64
PHOTOS = 16  # that go through the pyramid together


def encode_once(
    model: DGHIN,
    datasets: Sequence[PreparedDataset | Mirrored],
    place: Place,
    folder: Path | None = None,
) -> None:
    """Make `model` look the sentences of these splits up. The weights of its text encoder must not
    change.

    The processes share the encoding out (every one must call this). folder: where it is kept for
    the next training; the file's name is the digest of the weights and the sentences.
    """
    features = [dataset.features for dataset in datasets]
    word_ids = np.concatenate([f.word_ids for f in features])
    masks = np.concatenate([f.attention_mask for f in features])
    _, first = np.unique(word_ids, axis=0, return_index=True)
    encoder = model.text_encoder
    width = encoder.config.hidden_size
    if len(first) * word_ids.shape[1] * width * 4 > LIMIT:
        log.info("%d distinct sentences: too many to keep encoded", len(first))
        return
    encoder.eval()
    rows = {word_ids[index].astype(np.int64).tobytes(): row for row, index in enumerate(first)}
    kept = (
        folder / f"{_digest(encoder, word_ids[first], masks[first])}.safetensors"
        if folder
        else None
    )
    found = _read(kept) if kept else None
    if all(gather(found is not None, place)):
        table = found.to(next(encoder.parameters()).device)
        log.info("text encoder: frozen, %d distinct sentences read from %s", len(first), kept)
    else:
        table = _encode(encoder, word_ids[first], masks[first], place)
        log.info("text encoder: frozen, %d distinct sentences encoded once", len(first))
        if kept and place.is_main:
            with atomic_path(kept) as temporary:
                save_file({"words": table.cpu()}, temporary)
    model.look_up = Lookup(rows, table)
    for dataset in datasets:
        dataset.sentence_rows = np.array(
            [rows[ids.astype(np.int64).tobytes()] for ids in dataset.features.word_ids], np.int64
        )


def _read(path: Path) -> Tensor | None:
    """Encoded sentences that were kept; None where there are none, or a damaged file."""
    if not path.is_file():
        return None
    try:
        return load_file(path)["words"]
    except (OSError, KeyError, SafetensorError) as error:
        log.warning("%s: not readable (%s); encoded anew", path, error)
        return None


def _encode(encoder: nn.Module, word_ids: np.ndarray, masks: np.ndarray, place: Place) -> Tensor:
    """N sentences (N, L) → (N, L, T), shared out over the processes."""
    device = next(encoder.parameters()).device
    table = torch.zeros(*word_ids.shape, encoder.config.hidden_size, device=device)
    starts = range(0, len(table), BATCH)[place.rank :: place.world]
    for start in tqdm(starts, "Encoding sentences", disable=not place.is_main):
        chosen = slice(start, start + BATCH)
        ids, mask = (torch.from_numpy(x[chosen]).long().to(device) for x in (word_ids, masks))
        with torch.no_grad():
            table[chosen] = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    if place.world > 1:
        dist.all_reduce(table)  # every row was computed by one process, and is 0 elsewhere
    return table


def _digest(encoder: nn.Module, word_ids: np.ndarray, masks: np.ndarray) -> str:
    """What the encoded sentences depend on: weights and words."""
    digest = hashlib.sha256(word_ids.tobytes() + masks.tobytes())
    digest.update(encoder.config.to_json_string().encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class Lookup:
    """Known sentences' encodings: rows of a table (N, L, T), found by the bytes of word ids."""

    def __init__(self, rows: dict[bytes, int], table: Tensor):
        self.rows, self.table = rows, table

    def __call__(self, word_ids: Tensor, rows: Tensor | None = None) -> Tensor | None:
        """Word ids (E, L) → (E, L, T); None where one of the sentences is not known. rows (E,):
        where they are in the table, which spares the way to the host and back."""
        if rows is not None:
            return self.table[rows]
        found = [self.rows.get(sentence.tobytes()) for sentence in word_ids.cpu().numpy()]
        return None if None in found else self.table[found]


def keep_maps(model: DGHIN, dataset: PreparedDataset | Mirrored, place: Place) -> None:
    """Freeze the norm of colours at the training photos' mean and deviation, and give `dataset` the
    maps of its photos, mirrored ones included, to be read instead of the photos.

    The pyramid's weights must not change. The processes share the work out (every one must call
    this). Photos whose maps do not fit into LIMIT bytes are computed as ever, with the same norm.
    """
    plain = dataset.dataset if isinstance(dataset, Mirrored) else dataset
    names = list(dict.fromkeys(e.image for e in plain.expressions))
    freeze_colours(model, plain, names, place)
    views = [(name, False) for name in names]
    views += [(name, True) for name in names if isinstance(dataset, Mirrored)]
    shapes = [x.shape[1:] for x in _maps_of(model, plain, views[:1])]
    size = sum(shape.numel() for shape in shapes) * 4 * len(views)
    if size > LIMIT:
        log.info("%d photos: too many to keep their maps (%.1f GB)", len(names), size / 1e9)
        return
    tables = [torch.zeros(len(views), *shape) for shape in shapes]
    starts = range(0, len(views), PHOTOS)[place.rank :: place.world]
    for start in tqdm(starts, "Encoding photos", disable=not place.is_main):
        chosen = slice(start, start + PHOTOS)
        for table, found in zip(tables, _maps_of(model, plain, views[chosen]), strict=True):
            table[chosen] = found
    if place.world > 1:
        for table in tables:
            _add_up(table, place)
    plain.maps = PhotoMaps({view: row for row, view in enumerate(views)}, tables)
    log.info("image pyramid: frozen, maps of %d photos computed once (%.1f GB)",
             len(views), size / 1e9)  # fmt: skip


def freeze_colours(
    model: DGHIN, dataset: PreparedDataset, names: Sequence[str], place: Place
) -> None:
    """Set the norm before the pyramid to mean and variance of the photos' colours, for good."""
    sums = torch.zeros(2, 3, dtype=torch.float64)
    for name in names[place.rank :: place.world]:
        colours = dataset.resized_image(name).flatten(1).double()  # (3, S·S)
        sums += torch.stack([colours.mean(1), colours.square().mean(1)])
    if place.world > 1:
        _add_up(sums, place)
    mean, square = sums / len(names)
    norm = model.image_norm
    norm.reset_parameters()
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(square - mean.square())
    norm.requires_grad_(False).eval()


def _maps_of(
    model: DGHIN, dataset: PreparedDataset, views: Sequence[tuple[str, bool]]
) -> list[Tensor]:
    """The pyramid's maps of photos, mirrored or not: each (B, h, w, C), in float32 on the CPU."""
    images = [dataset.resized_image(name) for name, _ in views]
    pairs = zip(images, views, strict=True)
    stack = torch.stack([x.flip(-1) if mirrored else x for x, (_, mirrored) in pairs])
    model.visual_encoder.eval()
    with torch.no_grad():
        maps = model.look(stack.to(model.image_norm.weight.device))
    return [x.permute(0, 2, 3, 1).float().cpu() for x in maps]


def _add_up(table: Tensor, place: Place) -> None:
    """Every process's sum: rows are 0 but in the process that computed them."""
    on_device = table.to(place.device)
    dist.all_reduce(on_device)
    table.copy_(on_device)
