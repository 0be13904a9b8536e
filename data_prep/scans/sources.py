"""Where scans come from: finding them is separate from reading them, so a plan is cheap.

Which of the files found are scans is decided by `data_prep.scans.choosing`. A scan's subject,
session and site are read from its name (`data_prep.scans.names`), its contrast from its sidecar or
name. How it is cut is decided from its header, once; reading makes slices of it, whatever it is.
"""

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.errors import BadInputError, ConfigError, listed, raise_together
from data_prep.kspace import FACTOR
from data_prep.scans import (
    choosing,
    contrast,
    dicom,
    fastmri,
    folders,
    labels,
    layouts,
    names,
    nifti,
)
from data_prep.scans.choosing import LeftOut, Listing
from data_prep.scans.contrast import Contrast
from data_prep.scans.names import Scan
from data_prep.scans.nifti_header import chosen_volume
from data_prep.scans.orientation import Plane, PlaneChoice, Volume, find_slicing


class SliceLayout(NamedTuple):
    """How a scan will be cut: the plane, and the ``(S, H, W)`` of its slices."""

    plane: Plane
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Found:
    """What was found.

    Args:
        scans: Sorted by subject, session and path.
        left_out: Files that are not used, and why.
        warnings: What a person should know, a line each.
    """

    scans: tuple[Scan, ...]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def find(
    sources: Sequence[Path],
    *,
    modality: str = "",
    all_contrasts: bool = False,
    site: str = "",
    pattern: str = "",
    allow_missing: bool = False,
) -> Found:
    """Find the scans in files, folders and glob patterns.

    Args:
        sources: Files, folders (searched whole; of a BIDS data set, its anat folders) and
            patterns such as ``data/*-T2.nii.gz``.
        modality: Keep only this contrast (``T2`` and BIDS' ``T2w`` are the same).
        all_contrasts: Keep scans of several contrasts together, instead of refusing them.
        site: Keep only this IXI site, such as ``Guys``.
        pattern: Regular expression with the group ``subject`` and perhaps ``session``,
            ``modality`` and ``site``, matched against file names; empty for the known schemes.
        allow_missing: Leave out scans whose content is not here, instead of refusing them.

    Returns:
        The scans; the same file given twice counts once, whatever paths and links lead to it. Of
        what is no scan names and contents decide.

    Raises:
        BadInputError: A source or a scan's content is not here, no scan is found, or a path is not
            UTF-8.
        ConfigError: Several contrasts are found and none is chosen, or the pattern is wrong.
    """
    given = _together(listing(Path(source)) for source in sources)
    paths, left_out = choosing.sort_out(_distinct(given.scans))
    left_out += given.left_out
    inside = fetched(filter(fastmri.is_fastmri, paths), allow_missing)  # they say whose they are
    left_out += inside.left_out
    paths = [path for path in paths if not fastmri.is_fastmri(path)] + inside.scans
    named = [_named(path, pattern) for path in paths]
    scans = [scan for scan, _ in named]
    refuse_none(scans, left_out)
    if modality:
        left_out += [LeftOut(scan.path, choosing.UNKNOWN) for scan in scans if not scan.modality]
    scans = _chosen(scans, "modality", modality, sources)
    scans = _chosen(scans, "site", site, sources)
    _refuse_odd_names(scans)
    if not pattern:
        _refuse_folders_of_one_name(scans)
    kept = usable([scan.path for scan in scans], allow_missing)
    left_out += kept.left_out
    paths_kept = set(kept.scans)
    scans = sorted(scan for scan in scans if scan.path in paths_kept)
    refuse_none(scans, left_out)
    warnings = _check_contrasts(scans, all_contrasts)
    wanted = contrast.normal(modality)
    warnings += [
        f"{scan.path}: {shown.warning}"
        for scan, shown in named
        if shown.warning and (scan in scans or shown.instead_of == wanted)
    ]
    return Found(tuple(scans), tuple(left_out), tuple(warnings))


