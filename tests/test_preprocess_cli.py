import pytest
from raw_trees import write_refer, write_referit

from data_preprocess.cli import COMMANDS, main


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
    assert f"python -m data_preprocess {command} " in text and "=data" in text


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
    text = capsys.readouterr().out
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
    assert "| refcoco+ | train |" in capsys.readouterr().out


def test_shapes_writes_the_embedded_data_set(tmp_path, capsys):
    assert main(["shapes", f"output={tmp_path}", "images=4", "seed=3"]) == 0
    assert "train: " in capsys.readouterr().out
    assert main(["verify", "refcoco", f"data={tmp_path}"]) == 0
    assert main(["verify", "referit", f"data={tmp_path}"]) == 0
    assert main(["shapes", "imges=4"]) == 2
    assert "unknown key 'imges'. Did you mean 'images'" in capsys.readouterr().err
