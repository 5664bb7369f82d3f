"""A server on this machine whose faults can be chosen, and a list of mirrors that names it."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import yaml

from data_preprocess.fetch.fetch import FetchSettings

PHOTOS = {f"train2014/COCO_train2014_{n:012d}.jpg": bytes([n]) * (900 + n) for n in range(5)}
ANNOTATIONS = {
    "refcoco/instances.json": b'{"images": []}',
    "refcoco/refs(unc).p": b"unc" * 50_000,
    "refcoco/refs(google).p": b"google" * 20_000,
    "refcoco/readme.txt": b"not wanted",
    "__MACOSX/refcoco/._instances.json": b"not wanted either",
}
TARGETS = ["refcoco/instances.json", "refcoco/refs(unc).p", "images/train2014/"]


def zipped(members: dict, links: dict = {}) -> bytes:
    """A zip archive, stored without compression (a cut then falls where the test wants it)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name, target in links.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    return buffer.getvalue()


@dataclasses.dataclass
class Site:
    """What the server has, how it fails, and what was asked of it."""

    files: dict = dataclasses.field(default_factory=dict)
    faults: dict = dataclasses.field(
        default_factory=dict
    )  # path -> 404, "cut", "no ranges", or the type of a page
    etags: dict = dataclasses.field(default_factory=dict)
    requests: list = dataclasses.field(
        default_factory=list
    )  # (path, Range or "", status, bytes sent)
    root: str = ""


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        site: Site = self.server.site
        path, asked = unquote(self.path), self.headers.get("Range", "")
        fault, body = site.faults.get(path), site.files.get(path)
        if body is None or fault == 404:
            return self._send(path, asked, 404, b"", {})
        if fault in ("text/html", "application/zip"):  # a page, said to be this
            page = b"<!DOCTYPE html><html>sorry</html>"
            return self._send(path, asked, 200, page, {"Content-Type": fault})
        headers = {"ETag": site.etags.get(path, '"one"')}
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        same = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        status = 200
        if start and same and fault != "no ranges":
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        sent = body[: len(body) // 2] if fault == "cut" else body
        self._send(path, asked, status, sent, {**headers, "Content-Length": str(len(body))})

    def _send(self, path, asked, status, sent, headers):
        self.server.site.requests.append((path, asked, status, len(sent)))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(sent)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True


@contextlib.contextmanager
def serving():
    """The server, with an archive of annotations and one of photos."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = Site(root=f"http://127.0.0.1:{server.server_port}")
    server.site.files = {"/refcoco.zip": zipped(ANNOTATIONS), "/train2014.zip": zipped(PHOTOS)}
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_mirrors(folder: Path, site: Site, **changes) -> str:
    """A list of mirrors for the server; changes: keys of the source refcoco.zip."""
    annotations = {
        "what": "annotations",
        "archive": "zip",
        "unpack": {name: name for name in list(ANNOTATIONS)[:3]},
        "size": len(site.files["/refcoco.zip"]),
        "sha256": hashlib.sha256(site.files["/refcoco.zip"]).hexdigest(),
        "urls": [f"{site.root}/refcoco.zip"],
        "pages": ["https://pages.example/refcoco"],
    }
    photos = {
        "archive": "zip",
        "unpack": {"train2014/COCO_train2014_*.jpg": "images/train2014/"},
        "counts": {"images/train2014/": len(PHOTOS)},
        "md5": hashlib.md5(site.files["/train2014.zip"], usedforsecurity=False).hexdigest(),
        "urls": [{"url": f"{site.root}/train2014.zip", "found": "here"}],
    }
    tree = {
        "sets": {"refcoco": TARGETS},
        "sources": {"refcoco.zip": annotations | changes, "train2014.zip": photos},
    }
    path = folder / "mirrors.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def settings_for(folder: Path, site: Site, images: bool = False, **changes) -> FetchSettings:
    """Settings for a folder of its own; changes: keys of the source refcoco.zip."""
    mirrors = write_mirrors(folder, site, **changes)
    return FetchSettings("refcoco", str(folder / "data"), images=images, mirrors=mirrors)


def assert_whole(folder: Path) -> None:
    for name in list(ANNOTATIONS)[:3]:
        assert (folder / "data" / name).read_bytes() == ANNOTATIONS[name]


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
