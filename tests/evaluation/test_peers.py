"""The peers' own evaluators on the same masks: what they returned, recorded, is what we compute.

tests/golden/peers.json names the source of every number; peer_cases.py makes the masks. They were
recorded on one machine: where two values are all but equal, another processor may put a pixel on
the other side (so unions may differ by a pixel, and nothing else).
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dghin.evaluation.answers import Answer
from dghin.evaluation.masks import compared, score
from dghin.evaluation.metrics import metrics_from_rows

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def recorded():
    return json.loads((GOLDEN / "peers.json").read_text())


@pytest.fixture(scope="module")
def make():
    sys.path.insert(0, str(GOLDEN))
    from peer_cases import make

    return make


def rows_of(cases):
    """Rows of an evaluation of these cases, under every protocol."""
    rows = []
    for number, (logits, truth, length, targets, _) in enumerate(cases):
        columns = compared(Answer(logits, "logits"), truth).columns
        rows.append({"image": f"{number}.jpg", "length": length, "targets": targets,
                     "area": int(truth.sum()), **columns})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def rows(recorded, make):
    return rows_of(make(*recorded["evfsam"]["cases"]))


def near(found, expected, pixels=1):
    """Equal, but for a pixel where two values are all but equal."""
    return np.abs(np.array(found) - np.array(expected)).max() <= pixels


def test_dghins_pixels_are_paper(recorded, make):
    entry = recorded["dghin"]
    found = [score(logits, truth, "paper") for logits, truth, *_ in make(*entry["cases"])]
    assert near(found, entry["intersection_union"])


def test_evf_sams_two_numbers_are_strict(recorded, rows):
    """gIoU (its mean IoU, 1 for an empty union) and cIoU, in the float32 that it adds up in."""
    single = rows.assign(targets=1)
    found = metrics_from_rows(single, "strict")
    giou, ciou = recorded["evfsam"]["returned"]
    assert (found["miou"], found["oiou"]) == pytest.approx((giou, ciou), rel=1e-5)


def test_mmdets_two_numbers_are_strict_but_for_an_empty_union(recorded, rows):
    """There it counts 0, here 1: nothing was marked where nothing is."""
    single = rows.assign(targets=1)
    found, returned = metrics_from_rows(single, "strict"), recorded["mmdet"]["returned"]
    empty = int((single["strict_union"] == 0).sum())
    assert empty
    assert 100 * found["oiou"] == pytest.approx(returned["cIoU"], rel=1e-5)
    assert 100 * (found["miou"] - empty / len(rows)) == pytest.approx(returned["mIoU"], rel=1e-5)


def test_relas_numbers_of_several_objects_or_none(recorded, rows):
    found, returned = metrics_from_rows(rows, "strict"), recorded["rela_at_photo_size"]["returned"]
    expected = returned["grefcoco"]
    assert 100 * found["giou"] == pytest.approx(expected["gIoU"], rel=1e-5)
    assert 100 * found["ciou"] == pytest.approx(expected["cIoU"], rel=1e-5)
    assert (found["t_acc"], found["n_acc"]) == (expected["T_acc"], expected["N_acc"])
    for t in (70, 80, 90):
        assert 100 * found[f"pr{t}"] == pytest.approx(expected[f"Pr@0.{t // 10}"], rel=1e-5)
    assert (found["miou"], found["oiou"]) == (found["giou"], found["ciou"])  # one answer, one IoU


def test_lavts_pixels_are_resized(recorded, make, monkeypatch):
    entry = recorded["lavt"]
    sizes = [tuple(size) for size in entry["sizes"]]
    monkeypatch.setattr(sys.modules["peer_cases"], "SIZES", sizes)
    cases = [case for case in make(*entry["cases"]) if case[1].shape in sizes][:10]
    assert [list(truth.shape) for _, truth, *_ in cases] == entry["shapes"]
    found = [score(logits, truth, "resized") for logits, truth, *_ in cases]
    assert near(found, entry["intersection_union"])
