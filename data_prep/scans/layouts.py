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
from data_prep.scans.nifti_geometry import affine_fault
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
    return name.endswith(alone) or (name.endswith(".hdr") and _image_file(path) is not None)


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
    """The files of a scan that are there: its own, SPM's matrix and, last, that of the voxels."""
    if nrrd.is_nrrd(path):
        data = nrrd.data_file(path)
        return (path, data) if data and _is_there(data) else (path,)
    if path.suffix.lower() != ".hdr":
        return (path,)
    return (path, *filter(None, (_matrix_file(path), _image_file(path))))


def _image_file(header: Path) -> Path | None:
    """The file of the voxels beside a header; None if there is none."""
    images = (header.with_suffix(end) for end in (*_IMAGES, ".IMG", ".IMG.GZ"))
    return next(filter(_is_there, images), None)


def _matrix_file(header: Path) -> Path | None:
    """The .mat in which SPM says where the voxels lie; None without one.

    Beside a NIfTI header such a file is something else.
    """
    matrix = header.with_suffix(".MAT" if header.suffix.isupper() else ".mat")
    if not _is_there(matrix):
        return None
    try:
        with header.open("rb") as file:
            return None if _is_nifti(file.read(HEAD)) else matrix
    except OSError:
        return None


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
    if _image_file(path) is None:
        raise BadInputError("has no .img beside it", path=path, remedy="Give both files of a pair")
    if _is_nifti(block):
        return _nifti(parse(block, path, (b"ni1", b"ni2")), path, least_offset=0)
    return _analyze(path)


def _is_nifti(block: bytes) -> bool:
    """Whether the header of a pair is NIfTI's."""
    return block[344:347] == b"ni1" or block[4:7] == b"ni2"


def _nifti(header: nib.Nifti1Header, path: Path, least_offset: int | None = None) -> Layout:
    shape, volumes = matrix_of(header, path)
    offset = voxel_offset(header, path, least_offset)
    return Layout(header, shape, volumes, header.get_data_dtype(), offset)


def _mgh(block: bytes, path: Path) -> Layout:
    """FreeSurfer's, big-endian, behind a header of fixed length."""
    try:
        theirs = MGHHeader.from_fileobj(io.BytesIO(block))
        dtype = theirs.get_data_dtype()
        header = _translated(theirs.get_data_shape(), dtype, theirs.get_affine(), 1, path)
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
        header = _translated(theirs.shape, theirs.dtype, theirs.affine, int(theirs.oriented), path)
    except HeaderDataError as error:
        raise BadInputError(
            f"has a header that is not of a scan ({_reason(error)})", path=path, remedy=_EXPORT
        ) from None
    doubts: tuple[str, ...] = ()
    if not theirs.oriented:
        doubts = (
            "has no orientation: its axes are taken to run to the left, the front and the top",
        )
    shape, volumes = matrix_of(header, path)
    return Layout(
        header, shape, volumes, theirs.dtype, theirs.offset, doubts=doubts, packed=theirs.packed
    )


def _analyze(path: Path) -> Layout:
    """Analyze's, with what SPM added: an origin, a slope, a .mat file."""
    matrix = _matrix_file(path)
    oriented = matrix is not None and _holds_affine(matrix)
    try:
        image = nib.load(path)
        if not isinstance(image, nib.AnalyzeImage):
            raise ImageFileError("not of a kind that is read")
        theirs = image.header
        dtype = theirs.get_data_dtype()
        header = _translated(theirs.get_data_shape(), dtype, image.affine, 2, path)
        slope, inter = theirs.get_slope_inter()
    except (ImageFileError, HeaderDataError, ValueError, KeyError, OSError, TypeError) as error:
        raise BadInputError(
            f"is not an Analyze header ({_reason(error)})", path=path, remedy=_EXPORT
        ) from None
    header["scl_slope"], header["scl_inter"] = slope or 1, inter or 0
    doubts: tuple[str, ...] = ()
    if not oriented:
        doubts = (
            "is an Analyze file, which does not tell left from right: its first axis is taken to "
            "run to the patient's left",
        )
    shape, volumes = matrix_of(header, path)
    offset = int(theirs.get_data_offset())
    return Layout(header, shape, volumes, dtype, offset, doubts=doubts)


def _holds_affine(matrix: Path) -> bool:
    """Whether SPM's .mat says where the voxels lie: an empty one does not.

    Raises:
        BadInputError: It is damaged, of MATLAB 7.3, or holds something else.
    """
    import scipy.io

    try:
        content = matrix.read_bytes()
        if not content:
            return False
        found = scipy.io.loadmat(io.BytesIO(content))
        affine = np.asarray(found["mat" if "mat" in found else "M"], np.float64)
        reason = "" if affine.shape[:2] == (4, 4) else f"got the shape {affine.shape}"
    except KeyError:
        reason = "got neither mat nor M"
    except Exception as error:  # loadmat meets damage with any of a dozen kinds
        reason = _reason(error)
    if reason:
        raise BadInputError(
            f"holds no affine that can be read ({reason})",
            path=matrix,
            remedy="Save mat or M, 4 x 4, by MATLAB's `save -v6`, or export the scan as NIfTI",
        )
    return True


def _translated(
    shape: tuple[int, ...], dtype: np.dtype, affine: np.ndarray, code: int, path: Path
) -> nib.Nifti1Header:
    """A NIfTI header with one orientation.

    Raises:
        BadInputError: The affine cannot be used.
    """
    if fault := affine_fault(affine):
        raise BadInputError(
            f"has a geometry that cannot be used: its affine {fault}", path=path, remedy=_EXPORT
        )
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
