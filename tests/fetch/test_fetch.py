"""`fetch`, against a server of its own on this machine whose faults can be chosen."""

import dataclasses
import io
import logging
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from helpers.fetch_site import (
    ANNOTATIONS,
    PHOTOS,
    assert_whole,
    files_of,
    serving,
    settings_for,
    zipped,
)

from data_preprocess.base.errors import UserError
from data_preprocess.fetch import download as downloading
from data_preprocess.fetch import unpack as unpacking
from data_preprocess.fetch.fetch import FetchSettings, fetch
from data_preprocess.fetch.mirrors import read_mirrors
from data_preprocess.raw.datasets import DATASETS


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        yield found


def test_progress_is_shown(tmp_path, site, capsys):
    fetch(settings_for(tmp_path, site, images=True))
    shown = capsys.readouterr().err
    assert "refcoco.zip: 100%" in shown and "unpack train2014.zip: 100%" in shown


def test_everything_lands_in_its_place(tmp_path, site, caplog):
    caplog.set_level(logging.INFO)
    settings = settings_for(tmp_path, site, images=True)
    assert fetch(settings) == 0
    assert_whole(tmp_path)
    for name, content in PHOTOS.items():
        assert (tmp_path / "data/images" / name).read_bytes() == content
    unpacked = {f"images/{name}" for name in PHOTOS} | set(list(ANNOTATIONS)[:3])
    assert files_of(tmp_path / "data") == unpacked | {".fetch/images-train2014.unpacked.json"}
    plan = caplog.text[: caplog.text.index("all files are there now")]
    assert f"from {site.root}/refcoco.zip" in plan and "images/train2014/" in plan


def test_what_is_there_is_not_asked_for(tmp_path, site):
    settings = settings_for(tmp_path, site, images=True)
    fetch(settings)
    site.requests.clear()
    assert fetch(settings) == 0
    assert site.requests == []
    shutil.rmtree(tmp_path / "data/.fetch")  # photos put there by other means, all of them
    assert fetch(settings) == 0
    assert site.requests == []


def test_a_half_unpacked_folder_is_completed(tmp_path, site, caplog):
    settings = settings_for(tmp_path, site, images=True)
    fetch(settings)
    first, second, *_ = [tmp_path / "data/images" / name for name in PHOTOS]
    first.unlink()
    kept = second.stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        assert fetch(settings) == 0
    assert "4 files are there, fewer than in the archive. If they are all that" in caplog.text
    assert first.is_file() and second.stat().st_mtime_ns == kept


