"""Which scans `enhance` is to enhance and where each result goes, decided without a voxel."""

import dataclasses
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import BadInputError, ConfigError, raise_together
from data_prep.files import longest_name
from data_prep.scans import choosing, contrast, folders, names, nifti, sources
from data_prep.scans.choosing import RESULT, LeftOut, Listing
from data_prep.scans.contrast import Contrast
from data_prep.scans.nifti_header import MAX_BYTES
from data_prep.scans.orientation import AnatomicalPlane, PlaneChoice, find_slicing
from srmri_tf.enhance import derivatives
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.derivatives import Target
from srmri_tf.recipes.config import CONFIGS

DERIVATIVES = Path("derivatives") / choosing.TOOL
"""Where the results of a folder go if no other place is given."""

KSPACE = "k-space of fastMRI"
"""Why a file that `prepare` reads is left out."""

MOST_VOXELS = 32767
"""Along an axis: NIfTI-1 counts them in 16 bits."""

_OTHERS = (
    *(".mgz", ".mgh", ".img", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".dcm", ".ima"),
    *(".h5", ".hdf5", ".npy", ".npz", ".mat", ".json", ".png", ".tif", ".tiff", ".gz", ".zip"),
)
_NAMED = 3  # scans, before they are counted


@dataclass(frozen=True)
class Job:
    """One scan and where its result goes.

    Args:
        scan: The file.
        folder: Where the result goes.
        root: The folder of all results that it lies in, None if it goes beside its scan.
        name: What it is to be called; empty to derive it from the scan's name.
        dataset: The BIDS data set that the scan was found in, None outside of one.
        plane: The plane it is cut along; ``auto`` until its header has been read.
        contrast: What it shows, as its sidecar or its name says.
        doubled: Whether the result has twice the matrix.
    """

    scan: Path
    folder: Path
    root: Path | None = None
    name: str = ""
    dataset: Path | None = None
    plane: PlaneChoice = "auto"
    contrast: Contrast = contrast.UNKNOWN
    doubled: bool = True

    def target(self, architecture: str, uncertainty: bool) -> Target:
        """The files that a network of that architecture will make."""

        def name(label: str) -> str:
            return derivatives.result_name(self.scan, label, doubled=self.doubled)

        image = self.name or name(architecture)
        spread = (
            derivatives.result_name(Path(self.name), "uncertainty")
            if self.name
            else name(f"{architecture}Uncertainty")
        )
        return Target(self.folder / image, self.folder / spread if uncertainty else None)


