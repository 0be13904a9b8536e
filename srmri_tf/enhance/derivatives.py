"""What results are called and what is written beside them, after BIDS derivatives.

``sub-01_T2w.nii.gz`` becomes ``sub-01_res-2x_desc-cpce_T2w.nii.gz``, ``scan.nii.gz`` becomes
``scan_desc-cpce.nii.gz``. The JSON sidecar says what a result was made of; it is also how a second
run knows what is finished.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from data_prep.errors import BadInputError, ConfigError, what_differs
from data_prep.files import atomic_file, write_text
from data_prep.scans import nifti
from data_prep.scans.choosing import TOOL, entities_of, is_result
from data_prep.scans.folders import IGNORE
from data_prep.scans.nifti_header import of_floats
from data_prep.scans.sidecars import read_sidecar, sidecar_of

LIMITS = (
    "Made by a neural network, which can invent detail and smooth real detail away. "
    "Research only: no diagnosis, no decision about a patient."
)

INDEX = "index.html"
"""The page that links all pages of a folder of results."""

PAGE_MARK = '<meta name="generator" content="srmri-tf">'
"""By which a page of this program is known."""

_BIDS = re.compile(
    r"(?P<entities>sub-[A-Za-z0-9+]+(_[a-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)"
)
_DESC = re.compile(r"(?P<before>.*_)desc-(?P<label>[A-Za-z0-9+]+)(?P<after>(_.*)?)")
_TWICE = "2x"
_SOURCE = "SourceSha256"
_LAST_ENTITIES = ("res", "den", "label", "desc")  # in BIDS' order

_SPREAD = "Standard deviation of the enhanced scan over eight flips and transposes, in its units"

_README = """\
# {name}

Scans whose slices were enhanced by a neural network (srmri-tf {version}). The JSON file beside each
says which scan it was made of, by which model, and with which settings.

{limits}

