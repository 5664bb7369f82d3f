"""A frozen text encoder: every distinct sentence of the run is encoded once, before training.

Nothing but the time changes: the encoder's output is looked up instead of computed anew in every
epoch. All is encoded at the start and in a fixed order, so that a resumed run sees the same bits.
Trainings that follow each other on the same sentences may share a file of it.
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
from tqdm import tqdm

from data_preprocess.base.files import atomic_path
from dghin.data.dataset import PreparedDataset
from dghin.data.mirror import Mirrored
from dghin.model.dghin import DGHIN
from dghin.run.processes import Place, gather

log = logging.getLogger(__name__)
LIMIT = 2 << 30  # bytes of encoded sentences; beyond that they are computed as ever
BATCH = 64


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
    for start in tqdm(starts, "Encoding sentences", disable=not place.is_main, mininterval=5):
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
