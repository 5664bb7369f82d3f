"""The REFER layout (RefCOCO, RefCOCO+, RefCOCOg): instances.json and refs(<split_by>).p.

The .p file is a pickle, read by `plain_pickle`: a pickle that asks for anything but plain
containers, text and numbers is refused, not run.
"""

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json
from data_preprocess.base.paths import known_id, plain_id, safe_id, safe_path
from data_preprocess.base.values import four_numbers, image_shape, is_text, short_text, shown
from data_preprocess.raw import plain_pickle

from .datasets import Dataset
from .records import Raw, Record, Sentence, clean_sentence
from .segmentation import check_form

log = logging.getLogger(__name__)

Id = int | str

REMEDY = "Put the file of the REFER release there (see 'Real data' in the README)."
_CORRECT = "Correct it, or get the file again."
_REFERRED = {"image": ("file_name", "height", "width"), "annotation": ("image_id", "segmentation")}
_NO_CROWD = (0, None, "", "0", "0.0", "false", "no")  # of iscrowd, in files that hold text
_NEEDED = {  # of every entry; what else an expression needs is checked where one refers to it
    "image": ("id",),
    "annotation": ("id",),
    "category": ("id", "name"),
    "ref": ("ref_id", "ann_id", "image_id", "split", "sentences"),
}


@dataclass(frozen=True)
class Instances:
    """A COCO file of images, annotations and categories, by id. Entries are checked when asked
    for: what no expression refers to may be as it likes.

    complete: whether it holds all objects of its images. Converted files often hold only those
    that an expression refers to: nothing can be counted among them.
    """

    path: Path
    images: dict[Id, dict[str, Any]]
    annotations: dict[Id, dict[str, Any]]
    categories: dict[Id, str]
    complete: bool = True
    remedy: str = _CORRECT

    def referred_to(self, ids: Iterable[Id]) -> "Instances":
        """The same, incomplete where it holds no annotation but those of these ids."""
        meant = {known_id(number, self.annotations) for number in ids}
        return replace(self, complete=not self.annotations.keys() <= meant)

    def image(self, number: Any, where: str) -> dict[str, Any]:
        """An image: file_name inside its folder, height and width as int."""
        entry = self._found(self.images, number, "image", "image_id", where)
        own = f"{self.path}, image {number}"
        height, width = image_shape(entry["height"], entry["width"], own, _CORRECT)
        name = safe_path(entry["file_name"], own, "file_name")
        return entry | {"file_name": name, "height": height, "width": width}

    def has_one_image_called(self, name: str) -> bool:
        """Whether one image only has this bare name, whatever the folder."""
        return self._bare_names[name] == 1

    @functools.cached_property
    def _bare_names(self) -> Counter[str]:
        return Counter(
            str(image.get("file_name")).rpartition("/")[2] for image in self.images.values()
        )

    def annotation(self, number: Any, image: dict[str, Any] | None, where: str) -> dict[str, Any]:
        """An annotation: of this image (if given), bbox as a tuple, polygons or run lengths."""
        entry = self._found(self.annotations, number, "annotation", "ann_id", where)
        if image is not None and self.images.get(
            known_id(entry["image_id"], self.images)
        ) is not self.images.get(known_id(image["id"], self.images)):
            raise UserError(
                f"{where}: says image {image['id']}, but annotation {number} of {self.path} says "
                f"image {shown(entry['image_id'])}. Get both files again."
            )
        own = f"{self.path}, annotation {number}"
        check_form(entry["segmentation"], own)
        return entry | {"bbox": four_numbers(entry.get("bbox"), own, _CORRECT)}

    def category(self, annotation: dict[str, Any]) -> str:
        """The name of an annotation's category; empty where there is none."""
        number = annotation.get("category_id")
        return self.categories.get(known_id(number, self.categories), "")

    def distractors(self, meant: Sequence[dict[str, Any]]) -> int | None:
        """How many other annotations (crowds, too) of their images are of the same category as
        one that is meant. None where nothing is meant, one has no category, or the file is not
        complete."""
        classes = {_class(annotation) for annotation in meant}
        if not self.complete or not classes or None in classes:
            return None
        return sum(self._class_sizes[each] for each in classes) - len(meant)

    @functools.cached_property
    def _class_sizes(self) -> Counter[tuple[Id, Id] | None]:
        """The number of annotations of every image and category."""
        return Counter(_class(annotation) for annotation in self.annotations.values())

    def _found(self, known: dict[Id, Any], number: Any, kind: str, key: str, where: str) -> Any:
        found = known_id(number, known)
        if found is None:
            raise UserError(
                f"{where}: its {key} {shown(number)} is no {kind} of {self.path}. The two files "
                "do not belong together: get both again, or correct one."
            )
        for needed in _REFERRED[kind]:
            if needed not in known[found]:
                raise UserError(
                    f"{self.path}: {kind} number {list(known).index(found)} has no '{needed}', but "
                    f"{where} needs it ({key} {shown(found)}). {self.remedy}"
                )
        return known[found]


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation marks a crowd; files of people's own say 0 as text, too."""
    value = annotation.get("iscrowd")
    value = value.strip().lower() if isinstance(value, str) else value
    return value not in _NO_CROWD if isinstance(value, Id | float | None) else bool(value)


