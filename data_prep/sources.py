"""Where scans come from: finding them is separate from reading them, so a plan is cheap.

A scan's subject, session, modality and site are read from its name; `data_prep.names` has the
rules. Reading turns every source into one `Volume` in RAS+.
"""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep import fastmri, names, nifti
from data_prep.errors import BadInputError, ConfigError, raise_together
from data_prep.planes import as_volume, choose_plane, slices, to_ras
from data_prep.schema import Parameters


@dataclass(frozen=True, order=True)
class Scan:
    """A scan that was found but not read.

    Args:
        subject: Subject label, never empty.
        session: Session label, empty if the name has none.
        path: The file.
        modality: As in the file's name, upper case without BIDS' trailing w; empty if unknown.
        site: IXI's site, empty if unknown.
    """

    subject: str
    session: str
    path: Path
    modality: str = ""
    site: str = ""


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan in memory.

    Args:
        voxels: ``(X, Y, Z)`` float32 in RAS+, in the scan's own intensity units.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        subject: Subject label.
        session: Session label, empty if there is none.
        path: The file.
        sha256: Checksum of the file.
        kspace: ``(S, Hk, Wk)`` complex64, the measurement behind the voxels, where there is one.
        anatomical: Whether the file says how the patient lay; if not, the voxels are placed so
            that axial slices are the acquired ones.
    """

    voxels: np.ndarray
    affine: np.ndarray
    subject: str
    session: str
    path: Path
    sha256: str
    kspace: np.ndarray | None = None
    anatomical: bool = True


def find(
    sources: Sequence[Path], *, modality: str = "", site: str = "", pattern: str = ""
) -> list[Scan]:
    """Find the scans in files, folders and glob patterns, without reading a voxel.

    Args:
        sources: Files, folders (searched whole; of a BIDS data set, its anat folders) and
            patterns such as ``data/*-T2.nii.gz``.
        modality: Keep only this modality (``T2`` and BIDS' ``T2w`` are the same).
        site: Keep only this IXI site, such as ``Guys``.
        pattern: Regular expression with the group ``subject`` and perhaps ``session``,
            ``modality`` and ``site``, matched against file names; empty for the known schemes.

    Returns:
        The scans sorted by subject, session and path; the same file given twice counts once,
        whatever paths and links lead to it.

    Raises:
        BadInputError: A source does not exist, nothing is found, or a path is not UTF-8.
        ConfigError: Several modalities are found and none is chosen, or the pattern is wrong.
    """
    given = [path for source in sources for path in files(Path(source))]
    # A link's own name comes last and stays: data sets under git-annex are links, named by people.
    unique = {path.resolve(): path for path in sorted(given, key=Path.is_symlink)}
    scans = [Scan(path=path, **_labels(path, pattern)) for path in unique.values()]
    scans = _chosen(scans, "modality", modality, sources)
    scans = _chosen(scans, "site", site, sources)
    found = sorted({scan.modality for scan in scans if scan.modality})
    if len(found) > 1:
        raise ConfigError(
            f"the scans are of several modalities: {', '.join(found)}",
            remedy="Choose one with --modality",
        )
    _refuse_odd_names(scans)
    return sorted(scans)


def slice_shape(scan: Scan, parameters: Parameters) -> tuple[int, int, int]:
    """The (S, H, W) that a scan will be cut into; its header alone is read, and checked.

    Raises:
        BadInputError: The file is missing or its header is that of no usable scan.
    """
    if fastmri.is_fastmri(scan.path):
        return fastmri.read_shape(scan.path, parameters.fastmri)
    shape, affine = nifti.read_geometry(scan.path)
    turned, affine = to_ras(np.broadcast_to(np.int8(0), shape), affine, scan.path)
    plane = choose_plane(affine) if parameters.plane == "auto" else parameters.plane
    count, height, width = slices(turned, plane).shape
    return count, height, width


def read(scan: Scan, parameters: Parameters) -> Volume:
    """Read one scan, checked, and turn it to RAS+.

    Raises:
        BadInputError: The file is missing, damaged or unsuitable.
    """
    if fastmri.is_fastmri(scan.path):
        return _read_fastmri(scan, parameters)
    image = nifti.read(scan.path)
    voxels, affine = to_ras(image.voxels, image.affine, scan.path)
    return Volume(
        voxels=voxels,
        affine=affine,
        subject=scan.subject,
        session=scan.session,
        path=scan.path,
        sha256=image.sha256,
    )


def files(source: Path) -> list[Path]:
    """The scans of a file, a folder (of a BIDS data set its anat folders) or a pattern.

    Raises:
        BadInputError: It does not exist, or holds no scan.
    """
    if source.is_dir():
        return _in_folder(source)
    if source.exists():
        return [source]
    if glob.has_magic(str(source)):
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207  # ** and absolute patterns
        if not matches:
            raise BadInputError("matches no file", path=source, remedy="Check the pattern")
        return [file for match in matches for file in files(match)]
    raise BadInputError("does not exist", path=source, remedy="Check the path")


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS data set."""
    described = (folder / "dataset_description.json").exists()
    return described or any(folder.glob("sub-*/**/anat"))


