"""Named attacks on the readers: each ends with an error that says what is wrong, in bounds."""

import copyreg
import functools
import json
import os
import pickle

import pytest
from helpers import bounded
from helpers.raw_trees import edit_json, edit_pickle, write_refer, write_referit

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_id, safe_path
from data_preprocess.prepared.annotations import read_entries
from data_preprocess.raw import plain_pickle
from data_preprocess.raw.datasets import DATASETS
from data_preprocess.raw.readers import read_raw
from data_preprocess.raw.refer import read_pickle

REFCOCO, REFERIT = DATASETS["refcoco"], DATASETS["referit"]
HUGE = (1 << 62).to_bytes(8, "little")


@pytest.fixture
def raw(tmp_path):
    return write_refer(tmp_path)


@pytest.fixture
def referit(tmp_path):
    return write_referit(tmp_path)


# --- pickles ------------------------------------------------------------------------------------


class _Runs:
    """Pickled, it makes a file when a common unpickler reads it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def _code(marker, protocol):
    return pickle.dumps([_Runs(marker)], protocol)


def _with_global(marker):
    return f"cos\nmkdir\n(V{marker}\ntR.".encode()


def _with_inst(marker):
    return f"(V{marker}\nios\nmkdir\n.".encode()


def _with_obj(marker):
    return f"(cos\nmkdir\nV{marker}\no.".encode()


def _with_stack_global(marker):
    return b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + f"V{marker}\n".encode() + b"\x85R."


def _hidden_in_data(marker):
    return b"](}(X\x04\x00\x00\x00sent" + _with_global(marker)[:-1] + b"ua."


@pytest.mark.parametrize(
    "make",
    [*(lambda marker, p=p: _code(marker, p) for p in range(6)), _with_global, _with_inst,
     _with_obj, _with_stack_global, _hidden_in_data],
)  # fmt: skip
def test_a_pickle_never_runs_code(tmp_path, make):
    content = make(tmp_path / "marker")
    (tmp_path / "refs.p").write_bytes(content)
    with pytest.raises(UserError, match=r"refs\.p: the pickle asks for .*again"):
        read_pickle(tmp_path / "refs.p")
    assert not (tmp_path / "marker").exists()
    if make is not _hidden_in_data:
        pickle.loads(content)  # so it is an attack indeed
        assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("opcode", [b"\x82\xf0", b"\x83\xf0\x00", b"\x84\xf0\x00\x00\x00"])
def test_a_pickle_reaches_no_registered_class(tmp_path, opcode):
    copyreg.add_extension("os", "mkdir", 0xF0)
    try:
        (tmp_path / "refs.p").write_bytes(opcode + f"(V{tmp_path / 'marker'}\ntR.".encode())
        with pytest.raises(UserError, match="asks for the opcode EXT"):
            read_pickle(tmp_path / "refs.p")
    finally:
        copyreg.remove_extension("os", "mkdir", 0xF0)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"Pname\n.", "PERSID"), (b"NQ.", "BINPERSID"), (b"\x97.", "NEXT_BUFFER"),
     (b"N\x98.", "READONLY_BUFFER"), (b"]}b.", "BUILD"), (b"N)\x81.", "NEWOBJ"),
     (b"N)}\x92.", "NEWOBJ_EX"), (b"N)R.", "REDUCE"), (b"(No.", "OBJ"),
     (b"\x96" + HUGE + b"x.", "BYTEARRAY8"),
     (b"c\x1b[31m\nred\n.", r"asks for \\x1b\[31m\.red")],
)  # fmt: skip
def test_other_ways_out_of_plain_data(tmp_path, content, message):
    (tmp_path / "refs.p").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_pickle(tmp_path / "refs.p")


@pytest.mark.parametrize(
    "content",
    [
        b"\x8d" + HUGE + b"x.", b"\x8e" + HUGE + b"x.", b"\x96" + HUGE + b"x.",  # text, bytes
        b"X\xff\xff\xff\xffx.", b"B\xff\xff\xff\xffx.", b"T\xff\xff\xff\x7fx.",
        b"T\xff\xff\xff\xffx.",
        b"\x8b\xff\xff\xff\x7fx.", b"\x8b\xff\xff\xff\xffx.",  # whole numbers
        b"\x80\x04\x95" + HUGE + b"N",
        b"I" + b"9" * 100_000 + b"\n.", b"L" + b"9" * 100_000 + b"L\n.",
        b"\x8a\xff" + b"\x7f" * 255 + b".",
        b"\x8f" * 500_000 + b".",  # empty sets: 220 bytes of memory for each byte
        b"(" * 500_000 + b".", b"]" * 500_000 + b".",
        b"]" + b"2" * 500_000 + b".",
        b"p99999999999999999999\n.", b"NN.", b"(N.", b"", b"\xff\xfe", b"h\x07.", b"a.", b"1.",
        b"}(Nu.", b"}(]Nu.", b"}]Ns.", b"\x8f(]\x90.", b"(]\x91.", b"(]Nd.", b"\x80\x09N.",
        b"F1e\n.", b"S'\\x4'\n.", b"X\x01\x00\x00\x00\xff.", b"G\x00.", b"cos\nmkdir",
    ],
)  # fmt: skip
def test_pickles_that_claim_or_lack_something(tmp_path, content):
    if len(content) > 1000 or HUGE in content or b"\xff\xff" in content:
        (tmp_path / "refs.p").write_bytes(content)
        assert "pickle" in bounded.refused("pickle", tmp_path)
    with pytest.raises(ValueError):
        plain_pickle.loads(content)


def test_a_memo_index_takes_no_memory(tmp_path):
    """Python's own unpickler makes room for every index below: 34 GB."""
    (tmp_path / "refs.p").write_bytes(b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.")
    assert bounded.outcome("pickle", tmp_path) == {"value": "<class 'NoneType'>"}
    (tmp_path / "refs.p").write_bytes(b"Np9999999999\n.")
    assert bounded.outcome("pickle", tmp_path) == {"value": "<class 'NoneType'>"}


def test_nested_and_circular_pickles(tmp_path):
    depth = 100_000
    (tmp_path / "refs.p").write_bytes(b"]q\x00" * depth + b"a" * (depth - 1) + b".")
    assert bounded.outcome("pickle", tmp_path) == {"value": "<class 'list'>"}
    circular = []
    circular.append(circular)
    (tmp_path / "refs.p").write_bytes(pickle.dumps(circular))
    found = read_pickle(tmp_path / "refs.p")
    assert found[0] is found


@pytest.mark.parametrize("repeated", ["sentences", "text"])
def test_a_pickle_cannot_repeat_itself_into_more_than_its_size(raw, repeated):
    """A million laughs: few bytes that stand for very many sentences, or very long ones."""
    refs = pickle.loads((raw / REFCOCO.refs).read_bytes())
    if repeated == "sentences":
        listed = ["left man"] * 20_000
        refs += [refs[0] | {"ref_id": 1000 + i, "sentences": listed} for i in range(20_000)]
    else:
        refs[0]["sentences"] = ["x" * 9_000 + " "] * 200_000
    (raw / REFCOCO.refs).write_bytes(pickle.dumps(refs, 2))
    assert "than its size explains" in bounded.refused("refer", raw)


def test_keys_of_one_hash_are_refused_or_few(tmp_path):
    """Keys that share a hash make a dictionary as slow as a list: hours for some megabytes."""
    prime = (1 << 61) - 1
    keys = [(prime * (i + 1)).to_bytes(10, "little") for i in range(100)]
    many = b"}(" + b"".join(b"\x8a\x0a" + key + b"N" for key in keys) + b"u."
    for content in (many, b"}(K\x01\x85Nu."):
        (tmp_path / "refs.p").write_bytes(content)
        with pytest.raises(UserError, match="not readable as a pickle"):
            read_pickle(tmp_path / "refs.p")


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[" * 1_000_000, "recursion"), (b'{"a":' * 1_000_000, "recursion"),
     (b"1" * 10_000, "digits"), (b'{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
     ("[1]".encode("utf-16"), "no UTF-8"), (b"\xef\xbb\xbf\xef\xbb\xbf[]", "BOM"),
     (b'["\xed\xa0\x80"]', "no UTF-8"), (b"", "Expecting value"), (b"[1] x", "Extra data"),
     (b"\x00", "Expecting value")],
)  # fmt: skip
def test_broken_json(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=f"a.json: not readable as JSON.*{message}.*Get it."):
        read_json(tmp_path / "a.json", "Get it.")
    bounded.refused("json", tmp_path)


def test_json_of_very_many_names(tmp_path):
    names = ", ".join(f'"{i}": 0' for i in range(200_000))
    (tmp_path / "a.json").write_text(f'{{{names}, "199999": 1}}')
    assert "'199999' is there twice" in bounded.refused("json", tmp_path)


def test_a_mark_before_the_text_is_no_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json", "") == [1]


def test_a_folder_or_pipe_is_no_file(tmp_path):
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")  # to read it would wait forever
    for name in ("a.json", "pipe.json"):
        with pytest.raises(UserError, match="no such file"):
            read_json(tmp_path / name, "")


# --- fields of the wrong kind -------------------------------------------------------------------

ODD = [None, True, [], {}, [[]], {"a": 1}, "", " ", "x", "\ud800", -1, 0, 10**9, 10**30, 1.5,
       float("nan"), float("inf"), -float("inf")]  # fmt: skip


@pytest.mark.parametrize(
    "field",
    ["ref_id", "ann_id", "image_id", "split", "sentences", "sent", "sent_id", "kind", "id",
     "file_name", "height", "width", "segmentation", "bbox", "category_id", "name", "images",
     "annotations", "categories"],
)  # fmt: skip
def test_odd_values_in_the_fields_of_refer(raw, field):
    """An error that names a file, or records that can be used."""

    def change(entry, value):
        for part in entry if isinstance(entry, list) else list(entry.values()):
            if isinstance(part, dict | list):
                change(part, value)
        if isinstance(entry, dict) and field in entry:
            entry[field] = value

    paths = raw / "refcoco/instances.json", raw / REFCOCO.refs
    whole = [path.read_bytes() for path in paths]
    for value in ODD:
        for path, content in zip(paths, whole, strict=True):
            path.write_bytes(content)
        edit_json(paths[0], functools.partial(change, value=value))
        edit_pickle(paths[1], functools.partial(change, value=value))
        _sound(bounded.check_refer, raw, str(raw / "refcoco"))


@pytest.mark.parametrize("file", ["query_trainval", "query_test", "imsize", "bbox", "kind"])
def test_odd_values_in_the_files_of_referit(referit, file):
    path = referit / f"referit/referit_{file}.json"
    name = "7.jpg" if file == "imsize" else "7_1"
    for value in ODD:
        for content in (value, {name: value}, *({name: [value] * n} for n in (1, 2, 4))):
            path.write_text(json.dumps(content))
            _sound(bounded.check_referit, referit, "referit_")


def _sound(check, folder, named):
    try:
        check(folder)
    except UserError as error:
        assert named in str(error) and len(str(error)) < 1000


def test_ids_of_two_objects(raw):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[1].update(ref_id="10"))
    with pytest.raises(UserError, match=r"refs\(unc\)\.p, ref number 1: ref_id 10 is that of"):
        read_raw(raw, REFCOCO)