def read_pickle(path: Path, remedy: str = REMEDY) -> Any:
    """The plain data in a pickle; a missing, broken or forbidden one is an error naming it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. {remedy}")
    try:
        return plain_pickle.loads(path.read_bytes())
    except plain_pickle.NotPlain as error:
        again = "Get the file from the REFER release again; if" if remedy == REMEDY else "If"
        raise UserError(
            f"{path}: the pickle asks for {error}, but only plain lists, dictionaries, strings and "
            f"numbers are accepted. {again} you made it yourself, save plain Python data."
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable as a pickle ({error}). {remedy}") from error


def refer_sources(data: Path, dataset: Dataset) -> tuple[Path, Path]:
    """The two raw files of a REFER data set: objects, and expressions with their splits."""
    return data / dataset.folder / "instances.json", data / dataset.refs


def read_refer(data: Path, dataset: Dataset) -> Raw:
    """All records of a REFER data set, by split, in the order of the refs file."""
    instances_path, refs_path = refer_sources(data, dataset)
    found = by_split(read_refs(instances_path, refs_path), dataset, refs_path)
    return Raw(found, data / dataset.images, (instances_path, refs_path))


def read_refs(
    instances_path: Path, refs_path: Path, remedy: str = REMEDY
) -> Iterator[tuple[str, Record]]:
    """(split, record) of every ref. remedy: what errors say about files that cannot be used."""
    instances = read_instances(instances_path, remedy)
    content = read_pickle(refs_path, remedy)
    refs = list(checked_entries(content, "ref", refs_path, remedy))
    instances = instances.referred_to(meant_by(refs))
    for ref in refs:
        yield ref["split"], _record(ref, instances, refs_path)


def meant_by(refs: Iterable[dict[str, Any]]) -> Iterator[Id]:
    """The ids of all annotations that checked refs name."""
    for ref in refs:
        yield from ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]


def read_instances(path: Path, remedy: str = REMEDY) -> Instances:
    """A COCO file: of REFER, gRefCOCO, or of your own."""
    content = read_json(path, remedy)
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or key not in content:
            raise UserError(f"{path}: no '{key}' in it. {remedy}")
    categories = _by_id(content.get("categories") or [], "category", path, remedy)
    names = {
        number: short_text(entry["name"], f"{path}, category {number}", "name", _CORRECT)
        for number, entry in categories.items()
    }
    images = _by_id(content["images"], "image", path, remedy)
    annotations = _by_id(content["annotations"], "annotation", path, remedy)
    return Instances(path, images, annotations, names, remedy=remedy)


def by_split(
    records: Iterable[tuple[str, Record]], dataset: Dataset, path: Path, remedy: str = REMEDY
) -> dict[str, list[Record]]:
    """The records of the data set's splits; those of others are left out with a warning."""
    splits: dict[str, list[Record]] = {split: [] for split in dataset.splits}
    other: dict[str, int] = {}
    for split, record in records:
        if split in splits:
            splits[split].append(record)
        else:
            other[split] = other.get(split, 0) + 1
    if other:
        log.warning("%s: left out objects of splits that are not %s's: %s",
                    path, dataset.name, shown(other))  # fmt: skip
    if not any(splits.values()):
        raise UserError(f"{path}: no object in any of {', '.join(splits)}. {remedy}")
    return {split: found for split, found in splits.items() if found}


