"""fastMRI's HDF5 files: reconstructed images, or the k-space a scanner measured.

Source: Zbontar et al., fastMRI, arXiv 1811.08839, and the file layout it describes: ``kspace`` is
(slices, rows, columns) for one coil and (slices, coils, rows, columns) for several;
``reconstruction_rss`` holds the magnitude images, cut to the reconstruction matrix.
"""

import hashlib
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from data_prep.errors import BadInputError
from data_prep.kspace import reconstruct
from data_prep.scans.nifti_header import MAX_BYTES, MAX_RATIO, SMALL
from data_prep.scans.orientation import Volume

SUFFIXES = (".h5", ".hdf5")
RSS, KSPACE = "reconstruction_rss", "kspace"
Use = Literal["kspace", "rss"]
_IMAGES = (RSS, "reconstruction_esc")
_ISMRMRD = "{http://www.ismrm.org/ISMRMRD}"
_AGAIN = "Fetch the file again"


def is_fastmri(path: Path) -> bool:
    """Whether a file's name is that of an HDF5 file."""
    return path.suffix.lower() in SUFFIXES


def read_labels(path: Path) -> tuple[str, str]:
    """The patient and the kind of acquisition that a file's attributes name, or empty strings.

    Raises:
        BadInputError: The file is missing or not HDF5.
    """
    with _opened(path) as file:
        return _text(file.attrs.get("patient_id")), _text(file.attrs.get("acquisition"))


def read_gaps(path: Path) -> list[str]:
    """What a file does not say, and what is done about it: one clause, or none.

    Raises:
        BadInputError: The file is missing or not HDF5.
    """
    with _opened(path) as file:
        gaps = []
        if not _text(file.attrs.get("patient_id")):
            gaps.append("whose it is (no patient_id: it is taken for a person of its own)")
        if not _text(file.attrs.get("acquisition")):
            gaps.append("its contrast (no acquisition)")
        if not all(_sizes(file)):
            gaps.append("its voxel sizes (no ismrmrd_header that can be read: 1 mm is taken)")
    return [f"does not say {', nor '.join(gaps)}"] if gaps else []


def read_shape(path: Path, use: Use) -> tuple[int, int, int]:
    """Check what a file holds, without reading voxels, and return (S, H, W) of its images.

    Raises:
        BadInputError: The file is missing, or holds nothing that can be used.
    """
    with _opened(path) as file:
        data = file[_choose(file, use, path)]
        return data.shape[0], *_matrix(file, data)


def read(path: Path, use: Use) -> Volume:
    """Read a volume: from measured single-coil k-space, or its reconstruction.

    Args:
        path: The HDF5 file.
        use: ``kspace`` takes the measurement of single-coil files and the reconstruction of
            multi-coil ones; ``rss`` always takes the reconstruction.

    Returns:
        Magnitudes, cut to the middle of what was measured; spacings are 1 mm where the file does
        not say. The k-space is centred, and not cut; None where the reconstruction is taken.

    Raises:
        BadInputError: The file is missing, damaged, undersampled, or holds nothing usable.
    """
    with _opened(path) as file:
        name = _choose(file, use, path)
        data = file[name]
        matrix = _matrix(file, data)
        values, spacing = data[()], _spacing(file)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    with np.errstate(over="ignore", invalid="ignore"):
        kspace = values.astype(np.complex64) if name == KSPACE else None
        images = values.astype(np.float32) if kspace is None else reconstruct(kspace)
    if not np.isfinite(images).all():  # one such value in k-space is in every pixel of its slice
        raise BadInputError(
            f"has values in {name} that are NaN or infinite, or too large for float32",
            path=path,
            remedy="Leave this scan out",
        )
    return Volume(crop(images, matrix), spacing, digest, kspace)


