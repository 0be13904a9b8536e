"""What an evaluation measures: its settings, known without TensorFlow."""

from dataclasses import dataclass

CONSISTENT = "+dc"
"""What follows a network's name where the measured centre of k-space was put back."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What to measure besides the networks.

    Args:
        bicubic: Also measure cubic interpolation of the measured matrix.
        perceptual: Measure the VGG distance, which without a GPU takes longer than all else. None:
            where TensorFlow sees a GPU and the weights can be had.
        vgg_weights: Where VGG-19's weights for it come from, as for ``fit``.
        slices: Which slices to keep for looking at (`gallery.choose`).
        fold: Measure on this fold of shards prepared with folds.
        contrast: Measure on test scans of this contrast only; empty for all.
        force: Measure networks that learnt from test subjects, marked.
        licence: Where the data come from and on what terms; repeated in the report.
        consistency: Also measure what `enhance` makes of each network's output, as ``NAME+dc``: the
            measured centre of k-space put back, and implausible outputs not taken.
    """

    bicubic: bool = True
    perceptual: bool | None = False
    vgg_weights: str = "auto"
    slices: str = "6"
    fold: int | None = None
    contrast: str = ""
    force: bool = False
    licence: str = ""
    consistency: bool = False
