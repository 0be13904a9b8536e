"""The paper's Figs 4 and 5 for our data: whole slice with a red box, and the box magnified."""

import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from srmri_tf import metrics
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.gallery import TRUTH, Exhibit

_P = ParamSpec("_P")
_R = TypeVar("_R")


def busiest_box(lr: np.ndarray, hr: np.ndarray) -> tuple[int, int, int]:
    """First row, first column and side of the square in which low resolution lost the most.

    Only the middle half of the head is searched: what lies at its rim is skin and neck.

    Args:
        lr: (H, W) low-resolution slice.
        hr: (H, W) truth.
    """
    side = min(max(16, min(hr.shape) // 5), *hr.shape)
    lost = np.square(hr - lr)
    total = np.pad(lost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = (
        total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    )
    inside = np.zeros_like(boxes, bool)
    inside[tuple(_middle_half(hr, axis, side) for axis in (0, 1))] = True
    row, col = np.unravel_index(np.argmax(np.where(inside, boxes, -1)), boxes.shape)
    return int(row), int(col), side


def _middle_half(hr: np.ndarray, axis: int, side: int) -> slice:
    """Starts along an axis of the boxes that are centred in the middle half of the tissue."""
    (tissue,) = np.nonzero((hr > metrics.BACKGROUND_LEVEL).any(axis=1 - axis))
    first, last = (tissue[0], tissue[-1]) if len(tissue) else (0, hr.shape[axis] - 1)
    quarter = (last - first) // 4
    start = min(max(first + quarter - side // 2, 0), hr.shape[axis] - side)
    return slice(start, max(last - quarter - side // 2, start) + 1)


def box_of(exhibit: Exhibit) -> tuple[int, int, int]:
    """First row, first column and side of the box that is magnified."""
    return busiest_box(exhibit.images[LOW_RESOLUTION], exhibit.images[TRUTH])


def in_plain_style(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that draws with Matplotlib's own settings, whatever a ``matplotlibrc`` says."""

    @functools.wraps(draw)
    def drawn(*arguments: _P.args, **options: _P.kwargs) -> _R:
        from matplotlib.style import context

        with context("default"):
            return draw(*arguments, **options)

    return drawn


@in_plain_style
def comparison(exhibit: Exhibit, path: Path, marked: Collection[str] = ()) -> None:
    """Draw every method and the truth side by side, with PSNR and SSIM of the slice.

    Args:
        exhibit: The slice to show.
        path: A PNG file.
        marked: Methods whose figures are too good, because they learnt from test subjects.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    row, col, side = box_of(exhibit)
    images = exhibit.images
    figure = Figure(figsize=(3.2 * len(images), 6.9), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(images), squeeze=False)
    brightest = float(np.percentile(images[TRUTH], 99.8))
    for column, (name, image) in enumerate(images.items()):
        window = image[row : row + side, col : col + side]
        for axis, shown in zip(axes[:, column], (image, window), strict=True):
            axis.imshow(
                shown,
                cmap="gray",
                vmin=0,
                vmax=brightest,
                interpolation="nearest",
                aspect=exhibit.spacing[0] / exhibit.spacing[1],
            )
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0, column].add_patch(
            Rectangle(
                (col - 0.5, row - 0.5), side, side, fill=False, edgecolor="red", linewidth=1.5
            )
        )
        axes[0, column].set_title(_title(name, exhibit, name in marked), fontsize=10)
        for spine in axes[1, column].spines.values():
            spine.set_edgecolor("red")
    session = f", session {exhibit.session}" if exhibit.session else ""
    figure.suptitle(f"subject {exhibit.subject}{session}, slice {exhibit.slice}", fontsize=10)
    figure.savefig(path, dpi=110)


def _title(name: str, exhibit: Exhibit, marked: bool) -> str:
    if name == TRUTH:
        return "truth (HR)"
    label = "low resolution" if name == LOW_RESOLUTION else name
    score = exhibit.scores[name]
    leak = " (LEAK)" if marked else ""
    return f"{label}{leak}\n{score['psnr']:.2f} dB / {score['ssim']:.4f}"
