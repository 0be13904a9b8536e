"""`enhance`: scans enhanced into files that overlay on them, one after the other.

An interrupted call is continued by the same one: results that are there, made of the same scan by
the same model and settings, are left alone. Where all of them are, TensorFlow is not imported,
unless it takes TensorFlow to read the model (`srmri_tf.models.stored`).
"""

import contextlib
import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import voxel_sizes

from data_prep.errors import BadInputError, ConfigError, raise_together
from data_prep.files import clear, lock
from data_prep.scans import choosing, nifti
from data_prep.scans.nifti_header import refined
from data_prep.scans.orientation import Slicing, find_slicing
from srmri_tf.enhance import derivatives
from srmri_tf.enhance.acquisition import acquisition_of
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.derivatives import Target
from srmri_tf.enhance.volume import (
    enhance_volume,
    implausible_warning,
    out_of_range,
    wrong_grid_warning,
)
from srmri_tf.enhance.worklist import Job, Worklist, name_warnings, place
from srmri_tf.models.stored import check_degradation, read

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from srmri_tf.models.card import ModelCard
    from srmri_tf.models.model import Network

Progress = Callable[[int, int, str], None]

_COMPARE = "look at the scan itself before you rely on anything in the result"


@dataclass(frozen=True)
class Result:
    """The files of one scan.

    Args:
        target: Their names.
        fresh: Whether they were made now, and not by an earlier call.
        job: What was to be done.
        model: The MODEL that does it.
        card: What is known of that model, if it has a card.
    """

    target: Target
    fresh: bool
    job: Job
    model: str
    card: "ModelCard | None" = None


