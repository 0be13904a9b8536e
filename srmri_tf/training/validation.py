"""How good the generator is now: PSNR and SSIM beside the low-resolution input's."""

from dataclasses import dataclass

import keras
import numpy as np

from data_prep.errors import BadInputError
from data_prep.shards.schema import Split
from srmri_tf import metrics
from srmri_tf.data.dataset import Shards, SlicePair, refuse_small
from srmri_tf.networks.registry import super_resolver

SHOWN = 3


@dataclass(frozen=True)
class Quality:
    """Means over slices.

    Args:
        psnr: dB, range 1.
        ssim: Gaussian window, range 1.
    """

    psnr: float
    ssim: float


class Validator:
    """Measures a generator on the same slices after every epoch.

    Args:
        shards: Where the slices are. Without validation subjects, training slices are taken, and
            ``split`` says so: their figures are optimistic, but still show a run going wrong.
        generator: A float32 generator of the run's form; its weights are overwritten.
        max_slices: At most this many slices, evenly spaced; 0 takes all.

    Raises:
        BadInputError: Every slice is background, or some are too small to be measured.
    """

    def __init__(self, shards: Shards, generator: keras.Model, max_slices: int) -> None:
        self.split: Split = "val" if shards.manifest.of("val") else "train"
        refuse_small(shards.folder, shards.manifest.of(self.split))
        candidates = shards.some_slices(self.split, max_slices)
        self.pairs = [pair for pair in candidates if not metrics.is_background(pair.hr)]
        if not self.pairs:
            raise BadInputError(
                "has only background in its validation slices",
                path=shards.folder,
                remedy="Prepare with other validation subjects, or raise validation.max_slices",
            )
        self.low_resolution = _mean([_quality(pair.lr, pair) for pair in self.pairs])
        self._generator = generator
        self._super_resolve = super_resolver(generator)
        self._shown: list[np.ndarray] = []

    def measure(self, weights: list[np.ndarray]) -> Quality:
        """The quality that these generator weights reach."""
        self._generator.set_weights(weights)
        self._shown = []
        qualities = []
        for pair in self.pairs:
            sr = self._super_resolve(pair.lr[None])[0]
            qualities.append(_quality(sr, pair))
            if len(self._shown) < SHOWN:
                self._shown.append(np.concatenate([pair.lr, sr, pair.hr], axis=1))
        return _mean(qualities)

    def pictures(self) -> list[np.ndarray]:
        """LR, SR and HR side by side, (H, 3 W) each, of the first slices measured last."""
        return self._shown


def _quality(image: np.ndarray, pair: SlicePair) -> Quality:
    return Quality(metrics.psnr(image, pair.hr), metrics.ssim(image, pair.hr))


def _mean(qualities: list[Quality]) -> Quality:
    return Quality(
        float(np.mean([q.psnr for q in qualities])), float(np.mean([q.ssim for q in qualities]))
    )
