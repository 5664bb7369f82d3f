"""Made-up rows of an evaluation, log lines of a training, and the bytes of a saved figure."""

import numpy as np
import pandas as pd
from PIL import Image

from dghin.evaluation.metrics import PROTOCOLS
from dghin.report.figures.curves import save_figure


def make_rows(split, count, seed=0, kinds=("attribute", "place")):
    random = np.random.default_rng(seed)
    union = random.integers(1, 500, count)
    rows = pd.DataFrame(
        {
            "dataset": "refcoco",
            "split": split,
            "segment_id": [str(i // 2) for i in range(count)],
            "sentence_index": np.arange(count) % 2,
            "sentence": "the red star",
            "kind": random.choice(kinds, count),
            "image": [f"{i // 4}.jpg" for i in range(count)],
            "length": random.integers(1, 25, count),
            "targets": 1,
            "distractors": pd.array(random.integers(0, 6, count), dtype="Int64"),
            "depth": pd.array(random.integers(0, 8, count), dtype="Int64"),
            "height": 480,
            "width": 640,
            "area": random.choice([100, 1024, 9216, 9217, 50_000], count),
        }
    )
    for protocol in PROTOCOLS:
        rows[f"{protocol}_union"] = union
        rows[f"{protocol}_intersection"] = (union * random.random(count)).astype(int)
    return rows


def as_control(rows):
    """Rows as of a control: with what it holds of the answers before."""
    return rows.assign(read="", agreement_intersection=rows.index % 3, agreement_union=2)


def saved(figure, folder):
    result = save_figure(figure, folder, "figure")
    assert sorted(p.name for p in folder.iterdir()) == ["figure.pdf", "figure.png"]
    assert result.pdf.read_bytes().startswith(b"%PDF")
    assert np.asarray(Image.open(result.png).convert("L")).std() > 1  # not blank
    assert result._repr_png_() == result.png.read_bytes()
    return result


def records(with_val=True):
    train = [
        {"kind": "train", "iteration": i, "loss": 3 / i, "seg": 1 / i, "lr": 1e-3}
        for i in range(1, 20)
    ]
    val = [
        {"kind": "val", "iteration": i, "oiou": s, "miou": s, "pr50": s, "protocol": "strict"}
        for i, s in ((10, 0.5), (19, 0.4))
    ]
    return [{"kind": "start", "iterations": 19}, *train, *(val if with_val else [])]


def with_places(lines):
    """Rows of what masks lie on, an image each: (kind, lies_on, named, on_named, on_anchor, rank,
    places_off)."""
    kinds = {"named": "Int64", "on_named": "boolean", "on_anchor": "boolean", "rank": "Int64",
             "places_off": "Int64"}  # fmt: skip
    rows = pd.DataFrame(lines, columns=["kind", "lies_on", *kinds]).astype(kinds)
    return rows.assign(image=[f"{number}.jpg" for number in range(len(rows))])
