"""Scans, read with every check that matters, and written as NIfTI under their header."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib

from data_prep.errors import BadInputError
from data_prep.scans.gzip import GZIP, MAGIC, head, unpack
from data_prep.scans.layouts import HEAD, Layout, files, is_nifti, is_volume, layout_of
from data_prep.scans.nifti_geometry import place, slice_axis
from data_prep.scans.nifti_header import (
    check_size,
    chosen_volume,
    intensity_slope,
    wide_enough,
)

__all__ = [
    "Geometry",
    "NiftiImage",
    "Series",
    "checksum",
    "is_nifti",
    "is_volume",
    "packed",
    "read",
    "read_geometry",
    "read_series",
    "stem",
]

_START = 1 << 16  # bytes of a file that hold its header, whatever gzip has made of it


@dataclass(frozen=True, eq=False)
class Geometry:
    """How a scan's voxels lie, which its header alone says.

    Args:
        shape: The matrix in storage order.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        slice_axis: The stored axis that slices are stacked along, if the header says so.
        doubts: In what the header contradicts itself, and what is believed; a clause each.
        volumes: How many volumes there are.
        oriented: Whether the header says how the voxels lie in the patient.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    slice_axis: int | None
    doubts: tuple[str, ...] = ()
    volumes: int = 1
    oriented: bool = True


@dataclass(frozen=True, eq=False)
class Series:
    """A scan of one volume or more as its file holds it.

    Args:
        path: The file.
        stored: ``(X, Y, Z, T)`` stored values.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        header: The file's header, untouched but for what is not believed; of other formats, what
            NIfTI would say.
        sha256: Checksum of the file; of several files, of one after the other.
        doubts: In what the header contradicts itself, and what is believed; a clause each.
    """

    path: Path
    stored: np.ndarray
    affine: np.ndarray
    header: nib.Nifti1Header
    sha256: str
    doubts: tuple[str, ...] = ()

    @property
    def volumes(self) -> int:
        """How many volumes there are."""
        return self.stored.shape[3]

    def volume(self, number: int = 0) -> np.ndarray:
        """One volume, ``(X, Y, Z)`` float32 in the scan's own intensity units.

        Raises:
            BadInputError: It has voxels that are NaN or infinite.
        """
        return _scaled(self.stored[..., number], self.header, self.path)


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """One volume of a scan.

    Args:
        voxels: ``(X, Y, Z)`` float32 in storage order, in the scan's own intensity units.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        header: As of `Series`.
        sha256: As of `Series`.
        doubts: As of `Series`.
    """

    voxels: np.ndarray
    affine: np.ndarray
    header: nib.Nifti1Header
    sha256: str
    doubts: tuple[str, ...] = ()