@pytest.mark.parametrize(("kind", "number"), [("images", 1), ("annotations", 100)])
def test_two_entries_of_one_id(raw, kind, number):
    path = raw / "refcoco/instances.json"
    edit_json(path, lambda d: d[kind].append(dict(d[kind][0])))
    read_raw(raw, REFCOCO)  # the same twice does no harm
    edit_json(path, lambda d: d[kind][-1].update(more=1))
    with pytest.raises(UserError, match=rf"instances\.json: two {kind} have the id {number}"):
        read_raw(raw, REFCOCO)


def test_an_expression_that_cannot_be_written(raw):
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0]["sentences"][0].update(sent="a \ud800"))
    with pytest.raises(UserError, match=r"ref_id 10, sentence 0 .*UTF-8 cannot write"):
        read_raw(raw, REFCOCO)


def test_an_expression_of_a_book(raw):
    edit_pickle(raw / REFCOCO.refs, lambda r: r[0]["sentences"][0].update(sent="word " * 100_000))
    with pytest.raises(UserError, match="has 500,000 characters") as error:
        read_raw(raw, REFCOCO)
    assert len(str(error.value)) < 1000


# --- paths that leave the data folder -----------------------------------------------------------

LEADING_OUT = ["../a", "a/../../b", "..", ".", "/etc/passwd", "a\\..\\b", "c:/a", "c:a",
               "\\\\host\\a", "a\0b", "a//b", "./a", "", " ", "a\nb", "\ud800", "x" * 300,
               "é" * 150, "/".join("abcdefghijkl"), None, 7, True, ["a"]]  # fmt: skip


