"""Models of others under the exam: texts as they are changed, photos as they are shown."""

import dataclasses

import numpy as np
import pytest

from dghin.data.split import open_split
from dghin.evaluation.controls import EXAM, alter
from dghin.evaluation.evaluate import evaluate_with_controls
from dghin.evaluation.segmenters.answerers import Outside, Saved
from dghin.evaluation.segmenters.network import Network


class Half:
    """Marks the left half of any photo, and notes what it was asked."""

    def __init__(self):
        self.asked = set()

    def look(self, photo):
        return photo.size

    def answer(self, seen, expressions):
        self.asked |= set(expressions)
        width, height = seen
        mask = np.zeros((height, width), np.uint8)
        mask[:, : width // 2] = 255
        return [mask] * len(expressions)


@pytest.fixture
def dataset(tiny_config):
    return open_split(tiny_config, "val")


def test_it_reads_the_changed_sentences_without_a_parser(dataset, tiny_config):
    nowhere = dataclasses.replace(tiny_config.data, parser="nowhere")
    config = dataclasses.replace(tiny_config, data=nowhere)
    model = Half()
    found = evaluate_with_controls(Outside(model), dataset, config, EXAM)
    for control in EXAM:
        inputs = alter(dataset, control, config, encode=False)
        asked = [inputs.sentences[index] for index in inputs.indices]
        assert set(asked) <= model.asked
        assert (found[control]["read"].tolist() if asked else []) == asked


def test_a_mask_of_another_photo_is_stretched_over_this_one(dataset, tiny_config):
    sizes = {dataset.image(index).size for index in range(len(dataset))}
    assert len(sizes) == 2, "the photos differ in size, else this shows nothing"
    rows = evaluate_with_controls(Outside(Half()), dataset, tiny_config, ["other-image"])
    for index, row in enumerate(rows["other-image"].itertuples()):
        truth = dataset.truth(index)
        assert abs(row.strict_union + row.strict_intersection - truth.sum() - truth.size / 2) < (
            2 * len(truth)
        )


def test_only_dghin_reads_features():
    assert Network.reads_features and not (Outside.reads_features or Saved.reads_features)
