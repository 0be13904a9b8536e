"""GAN-CIRCLE's generators: G, which super-resolves, and F, which degrades."""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from srmri_tf.networks.layers import StatelessDropout, register

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


@register
class CircleGenerator(keras.Model):
    """Twelve densely collected feature blocks, a reconstruction, the input added: G and F.

    Each block sees the one before; the reconstruction sees all twelve. Fully convolutional: any
    image keeps its size. 168,104 weights in the paper's form.

    Args:
        widths: ``paper`` or ``released``.
        first_stride: 2 halves the image in the first block and restores it in C2; 1 does not.
        dropout: Fraction of the blocks' features dropped where ``noise`` is given.
        dtype: Keras dtype policy of the hidden layers; the result is float32.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, H, W, 1) float32 of any sign.

    Source: [26], the generators, after DCSCN; the paper, section II; stride 2 and the added input
        are the released code's for images that keep their size.
    """

    def __init__(
        self,
        widths: str = "paper",
        first_stride: int = 2,
        dropout: float = 0.2,
        dtype: Any = None,
        name: str = "generator",
    ) -> None:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        form = FORMS[widths]
        common = {"padding": "same", "kernel_initializer": "he_normal", "dtype": policy}
        drops = []

        def conv(
            name: str, filters: int, size: int, x: Any, *, leaky: bool = True, **kw: Any
        ) -> Any:
            x = layers.Conv2D(filters, size, name=name, **common, **kw)(x)
            return leaky_relu(name, x) if leaky else x

        def leaky_relu(name: str, x: Any) -> Any:
            return layers.LeakyReLU(0.1, name=f"{name}_leaky", dtype=policy)(x)

        lr = keras.Input((None, None, 1), name="lr")
        collected, x = [], lr
        for i, width in enumerate(form.widths()):
            x = conv(f"feat{i + 1}", width, 3, x, strides=1 if i else first_stride)
            if dropout:
                drops.append(StatelessDropout(dropout, i, name=f"drop{i + 1}", dtype=policy))
                x = drops[-1](x)
            collected.append(x)
        x = layers.Concatenate(name="collected", dtype=policy)(collected)
        a1 = conv("A1", form.a1, 1, x)
        b1 = conv("B1", form.b1, 1, x)
        b2 = conv("B2", form.b2, 3, b1, leaky=not form.plain)
        x = layers.Concatenate(name="rebuilt", dtype=policy)([a1, b2])
        x = conv("C1", form.c1, 3, x, leaky=not form.plain)
        if first_stride == 2:
            up = {"strides": 2, "use_bias": form.plain, "name": "C2"}
            x = leaky_relu("C2", layers.Conv2DTranspose(form.c2, 4, **up, **common)(x))
        else:
            x = conv("C2", form.c2, 3, x)
        x = conv("out", 1, 3, x, leaky=False, use_bias=False)
        super().__init__(lr, layers.Add(name="sr", dtype="float32")([lr, x]), name=name)
        self.widths, self.first_stride, self.dropout = widths, first_stride, dropout
        self.policy, self._drops = policy, drops

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        noise: tf.Tensor | None = None,
        mask: Any = None,
    ) -> tf.Tensor:
        """Translate (B, H, W, 1) images.

        Args:
            images: Any side; an odd one is mirrored by a pixel and cropped again, because a stride
                of 2 samples odd and even images at different places.
            training: Without effect.
            noise: (2,) int64 that decides what is dropped; None drops nothing.
            mask: Without effect.
        """
        for layer in self._drops:
            layer.noise = noise
        try:
            if self.first_stride == 1:
                return super().call(images)
            height, width = tf.shape(images)[1], tf.shape(images)[2]
            return super().call(to_even(images))[:, :height, :width]
        finally:
            for layer in self._drops:
                layer.noise = None

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "widths": self.widths,
            "first_stride": self.first_stride,
            "dropout": self.dropout,
            "dtype": self.policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CircleGenerator":
        """The generator of these arguments."""
        return cls(**config)


def to_even(images: tf.Tensor) -> tf.Tensor:
    """Repeat the last row and column of images whose sides are odd."""
    sides = tf.shape(images)[1:3] % 2
    after = tf.concat([[0], sides, [0]], axis=0)
    return tf.pad(images, tf.stack([tf.zeros_like(after), after], axis=1), "SYMMETRIC")
