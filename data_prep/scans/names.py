"""Subject, session, modality and site from a scan's file name.

A wrong guess must never put one person on both sides of a split, so a name that looks like
``SUBJECT_visit2_...`` is read as another session of SUBJECT, not as a subject of its own, and
whatever begins as BIDS and IXI call a person is that person's. Folders are asked only where a name
is a contrast and nothing else, as in ``patient01/T2.nii.gz``.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans import contrast
from data_prep.scans.nifti import stem


@dataclass(frozen=True, order=True)
class Scan:
    """A scan that was found but not read, and what its name says.

    Args:
        subject: Subject label, never empty.
        session: Session label, empty if there is none.
        path: The file.
        modality: The contrast, as `data_prep.scans.contrast` spells it: ``T1``, ``T2``, ...; empty
            if unknown.
        site: IXI's site, empty if unknown.
    """

    subject: str
    session: str
    path: Path
    modality: str = ""
    site: str = ""


_PATTERN = r"Write for instance (?P<subject>\w+?)_(?P<session>\d+)"
# What may follow a modality: the skull was stripped, dcm2niix made the slices equidistant, or it
# is one of HCP's repetitions.
_SAME = r"(_brain|_Eq_\d+|_(MPR|SPC)\d+)*$"
# IXI012-HH-1211-T2: subject, site, a running number, modality. DTI adds a direction.
_IXI = re.compile(
    r"(?P<subject>IXI\d+)-(?P<site>[A-Za-z]+)-\d+-(?P<modality>[A-Za-z0-9]+)(-\d+)?" + _SAME
)
# sub-01_ses-02_acq-hr_T2w
_BIDS = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9+]+)(_(?P<session>ses-[A-Za-z0-9+]+))?(_[a-z]+-[A-Za-z0-9+]+)*"
    r"_(?P<modality>(T1|T2|PD|T2star)w?|FLAIR|FLASH|PDT2|UNIT1|inplaneT[12]|angio|SWI|MP2RAGE|IRT1"
    r"|ME(GRE|SE)|VFA|MPM|MT[SR]|bold|cbv|sbref|asl|dwi|epi|magnitude[12]?)$"
)
# A contrast, and what it was registered to.
_SHOWN = rf"({contrast.WORDS})([-_. ]({contrast.WORDS}|{contrast.ONTO}|space))*"
_TIME = r"(study|session|ses|visit|scan|timepoint|tp)[-_]?\d+"
# What people call an occasion: in names and of folders.
_WHEN = (
    rf"{_TIME}|(day|week|month|year)[-_]?\d+|(pre|post|baseline|follow-?up)[-_]?\d*"
    r"|(19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?([0-2]\d|3[01])"
)
# patient03_study1_T2W, patient03_T2_visit1, P01_pre_T2: anything, then an occasion; a contrast
# before it is none of the subject's.
_VISIT = re.compile(
    rf"(?P<subject>.+?)([-_. ]{_SHOWN})?[-_.](?P<session>{_WHEN})([-_.].*)?$", re.IGNORECASE
)
# anna_T2, BraTS20_001_t1n, anna_t1_reg_to_t2: whatever stands before the contrast, if no more
# follows it than what it was registered to.
_SCAN_OF = re.compile(
    rf"(?!({contrast.WORDS})[-_. ])(?P<subject>.+?)[-_. ]{_SHOWN}{_SAME}", re.IGNORECASE
)
_SCHEMES = (_IXI, _BIDS, _VISIT, _SCAN_OF)
# Who and when it is in BIDS and IXI, whatever follows.
_PERSON = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9+]+(?=_|$)|IXI\d+(?=[-_]|$))(_(?P<session>ses-[A-Za-z0-9+]+))?"
)
# T2, t1_reg_to_t2, T2_brain: says what it is, not who.
_NOBODY = re.compile(_SHOWN + _SAME, re.IGNORECASE)
# t2_tse_tra, T2_anna: may say who it is, or nothing but how it was acquired.
_PERHAPS_NOBODY = re.compile(rf"({contrast.WORDS})([-_. ].*)?", re.IGNORECASE)
# Folders between that of a person and a scan: of a time, and of a kind of scan.
_OCCASION = re.compile(rf"{_WHEN}|ses-.+", re.IGNORECASE)
_KIND = re.compile(rf"anat|mri|nii|nifti|{_SHOWN}", re.IGNORECASE)


def read_name(path: Path) -> Scan:
    """Labels by the first scheme that fits: IXI's, BIDS, visits, a contrast; else the stem alone.

    A name that begins with ``sub-LABEL`` or ``IXI012`` is that subject's, whatever else fits. One
    that says no more than the contrast is of whom the folder is called.
    """
    scan = _by_its_name(path)
    return _of_its_folder(scan) if _NOBODY.fullmatch(scan.subject) else scan


def _by_its_name(path: Path) -> Scan:
    """What the name of the file alone says."""
    name = one_spelling(stem(path))
    match = next((found for scheme in _SCHEMES if (found := scheme.match(name))), None)
    scan = Scan(name, "", path, contrast.by_name(path)) if match is None else _scan(match, path)
    if person := _PERSON.match(name):
        session = person["session"] or scan.session
        scan = replace(scan, subject=person["subject"], session=session)
    return scan


def pattern_reader(pattern: str) -> Callable[[Path], Scan]:
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

    def read(path: Path) -> Scan:
        match = scheme.search(one_spelling(path.name))
        if match is None or not match["subject"]:
            raise BadInputError(
                f"does not match the subject pattern {pattern!r}",
                path=path,
                remedy="Change --subject-pattern or leave this file out",
            )
        return _scan(match, path)

    return read


def folder_of_person(path: Path) -> tuple[str, Path] | None:
    """Who a scan is of, as far as its folder tells; None where its own name says who.

    Returns:
        The folder, and before it the name that the subject has from it: empty where the subject is
        called by the file, whose name begins with a contrast and may be of many people, as
        ``t2_tse_tra.nii`` is.
    """
    subject = _by_its_name(path).subject
    folder = next(folders_of_people(path), None)
    if folder is None or not _PERHAPS_NOBODY.fullmatch(subject):
        return None
    return folder.name if _NOBODY.fullmatch(subject) else "", folder


def one_spelling(text: str) -> str:
    """Text with each accent in one character, as Linux writes it and macOS does not."""
    return unicodedata.normalize("NFC", text)


def folders_of_people(path: Path) -> Iterator[Path]:
    """The folders above a scan that are called neither by a time nor by a kind of scan."""
    for folder in Path(os.path.abspath(path)).parents:  # noqa: PTH100  # links keep their names
        if folder.name and not (_OCCASION.fullmatch(folder.name) or _KIND.fullmatch(folder.name)):
            yield folder


def _of_its_folder(scan: Scan) -> Scan:
    """The scan with the subject, and perhaps the session, that the folders above are called."""
    folder = next(folders_of_people(scan.path), None)
    if folder is None:
        return scan
    inside = Path(os.path.abspath(scan.path)).relative_to(folder).parts[:-1]  # noqa: PTH100
    sessions = [one_spelling(name) for name in reversed(inside) if _OCCASION.fullmatch(name)]
    name = one_spelling(folder.name)
    match = _PERSON.match(name) or _VISIT.match(name)
    sessions += [scan.session, (match["session"] or "") if match else ""]
    session = scan.session or next(filter(None, sessions), "")
    return replace(scan, subject=match["subject"] if match else name, session=session)


def _scan(match: re.Match[str], path: Path) -> Scan:
    groups = match.groupdict(default="")
    labelled = contrast.normal(groups.get("modality", ""))
    return Scan(
        subject=groups["subject"],
        session=groups.get("session", ""),
        path=path,
        modality=contrast.with_agent(labelled, path) or contrast.by_name(path),
        site=groups.get("site", ""),
    )
