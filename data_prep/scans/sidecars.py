"""BIDS sidecars: the JSON file beside a scan, and what a scan inherits from those of folders above.

The inheritance principle of BIDS: ``T2w.json`` in the data set's folder, or ``sub-01_T2w.json`` in
that of a subject, holds for every scan below whose name ends in the same suffix and has all its
entities.
"""

import json
from pathlib import Path
from typing import Any

from data_prep.scans.folders import root_of
from data_prep.scans.nifti import stem


def sidecar_of(path: Path) -> Path:
    """Where the JSON file beside a scan is."""
    return path.with_name(stem(path) + ".json")


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The content of the JSON file beside a scan; None if there is none that can be read."""
    return _content(sidecar_of(path))


def metadata_of(path: Path) -> dict[str, Any]:
    """What the sidecars of a scan say, inherited ones too; where two say it, the nearer one counts.

    Of several in one folder the one with more entities is nearer. What lies in no folder of a
    subject (``sub-LABEL``) inherits nothing.
    """
    root, folder = root_of(path), path.absolute().parent
    if root is None:
        return read_sidecar(path) or {}
    above = [root, *(level for level in reversed(folder.parents) if root in level.parents), folder]
    said: dict[str, Any] = {}
    for level in above:
        for sidecar in sorted(level.glob("*.json"), key=lambda file: file.name.count("_")):
            if _applies(sidecar, path):
                said |= _content(sidecar) or {}
    return said


def _applies(sidecar: Path, path: Path) -> bool:
    """Whether two names end in one suffix, and the scan's has all entities of the sidecar's."""
    *entities, suffix = sidecar.stem.split("_")
    *ours, ending = stem(path).split("_")
    return suffix == ending and set(entities) <= set(ours)


def _content(file: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
