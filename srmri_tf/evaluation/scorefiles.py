"""``slices.tsv`` and ``volumes.tsv``: a row per method and slice or volume, written and read."""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from data_prep.errors import CorruptArtefactError
from srmri_tf.evaluation.scores import SliceRow, VolumeRow

SLICES_NAME = "slices.tsv"
VOLUMES_NAME = "volumes.tsv"
_FORMER = {"high_frequency": "detail", "background": "air"}  # until versions 3 and 4

R = TypeVar("R", SliceRow, VolumeRow)


def write_rows(
    path: Path, rows: Sequence[SliceRow] | Sequence[VolumeRow], left_out: Sequence[str] = ()
) -> None:
    """Write rows, numbers with six decimals.

    Args:
        path: The file.
        rows: At least one.
        left_out: Columns that were not measured.
    """
    columns = [f.name for f in dataclasses.fields(rows[0]) if f.name not in left_out]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, name)) for name in columns] for row in rows)


def read_slices(folder: Path) -> list[SliceRow]:
    """The slices of an evaluation; what was not measured is NaN.

    Raises:
        CorruptArtefactError: The file is missing or damaged.
    """
    return _read(folder / SLICES_NAME, SliceRow)


def read_volumes(folder: Path) -> list[VolumeRow]:
    """The volumes of an evaluation; what was not measured is NaN.

    Raises:
        CorruptArtefactError: The file is missing or damaged.
    """
    return _read(folder / VOLUMES_NAME, VolumeRow)


def _read(path: Path, kind: type[R]) -> list[R]:
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file, delimiter="\t"))
        if not found:
            raise ValueError("no rows")
        return [kind(**{name: _value(row, name, fields[name]) for name in fields}) for row in found]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CorruptArtefactError(
            f"cannot be read ({error})", path=path, remedy="Measure again"
        ) from None


def _value(row: Mapping[str, str], name: str, kind: Any) -> Any:
    if name not in row:
        name = _FORMER.get(name, name)
    if kind is float:
        return float(row.get(name, "nan"))
    return row[name] == "True" if kind is bool else kind(row[name])


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
