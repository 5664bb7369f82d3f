import os
import pickle

import pytest

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.files import (
    atomic_path,
    read_json,
    read_json_or,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)


@pytest.mark.parametrize("sync", [True, False])
def test_atomic_path_renames_at_the_end(tmp_path, sync):
    target = tmp_path / "deep" / "file.json"
    with atomic_path(target, sync) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json" and not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["file.json"]


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_written_files_have_the_usual_permissions(tmp_path):
    umask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "text")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(umask)


def test_json_keeps_order_and_letters(tmp_path):
    write_json(tmp_path / "a.json", {"b": "café", "a": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "b": "café",\n "a": 1\n}\n'
    assert read_json(tmp_path / "a.json", "") == {"b": "café", "a": 1}


@pytest.mark.parametrize(("content", "message"), [(b"{", "not readable as JSON"),
                                                  (b"\xff\xfe", "not readable as JSON"),
                                                  (None, "no such file")])  # fmt: skip
def test_unreadable_json_names_file_and_remedy(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.json: {message}.*Do this."):
        read_json(path, "Do this.")


def test_unknown_name_gives_the_nearest():
    assert "Did you mean 'testA'? Known: testA, testB." in str(
        unknown_name("split", "testa", ["testA", "testB"])
    )
    assert "Did you mean" not in str(unknown_name("split", "xyz", ["testA"]))


def test_digests(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf")
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 1})


def test_errors_cross_processes():
    assert str(pickle.loads(pickle.dumps(UserError("file: wrong")))) == "file: wrong"


@pytest.mark.parametrize("text", [None, "", "{", "[" * 100_000, "\x00"])
def test_json_or_a_default(tmp_path, text):
    if text is not None:
        (tmp_path / "state.json").write_text(text)
    assert read_json_or(tmp_path / "state.json", {}) == {}
    (tmp_path / "state.json").write_text('{"a": 1}')
    assert read_json_or(tmp_path / "state.json", {}) == {"a": 1}
    assert read_json_or(tmp_path / "state.json", []) == []  # of another type
    assert read_json_or(tmp_path, {}) == {}  # a folder
