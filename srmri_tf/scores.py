"""Every measure of every method on every slice and volume, one slice in memory at a time."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from data_prep.kspace import Degradation
from srmri_tf import metrics
from srmri_tf.similarity import Similarity
from srmri_tf.windows import GAUSSIAN, UNIFORM

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and reading results needs none of it
    import keras

    from srmri_tf.dataset import SlicePair


@dataclass(frozen=True)
class Measure:
    """What a column of the table means.

    Args:
        key: Its name in files.
        label: Its name in tables.
        digits: Decimals shown.
        better: Which direction is better; ``one``: nearer to 1.
        definition: Range, window and normalisation, in a sentence.
    """

    key: str
    label: str
    digits: int
    better: Literal["higher", "lower", "one"]
    definition: str


MEASURES = (
    Measure("psnr", "PSNR (dB)", 2, "higher", "range 1, volumes scaled by their maximum"),
    Measure("ssim", "SSIM", 4, "higher", "range 1, gaussian 11x11 window, sigma 1.5"),
    Measure(
        "psnr_fastmri", "PSNR, fastMRI (dB)", 2, "higher", "range: the maximum of the true volume"
    ),
    Measure(
        "ssim_fastmri",
        "SSIM, fastMRI",
        4,
        "higher",
        "range: the maximum of the true volume; uniform 7x7 window, sample covariance",
    ),
    Measure("nrmse", "NRMSE", 4, "lower", "root of the squared error over the truth's norm"),
    Measure(
        "detail",
        "detail",
        3,
        "one",
        "spectral power outside the kept box of k-space over the truth's; 1 is as much detail as "
        "the truth, 0 none; noise counts as detail",
    ),
    Measure(
        "vgg",
        "VGG distance",
        4,
        "lower",
        "mean squared difference of VGG-19 block5_conv4 features of whole slices",
    ),
)
KEYS = tuple(measure.key for measure in MEASURES)


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One method on one slice; ``vgg`` is NaN where it was not measured."""

    method: str
    subject: str
    session: str
    slice: int
    air: bool
    psnr: float
    ssim: float
    psnr_fastmri: float = float("nan")
    ssim_fastmri: float = float("nan")
    nrmse: float = float("nan")
    detail: float = float("nan")
    vgg: float = float("nan")


@dataclass(frozen=True)
class VolumeRow:
    """One method on one volume, air and all: errors and powers summed over its slices.

    SSIM and VGG distance, which are means over a slice, are averaged over the slices instead.
    """

    method: str
    subject: str
    session: str
    slices: int
    psnr: float
    ssim: float
    psnr_fastmri: float
    ssim_fastmri: float
    nrmse: float
    detail: float
    vgg: float


@dataclass
class _Sums:
    """Sums over the slices of one volume, for one method."""

    maximum: float
    slices: int = 0
    pixels: int = 0
    error: float = 0.0
    power: float = 0.0
    detail: float = 0.0
    true_detail: float = 0.0
    means: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("ssim", "ssim_fastmri", "vgg"), 0.0)
    )

    def add(self, truth: np.ndarray, error: float, powers: Sequence[float], row: SliceRow) -> None:
        """Take in a slice: its squared error, and power, detail and true detail."""
        power, detail, true_detail = powers
        self.slices += 1
        self.pixels += truth.size
        self.error += error
        self.power += power
        self.detail += detail
        self.true_detail += true_detail
        for key in self.means:
            self.means[key] += getattr(row, key)


class FeatureDistance:
    """The loss's own distance: mean squared difference of perceptual features.

    Args:
        features: What `srmri_tf.perceptual.build_features` returns.
    """

    def __init__(self, features: "keras.Model") -> None:
        import tensorflow as tf

        signature = tf.TensorSpec([None, None, None, 1], tf.float32)
        self._forward = tf.function(
            lambda images: features(images, training=False), input_signature=[signature]
        )

    def __call__(self, images: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
        """Measure M images (H, W) float32 against one truth (H, W): (M,) float64."""
        theirs = self._of(truth)
        return np.array(
            [np.mean(np.square(self._of(x) - theirs), dtype=np.float64) for x in images]
        )

    def _of(self, image: np.ndarray) -> np.ndarray:
        # One slice at a time: the first layers take 64 channels of full resolution each.
        return self._forward(np.asarray(image, np.float32)[None, ..., None]).numpy()


class Scorer:
    """Scores methods slice by slice and keeps the sums that volumes need.

    Args:
        degradation: Decides which part of k-space counts as detail.
        distance: Measures the VGG distance, or None to leave it out.
    """

    def __init__(self, degradation: Degradation, distance: FeatureDistance | None = None) -> None:
        self._degradation = degradation
        self._distance = distance
        self._sums: dict[tuple[str, str, str], _Sums] = {}
        self._pool = ThreadPoolExecutor(1)
        # Kept from slice to slice, for most are of one size.
        self._similarity = lru_cache(1)(lambda shape: Similarity(shape, (GAUSSIAN, UNIFORM)))

    def slice(
        self, pair: "SlicePair", images: Mapping[str, np.ndarray], maximum: float
    ) -> list[SliceRow]:
        """Score every method on one slice.

        Args:
            pair: The slice.
            images: (H, W) by method.
            maximum: Of the true volume: fastMRI's range. Where it is 0, that range is 1.
        """
        truth, stack = pair.hr, list(images.values())
        maximum = maximum or 1.0
        # Transforms are long calls outside the interpreter's lock, so they run beside the rest.
        powers = self._pool.submit(metrics.detail_power, [*stack, truth], self._degradation)
        errors = metrics.squared_errors(stack, truth).tolist()
        similarity = self._similarity(truth.shape)(stack, truth, (1.0, maximum))
        means = {
            "ssim": similarity[0],
            "ssim_fastmri": similarity[1],
            "vgg": self._distances(stack, truth),
        }
        power, air = metrics.power(truth), metrics.is_background(truth)
        *details, true_detail = powers.result().tolist()
        rows = []
        for i, (name, error, detail) in enumerate(zip(images, errors, details, strict=True)):
            row = SliceRow(
                name,
                pair.subject,
                pair.session,
                pair.index,
                air,
                psnr=metrics.psnr_of(error / truth.size, 1.0),
                psnr_fastmri=metrics.psnr_of(error / truth.size, maximum),
                nrmse=_root(error, power),
                detail=_ratio(detail, true_detail),
                **{key: float(values[i]) for key, values in means.items()},
            )
            rows.append(row)
            sums = self._sums.setdefault((name, pair.subject, pair.session), _Sums(maximum))
            sums.add(truth, error, (power, detail, true_detail), row)
        return rows

    def volumes(self) -> list[VolumeRow]:
        """Every method on every volume seen so far."""
        return [
            VolumeRow(
                method,
                subject,
                session,
                sums.slices,
                psnr=metrics.psnr_of(sums.error / sums.pixels, 1.0),
                psnr_fastmri=metrics.psnr_of(sums.error / sums.pixels, sums.maximum),
                nrmse=_root(sums.error, sums.power),
                detail=_ratio(sums.detail, sums.true_detail),
                **{key: total / sums.slices for key, total in sums.means.items()},
            )
            for (method, subject, session), sums in self._sums.items()
        ]

    def _distances(self, stack: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
        if self._distance is None:
            return np.full(len(stack), np.nan)
        return self._distance(stack, truth)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _root(error: float, power: float) -> float:
    return float(np.sqrt(_ratio(error, power)))
