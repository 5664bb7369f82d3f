"""Is a data set what it should be? Counts beside the published ones, every file, shared images.

    verify_all(VerifySettings(dataset="referit", data="data"))      -> Verification

It takes a raw data set or a prepared one. The published figures are in statistics.csv.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import sha256_file
from data_preprocess.base.settings import PathText
from data_preprocess.prepared.annotations import COUNTS, counts, read_entries
from data_preprocess.prepared.custom import outdated
from data_preprocess.prepared.joint import TOGETHER, held_out
from data_preprocess.prepared.manifest import (
    annotation_path,
    cut_lines,
    features_path,
    manifest_path,
    prepared_root,
    read_manifest,
)
from data_preprocess.raw.datasets import (
    DRAWN,
    KNOWN,
    TRAIN,
    Dataset,
    find_dataset,
    is_drawn,
    true_name,
)
from data_preprocess.raw.readers import read_raw
from data_preprocess.raw.records import Raw, Record
from data_preprocess.raw.referit import without_unreadable

from .checks import Checked, check_prepared, check_raw
from .overlap import images_on_disk, overlaps, unexpected
from .published import DIFFERS, beside_published, published_counts

if TYPE_CHECKING:
    import pandas

BEFORE, AFTER = "as released", "without unreadable images"
JOINED = "without held-out images"
PREPARED = "prepared"


@dataclass(frozen=True)
class VerifySettings:
    dataset: str = "refcoco"
    data: PathText = "data"  # the raw root
    output: PathText = ""  # the prepared root; DATA/data_v3 if empty
    form: Literal["auto", "raw", "prepared"] = "auto"  # auto: raw where the raw files are
    files: bool = True  # open every image and mask, too
    overlap: bool = True  # look for images that splits of all data sets on disk share
    workers: int = 0  # processes; 0 for one a core
    strict: bool = False  # exit with 1 if anything differs or could not be checked
    members: tuple[str, ...] = ()  # of `joint`; empty: refcoco, refcoco+, refcocog_umd

    @property
    def root(self) -> Path:
        """The prepared root."""
        return prepared_root(self.data, self.output)


@dataclass(frozen=True)
class Verification:
    """What was found: counts, files (None: not looked at), pairs of splits that share images.

    table: counts per split beside the published ones; neither images nor masks are needed for it.
    Columns: dataset, split, stage, count ("images", "objects", "expressions"), found, published
    (missing where none is published), verdict ("same", "differs", "not published"). ReferIt is
    counted twice: as released, and without the three images that no one can read. Of `joint`, the
    members are counted as released; then what is left of their train splits, and `joint` itself.
    The SHA-256 of the raw files are in the table's attrs["sources"].
    """

    table: "pandas.DataFrame"
    checked: Checked | None
    overlaps: "pandas.DataFrame | None"
    leaks: int = 0  # pairs of the data set's own splits that should share no image
    cut: tuple[str, ...] = ()  # lines: how many expressions of each prepared split are cut

    def file_lines(self) -> list[str]:
        """What was found among the files, for people."""
        return self.checked.lines() if self.checked else ["the files were not looked at"]

    def overlap_line(self) -> str:
        """What was found of shared images, for people."""
        if self.overlaps is None:
            return "shared images were not looked for"
        pairs = len(self.overlaps)
        text = f"{pairs} pairs of splits on this disk share images" if pairs else (
            "no two splits on this disk share an image"
        )  # fmt: skip
        return f"{text}, {self.leaks} of them a leak inside this data set" if self.leaks else text

    @property
    def sound(self) -> bool:
        """Whether nothing differs, nothing is broken and nothing leaks."""
        differs = bool((self.table["verdict"] == DIFFERS).any())
        return not (differs or self.leaks or (self.checked and self.checked.problems))


def verify_all(settings: VerifySettings) -> Verification:
    """Everything that the settings ask for."""
    settings = replace(settings, dataset=known_as(settings))
    dataset, form = _find(settings)
    raws = _read(settings, dataset) if form == "raw" else {}
    table = _raw_table(settings, dataset, raws) if raws else _prepared_table(settings, dataset)
    checked = _checked(settings, dataset, raws) if settings.files else None
    found = Verification(table, checked, None, cut=_cut_lines(settings, dataset.name))
    if not settings.overlap:
        return found
    pairs = overlaps(images_on_disk(Path(settings.data), settings.root, raws))
    return replace(found, overlaps=pairs, leaks=len(unexpected(pairs, dataset)))


def known_as(settings: VerifySettings) -> str:
    """The name of the data set that is asked for: drawn scenes are none of RefCOCO, whether their
    raw files or only their prepared ones are there."""
    name = true_name(settings.dataset, Path(settings.data))
    if name in DRAWN and manifest_path(settings.root, name).is_file():
        found = read_manifest(settings.root, name).get("dataset", name)
        return found if is_drawn(found) else name
    return name


def _cut_lines(settings: VerifySettings, dataset: str) -> tuple[str, ...]:
    """How many expressions the prepared data set cuts; nothing where it is not prepared, or its
    files are damaged (which is said of the files)."""
    try:
        return tuple(cut_lines(settings.root, read_manifest(settings.root, dataset)))
    except (UserError, KeyError):
        return ()


def _checked(settings: VerifySettings, dataset: Dataset, raws: Mapping[str, Raw]) -> Checked:
    """Every file; what several members of `joint` show is opened once."""
    if raws:
        readable = {name: _readable(KNOWN[name], raw) for name, raw in raws.items()}
        splits = {
            f"{name}:{split}": records
            for name, raw in readable.items()
            for split, records in raw.splits.items()
        }
        return check_raw(replace(next(iter(raws.values())), splits=splits), settings.workers)
    checked = check_prepared(settings.root, dataset.name, settings.workers)
    if dataset.reader == "custom":
        checked.problems += outdated(settings.root, dataset.name)
    return checked


def _find(settings: VerifySettings) -> tuple[Dataset, str]:
    """The data set, and the form in which it is there: a data set of your own is prepared only."""
    prepared = manifest_path(settings.root, settings.dataset)
    if settings.dataset not in KNOWN and not settings.members and prepared.is_file():
        found = read_manifest(settings.root, settings.dataset)
        if found["source"] == "custom":
            name, splits = found["dataset"], tuple(found["splits"])
            return Dataset(name, "custom", "", "", splits, found["images_folder"]), PREPARED
    dataset = find_dataset(settings.dataset, settings.members)
    if settings.form != "auto":
        return dataset, settings.form
    names = dataset.members or (dataset.name,)
    raw = all((Path(settings.data) / KNOWN[name].folder).is_dir() for name in names)
    return dataset, PREPARED if prepared.is_file() and not raw else "raw"


def _read(settings: VerifySettings, dataset: Dataset) -> dict[str, Raw]:
    """The raw data set, or the members of `joint`, by name, with images that no one can read."""
    names = dataset.members or (dataset.name,)
    return {name: read_raw(Path(settings.data), KNOWN[name], drop=False) for name in names}


def _readable(dataset: Dataset, raw: Raw) -> Raw:
    """A raw data set without the images that no one can read (ReferIt's)."""
    return without_unreadable(raw) if dataset.has_unreadable else raw


def _raw_table(
    settings: VerifySettings, dataset: Dataset, raws: Mapping[str, Raw]
) -> "pandas.DataFrame":
    rows = [row for name, raw in raws.items() for row in _rows(KNOWN[name], raw)]
    rows += _joint_rows(dataset, raws) if dataset.members else []
    sources = dict.fromkeys(path for raw in raws.values() for path in raw.sources)
    return _as_table(rows, settings.data, sources)


def _prepared_table(settings: VerifySettings, dataset: Dataset) -> "pandas.DataFrame":
    """The counts of the annotation files as they are."""
    manifest = read_manifest(settings.root, dataset.name)
    published = published_counts(dataset)
    rows, sources = [], []
    for split in [*manifest["splits"], *_absent(dataset, manifest["splits"])]:
        path = annotation_path(settings.root, dataset.name, split)
        known = published.get(f"{split}_after_drop") or published.get(split, {})
        found = _counted(path, settings.files)
        rows += _count_rows(dataset.name, split, PREPARED, found, known)
        sources += [path, features_path(settings.root, dataset.name, split)]
    return _as_table(rows, settings.root, [path for path in sources if path.is_file()])


def _counted(path: Path, files: bool) -> dict[str, int]:
    """The counts of a split. If its file cannot be read: none, where the `files` are looked at
    anyway and say so."""
    try:
        return counts(read_entries(path))
    except UserError:
        if files or not path.is_file():
            return counts([])
        raise


def _absent(dataset: Dataset, there: Iterable[str]) -> list[str]:
    """Splits that the data set should have, by its published figures, and that are not there."""
    published, there = published_counts(dataset), set(there)
    return [split for split in dataset.splits if split in published and split not in there]


def _as_table(rows: list[Mapping[str, Any]], root: Any, sources: Any) -> "pandas.DataFrame":
    import pandas

    table = pandas.DataFrame(rows)
    table["published"] = table["published"].astype("Int64")
    table.attrs["sources"] = {
        path.relative_to(root).as_posix(): sha256_file(path) for path in sources
    }
    return table


def _rows(dataset: Dataset, raw: Raw) -> list[Mapping[str, Any]]:
    """Every split as released; of ReferIt also without the unreadable images."""
    published = published_counts(dataset)
    stages = {BEFORE: raw.splits}
    if dataset.has_unreadable:
        stages[AFTER] = _readable(dataset, raw).splits
    rows = []
    for stage, splits in stages.items():
        for split in [*splits, *_absent(dataset, splits)]:
            records = splits.get(split, [])
            known = published.get(f"{split}_after_drop" if stage == AFTER else split, {})
            rows += _split_rows(dataset.name, split, stage, records, known)
    return rows


def _joint_rows(dataset: Dataset, raws: Mapping[str, Raw]) -> list[Mapping[str, Any]]:
    """What is left of the members' train splits, and the splits that they make together."""
    images = {
        name: {split: [record.image for record in records] for split, records in raw.splits.items()}
        for name, raw in raws.items()
    }
    held = held_out(images)
    rows, joint = [], {split: [] for split in TOGETHER}
    for name, raw in raws.items():
        left = [record for record in raw.splits.get(TRAIN, []) if record.image not in held]
        rows += _split_rows(name, TRAIN, JOINED, left, {})
        for split in joint:
            joint[split] += left if split == TRAIN else raw.splits.get(split, [])
    for split, records in joint.items():
        stage = JOINED if split == TRAIN else BEFORE
        rows += _split_rows(dataset.name, split, stage, records, {}) if records else []
    return rows


def count_records(records: list[Record]) -> dict[str, int]:
    """Images, objects and expressions among the records of a split."""
    found = (
        len({record.image for record in records}),
        len(records),
        sum(len(record.sentences) for record in records),
    )
    return dict(zip(COUNTS, found, strict=True))


def _split_rows(
    dataset: str, split: str, stage: str, records: list[Record], published: Mapping[str, int]
) -> list[Mapping[str, Any]]:
    """One row a count."""
    return _count_rows(dataset, split, stage, count_records(records), published)


def _count_rows(
    dataset: str, split: str, stage: str, found: Mapping[str, int], published: Mapping[str, int]
) -> list[Mapping[str, Any]]:
    whose = {"dataset": dataset, "split": split, "stage": stage}
    return [whose | row for row in beside_published(found, published)]
