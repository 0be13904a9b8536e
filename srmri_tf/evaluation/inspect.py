"""What to see before training: how good the input already is, and what it looks like."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_prep.errors import BadInputError
from data_prep.files import atomic_file
from data_prep.kspace import Degradation, kept_box
from data_prep.scans import coverage
from data_prep.scans.coverage import Coverage
from data_prep.scans.orientation import Volume
from data_prep.shards.files import WholeSlice, whole_slices
from data_prep.shards.schema import SPLITS, Manifest, Shard
from srmri_tf import metrics
from srmri_tf.data.dataset import refuse_small
from srmri_tf.evaluation.figure import in_plain_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALL = "all"


class Baseline(NamedTuple):
    """The low-resolution input's own quality in one split: means over subjects.

    Args:
        split: Which one.
        contrast: ``all``, or that of the scans measured.
        subjects: How many.
        slices: How many of them show tissue.
        means: ``psnr`` and ``ssim``.
    """

    split: str
    contrast: str
    subjects: int
    slices: int
    means: dict[str, float]


def baselines(
    folder: Path,
    manifest: Manifest,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Baseline]:
    """The quality of the low-resolution input in every split that has shards.

    Args:
        folder: The shard folder.
        manifest: Its manifest.
        progress: Called with (finished, total, shard) after each shard.

    Returns:
        For each split, and each contrast of it where there are several, the mean over subjects of
        each subject's mean over slices.

    Raises:
        BadInputError: A shard's slices are too small to be measured.
    """
    refuse_small(folder, manifest.shards)
    found: dict[tuple[str, str], dict[str, list[list[float]]]] = {}
    several = len(manifest.contrasts) > 1
    for done, shard in enumerate(manifest.shards, start=1):
        rows = [
            [metrics.psnr(pair.lr, pair.hr), metrics.ssim(pair.lr, pair.hr)]
            for pair in whole_slices(folder, shard)
            if not metrics.is_background(pair.hr)
        ]
        for contrast in [ALL, shard.contrast or "unknown"] if several else [ALL]:
            subjects = found.setdefault((shard.split, contrast), {})
            subjects.setdefault(shard.subject, []).extend(rows)
        if progress:
            progress(done, len(manifest.shards), shard.file)
    order = sorted(found, key=lambda key: (SPLITS.index(key[0]), key[1] != ALL, key[1]))
    return [_baseline(*key, found[key]) for key in order]


class Filled(NamedTuple):
    """How far the k-space of a scan is filled, and the grid that it is prepared on."""

    source: str
    rows: float
    columns: float
    matrix: str
    spacing: str


def filled(folder: Path, manifest: Manifest) -> list[Filled]:
    """How far k-space is filled, scan by scan, as they were stored.

    Of shards whose manifest does not say, what they hold is measured.

    Args:
        folder: The shard folder.
        manifest: Its manifest.
    """
    shards = {(shard.source, shard.source_sha256): shard for shard in reversed(manifest.shards)}
    found = []
    for (source, _), shard in sorted(shards.items()):
        rows, columns = shard.filled or _measured(folder, shard)
        matrix = f"{shard.slice_height} x {shard.slice_width}"
        spacing = " x ".join(f"{size:.3g}" for size in shard.spacing)
        found.append(Filled(source, rows, columns, matrix, spacing))
    return found


def _measured(folder: Path, shard: Shard) -> Coverage:
    images = [pair.hr for pair in whole_slices(folder, shard)]
    if not images:
        return Coverage(math.nan, math.nan)
    return coverage.measure(Volume(np.stack(images), shard.spacing, shard.source_sha256))


@in_plain_style
def contact_sheet(folder: Path, manifest: Manifest, path: Path, most: int = 6) -> None:
    """Draw the middle slices of some scans of every split: LR, HR, their difference, k-space.

    Of HR's k-space the logarithm of its energy is shown, and the box that LR keeps of it.

    Args:
        folder: The shard folder.
        manifest: Its manifest.
        path: The PNG to write.
        most: How many scans to show.

    Raises:
        BadInputError: No shard has records.
        EnvironmentFault: The picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = _spread(manifest.shards, most)
    if not chosen:
        raise BadInputError(
            "has nothing to show: every patch was left out",
            path=folder,
            remedy="Prepare with a lower --min-signal or more --max-slices",
        )
    figure = Figure(figsize=(12, 3.2 * len(chosen)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(chosen), 4, squeeze=False)
    for row, shard in zip(axes, chosen, strict=True):
        pair = _middle(folder, shard)
        aspect = shard.spacing[0] / shard.spacing[1]
        for axis, image, title, limit in (
            (row[0], pair.lr, "low resolution", float(pair.hr.max())),
            (row[1], pair.hr, "high resolution", float(pair.hr.max())),
            (row[2], np.abs(pair.lr - pair.hr), "|difference| x 5", float(pair.hr.max()) / 5),
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=limit or 1, aspect=aspect)
            axis.set_title(title, fontsize=9)
        _draw_kspace(row[3], pair.hr, manifest.parameters.degradation)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
        name = " ".join(part for part in (shard.subject, shard.session) if part)
        row[0].set_ylabel(f"{shard.split}: {name}\nslice {pair.number}", fontsize=8)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})


def _draw_kspace(axis: "Axes", image: np.ndarray, degradation: Degradation) -> None:
    """Draw log energy of k-space, DC in the middle, and the kept box."""
    from matplotlib.patches import Rectangle

    spectrum = np.fft.fftshift(np.fft.fft2(image))
    decibels = 20 * np.log10(np.maximum(np.abs(spectrum), 1e-6))
    low, high = np.percentile(decibels, (1, 99.5))
    axis.imshow(decibels, cmap="gray", vmin=low, vmax=max(high, low + 1), aspect="auto")
    rows, columns = kept_box((image.shape[0], image.shape[1]), degradation)
    corner = columns.start - 0.5, rows.start - 0.5
    size = columns.stop - columns.start, rows.stop - rows.start
    axis.add_patch(Rectangle(corner, *size, fill=False, color="tab:orange", linewidth=0.8))
    axis.set_title("k-space, and the box that is kept", fontsize=9)
    axis.set_box_aspect(image.shape[0] / image.shape[1])


def _baseline(split: str, contrast: str, subjects: dict[str, list[list[float]]]) -> Baseline:
    measured = [rows for rows in subjects.values() if rows]
    means = np.mean([np.mean(rows, axis=0) for rows in measured], axis=0) if measured else []
    return Baseline(
        split,
        contrast,
        len(measured),
        sum(len(rows) for rows in measured),
        {name: float(value) for name, value in zip(("psnr", "ssim"), means, strict=False)},
    )


def _spread(all_shards: Sequence[Shard], most: int) -> list[Shard]:
    """Some shards of every split, taking turns."""
    queues = [
        [shard for shard in all_shards if shard.split == split and shard.records]
        for split in SPLITS
    ]
    turns = [shard for turn in range(most) for queue in queues for shard in queue[turn : turn + 1]]
    chosen = {shard.file for shard in turns[:most]}
    return [shard for queue in queues for shard in queue if shard.file in chosen]


def _middle(folder: Path, shard: Shard) -> WholeSlice:
    """The middle one of the slices that have records."""
    pairs = list(whole_slices(folder, shard))
    return pairs[len(pairs) // 2]
