"""Subject, session, modality and site from a scan's file name.

A wrong guess must never put one person on both sides of a split, so a name that looks like
``SUBJECT_visit2_...`` is read as another session of SUBJECT, not as a subject of its own, and
whatever begins as BIDS and IXI call a person is that person's.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from data_prep.errors import BadInputError, ConfigError
from data_prep.nifti import stem


class Labels(TypedDict):
    """What a name says; empty strings where it says nothing."""

    subject: str
    session: str
    modality: str
    site: str


_PATTERN = r"Write for instance (?P<subject>\w+?)_(?P<session>\d+)"
# What may follow a modality: the skull was stripped, or dcm2niix made the slices equidistant. What
# else follows, such as _mask, may be no scan of that modality.
_SAME = r"(_brain|_Eq_\d+)*$"
# IXI012-HH-1211-T2: subject, site, a running number, modality. DTI adds a direction.
_IXI = re.compile(
    r"(?P<subject>IXI\d+)-(?P<site>[A-Za-z]+)-\d+-(?P<modality>[A-Za-z0-9]+)(-\d+)?" + _SAME
)
# sub-01_ses-02_acq-hr_T2w
_BIDS = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9+]+)(_(?P<session>ses-[A-Za-z0-9+]+))?(_[a-z]+-[A-Za-z0-9+]+)*"
    r"_(?P<modality>[A-Za-z0-9]+$|(T1|T2|PD|FLAIR)w?)" + _SAME
)
# patient03_study1_T2W: anything, then a word for a visit with a number or a date.
_VISIT = re.compile(
    r"(?P<subject>.+?)[-_.](?P<session>(study|session|ses|visit|scan|timepoint|tp)[-_]?\d+)"
    r"([-_.](?P<modality>(T1|T2|PD|FLAIR)[A-Za-z]*))?([-_.].*)?$",
    re.IGNORECASE,
)
# Who and when it is in BIDS and IXI, whatever follows.
_PERSON = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9+]+(?=_|$)|IXI\d+(?=[-_]|$))(_(?P<session>ses-[A-Za-z0-9+]+))?"
)


def read_name(path: Path) -> Labels:
    """Labels by the first of IXI's scheme, BIDS and visits that fits; else the stem alone.

    A name that begins with ``sub-LABEL`` or ``IXI012`` is that subject's, whatever else fits.
    """
    labels = _by_scheme(stem(path))
    if person := _PERSON.match(stem(path)):
        labels["subject"] = person["subject"]
        labels["session"] = person["session"] or labels["session"]
    return labels


def pattern_reader(pattern: str) -> Callable[[Path], Labels]:
    """A reader of names by the user's own regular expression.

    Raises:
        ConfigError: It is no regular expression, or has no group named ``subject``.
    """
    try:
        scheme = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"--subject-pattern is not a regular expression ({error})", remedy=_PATTERN
        ) from None
    if "subject" not in scheme.groupindex:
        raise ConfigError(
            f"--subject-pattern has no group named subject, got {pattern!r}",
            remedy=_PATTERN,
        )

    def read(path: Path) -> Labels:
        match = scheme.search(path.name)
        if match is None or not match["subject"]:
            raise BadInputError(
                f"does not match the subject pattern {pattern!r}",
                path=path,
                remedy="Change --subject-pattern or leave this file out",
            )
        return _labels(match)

    return read


def normal_modality(label: str) -> str:
    """``T2w``, ``t2`` and ``T2W`` are all ``T2``."""
    upper = label.upper()
    return upper[:-1] if re.fullmatch(r"(T1|T2|PD)W", upper) else upper


def _by_scheme(name: str) -> Labels:
    for scheme in (_IXI, _BIDS, _VISIT):
        if match := scheme.match(name):
            return _labels(match)
    return Labels(subject=name, session="", modality="", site="")


def _labels(match: re.Match[str]) -> Labels:
    groups = match.groupdict(default="")
    return Labels(
        subject=groups["subject"],
        session=groups.get("session", ""),
        modality=normal_modality(groups.get("modality", "")),
        site=groups.get("site", ""),
    )
