"""A volume in, a finer volume out: arrays in storage order, no files.

A truly low-resolution volume is zero-filled in k-space to twice the in-plane matrix, in storage
order, so that its first voxel stays where it is; the network then sees each slice as it saw those
it was trained on. Nothing is resampled, and a few slices are in the network at a time: of them the
box around the head, and outside of it the zero-filled values are kept.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.kspace import band_limited, consistent, consistent_with_scan, upsampled
from data_prep.scans import coverage
from data_prep.scans.intensity import intensity_scale
from data_prep.scans.orientation import Slicing, find_slicing
from srmri_tf.enhance import tiles
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.models import head
from srmri_tf.models.plausible import implausible

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from srmri_tf.models.model import Network
    from srmri_tf.networks.registry import SuperResolve

PIXELS = 4 * 256 * 256
"""So many pixels of several slices go through a network together."""

THREADS = 2
"""So many groups of slices at a time: while one is in the network, others are transformed."""

MAX_IMPLAUSIBLE = 0.5
"""A scan is refused where the output is implausible in more than this part of the head."""

WARN_IMPLAUSIBLE = 1e-4
"""A person is warned from this part of the head on: a few pixels are nothing to look for."""

NOT_INTERPOLATED = 0.75
"""K-space that is filled further along an axis was not interpolated to twice the matrix."""

INTERPOLATED = 0.6
"""K-space that is filled no further along both axes was interpolated to about twice the matrix."""

_LARGEST = float(np.finfo(np.float32).max)

Progress = Callable[[int, int], None]
Transform = tuple[bool, bool, bool]


@dataclass(frozen=True, eq=False)
class Enhanced:
    """An enhanced volume.

    Args:
        voxels: ``(X, Y, Z)`` float32 in the storage order and intensity units of the scan.
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        slicing: How the volume was cut into slices.
        implausible: Part of the boxes around the heads where the network's output is implausible
            (`srmri_tf.models.plausible`), so that the zero-filled values were kept.
        uncertainty: Standard deviation of each voxel over the eight flips and transposes of its
            slice, in the scan's units; None if it was not asked for.
    """

    voxels: np.ndarray
    affine: np.ndarray
    slicing: Slicing
    implausible: float = 0.0
    uncertainty: np.ndarray | None = None


def enhance_volume(
    network: "Network",
    voxels: np.ndarray,
    affine: np.ndarray,
    config: EnhanceConfig | None = None,
    *,
    path: Path | None = None,
    slicing: Slicing | None = None,
    progress: Progress | None = None,
) -> Enhanced:
    """Enhance a volume.

    Args:
        network: From `srmri_tf.models.model.load_network`.
        voxels: ``(X, Y, Z)`` float, finite, magnitudes in any scale, in any storage order.
        affine: ``(4, 4)``, voxel indices to RAS+ mm.
        config: What to make of it; by default a low-resolution scan's matrix is doubled.
        path: Named in errors.
        slicing: How the volume is cut, where a header has decided; None: by the affine.
        progress: Called with (finished, total) slices.

    Raises:
        BadInputError: The volume is no magnitude image, its slices are too small, its
            intensities too large, or the network's output is implausible nearly everywhere.
        CorruptArtefactError: The network gives values that are not finite.
    """
    config = config or EnhanceConfig()
    scale = volume_scale(voxels, path)
    found = slicing or find_slicing(affine, config.plane, path=path)
    stack = found.stack(voxels)
    _check_sides(stack.shape[1:], config.factor, path)
    shape, steps = list(voxels.shape), np.ones(4)
    for axis in found.in_plane:
        shape[axis] *= config.factor
        steps[axis] = 1 / config.factor
    count = 2 if config.uncertainty else 1
    volumes = [np.empty(shape, np.float32, order="F") for _ in range(count)]
    views = [found.stack(volume) for volume in volumes]
    super_resolver = _Enhancer(network, found, config)

    def super_resolve(chunk: slice) -> int:
        images = super_resolver(stack[chunk] / np.float32(scale))
        for view, image in zip(views, images, strict=True):
            if max(-float(image.min()), float(image.max())) * scale > _LARGEST:
                raise BadInputError(
                    f"becomes brighter than {_LARGEST:.2g}, the largest number of 32 bits",
                    path=path,
                    remedy="Divide its intensities by a number",
                )
            np.multiply(image, np.float32(scale), out=view[chunk])
        return min(chunk.stop, len(stack))

    together = max(1, PIXELS // (stack[0].size * config.factor**2))
    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(super_resolve, _chunks(len(stack), together)):
            if progress:
                progress(done, len(stack))
    if (part := super_resolver.implausible) > MAX_IMPLAUSIBLE:
        raise BadInputError(
            f"gets implausible outputs from model {network.name} in {part:.0%} of the head",
            path=path,
            remedy="Give another --model",
        )
    return Enhanced(volumes[0], affine @ np.diag(steps), found, part, *volumes[1:])


def volume_scale(voxels: np.ndarray, path: Path | None = None) -> float:
    """The intensity that becomes 1: the maximum, or 1 for a volume that is zero everywhere.

    Raises:
        BadInputError: It is no magnitude image.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low == high >= 0:  # nothing to see, and nothing to refuse
        return high or 1.0
    return intensity_scale(voxels, path)