`SkullStripped` is what the sidecar of the source says; it is false where that says nothing, since
enhancing strips nothing.
"""


@dataclass(frozen=True)
class Target:
    """The files of one result.

    Args:
        image: The enhanced scan.
        uncertainty: The map beside it, None if it was not asked for.
    """

    image: Path
    uncertainty: Path | None = None

    @property
    def sidecar(self) -> Path:
        """What the result was made of."""
        return sidecar_of(self.image)

    @property
    def page(self) -> Path:
        """What `--report` writes beside the result: ``.html`` instead of ``.nii.gz``."""
        return self.image.with_name(nifti.stem(self.image) + ".html")

    @property
    def images(self) -> tuple[Path, ...]:
        """The result, and the map if there is one."""
        return (self.image,) if self.uncertainty is None else (self.image, self.uncertainty)

    @property
    def sidecars(self) -> tuple[Path, ...]:
        """Of each of these."""
        return tuple(map(sidecar_of, self.images))


def result_name(scan: Path, label: str, *, doubled: bool = False) -> str:
    """A scan's name with ``desc-LABEL``, before BIDS' suffix if it has one.

    A description that is there already goes on: ``desc-preproc`` becomes ``desc-preprocCpce``.
    Scans of other formats become NIfTI.

    Args:
        scan: The scan.
        label: What made the result.
        doubled: The result has twice the matrix: a name of BIDS gets ``res-2x``, too.
    """
    stem = nifti.stem(scan)
    suffix = scan.name[len(stem) :] if nifti.is_nifti(scan) else ".nii.gz"
    if match := _BIDS.fullmatch(stem):
        entities = dict(part.split("-", 1) for part in match["entities"].split("_"))
        if doubled:
            entities["res"] = entities.get("res", "") + _TWICE
        entities["desc"] = _joined(entities.get("desc", ""), label)
        ordered = [key for key in entities if key not in _LAST_ENTITIES]
        ordered += [key for key in _LAST_ENTITIES if key in entities]
        return "_".join([*(f"{key}-{entities[key]}" for key in ordered), match["suffix"]]) + suffix
    if match := _DESC.fullmatch(stem):
        joined = _joined(match["label"], label)
        return f"{match['before']}desc-{joined}{match['after']}{suffix}"
    return f"{stem}_desc-{label}{suffix}"


def _joined(before: str, label: str) -> str:
    """Two labels as one in camel case."""
    return before + label[0].upper() + label[1:] if before else label


def record_of(
    sources: Sequence[str],
    source_sha256: str,
    model: Mapping[str, str],
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """What a sidecar says before the result is there.

    Args:
        sources: The scan's name or BIDS URI.
        source_sha256: Checksum of the scan's file.
        model: ``Name``, ``Kind`` and ``Sha256`` of the network.
        parameters: Everything else that decides the result.
    """
    return {
        "Description": f"Super-resolution of the scan's slices by {model['Name']}",
        "Sources": list(sources),
        _SOURCE: source_sha256,
        "GeneratedBy": [{"Name": TOOL, "Version": version("srmri-tf")}],
        "Model": model["Name"],
        "ModelKind": model["Kind"],
        "ModelSha256": model["Sha256"],
        "Parameters": dict(parameters),
        "Limits": LIMITS,
    }


def is_finished(target: Target, wanted: Mapping[str, Any]) -> bool:
    """Whether a target is there already, made of the same scan by the same model.

    Args:
        target: The files.
        wanted: From `record_of`.

    Returns:
        False if there is nothing, or only what an interrupted run has left.

    Raises:
        ConfigError: Something else is there.
    """
    record = read_sidecar(target.image)
    if record is None or _SOURCE not in record:
        theirs = [path for path in target.sidecars if _SOURCE not in (read_sidecar(path) or {})]
        for path in (*target.images, *theirs):
            if path.exists():
                raise _occupied(path, "already exists and was not made by this program")
        return False
    if changes := what_differs(_decisive(record), _decisive(wanted)):
        lines = "".join(f"\n  {line}" for line in changes)
        raise _occupied(target.image, f"was made differently:{lines}\n")
    checksums = record.get("Files")
    for path in target.images:
        if not path.exists():
            return False
        if not isinstance(checksums, dict) or checksums.get(path.name) != checksum(path):
            raise _occupied(path, "was changed after it was made")
    return True


def write(
    target: Target,
    volumes: Sequence[np.ndarray],
    header: nib.Nifti1Header,
    sizes: Sequence[float] | np.ndarray,
    record: Mapping[str, Any],
) -> None:
    """Write a result: whatever moment it is interrupted at, the next run can tell.

    Each image is on the disk under another name before the sidecar with its checksum is; only
    then do the images get their names.

    Args:
        target: The files.
        volumes: ``(X, Y, Z)`` float32, of a series ``(X, Y, Z, T)``: the enhanced scan and, if
            asked for, its uncertainty.
        header: The scan's header on the result's grid.
        sizes: Of the result's voxels, in mm.
        record: What the sidecar says.

    Raises:
        EnvironmentFault: The disk is full or the folder cannot be written; nothing has changed.
    """
    headers = (header, of_floats(header))
    with contextlib.ExitStack() as images:
        checksums = {}
        for path, voxels, its in zip(target.images, volumes, headers, strict=False):
            parts = nifti.packed(path, voxels, its, widen=True)
            hashed = hashlib.sha256()
            temporary = images.enter_context(atomic_file(path))
            with temporary.open("wb") as file:
                for part in parts:
                    hashed.update(part)
                    file.write(part)
            checksums[path.name] = hashed.hexdigest()
        if target.uncertainty:
            described = {**record, **_resolution(target.uncertainty, sizes)}
            _write_json(sidecar_of(target.uncertainty), {**described, "Description": _SPREAD})
        described = {**record, **_resolution(target.image, sizes)}
        _write_json(target.sidecar, {**described, "Files": checksums})


def remove_outdated(every: Target, written: Target, root: Path | None) -> None:
    """Remove what an earlier call has made of a scan beside a result that was now written anew.

    Args:
        every: All files that there may be, with the map of uncertainty.
        written: Those that were written.
        root: The folder of all results, whose index links the page.
    """
    old = every.uncertainty
    if old is not None and written.uncertainty is None and _SOURCE in (read_sidecar(old) or {}):
        old.unlink(missing_ok=True)
        sidecar_of(old).unlink(missing_ok=True)
    if is_page(every.page):
        every.page.unlink()
        if root is not None and is_page(root / INDEX):
            (root / INDEX).unlink()


def is_page(path: Path) -> bool:
    """Whether a file is an HTML page of this program."""
    return path.is_file() and PAGE_MARK.encode() in path.read_bytes()[:4096]


def check_page(path: Path) -> None:
    """Refuse to replace a file that is no page of this program.

    Raises:
        ConfigError: Something else has its name.
    """
    if path.exists() and not is_page(path):
        raise ConfigError(
            "already exists and is no page of this program",
            path=path,
            remedy="Move it, or give another -o",
        )


def check_folder(folder: Path, raw: Path | None, *, pages: bool) -> None:
    """Refuse a folder of results that is another data set's, or whose index has another's name.

    Args:
        folder: Of all results.
        raw: The BIDS data set that the scans are of; None outside of one.
        pages: Whether pages and their index will be written.

    Raises:
        ConfigError: It holds results of another BIDS data set, or a file where the index goes.
    """
    if pages:
        check_page(folder / INDEX)
    described = folder / "dataset_description"
    linked = (read_sidecar(described) or {}).get("DatasetLinks")
    before = linked.get("raw") if isinstance(linked, dict) and is_result(described) else None
    if raw is not None and before is not None and (folder / before).resolve() != raw.resolve():
        raise ConfigError(
            f"holds results of another BIDS data set, {before}",
            path=folder,
            remedy="Give another -o; if that data set has moved, correct `raw` in "
            "dataset_description.json",
        )


def describe_dataset(folder: Path, raw: Path) -> None:
    """Make a folder of results a BIDS derivative data set of ``raw``, unless it is one.

    Licence and authors are those of ``raw``, as far as it says them.
    """
    if not (folder / IGNORE).exists():  # BIDS has no names for pages
        write_text(folder / IGNORE, "*.html\n")
    if (folder / "dataset_description.json").exists():
        return
    source = read_sidecar(raw / "dataset_description") or {}
    name = f"Super-resolution of {source.get('Name') or raw.resolve().name}"
    described: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        **{key: source[key] for key in ("License", "Authors") if key in source},
        "GeneratedBy": [{"Name": TOOL, "Version": version("srmri-tf")}],
        "DatasetLinks": {"raw": Path(os.path.relpath(raw, folder)).as_posix()},
    }
    if not any(folder.glob("README*")):
        text = _README.format(name=name, version=version("srmri-tf"), limits=LIMITS)
        write_text(folder / "README.md", text)
    _write_json(folder / "dataset_description.json", described)


def _resolution(image: Path, sizes: Sequence[float] | np.ndarray) -> dict[str, str]:
    """What BIDS wants said of a name with ``res-``."""
    if "res" not in entities_of(nifti.stem(image)):
        return {}
    return {"Resolution": f"voxels of {' x '.join(f'{size:.6g}' for size in sizes)} mm"}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def checksum(path: Path) -> str:
    """SHA-256 of a scan or a result.

    Raises:
        BadInputError: It cannot be read.
    """
    try:
        return nifti.checksum(path)
    except OSError as error:
        raise BadInputError(
            f"cannot be read: {error.strerror or error}", path=path, remedy="Check the file"
        ) from None


def _decisive(record: Mapping[str, Any]) -> dict[str, Any]:
    """What must agree for a result to be the one that is wanted."""
    parameters = record.get("Parameters")
    facts = {key: record.get(key) for key in (_SOURCE, "ModelSha256")}
    return facts | (parameters if isinstance(parameters, dict) else {"Parameters": parameters})


def _occupied(path: Path, fault: str) -> ConfigError:
    return ConfigError(fault, path=path, remedy="Give --overwrite to replace it, or another -o")
