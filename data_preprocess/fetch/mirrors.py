"""The list of mirrors: which files a data set needs, and where each can be downloaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from data_preprocess.base.errors import UserError, unknown_name
from data_preprocess.base.yaml_files import read_yaml
from data_preprocess.raw.datasets import JOINT, find_dataset

PACKAGED = "mirrors.yaml"
ARCHIVES = ("zip", "tar", "tar.gz")
_KEYS = {"what", "target", "archive", "unpack", "size", "about", "sha256", "md5", "unpacked",
         "counts", "urls", "pages"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One download. size, unpacked: bytes (None: not known); about: the size, rounded, where only
    that is known; sha256, md5: "" where not known.

    unpack: pattern of members -> target; a plain file has the one entry "" -> target. Targets
    are relative to the raw root; those that end in a slash are folders.
    """

    name: str
    what: str
    archive: str
    unpack: Mapping[str, str]
    urls: tuple[str, ...]
    pages: tuple[str, ...]
    size: int | None
    about: int | None
    unpacked: int | None
    sha256: str
    md5: str
    counts: Mapping[str, int]
    dead: Mapping[str, str]  # URLs that people say no longer answer -> since when

    @property
    def targets(self) -> tuple[str, ...]:
        """What comes out of it, relative to the raw root."""
        return tuple(dict.fromkeys(self.unpack.values()))


@dataclass(frozen=True)
class Mirrors:
    """The whole list: targets by data set (and by form, where there are others), and the downloads
    in the order of preference."""

    sets: Mapping[str, tuple[str, ...]]
    forms: Mapping[str, Mapping[str, tuple[str, ...]]]
    sources: tuple[Source, ...]

    def targets(self, name: str, members: Iterable[str] = (), form: str = "") -> tuple[str, ...]:
        """What a data set needs. `joint` needs what its members (or the usual ones) need.

        An unknown name or form is a UserError with the nearest known one.
        """
        if form:
            return self._in_form(name, form)
        members = tuple(members)
        if name != JOINT and name not in self.sets:
            raise unknown_name("data set to fetch", name, [*self.sets, JOINT])
        if name == JOINT or members:
            names = find_dataset(name, members).members  # refuses members of any other set
        else:
            names = (name,)
        absent = [member for member in names if member not in self.sets]
        if absent:
            raise unknown_name("data set to fetch", absent[0], self.sets)
        return tuple(dict.fromkeys(target for member in names for target in self.sets[member]))

    def _in_form(self, name: str, form: str) -> tuple[str, ...]:
        known = self.forms.get(name, {})
        if form not in known:
            listed = ", ".join(f"{key} ({', '.join(value)})" for key, value in self.forms.items())
            raise UserError(
                f"form={form}: '{name}' has no such form to fetch. Leave it out, or fetch one of: "
                f"{listed}."
            )
        return known[form]

    def of(self, target: str) -> tuple[Source, ...]:
        """The downloads that a target comes from, the preferred one first."""
        return tuple(source for source in self.sources if target in source.targets)


def read_mirrors(path: str = "") -> Mirrors:
    """The list in a YAML file, or the packaged one. What is wrong in it is a UserError."""
    if path and not Path(path).is_file():
        raise UserError(f"{path}: no such file. Give a list of mirrors with mirrors=FILE, or none.")
    file = Path(path) if path else Path(str(resources.files(__package__) / PACKAGED))
    where = path or PACKAGED
    tree = read_yaml(file, "Correct it.")
    try:
        sets = {name: tuple(map(_relative, targets)) for name, targets in tree["sets"].items()}
        forms = {
            name: {form: tuple(map(_relative, targets)) for form, targets in listed.items()}
            for name, listed in (tree.get("forms") or {}).items()
        }
        sources = tuple(_source(name, entry) for name, entry in tree["sources"].items())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: not a list of mirrors ({error!r}). It has `sets` and `sources` as "
            f"data_preprocess/{PACKAGED} has."
        ) from error
    provided = {target for source in sources for target in source.targets}
    wanted = [*sets.items()]
    wanted += [(name, targets) for name, listed in forms.items() for targets in listed.values()]
    for name, targets in wanted:
        for target in targets:
            if target not in provided:
                raise UserError(f"{where}: set '{name}' needs {target}, which no source gives.")
    return Mirrors(sets, forms, sources)


def _source(name: str, entry: Mapping[str, Any]) -> Source:
    if unknown := set(entry) - _KEYS:
        raise ValueError(f"{name}: unknown key {sorted(unknown)[0]}")
    archive = entry.get("archive", "")
    if archive and archive not in ARCHIVES:
        raise ValueError(f"{name}: archive is one of {', '.join(ARCHIVES)}")
    if name != PurePosixPath(name).name or name.startswith("."):
        raise ValueError(f"{name}: not a file name")
    unpack = entry["unpack"] if archive else {"": entry["target"]}
    listed = [url if isinstance(url, Mapping) else {"url": url} for url in entry.get("urls") or ()]
    dead = {url["url"]: str(url["dead"]) for url in listed if url.get("dead")}
    urls = sorted((url["url"] for url in listed), key=lambda url: url in dead)  # dead ones last
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise ValueError(f"{name}: {url} is neither http, https nor file")
    return Source(
        name=name,
        what=entry.get("what", name),
        archive=archive,
        unpack={pattern: _relative(target) for pattern, target in unpack.items()},
        urls=tuple(urls),
        pages=tuple(entry.get("pages") or ()),
        size=_bytes(entry.get("size")),
        about=_bytes(entry.get("about")),
        unpacked=_bytes(entry.get("unpacked")),
        sha256=(entry.get("sha256") or "").lower(),
        md5=(entry.get("md5") or "").lower(),
        counts=entry.get("counts") or {},
        dead=dead,
    )


def _bytes(value: Any) -> int | None:
    return None if value is None else int(value)


def _relative(target: str) -> str:
    """The target, if it stays under the raw root."""
    if not target or target.startswith("/") or ".." in PurePosixPath(target).parts:
        raise ValueError(f"{target!r}: not a path under the raw root")
    return target
