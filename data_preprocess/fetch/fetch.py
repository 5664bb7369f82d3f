"""Fetch the raw files of a data set: what is missing, from the mirrors that are known for it.

    fetch(FetchSettings("refcoco", data="DATA"))

Nothing is downloaded that was not announced first. Downloads in progress lie in DATA/.fetch; the
same call goes on from there. An archive that was got by other means may be put there, too.
"""

import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.base.settings import PathText
from data_preprocess.raw.datasets import has_drawn, is_drawn

from .mirrors import Mirrors, Source, read_mirrors
from .obtain import Tried, obtain
from .presence import PARTS, held, is_there

log = logging.getLogger(__name__)

_IMAGES = "images/"


@dataclass(frozen=True)
class FetchSettings:
    """What to fetch and where. data: the raw root. images: photos (and ReferIt's masks), too.

    dry_run: say what would be done, do nothing. keep_archives: leave them in DATA/.fetch.
    mirrors: a YAML file used instead of the packaged list. members: of `joint`. form: of the
    annotations, where another can be fetched: parquet (RefCOCO, + and g from the hub), or reviewed
    (Ref-L4's review of their expressions).
    """

    dataset: str = "refcoco"
    data: PathText = "data"
    images: bool = True
    dry_run: bool = False
    keep_archives: bool = False
    mirrors: PathText = ""
    members: tuple[str, ...] = ()
    form: str = ""


def fetch(settings: FetchSettings) -> int:
    """Say what is missing, where it would come from and how much it is; then fetch it.

    Returns 0 when all is there (or with dry_run). What no mirror gives, too little disk space and
    unknown names are a UserError; that one lists what to put where.
    """
    known, data = read_mirrors(settings.mirrors), Path(settings.data)
    if is_drawn(settings.dataset):
        raise UserError(
            f"data set '{settings.dataset}': nothing to fetch; it is drawn here: "
            "dghin data shapes output=FOLDER."
        )
    if has_drawn(data):
        raise UserError(
            f"{data}: holds the drawn scenes of 'dghin data shapes', among which photos would be "
            "lost. Name another folder with data=FOLDER."
        )
    targets = known.targets(settings.dataset, settings.members, settings.form)
    if not settings.images:
        targets = tuple(target for target in targets if not target.startswith(_IMAGES))
    missing = _missing(known, targets, data)
    for target in targets:
        if target not in missing:
            log.info("there already: %s", _shown(target, data))
    if not missing:
        log.info("%s: all files are there", settings.dataset)
        return 0
    steps = _steps(known, missing, data)
    _announce(steps, _second_choices(known, steps), data, settings.dataset)
    _announce_parts(known, missing, data)
    if settings.dry_run:
        log.info("dry run: nothing was fetched")
        return 0
    _check_space(steps, data)
    failures: dict[str, Tried] = {}
    for source in known.sources:  # also those that are only second choice for a target
        needed = [target for target in source.targets if target in missing]
        if not needed:
            continue
        done, failures[source.name] = obtain(source, needed, data, settings.keep_archives)
        if done:
            missing = [target for target in missing if target not in needed]
    if missing:
        raise UserError(_by_hand(known, missing, failures, settings))
    log.info("%s: all files are there now. Next: %s", settings.dataset, _next(settings))
    return 0


def _missing(known: Mirrors, targets: Iterable[str], data: Path) -> list[str]:
    """The files and folders (with a slash at the end) that are still lacking under `data`."""
    return [target for target in targets if not is_there(known, target, data)]


def _steps(known: Mirrors, missing: list[str], data: Path) -> list[tuple[Source, list[str]]]:
    """The downloads of first choice, each with the targets that are wanted from it."""
    left, steps = set(missing), []
    for source in known.sources:
        needed = [target for target in source.targets if target in left]
        if needed:
            steps.append((source, needed))
            left -= set(needed)
    return steps


def _second_choices(known: Mirrors, steps: list[tuple[Source, list[str]]]) -> list[Source]:
    """The downloads that are tried for a target when those of the first choice fail."""
    first = {source.name for source, _ in steps}
    wanted = {target for _, needed in steps for target in needed}
    return [s for s in known.sources if s.name not in first and wanted.intersection(s.targets)]


