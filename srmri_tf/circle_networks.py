"""The networks of GAN-CIRCLE: one form of generator for G and F, one of critic for D_X and D_Y."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from srmri_tf.blocks import leaky_relu, stateless_dropout

_register = keras.saving.register_keras_serializable(package="srmri_tf")

BLOCKS = 12


@dataclass(frozen=True)
class _Form:
    """Filters of one form of the generator.

    Args:
        first: Of the first feature block; the last has 16.
        a1: Of A1, as b1 of B1, b2 of B2, c1 of C1 and c2 of C2.
        plain: The released code leaves B2 and C1 without activation and gives C2 a bias.
    """

    first: int
    a1: int
    b1: int
    b2: int
    c1: int
    c2: int
    plain: bool = False

    def widths(self) -> list[int]:
        """Filters of the feature blocks, falling from ``first`` to 16 (DCSCN's rule)."""
        last = 16
        fall = [1 - (i / (BLOCKS - 1)) ** (1 / 1.5) for i in range(BLOCKS)]
        return [int((self.first - last) * share + last) for share in fall]


FORMS = {
    "paper": _Form(first=64, a1=24, b1=8, b2=8, c1=32, c2=16),
    "released": _Form(first=128, a1=64, b1=32, b2=8, c1=72, c2=36, plain=True),
}


@_register
class CircleGenerator(keras.Model):
    """Twelve densely collected feature blocks, a reconstruction, the input added: G and F.

    Each block sees the one before; the reconstruction sees all twelve. Fully convolutional: any
    image keeps its size. 168,104 weights in the paper's form.

    Args:
        widths: ``paper`` or ``released``.
        first_stride: 2 halves the image in the first block and restores it in C2; 1 does not.
        dropout: Fraction of the blocks' features dropped where ``noise`` is given.

    Source: [26], the generators, after DCSCN; the paper, section II; stride 2 and the added input
        are the released code's for images that keep their size.
    """

    def __init__(
        self,
        widths: str = "paper",
        first_stride: int = 2,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.widths = widths
        self.first_stride = first_stride
        self.dropout = dropout
        form = FORMS[widths]
        common = {
            "padding": "same",
            "kernel_initializer": "he_normal",
            "dtype": self.dtype_policy,
        }
        conv = keras.layers.Conv2D
        self.blocks = [
            conv(width, 3, strides=1 if i else first_stride, name=f"feat{i + 1}", **common)
            for i, width in enumerate(form.widths())
        ]
        self.a1 = conv(form.a1, 1, name="A1", **common)
        self.b1 = conv(form.b1, 1, name="B1", **common)
        self.b2 = conv(form.b2, 3, name="B2", **common)
        self.c1 = conv(form.c1, 3, name="C1", **common)
        if first_stride == 2:
            self.c2 = keras.layers.Conv2DTranspose(
                form.c2, 4, strides=2, use_bias=form.plain, name="C2", **common
            )
        else:
            self.c2 = conv(form.c2, 3, name="C2", **common)
        self.out = conv(1, 3, use_bias=False, name="out", **common)

    def build(self, input_shape: Any) -> None:
        """Create every weight; the image's side does not matter."""
        form, channels = FORMS[self.widths], 1
        for conv in self.blocks:
            conv.build((None, None, None, channels))
            channels = conv.filters
        collected = sum(form.widths())
        self.a1.build((None, None, None, collected))
        self.b1.build((None, None, None, collected))
        self.b2.build((None, None, None, form.b1))
        self.c1.build((None, None, None, form.a1 + form.b2))
        self.c2.build((None, None, None, form.c1))
        self.out.build((None, None, None, form.c2))
        self.built = True

    def call(
        self, images: tf.Tensor, training: bool = False, noise: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Translate (B, H, W, 1) images; the result is float32, of any sign.

        Args:
            images: Any side; an odd one is mirrored by a pixel and cropped again, because a stride
                of 2 samples odd and even images at different places.
            training: Without effect.
            noise: (2,) int64 that decides what is dropped; None drops nothing.
        """
        x = tf.cast(images, self.compute_dtype)
        x = _to_even(x) if self.first_stride == 2 else x
        collected = []
        for layer, conv in enumerate(self.blocks):
            x = _leaky(conv(x))
            if noise is not None and self.dropout:
                x = stateless_dropout(x, self.dropout, noise, layer)
            collected.append(x)
        x = self._reconstruct(tf.concat(collected, axis=-1))
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        return tf.cast(images, tf.float32) + tf.cast(x[:, :height, :width], tf.float32)

    def _reconstruct(self, features: tf.Tensor) -> tf.Tensor:
        inner = tf.identity if FORMS[self.widths].plain else _leaky
        b2 = inner(self.b2(_leaky(self.b1(features))))
        x = inner(self.c1(tf.concat([_leaky(self.a1(features)), b2], axis=-1)))
        return self.out(_leaky(self.c2(x)))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        own = {"widths": self.widths, "first_stride": self.first_stride, "dropout": self.dropout}
        return {**super().get_config(), **own}


@_register
class CircleCritic(keras.Model):
    """4x4 convolutions, instance norm, leaky ReLU; then two dense layers, or a map's mean.

    Args:
        form: ``eight_conv``, four stages of two convolutions (16,720,385 weights at 64x64);
            ``four_stage``, of one (11,147,073); ``patchgan``, the released code's, whose 8x8 map of
            scores is averaged (2,764,481).

    Source: the paper, section II; [26], the discriminators.
    """

    STAGES: ClassVar = {
        "eight_conv": tuple((w, s) for w in (64, 128, 256, 512) for s in (1, 2)),
        "four_stage": ((64, 2), (128, 2), (256, 2), (512, 2)),
        "patchgan": ((64, 2), (128, 2), (256, 2), (512, 1)),
    }

    def __init__(self, form: str = "eight_conv", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form = form
        stages = self.STAGES[form]
        common = {"kernel_initializer": "he_normal", "dtype": self.dtype_policy}
        self.convs = [
            keras.layers.Conv2D(
                width, 4, strides=stride, padding="same", name=f"conv{i + 1}", **common
            )
            for i, (width, stride) in enumerate(stages)
        ]
        self.unnormalised = 0 if form == "four_stage" else 1
        # With an epsilon of 1 no norm amplifies. The usual 1e-5 makes a critic's slope on nearly
        # constant images 1e5 to 1e10: its penalty then drowns what it should learn.
        self.norms = [
            keras.layers.GroupNormalization(
                groups=-1, epsilon=1.0, name=f"in{i + 1}", dtype=self.dtype_policy
            )
            for i in range(self.unnormalised, len(stages))
        ]
        if form == "patchgan":
            self.scores = keras.layers.Conv2D(1, 4, padding="same", name="conv5", **common)
        else:
            self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
            self.dense1 = keras.layers.Dense(1024, name="dense1", **common)
            self.dense2 = keras.layers.Dense(1, name="dense2", **{**common, "dtype": "float32"})

    def build(self, input_shape: Any) -> None:
        """Create every weight for images of ``input_shape`` (B, H, W, 1)."""
        shape = (None, *input_shape[1:])
        for i, conv in enumerate(self.convs):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            if i >= self.unnormalised:
                self.norms[i - self.unnormalised].build(shape)
        if self.form == "patchgan":
            self.scores.build(shape)
        else:
            self.dense1.build((None, math.prod(shape[1:])))
            self.dense2.build((None, 1024))
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Score (B, H, W, 1) images: (B, 1) float32, larger for more real."""
        x = tf.cast(images, self.compute_dtype)
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i >= self.unnormalised:
                x = self.norms[i - self.unnormalised](x)
            x = leaky_relu(x, 0.2)
        if self.form == "patchgan":
            return tf.reduce_mean(tf.cast(self.scores(x), tf.float32), axis=(1, 2))
        return self.dense2(leaky_relu(self.dense1(self.flatten(x)), 0.2))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "form": self.form}


def _leaky(x: tf.Tensor) -> tf.Tensor:
    return leaky_relu(x, 0.1)


def _to_even(images: tf.Tensor) -> tf.Tensor:
    """Repeat the last row and column of images whose sides are odd."""
    sides = tf.shape(images)[1:3] % 2
    after = tf.concat([[0], sides, [0]], axis=0)
    return tf.pad(images, tf.stack([tf.zeros_like(after), after], axis=1), "SYMMETRIC")
