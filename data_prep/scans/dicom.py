"""DICOM folders: dcm2niix makes NIfTI files of them, which are read as any other.

They are kept until the process ends. A file is called ``sub-ID_ses-DATE_series-N_CONTRAST.nii``, so
that all series of one patient are of one subject.
"""

import importlib
import json
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from data_prep.errors import BadInputError, EnvironmentFault
from data_prep.files import abandoned, own_prefix
from data_prep.scans import contrast, names
from data_prep.scans.choosing import (
    DERIVED,
    ENCODED,
    NO_SERIES,
    LeftOut,
    as_acquired,
    counted,
)
from data_prep.scans.folders import walk

_OPTIONS = (
    *("-g", "i"),  # the user's own defaults of dcm2niix do not count
    *("-b", "y", "-ba", "n"),  # a sidecar that says whose it is
    *("-i", "y"),  # without localizers and images that were derived on the scanner
    *("-z", "n", "-d", "9", "-f", "series%s"),
)
_MADE = re.compile(r"series(?P<series>\d+[a-z]*)(?P<more>(_.*)?)")
_GLUED = ("FLAIR", "T2STAR", "T2*", "T2", "T1")  # parts of words; of PD there is one in UPDATED
_SCRATCH = "srmri-tf-dicom-"

# What dcm2niix returns and says.
_NOTHING = 2  # no file is that of an image
_FULL = "Unable to write"
_REASON = re.compile(r"not large enough|corrupt|unsupported|unable|error", re.IGNORECASE)
_NOT_CONVERTED = {
    DERIVED: re.compile(r"(Skipping|Ignoring) derived"),
    ENCODED: re.compile(r"Unsupported transfer syntax"),
}


def converted(folder: Path) -> list[Path]:
    """The scans of a folder of DICOM files, converted; none if it holds no DICOM file.

    What lies in one of its folders is of one patient, unless the files name several.

    Raises:
        BadInputError: dcm2niix fails on files, or makes no scan of any.
        EnvironmentFault: There are DICOM files, but dcm2niix is not installed, or the disk of
            temporary files is full.
    """
    done = _outcomes(folder)
    scans = [scan for made, _ in done.values() for scan in made]
    if done and not scans:
        raise BadInputError(
            f"holds DICOM files that dcm2niix makes no scan of: {counted(not_converted(folder))}\n",
            path=folder,
            remedy="Give the folder of a whole series of MR images",
        )
    return scans


def not_converted(folder: Path) -> list[LeftOut]:
    """The folders in one of DICOM files of which series were not converted, and why."""
    done = _outcomes(folder).items()
    return [LeftOut(part, reason) for part, (_, reasons) in done for reason in reasons]


def is_converted(scan: Path) -> bool:
    """Whether a scan is one that this process has made of DICOM files."""
    return bool(_scratch.cache_info().currsize) and Path(_scratch().name) in scan.parents


def _outcomes(folder: Path) -> dict[Path, tuple[tuple[Path, ...], tuple[str, ...]]]:
    """For each folder of DICOM files what `_converted` says of it."""
    parts = sorted(child for child in folder.iterdir() if child.is_dir() and _holds_dicom(child))
    if any(map(_is_dicom, folder.iterdir())):
        parts = [folder]  # and all that is below it
    return {part: _converted(part.resolve()) for part in parts}


def _holds_dicom(folder: Path) -> bool:
    return any(map(_is_dicom, walk(folder)))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@cache
def _scratch() -> tempfile.TemporaryDirectory:
    """A folder that goes when the process does, or after a kill when the next one comes."""
    for leftover in abandoned(Path(tempfile.gettempdir()), _SCRATCH):
        shutil.rmtree(leftover, ignore_errors=True)  # not if it is another user's
    return tempfile.TemporaryDirectory(prefix=own_prefix(_SCRATCH))


@cache
def _converted(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The scans of a folder, and why series of it were not converted."""
    scratch = Path(_scratch().name)
    target = scratch / f"{len(list(scratch.iterdir())):06d}"  # in the order of the folders
    target.mkdir()
    command = [_program(), *_OPTIONS, "-o", str(target), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    output = done.stdout + done.stderr
    if done.returncode not in (0, _NOTHING):
        raise _failure(output, folder, target)
    named = [(path, _name(path, folder)) for path in sorted(target.glob("*.nii"))]
    scans = tuple(_renamed(path, name) for path, name in named)
    reasons = tuple(reason for reason, sign in _NOT_CONVERTED.items() if sign.search(output))
    return scans, reasons if scans or reasons else (NO_SERIES,)


def _failure(output: str, folder: Path, target: Path) -> BadInputError | EnvironmentFault:
    """Why dcm2niix failed; it may have made scans of some of the files."""
    if _FULL in output:
        return EnvironmentFault(
            "cannot be written by dcm2niix, which converts DICOM files: the disk may be full",
            path=target,
            remedy="Free some space, or name another folder for temporary files in TMPDIR, then "
            "run the same command again",
        )
    lines = [line.strip() for line in output.splitlines()]
    reason = next(filter(_REASON.search, lines), "it gives no reason")
    return BadInputError(
        f"holds DICOM files that dcm2niix cannot convert ({reason})",
        path=folder,
        remedy="Take out or replace the files of that series",
    )


def _program() -> str:
    """Where dcm2niix is: that of the wheel, else one that is installed otherwise."""
    try:
        return str(importlib.import_module("dcm2niix").bin)
    except ImportError:
        found = shutil.which("dcm2niix")
    if found is None:
        raise EnvironmentFault(
            "DICOM files are converted by dcm2niix, which is not installed",
            remedy="Install it with `pip install 'srmri-tf[dicom]'`",
        )
    return found


def _name(path: Path, folder: Path) -> str:
    """The name of a converted file that says whose it is, without a suffix."""
    sidecar = path.with_name(as_acquired(path.stem) + ".json")
    try:
        said = json.loads(sidecar.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        said = {}
    subject = _label(said.get("PatientID")) or _label(said.get("PatientName"))
    date = _label(str(said.get("AcquisitionDateTime", ""))[:10])
    match = _MADE.fullmatch(path.stem)
    series, more = (match["series"], match["more"]) if match else (_label(path.stem), "")
    if not subject:  # blank where a hospital made the files anonymous
        whose = next(names.folders_of_people(folder / path.name), folder)
        subject = _label(whose.name) or "unnamed"
    parts = [f"sub-{subject}"]
    parts += [f"ses-{date}"] if date else []
    return "_".join([*parts, f"series-{series}", _contrast(said)]) + more


def _renamed(path: Path, name: str) -> Path:
    """Rename a converted file and its sidecar, if it has one."""
    sidecar = path.with_suffix(".json")
    if sidecar.exists():
        sidecar.rename(sidecar.with_name(f"{name}.json"))
    return path.rename(path.with_name(f"{name}.nii"))


def _contrast(said: dict[str, Any]) -> str:
    """T1, T2, ... as words of protocol or series say, else parts of words; else the protocol."""
    protocol = f"{said.get('ProtocolName', '')} {said.get('SeriesDescription', '')}"
    glued = (contrast.normal(part) for part in _GLUED if part in protocol.upper())
    found = contrast.by_text(protocol) or next(glued, "")
    return found or _label(said.get("ProtocolName")) or "unknown"


def _label(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", str(value or ""))
