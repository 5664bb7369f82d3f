"""Words and files that a command line may be given by mistake or ill will, as strategies."""

import os
import stat
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

TEXTS = (
    "", " ", "0", "-1", "007", "1.10", "1e999", "nan", "null", "~", "true", "no", "2024_01_01",
    "2024-13-45", "99999999999999999999", "[", "[]", "[a", "[a,b]", "{", "{a: 1}", "@home", "a: b",
    "*", "&a [*a]", "!!python/name:os.system", "%", "'", '"', "#", "a #2", "=", "a=b", "..", "/",
    "/proc/x.png", "/dev/null", "~nobody/x", "a\nb", "\u200b", "\udcff", "ÿ", "🐶", "x" * 5000,
    "x/" * 300, "-o", "--", "--dry-run", "--no-such-flag", "-h\u200b", "demo", "refcoco", "strict",
    "cuda", "cuda:7", "meta", "cpu", "hf:nobody", "reference:none", "os:system", "none",
)  # fmt: skip

FILES: dict[str, bytes] = {
    "empty": b"",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\n",
    "page": b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "packed": b"\x1f\x8b\x08\x00" + bytes(40),
    "zip": b"PK\x03\x04" + bytes(40),
    "latin1": b"name: f\xfcr\n",
    "utf16": "name: demo\n".encode("utf-16"),
    "twice": b"train: {seed: 1}\ntrain: {batch: 2}\n",
    "list": b"[1, 2]",
    "deep": b"[" * 3000,
    "circle": b"a: &a [*a]\n",
    "number_key": b"train: {5: 1}\n",
    "null_key": b"~: 1\n",
    "header": (10**9).to_bytes(8, "little") + b"{}",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "text": b"a cat\n",
    "table": b"image,expression,annotation\nphoto.png,the cat,1\n",
}
ENDINGS = ("", ".yaml", ".json", ".csv", ".png", ".jpg", ".pth", ".safetensors", ".jsonl", ".onnx",
           ".npz", ".txt", ".ico", ".h5")  # fmt: skip


def write_files(folder: Path) -> None:
    """Every content under every ending; photos; folders with damaged files; links in a circle."""
    for name, content in FILES.items():
        for ending in ENDINGS:
            (folder / f"{name}{ending}").write_bytes(content)
    (folder / "self.yaml").write_text("base: self.yaml\n")
    (folder / "one.yaml").write_text("base: two.yaml\n")
    (folder / "two.yaml").write_text("base: one.yaml\n")
    (folder / "good.yaml").write_text("base: demo\nname: good\n")
    picture = Image.radial_gradient("L").resize((40, 30))
    for name in ("photo.png", "photo.jpg", "photo_overlay.png", "grey.tif"):
        picture.convert("L" if "grey" in name else "RGB").save(folder / name)
    picture.convert("RGB").save(folder / "cut.png")
    cut = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(cut[: len(cut) // 2])
    for name in FILES:
        inner = folder / f"folder_{name}"
        inner.mkdir()
        for file in ("model.safetensors", "config.json", "vocab.txt", "tokenizer.json"):
            (inner / file).write_bytes(FILES[name])
    (folder / "folder").mkdir()
    os.symlink("loop", folder / "loop")
    os.mkfifo(folder / "pipe")


def names(folder: Path) -> list[str]:
    """What is in the folder, by name."""
    return sorted(path.name for path in folder.iterdir())


def values(there: list[str]) -> st.SearchStrategy[str]:
    """A hostile text, one of the names of files, one below it, or any text at all."""
    there = st.sampled_from(there)
    letters = st.characters(exclude_characters="\0")
    return st.one_of(
        st.sampled_from(TEXTS),
        there,
        there,
        there.map(lambda name: f"{name}/x.png"),
        st.text(letters, max_size=12),
    )


class Kept:
    """The plain files of a folder and its folders: which of them differ now, and all put back."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.signs = self._signs()
        self.content = {path: path.read_bytes() for path in self.signs}

    def changed(self) -> set[Path]:
        """What is new, written over or taken away."""
        now = self._signs()
        return {path for path in now | self.signs if now.get(path) != self.signs.get(path)}

    def put_back(self) -> None:
        """Every file as it was."""
        changed = self.changed()
        for path in changed:
            if path in self.content:
                path.write_bytes(self.content[path])
            else:
                path.unlink()
        if changed:
            self.signs = self._signs()

    def _signs(self) -> dict[Path, tuple[int, ...]]:
        """What a write changes, and nobody can set back (ctime)."""
        signs = {}
        for folder, _, files in os.walk(self.folder):
            for name in files:
                path = os.path.join(folder, name)
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode):
                    sign = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                    signs[Path(path)] = sign
        return signs
