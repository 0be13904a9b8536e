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


def parse(block: bytes, path: Path) -> nib.Nifti1Header:
    """Parse and check the first 348 or 540 bytes."""
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    kind: type[nib.Nifti1Header] = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    length = kind.sizeof_hdr
    if not sizes & {348, 540}:
        raise BadInputError(
            "is not a NIfTI file",
            path=path,
            remedy="Give .nii or .nii.gz files; dcm2niix converts DICOM",
        )
    if len(block) < length:
        raise BadInputError("ends inside its header", path=path, remedy=_EXPORT)
    try:
        header = kind(block[:length], check=False)
    except (HeaderDataError, ValueError) as error:
        raise BadInputError(f"has a broken header ({error})", path=path, remedy=_EXPORT) from None
    if bytes(header["magic"])[:3] not in (b"n+1", b"n+2"):
        raise BadInputError(
            "is not a single-file NIfTI image",
            path=path,
            remedy="Convert Analyze or .hdr/.img pairs to .nii.gz first",
        )
    return header


def spatial_shape(header: nib.Nifti1Header, path: Path) -> tuple[int, int, int]:
    """The matrix, after checks of dimensions and data type."""
    axes = int(header["dim"][0])
    lengths = [int(length) for length in header["dim"][1 : axes + 1]]
    if not 1 <= axes <= 7 or min(lengths) < 1:
        raise BadInputError(f"has an impossible shape, got {lengths}", path=path, remedy=_EXPORT)
    if axes < 3:
        raise BadInputError(
            f"is {axes}-dimensional, but a volume is needed", path=path, remedy="Give whole volumes"
        )
    if any(length > 1 for length in lengths[3:]):
        raise BadInputError(
            f"is a series of volumes, got shape {tuple(lengths)}",
            path=path,
            remedy="Split it first, for instance with `fslsplit` or "
            "nibabel.funcs.four_to_three, and give one volume",
        )
    _check_type(header, path)
    return lengths[0], lengths[1], lengths[2]


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


def voxel_offset(header: nib.Nifti1Header, path: Path) -> int:
    """The byte at which the voxels begin."""
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and header.sizeof_hdr <= offset <= MAX_BYTES):
        raise BadInputError(f"says its voxels begin at byte {offset}", path=path, remedy=_EXPORT)
    return int(offset)


def unpacked_size(
    header: nib.Nifti1Header, shape: tuple[int, int, int], size: int, packed: bool, path: Path
) -> int:
    """Bytes of the unpacked file, refused where they are absurd or the file cannot hold them."""
    voxels = math.prod(shape) * header.get_data_dtype().itemsize
    expected = voxels + voxel_offset(header, path)
    if expected > MAX_BYTES:
        raise BadInputError(
            f"promises {expected} bytes of voxels, got shape {shape}; the limit is {MAX_BYTES}",
            path=path,
            remedy=_EXPORT,
        )
    if packed and expected > max(SMALL, size * MAX_RATIO):
        raise BadInputError(
            f"would unpack from {size} to {expected} bytes, which no scan does",
            path=path,
            remedy=_EXPORT,
        )
    if not packed and not expected <= size <= expected + PADDING:
        raise BadInputError(
            f"holds {size} bytes, but its header promises {expected}",
            path=path,
            remedy="Copy or export it again",
        )
    return expected


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
    """The smallest type of a kind, no smaller than ``dtype``, that holds a range when rounded.

    Args:
        dtype: What the file holds now; only integers are ever widened.
        low: The smallest value; of no account for unsigned integers, which end at zero.
        high: The largest value.

    Returns:
        Unsigned or signed integers of more bytes; float64 where even 8 bytes are too few.
    """
    if dtype.kind not in "iu":
        return dtype
    for size in (1, 2, 4, 8):
        limits = np.iinfo(f"{dtype.kind}{size}")
        holds = np.rint(high) <= limits.max and (dtype.kind == "u" or np.rint(low) >= limits.min)
        if size >= dtype.itemsize and holds:
            return np.dtype(f"{dtype.kind}{size}")
    return np.dtype(np.float64)
