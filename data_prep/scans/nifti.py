"""NIfTI files, read with every check that matters, and written back with their header."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib

from data_prep.errors import BadInputError
from data_prep.scans.gzip import GZIP, MAGIC, head, unpack
from data_prep.scans.nifti_geometry import place, slice_axis
from data_prep.scans.nifti_header import (
    PADDING,
    intensity_slope,
    parse,
    spatial_shape,
    unpacked_size,
    voxel_offset,
    wide_enough,
)

SUFFIXES = (".nii", ".nii.gz")

_HEAD = 1 << 16


@dataclass(frozen=True, eq=False)
class Geometry:
    """How a scan's voxels lie, which its header alone says.

    Args:
        shape: The matrix in storage order.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        slice_axis: The stored axis that slices are stacked along, if the header says so.
        doubts: In what the header contradicts itself, and what is believed; a clause each.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    slice_axis: int | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """One scan as its file holds it.

    Args:
        voxels: ``(X, Y, Z)`` float32 in storage order, in the scan's own intensity units.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        header: The file's header, untouched but for what is not believed.
        sha256: Checksum of the file.
        doubts: In what the header contradicts itself, and what is believed; a clause each.
    """

    voxels: np.ndarray
    affine: np.ndarray
    header: nib.Nifti1Header
    sha256: str
    doubts: tuple[str, ...] = ()


def is_nifti(path: Path) -> bool:
    """Whether a file's name is that of a NIfTI file."""
    return path.name.lower().endswith(SUFFIXES)


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
    start, size = _read(path, _HEAD)
    packed = start.startswith(MAGIC)
    header = parse(head(start, 540, path) if packed else start, path)
    shape = spatial_shape(header, path)
    unpacked_size(header, shape, size, packed, path)
    placed = place(header, shape, path)
    return Geometry(shape, placed.affine, slice_axis(header), placed.doubts)


def read(path: Path) -> NiftiImage:
    """Read a three-dimensional magnitude scan, and check all of it.

    A trailing axis of length one is dropped. Intensities are slope * stored + intercept, in
    float32.

    Raises:
        BadInputError: The file is missing, damaged, not NIfTI, or not a usable scan.
    """
    path = Path(path)
    raw, size = _read(path)
    packed = raw.startswith(MAGIC)
    header = parse(head(raw[:_HEAD], 540, path) if packed else raw, path)
    shape = spatial_shape(header, path)
    placed = place(header, shape, path)
    expected = unpacked_size(header, shape, size, packed, path)
    data = unpack(raw, expected, PADDING, path) if packed else raw
    if len(data) < expected:
        raise BadInputError(
            f"holds {len(data)} of the {expected} bytes its header promises: it was cut off",
            path=path,
            remedy="Copy or export it again",
        )
    stored = np.frombuffer(
        data, header.get_data_dtype(), math.prod(shape), voxel_offset(header, path)
    ).reshape(shape, order="F")
    voxels = _scaled(stored, header, path)
    digest = hashlib.sha256(raw).hexdigest()
    return NiftiImage(voxels, placed.affine, placed.header, digest, placed.doubts)


def packed(
    path: Path, voxels: np.ndarray, header: nib.Nifti1Header, *, widen: bool = False
) -> list[bytes | memoryview]:
    """The bytes of a file of voxels under an existing header, in parts.

    Geometry, codes, units and description stay as they are. Integers stay integers, with their own
    slope and intercept: values are rounded and saturate at the type's limits.

    Args:
        path: Its name says whether they are compressed.
        voxels: ``(X, Y, Z)`` in the storage order of the header's scan.
        header: The header of that scan, or one derived from it.
        widen: Give integers more bits where the largest value needs them, instead of clipping
            it. Unsigned types still end at zero, which cuts dark voxels off.
    """
    path = Path(path)
    kept = header.copy()
    kept["dim"] = (3, *voxels.shape, 1, 1, 1, 1)
    kept["magic"] = b"n+1" if kept["sizeof_hdr"] == 348 else b"n+2"
    kept["vox_offset"] = int(kept["sizeof_hdr"]) + 4
    slope, inter = intensity_slope(header, path)
    if widen:
        ends = [(float(end) - inter) / slope for end in (voxels.min(), voxels.max())]
        dtype = kept.get_data_dtype()
        if slope < 0 and dtype.kind == "u" and round(min(ends)) < 0:  # zero is the bright end
            dtype = np.dtype(f"i{dtype.itemsize}")
        kept.set_data_dtype(wide_enough(dtype, min(ends), max(ends)))
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
