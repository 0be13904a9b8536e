"""NRRD headers, parsed by pynrrd: where the voxels lie in the file and in the patient.

https://teem.sourceforge.net/nrrd/format.html says what the fields mean.
"""

import importlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.errors import BadInputError, EnvironmentFault

SUFFIXES = (".nrrd", ".nhdr")

_MOST = 1 << 16  # bytes of a header
_DATA_FILE = re.compile(rb"^data ?file:[ \t]*(.{1,255}?)[ \t]*\r?$", re.MULTILINE)  # a name
# The patient's axes that a space counts along, as signs of right, anterior and superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
_SPACES |= {"".join(word[0] for word in name.split("-")): s for name, s in _SPACES.items()}
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_PACKED = {"raw": False, "gzip": True, "gz": True}
_CONVERT = "Convert it to NIfTI, or save it again as a volume with raw or gzip encoding"


class Head(NamedTuple):
    """What a header says.

    Args:
        shape: The matrix, and the number of volumes behind it.
        dtype: Of the stored voxels, byte order and all.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm; of voxel sizes alone where it
            has no orientation.
        oriented: Whether it has one.
        offset: The byte of the voxels' file at which they begin.
        packed: Whether what begins there is compressed.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    affine: np.ndarray
    oriented: bool
    offset: int
    packed: bool


def is_nrrd(path: Path) -> bool:
    """Whether a file's name is that of an NRRD file, whose voxels may be in another."""
    return path.name.lower().endswith(SUFFIXES)


def data_file(path: Path) -> Path | None:
    """The file of the voxels where a header names one, whether it is there or not."""
    try:
        with path.open("rb") as file:
            text, _, _ = file.read(_MOST).partition(b"\n\n")
    except OSError:
        return None
    named = _DATA_FILE.search(text)
    return path.parent / named[1].decode("utf-8", "replace") if named else None


def read_head(path: Path) -> Head:
    """Read a header.

    Raises:
        BadInputError: It is none, or of no volume in one file of raw or gzip encoding.
        EnvironmentFault: pynrrd is not installed.
    """
    nrrd = _library()
    with path.open("rb") as file:
        start = io.BytesIO(file.read(_MOST))
    try:
        fields = nrrd.read_header(start)
        sizes = tuple(int(size) for size in fields["sizes"])
        affine, oriented = _affine(fields, path)
        return Head(
            shape=sizes,
            **_place(fields, start.tell(), path),
            dtype=_dtype(fields, path),
            affine=affine,
            oriented=oriented,
        )
    except (nrrd.NRRDError, ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        missing = isinstance(error, KeyError)
        reason = f"its header has no {error.args[0]}" if missing else str(error).strip()
        reason = reason or "its header ends too soon"
        raise BadInputError(
            f"is not an NRRD file ({reason})", path=path, remedy="Export the scan again"
        ) from None


def _library() -> Any:
    try:
        return importlib.import_module("nrrd")
    except ImportError:
        raise EnvironmentFault(
            "NRRD files are read by pynrrd, which is not installed",
            remedy="Install it with `pip install 'srmri-tf[nrrd]'`",
        ) from None


def _dtype(fields: Mapping[str, Any], path: Path) -> np.dtype:
    code = _DTYPES.get(fields["type"])
    if code is None:
        raise BadInputError(f"has voxels of type {fields['type']}", path=path, remedy=_CONVERT)
    if code[1] == "1":
        return np.dtype(code)
    order = {"little": "<", "big": ">"}.get(fields["endian"])
    if order is None:
        raise BadInputError(f"has {fields['endian']} endian", path=path, remedy=_CONVERT)
    return np.dtype(order + code)


def _place(fields: Mapping[str, Any], end: int, path: Path) -> dict[str, Any]:
    """Offset and compression of the voxels.

    Args:
        fields: Of the header.
        end: Of the header, in bytes.
        path: Named in errors.
    """
    encoding = fields["encoding"].lower()
    if encoding not in _PACKED:
        raise BadInputError(f"has {encoding} encoding", path=path, remedy=_CONVERT)
    if fields.get("line skip") or fields.get("byte skip"):
        raise BadInputError("has bytes before its voxels", path=path, remedy=_CONVERT)
    detached = data_file(path)
    if detached is None:
        return {"offset": end, "packed": _PACKED[encoding]}
    if not detached.is_file():
        raise BadInputError(
            f"has its voxels in {detached.name}, which is not there",
            path=path,
            remedy="Give both files, or one with all in it",
        )
    return {"offset": 0, "packed": False}  # a file that is compressed as a whole is seen as one


def _affine(fields: Mapping[str, Any], path: Path) -> tuple[np.ndarray, bool]:
    """Voxel indices to RAS+ mm, and whether it says where the patient's axes lie."""
    if units := {*fields.get("space units", ())} - {"mm", ""}:
        raise BadInputError(
            f"has voxel sizes in {', '.join(sorted(units))}, not mm", path=path, remedy=_CONVERT
        )
    affine = np.eye(4)
    signs = _SPACES.get(str(fields.get("space", "")).lower())
    directions = fields.get("space directions")
    if directions is None:
        affine[:3, :3] = np.diag(_spacings(fields, path))
        return affine, False
    columns = _spatial(np.asarray(directions, float), path).T
    if signs is None:
        affine[:3, :3] = np.diag(np.linalg.norm(columns, axis=0))
        return affine, False
    affine[:3, :3] = columns
    affine[:3, 3] = fields.get("space origin", np.zeros(3))
    return np.diag([*signs, 1.0]) @ affine, True


def _spacings(fields: Mapping[str, Any], path: Path) -> np.ndarray:
    """The voxel sizes along the first three axes."""
    spacings = np.asarray(fields.get("spacings", ()), float)[:3]
    if len(spacings) < 3:
        raise BadInputError(
            "has no voxel sizes: neither three spacings nor space directions",
            path=path,
            remedy=_CONVERT,
        )
    return spacings


def _spatial(rows: np.ndarray, path: Path) -> np.ndarray:
    """The directions of the first three axes, which must be those of space; a fourth must not."""
    known = np.isfinite(rows).all(axis=1)
    if len(rows) < 3 or not known[:3].all() or known[3:].any():
        raise BadInputError(
            "does not have the three axes of space first", path=path, remedy=_CONVERT
        )
    return rows[:3]