def enhance(
    worklist: Worklist,
    config: EnhanceConfig | None = None,
    *,
    overwrite: bool = False,
    pages: bool = False,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
    before_networks: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Enhance scans one by one.

    Args:
        worklist: From `srmri_tf.enhance.worklist.make_worklist`.
        config: What to make of them, and with what.
        overwrite: Replace whatever is where a result goes.
        pages: HTML pages will be written beside the results: their names must be free.
        progress: Called with finished slices, all slices and the name of a scan.
        warn: Called with what a person should know.
        before_networks: Called once before networks are built, which imports TensorFlow.

    Yields:
        The results, each as soon as it is there.

    Raises:
        BadInputError: There is no such model, or scans are damaged; the others were enhanced.
        ConfigError: Something else is where a result goes; nothing was written.
        CorruptArtefactError: The model is damaged.
        EnvironmentFault: The disk is full.
    """
    say = warn or (lambda text: None)
    work = _Work(worklist, config or EnhanceConfig(), overwrite, pages=pages)
    faults = list(worklist.faults)
    with _tidied(worklist):
        finished = [work.is_finished(job) for job in worklist.jobs]
        if not all(finished):
            if before_networks:
                before_networks()
            work.build()
        for number, (job, done) in enumerate(zip(worklist.jobs, finished, strict=True), 1):
            label = f"{job.scan.name} ({number}/{len(worklist.jobs)})"
            try:
                if not done:
                    target = work.target(job).image
                    with lock(target.parent, target.name):
                        done = work.is_finished(job)  # by another call, since
                        if not done:
                            work.do(job, label, progress, say)
                _describe(job)
                yield work.result(job, fresh=not done)
            except BadInputError as error:
                faults.append(error)
    raise_together(faults)


def plan(
    worklist: Worklist,
    config: EnhanceConfig | None = None,
    *,
    overwrite: bool = False,
    pages: bool = False,
    warn: Callable[[str], None] | None = None,
) -> list[Result]:
    """What `enhance` would make, and which of it is there already; nothing is written.

    Takes what `enhance` takes. Its warnings are those that need no voxel.

    Raises:
        BadInputError: There is no such model, or scans cannot be used.
        ConfigError: Something else is where a result goes.
        CorruptArtefactError: The model is damaged.
    """
    say = warn or (lambda text: None)
    work = _Work(worklist, config or EnhanceConfig(), overwrite, pages=pages)
    results = [work.result(job, fresh=not work.is_finished(job)) for job in worklist.jobs]
    for result in results:
        for text in work.header_warnings(result.job) if result.fresh else ():
            say(f"{result.job.scan}: {text}")
    return results


class _Work:
    """The model, read once, and what is done with it."""

    _network: "Network"  # once it is built

    def __init__(
        self, worklist: Worklist, config: EnhanceConfig, overwrite: bool, *, pages: bool
    ) -> None:
        self._config, self._overwrite, self._pages = config, overwrite, pages
        self._scans = {place(job.scan) for job in worklist.jobs}
        self._stored = read(config.model)
        check_degradation(self._stored, config.model)
        for root, dataset in {(job.root, job.dataset) for job in worklist.jobs}:
            if root is not None:
                derivatives.check_folder(root, dataset, pages=pages)

    def build(self) -> None:
        """Build the network."""
        from srmri_tf.models.model import network_of

        self._network = network_of(self._stored, self._config.precision)

    def target(self, job: Job) -> Target:
        return job.target(self._stored.architecture, self._config.uncertainty)

    def result(self, job: Job, *, fresh: bool) -> Result:
        """What comes of a job."""
        return Result(self.target(job), fresh, job, self._config.model, self._stored.card)

    def is_finished(self, job: Job) -> bool:
        """Whether a result is there already; refuses to replace anything else."""
        target = self.target(job)
        if replaced := self._scans & {place(path) for path in target.images}:
            raise ConfigError(
                "is a scan to be enhanced, and would be replaced by a result",
                path=min(replaced),
                remedy="Give another -o",
            )
        # Names that are not the user's own are those of no scan.
        for path in target.images if job.name else ():
            if others := [scan for scan in _scans_beside(path) if not choosing.is_result(scan)]:
                raise ConfigError(
                    f"would have the sidecar of the scan {others[0].name}",
                    path=path,
                    remedy="Give another name for -o",
                )
        if self._pages:
            derivatives.check_page(target.page)
        there = any(path.exists() for path in (*target.images, *target.sidecars))
        if self._overwrite or not there:
            return False
        record = self._record(job, derivatives.checksum(job.scan))
        return derivatives.is_finished(target, record)

    def do(
        self, job: Job, label: str, progress: Progress | None, say: Callable[[str], None]
    ) -> None:
        """Enhance one scan and write what comes out."""
        config, network = self._config, self._network
        series = nifti.read_series(job.scan)
        found = find_slicing(series.affine, job.plane, path=job.scan)
        warnings = self.header_warnings(job) + _voxel_warnings(network, series, found, config)
        for text in warnings:
            say(f"{job.scan}: {text}")
        header, sizes = series.header, voxel_sizes(series.affine)
        if not config.same_grid:
            header = refined(header, found.in_plane, config.factor)
            sizes[list(found.in_plane)] /= config.factor
        record = acquisition_of(job.scan) | self._record(job, series.sha256)
        record |= {
            "Contrast": str(job.contrast),
            "SlicePlane": found.plane,
            "Warnings": warnings,
        }
        labelled = progress and _labelled(progress, label)
        images, part = _enhanced(network, series, found, config, labelled)
        if text := implausible_warning(part, network.name):
            say(f"{job.scan}: {text}")
            warnings.append(text)
        derivatives.write(self.target(job), images, header, sizes, record)
        every = job.target(self._stored.architecture, uncertainty=True)
        derivatives.remove_outdated(every, self.target(job), job.root)

    def header_warnings(self, job: Job) -> list[str]:
        """What a scan's name, sidecar and header say that a person should know, a clause each."""
        geometry = nifti.read_geometry(job.scan)
        texts = [*name_warnings(job), *geometry.doubts]
        card, label = self._stored.card, job.contrast.label
        if card is not None and label and label not in card.contrasts:
            texts.append(
                f"is {label} by its {job.contrast.source}, but model {self._stored.name} was "
                f"trained on {card.contrast}: it may change how tissue looks, so {_COMPARE}"
            )
        if not geometry.oriented:
            texts.append(
                f"has no orientation, as its sform and qform codes are 0; its slices are taken for "
                f"{job.plane} ones, and programs that centre such volumes will show the result "
                "shifted by a quarter voxel: find out from the examination which side is left"
            )
        return texts

    def _record(self, job: Job, sha256: str) -> dict[str, Any]:
        config, model = self._config, self._stored
        source = job.scan.name
        if job.dataset is not None:
            source = f"bids:raw:{job.scan.relative_to(job.dataset).as_posix()}"
        return derivatives.record_of(
            [source],
            sha256,
            {"Name": model.name, "Kind": model.architecture, "Sha256": model.sha256},
            {
                "SameGrid": config.same_grid,
                "Plane": config.plane,
                "Consistency": config.puts_back,
                "Ensemble": config.ensemble,
                "Uncertainty": config.uncertainty,
                "Precision": self._config.precision,
            },
        )


def _enhanced(
    network: "Network",
    series: nifti.Series,
    found: Slicing,
    config: EnhanceConfig,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[np.ndarray], float]:
    """A scan enhanced volume by volume.

    Returns:
        The enhanced scan and, if asked for, its uncertainty: ``(X, Y, Z)`` float32, or of a series
        ``(X, Y, Z, T)``. Then the part of the voxels at which the network's output is implausible.
    """
    images: list[np.ndarray] = []
    implausible = 0.0
    for number in range(series.volumes):
        result = enhance_volume(
            network,
            series.volume(number),
            series.affine,
            config,
            path=series.path,
            slicing=found,
            progress=progress and _of_several(progress, number, series.volumes),
        )
        implausible += result.implausible / series.volumes
        made = [image for image in (result.voxels, result.uncertainty) if image is not None]
        if series.volumes == 1:
            return made, implausible
        if not images:  # in the order of the file, and each volume once
            shape = (*result.voxels.shape, series.volumes)
            images = [np.empty(shape, np.float32, order="F") for _ in made]
        for image, volume in zip(images, made, strict=True):
            image[..., number] = volume
    return images, implausible


def _of_several(
    progress: Callable[[int, int], None], number: int, count: int
) -> Callable[[int, int], None]:
    """Progress in one of several volumes as that in all of them."""
    return lambda done, total: progress(number * total + done, count * total)


def _scans_beside(image: Path) -> list[Path]:
    """Other scans of the same folder whose names differ from an image's by the suffix alone."""
    found = image.parent.glob(f"{glob.escape(nifti.stem(image))}.*")
    return [path for path in found if nifti.is_volume(path) and place(path) != place(image)]


def _labelled(progress: Progress, label: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(done, total, label)


def _voxel_warnings(
    network: "Network", series: nifti.Series, found: Slicing, config: EnhanceConfig
) -> list[str]:
    """What a scan's voxels say that a person should know, a clause each."""
    texts, voxels = [], series.volume()
    if clauses := out_of_range(network, voxels, series.affine, found, config.factor):
        texts.append(
            f"is unlike the training data of model {network.name} ({'; '.join(clauses)}): what it "
            f"gains here was not measured, so {_COMPARE}"
        )
    if clause := wrong_grid_warning(voxels, found, config.factor):
        texts.append(clause)
    return texts


def _describe(job: Job) -> None:
    if job.dataset is not None and job.root is not None:
        derivatives.describe_dataset(job.root, job.dataset)


@contextlib.contextmanager
def _tidied(worklist: Worklist) -> Iterator[None]:
    """Clear what killed calls left in the folders of results, and remove new ones left empty."""
    folders = {job.folder for job in worklist.jobs if job.root is not None}
    above = {folder for inner in folders for folder in (inner, *inner.parents)}
    missing = sorted((f for f in above if not f.exists()), key=lambda f: -len(f.parts))
    try:
        for folder in folders:
            clear(folder)
        yield
    finally:
        for folder in missing:  # an error may have come before any result
            with contextlib.suppress(OSError):
                folder.rmdir()
