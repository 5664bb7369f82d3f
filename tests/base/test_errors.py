"""The edge of every command: one line and status 2, or a traceback that asks for a report."""

import errno
import os
import sys

import pytest

from data_preprocess.base.errors import Parser, UserError, at_the_edge, for_the_user, one_line
from data_preprocess.base.files import atomic_path, keep_inputs, mistaken, read_text, write_text


def ends(error, capsys):
    def main(_):
        raise error

    status = at_the_edge(main, [])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a.png: no such image.\nGive one."), "error: a.png: no such image. Give one.\n"),
        (OSError(errno.ENOSPC, "No space left", "/x/m.png"), "/x/m.png: No space left. Make room"),
        (OSError(errno.EROFS, "Read-only file system", "/x/m"), "read-only: name another place"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied. Ask"),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle. Check the disk"),
        (MemoryError("1 TB"), "not enough memory (1 TB)"),
        (ModuleNotFoundError("no", name="torch.x"), "needs the package 'torch.x'"),
    ],
)
def test_what_the_user_can_put_right_is_one_line(error, line, capsys):
    status, said = ends(error, capsys)
    assert status == 2 and line in said
    assert said.startswith("error: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [TypeError("a fault"), OSError("without a number"), ModuleNotFoundError("x", name="dghin.x")],
)
def test_a_fault_of_ours_is_a_traceback_that_says_where_to_report_it(error, capsys):
    status, said = ends(error, capsys)
    assert status == 1 and "Traceback" in said
    assert said.splitlines()[-1].startswith("This is a fault of dghin")


def test_ctrl_c_and_a_reader_that_went_away(capsys):
    assert ends(KeyboardInterrupt(), capsys) == (130, "stopped\n")


def test_the_process_of_torchrun_is_named(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "3")
    assert ends(UserError("no."), capsys) == (2, "error of process 3: no.\n")


def test_a_name_that_no_terminal_can_show(capsys):
    assert at_the_edge(lambda _: print("\udcff"), []) == 0


def test_words_that_argparse_refuses_are_a_line_too(capsys):
    parser = Parser(prog="dghin x")
    assert at_the_edge(lambda words: parser.parse_args(words), ["--no"]) == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --no. See: dghin x --help\n"


def test_torchs_error_of_memory_counts_as_one():
    kind = type("OutOfMemoryError", (RuntimeError,), {})
    assert "not enough memory" in for_the_user(kind("CUDA out of memory.\nTried to"))


def test_first_line_of_an_error():
    assert one_line(ValueError("\n  a\nb")) == "a" and one_line(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer"),
        (b"\xef\xbb\xbf  <!DOCTYPE HTML>", "a web page"),
        (b"<html lang='en'>", "a web page"),
        (b"\x1f\x8b\x08", "packed with gzip"),
        (b"[PAD]\n", ""),
    ],
)
def test_what_stands_where_a_file_should_be(tmp_path, content, what):
    (tmp_path / "f").write_bytes(content)
    assert mistaken(tmp_path / "f").startswith(what) and bool(mistaken(tmp_path / "f")) == bool(
        what
    )


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    (tmp_path / "f").write_bytes(b"a\nb \xfc\n")
    with pytest.raises(UserError, match="f: not readable as text .no UTF-8 in line 2.*Mend"):
        read_text(tmp_path / "f", "Mend it.")
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa")
    assert read_text(tmp_path / "f", "") == "a"


def test_a_file_that_cannot_be_written_is_named_itself(tmp_path, monkeypatch):
    """Not the temporary one beside it; and nothing is left."""
    target = tmp_path / "mask.png"
    target.write_text("old")
    for error in (OSError(errno.ENOSPC, "full"), RuntimeError("PytorchStreamWriter failed"),
                  OSError("encoder error -2 when writing image file")):  # fmt: skip
        with pytest.raises(OSError) as raised, atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error
        assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(target)
        assert [p.name for p in tmp_path.iterdir()] == ["mask.png"] and target.read_text() == "old"
    other = FileNotFoundError(errno.ENOENT, "no", "/elsewhere/input.png")
    with pytest.raises(FileNotFoundError) as raised, atomic_path(target):
        raise other
    assert raised.value is other  # of another file: not renamed


@pytest.mark.skipif(sys.platform == "win32", reason="no such folders there")
def test_folders_files_and_long_names_in_the_way(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in ("folder", "file/x.png", f"{'x' * 300}.png"):
        with pytest.raises(OSError) as raised:
            write_text(tmp_path / path, "x")
        assert for_the_user(raised.value)


def test_what_is_up_to_date_is_not_written_again(tmp_path, monkeypatch):
    """A folder on a disk that is read-only serves as long as nothing changes."""
    write_text(tmp_path / "f", "a")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    write_text(tmp_path / "f", "a")
    with pytest.raises(OSError) as raised:
        write_text(tmp_path / "f", "b")
    assert raised.value.filename == str(tmp_path / "f")


def test_an_input_is_known_under_any_name(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    for output in (tmp_path / "a.png", tmp_path / "x/../a.png", tmp_path / "link.png"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="output=.*a.png, which is read here"):
            keep_inputs("output", output, [tmp_path / "a.png"])
    keep_inputs("output", tmp_path / "b.png", [tmp_path / "a.png", tmp_path / "none.png"])


def test_a_command_that_went_to_the_projects_root_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")

    def main(_):
        os.chdir(tmp_path)
        raise UserError("reports/demo: no such run.")

    assert at_the_edge(main, []) == 2
    said = capsys.readouterr().err
    assert said == f"error: reports/demo: no such run. (Paths are seen from {tmp_path}.)\n"