def test_an_unpacking_that_was_interrupted_goes_on_without_a_download(tmp_path, site, monkeypatch):
    settings = settings_for(tmp_path, site, images=True)
    copy, copied = unpacking._copy, []

    def interrupted(member, temporary, bar):
        if len(copied) == len(ANNOTATIONS):
            raise KeyboardInterrupt
        copied.append(member.name)
        copy(member, temporary, bar)

    monkeypatch.setattr(unpacking, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(settings)
    assert len(list((tmp_path / "data/images/train2014").iterdir())) == 2
    monkeypatch.setattr(unpacking, "_copy", copy)
    site.requests.clear()
    assert fetch(settings) == 0
    assert site.requests == []
    assert files_of(tmp_path / "data/images/train2014") == {Path(name).name for name in PHOTOS}
    assert not (tmp_path / "data/.fetch/train2014.zip").exists()


@pytest.mark.parametrize("fault", ["404", "refused", "wrong bytes", "wrong size", "html", "cut"])
def test_the_second_mirror_is_used(tmp_path, site, caplog, fault):
    good = site.files["/refcoco.zip"]
    first, reason = f"{site.root}/first.zip", fault
    site.files["/first.zip"] = good
    if fault == "404":
        site.faults["/first.zip"], reason = 404, "HTTP 404"
    elif fault == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            first, reason = f"http://127.0.0.1:{free.getsockname()[1]}/x", "connection refused"
    elif fault == "wrong bytes":
        site.files["/first.zip"], reason = good[:-1] + b"!", "sha256 is "
    elif fault == "wrong size":
        site.files["/first.zip"], reason = good + b"more", "offers "
    elif fault == "html":
        site.faults["/first.zip"], reason = "text/html", "an HTML page instead of the file"
    else:
        site.faults["/first.zip"], reason = "cut", "the connection broke off"
    assert fetch(settings_for(tmp_path, site, urls=[first, f"{site.root}/refcoco.zip"])) == 0
    assert_whole(tmp_path)
    assert f"{first}: {reason}" in caplog.text
    assert files_of(tmp_path / "data") == set(list(ANNOTATIONS)[:3])


def test_a_page_is_not_taken_for_a_file_of_unknown_size(tmp_path, site):
    site.faults["/refcoco.zip"] = "application/zip"
    with pytest.raises(UserError, match="an HTML page instead of the file"):
        fetch(settings_for(tmp_path, site, size=None, sha256=None))
    assert not (tmp_path / "data/.fetch/refcoco.zip.part").exists()


def cut_once(tmp_path, site, **changes) -> tuple[FetchSettings, int]:
    """Fetch from a mirror that breaks off half way, then mend it. Returns the bytes held."""
    site.faults["/refcoco.zip"] = "cut"
    settings = settings_for(tmp_path, site, **changes)
    with pytest.raises(UserError, match="broke off"):
        fetch(settings)
    held = (tmp_path / "data/.fetch/refcoco.zip.part").stat().st_size
    assert 0 < held < len(site.files["/refcoco.zip"])
    assert not (tmp_path / "data/refcoco").exists()
    del site.faults["/refcoco.zip"]
    site.requests.clear()
    return settings, held


@pytest.mark.parametrize("digest", [True, False])
def test_a_cut_download_goes_on_where_it_was(tmp_path, site, digest):
    settings, held = cut_once(tmp_path, site, **({} if digest else {"sha256": None, "size": None}))
    assert fetch(settings) == 0
    left = len(site.files["/refcoco.zip"]) - held
    assert site.requests == [("/refcoco.zip", f"bytes={held}-", 206, left)]
    assert_whole(tmp_path)


def test_another_mirror_goes_on_where_the_first_was_cut(tmp_path, site):
    site.files["/other.zip"], site.etags["/other.zip"] = site.files["/refcoco.zip"], '"other"'
    site.faults["/refcoco.zip"] = "cut"
    urls = [f"{site.root}/refcoco.zip", f"{site.root}/other.zip"]
    assert fetch(settings_for(tmp_path, site, urls=urls)) == 0
    path, asked, status, sent = site.requests[1]
    held = len(site.files["/refcoco.zip"]) - sent
    assert (path, asked, status) == ("/other.zip", f"bytes={held}-", 206) and held > 100_000
    assert_whole(tmp_path)


@pytest.mark.parametrize("why", ["no ranges", "changed"])
def test_a_download_that_cannot_go_on_starts_anew(tmp_path, site, why):
    known = {"sha256": None, "size": None} if why == "changed" else {}
    settings, held = cut_once(tmp_path, site, **known)
    if why == "changed":
        site.files["/refcoco.zip"] = zipped(ANNOTATIONS | {"refcoco/more.txt": b"new"})
        site.etags["/refcoco.zip"] = '"two"'
    else:
        site.faults["/refcoco.zip"] = why
    assert fetch(settings) == 0
    size = len(site.files["/refcoco.zip"])
    assert site.requests == [("/refcoco.zip", f"bytes={held}-", 200, size)]
    assert_whole(tmp_path)


def test_a_part_that_turns_out_wrong_is_begun_anew(tmp_path, site):
    settings, held = cut_once(tmp_path, site)
    (tmp_path / "data/.fetch/refcoco.zip.part").write_bytes(b"x" * held)
    assert fetch(settings) == 0
    assert [request[1] for request in site.requests] == [f"bytes={held}-", ""]
    assert_whole(tmp_path)


def test_when_all_fail_the_message_says_what_to_put_where(tmp_path, site):
    site.faults = {"/refcoco.zip": 404, "/train2014.zip": 404}
    data = tmp_path / "data"
    with pytest.raises(UserError) as caught:
        fetch(settings_for(tmp_path, site, images=True))
    message = str(caught.value)
    for name in ("refcoco/instances.json", "refcoco/refs(unc).p", "images/train2014"):
        assert str(data / name) in message
    for name in ("refcoco.zip", "train2014.zip"):
        assert f"{site.root}/{name}: HTTP 404" in message
    assert "https://pages.example/refcoco" in message and ", sha256 " in message
    assert f"dghin data verify refcoco data={data}" in message
    assert not {file for file in files_of(data) if not file.startswith(".fetch/")}


def test_an_archive_got_by_other_means_is_unpacked_and_stays(tmp_path, site):
    settings = settings_for(tmp_path, site)
    site.faults["/refcoco.zip"] = "application/zip"
    with pytest.raises(UserError):
        fetch(settings)
    archive = tmp_path / "data/.fetch/refcoco.zip"
    archive.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"refcoco.zip: 14 bytes, expected"):
        fetch(settings)
    archive.write_bytes(site.files["/refcoco.zip"])
    site.requests.clear()
    assert fetch(settings) == 0
    assert site.requests == [] and archive.is_file()
    assert_whole(tmp_path)


