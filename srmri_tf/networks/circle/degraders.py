"""F without convolutions, for training without pairs: the known degradation, or a filter to learn.

Training patches are cut from slices whose pixels go on, so both mirror a patch at its edges: else
it would ring there as no slice does. Both are separable: a matrix for rows, one for columns.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data_prep.kspace import Degradation, downsampled, kept_box, upsampled
from srmri_tf.networks.layers import register

GAIN = 16.0
"""By how much more the frequency response of `LinearDegrader` changes than its weights."""

HELD = 0.9
"""A response of `LinearDegrader` above this was held by F(x) = x; one below has begun to fall."""


@register
class KspaceDegrader(keras.Model):
    """The degradation that the low-resolution images were made by: fixed and differentiable.

    Args:
        degradation: How much of k-space is kept, and which image is made of it.
        patch: Rows and columns of the images.
        mirror: Treat an image as one that goes on, mirrored, beyond its edges; else as periodic,
            which gives `data_prep.kspace.zero_filled` of it.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, H, W, 1) float32.

    Source: the paper, section III.1.
    """

    def __init__(
        self,
        degradation: Degradation | dict[str, Any],
        patch: tuple[int, int],
        mirror: bool = True,
        name: str = "degrader",
    ) -> None:
        super().__init__(name=name)
        self.degradation = Degradation.model_validate(degradation)
        self.patch, self.mirror = tuple(patch), mirror
        axes = [_steps(side, self.degradation, mirror) for side in self.patch]
        self._steps = list(zip(*axes, strict=True))
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Degrade images."""
        found = tf.cast(images[..., 0], tf.float32)
        for rows, columns in self._steps:
            found = _separable(rows, tf.cast(found, tf.complex64), columns)
            found = tf.abs(found) if self.degradation.is_magnitude else tf.math.real(found)
        return found[..., None]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "degradation": self.degradation.model_dump(),
            "patch": self.patch,
            "mirror": self.mirror,
            "name": self.name,
        }


@register
class LinearDegrader(keras.Model):
    """A filter without a phase, given by its response to each frequency of the rows and columns.

    It begins as the identity. Responses, unlike the taps of a kernel, are learnt one by one: those
    that low-resolution images have are held where they are, while the others fall, where scans have
    anything. Once it is taught, a scanner is taken to have measured the centre of k-space and
    nothing else: responses are 1 up to the first that was not held (`HELD`), and 0 from there on.
    What little is left of the others would tell G all that it should infer, and where a scan has no
    energy, as beyond what its scanner measured, no response falls.

    Args:
        patch: Rows and columns of the images.
        magnitude: Low-resolution images are magnitudes, and so is the output of a taught F.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, H, W, 1) float32.

    Source: Bell-Kligler et al. 2019 (KernelGAN) learn a linear degradation from patches alone.
    """

    def __init__(
        self, patch: tuple[int, int], magnitude: bool = True, name: str = "degrader"
    ) -> None:
        super().__init__(name=name)
        self.patch, self.magnitude = tuple(patch), magnitude
        self._cosines = [_cosines(side) for side in self.patch]
        self._axes = [
            self.add_weight(name=axis, shape=(side,), initializer="zeros", dtype="float32")
            for axis, side in zip(("rows", "columns"), self.patch, strict=True)
        ]
        self.built = True

    def responses(self) -> list[tf.Tensor]:
        """Those of the rows and of the columns, (H,) and (W,), from the lowest frequency on."""
        return [1.0 + GAIN * tf.convert_to_tensor(weight) for weight in self._axes]

    def decided_responses(self) -> list[tf.Tensor]:
        """The same as 1 or 0: the centre of k-space that was measured."""
        return [tf.math.cumprod(tf.cast(r > HELD, tf.float32)) for r in self.responses()]

    def call(self, images: tf.Tensor, training: bool = False, decided: bool = False) -> tf.Tensor:
        """Filter images.

        Args:
            images: (B, H, W, 1).
            training: Without effect.
            decided: As a taught F: responses are 1 up to the first that was not held, then 0, and
                the result is a magnitude if ``magnitude``.
        """
        responses = self.decided_responses() if decided else self.responses()
        rows, columns = (
            tf.matmul(cosines, response[:, None] * cosines, transpose_a=True)
            for cosines, response in zip(self._cosines, responses, strict=True)
        )
        filtered = _separable(rows, tf.cast(images[..., 0], tf.float32), columns)[..., None]
        return tf.abs(filtered) if decided and self.magnitude else filtered

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"patch": self.patch, "magnitude": self.magnitude, "name": self.name}


def _separable(rows: Any, images: tf.Tensor, columns: Any) -> tf.Tensor:
    """``rows @ image @ columns.T`` of each of (B, H, W) images."""
    return tf.matmul(tf.matmul(rows, images), columns, transpose_b=True)


def _steps(side: int, degradation: Degradation, mirror: bool) -> Sequence[np.ndarray]:
    """Matrices along one axis, each followed by the magnitude or the real part."""
    around, inside = np.eye(side), slice(None)
    if mirror:
        before, after = side // 2, side - side // 2
        around = np.pad(around, ((before, after), (0, 0)), "symmetric")
        inside = slice(before, before + side)
    if degradation.lr == "coarse":
        # A line as an image of two equal columns, which become one; and of one, which becomes two.
        coarse = downsampled(np.repeat(around.T[:, :, None], 2, axis=2))[..., 0].T
        fine = upsampled(np.eye(len(around) // 2)[:, :, None])[..., 0].T[inside]
        return [matrix.astype(np.complex64) for matrix in (coarse, fine)]
    total = len(around)
    kept = np.zeros((total, 1))
    kept[kept_box((total, total), degradation)[0]] = 1
    filtered = np.fft.ifft(np.fft.ifftshift(kept) * np.fft.fft(around, axis=0), axis=0)
    return [filtered[inside].astype(np.complex64)]


def _cosines(side: int) -> np.ndarray:
    """The orthonormal cosine transform (DCT-II) of mirrored lines, (side, side)."""
    frequencies, positions = np.ogrid[:side, :side]
    waves = np.cos(np.pi * frequencies * (positions + 0.5) / side) * np.sqrt(2 / side)
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)