def stem(path: Path) -> str:
    """The file's name without .nii, .nii.gz or its last suffix."""
    name = path.name
    for suffix in (".gz", ".nii"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name if name != path.name else path.stem


def read_geometry(path: Path) -> Geometry:
    """Check a file's header alone; reads a few kilobytes.

    Raises:
        BadInputError: The file is missing, or its header is not that of a usable scan.
    """
    path = Path(path)
    _, start, size = _opened(path, _START)
    layout = _layout(path, start)
    shape, volumes = layout.shape, layout.volumes
    expected = math.prod(shape) * volumes * layout.dtype.itemsize + layout.offset
    check_size(expected, layout.slack, size, layout.packed or start.startswith(MAGIC), path)
    placed = place(layout.header, shape, path)
    doubts = (*layout.doubts, *placed.doubts)
    oriented = bool(placed.header["sform_code"] or placed.header["qform_code"])
    stacked = slice_axis(layout.header)
    if stacked is None and shape.count(1) == 1:
        stacked = shape.index(1)  # a single slice, whatever its thickness
    return Geometry(shape, placed.affine, stacked, doubts, volumes, oriented)


def read_series(path: Path) -> Series:
    """Read a scan of one volume or more, and check all of it but for the values.

    Raises:
        BadInputError: The file is missing, damaged, of no format that is read, or not a scan.
    """
    path = Path(path)
    before, raw, size = _opened(path)
    layout = _layout(path, raw[:_START])
    packed = layout.packed or raw.startswith(MAGIC)
    shape, volumes = layout.shape, layout.volumes
    placed = place(layout.header, shape, path)
    count = math.prod(shape) * volumes
    expected = count * layout.dtype.itemsize + layout.offset
    check_size(expected, layout.slack, size, packed, path)
    data = _unpacked(raw, layout, expected, path) if packed else raw
    if len(data) < expected:
        raise BadInputError(
            f"holds {len(data)} of the {expected} bytes its header promises: it was cut off",
            path=path,
            remedy="Copy or export it again",
        )
    stored = np.frombuffer(data, layout.dtype, count, layout.offset)
    digest = hashlib.sha256(before)
    digest.update(raw)
    return Series(
        path,
        stored.reshape((*shape, volumes), order="F"),
        placed.affine,
        placed.header,
        digest.hexdigest(),
        (*layout.doubts, *placed.doubts),
    )


def read(path: Path, volume: int | None = None) -> NiftiImage:
    """Read a three-dimensional magnitude scan, and check all of it.

    A trailing axis of length one is dropped. Intensities are slope * stored + intercept, in
    float32.

    Args:
        path: The file.
        volume: Which volume of a series, counted from 0.

    Raises:
        BadInputError: The file is missing, damaged, of no format that is read, or not a usable
            scan; or it is a series, and no volume of it was chosen.
    """
    series = read_series(path)
    voxels = series.volume(chosen_volume(series.volumes, volume, series.path))
    return NiftiImage(voxels, series.affine, series.header, series.sha256, series.doubts)


def checksum(path: Path) -> str:
    """SHA-256 of a scan's files, as `read` gives it.

    Raises:
        OSError: They cannot be read.
    """
    digest = hashlib.sha256()
    for file in files(path):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def packed(
    path: Path, voxels: np.ndarray, header: nib.Nifti1Header, *, widen: bool = False
) -> list[bytes | memoryview]:
    """The bytes of a file of voxels under an existing header, in parts.

    Geometry, codes, units and description stay as they are. Integers stay integers, with their own
    slope and intercept: values are rounded and saturate at the type's limits.

    Args:
        path: Its name says whether they are compressed.
        voxels: ``(X, Y, Z)`` or ``(X, Y, Z, T)`` in the storage order of the header's scan.
        header: The header of that scan, or one derived from it.
        widen: Give integers more bits or a sign where a value needs them, instead of clipping it.
    """
    path = Path(path)
    kept = header.copy()
    kept["dim"] = (voxels.ndim, *voxels.shape, *[1] * (7 - voxels.ndim))
    kept["magic"] = b"n+1" if kept["sizeof_hdr"] == 348 else b"n+2"
    kept["vox_offset"] = int(kept["sizeof_hdr"]) + 4
    slope, inter = intensity_slope(header, path)
    if widen:
        ends = [(float(end) - inter) / slope for end in (voxels.min(), voxels.max())]
        kept.set_data_dtype(wide_enough(kept.get_data_dtype(), min(ends), max(ends)))
    stored = _stored(voxels, kept.get_data_dtype(), slope, inter)
    parts = [kept.binaryblock + b"\0\0\0\0", stored.ravel(order="F").view(np.uint8).data]
    if not path.name.lower().endswith(".gz"):
        return parts
    packer = isal_zlib.compressobj(wbits=GZIP)  # a gzip member without name or time
    return [*map(packer.compress, parts), packer.flush()]


def _stored(voxels: np.ndarray, dtype: np.dtype, slope: float, inter: float) -> np.ndarray:
    """Intensities as a file holds them, in Fortran order; a slice in double precision at a time."""
    stored = np.empty(voxels.shape, dtype, order="F")
    for k in range(voxels.shape[2]):
        values = (np.asarray(voxels[:, :, k], np.float64) - inter) / slope
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        stored[:, :, k] = values
    return stored


def _opened(path: Path, length: int = -1) -> tuple[bytes, bytes, int]:
    """A pair's header, the voxels' file or its first ``length`` bytes, and that file's size."""
    *pair, voxels = files(path)
    return b"".join(_read(header)[0] for header in pair), *_read(voxels, length)


def _layout(path: Path, start: bytes) -> Layout:
    """What the header says, which is at the start of the voxels' file or in another."""
    if len(files(path)) > 1 or path.suffix.lower() in (".hdr", ".nhdr"):
        start, _ = _read(path, HEAD)
    return layout_of(head(start, HEAD, path) if start.startswith(MAGIC) else start, path)


def _unpacked(raw: bytes, layout: Layout, expected: int, path: Path) -> bytes:
    """A file's content, all of which is compressed or what follows a header that is not."""
    if not layout.packed:
        return unpack(raw, expected, layout.slack, path)
    length = expected - layout.offset
    return raw[: layout.offset] + unpack(raw[layout.offset :], length, layout.slack, path)


def _read(path: Path, length: int = -1) -> tuple[bytes, int]:
    """The file, or its first ``length`` bytes, and its size."""
    try:
        with path.open("rb") as file:
            return file.read(length), path.stat().st_size
    except FileNotFoundError:
        raise BadInputError("does not exist", path=path, remedy="Check the path") from None
    except OSError as error:
        raise BadInputError(
            f"cannot be read: {error.strerror or error}", path=path, remedy="Check the file"
        ) from None


def _scaled(stored: np.ndarray, header: nib.Nifti1Header, path: Path) -> np.ndarray:
    """Stored values as float32 intensities, all of them finite."""
    slope, inter = intensity_slope(header, path)
    with np.errstate(over="ignore", invalid="ignore"):
        voxels = stored.astype(np.float32)
        if slope != 1:
            voxels *= np.float32(slope)
        if inter != 0:
            voxels += np.float32(inter)
    if stored.dtype.kind in "iu" and _stays_finite(stored.dtype, slope, inter):
        return voxels
    # A NaN or an infinity anywhere shows in the extremes: two quick passes instead of a mask.
    if not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise BadInputError(
            f"has {bad} voxels that are NaN or infinite",
            path=path,
            remedy="Repair them first, for instance with `fslmaths SCAN -nan OUT`",
        )
    return voxels


def _stays_finite(dtype: np.dtype, slope: float, inter: float) -> bool:
    """Whether no value of an integer type can overflow float32 when it is scaled."""
    limits = np.iinfo(dtype)
    largest = max(abs(limits.min), limits.max) * abs(slope) + abs(inter)
    return largest < float(np.finfo(np.float32).max)
