"""Which contrast a scan has: by the timing in its BIDS sidecar, else by its name.

docs/data.md has the rules as tables.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep.scans.choosing import entities_of, words_of
from data_prep.scans.nifti import stem
from data_prep.scans.sidecars import metadata_of

BASIC = ("T1", "T2", "PD", "FLAIR")

# Words of names, as people, scanners, BIDS and BraTS write them.
_PATTERNS = {
    "T1": "t1|t1wi?|t1n|t1weighted|m[ep]mprage|mprage|f?spgr|bravo|unit1",
    "T1CE": "t1c|t1ce|t1wce|t1gd|t1post|t1km",
    "T2": "t2|t2wi?|t2weighted|t2tse",
    "PD": "pd|pdw",
    "FLAIR": "flair|t2f|t2w?flair|tirm|darkfluid",
    "T2STAR": r"t2starw?|t2\*w?",
}
_WORDS = {label: re.compile(pattern) for label, pattern in _PATTERNS.items()}
WORDS = "|".join(f"({pattern})" for pattern in _PATTERNS.values())
"""A pattern of all of them, in lower case."""

ONTO = "to|onto|in|on|reg|registered|coreg|coregistered|aligned"
"""A pattern of the words that the scan follows which another one was registered to."""
_ONTO = re.compile(ONTO)
# What timing does not tell from the basic contrasts: by a name's words and DICOM's ImageType.
_UNLIKE = re.compile(
    r"(ep2d)?(diff|dwi|dti|adc|trace|tracew|fa)|tof|mra|angio|swi|mip|minip|bold|fmri|asl|perf"
    r"|(aah)?scout|locali[sz]er"
)
_UNLIKE_TYPES = {"DIFFUSION", "ADC", "TRACEW", "FA", "PERFUSION", "ASL", "MIP", "MNIP", "SUB"}
_LONGEST_ECHO, _LONGEST_REPETITION, _LONGEST_INVERSION = 1, 100, 20  # seconds


class Contrast(NamedTuple):
    """What a scan shows.

    Args:
        label: ``T1``, ``T2``, ``PD``, ``FLAIR``, another one in upper case; empty if unknown.
        source: What says so: ``sidecar`` or ``name``; empty if nothing does.
        instead_of: What its name says, where the sidecar contradicts it; else empty.
    """

    label: str = ""
    source: Literal["sidecar", "name", ""] = ""
    instead_of: str = ""

    def __str__(self) -> str:
        return f"{self.label} by its {self.source}" if self.label else "unknown"

    @property
    def warning(self) -> str:
        """That name and sidecar contradict each other; empty if they do not."""
        if not self.instead_of:
            return ""
        sidecar = f"the timing in its sidecar is that of {self.label}"
        return f"its name says {self.instead_of}, but {sidecar}"


UNKNOWN = Contrast()


def contrast_of(path: Path, named: str) -> Contrast:
    """The contrast of a scan; of the file only its sidecars are read, inherited ones too.

    A sidecar's timing tells T1, T2, PD and FLAIR apart and knows no others: where a name says one
    of those, such as T2STAR or T1CE, the name is believed. So it is where it says FLAIR, and the
    timing is that of T2 but for an inversion time that the sidecar lacks.

    Args:
        path: The file.
        named: What its name says (`data_prep.scans.names`).
    """
    metadata = metadata_of(path)
    timed = "" if _is_unlike(path, metadata) else by_timing(metadata)
    if not timed or (named and named not in BASIC):
        return Contrast(named, "name" if named else "")
    if not named or named == timed:
        return Contrast(timed, "sidecar" if not named else "name")
    if (named, timed) == ("FLAIR", "T2") and not _seconds(metadata, "InversionTime"):
        return Contrast(named, "name")
    return Contrast(timed, "sidecar", named)


def _is_unlike(path: Path, metadata: Mapping[str, Any]) -> bool:
    """Whether a scan is of a kind whose timing tells nothing, such as diffusion or angiography."""
    types = metadata.get("ImageType")
    said = {str(value).upper() for value in types} if isinstance(types, list) else set()
    return bool(said & _UNLIKE_TYPES) or any(map(_UNLIKE.fullmatch, words_of(stem(path))))


def by_name(path: Path) -> str:
    """The contrast that a file's name says in any place; empty if it says none."""
    return with_agent(by_text(stem(path)), path)


def by_text(text: str) -> str:
    """The contrast that the words of a text say; empty if they say none.

    Of several the last counts, but none after ``reg``, ``to``, ``in`` or the like: those are of
    the scan that this one was registered to.
    """
    words = words_of(text)
    found: list[str] = []
    for at, word in enumerate(words):
        if found and _ONTO.fullmatch(word):
            break
        star = "".join(words[at : at + 2])
        whole = star if star in ("t2star", "darkfluid") else word
        found += [label for label, pattern in _WORDS.items() if pattern.fullmatch(whole)]
    return _one_of(found)


def normal(label: str) -> str:
    """One spelling of a contrast: ``T2w``, ``t2`` and ``T2W`` are all ``T2``, MPRAGE is ``T1``."""
    word = "".join(words_of(label))
    known = [key for key, pattern in _WORDS.items() if pattern.fullmatch(word)]
    return known[0] if known else label.upper()


def with_agent(label: str, path: Path) -> str:
    """T1CE for a T1 with a contrast agent, which BIDS' entity ``ce`` tells."""
    return "T1CE" if label == "T1" and "ce" in entities_of(stem(path)) else label


def by_timing(sidecar: Mapping[str, Any]) -> str:
    """The contrast that echo, repetition and inversion time make, where they leave no doubt.

    Args:
        sidecar: BIDS metadata; times in seconds. Longer ones than any scanner's are milliseconds by
            mistake, and are not believed.
    """
    echo, repetition = _seconds(sidecar, "EchoTime"), _seconds(sidecar, "RepetitionTime")
    inversion = _seconds(sidecar, "InversionTime")
    if echo > _LONGEST_ECHO or repetition > _LONGEST_REPETITION or inversion > _LONGEST_INVERSION:
        return ""
    if inversion and echo:
        if inversion >= 1.4 and echo >= 0.06:
            return "FLAIR"
        return "T1" if 0.3 <= inversion < 1.4 and echo < 0.035 else ""
    if not (echo and repetition):
        return ""
    if echo >= 0.06 and repetition >= 1.5:
        return "T2"
    if repetition >= 1.5:
        # MPRAGE, too, has long repetition times, and echoes shorter than any spin echo's.
        return "PD" if 0.007 <= echo < 0.035 else ""
    # Gradient echoes of 15 ms and more are weighted by T2*.
    return "T1" if repetition <= 1.0 and echo < 0.015 else ""


def _one_of(found: list[str]) -> str:
    if "FLAIR" in found:
        return "T1" if "T1" in found else "FLAIR"
    return found[-1] if found else ""


def _seconds(sidecar: Mapping[str, Any], key: str) -> float:
    """A positive number of a sidecar; 0 if it is absent or makes no sense."""
    value = sidecar.get(key)
    sound = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if sound else 0.0  # type: ignore[arg-type]