def crop(images: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    """The middle of images ``(..., H, W)``: what is left when oversampling is cut away."""
    row, column = (images.shape[-2] - matrix[0]) // 2, (images.shape[-1] - matrix[1]) // 2
    return images[..., row : row + matrix[0], column : column + matrix[1]]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise BadInputError("does not exist", path=path, remedy="Check the path") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(
            f"is not a readable HDF5 file ({reason})", path=path, remedy=_AGAIN
        ) from None


def _choose(file: h5py.File, use: Use, path: Path) -> str:
    """The data set to use, after checks of its shape, type and size."""
    found = [name for name in (KSPACE, *_IMAGES) if isinstance(file.get(name), h5py.Dataset)]
    single = KSPACE in found and file[KSPACE].ndim == 3
    if use == "kspace" and single:
        name = KSPACE
    elif RSS in found:
        name = RSS
    else:
        names = ", ".join(sorted(file)) or "nothing"
        raise BadInputError(
            f"holds neither {RSS} nor single-coil kspace, got {names}",
            path=path,
            remedy="Give fastMRI training or validation files",
        )
    if name == KSPACE and "mask" in file:
        raise BadInputError(
            "is undersampled: it comes with a mask",
            path=path,
            remedy="Give fully sampled training or validation files",
        )
    data = file[name]
    wanted = "c" if name == KSPACE else "f"
    if data.ndim != 3 or min(data.shape) < 1 or data.dtype.kind != wanted:
        raise BadInputError(
            f"has a {name} of shape {data.shape} and type {data.dtype}", path=path, remedy=_AGAIN
        )
    size = math.prod(data.shape) * data.dtype.itemsize
    if size > MAX_BYTES or size > max(SMALL, data.id.get_storage_size() * MAX_RATIO):
        raise BadInputError(f"has an absurd {name} of {size} bytes", path=path, remedy=_AGAIN)
    return name


def _matrix(file: h5py.File, data: h5py.Dataset) -> tuple[int, int]:
    """Rows and columns of the reconstruction, never more than were acquired."""
    rows, columns = data.shape[-2:]
    for name in _IMAGES:
        if isinstance(file.get(name), h5py.Dataset) and file[name].ndim == 3:
            kept = file[name].shape[-2:]
            return min(rows, kept[0]), min(columns, kept[1])
    space = _recon_space(file)
    if space is not None:
        size = {axis: _number(space, f"matrixSize/{axis}") for axis in "xy"}
        return min(rows, int(size["x"] or rows)), min(columns, int(size["y"] or columns))
    return rows, columns


def _spacing(file: h5py.File) -> tuple[float, float, float]:
    row, column, between = (size or 1.0 for size in _sizes(file))
    return row, column, between


def _sizes(file: h5py.File) -> list[float]:
    """Voxel sizes in mm along rows, columns and slices; 0 where the header does not say."""
    space = _recon_space(file)
    if space is None:
        return [0.0, 0.0, 0.0]
    sizes = []
    for axis in "xyz":
        extent = _number(space, f"fieldOfView_mm/{axis}")
        points = _number(space, f"matrixSize/{axis}")
        sizes.append(round(extent / points, 5) if extent and points else 0.0)
    return sizes


def _recon_space(file: h5py.File) -> ElementTree.Element | None:
    """The reconSpace element of the scanner's header; None if there is none to read."""
    header = file.get("ismrmrd_header")
    if not isinstance(header, h5py.Dataset):
        return None
    text = _text(header[()])
    # Entities are how XML bombs are made, and ISMRMRD has none.
    if "<!" in text.replace("<!--", ""):
        return None
    try:
        return ElementTree.fromstring(text).find(f"{_ISMRMRD}encoding/{_ISMRMRD}reconSpace")
    except ElementTree.ParseError:
        return None


def _text(value: Any) -> str:
    """A string however HDF5 holds it: text, bytes or an array of one; empty if there is none."""
    if value is None or isinstance(value, h5py.Empty) or np.size(value) != 1:
        return ""
    item = np.ravel(value)[0]
    text = item.decode("utf-8", errors="replace") if isinstance(item, bytes) else str(item)
    return text.strip("\0 ")


def _number(space: ElementTree.Element, path: str) -> float:
    """A positive number in the header, 0 if it is absent or makes no sense."""
    text = space.findtext("/".join(f"{_ISMRMRD}{part}" for part in path.split("/")))
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