def usable(paths: Iterable[Path], allow_missing: bool) -> Listing:
    """Tell scans from files whose content is not here and from those that hold something else.

    Args:
        paths: Files that are scans by their names.
        allow_missing: Leave out what is not here, instead of refusing it.

    Raises:
        BadInputError: The content of some is not here, or one is a pipe, a socket or a device.
    """
    paths = list(paths)
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadInputError(
                "is a pipe, a socket or a device, not a file",
                path=path,
                remedy="Write the scan to a file first",
            )
    here = fetched(paths, allow_missing)
    listing = Listing([], here.left_out)
    for path in here.scans:
        reason = labels.no_scan(path) if nifti.is_volume(path) else ""
        if reason:
            listing.left_out.append(LeftOut(path, reason))
        else:
            listing.scans.append(path)
    return listing


def refuse_none(scans: Sequence[Any], left_out: Sequence[LeftOut]) -> None:
    """Refuse to go on without a scan, saying why files were left out.

    Raises:
        BadInputError: No scan is left.
    """
    if not scans:
        raise BadInputError(
            f"no scan is left: {choosing.counted(left_out)}\n",
            remedy="If one of them is a scan, give it a name that says so, or take it out of "
            ".bidsignore (docs/data.md has the rules)",
        )


def slice_layout(
    path: Path,
    plane: PlaneChoice,
    use: fastmri.Use,
    warn: Callable[[str], None] | None = None,
    volume: int | None = None,
) -> SliceLayout:
    """Decide how a scan will be cut; its header alone is read, and checked.

    Args:
        path: The file.
        plane: The plane to cut along; ``auto`` finds it.
        use: What of a fastMRI file is used.
        warn: Called with what the header does not say, or says in two ways; it names the file.
        volume: Which volume of a series, counted from 0.

    Raises:
        BadInputError: The file is missing, its header is that of no usable scan, it has slices of
            its own and another plane is asked for, or it is a series without such a volume.
    """
    if fastmri.is_fastmri(path):
        if plane not in ("auto", "axial"):
            raise BadInputError(
                f"cannot be cut into {plane} slices: it holds slices as they were acquired",
                path=path,
                remedy="Leave --plane at auto",
            )
        layout = SliceLayout("acquired", fastmri.read_shape(path, use))
        _tell(path, fastmri.read_gaps(path), warn)
        return layout
    geometry = nifti.read_geometry(path)
    chosen_volume(geometry.volumes, volume, path)
    _tell(path, geometry.doubts, warn)
    found = find_slicing(geometry.affine, plane, slice_axis=geometry.slice_axis, path=path)
    count, height, width = (geometry.shape[axis] for axis in found.axes)
    if min(height, width) < FACTOR:
        raise BadInputError(
            f"has {found.plane} slices of {height} x {width} pixels, but a side needs at least "
            f"{FACTOR}",
            path=path,
            remedy="Choose another --plane, or leave it out",
        )
    return SliceLayout(found.plane, (count, height, width))


def read(path: Path, plane: Plane, use: fastmri.Use, volume: int | None = None) -> Volume:
    """Read one scan, checked, as slices.

    Args:
        path: The file.
        plane: The plane to cut along, from `slice_layout`.
        use: What of a fastMRI file is used.
        volume: Which volume of a series, counted from 0.

    Raises:
        BadInputError: The file is missing, damaged or unsuitable.
    """
    if plane == "acquired":
        return fastmri.read(path, use)
    image = nifti.read(path, volume)
    found = find_slicing(image.affine, plane, path=path)
    return Volume(found.slices(image.voxels), found.spacing(image.affine), image.sha256)


def listing(source: Path) -> Listing:
    """The scans of a file, a folder (of a BIDS data set its anat folders) or a pattern.

    Links whose content is not here are among them. Folders of DICOM files of which series were not
    converted are listed as left out.

    Raises:
        BadInputError: It does not exist, or holds no scan.
        EnvironmentFault: It holds DICOM files, and dcm2niix is not installed or has no space.
    """
    if source.is_dir():
        return _in_folder(source)
    if source.exists() or source.is_symlink():
        return Listing([layouts.header_file(source)], [])
    if glob.has_magic(str(source)):
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207  # ** and absolute patterns
        if not matches:
            raise BadInputError("matches no file", path=source, remedy="Check the pattern")
        return _together(map(listing, matches))
    raise BadInputError("does not exist", path=source, remedy="Check the path")


