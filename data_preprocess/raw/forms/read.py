"""One door to the forms in which people hold data sets today; which one it is, the files tell.

| form       | files                                                    |
| refer      | instances.json and refs(*).p                             |
| parquet    | *.parquet of jxu124/refcoco, refcocoplus, refcocog       |
| mdetr      | finetune_<set>_<split>.json, and an instances.json       |
| seqtr      | instances.json of SeqTR                                  |
| refcoco-m  | *.parquet (or rows as JSON) of moondream/refcoco-m       |
| arefcoco   | arefcoco.json, and REFER's files of refcoco and refcocog |
| gseval     | GroundingSuite-Eval.jsonl (or .jsonl.gz)                 |
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_preprocess.base.errors import UserError
from data_preprocess.raw.datasets import Dataset
from data_preprocess.raw.records import Raw, Record
from data_preprocess.raw.refer import read_refs

from . import arefcoco, gseval, hub, mdetr, refcoco_m, seqtr
from .entries import AGAIN, collect, parquet_columns

Form = Literal["auto", "refer", "parquet", "mdetr", "seqtr", "refcoco-m", "arefcoco", "gseval"]
FILES = {  # form: what its files are called
    "refer": "instances.json beside one refs(*).p",
    "parquet": f"*.parquet with a column {hub.MARK}",
    "mdetr": "finetune_<set>_<split>.json",
    "seqtr": "one *instances.json",
    "refcoco-m": f"*.parquet with a column {refcoco_m.MARK}, or *refcoco-m*.json",
    "arefcoco": arefcoco.NAME,
    "gseval": "*.jsonl with idx, image_path, caption and segmentation in a line",
}


@dataclass(frozen=True)
class Place:
    """Where a data set's files are: raw is a folder or one file of it.

    photos: the folder in which photos that are inside of the files are to be written.
    """

    raw: Path
    photos: Path
    instances: Path | None = None  # of objects, for MDETR's files
    others: tuple[Path, ...] = ()  # folders that may hold such a file


def read_form(dataset: Dataset, form: str, place: Place) -> Raw:
    """All records, by split. The folder of photos is to be found (`photos.locate`)."""
    if not place.raw.exists():
        raise UserError(
            f"{place.raw}: no such file or folder. Give the files of '{dataset.name}' with "
            "raw=FOLDER."
        )
    if form == "auto":
        form = dataset.form or _the_only(find_forms(place.raw, dataset), dataset, place.raw)
    files = files_of(form, place.raw, dataset)
    if not files:
        raise UserError(
            f"{place.raw}: no files of form={form} for '{dataset.name}' in it, that is "
            f"{FILES[form]}. It has {_content(place.raw)}. Give another raw=FOLDER or form=NAME."
        )
    _check_split_by(dataset, form, files[0])
    pairs, sources = _read(dataset, form, files, place)
    packed = tuple(path for path in files if form == "refcoco-m" and refcoco_m.has_photos(path))
    found = collect(pairs, dataset, files[0])
    return Raw(found, place.photos, tuple(sources), form=form, packed=packed)


def find_forms(raw: Path, dataset: Dataset) -> list[str]:
    """The forms of which there are files; one that cannot be opened is of none."""
    found = []
    for form in FILES:
        try:
            files = files_of(form, raw, dataset)
            if form == "seqtr":
                files = [path for path in files if seqtr.is_seqtr(path)]
            if files:
                _check_split_by(dataset, form, files[0])
                found.append(form)
        except (UserError, OSError):
            continue
    return found


def files_of(form: str, raw: Path, dataset: Dataset) -> list[Path]:
    """The files of a form, in the order of their names; those of other data sets are left out."""
    if form == "refer":
        return _refs(raw, dataset)
    there = [raw] if raw.is_file() else sorted([*raw.iterdir(), *(raw / "data").glob("*.parquet")])
    there = [path for path in there if path.is_file() and not path.name.startswith(".")]
    if form == "mdetr":
        return list(_mdetr_files(there, dataset).values())
    if form == "arefcoco":
        return [path for path in there if path.name == arefcoco.NAME]
    if form == "gseval":
        return [path for path in there if gseval.is_gseval(path)]
    if form == "seqtr":
        named = [path for path in there if path.name.endswith("instances.json") or path == raw]
        exact = [path for path in named if path.name == "instances.json"]
        return exact or _at_most_one(named)
    mark = hub.MARK if form == "parquet" else refcoco_m.MARK
    parquet = [p for p in there if p.suffix == ".parquet" and mark in parquet_columns(p)]
    if form == "refcoco-m" and not parquet:
        return [path for path in there if refcoco_m.is_json(path, named=path == raw)]
    return parquet


def _read(
    dataset: Dataset, form: str, files: Sequence[Path], place: Place
) -> tuple[Iterable[tuple[str, Record]], list[Path]]:
    """What is in the files, and all files that were read for it."""
    if form == "refer":
        instances = place.instances or files[0].parent / "instances.json"
        return read_refs(instances, files[0], AGAIN), [instances, files[0]]
    if form == "parquet":
        return hub.read_hub(files, dataset), list(files)
    if form == "mdetr":
        instances = mdetr.find_instances(place.instances, [files[0].parent, *place.others])
        paths = _mdetr_files(files, dataset)
        return mdetr.read_mdetr(paths, instances), [*files, instances]
    if form == "seqtr":
        return seqtr.read_seqtr(files[0], dataset), list(files)
    if form == "arefcoco":
        originals = arefcoco.find_originals(files[0], place.others)
        used = [path for pair in originals.values() for path in pair]
        return arefcoco.read_arefcoco(files[0], dataset, originals), [*files, *used]
    if form == "gseval":
        return gseval.read_gseval(files, dataset), list(files)
    return refcoco_m.read_refcoco_m(files, dataset), list(files)


def _refs(raw: Path, dataset: Dataset) -> list[Path]:
    """The file of expressions: the data set's own, or the only one there."""
    if raw.is_file():
        return [raw] if raw.suffix == ".p" else []
    if dataset.split_by:
        return [path for path in [raw / f"refs({dataset.split_by}).p"] if path.is_file()]
    return _at_most_one(sorted(raw.glob("refs(*).p")))