def test_keep_archives_and_files_by_path(tmp_path, site):
    stick = tmp_path / "a stick" / "refcoco+.zip"
    stick.parent.mkdir()
    stick.write_bytes(site.files["/refcoco.zip"])
    settings = settings_for(tmp_path, site, urls=["file:///not/there.zip", stick.as_uri()])
    settings = dataclasses.replace(settings, keep_archives=True)
    assert fetch(settings) == 0
    assert site.requests == []
    assert (tmp_path / "data/.fetch/refcoco.zip").is_file() and stick.is_file()
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    ("members", "links", "reason"),
    [({"../outside": b"x"}, {}, "leads out"),
     ({"/outside": b"x"}, {}, "leads out"),
     ({"refcoco/..\\..\\outside": b"x"}, {}, "leads out"),
     ({}, {"refcoco/link": "../../outside"}, "is a link"),
     ({"again/refcoco/instances.json": b"x"}, {}, "two members for refcoco/instances.json")],
)  # fmt: skip
def test_an_unsafe_archive_is_refused(tmp_path, site, members, links, reason):
    site.files["/refcoco.zip"] = zipped(ANNOTATIONS | members, links)
    with pytest.raises(UserError, match=reason):
        fetch(settings_for(tmp_path, site))
    assert files_of(tmp_path) == {"mirrors.yaml"}


def test_broken_and_incomplete_archives_are_refused(tmp_path, site):
    good = site.files["/refcoco.zip"]
    site.files["/broken.zip"] = good.replace(b"unc" * 100, b"cun" * 100, 1)
    site.files["/cut.zip"] = good[: len(good) // 2]
    site.files["/empty.zip"] = zipped({"refcoco/instances.json": b"{}"})
    urls = [f"{site.root}/{name}.zip" for name in ("broken", "cut", "empty")]
    with pytest.raises(UserError) as caught:
        fetch(settings_for(tmp_path, site, size=None, sha256=None, urls=urls))
    assert str(caught.value).count("not a whole zip archive") == 2
    assert "no refcoco/refs(unc).p in it" in str(caught.value)
    assert files_of(tmp_path) == {"mirrors.yaml"}


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_tar_archives(tmp_path, site, link, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as archive:
        for name, content in ANNOTATIONS.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("refcoco/link")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(info)
    site.files["/refcoco.zip"] = buffer.getvalue()
    settings = settings_for(tmp_path, site, archive=kind)
    if link:
        with pytest.raises(UserError, match="is a link or a device"):
            fetch(settings)
    else:
        assert fetch(settings) == 0
        assert_whole(tmp_path)


def test_dry_run_asks_for_nothing_and_writes_nothing(tmp_path, site, caplog):
    caplog.set_level(logging.INFO)
    settings = settings_for(tmp_path, site, images=True)
    assert fetch(dataclasses.replace(settings, dry_run=True)) == 0
    assert site.requests == [] and not (tmp_path / "data").exists()
    assert f"from {site.root}/train2014.zip" in caplog.text


def test_too_little_space_is_said_before(tmp_path, site, monkeypatch):
    settings = settings_for(tmp_path, site)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=300_000))
    with pytest.raises(UserError, match=r"541.* kB are needed .* 300.0 kB are free"):
        fetch(settings)
    assert site.requests == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(UserError, match="unpacked it takes"):  # no size in the list: known later
        fetch(settings_for(tmp_path, site, size=None))
    assert not (tmp_path / "data/refcoco").exists()


def test_a_full_disk_is_no_fault_of_the_mirror(tmp_path, site, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloading, "_write", full)
    with pytest.raises(UserError, match="the disk is full"):
        fetch(settings_for(tmp_path, site))


