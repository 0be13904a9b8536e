"""What a NIfTI header must say before a byte of its voxels is believed."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from data_prep.errors import BadInputError
from data_prep.scans.nifti_geometry import slice_axis

MAX_BYTES = 4 << 30  # a 1024 x 1024 x 1024 float32 volume
MAX_RATIO = 200  # scans shrink 2- to 20-fold; gzip's limit, met by constant data, is 1032
SMALL = 64 << 20  # volumes below this many bytes are harmless at any ratio
PADDING = 4096  # some writers fill the last disk block

_EXPORT = "Export the scan again"


def parse(block: bytes, path: Path, magics: tuple[bytes, ...]) -> nib.Nifti1Header:
    """Parse and check the first 348 or 540 bytes.

    Args:
        block: So many bytes, or more.
        path: Named in errors.
        magics: What may say that it is a NIfTI file: of one file, or of a pair.

    Raises:
        BadInputError: It is no such header.
    """
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    kind: type[nib.Nifti1Header] = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    length = kind.sizeof_hdr
    if not sizes & {348, 540}:
        raise BadInputError(
            "is not a NIfTI file",
            path=path,
            remedy="Give NIfTI files, or the folder of a DICOM series",
        )
    if len(block) < length:
        raise BadInputError("ends inside its header", path=path, remedy=_EXPORT)
    try:
        header = kind(block[:length], check=False)
    except (HeaderDataError, ValueError) as error:
        raise BadInputError(f"has a broken header ({error})", path=path, remedy=_EXPORT) from None
    if bytes(header["magic"])[:3] not in magics:
        raise BadInputError(
            "is not a single-file NIfTI image",
            path=path,
            remedy="Give the .hdr of a pair its name back, and its .img beside it",
        )
    return header


def matrix_of(header: nib.Nifti1Header, path: Path) -> tuple[tuple[int, int, int], int]:
    """The matrix and the number of volumes, after checks of dimensions and data type.

    Raises:
        BadInputError: It is no volume of real numbers, nor a series of such.
    """
    axes = int(header["dim"][0])
    lengths = [int(length) for length in header["dim"][1 : axes + 1]]
    if not 1 <= axes <= 7 or min(lengths) < 1:
        raise BadInputError(f"has an impossible shape, got {lengths}", path=path, remedy=_EXPORT)
    if axes < 3:
        raise BadInputError(
            f"is {axes}-dimensional, but a volume is needed", path=path, remedy="Give whole volumes"
        )
    if any(length > 1 for length in lengths[4:]):
        raise BadInputError(
            f"is a series of volumes in more than one way, got shape {tuple(lengths)}",
            path=path,
            remedy="Give volumes, or series of four axes",
        )
    _check_type(header, path)
    return (lengths[0], lengths[1], lengths[2]), lengths[3] if axes > 3 else 1


def chosen_volume(count: int, wanted: int | None, path: Path) -> int:
    """Which volume of a scan is taken: the only one, or of a series the one asked for.

    Args:
        count: How many there are.
        wanted: Counted from 0; None if none was asked for.
        path: Named in errors.

    Raises:
        BadInputError: It is a series, and none was asked for or there is no such volume.
    """
    if count == 1:
        return 0
    if wanted is None or wanted >= count:
        there = "" if wanted is None else f", so there is no volume {wanted}"
        raise BadInputError(
            f"is a series of volumes, {count} of them{there}",
            path=path,
            remedy="Choose one with --volume N, counted from 0",
        )
    return wanted


def _check_type(header: nib.Nifti1Header, path: Path) -> None:
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise BadInputError(
            f"has the unknown data type code {int(header['datatype'])}", path=path, remedy=_EXPORT
        ) from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        held = "colour" if dtype.names else "binary" if dtype.kind == "V" else dtype.name
        raise BadInputError(
            f"holds {held} voxels, but real numbers are needed",
            path=path,
            remedy="Export the magnitude image",
        )
    if int(header["bitpix"]) != dtype.itemsize * 8:
        raise BadInputError(
            f"says {int(header['bitpix'])} bits a voxel, but its type {dtype.name} has "
            f"{dtype.itemsize * 8}",
            path=path,
            remedy=_EXPORT,
        )


def voxel_offset(header: nib.Nifti1Header, path: Path, least: int | None = None) -> int:
    """The byte at which the voxels begin: behind the header, unless they have their own file."""
    offset = float(header["vox_offset"])
    least = header.sizeof_hdr if least is None else least
    if not (math.isfinite(offset) and least <= offset <= MAX_BYTES):
        raise BadInputError(f"says its voxels begin at byte {offset}", path=path, remedy=_EXPORT)
    return int(offset)


def check_size(expected: int, slack: int, size: int, packed: bool, path: Path) -> None:
    """Refuse files that promise an absurd number of bytes, or more than they can hold.

    Args:
        expected: So many bytes are promised, unpacked.
        slack: So many more may follow.
        size: Of the file.
        packed: Whether it is compressed.
        path: Named in errors.

    Raises:
        BadInputError: It does.
    """
    if expected > MAX_BYTES:
        raise BadInputError(
            f"promises {expected} bytes of voxels; the limit is {MAX_BYTES}",
            path=path,
            remedy=_EXPORT,
        )
    if packed and expected > max(SMALL, size * MAX_RATIO):
        raise BadInputError(
            f"would unpack from {size} to {expected} bytes, which no scan does",
            path=path,
            remedy=_EXPORT,
        )
    if not packed and not expected <= size <= expected + slack:
        raise BadInputError(
            f"holds {size} bytes, but its header promises {expected}",
            path=path,
            remedy="Copy or export it again",
        )


def intensity_slope(header: nib.Nifti1Header, path: Path) -> tuple[float, float]:
    """Slope and intercept; a slope of zero or NaN means the stored values, as the standard says."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise BadInputError(
            f"has an impossible intensity scale, got slope {slope} and intercept {inter}",
            path=path,
            remedy=_EXPORT,
        )
    return slope, inter


