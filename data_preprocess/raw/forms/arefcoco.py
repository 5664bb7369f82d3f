"""aRefCOCO: arefcoco.json, ambiguous sentences for objects of RefCOCO (unc) and RefCOCOg (umd).

https://github.com/zhenjiemao/aRefCOCO (CC BY 4.0; SaFiRe, NeurIPS 2025). Its `annotations` have
entity_id, split, ref_id, original_dataset ("refcoco", else RefCOCOg) and descriptions; masks,
photos and boxes are those of the ref, so both data sets must lie beside it in REFER's layout.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import safe_id
from data_preprocess.base.values import shown
from data_preprocess.raw.datasets import DATASETS, Dataset
from data_preprocess.raw.records import Record
from data_preprocess.raw.refer import read_refs, read_sentences

from .entries import AGAIN, listed, needed, split_name

NAME = "arefcoco.json"
_ORIGINALS = {"refcoco": DATASETS["refcoco"], "refcocog": DATASETS["refcocog_umd"]}
_NEEDED = ("entity_id", "split", "ref_id", "original_dataset", "descriptions")


def read_arefcoco(
    path: Path, dataset: Dataset, originals: dict[str, tuple[Path, Path]]
) -> Iterator[tuple[str, Record]]:
    """(split, record) of every entity. originals: REFER's two files of each data set
    (`find_originals`)."""
    content = needed(read_json(path, AGAIN), ("annotations",), str(path))
    refs = {name: _by_ref(*files) for name, files in originals.items()}
    for number, entry in enumerate(listed(content["annotations"], str(path), "'annotations'")):
        where = f"{path}, annotation number {number}"
        needed(entry, _NEEDED, where)
        name = safe_id(entry["entity_id"], where, "entity_id")
        where += f" (entity_id {name})"
        record = _original(entry, refs, originals, where)
        sentences = tuple(read_sentences(entry["descriptions"], where))
        record = replace(record, segment_id=str(name), sentences=sentences, where=where)
        yield split_name(entry["split"], dataset, where), record


def find_originals(path: Path, others: Iterable[Path]) -> dict[str, tuple[Path, Path]]:
    """instances.json and the refs file of RefCOCO and RefCOCOg: beside arefcoco.json or its
    folder, or in one of the others."""
    roots = [path.parent, path.parent.parent, *others]
    found = {}
    for name, dataset in _ORIGINALS.items():
        pairs = [(root / dataset.folder / "instances.json", root / dataset.refs) for root in roots]
        there = [pair for pair in pairs if all(path.is_file() for path in pair)]
        if not there:
            raise UserError(
                f"{path}: it has no masks, but names objects of RefCOCO (unc) and RefCOCOg (umd). "
                f"{dataset.folder}/instances.json and {dataset.refs} are neither beside it nor in "
                f"the raw root. Get them with: dghin data fetch {dataset.name} data=DATA"
            )
        found[name] = there[0]
    return found


def _by_ref(instances: Path, refs: Path) -> dict[str, Record]:
    return {record.segment_id: record for _, record in read_refs(instances, refs, AGAIN)}


def _original(
    entry: dict[str, Any],
    refs: dict[str, dict[str, Record]],
    originals: dict[str, tuple[Path, Path]],
    where: str,
) -> Record:
    """The record of the ref that an entity is about."""
    source = entry["original_dataset"]
    if source not in refs:
        raise UserError(
            f"{where}: original_dataset {shown(source)} is neither {' nor '.join(refs)}. {AGAIN}"
        )
    number = safe_id(entry["ref_id"], where, "ref_id")
    if str(number) not in refs[source]:
        raise UserError(
            f"{where}: ref_id {number} is no ref of {originals[source][1]}. The files do not "
            "belong together: get them again."
        )
    return refs[source][str(number)]
