"""A checkpoint of the original's training as a folder that this kit reads.

dghin convert checkpoint.pth FOLDER
"""

from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.errors import UserError
from data_preprocess.base.files import keep_inputs, read_json_or
from data_preprocess.base.paths import from_here
from dghin.model.dghin import DGHIN
from dghin.model.hub import CONFIG, WEIGHTS
from dghin.model.original import LANGUAGE, convert_state_dict, read_checkpoint
from dghin.model.weights.names import load_weights
from dghin.run.command_line import read_words


def main(arguments: Sequence[str]) -> None:
    """`dghin convert`; see the module's docstring."""
    paths = [from_here(word) for word in arguments if not word.startswith("-")]
    rest = [word for word in arguments if word.startswith("-")]
    read_words("dghin convert CHECKPOINT FOLDER", __doc__, {}, rest, settings=False)
    if len(paths) != 2:
        raise UserError("dghin convert: give a checkpoint and a folder: checkpoint.pth FOLDER")
    checkpoint, folder = map(Path, paths)
    _check_output(checkpoint, folder)
    model = DGHIN()
    load_weights(model, convert_state_dict(read_checkpoint(checkpoint)), checkpoint)
    model.language = LANGUAGE
    model.save_pretrained(folder)
    print(f"{folder}: model.safetensors and config.json written")


def _check_output(checkpoint: Path, folder: Path) -> None:
    """UserError where the folder's files are the checkpoint, or of another model."""
    if folder.is_file():
        raise UserError(f"{folder}: a file. Name a folder.")
    for name in (WEIGHTS, CONFIG):
        keep_inputs("folder", folder / name, [checkpoint])
    path = folder / CONFIG
    if path.is_file() and read_json_or(path, {}).get("model_type") != "dghin":
        raise UserError(f"{path}: of another model, which would be lost. Name another folder.")
