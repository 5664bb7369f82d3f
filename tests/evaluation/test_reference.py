"""The reference answerers score exactly what they must, under every control of the exam.

What they must is computed here from the annotation files and masks, expression by expression.
"""

import json

import numpy as np
import pytest
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.data.split import open_split
from dghin.evaluation.controls import EXAM, MERGED, alter
from dghin.evaluation.evaluate import evaluate_with_controls
from dghin.evaluation.metrics import expression_iou, metrics_from_rows
from dghin.evaluation.reference import HEARING, is_reference, reference_answerer

UNHEARD = set(
    "the on at in of to from that is by which left right top bottom middle center upper lower far "
    "close above below beneath side corner part picture image this please leftmost rightmost "
    "topmost bottommost".split()
)
OF_PLACE = ("left-right", "above-below", "without-place")


@pytest.fixture(scope="module")
def split(shapes):
    from dghin.run.config import load_config

    words = [f"data.root={shapes}", "data.shapes=30", "evaluate.workers=0"]
    config = load_config("demo", words)
    return config, open_split(config, "train")


@pytest.fixture(scope="module")
def scored(split):
    """{answerer: {control: rows}}"""
    config, dataset = split
    return {
        name: evaluate_with_controls(reference_answerer(name), dataset, config, EXAM)
        for name in HEARING
    }


@pytest.fixture(scope="module")
def objects(shapes, split):
    """{image: [(sentences, mask)]}, read from the files."""
    prepared = split[0].data.prepared_root
    entries = json.loads((prepared / "anns" / "refcoco" / "train.json").read_text())
    found = {}
    for entry in entries:
        path = prepared / "masks" / "refcoco" / f"{entry['segment_id']}.png"
        mask = np.asarray(Image.open(path).convert("L")) > 127
        sentences = [sentence["sent"] for sentence in entry["sentences"]]
        found.setdefault(entry["img_name"], []).append((sentences, mask))
    return found


def hear(sentence):
    words = sentence.replace(",", "").split()
    return tuple(word for word in words if word not in UNHEARD)


def expected_mask(name, known, text):
    if name == "deaf":
        return np.any([mask for _, mask in known], axis=0)
    said = [(sentence, mask) for sentences, mask in known for sentence in sentences]
    said += [(", ".join(dict.fromkeys(sentences)), mask) for sentences, mask in known]
    same = (lambda a, b: a == b) if name == "perfect" else (lambda a, b: hear(a) == hear(b))
    nothing = np.zeros_like(known[0][1])
    return next((mask for sentence, mask in said if same(sentence, text)), nothing)


def stretched(mask, size):
    """Nearest neighbour, as Pillow has it."""
    image = Image.fromarray(np.uint8(mask) * 255)
    return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST)) > 0


@pytest.mark.parametrize("control", ["", *EXAM])
@pytest.mark.parametrize("name", HEARING)
def test_every_row_is_what_the_annotations_say(scored, split, objects, name, control):
    config, dataset = split
    inputs, rows = alter(dataset, control, config, encode=False), scored[name][control]
    assert len(rows) == len(inputs.indices) > 0
    for index, row in zip(inputs.indices, rows.itertuples(), strict=True):
        expression = dataset.expressions[index]
        shown = objects[inputs.image(expression.image)]
        answer = expected_mask(name, shown, inputs.sentences[index])
        truth = dataset.truth(index)
        answer = stretched(answer, truth.shape)
        assert row.strict_intersection == (answer & truth).sum()
        assert row.strict_union == (answer | truth).sum()


def changed(rows):
    return (expression_iou(rows.agreement_intersection, rows.agreement_union) < 0.5).mean()


def real_of(scored, control):
    """The plain rows of the expressions that a control has scored."""
    keys = ["segment_id", "sentence_index"]
    return scored[""].merge(scored[control][keys], on=keys)


def oiou(rows):
    return metrics_from_rows(rows, "strict")["oiou"]


def test_perfect_reads_everything(scored):
    perfect = scored["perfect"]
    assert oiou(perfect[""]) == oiou(perfect[MERGED]) == 1.0
    assert changed(perfect[MERGED]) == 0
    for control in ("shuffled", "blind", "negation", *OF_PLACE):
        assert oiou(perfect[control]) == 0 and changed(perfect[control]) == 1, control
    assert perfect["negation"]["no_target"].all() and not perfect[""]["no_target"].any()


def test_no_control_of_the_words_moves_the_deaf(scored):
    deaf = scored["deaf"]
    for control in EXAM:
        if control == "other-image":
            assert changed(deaf[control]) > 0.9  # it sees
            continue
        assert oiou(deaf[control]) == oiou(real_of(deaf, control)), control
        assert changed(deaf[control]) == 0, control


def test_who_is_deaf_to_places_is_moved_by_all_but_places(scored):
    rows = scored["deaf-to-place"]
    for control in OF_PLACE:
        assert oiou(rows[control]) == oiou(real_of(rows, control)), control
        assert (rows[control].agreement_intersection == rows[control].agreement_union).all()
    for control in ("shuffled", "negation", "without-colour", "without-size"):
        assert oiou(rows[control]) < 0.1 and changed(rows[control]) > 0.9, control


def test_a_reference_is_asked_for_by_name():
    assert is_reference("reference:deaf") and not is_reference("hf:deaf")
    assert reference_answerer("reference:deaf").origin() == {"answered by": "reference:deaf"}
    with pytest.raises(UserError, match="Did you mean 'perfect'"):
        reference_answerer("perfct")
