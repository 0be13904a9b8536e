"""Networks of both models' kinds that are quick to trace, for tests of everything around them."""

import keras
import pytest

from srmri_tf.networks import cpce
from srmri_tf.networks.circle import building
from srmri_tf.networks.layers import stateless_dropout


class SmallGenerator(keras.Model):
    """Three convolutions, GAN-CIRCLE's dropout, the input added."""

    def __init__(self, widths="paper", first_stride=2, dropout=0.2, shortcut=True, **kwargs):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.convs = [
            keras.layers.Conv2D(f, 3, padding="same", name=f"conv{i}")
            for i, f in enumerate((4, 4, 1))
        ]
        self(keras.Input((None, None, 1)))

    def call(self, images, training=False, noise=None):
        x = images
        for layer, conv in enumerate(self.convs):
            if noise is not None and layer:
                x = stateless_dropout(x, self.dropout, noise, layer)
            x = conv(x)
        return images + x


class SmallCritic(keras.Model):
    """One convolution and one dense layer."""

    def __init__(self, form="eight_conv", patch=(64, 64), **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(8, 3, strides=2, name="conv")
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(1, name="dense")
        self(keras.Input((*patch, 1)))

    def call(self, images, training=False):
        return self.dense(self.flatten(keras.ops.leaky_relu(self.conv(images))))


class SmallCpceCritic(SmallCritic):
    """The same, made as GAN-CPCE's is."""

    def __init__(self, patch, **kwargs):
        super().__init__(patch=patch, **kwargs)


def use_small_networks(patch: pytest.MonkeyPatch) -> None:
    """Have recipes of both models build these networks from now on."""
    patch.setattr(building, "CircleGenerator", SmallGenerator)
    patch.setattr(building, "CircleCritic", SmallCritic)
    patch.setattr(cpce, "CpceGenerator", SmallGenerator)
    patch.setattr(cpce, "CpceCritic", SmallCpceCritic)