def is_scan(path: Path) -> bool:
    """Whether a file's name is that of a scan this package reads."""
    known = nifti.is_volume(path) or fastmri.is_fastmri(path)
    return known and not path.name.startswith(".")


def _tell(path: Path, clauses: Iterable[str], warn: Callable[[str], None] | None) -> None:
    if warn:
        for clause in clauses:
            warn(f"{path}: {clause}")


def fetched(paths: Iterable[Path], allow_missing: bool) -> Listing:
    """Tell files from those whose content git-annex or Git LFS has not fetched.

    Args:
        paths: The files.
        allow_missing: Leave the others out, instead of refusing them.

    Raises:
        BadInputError: The content of some is not here.
    """
    listing, remedies, links = Listing([], []), set(), 0
    for path in paths:
        remedy = _not_fetched(path)
        if not remedy:
            listing.scans.append(path)
            continue
        listing.left_out.append(LeftOut(path, choosing.NOT_FETCHED))
        links += remedy == folders.TO_NOTHING
        remedies |= {f"`{remedy}`"} - {f"`{folders.TO_NOTHING}`"}
    if listing.left_out and not allow_missing:
        fetch = f"Fetch them with {' and '.join(sorted(remedies))}" if remedies else ""
        mend = f"{'mend' if fetch else 'Mend'} the links to nothing" if links else ""
        missing = [str(path) for path, _ in listing.left_out]
        steps = ", ".join(step for step in (fetch, mend) if step)
        raise BadInputError(
            f"the content of {len(missing)} of {len(missing) + len(listing.scans)} scans is not "
            f"here:{listed(missing)}\n",
            remedy=f"{steps}, or go on without them with --allow-missing",
        )
    return listing


def _not_fetched(path: Path) -> str:
    """What fetches the files of a scan whose content is not here; empty if all are here."""
    return next(filter(None, map(folders.not_fetched, layouts.files(path))), "")


def _together(listings: Iterable[Listing]) -> Listing:
    whole = Listing([], [])
    for part in listings:
        whole.scans.extend(part.scans)
        whole.left_out.extend(part.left_out)
    return whole


def _in_folder(folder: Path) -> Listing:
    """The scans of a folder; of a BIDS data set its raw anatomical ones, not the derivatives.

    Where there are only DICOM files, and perhaps results made of them, they are converted.
    """
    dataset = folders.dataset_of(folder)
    left_out: list[LeftOut] = []
    if dataset is None:
        candidates, derived = folders.outside_derivatives(list(folders.walk(folder)))
        left_out = [LeftOut(path, choosing.DERIVATIVE) for path in derived if is_scan(path)]
    else:
        here = os.path.abspath(folder)  # noqa: PTH100  # links keep their names
        within = folders.anatomical(dataset)
        candidates = [p for p in within if Path(os.path.abspath(p)).is_relative_to(here)]  # noqa: PTH100
    found = Listing([path for path in candidates if is_scan(path) and not path.is_dir()], left_out)
    if dataset is None and all(map(choosing.is_result, found.scans)):
        found.scans[:0] = dicom.converted(folder)
        found.left_out.extend(dicom.not_converted(folder))
    if not found.scans:
        kind = "anatomical BIDS scan" if dataset else "scan"
        raise BadInputError(
            f"holds no {kind} (.nii, .nii.gz, .mgz, .nrrd, .hdr with .img, .h5, DICOM)",
            path=folder,
            remedy="Give a folder of scans",
        )
    return found


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Each file once, whatever paths and linked folders lead to it.

    Links to files stay, and what they point to goes: data sets under git-annex are links, named by
    people. Two links to one file are two names for one scan, which a plan will refuse or warn of.
    """
    places = {os.path.join(os.path.realpath(path.parent), path.name): path for path in paths}  # noqa: PTH118
    links = (path for path in places.values() if path.is_symlink() and path.exists())
    targets = set(map(os.path.realpath, links))  # a link to itself is a link to nothing
    return sorted(path for place, path in places.items() if place not in targets)


def _named(path: Path, pattern: str) -> tuple[Scan, Contrast]:
    """A scan as its name, sidecar and, for fastMRI's, its attributes describe it; its contrast."""
    scan = names.pattern_reader(pattern)(path) if pattern else names.read_name(path)
    if not fastmri.is_fastmri(path):
        shown = contrast.contrast_of(path, scan.modality)
        return replace(scan, modality=shown.label), shown
    if pattern:
        return scan, Contrast(scan.modality)
    patient, acquisition = fastmri.read_labels(path)
    if patient:  # several files may be of one patient, so the file becomes the session
        scan = replace(scan, subject=patient, session=nifti.stem(path))
    return replace(scan, modality=acquisition), Contrast(acquisition)