def _mdetr_files(there: Iterable[Path], dataset: Dataset) -> dict[str, Path]:
    """Split -> file. Of a known data set: those with its name in theirs."""
    sets: dict[str, dict[str, Path]] = {}
    for path in there:
        if named := mdetr.NAME.fullmatch(path.name):
            sets.setdefault(named["set"], {})[named["split"]] = path
    if dataset.folder:
        return sets.get(dataset.folder, {})
    if len(sets) > 1:
        raise UserError(
            f"{next(iter(next(iter(sets.values())).values())).parent}: MDETR's files of several "
            f"sets ({', '.join(sets)}). Keep those of one set in a folder of their own."
        )
    return next(iter(sets.values()), {})


def _at_most_one(paths: list[Path]) -> list[Path]:
    if len(paths) > 1:
        raise UserError(
            f"{paths[0].parent}: several files ({', '.join(path.name for path in paths)}). Name "
            "the one to be read: raw=FILE."
        )
    return paths


def _the_only(forms: list[str], dataset: Dataset, raw: Path) -> str:
    if len(forms) != 1:
        known = "; ".join(f"{form}: {files}" for form, files in FILES.items())
        what = f"files of several forms ({', '.join(forms)})" if forms else "no form that is known"
        raise UserError(
            f"{raw}: {what} for '{dataset.name}'. It has {_content(raw)}. Say form=NAME ({known})."
        )
    return forms[0]


def _check_split_by(dataset: Dataset, form: str, path: Path) -> None:
    """An error for another split of the same photos: the hub's and MDETR's are unc and umd."""
    if form in ("parquet", "mdetr") and dataset.split_by == "google":
        raise UserError(
            f"{path}: the splits of this form are those of unc (RefCOCOg: umd), but "
            f"'{dataset.name}' is the google split. Name it {dataset.folder}"
            f"{'_umd' if dataset.folder == 'refcocog' else ''}, or get REFER's files."
        )


def _content(raw: Path) -> str:
    names = [raw.name] if raw.is_file() else sorted(path.name for path in raw.iterdir())
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return shown or "nothing in it"
