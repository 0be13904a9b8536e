"""NIfTI files, read with every check that matters, and written back with their header."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError

from data_prep.atomic import atomic_file
from data_prep.errors import BadInputError
from data_prep.unpack import MAGIC, head, unpack

SUFFIXES = (".nii", ".nii.gz")
MAX_BYTES = 4 << 30  # a 1024 x 1024 x 1024 float32 volume
MAX_RATIO = 200  # scans shrink 2- to 20-fold; gzip's limit, met by constant data, is 1032
SMALL = 64 << 20  # volumes below this many bytes are harmless at any ratio
PADDING = 4096  # some writers fill the last disk block

_HEAD = 1 << 16
_EXPORT = "Export the scan again"
_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metres, millimetres, micrometres


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """One scan as its file holds it.

    Args:
        voxels: ``(X, Y, Z)`` float32 in storage order, in the scan's own intensity units.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        header: The file's header, untouched.
        sha256: Checksum of the file.
    """

    voxels: np.ndarray
    affine: np.ndarray
    header: nib.Nifti1Header
    sha256: str


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


def read_shape(path: Path) -> tuple[int, int, int]:
    """Check a file's header alone and return its matrix; reads a few kilobytes.

    Raises:
        BadInputError: The file is missing, or its header is not that of a usable scan.
    """
    path = Path(path)
    start, size = _read(path, _HEAD)
    packed = start.startswith(MAGIC)
    header = _header(head(start, 540, path) if packed else start, path)
    shape = _spatial_shape(header, path)
    _check_size(header, shape, size, packed, path)
    return shape


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
    header = _header(head(raw, 540, path) if packed else raw, path)
    shape = _spatial_shape(header, path)
    expected = _check_size(header, shape, size, packed, path)
    data = unpack(raw, expected, PADDING, path) if packed else raw
    if len(data) < expected:
        raise BadInputError(
            f"holds {len(data)} of the {expected} bytes its header promises: it was cut off",
            path=path,
            remedy="Copy or export it again",
        )
    stored = np.frombuffer(
        data, header.get_data_dtype(), math.prod(shape), _offset(header, path)
    ).reshape(shape, order="F")
    voxels = _scaled(stored, header, path)
    return NiftiImage(voxels, _affine(header, path), header, hashlib.sha256(raw).hexdigest())


def write(path: Path, voxels: np.ndarray, header: nib.Nifti1Header) -> None:
    """Write voxels under an existing header: geometry, codes, units, description stay as they are.

    Integer files stay integer, with their own slope and intercept: values are rounded and
    saturate at the type's limits.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        voxels: ``(X, Y, Z)`` in the storage order of the header's own scan.
        header: The header of that scan, as `read` returned it.

    Raises:
        EnvironmentFault: The file cannot be written.
    """
    path = Path(path)
    kept = header.copy()
    kept["dim"] = (3, *voxels.shape, 1, 1, 1, 1)
    kept["magic"] = b"n+1" if kept["sizeof_hdr"] == 348 else b"n+2"
    kept["vox_offset"] = int(kept["sizeof_hdr"]) + 4
    dtype = kept.get_data_dtype()
    slope, inter = _slope(header, path)
    stored = (np.asarray(voxels, np.float64) - inter) / slope
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        stored = np.clip(np.rint(stored), limits.min, limits.max)
    content = kept.binaryblock + b"\0\0\0\0" + stored.astype(dtype).tobytes(order="F")
    with atomic_file(path) as temporary:
        temporary.write_bytes(
            igzip.compress(content, mtime=0) if path.name.endswith(".gz") else content
        )


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


def _header(block: bytes, path: Path) -> nib.Nifti1Header:
    """Parse and check the first 348 or 540 bytes."""
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    kind: type[nib.Nifti1Header] = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    length = kind.sizeof_hdr
    if not sizes & {348, 540}:
        raise BadInputError("is not a NIfTI file", path=path, remedy="Convert it with dcm2niix")
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


def _spatial_shape(header: nib.Nifti1Header, path: Path) -> tuple[int, int, int]:
    """The matrix, after checks of dimensions, data type and voxel size."""
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
    sizes = np.asarray(header["pixdim"][1:4], np.float64)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise BadInputError(
            f"has impossible voxel sizes, got {sizes.tolist()} mm", path=path, remedy=_EXPORT
        )
    return lengths[0], lengths[1], lengths[2]


def _check_type(header: nib.Nifti1Header, path: Path) -> None:
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise BadInputError(
            f"has the unknown data type code {int(header['datatype'])}", path=path, remedy=_EXPORT
        ) from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise BadInputError(
            f"holds {'colour' if dtype.names else dtype.name} voxels, but real numbers are needed",
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


def _offset(header: nib.Nifti1Header, path: Path) -> int:
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and header.sizeof_hdr <= offset <= MAX_BYTES):
        raise BadInputError(f"says its voxels begin at byte {offset}", path=path, remedy=_EXPORT)
    return int(offset)


def _check_size(
    header: nib.Nifti1Header, shape: tuple[int, int, int], size: int, packed: bool, path: Path
) -> int:
    """Bytes of the unpacked file, refused where they are absurd or the file cannot hold them."""
    voxels = math.prod(shape) * header.get_data_dtype().itemsize
    expected = voxels + _offset(header, path)
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


def _slope(header: nib.Nifti1Header, path: Path) -> tuple[float, float]:
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


def _scaled(stored: np.ndarray, header: nib.Nifti1Header, path: Path) -> np.ndarray:
    """Stored values as float32 intensities, all of them finite."""
    slope, inter = _slope(header, path)
    with np.errstate(over="ignore", invalid="ignore"):
        voxels = stored.astype(np.float32)
        if slope != 1:
            voxels *= np.float32(slope)
        if inter != 0:
            voxels += np.float32(inter)
    # A NaN or an infinity anywhere shows in the extremes: two quick passes instead of a mask.
    if not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise BadInputError(
            f"has {bad} voxels that are NaN or infinite",
            path=path,
            remedy="Repair them first, for instance with `fslmaths SCAN -nan OUT`",
        )
    return voxels


def _affine(header: nib.Nifti1Header, path: Path) -> np.ndarray:
    """Voxel indices to RAS+ mm: the sform, else the qform, else the voxel sizes alone."""
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError) as error:
        raise BadInputError(
            f"has a broken orientation ({error})", path=path, remedy=_EXPORT
        ) from None
    with np.errstate(all="ignore"):
        sound = np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-12
    if not sound:
        raise BadInputError(
            "has an orientation that maps the volume onto a plane or nowhere",
            path=path,
            remedy=_EXPORT,
        )
    scale = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return np.diag([scale, scale, scale, 1.0]) @ affine
