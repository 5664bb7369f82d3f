"""Rows of an evaluation, read back from reports/<run>/rows/<split>.parquet."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_preprocess.base.errors import UserError, one_line
from data_preprocess.base.files import mistaken


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a split, with their provenance in `attrs`; a damaged file is a UserError.

    columns: those that are read; none, [], for the provenance alone.
    """
    try:
        rows = pd.read_parquet(path, columns=columns)
        if not isinstance(rows.attrs.get("provenance", {}), dict):
            raise ValueError("its provenance is no mapping")
        return rows
    except FileNotFoundError:
        raise
    except Exception as error:  # pyarrow raises many kinds
        if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno is not None:
            raise
        what = mistaken(path) if Path(path).is_file() else ""
        raise UserError(
            f"{path}: not readable as rows ({what or one_line(error)}). Copy the file again, or "
            "remove it and score the split anew: dghin evaluate."
        ) from error