def checked_entries(
    entries: Any, kind: str, path: Path, remedy: str = REMEDY
) -> Iterator[dict[str, Any]]:
    """The entries, each with the keys that its kind needs; refs with ids that are theirs alone."""
    if not isinstance(entries, list):
        raise UserError(f"{path}: expected a list of {kind}s. {remedy}")
    ids: set[str] = set()
    for number, entry in enumerate(entries):
        for key in _NEEDED[kind]:
            if not isinstance(entry, dict) or key not in entry:
                raise UserError(f"{path}: {kind} number {number} has no '{key}'. {remedy}")
        if kind == "ref":
            _check_ref(entry, f"{path}, ref number {number}", ids)
        yield entry


def _check_ref(ref: dict[str, Any], where: str, ids: set[str]) -> None:
    """Its id, those of its annotations, and its split. Masks are named by ids, so each is new."""
    name = str(safe_id(ref["ref_id"], where, "ref_id"))
    if name in ids:
        raise UserError(f"{where}: ref_id {name} is that of another ref, too. {_CORRECT}")
    ids.add(name)
    listed = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    for number in listed:
        safe_id(number, f"{where} (ref_id {name})", "ann_id")
    if not is_text(ref["split"]):
        raise UserError(f"{where}: split {shown(ref['split'])} is no text. {_CORRECT}")


def _by_id(entries: Any, kind: str, path: Path, remedy: str) -> dict[Id, dict[str, Any]]:
    """The entries by id. Two of one id are an error, unless they are the same."""
    found: dict[Id, dict[str, Any]] = {}
    for number, entry in enumerate(checked_entries(entries, kind, path, remedy)):
        key = safe_id(plain_id(entry["id"]), f"{path}, {kind} number {number}", "id")
        if found.setdefault(key, entry) is not entry and not _same(found[key], entry):
            raise UserError(f"{path}: two {kind}s have the id {key}. {_CORRECT}")
    return found


def _class(annotation: dict[str, Any]) -> tuple[Id, Id] | None:
    """The image and the category of an annotation; None where one is missing or no id."""
    image, category = annotation.get("image_id"), annotation.get("category_id")
    image, category = plain_id(image), plain_id(category)
    return (image, category) if isinstance(image, Id) and isinstance(category, Id) else None


def _same(one: Any, other: Any) -> bool:
    try:
        return one == other
    except RecursionError:  # nested as deep as can be read
        return False


def _record(ref: dict[str, Any], instances: Instances, refs_path: Path) -> Record:
    where = f"{refs_path}, ref_id {ref['ref_id']}"
    image = instances.image(ref["image_id"], where)
    annotation = instances.annotation(ref["ann_id"], image, where)
    return Record(
        segment_id=str(ref["ref_id"]),
        image=image["file_name"],
        size=(image["height"], image["width"]),
        sentences=tuple(read_sentences(ref["sentences"], where)),
        shape=annotation["segmentation"],
        where=f"{instances.path}, annotation {annotation['id']}",
        category=instances.category(annotation),
        bbox=annotation["bbox"],
        distractors=instances.distractors([annotation]),
        ids=raw_ids(ref),
    )


def raw_ids(ref: dict[str, Any]) -> dict[str, Any]:
    """What other projects' files name an object by, as the ref has it: ann_id, image_id."""
    return {"ann_id": ref["ann_id"], "image_id": ref["image_id"]}


def read_sentences(sentences: Any, where: str) -> Iterator[Sentence]:
    """The expressions of a ref: mappings with `sent`, or plain text."""
    if not isinstance(sentences, list) or not sentences:
        raise UserError(f"{where}: no sentences. Remove the object or give it expressions.")
    for number, sentence in enumerate(sentences):
        text = sentence.get("sent") if isinstance(sentence, dict) else sentence
        name = f"sentence {number}"
        if isinstance(sentence, dict) and "sent_id" in sentence:
            name += f" (sent_id {shown(sentence['sent_id'])})"
        kind = sentence.get("kind") if isinstance(sentence, dict) else None
        kind = short_text(kind, f"{where}, {name}", "kind", _CORRECT)
        sent_id = sentence.get("sent_id") if isinstance(sentence, dict) else None
        if sent_id is not None:
            safe_id(sent_id, f"{where}, {name}", "sent_id")
        yield Sentence(clean_sentence(text, f"{where}, {name}"), kind, sent_id)
