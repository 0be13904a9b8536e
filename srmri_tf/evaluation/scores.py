"""Every measure of every method on every slice and volume, one slice in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from data_prep.kspace import Degradation
from srmri_tf import metrics

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and reading results needs none of it
    import keras

    from srmri_tf.data.dataset import SlicePair

THREADS = 2


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
        "high_frequency",
        "high-frequency energy ratio",
        3,
        "one",
        "energy outside the kept box of k-space over the truth's; 1 is as much as the truth, 0 "
        "none; noise counts",
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
    background: bool
    psnr: float
    ssim: float
    psnr_fastmri: float = float("nan")
    ssim_fastmri: float = float("nan")
    nrmse: float = float("nan")
    high_frequency: float = float("nan")
    vgg: float = float("nan")


@dataclass(frozen=True)
class VolumeRow:
    """One method on one volume, background and all: errors and energies summed over its slices.

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
    high_frequency: float
    vgg: float


class _Sums(NamedTuple):
    """What the measures are made of, summed over slices."""

    slices: int
    pixels: int
    error: float
    energy: float
    high: float
    true_high: float
    ssim: float
    ssim_fastmri: float
    vgg: float

    def plus(self, other: "_Sums") -> "_Sums":
        """Both together."""
        return _Sums._make(mine + theirs for mine, theirs in zip(self, other, strict=True))

    def measures(self, maximum: float) -> dict[str, Any]:
        """Every measure by its key.

        Args:
            maximum: Of the true volume: fastMRI's range.
        """
        mean_squared_error = self.error / self.pixels
        return {
            "psnr": metrics.psnr_of(mean_squared_error, 1.0),
            "ssim": self.ssim / self.slices,
            "psnr_fastmri": metrics.psnr_of(mean_squared_error, maximum),
            "ssim_fastmri": self.ssim_fastmri / self.slices,
            "nrmse": metrics.ratio(self.error, self.energy) ** 0.5,
            "high_frequency": metrics.ratio(self.high, self.true_high),
            "vgg": self.vgg / self.slices,
        }


class FeatureDistance:
    """The loss's own distance: mean squared difference of perceptual features.

    Args:
        features: What `srmri_tf.networks.vgg19.features.build_features` returns.
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
        degradation: Decides which part of k-space is high-frequency.
        distance: Measures the VGG distance, or None to leave it out.
        threads: That measure side by side.
    """

    def __init__(
        self,
        degradation: Degradation,
        distance: FeatureDistance | None = None,
        threads: int = THREADS,
    ) -> None:
        self._degradation = degradation
        self._distance = distance
        self._sums: dict[tuple[str, str, str], _Sums] = {}
        self._maxima: dict[tuple[str, str], float] = {}
        # SciPy's filters and transforms, which take nearly all the time, run beside each other.
        self._pool = ThreadPoolExecutor(threads)

    def slice(
        self, pair: "SlicePair", images: Mapping[str, np.ndarray], maximum: float
    ) -> list[SliceRow]:
        """Score every method on one slice.

        Args:
            pair: The slice.
            images: (H, W) by method.
            maximum: Of the true volume: fastMRI's range. Where it is 0, that range is 1.
        """
        maximum = self._maxima[pair.subject, pair.session] = maximum or 1.0
        background, rows = metrics.is_background(pair.hr), []
        for name, sums in zip(images, self._measure(pair.hr, images, maximum), strict=True):
            volume = name, pair.subject, pair.session
            self._sums[volume] = self._sums[volume].plus(sums) if volume in self._sums else sums
            rows.append(SliceRow(*volume, pair.index, background, **sums.measures(maximum)))
        return rows

    def volumes(self) -> list[VolumeRow]:
        """Every method on every volume seen so far."""
        return [
            VolumeRow(*volume, sums.slices, **sums.measures(self._maxima[volume[1:]]))
            for volume, sums in self._sums.items()
        ]

    def _measure(
        self, truth: np.ndarray, images: Mapping[str, np.ndarray], maximum: float
    ) -> Iterator[_Sums]:
        """The sums of one slice, method by method."""
        stack, each = list(images.values()), self._pool.map
        ssim = each(metrics.ssim, stack, repeat(truth))
        fastmri = each(metrics.ssim, stack, repeat(truth), repeat(maximum), repeat("uniform"))
        energy = metrics.high_frequency_energy
        *high, true_high = each(energy, [*stack, truth], repeat(self._degradation))
        errors = [metrics.squared_error(image, truth) for image in stack]
        none = np.full(len(stack), np.nan)
        vgg = none if self._distance is None else self._distance(stack, truth)
        whole = metrics.energy(truth)
        for error, *found in zip(errors, high, ssim, fastmri, vgg.tolist(), strict=True):
            yield _Sums(1, truth.size, error, whole, found[0], true_high, *found[1:])
