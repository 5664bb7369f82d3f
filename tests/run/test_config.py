"""Settings: files, overrides, and what is refused."""

import pytest

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import DATASETS, JOINT, find_dataset
from dghin.run.config import CONFIGS, Config, load_config, save_config

ALL = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", ALL)
def test_every_config_loads_and_is_named_after_its_file(name):
    assert load_config(name).name == name


@pytest.mark.parametrize("name", [*DATASETS, JOINT])
def test_every_data_set_has_a_config_of_its_name_and_splits(name):
    """So `make reproduce RUN=name` and the notebooks' parameter `run` reach it."""
    data = load_config(name).data
    dataset = find_dataset(name, data.members)
    assert data.dataset == name
    splits = {data.train_split, data.val_split, *data.test_splits} - {""}
    assert splits and splits <= set(dataset.splits)


def test_defaults_are_the_papers():
    config = Config()
    assert (config.model.image_size, config.model.words, config.model.width) == (416, 17, 512)
    assert (config.train.batch, config.train.batch_per_process, config.train.processes) == (
        24,
        0,
        0,
    )
    assert config.train.learning_rate == 3e-5 and config.train.weight_decay == 0.01
    assert config.data.parser == "en_core_web_lg" and config.model.drop_path == 0.2


def test_overrides_lie_on_top_and_a_saved_config_reads_back(tmp_path):
    config = load_config("demo", ["train.learning_rate=3e-4", "data.test_splits=[testA]"])
    assert config.train.learning_rate == 3e-4 and config.data.test_splits == ("testA",)
    save_config(config, tmp_path / "config.yaml")
    assert load_config(str(tmp_path / "config.yaml")) == config


def test_base_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: demo\nname: mine\nmodel: {width: 32}\n")
    config = load_config(str(path))
    assert config.model.width == 32 and config.model.backbone == "efficientnet_lite0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.iteration=3"], "'train.iteration'.*Did you mean 'train.iterations'"),
        (["modle.width=3"], "'modle'.*Did you mean 'model'"),
        (["train.iterations=many"], "train.iterations='many': expected a whole number"),
        (["train.precision=half"], "'half'.*bfloat16"),
        (["train=3"], "'train' is a group of settings"),
        (["width"], "'width' is not of the form key=value"),
    ],
)
def test_what_is_refused(words, message):
    with pytest.raises(UserError, match=message):
        load_config("demo", words)


def test_unknown_config_names_the_nearest():
    with pytest.raises(UserError, match="'refcocog_umb'.*Did you mean 'refcocog_umd'"):
        load_config("refcocog_umb")


def test_broken_yaml_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: {width: [")
    with pytest.raises(UserError, match="mine.yaml: not readable as YAML"):
        load_config(str(path))
