"""The paper's Figs 4 and 5 for our data: whole slice with a red box, and the box magnified."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from srmri_tf import metrics
from srmri_tf.dataset import SlicePair


class Example:
    """The slice that a figure shows: the one with the most signal, whoever wins on it."""

    def __init__(self) -> None:
        self.pair: SlicePair | None = None
        self.images: dict[str, np.ndarray] = {}

    def consider(self, pair: SlicePair, images: Mapping[str, np.ndarray]) -> None:
        """Keep this slice if it is brighter than the one kept so far.

        Args:
            pair: The slice.
            images: (H, W) images by method.
        """
        if self.pair is None or pair.hr.mean() > self.pair.hr.mean():
            self.pair = pair
            self.images = dict(images)


def busiest_box(lr: np.ndarray, hr: np.ndarray, side: int) -> tuple[int, int]:
    """First row and column of the square in which low resolution lost the most.

    Only the middle half of the head is searched: what lies at its rim is skin and neck.

    Args:
        lr: (H, W) low-resolution slice.
        hr: (H, W) truth.
        side: Side of the square in pixels.
    """
    lost = np.square(hr - lr)
    total = np.pad(lost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = (
        total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    )
    inside = np.zeros_like(boxes, bool)
    inside[tuple(_middle_half(hr, axis, side) for axis in (0, 1))] = True
    row, col = np.unravel_index(np.argmax(np.where(inside, boxes, -1)), boxes.shape)
    return int(row), int(col)


def _middle_half(hr: np.ndarray, axis: int, side: int) -> slice:
    """Starts along an axis of the boxes that are centred in the middle half of the tissue."""
    (tissue,) = np.nonzero((hr > metrics.AIR_LEVEL).any(axis=1 - axis))
    first, last = (tissue[0], tissue[-1]) if len(tissue) else (0, hr.shape[axis] - 1)
    quarter = (last - first) // 4
    start = min(max(first + quarter - side // 2, 0), hr.shape[axis] - side)
    return slice(start, max(last - quarter - side // 2, start) + 1)


def comparison(example: Example, path: Path) -> None:
    """Draw every method and the truth side by side, with PSNR and SSIM of the slice.

    Args:
        example: The slice to show.
        path: A PNG file.

    Raises:
        ValueError: ``example`` never saw a slice.
    """
    if example.pair is None:
        raise ValueError("An example needs a slice. Received: none")
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    hr = example.pair.hr
    side = max(16, min(hr.shape) // 5)
    row, col = busiest_box(example.pair.lr, hr, side)
    images = {**example.images, "truth": hr}
    figure = Figure(figsize=(3.2 * len(images), 6.9), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(images), squeeze=False)
    brightest = float(np.percentile(hr, 99.8))
    for column, (name, image) in enumerate(images.items()):
        window = image[row : row + side, col : col + side]
        for axis, shown in zip(axes[:, column], (image, window), strict=True):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=brightest, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0, column].add_patch(
            Rectangle(
                (col - 0.5, row - 0.5), side, side, fill=False, edgecolor="red", linewidth=1.5
            )
        )
        axes[0, column].set_title(_title(name, image, hr), fontsize=10)
        for spine in axes[1, column].spines.values():
            spine.set_edgecolor("red")
    session = f", session {example.pair.session}" if example.pair.session else ""
    figure.suptitle(
        f"subject {example.pair.subject}{session}, slice {example.pair.index}", fontsize=10
    )
    figure.savefig(path, dpi=110)


def _title(name: str, image: np.ndarray, hr: np.ndarray) -> str:
    if name == "truth":
        return "truth (HR)"
    label = "low resolution" if name == "lr" else name
    return f"{label}\n{metrics.psnr(image, hr):.2f} dB / {metrics.ssim(image, hr):.4f}"