def out_of_range(
    network: "Network", voxels: np.ndarray, affine: np.ndarray, found: Slicing, factor: int
) -> list[str]:
    """What of a volume is far from what a network met in training; empty if it has no card.

    Args:
        network: Its card has the figures.
        voxels: ``(X, Y, Z)``.
        affine: ``(4, 4)`` of those, in mm.
        found: How they are cut.
        factor: How many times as fine the enhanced grid is.
    """
    if network.card is None:
        return []
    from srmri_tf.models.card import head_statistics

    sizes = voxel_sizes(affine)
    in_plane = [float(sizes[axis]) / factor for axis in found.in_plane]
    across = float(sizes[found.axes[0]])
    return network.card.ranges.out_of_range(in_plane, across, head_statistics(voxels))


def wrong_grid_warning(voxels: np.ndarray, found: Slicing, factor: int) -> str:
    """What a person should know of a scan that was interpolated, or was not; empty if all is well.

    Args:
        voxels: ``(X, Y, Z)``.
        found: How they are cut.
        factor: How many times as fine the enhanced grid is: 1 is for interpolated scans.
    """
    stack = found.shown(found.stack(voxels))
    if min(stack.shape[1:]) < coverage.LEAST:
        return ""
    rows, columns = coverage.of_images(stack)
    filled = (
        f"has its k-space filled to {rows:.2f} of Nyquist along rows and {columns:.2f} along "
        "columns"
    )
    if factor == 1 and max(rows, columns) > NOT_INTERPOLATED:
        return (
            f"{filled}, but --same-grid is for scans that were interpolated to twice the matrix, "
            "whose k-space is filled to 0.50: enhance it without --same-grid"
        )
    if factor > 1 and max(rows, columns) <= INTERPOLATED:
        return (
            f"{filled}: it was interpolated to about twice the matrix, and without --same-grid the "
            "empty part of k-space stays empty: enhance it with --same-grid"
        )
    return ""


def implausible_warning(part: float, name: str) -> str:
    """What a person should know of a result that has zero-filled values in a head; empty if few.

    Args:
        part: `Enhanced.implausible`.
        name: Of the model.
    """
    if part < WARN_IMPLAUSIBLE:
        return ""
    return (
        f"has what model {name} was not trained for, such as single bright pixels: in {part:.2%} "
        "of the head its output is implausible, and the zero-filled values were kept"
    )


class _Slices(NamedTuple):
    """A few slices on their way to the network.

    Args:
        scan: ``(S, A, B)`` as they are stored, scaled to the volume's maximum.
        zero_filled: ``(S, H, W)`` as a person sees them, as are the others.
        seen: What of that the network gets; the rest is added to its output.
        mask: ``(S, A, B)`` bool, where the heads are.
    """

    scan: np.ndarray
    zero_filled: np.ndarray
    seen: np.ndarray
    mask: np.ndarray