@pytest.mark.parametrize("name", LEADING_OUT, ids=ascii)
def test_names_that_lead_out_of_the_folder(raw, name):
    with pytest.raises(UserError, match="here: the file name .*plain name"):
        safe_path(name, "here")
    edit_json(raw / "refcoco/instances.json", lambda d: d["images"][0].update(file_name=name))
    with pytest.raises(UserError, match=r"instances\.json, image 1: file_name"):
        read_raw(raw, REFCOCO)


@pytest.mark.parametrize("name", [*[n for n in LEADING_OUT if n != 7], "a/b", ".a-b", 1.0, 1 << 61],
                         ids=ascii)  # fmt: skip
def test_ids_that_cannot_name_a_mask(raw, name):
    with pytest.raises(UserError, match="here: ref_id .*whole number"):
        safe_id(name, "here", "ref_id")
    edit_pickle(raw / REFCOCO.refs, lambda refs: refs[0].update(ref_id=name))
    with pytest.raises(UserError, match=r"refs\(unc\)\.p, ref number 0: ref_id"):
        read_raw(raw, REFCOCO)


@pytest.mark.parametrize("region", [n for n in LEADING_OUT if isinstance(n, str)] + ["a/b_1"],
                         ids=ascii)  # fmt: skip
def test_regions_that_lead_out_of_the_masks(referit, region):
    path = referit / "referit/referit_query_test.json"
    path.write_text(json.dumps({region: ["a dog"]}))
    with pytest.raises(UserError, match=r"referit_query_test\.json: region"):
        read_raw(referit, REFERIT)


@pytest.mark.parametrize("field", ["segment_id", "img_name"])
@pytest.mark.parametrize("name", [n for n in LEADING_OUT if n not in (7,)], ids=ascii)
def test_prepared_names_that_lead_out(tmp_path, field, name):
    entry = {"segment_id": "1", "img_name": "a.jpg", "sentences": [{"idx": 0, "sent": "a dog"}]}
    path = tmp_path / "train.json"
    path.write_text(json.dumps([entry, entry | {field: name}]))
    with pytest.raises(UserError, match=rf"train\.json, entry 1: (no '{field}'|{field})"):
        read_entries(path)


def test_safe_names_stay_as_they_are():
    names = ["COCO_train2014_000000000001.jpg", "train2014/a b.jpg", "7_1", "été..jpg", "refcoco/1"]
    assert [safe_path(name, "here") for name in names] == names
    assert [safe_id(name, "here", "id") for name in (7, -1, "7_1", "a b")] == [7, -1, "7_1", "a b"]
