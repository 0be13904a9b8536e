"""Which files are scans to be used, and why the others are not: by name and sidecar.

`data_prep.scans.labels` looks into files, `data_prep.scans.contrast` tells what kind of image they
are. docs/data.md has the rules as tables.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.errors import listed
from data_prep.scans.folders import is_ignored
from data_prep.scans.nifti import stem
from data_prep.scans.sidecars import metadata_of, read_sidecar

TOOL = "srmri-tf"
RESULT = f"result of {TOOL}"
UNKNOWN = "scan of unknown contrast"
NOT_FETCHED = "file whose content is not here"
IGNORED = "file that .bidsignore names"
DERIVATIVE = "file of a BIDS derivative"
BEYOND = "scan beyond --train-count"
RESAMPLED = "resampled copy of a scan of unequal slice spacing"
DERIVED = "folder with images that the scanner derived"
ENCODED = "folder with DICOM files of an unsupported encoding"
NO_SERIES = "folder with DICOM files but no series of slices"

_PLURALS = {
    "real part": "real parts",
    "imaginary part": "imaginary parts",
    "image of a series": "images of a series",
    RESULT: f"results of {TOOL}",
    UNKNOWN: "scans of unknown contrast",
    NOT_FETCHED: "files whose content is not here",
    IGNORED: "files that .bidsignore names",
    DERIVATIVE: "files of BIDS derivatives",
    BEYOND: "scans beyond --train-count",
    RESAMPLED: "resampled copies of scans of unequal slice spacing",
    DERIVED: "folders with images that the scanner derived",
    ENCODED: "folders with DICOM files of an unsupported encoding",
    NO_SERIES: "folders with DICOM files but no series of slices",
}

# BIDS entities whose values are labels of somebody's choice, and so say nothing of the image.
_ENTITY = re.compile(
    r"(?:(?<=_)|^)(?P<key>sub|ses|sample|acq|ce|rec|dir|run|mod|echo|flip|inv|mt|part|space|res|den"
    r"|desc|task|chunk|hemi)-(?P<value>[A-Za-z0-9+]+)(?:_|$)"
)
_WORD = re.compile(r"[^a-z0-9*]+")
_DRAWN = {
    "mask": re.compile(r"[a-z0-9]*masks?"),
    "segmentation": re.compile(
        r"[a-z0-9]*segs?|segm(ent(ation)?s?)?|lesions?|gt|rois?|contours?|pve|(wm)?parc|aparc"
    ),
    "label image": re.compile(r"labels?|labelmap|annot(ation)?s?|atlas"),
}
_DRAWN_FIRST = {"mask": "mask", "seg": "segmentation", "segmentation": "segmentation"}
_DRAWN_FIRST |= {"label": "label image", "labels": "label image"}
_UNLIKE_MAGNITUDE = {
    "phase image": re.compile(r"ph|phase\d?|phasediff"),
    "real part": re.compile(r"real"),
    "imaginary part": re.compile(r"imag(inary)?"),
    "parameter map": re.compile(r"[a-z0-9]*maps?"),
}
_PARTS = {"phase": "phase image", "real": "real part", "imag": "imaginary part"}
_SERIES = {"inv", "flip", "mt"}  # of each there are several, measured to compute one image
# What a scanner says in DICOM's ImageType, and BIDS in ComplexImageComponent.
_COMPONENTS = {
    "P": "phase image",
    "PHASE": "phase image",
    "PHASE MAP": "phase image",
    "REAL": "real part",
    "IMAGINARY": "imaginary part",
}
_OURS = re.compile(r".*_desc-[A-Za-z0-9+]*(cpce|circle)(Uncertainty)?(_.*)?", re.IGNORECASE)
_CONTRAST_WORD = re.compile(r"(t1|t2|pd)[a-z]*|flair")
_EQUALIZED = re.compile(r"_Eq_\d+$")


class LeftOut(NamedTuple):
    """A file that is not used.

    Args:
        path: The file.
        reason: What it is instead of a scan to be used, such as ``mask``.
    """

    path: Path
    reason: str


class Listing(NamedTuple):
    """Files that are used, and those that are not."""

    scans: list[Path]
    left_out: list[LeftOut]


def sort_out(paths: Iterable[Path]) -> Listing:
    """Tell scans from what is made of them, by names and sidecars; nothing else is read."""
    listing = Listing([], [])
    for path in paths:
        if reason := why_not(path):
            listing.left_out.append(LeftOut(path, reason))
        else:
            listing.scans.append(path)
    return listing


def why_not(path: Path) -> str:
    """What a file is instead of a magnitude scan, by its name and its sidecars; else empty."""
    if is_ignored(path):
        return IGNORED
    if is_result(path):
        return RESULT
    if _is_resampled(path):
        return RESAMPLED
    name = stem(path)
    entities = entities_of(name)
    if part := _PARTS.get(entities.get("part", "")):
        return part
    if _SERIES & entities.keys():
        return "image of a series"
    return _by_words(words_of(name)) or _by_component(metadata_of(path))


def is_result(path: Path) -> bool:
    """Whether a scan is one that `enhance` made, by its sidecar or else its name."""
    record = read_sidecar(path)
    if record is None:
        return _OURS.fullmatch(stem(path)) is not None
    makers = record.get("GeneratedBy")
    return isinstance(makers, list) and any(
        isinstance(maker, dict) and maker.get("Name") == TOOL for maker in makers
    )


def as_acquired(name: str) -> str:
    """What dcm2niix calls the series that it resampled to slices of equal spacing, ``NAME_Eq_1``.

    Of other names nothing changes.
    """
    return _EQUALIZED.sub("", name)


def entities_of(name: str) -> dict[str, str]:
    """BIDS entities of a file name: ``{"sub": "01", "part": "phase"}``."""
    return {match["key"]: match["value"] for match in _ENTITY.finditer(name)}


def words_of(name: str) -> list[str]:
    """The words of a file name in lower case, without BIDS entities."""
    return [word for word in _WORD.split(_ENTITY.sub("", name).lower()) if word]


def counted(left_out: Sequence[LeftOut]) -> str:
    """``left out 3: 2 masks, 1 phase image``, and a line for each file; empty if there is none."""
    if not left_out:
        return ""
    kinds = Counter(item.reason for item in left_out)
    parts = [f"{n} {kind if n == 1 else _plural(kind)}" for kind, n in sorted(kinds.items())]
    lines = [f"{printable(path)}: {reason}" for path, reason in sorted(left_out)]
    return f"left out {len(left_out)}: {', '.join(parts)}{listed(lines)}"


def printable(path: Path) -> str:
    """A path as text that is always UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind}s")