def is_scan(path: Path) -> bool:
    """Whether a file's name is that of a scan this package reads."""
    known = nifti.is_nifti(path) or fastmri.is_fastmri(path)
    return known and not path.name.startswith(".")


def _in_folder(folder: Path) -> list[Path]:
    """The scans of a folder; of a BIDS data set its raw anatomical ones, not the derivatives."""
    bids = is_bids(folder)
    patterns = ("sub-*/anat/*", "sub-*/ses-*/anat/*") if bids else ("**/*",)
    candidates = sorted(path for pattern in patterns for path in folder.glob(pattern))
    found = [path for path in candidates if is_scan(path) and path.is_file()]
    if not found:
        kind = "anatomical BIDS scan" if bids else "scan"
        raise BadInputError(
            f"holds no {kind} (.nii, .nii.gz, .h5)",
            path=folder,
            remedy="Give a folder of NIfTI or fastMRI files; dcm2niix converts DICOM",
        )
    return found


def _labels(path: Path, pattern: str) -> names.Labels:
    """What a scan's name says, and for fastMRI the patient and acquisition its file names."""
    labels = names.pattern_reader(pattern)(path) if pattern else names.read_name(path)
    if not pattern and fastmri.is_fastmri(path):
        patient, acquisition = fastmri.read_labels(path)
        # Several files may be of one patient, so the file becomes the session.
        labels["session"] = nifti.stem(path) if patient else labels["session"]
        labels["subject"] = patient or labels["subject"]
        labels["modality"] = acquisition
    return labels


def _read_fastmri(scan: Scan, parameters: Parameters) -> Volume:
    image = fastmri.read(scan.path, parameters.fastmri)
    voxels, affine = as_volume(image.images, image.spacing)
    return Volume(
        voxels=voxels,
        affine=affine,
        subject=scan.subject,
        session=scan.session,
        path=scan.path,
        sha256=image.sha256,
        kspace=image.kspace,
        anatomical=False,
    )


def _chosen(scans: list[Scan], field: str, value: str, sources: Sequence[Path]) -> list[Scan]:
    """The scans whose modality or site is the one asked for; all of them if none is."""
    if not value:
        return scans
    wanted = names.normal_modality(value) if field == "modality" else value
    kept = [scan for scan in scans if getattr(scan, field).lower() == wanted.lower()]
    if not kept:
        found = _listed({getattr(scan, field) or "unnamed" for scan in scans})
        raise BadInputError(
            f"no scan of {field} {value}: the {len(scans)} found are of {found}",
            path=sources[0] if len(sources) == 1 else None,
            remedy=f"Check --{field}",
        )
    return kept


def _refuse_odd_names(scans: Sequence[Scan]) -> None:
    """Plans and manifests are UTF-8, and so must be every path in them."""
    faults = []
    for scan in scans:
        path = scan.path.absolute()
        printable = os.fsencode(path).decode("utf-8", errors="backslashreplace")
        if printable != str(path):
            fault = "has a name that is not UTF-8"
            faults.append(BadInputError(fault, path=printable, remedy="Rename it"))
    raise_together(faults)


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(sorted(labels))
