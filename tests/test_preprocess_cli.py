import pytest
from helpers.grefcoco import write_grefcoco
from helpers.raw_forms import refcoco_m_rows, write_arefcoco, write_gseval, write_parquet
from helpers.raw_trees import LANGUAGE, edit_pickle, write_refer, write_referit

from data_preprocess.cli import COMMANDS, main
from data_preprocess.raw.datasets import DATASETS, JOINT, MEMBERS


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples_and_defaults(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"dghin data {command} " in text and "=data" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [(["verify", "refcoko"], "error: unknown data set 'refcoko'. Did you mean 'refcoco'"),
     (["prepare", "refcoco", "tokeniser=x"], "unknown key 'tokeniser'. Did you mean 'tokenizer'"),
     (["prepare", "refcoco", "val"], "'val' is not of the form key=value"),
     (["prepare", "refcoco", "data=nowhere"], "nowhere: no such folder"),
     (["language", "refcoco", "split=tset"], "unknown split of refcoco: 'tset'")],
)  # fmt: skip
def test_errors_go_to_stderr_with_status_2(capsys, words, message):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and message in captured.err
    assert captured.out == ""


def test_verify_prints_a_table_and_succeeds_unless_strict(tmp_path, capsys):
    write_referit(tmp_path)
    words = ["verify", "referit", f"data={tmp_path}"]
    assert main(words) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "| referit | test | as released | 1 (published 9,994) | 1 (published 49,730) | " in text
    assert "1 (published 60,105) | differs |" in text
    assert "published: referit trainval, referit test: counted from " in text
    assert "2 images and 3 masks looked at: 0 problems" in text
    assert "referit/referit_query_test.json: sha256 " in text
    assert main([*words, "--strict"]) == 1
    assert main([*words, "strict=true"]) == 1


def test_the_data_set_may_be_a_key(tmp_path, capsys):
    write_refer(tmp_path, "refcoco+")
    assert main(["verify", f"data={tmp_path}", "dataset=refcoco+"]) == 0
    assert "| refcoco+ | train" in capsys.readouterr().out


def test_shapes_writes_the_embedded_data_set(tmp_path, capsys):
    assert main(["shapes", f"output={tmp_path}", "images=4", "seed=3"]) == 0
    assert "train: " in capsys.readouterr().out
    assert main(["verify", "refcoco", f"data={tmp_path}"]) == 0
    assert main(["verify", "referit", f"data={tmp_path}"]) == 0
    assert main(["shapes", "imges=4"]) == 2
    assert "unknown key 'imges'. Did you mean 'images'" in capsys.readouterr().err


def write_raw(root, name):
    """A small raw tree of a data set, as the original lays it out."""
    if name == "referit":
        return write_referit(root)
    if name == "grefcoco":
        return write_grefcoco(root)
    if name == JOINT:
        for member in MEMBERS:
            write_raw(root, member)
            path = root / DATASETS[member].refs  # an image of its own to train on
            edit_pickle(path, lambda refs: [ref.update(split="train") for ref in refs[:3]])
        return root
    if name == "gseval":
        write_refer(root)
        write_gseval(root, root / "gseval/GroundingSuite-Eval.jsonl")
        (root / "images/train2014").rename(root / "images/unlabeled2017")
        return root
    if name == "refcoco-m":
        write_parquet(root / "refcoco-m/validation-0.parquet", refcoco_m_rows(write_refer(root)))
        return root
    if name == "arefcoco":
        write_refer(root), write_refer(root, "refcocog", "umd")
        write_arefcoco(root, root / "arefcoco")
        return root
    write_refer(root, DATASETS[name].folder, DATASETS[name].split_by)
    if DATASETS[name].folder == "refclef":
        (root / "images/referit").mkdir()
        (root / "images/train2014").rename(root / "images/referit/images")
    return root


@pytest.mark.parametrize("name", [*DATASETS, JOINT])
def test_every_data_set_is_prepared_and_verified_by_one_command(tmp_path, capsys, name):
    root = write_raw(tmp_path, name)
    if name == "refcoco_google":
        edit_pickle(root / DATASETS[name].refs, lambda refs: refs[3].update(split="test"))
    words = [f"{key}={value}" for key, value in LANGUAGE.items()]
    assert main(["prepare", name, f"data={root}", "workers=1", *words]) == 0
    text = capsys.readouterr().out
    split = {"referit": "trainval", "refcoco-m": "val", "gseval": "test"}.get(name, "train")
    assert f"{name} {split}: " in text
    assert ("removed from refcoco+ train: " in text) == (name == JOINT)
    assert main(["verify", name, f"data={root}", "form=prepared", "workers=1"]) == 0
    assert "masks looked at: 0 problems" in capsys.readouterr().out