def _announce(
    steps: list[tuple[Source, list[str]]], others: list[Source], data: Path, dataset: str
) -> None:
    free = _amount(shutil.disk_usage(_existing(data)).free)
    log.info("%s: to fetch into %s (%s free; images=false leaves the photos out)", dataset, data,
             free)  # fmt: skip
    for source, needed in steps:
        log.info("%s, %s: %s", source.name, _size_of(source), source.what)
        for target in needed:
            log.info("  to   %s", _shown(target, data))
        for url in source.urls:
            log.info("  from %s", _address(source, url))
    for source in others:
        log.info("%s, %s, if the others fail: %s", source.name, _size_of(source), source.what)
        for url in source.urls:
            log.info("  from %s", _address(source, url))


def _address(source: Source, url: str) -> str:
    """A URL, with what is known of it."""
    return f"{url} (reported dead since {source.dead[url]})" if url in source.dead else url


def _announce_parts(known: Mirrors, missing: list[str], data: Path) -> None:
    """Say of a folder that has some of its files: they may be all that a data set shows."""
    for target in missing:
        if target.endswith("/") and (count := held(known, target, data)):
            log.info("%s: %s files are there, fewer than in the archive. If they are all that you "
                     "need: images=false", _shown(target, data), f"{count:,}")  # fmt: skip


def _check_space(steps: list[tuple[Source, list[str]]], data: Path) -> None:
    """Refuse to begin what cannot end: downloads and what comes out of them, where known."""
    needed = 0
    for source, targets in steps:
        size = source.size or source.about or 0
        parts = (source.name, f"{source.name}.part")
        needed += max(0, size - max(_size(data / PARTS / name) for name in parts))
        if source.archive:
            # an archive is hardly ever larger than what is in it
            folders = [data / target for target in targets if target.endswith("/")]
            needed += max(0, (source.unpacked or size) - sum(map(_size, folders)))
    free = shutil.disk_usage(_existing(data)).free
    if needed > free:
        raise UserError(
            f"{data}: {_amount(needed)} are needed (downloads, and what is unpacked from them), "
            f"{_amount(free)} are free. Free some space, name another folder with data=FOLDER, or "
            "leave the photos out with images=false (where they are among it)."
        )


def _size(path: Path) -> int:
    """Bytes of a file, or of the files of a folder; 0 where there is none."""
    if path.is_dir():
        with os.scandir(path) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())
    return path.stat().st_size if path.is_file() else 0


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _by_hand(
    known: Mirrors,
    missing: list[str],
    failures: dict[str, Tried],
    settings: FetchSettings,
) -> str:
    """What to put where by hand, and what was tried."""
    data = Path(settings.data)
    sources = [s for s in known.sources if any(target in missing for target in s.targets)]
    lines = ["no mirror gave these files. Put them there by hand:"]
    for target in missing:
        lines.append(f"  {_shown(target, data)}")
        for source in known.of(target):
            digest = f", sha256 {source.sha256}" if source.sha256 else ""
            digest = digest or (f", md5 {source.md5}" if source.md5 else "")
            inside = f" (in {source.name})" if source.archive else ""
            lines.append(f"    {source.what}{inside}: {_size_of(source)}{digest}")
    lines.append("tried:")
    for source in sources:
        lines += [f"  {url}: {reason}" for url, reason in failures.get(source.name, [])]
    if pages := list(dict.fromkeys(page for source in sources for page in source.pages)):
        lines += ["pages to look at:", *(f"  {page}" for page in pages)]
    if archives := [source.name for source in sources if source.archive]:
        lines.append(
            f"an archive ({', '.join(archives)}) may also be put into {data / PARTS} as it is: the "
            "same command unpacks it."
        )
    if "parquet" in known.forms.get(settings.dataset, {}) and not settings.form:
        lines.append(
            "the same annotations as Parquet, from another host: "
            f"dghin data fetch {settings.dataset} form=parquet data={settings.data}"
        )
    lines.append(f"then run: {_next(settings)}")
    return "\n".join(lines)


def _shown(target: str, data: Path) -> str:
    return f"{data / target}{os.sep if target.endswith('/') else ''}"


def _next(settings: FetchSettings) -> str:
    return f"dghin data verify {settings.dataset} data={settings.data}"


def _size_of(source: Source) -> str:
    """The bytes of a download for people."""
    if source.size is None:
        return f"about {_amount(source.about)}" if source.about else "size not known"
    return _amount(source.size)


def _amount(size: int) -> str:
    """Bytes for people."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