def _chosen(scans: list[Scan], field: str, value: str, sources: Sequence[Path]) -> list[Scan]:
    """The scans whose modality or site is the one asked for; all of them if none is."""
    if not value:
        return scans
    wanted = contrast.normal(value) if field == "modality" else value
    kept = [scan for scan in scans if getattr(scan, field).lower() == wanted.lower()]
    if not kept:
        found = _listed({getattr(scan, field) or "unnamed" for scan in scans})
        raise BadInputError(
            f"no scan of {field} {value}: the {len(scans)} found are of {found}",
            path=sources[0] if len(sources) == 1 else None,
            remedy=f"Check --{field}",
        )
    return kept


def _check_contrasts(scans: Sequence[Scan], all_contrasts: bool) -> list[str]:
    """A warning where contrasts are known of some scans only.

    Raises:
        ConfigError: There are several, and they are not to be mixed.
    """
    found = sorted({scan.modality for scan in scans if scan.modality})
    if len(found) > 1 and not all_contrasts:
        raise ConfigError(
            f"the scans are of several contrasts: {', '.join(found)}",
            remedy="Choose one with --modality, or mix them with --all-contrasts",
        )
    unknown = [str(scan.path) for scan in scans if not scan.modality]
    if not (found and unknown):
        return []
    return [
        f"the contrast of {len(unknown)} of {len(scans)} scans is unknown; they are used with "
        f"those of {', '.join(found)}:{listed(unknown)}"
    ]


def _refuse_folders_of_one_name(scans: Sequence[Scan]) -> None:
    """Refuse a subject label that may be of several people: it has the same name in many folders.

    In ``p1/before/T2.nii`` and ``p2/before/T2.nii`` the folder is no person's, and in
    ``p1/t2_tse.nii`` and ``p2/t2_tse.nii`` the file is none.
    """
    places: dict[str, set[tuple[str, Path]]] = {}
    for scan in scans:
        if not fastmri.is_fastmri(scan.path) and (place := names.folder_of_person(scan.path)):
            places.setdefault(scan.subject, set()).add(place)
    for subject, found in sorted(places.items()):
        if len({name for name, _ in found}) < len(found):
            shown = [str(folder) for _, folder in sorted(found)]
            by_folder = any(name for name, _ in found)
            raise BadInputError(
                f"the scans of subject {subject} are in several folders, so that nobody can tell "
                f"whose they are:{listed(shown)}\n",
                remedy="Put the person into the files' names, as in PERSON_T2.nii"
                + (", or rename the folders" if by_folder else ""),
            )


def _refuse_odd_names(scans: Sequence[Scan]) -> None:
    """Plans and manifests are UTF-8, and so must be every path in them."""
    faults = []
    for scan in scans:
        path = scan.path.absolute()
        shown = choosing.printable(path)
        if shown != str(path):
            fault = "has a name that is not UTF-8"
            faults.append(BadInputError(fault, path=shown, remedy="Rename it"))
    raise_together(faults)


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(sorted(labels))
