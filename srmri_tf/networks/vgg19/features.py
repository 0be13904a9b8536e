"""The perceptual features: VGG-19's 16th convolution after its ReLU, frozen.

Source: the paper, section II.2, "L_p"; networks of Simonyan and Zisserman, arXiv 1409.1556.
"""

import keras
import numpy as np
from keras import ops

from data_prep.errors import ConfigError, CorruptArtefactError
from srmri_tf.networks.vgg19.file import LAYERS
from srmri_tf.networks.vgg19.weights import VggWeights

#: Mean blue, green and red of ImageNet, which the network was trained without.
BGR_MEAN = (103.939, 116.779, 123.68)
LAYER = "block5_conv4"
LEAST_SIDE = 16  # of an image: four poolings before that layer halve it


@keras.saving.register_keras_serializable("srmri_tf")
class GreyToVgg(keras.layers.Layer):
    """Turn a grey image into what VGG-19 was trained on.

    The same as ``keras.applications.vgg19.preprocess_input`` of 255 times the image in all three
    channels.

    Call:
        (B, H, W, 1) in [0, 1] -> (B, H, W, 3) in about [-124, 151].
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Scale, repeat and subtract the mean in float32, then cast to the layer's type."""
        grey = 255.0 * ops.cast(inputs, "float32")
        centred = grey - ops.convert_to_tensor(np.array(BGR_MEAN, np.float32))
        return ops.cast(centred, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """One channel becomes three."""
        return (*input_shape[:-1], 3)


def build_features(
    weights: VggWeights,
    layer: str = LAYER,
    dtype_policy: str | keras.DTypePolicy | None = None,
) -> keras.Model:
    """Build the frozen feature extractor phi, and verify that it holds the given weights.

    Build it inside the strategy's scope. It has no trainable variables.

    Args:
        weights: What `srmri_tf.networks.vgg19.weights.resolve` returned.
        layer: Convolution whose output, after its ReLU, is returned.
        dtype_policy: Keras dtype policy of the convolutions; the global one by default.

    Returns:
        A model (B, H, W, 1) in [0, 1] -> (B, H / 16, W / 16, 512) float32 for ``block5_conv4``;
        sides are rounded down at each of the four poolings.

    Raises:
        ConfigError: There is no such layer, or the rescaled weights are asked for another layer
            than the one whose scale was measured.
        CorruptArtefactError: A layer did not take over its weights.
    """
    if layer not in LAYERS:
        raise ConfigError(
            f"VGG-19 has no convolution {layer!r}", remedy=f"The last one, the paper's, is {LAYER}"
        )
    if weights.kind == "rescaled" and layer != LAYER:
        raise ConfigError(
            f"the rescaled VGG-19 weights give the loss its size for {LAYER} only, not {layer}",
            remedy="Use the ImageNet weights for another layer",
        )
    before = keras.config.dtype_policy()
    try:
        if dtype_policy is not None:
            keras.config.set_dtype_policy(dtype_policy)
        vgg = keras.applications.VGG19(include_top=False, weights=None, input_shape=(None, None, 3))
        image = keras.Input((None, None, 1), name="image", dtype="float32")
        upto = keras.Model(vgg.input, vgg.get_layer(layer).output, name="vgg19")
        scaled = keras.layers.Rescaling(weights.feature_scale, dtype="float32", name="features")
        features = scaled(upto(GreyToVgg(name="grey_to_vgg")(image)))
    finally:
        keras.config.set_dtype_policy(before)
    model = keras.Model(image, features, name=f"vgg19_{layer}")
    model.trainable = False
    _set_and_verify(upto, weights)
    return model


def _set_and_verify(vgg: keras.Model, weights: VggWeights) -> None:
    """Give every convolution its weights, and read them back: never random ones."""
    for layer in vgg.layers:
        if not layer.weights:
            continue
        layer.set_weights(weights.arrays[layer.name])
        for found, wanted in zip(layer.get_weights(), weights.arrays[layer.name], strict=True):
            if not np.array_equal(found, wanted):
                raise CorruptArtefactError(
                    f"{layer.name} did not take over the weights of the file",
                    path=weights.path,
                    remedy="Delete the file, or give another with --vgg-weights FILE",
                )
