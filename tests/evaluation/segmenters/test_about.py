"""Who answered: of model.yaml, of keys, and of DGHIN without either."""

import pytest

from data_preprocess.base.errors import UserError
from dghin.evaluation.segmenters.about import About, about_run, write_about


def test_without_a_file_it_is_dghin_by_its_settings(tmp_path, tiny_config):
    about = about_run(tmp_path, tiny_config)
    assert about.is_dghin and about.image_size == 64 and about.training_data == "single"
    assert about.backbone == tiny_config.model.backbone
    assert about_run(tmp_path, None) == About("DGHIN")


def test_what_is_given_is_laid_over_what_is_there(tmp_path, tiny_config):
    write_about(tmp_path, {"name": "LAVT", "image_size": 480})
    write_about(tmp_path, {"backbone": "Swin-B", "name": "", "image_size": 0})
    about = about_run(tmp_path, tiny_config)
    assert (about.name, about.backbone, about.image_size) == ("LAVT", "Swin-B", 480)
    assert not about.is_dghin
    assert about.facts() == {"name": "LAVT", "backbone": "Swin-B", "image size": "480"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not readable as YAML"),
        ("- LAVT", "expected a mapping of name, backbone"),
        ("nam: LAVT", "Did you mean 'name'"),
        ("image_size: large", "image_size"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, tiny_config, text, message):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(UserError, match=f"model.yaml: .*{message}"):
        about_run(tmp_path, tiny_config)


def test_a_version_may_be_a_number(tmp_path, tiny_config):
    (tmp_path / "model.yaml").write_text("name: 3\nbackbone: 2.5\n")
    about = about_run(tmp_path, tiny_config)
    assert (about.name, about.backbone) == ("3", "2.5")
