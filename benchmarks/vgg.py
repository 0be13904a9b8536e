"""The perceptual features with random weights: their speed does not depend on them."""

import keras

from srmri_tf.networks.vgg19.features import LAYER, GreyToVgg


def features(policy: str, layer: str = LAYER) -> keras.Model:
    """VGG-19 to one of its layers as build_features makes it, with random weights."""
    keras.config.set_dtype_policy(policy)
    vgg = keras.applications.VGG19(include_top=False, weights=None, input_shape=(None, None, 3))
    image = keras.Input((None, None, 1), dtype="float32")
    upto = keras.Model(vgg.input, vgg.get_layer(layer).output)
    output = keras.layers.Activation("linear", dtype="float32")(upto(GreyToVgg()(image)))
    keras.config.set_dtype_policy("float32")
    model = keras.Model(image, output)
    model.trainable = False
    return model