@dataclass(frozen=True)
class Worklist:
    """What is to be done.

    Args:
        jobs: The scans; all headers are sound and no two results have one name.
        faults: Of scans that cannot be enhanced, one each.
        left_out: Files that were found and are no scans to be enhanced.
    """

    jobs: tuple[Job, ...]
    faults: tuple[BadInputError, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def summary(self, model: str) -> list[str]:
        """Which scans a MODEL is used for, a line for each contrast."""
        groups: dict[str, list[str]] = {}
        for job in self.jobs:
            groups.setdefault(str(job.contrast), []).append(job.scan.name)
        return [
            f"model {model}: {', '.join(scans) if len(scans) <= _NAMED else f'{len(scans)} scans'} "
            f"(contrast {contrast})"
            for contrast, scans in groups.items()
        ]


def make_worklist(
    given: Sequence[Path],
    out: Path | None = None,
    config: EnhanceConfig | None = None,
    *,
    modality: str = "",
    participants: Collection[str] = (),
    allow_missing: bool = False,
) -> Worklist:
    """Find scans, check their headers and decide where their results go.

    Args:
        given: NIfTI files, folders, BIDS data sets and patterns.
        out: A folder, or for a single scan a ``.nii`` or ``.nii.gz`` file. None: beside a scan
            that was named itself, and in ``derivatives/srmri-tf`` of a folder.
        config: What will be made of them.
        modality: Keep only scans of this modality.
        participants: Keep only scans of these labels, with or without ``sub-``; empty: of all.
        allow_missing: Leave out scans whose content is not here, instead of refusing them.

    Raises:
        BadInputError: There is no scan, or none with a suitable header; all such scans are named.
        ConfigError: Two results would have one name or go into one file, or two BIDS data sets
            would become one.
    """
    folder, name = _place_for(out)
    config = config or EnhanceConfig()
    found: dict[Path, Job] = {}
    named: set[Path] = set()
    left_out: list[LeftOut] = []
    for source in map(Path, given):
        for job in (
            _in_folder(source, folder, left_out)
            if source.is_dir()
            else _named(source, folder, left_out)
        ):
            doubled = dataclasses.replace(job, doubled=not config.same_grid)
            found.setdefault(place(job.scan), doubled)
            if source.is_file():
                named.add(place(job.scan))
    chosen = _without_results(found, named, left_out)
    chosen = _of_participants(chosen, participants)
    chosen = _of_modality(_described(chosen), modality, left_out)
    chosen = _only(chosen, sources.usable([job.scan for job in chosen], allow_missing), left_out)
    sources.refuse_none(chosen, left_out)
    if name:
        if len(chosen) > 1:
            raise ConfigError(
                f"is one file, but there are {len(chosen)} scans",
                path=out,
                remedy="Give a folder for -o",
            )
        chosen = [dataclasses.replace(chosen[0], root=None, name=name)]
    _refuse_clashes(chosen)
    sound, faults = _checked(chosen, config)
    if not sound:
        raise_together(faults)
    return Worklist(tuple(sound), tuple(faults), tuple(left_out))


def name_warnings(job: Job) -> list[str]:
    """What a scan's name and sidecar say that a person should know, a clause each."""
    texts = [f"is itself a {RESULT}, not a scan"] if choosing.is_result(job.scan) else []
    return [*texts, job.contrast.warning] if job.contrast.warning else texts


def _place_for(out: Path | None) -> tuple[Path | None, str]:
    """The folder that results go to, None if none is given, and the name of a single one.

    Raises:
        ConfigError: It is neither a folder nor a name for a NIfTI file.
    """
    if out is None or out.is_dir():
        return out, ""
    if nifti.is_nifti(out):
        return out.parent, out.name
    if out.exists():
        raise ConfigError("is a file, not a folder", path=out, remedy="Choose another -o")
    if out.name.lower().endswith(_OTHERS):
        raise ConfigError(
            "is no name for a result, which is a NIfTI file: .nii or .nii.gz",
            path=out,
            remedy="Choose another -o; a folder must not be called like an image",
        )
    return out, ""


def place(path: Path) -> Path:
    """Where a file is, however it is called; one that is a link is not what it points to."""
    return path.parent.resolve() / path.name


def _named(source: Path, out: Path | None, left_out: list[LeftOut]) -> Iterator[Job]:
    """A file, or those that a pattern matches."""
    listing = sources.listing(source)
    left_out += listing.left_out
    for scan in listing.scans:
        yield Job(scan, out or scan.parent, out)


def _without_results(
    found: Mapping[Path, Job], named: Collection[Path], left_out: list[LeftOut]
) -> list[Job]:
    """The jobs without results of this program, but for named ones that are of no other job."""
    ours = {path for path, job in found.items() if choosing.is_result(job.scan)}
    made = {
        place(folder / image.name)
        for job in found.values()
        for kind in CONFIGS
        for doubled in (True, False)
        for image in dataclasses.replace(job, doubled=doubled).target(kind, uncertainty=True).images
        for folder in (job.folder, job.scan.parent)
    }
    kept = ours & (set(named) - made)
    left_out += [LeftOut(path, RESULT) for path in ours - kept]
    scans = [job.scan for path, job in found.items() if path not in ours]
    listing = choosing.sort_out(scans)
    listing.scans.extend(found[path].scan for path in kept)
    return _only(found.values(), listing, left_out)


def _only(jobs: Iterable[Job], listing: Listing, left_out: list[LeftOut]) -> list[Job]:
    """The jobs whose scans are listed; what is left out of the list is noted."""
    left_out += listing.left_out
    kept = set(listing.scans)
    return [job for job in jobs if job.scan in kept]


def _described(jobs: Iterable[Job]) -> list[Job]:
    """The same jobs, each with its contrast."""
    return [
        dataclasses.replace(
            job, contrast=contrast.contrast_of(job.scan, names.read_name(job.scan).modality)
        )
        for job in jobs
    ]


def _in_folder(source: Path, out: Path | None, left_out: list[LeftOut]) -> Iterator[Job]:
    """The scans of a folder, and the same folders below ``out``: those of the whole data set."""
    dataset = folders.dataset_of(source)
    base = dataset or source
    root = out or base / DERIVATIVES
    here, there = source.resolve(), root.resolve()
    inside = there != here and there.is_relative_to(here)
    scans, listing = [], sources.listing(source)
    left_out += listing.left_out
    for scan in listing.scans:
        if inside and Path(os.path.realpath(scan)).is_relative_to(there):
            continue
        if nifti.is_volume(scan):
            scans.append(scan)
        else:
            left_out.append(LeftOut(scan, KSPACE))
    if not scans:
        raise BadInputError(
            "holds no scan to enhance", path=source, remedy="Give NIfTI, MGH, Analyze or NRRD files"
        )
    for scan in scans:
        converted = not scan.is_relative_to(base)
        below = root if converted else root / scan.parent.relative_to(base)
        yield Job(scan, below, root, dataset=dataset)


def _of_participants(jobs: list[Job], wanted: Collection[str]) -> list[Job]:
    """The jobs of some subjects; all of them if none is asked for."""
    labels = {label.removeprefix("sub-") for label in wanted}
    if not labels:
        return jobs
    subjects = {job: names.read_name(job.scan).subject.removeprefix("sub-") for job in jobs}
    if missing := labels - set(subjects.values()):
        seen = ", ".join(sorted(set(subjects.values()))) or "none"
        raise BadInputError(
            f"no scan of participant {', '.join(sorted(missing))}; participants found: {seen}",
            remedy="Check --participant-label",
        )
    return [job for job in jobs if subjects[job] in labels]


def _of_modality(jobs: list[Job], modality: str, left_out: list[LeftOut]) -> list[Job]:
    """The jobs of one contrast; all of them if none is asked for."""
    sources.refuse_none(jobs, left_out)
    wanted = contrast.normal(modality)
    chosen = [job for job in jobs if not wanted or job.contrast.label == wanted]
    if not chosen:
        seen = ", ".join(sorted({job.contrast.label or "unnamed" for job in jobs}))
        raise BadInputError(
            f"no scan of modality {modality}: the {len(jobs)} found are of {seen}",
            remedy="Check --modality",
        )
    if wanted:
        unknown = [job.scan for job in jobs if not job.contrast.label]
        left_out += [LeftOut(scan, choosing.UNKNOWN) for scan in unknown]
    return chosen


def _refuse_clashes(jobs: Sequence[Job]) -> None:
    taken: dict[str, Job] = {}
    for job in jobs:
        image = job.target("any", uncertainty=False).image.absolute()
        # Some file systems do not tell cases apart, and x.nii has the sidecar of x.nii.gz.
        other = taken.setdefault(str(Target(image).sidecar).lower(), job)
        if other is not job:
            raise ConfigError(
                f"the results of {other.scan} and {job.scan} would have one name in {job.folder}",
                remedy="Give them one by one with an -o each, or the folder that holds both",
            )
    datasets = {(job.root, job.dataset) for job in jobs if job.dataset is not None}
    for root in {root for root, _ in datasets}:
        several = sorted(str(dataset) for its, dataset in datasets if its == root)
        if len(several) > 1:
            raise ConfigError(
                f"would hold results of several BIDS data sets: {', '.join(several)}",
                path=root,
                remedy="Give each an -o of its own, or no -o",
            )


def _checked(jobs: Sequence[Job], config: EnhanceConfig) -> tuple[list[Job], list[BadInputError]]:
    """Jobs whose headers are sound, with the plane that these decide, and the others' faults."""
    sound, faults = [], []
    for job in jobs:
        try:
            _check_name(job)
            sound.append(dataclasses.replace(job, plane=_plane(job.scan, config)))
        except BadInputError as error:
            faults.append(error)
    return sound, faults


def _check_name(job: Job) -> None:
    """Refuse a scan whose result would get a longer name than the file system allows."""
    limit = longest_name(job.folder)
    targets = [job.target(kind, uncertainty=True) for kind in CONFIGS]
    files = [path for target in targets for path in (*target.images, *target.sidecars)]
    longest = max((path.name for path in files), key=lambda name: len(os.fsencode(name)))
    if len(os.fsencode(longest)) > limit:
        raise BadInputError(
            f"its result would have a name of {len(os.fsencode(longest))} bytes, but {limit} are "
            f"allowed in {job.folder}",
            path=job.scan,
            remedy="Rename it, or give -o NAME.nii.gz",
        )


def _plane(scan: Path, config: EnhanceConfig) -> AnatomicalPlane:
    """How a scan is to be cut, decided here once; refuses results too large for a file."""
    geometry = nifti.read_geometry(scan)
    shape = geometry.shape
    found = find_slicing(geometry.affine, config.plane, slice_axis=geometry.slice_axis, path=scan)
    size = 4 * math.prod(shape) * geometry.volumes * config.factor**2
    longest = config.factor * max(shape[axis] for axis in found.in_plane)
    if size > MAX_BYTES or longest > MOST_VOXELS:
        raise BadInputError(
            f"would become a volume of {size} bytes with sides of up to {longest} voxels, got "
            f"shape {shape}; the limits are {MAX_BYTES} and {MOST_VOXELS}",
            path=scan,
            remedy="Crop it, or give --same-grid if it is interpolated already",
        )
    return found.plane
