"""A checkpoint of the original's training as a folder that this kit reads.

dghin convert checkpoint.pth FOLDER
"""

from collections.abc import Sequence
from pathlib import Path

from data_preprocess.base.errors import UserError
from dghin.model.dghin import DGHIN
from dghin.model.original import LANGUAGE, convert_state_dict, read_checkpoint
from dghin.model.weights.names import load_weights
from dghin.run.command_line import read_words


def main(arguments: Sequence[str]) -> None:
    """`dghin convert`; see the module's docstring."""
    paths = [word for word in arguments if not word.startswith("-")]
    rest = [word for word in arguments if word not in paths]
    read_words("dghin convert CHECKPOINT FOLDER", __doc__, {}, rest, settings=False)
    if len(paths) != 2:
        raise UserError("dghin convert: give a checkpoint and a folder: checkpoint.pth FOLDER")
    checkpoint, folder = map(Path, paths)
    model = DGHIN()
    load_weights(model, convert_state_dict(read_checkpoint(checkpoint)), checkpoint)
    model.language = LANGUAGE
    model.save_pretrained(folder)
    print(f"{folder}: model.safetensors and config.json written")
