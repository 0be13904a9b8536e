"""Networks of GAN-CIRCLE's kinds that are quick to trace, for tests of everything around them."""

import keras

from srmri_tf.networks.layers import stateless_dropout


class SmallGenerator(keras.Model):
    """Three convolutions, the same dropout, the input added."""

    def __init__(self, dropout=0.2, widths="paper", first_stride=2, **kwargs):
        super().__init__(**kwargs)
        self.dropout = dropout
        self.convs = [
            keras.layers.Conv2D(f, 3, padding="same", name=f"conv{i}")
            for i, f in enumerate((4, 4, 1))
        ]

    def build(self, input_shape):
        for conv, channels in zip(self.convs, (1, 4, 4), strict=True):
            conv.build((None, None, None, channels))
        self.built = True

    def call(self, images, training=False, noise=None):
        x = images
        for layer, conv in enumerate(self.convs):
            if noise is not None and layer:
                x = stateless_dropout(x, self.dropout, noise, layer)
            x = conv(x)
        return images + x


class SmallCritic(keras.Model):
    """One convolution and one dense layer."""

    def __init__(self, form="eight_conv", **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(8, 3, strides=2)
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(1)

    def build(self, input_shape):
        self.conv.build(input_shape)
        _, height, width, channels = self.conv.compute_output_shape(input_shape)
        self.dense.build((None, height * width * channels))
        self.built = True

    def call(self, images, training=False):
        return self.dense(self.flatten(keras.ops.leaky_relu(self.conv(images))))