def refined(header: nib.Nifti1Header, axes: tuple[int, int], factor: int) -> nib.Nifti1Header:
    """The header of the same volume on a finer grid along two axes.

    The centre of the first voxel stays where it is, so sform and qform get smaller voxel sizes
    and nothing else changes; halving is exact. Their codes stay.

    Args:
        header: Of the volume as it was.
        axes: Which stored axes get more voxels.
        factor: How many times as many.
    """
    fine = header.copy()
    for axis in axes:
        fine["pixdim"][axis + 1] /= factor
        for row in ("srow_x", "srow_y", "srow_z"):
            fine[row][axis] /= factor
    if slice_axis(header) in axes:  # the order in time was that of slices which are no more
        for field in ("slice_start", "slice_end", "slice_code", "slice_duration"):
            fine[field] = 0
    return fine


def of_floats(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """The same header for a map of other quantities: float32, no slope, no display range."""
    other = header.copy()
    other.set_data_dtype(np.float32)
    other["scl_slope"], other["scl_inter"] = 1, 0
    other["cal_min"], other["cal_max"] = 0, 0
    return other


def wide_enough(dtype: np.dtype, low: float, high: float) -> np.dtype:
    """The smallest type, no smaller than ``dtype``, that holds a range when rounded.

    Args:
        dtype: What the file holds now; only integers are ever changed.
        low: The smallest value.
        high: The largest value.

    Returns:
        Integers of as many bytes or more: signed ones if ``dtype`` is signed or a value is below
        zero; float64 where even 8 bytes are too few.
    """
    if dtype.kind not in "iu":
        return dtype
    kind = "i" if np.rint(low) < 0 else dtype.kind
    for size in (1, 2, 4, 8):
        limits = np.iinfo(f"{kind}{size}")
        holds = limits.min <= np.rint(low) and np.rint(high) <= limits.max
        if size >= dtype.itemsize and holds:
            return np.dtype(f"{kind}{size}")
    return np.dtype(np.float64)
