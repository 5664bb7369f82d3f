"""A segmenter by name: a class of anybody's own, a folder, a repository; errors before any work."""

import json
import sys

import pytest
from tiny_models import write_tiny_clipseg, write_tiny_sam3

from data_preprocess.base.errors import UserError
from dghin.evaluation.segmenters.load import ADAPTERS, load_segmenter

OWN = '''
"""Somebody's own."""
import numpy as np

made = []

class Mine:
    def __init__(self, value=1, device=None):
        self.value, self.device = value, device
        made.append(self)
    def look(self, photo):
        return photo.size
    def answer(self, seen, expressions):
        return [np.full(seen[::-1], self.value, np.uint8) for _ in expressions]

class Plain:
    def look(self, photo): ...
    def answer(self, seen, expressions): return [1]

class NoLook:
    def __init__(self):
        made.append(self)
    def answer(self, seen, expressions): ...

class NoAnswer:
    answer = "text"
    def look(self, photo): ...

def make(value):
    return Mine(value)

def nothing():
    return None
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module in the working folder."""
    (tmp_path / "segmenters_own.py").write_text(OWN)
    (tmp_path / "needs_more.py").write_text("import a_module_that_nobody_has")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield tmp_path
    for name in ("segmenters_own", "needs_more"):
        sys.modules.pop(name, None)


def test_a_class_of_the_working_folder(own, photo):
    mine = load_segmenter("segmenters_own:Mine", {"value": 0}, device="cpu")
    assert (mine.value, mine.device) == (0, "cpu")
    assert mine.answer(mine.look(photo), ["a", ""])[1].shape == (40, 60)
    assert load_segmenter("segmenters_own:Plain").answer(None, []) == [1]  # takes no device
    assert load_segmenter("segmenters_own:make", {"value": 3}).value == 3


@pytest.mark.parametrize(
    "name, message",
    [
        ("segmenters_own:NoLook", "no method 'look'"),
        ("segmenters_own:NoAnswer", "no method 'answer'"),
        ("segmenters_own:nothing", "no method 'look'"),
        ("segmenters_own:Min", "unknown class of segmenters_own 'Min'. Did you mean 'Mine'"),
        ("no_such_module_here:Mine", r"no module 'no_such_module_here'.*no_such_module_here\.py"),
        ("needs_more:Mine", "needs_more needs 'a_module_that_nobody_has'"),
        ("segmenters_own", "no such form.*MODULE:CLASS"),
        ("segmenters_own:", "no such form"),
        (":Mine", "no such form"),
        ("hf:", "no such form"),
    ],
)
def test_errors_of_a_class(own, name, message):
    with pytest.raises(UserError, match=message):
        load_segmenter(name)
    assert not getattr(sys.modules.get("segmenters_own"), "made", [])  # before any work


def test_options_that_a_class_does_not_take(own):
    with pytest.raises(UserError, match=r"does not take these options \(.*'size'\).*Mine\(value"):
        load_segmenter("segmenters_own:Mine", {"size": 3})


def test_a_folder_may_be_relative(tmp_path, monkeypatch):
    write_tiny_clipseg(tmp_path / "models" / "clipseg")
    monkeypatch.chdir(tmp_path)
    assert load_segmenter("hf:models/clipseg").facts["name"] == "clipseg"
    assert load_segmenter("hf:models/clipseg", {"revision": "main"})


def test_options_that_an_adapter_does_not_take(tmp_path):
    name = write_tiny_clipseg(tmp_path)
    with pytest.raises(UserError, match="unknown option of hf:.*'revison'. Did you mean 'revision"):
        load_segmenter(f"hf:{name}", {"revison": "main"})


def test_an_option_that_is_no_number(tmp_path):
    name = write_tiny_sam3(tmp_path)
    with pytest.raises(UserError, match="threshold='high' is no number. Without it: 0.5"):
        load_segmenter(f"hf:{name}", {"threshold": "high"})


def test_a_model_type_that_no_adapter_knows(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(UserError) as error:
        load_segmenter(f"hf:{tmp_path}")
    assert "'clip'" in str(error.value)
    for known in (*ADAPTERS, "grounding-dino+sam2"):
        assert known in str(error.value)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(UserError, match="no config.json in this folder.*hf download"):
        load_segmenter(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    "name", ["nobody/no-such-model", "no-such-folder/deep/inside", "nobody/one+nobody/two"]
)
def test_without_a_network_the_error_says_what_to_do(name):
    with pytest.raises(UserError) as error:  # HF_HUB_OFFLINE is set in tests (conftest.py)
        load_segmenter(f"hf:{name}")
    said = str(error.value)
    assert "no such folder" in said and "\n" not in said
    assert f"hf download {name.partition('+')[0]} --local-dir FOLDER" in said
