"""Whether a file holds labels or statistics instead of a scan: by intent code and content."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
from isal import igzip

from data_prep.errors import BadInputError
from data_prep.scans.gzip import DAMAGE, is_packed, opened
from data_prep.scans.layouts import HEAD, files, layout_of
from data_prep.scans.nifti_header import check_size

FEW = 32
"""So many different values, and no more, are labels: the noise of a scan alone has more."""

_LABELS = (1002, 1003)  # NIFTI_INTENT_LABEL, NIFTI_INTENT_NEURONAME
_STATISTICS = range(2, 25)  # NIFTI_INTENT_CORREL to NIFTI_INTENT_LOG10PVAL
_CHUNK = 1 << 16
_FIRST = 4096  # values; those of tissue and noise are already many


def no_scan(path: Path) -> str:
    """``label image`` or ``statistical map`` where a file holds that; else empty.

    A scan is told by its first slices that are not background; a label image is unpacked whole.
    Whatever else is wrong with a file is left to whoever reads it.
    """
    try:
        return _look(path)
    except (OSError, ValueError, BadInputError, *DAMAGE):
        return ""


def _look(path: Path) -> str:
    with opened(path) as stream:
        layout = layout_of(stream.read(HEAD), path)
    intent = int(layout.header["intent_code"])
    if intent in _LABELS:
        return "label image"
    if intent in _STATISTICS:
        return "statistical map"
    count, voxels = math.prod(layout.shape) * layout.volumes, files(path)[-1]
    expected = count * layout.dtype.itemsize + layout.offset
    packed = layout.packed or is_packed(voxels)
    check_size(expected, layout.slack, voxels.stat().st_size, packed, path)
    with opened(voxels) as stream:
        skip = layout.offset
        while skip > 0 and (part := stream.read(min(skip, _CHUNK))):
            skip -= len(part)
        plain = cast(IO[bytes], igzip.IGzipFile(fileobj=stream)) if layout.packed else stream
        return "label image" if _has_few(_values(plain, layout.dtype, count)) else ""


def _values(stream: IO[bytes], dtype: np.dtype, left: int) -> Iterator[np.ndarray]:
    """Stored values, some at a time."""
    rest = b""
    while left > 0:
        data = rest + stream.read(_CHUNK)
        whole = min(len(data) // dtype.itemsize, left)
        if not whole:
            return
        yield np.frombuffer(data, dtype, whole)
        left -= whole
        rest = data[whole * dtype.itemsize :]


def _has_few(chunks: Iterator[np.ndarray]) -> bool:
    """Whether there are two to `FEW` different values, and far more voxels, all of them whole."""
    seen: set[float] = set()
    count = 0
    for values in chunks:
        count += values.size
        for part in (values[:_FIRST], values[_FIRST:]):
            seen.update(np.unique(part).tolist())
            if len(seen) > FEW:
                return False
    return 2 <= len(seen) <= count / 10 and all(float(v).is_integer() for v in seen)
