"""DICOM folders: dcm2niix makes NIfTI files of them, which are read as any other.

They are kept until the process ends. A file is called ``sub-ID_ses-DATE_series-N_CONTRAST.nii``, so
that all series of one patient are of one subject.
"""

import importlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from data_prep.errors import BadInputError, EnvironmentFault

_PROBED = 50  # files of a folder that are looked at
_OPTIONS = (
    *("-g", "i"),  # the user's own defaults of dcm2niix do not count
    *("-b", "y", "-ba", "n"),  # a sidecar that says whose it is
    *("-i", "y"),  # without localizers and images that were derived on the scanner
    *("-z", "n", "-d", "9", "-f", "series%s"),
)
_MADE = re.compile(r"series(?P<series>\d+[a-z]*)(?P<more>(_.*)?)")
_CONTRASTS = ("FLAIR", "T2", "T1", "PD")


def converted(folder: Path) -> list[Path]:
    """The scans of a folder of DICOM files, converted; none if it holds no DICOM file.

    What lies in one of its folders is of one patient, unless the files name several.

    Raises:
        BadInputError: dcm2niix cannot convert the files.
        EnvironmentFault: There are DICOM files, but dcm2niix is not installed.
    """
    parts = sorted(child for child in folder.iterdir() if child.is_dir() and _holds_dicom(child))
    if any(map(_is_dicom, itertools.islice(folder.glob("*"), _PROBED))):
        parts = [folder]  # and all that is below it
    return [scan for part in parts for scan in _converted(part.resolve())]


def is_converted(scan: Path) -> bool:
    """Whether a scan is one that this process has made of DICOM files."""
    return bool(_scratch.cache_info().currsize) and Path(_scratch().name) in scan.parents


def _holds_dicom(folder: Path) -> bool:
    files = (path for path in folder.rglob("*") if not path.name.startswith("."))
    return any(map(_is_dicom, itertools.islice(files, _PROBED)))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@cache
def _scratch() -> tempfile.TemporaryDirectory:
    """A folder that goes when the process does."""
    return tempfile.TemporaryDirectory(prefix="srmri-tf-dicom-")


@cache
def _converted(folder: Path) -> tuple[Path, ...]:
    scratch = Path(_scratch().name)
    target = scratch / f"{len(list(scratch.iterdir())):06d}"  # in the order of the folders
    target.mkdir()
    command = [_program(), *_OPTIONS, "-o", str(target), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    made = sorted(target.glob("*.nii"))
    if not made:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
        raise BadInputError(
            f"holds DICOM files that dcm2niix makes no scan of ({lines[-1].strip()})",
            path=folder,
            remedy="Give the folder of a whole series of MR images",
        )
    return tuple(_named(path, folder) for path in made)


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


def _named(path: Path, folder: Path) -> Path:
    """Give a converted file the name that says whose it is."""
    sidecar = path.with_suffix(".json")
    try:
        said = json.loads(sidecar.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        said = {}
    subject = _label(said.get("PatientID")) or _label(said.get("PatientName"))
    date = _label(str(said.get("AcquisitionDateTime", ""))[:10])
    match = _MADE.fullmatch(path.stem)
    series, more = (match["series"], match["more"]) if match else (_label(path.stem), "")
    parts = [f"sub-{subject or _label(folder.name) or 'unnamed'}"]
    parts += [f"ses-{date}"] if date else []
    target = path.with_name("_".join([*parts, f"series-{series}", _contrast(said)]) + more)
    if sidecar.exists():
        sidecar.rename(target.with_name(target.name + ".json"))
    return path.rename(target.with_name(target.name + ".nii"))


def _contrast(said: dict[str, Any]) -> str:
    """T1, T2, ... as protocol or series are called; else the protocol."""
    protocol = f"{said.get('ProtocolName', '')} {said.get('SeriesDescription', '')}"
    found = (contrast for contrast in _CONTRASTS if contrast in protocol.upper())
    return next(found, _label(said.get("ProtocolName")) or "unknown")


def _label(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", str(value or ""))
