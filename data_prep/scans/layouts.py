"""Where the voxels of a file lie, whatever its format: NIfTI, pairs of files, FreeSurfer's, NRRD.

Other formats get a NIfTI header, which results are written under.
"""

import io
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHError, MGHHeader
from nibabel.spatialimages import HeaderDataError

from data_prep.errors import BadInputError
from data_prep.scans import nrrd
from data_prep.scans.nifti_header import PADDING, matrix_of, parse, voxel_offset

SUFFIXES = (".nii", ".nii.gz")
"""Of NIfTI's single files."""

HEAD = 540
"""As many bytes of a file say all that a header says."""

_MGH = (".mgh", ".mgz")
_IMAGES = (".img", ".img.gz")
_TAGS = 1 << 20  # bytes that FreeSurfer may write behind the voxels
_EXPORT = "Export the scan again"


class Layout(NamedTuple):
    """What a file's header says.

    Args:
        header: As a NIfTI header.
        shape: The matrix.
        volumes: How many volumes there are.
        dtype: Of the stored voxels, byte order and all.
        offset: The byte at which they begin.
        slack: How many bytes may follow them.
        doubts: What the format does not say, a clause each.
        packed: Whether what begins at the offset is compressed, in a file that is not.
    """

    header: nib.Nifti1Header
    shape: tuple[int, int, int]
    volumes: int
    dtype: np.dtype
    offset: int
    slack: int = PADDING
    doubts: tuple[str, ...] = ()
    packed: bool = False


def is_nifti(path: Path) -> bool:
    """Whether a file's name is that of a NIfTI file, which results are written as."""
    return path.name.lower().endswith(SUFFIXES)


def is_volume(path: Path) -> bool:
    """Whether a file's name is that of a scan; of a pair, the header counts as the scan."""
    name = path.name.lower()
    alone = (*SUFFIXES, *_MGH, *nrrd.SUFFIXES)
    return name.endswith(alone) or (name.endswith(".hdr") and len(files(path)) == 2)


def header_file(path: Path) -> Path:
    """The file that stands for a scan: of a pair its header, else the file itself."""
    for suffix in _IMAGES:
        if path.name.lower().endswith(suffix):
            base = path.name[: -len(suffix)]
            for header in (path.with_name(f"{base}.hdr"), path.with_name(f"{base}.HDR")):
                if _is_there(header):
                    return header
    return path


def files(path: Path) -> tuple[Path, ...]:
    """The files of a scan: its own and, of a pair, that of the voxels if it is there."""
    if nrrd.is_nrrd(path):
        data = nrrd.data_file(path)
        return (path, data) if data and _is_there(data) else (path,)
    if path.suffix.lower() != ".hdr":
        return (path,)
    images = (path.with_suffix(end) for end in (*_IMAGES, ".IMG", ".IMG.GZ"))
    return (path, *[image for image in images if _is_there(image)][:1])


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a link to one that was not fetched."""
    return path.exists() or path.is_symlink()


def layout_of(block: bytes, path: Path) -> Layout:
    """What the first bytes of a file say.

    Args:
        block: The first `HEAD` bytes, unpacked.
        path: Its name says of which format it is; the files beside it may belong to it.

    Raises:
        BadInputError: It is no header of that format.
    """
    if path.suffix.lower() in _MGH:
        return _mgh(block, path)
    if nrrd.is_nrrd(path):
        return _nrrd(path)
    if path.suffix.lower() != ".hdr":
        return _nifti(parse(block, path, (b"n+1", b"n+2")), path)
    if len(files(path)) < 2:
        raise BadInputError("has no .img beside it", path=path, remedy="Give both files of a pair")
    if block[344:347] == b"ni1" or block[4:7] == b"ni2":
        return _nifti(parse(block, path, (b"ni1", b"ni2")), path, least_offset=0)
    return _analyze(path)


def _nifti(header: nib.Nifti1Header, path: Path, least_offset: int | None = None) -> Layout:
    shape, volumes = matrix_of(header, path)
    offset = voxel_offset(header, path, least_offset)
    return Layout(header, shape, volumes, header.get_data_dtype(), offset)


def _mgh(block: bytes, path: Path) -> Layout:
    """FreeSurfer's, big-endian, behind a header of fixed length."""
    try:
        theirs = MGHHeader.from_fileobj(io.BytesIO(block))
        dtype = theirs.get_data_dtype()
        header = _translated(theirs.get_data_shape(), dtype, theirs.get_affine(), 1)
    except (MGHError, HeaderDataError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadInputError(
            f"is not an MGH file ({_reason(error)})", path=path, remedy=_EXPORT
        ) from None
    tr = float(theirs["tr"]) if len(theirs.get_data_shape()) > 3 else 0.0
    header["pixdim"][4] = tr / 1000
    shape, volumes = matrix_of(header, path)
    return Layout(header, shape, volumes, dtype.newbyteorder(">"), DATA_OFFSET, _TAGS)


def _nrrd(path: Path) -> Layout:
    """NRRD's, of which pynrrd reads the header."""
    theirs = nrrd.read_head(path)
    try:
        header = _translated(theirs.shape, theirs.dtype, theirs.affine, int(theirs.oriented))
    except HeaderDataError as error:
        raise BadInputError(
            f"has a header that is not of a scan ({_reason(error)})", path=path, remedy=_EXPORT
        ) from None
    doubts: tuple[str, ...] = ()
    if not theirs.oriented:
        doubts = (
            "does not say how the patient lay: its axes are taken to run to the left, the front "
            "and the top",
        )
    shape, volumes = matrix_of(header, path)
    return Layout(
        header, shape, volumes, theirs.dtype, theirs.offset, doubts=doubts, packed=theirs.packed
    )


def _analyze(path: Path) -> Layout:
    """Analyze's, with what SPM added: an origin, a slope, a .mat file."""
    try:
        image = nib.load(path)
        if not isinstance(image, nib.AnalyzeImage):
            raise ImageFileError("not of a kind that is read")
        theirs = image.header
        dtype = theirs.get_data_dtype()
        header = _translated(theirs.get_data_shape(), dtype, image.affine, 2)
        slope, inter = theirs.get_slope_inter()
    except (ImageFileError, HeaderDataError, ValueError, KeyError, OSError, TypeError) as error:
        raise BadInputError(
            f"is not an Analyze header ({_reason(error)})", path=path, remedy=_EXPORT
        ) from None
    header["scl_slope"], header["scl_inter"] = slope or 1, inter or 0
    doubts: tuple[str, ...] = ()
    if not path.with_suffix(".mat").exists():
        doubts = (
            "is an Analyze file, which does not tell left from right: its first axis is taken to "
            "run to the patient's left",
        )
    shape, volumes = matrix_of(header, path)
    offset = int(theirs.get_data_offset())
    return Layout(header, shape, volumes, dtype, offset, doubts=doubts)


def _translated(
    shape: tuple[int, ...], dtype: np.dtype, affine: np.ndarray, code: int
) -> nib.Nifti1Header:
    """A NIfTI header with one orientation."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype.newbyteorder("="))
    header.set_data_shape(shape)
    header.set_xyzt_units("mm", "sec")
    header["scl_slope"], header["scl_inter"] = 1, 0
    header.set_qform(affine, 0)  # the voxel sizes
    header.set_sform(affine, code)
    return header


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