def test_the_packaged_list():
    known = read_mirrors()
    for name, dataset in DATASETS.items():
        targets = known.targets(name)
        assert f"{dataset.images}/" in targets or name == "refcoco-m"  # photos inside of the files
        if dataset.split_by and dataset.reader != "referit":
            assert {dataset.refs, f"{dataset.folder}/instances.json"} <= set(targets)
    assert set(known.targets("joint")) == {
        target for name in ("refcoco", "refcoco+", "refcocog_umd") for target in known.targets(name)
    }
    for source in known.sources:
        assert source.targets and source.pages and source.what
        assert source.urls and all(url.startswith(("http://", "https://")) for url in source.urls)
        assert len(source.sha256) in (0, 64) and len(source.md5) in (0, 32)
    path = Path(__file__).parents[2] / "data_preprocess/fetch/mirrors.yaml"
    for entry in yaml.safe_load(path.read_text())["sources"].values():
        assert all(url["found"] for url in entry["urls"])
    for name in ("refcoco", "refcoco+", "refcocog_umd"):
        for form in known.forms[name]:
            assert {source.archive for target in known.targets(name, form=form)[:-1]
                    for source in known.of(target)} == {""}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_a_dry_run_says_files_sizes_and_hosts_of_every_set(tmp_path, caplog, name):
    caplog.set_level(logging.INFO)
    known = read_mirrors()
    for form in ("", *known.forms.get(name, {})):
        caplog.clear()
        assert fetch(FetchSettings(name, str(tmp_path), dry_run=True, form=form)) == 0
        for target in known.targets(name, form=form):
            source = known.of(target)[0]
            assert str(tmp_path / target) in caplog.text
            assert f"  from {source.urls[0]}" in caplog.text
            if source.size:
                assert re.search(rf"{re.escape(source.name)}, [\d.]+ [kMG]B: ", caplog.text)
            elif source.about:
                assert re.search(rf"{re.escape(source.name)}, about [\d.]+ [kMG]B: ", caplog.text)
    assert not any(tmp_path.iterdir())


def test_what_is_only_known_dead_is_tried_last_and_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for source in read_mirrors().sources:
        living = [url not in source.dead for url in source.urls]
        assert living == sorted(living, reverse=True)
    fetch(FetchSettings("refcoco", str(tmp_path), dry_run=True))
    assert "refcoco.zip (reported dead since September 2022" in caplog.text


def test_another_form_of_the_annotations(tmp_path, site, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError, match="'grefcoco' has no such form to fetch.*refcoco \\(parquet"):
        fetch(FetchSettings("grefcoco", str(tmp_path), form="parquet"))
    settings = settings_for(tmp_path, site, urls=[f"{site.root}/none"])
    listed = yaml.safe_load(Path(settings.mirrors).read_text())
    listed["sources"]["train.parquet"] = {
        "target": "refcoco/train.parquet", "about": 5,
        "urls": [{"url": f"{site.root}/train.parquet", "found": "here"}],
    }  # fmt: skip
    listed["forms"] = {"refcoco": {"parquet": ["refcoco/train.parquet"]}}
    Path(settings.mirrors).write_text(yaml.safe_dump(listed))
    with pytest.raises(UserError, match="another host: dghin data fetch refcoco form=parquet"):
        fetch(settings)
    site.files["/train.parquet"] = b"PAR1 ... PAR1"
    assert fetch(dataclasses.replace(settings, form="parquet")) == 0
    assert (tmp_path / "data/refcoco/train.parquet").read_bytes() == b"PAR1 ... PAR1"
    assert "train.parquet, about 5 bytes" in caplog.text  # a rounded size is not compared


@pytest.mark.parametrize(
    ("change", "message"),
    [({"unpack": {"a": "../b"}}, "not a path under the raw root"),
     ({"urls": ["ftp://x/y"]}, "neither http, https nor file"),
     ({"uls": []}, "unknown key uls"),
     ({"archive": "rar"}, "archive is one of zip, tar, tar.gz"),
     ({"unpack": {"a": "b"}}, "needs refcoco/instances.json, which no source gives")],
)  # fmt: skip
def test_a_wrong_list_is_refused(tmp_path, site, change, message):
    with pytest.raises(UserError, match=message):
        fetch(settings_for(tmp_path, site, **change))


def test_unknown_sets_and_members_are_refused(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'refcoco'"):
        fetch(FetchSettings("refcoko", str(tmp_path)))
    with pytest.raises(UserError, match="members="):
        fetch(FetchSettings("refcoco", str(tmp_path), members=("refcoco+", "refcoco")))
    with pytest.raises(UserError, match="no such file"):
        fetch(FetchSettings("refcoco", str(tmp_path), mirrors="nowhere.yaml"))


def test_importing_opens_no_socket_and_loads_no_network_library():
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a socket')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import data_preprocess.fetch.fetch\n"
        "assert 'requests' not in sys.modules and 'urllib3' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
