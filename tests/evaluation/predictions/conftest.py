"""Two splits of the tiny embedded data set, and a mask of noise for every expression."""

import json

import numpy as np
import pytest

from dghin.data.split import PreparedSplit, open_split


@pytest.fixture
def splits(tiny_config):
    return {name: open_split(tiny_config, name, PreparedSplit) for name in ("val", "testA")}


@pytest.fixture
def split(splits):
    return splits["val"]


@pytest.fixture
def masks(split):
    """A mask at the photo's size for every expression of val; the first one is empty."""
    return noise(split)


@pytest.fixture
def jsonl(tmp_path):
    """Writes entries as a JSONL file, and gives its path."""

    def write(entries, name="predictions.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return path

    return write


def noise(split, seed=0):
    random = np.random.default_rng(seed)
    found = [random.random(split.truth(index).shape) > 0.6 for index in range(len(split))]
    found[0][:] = False
    return found