class _Enhancer:
    """A few stored slices at a time, scaled to a maximum of 1.

    Args:
        network: What enhances them.
        found: How they are cut.
        config: What to make of them.
    """

    def __init__(self, network: "Network", found: Slicing, config: EnhanceConfig) -> None:
        self._network = replace(network, super_resolve=_one_at_a_time(network.super_resolve))
        self._slicing, self._config = found, config
        self._counts: list[tuple[int, int]] = []  # pixels in boxes, and implausible

    @property
    def implausible(self) -> float:
        """`Enhanced.implausible`, of all turns so far."""
        pixels = sum(inside for inside, _ in self._counts)
        return sum(refused for _, refused in self._counts) / max(1, pixels)

    def __call__(self, scan: np.ndarray) -> list[np.ndarray]:
        """Enhance ``(S, A, B)`` slices: the result and, if asked for, its uncertainty."""
        slices = self._prepared(scan)
        enhanced = self._turned(slices, (False, False, False))
        if not (self._config.uncertainty or self._config.ensemble):
            return [enhanced]
        first, second = np.zeros_like(enhanced), np.zeros_like(enhanced)
        for turn in _TURNS[1:]:
            change = self._turned(slices, turn) - enhanced
            first += change
            second += change * change
        mean = first / len(_TURNS)  # of the changes
        # Turns that disagree in a sign have a mean that is not what was measured.
        images = [self._put_back(enhanced + mean, scan) if self._config.ensemble else enhanced]
        if self._config.uncertainty:
            variance = second / len(_TURNS) - np.square(mean)
            images.append(np.sqrt(np.maximum(variance, 0, out=variance)))
        return images

    def _prepared(self, scan: np.ndarray) -> _Slices:
        """What the network gets of ``(S, A, B)`` slices.

        On a grid that is kept k-space may hold what no image had that the network was trained on:
        noise that was added later, the edge of a mask. Its output for that is arbitrary, and can be
        a thousand times as large. So it gets the centre of k-space alone.
        """
        degradation = self._network.degradation
        images = np.maximum(scan, 0) if degradation.is_magnitude else scan  # as in training
        if not self._config.same_grid:
            images = upsampled(images)
        if degradation.is_magnitude:
            images = np.abs(images)
        zero_filled = seen = self._shown(images)
        if self._config.same_grid and degradation.lr != "magnitude":
            seen = self._shown(band_limited(images, degradation))
        return _Slices(scan, zero_filled, seen, self._slicing.shown(head.head_mask(scan)))

    def _turned(self, slices: _Slices, turn: Transform) -> np.ndarray:
        """The network's output for the heads of slices that are turned first, turned back.

        Slices go through it together, so what it gets is the box around all of their heads. Each
        keeps its zero-filled values outside its own box, whichever slices went with it, and where
        the output is implausible.
        """
        images, seen = slices.zero_filled, slices.seen
        box = head.box_around(slices.mask, self._config.factor)
        if box is not None:
            turned = np.ascontiguousarray(_turn(seen, turn))
            output = tiles.tiled(
                self._network, turned, tiles.TILE, _turn_box(box, seen.shape[1:], turn)
            )
            output = _turn_back(output, turn)
            if not np.isfinite(output).all():
                raise CorruptArtefactError(
                    f"model {self._network.name} gives values that are not finite",
                    remedy="Train it again, or give another --model",
                )
            inside = head.in_boxes(slices.mask, self._config.factor)
            refused = inside & implausible(output - seen, seen)
            self._counts.append((int(inside.sum()), int(refused.sum())))
            if seen is not images:
                output = output + (images - seen)
            images = np.where(inside & ~refused, output, images)
        enhanced = self._stored(images)
        if self._config.same_grid and self._network.degradation.is_magnitude:
            enhanced = enhanced + np.minimum(slices.scan, 0)
        return self._put_back(enhanced, slices.scan)

    def _put_back(self, enhanced: np.ndarray, scan: np.ndarray) -> np.ndarray:
        """Slices with the measured centre of k-space, unless the network's is to be kept."""
        if not self._config.puts_back:
            return enhanced
        put_back = consistent if self._config.same_grid else consistent_with_scan
        return put_back(enhanced, scan, self._network.degradation)

    def _shown(self, stored: np.ndarray) -> np.ndarray:
        """Stored slices as a person sees them, on the same grid whichever way they are stored.

        The finer grid begins at the first voxel that is stored. Where that is the last one seen, it
        lies one pixel further on; k-space makes images periodic, so they are rolled back.
        """
        return np.roll(self._slicing.shown(stored), [-n for n in self._offset()], axis=(1, 2))

    def _stored(self, shown: np.ndarray) -> np.ndarray:
        """The inverse of `_shown`."""
        return self._slicing.stored(np.roll(shown, self._offset(), axis=(1, 2)))

    def _offset(self) -> tuple[int, int]:
        """Pixels along rows and columns between the two grids."""
        _, rows, columns = self._slicing.flipped
        finer = not self._config.same_grid
        return int(finer and rows), int(finer and columns)


def _one_at_a_time(super_resolve: "SuperResolve") -> "SuperResolve":
    """The same function, which threads wait for: it takes most memory, and every core."""
    lock = threading.Lock()

    def alone(images: np.ndarray) -> np.ndarray:
        with lock:
            return super_resolve(images)

    return alone


_TURNS: tuple[Transform, ...] = tuple(product((False, True), repeat=3))  # type: ignore[arg-type]


def _turn(images: np.ndarray, turn: Transform) -> np.ndarray:
    """Flip rows, flip columns, transpose."""
    rows, columns, transpose = turn
    images = images[:, :: -1 if rows else 1, :: -1 if columns else 1]
    return images.swapaxes(1, 2) if transpose else images


def _turn_box(box: head.Box, sides: Sequence[int], turn: Transform) -> head.Box:
    """Where a box of images of these sides lies in the turned ones."""
    rows, columns = (
        slice(side - part.stop, side - part.start) if flip else part
        for part, side, flip in zip(box, sides, turn[:2], strict=True)
    )
    return (columns, rows) if turn[2] else (rows, columns)


def _turn_back(images: np.ndarray, turn: Transform) -> np.ndarray:
    rows, columns, transpose = turn
    images = images.swapaxes(1, 2) if transpose else images
    return images[:, :: -1 if rows else 1, :: -1 if columns else 1]


def _chunks(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, step))


def _check_sides(sides: Sequence[int], factor: int, path: Path | None) -> None:
    from srmri_tf.models.stored import MIN_SIDE

    if min(sides) * factor < MIN_SIDE:
        raise BadInputError(
            f"has slices of {sides[0]} x {sides[1]} voxels, but a network needs at least "
            f"{-(-MIN_SIDE // factor)} a side",
            path=path,
            remedy="Give whole slices, or another --plane",
        )