def _is_resampled(path: Path) -> bool:
    """Whether a scan was resampled by dcm2niix from another one that is here.

    Of a series with gaps neither file is right: NIfTI has one spacing, so in the scan as acquired
    slices beyond a gap are in a wrong place, and in the resampled copy gaps of any width are filled
    by interpolation. The first is used: networks learn from and enhance slices one by one, and
    all of its slices were measured.
    """
    name = as_acquired(stem(path))
    beside = (path.with_name(name + suffix) for suffix in (".nii", ".nii.gz"))
    return name != stem(path) and any(scan.exists() for scan in beside)


def _by_words(words: Sequence[str]) -> str:
    """What a name says by its last word, its first one, or one that follows the contrast."""
    kept = list(words)
    while kept and kept[-1].isdecimal():
        kept.pop()
    if not kept:
        return ""
    for kind, pattern in (_DRAWN | _UNLIKE_MAGNITUDE).items():
        if pattern.fullmatch(kept[-1]):
            return kind
    at = next((k for k, word in enumerate(kept) if _CONTRAST_WORD.fullmatch(word)), len(kept))
    for kind, pattern in _DRAWN.items():
        if any(pattern.fullmatch(word) for word in kept[at + 1 :]):
            return kind
    return _DRAWN_FIRST.get(kept[0], "")


def _by_component(said: Mapping[str, Any]) -> str:
    for values in said.get("ComplexImageComponent"), said.get("ImageType"):
        for value in values if isinstance(values, list) else [values]:
            if kind := _COMPONENTS.get(str(value).upper()):
                return kind
    return ""
