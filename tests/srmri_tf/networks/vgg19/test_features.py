import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.errors import ConfigError, CorruptArtefactError
from srmri_tf.networks.vgg19 import features as perceptual
from srmri_tf.networks.vgg19.features import GreyToVgg, build_features
from srmri_tf.networks.vgg19.file import LAYERS, write_weights
from srmri_tf.networks.vgg19.weights import NST_FEATURE_SCALE, VggWeights, resolve, resolve_rescaled

REFERENCE = Path(__file__).resolve().parents[5] / "shared/weights/vgg19_conv5_4_equivalent_notop.h5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> VggWeights:
    """A full-size file of random weights whose activations neither die nor explode."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer, (channels_in, channels_out) in LAYERS.items():
        kernel = rng.standard_normal((3, 3, channels_in, channels_out), np.float32)
        bias = rng.standard_normal(channels_out, np.float32)
        arrays[layer] = kernel * np.float32(np.sqrt(2 / (9 * channels_in))), bias
    path = tmp_path_factory.mktemp("vgg") / "vgg.h5"
    write_weights(path, arrays)
    return resolve(str(path))


@pytest.fixture(scope="module")
def features(weights) -> keras.Model:
    return build_features(weights)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).random((2, 64, 64, 1), np.float32)


def test_preprocessing_is_kerass(images):
    wanted = keras.applications.vgg19.preprocess_input(np.repeat(255 * images, 3, axis=-1))
    np.testing.assert_allclose(GreyToVgg()(images), wanted, atol=2e-5)


def test_equals_keras_loading_the_same_file(weights, features, images):
    """Keras's own loader and network as the independent reference: our file layout is Keras's."""
    vgg = keras.applications.VGG19(include_top=False, weights=str(weights.path))
    upto = keras.Model(vgg.input, vgg.get_layer("block5_conv4").output)
    wanted = upto(keras.applications.vgg19.preprocess_input(np.repeat(255 * images, 3, -1)))
    assert features(images).shape == (2, 4, 4, 512)
    assert float(tf.reduce_max(wanted)) > 1
    np.testing.assert_allclose(features(images), wanted, rtol=1e-4, atol=1e-2)


def test_after_the_relu_and_frozen(features, images):
    assert float(tf.reduce_min(features(images))) == 0.0
    assert features.trainable_variables == []
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_mean(features(x) ** 2)
    assert float(tf.norm(tape.gradient(loss, x))) > 0


def test_the_scale_multiplies_the_features(weights, features, images):
    scaled = build_features(dataclasses.replace(weights, feature_scale=1.5))
    np.testing.assert_allclose(scaled(images), 1.5 * features(images), rtol=1e-6)


def test_bfloat16_convolutions_give_float32_features(weights, features, images):
    before = keras.config.dtype_policy().name
    model = build_features(weights, dtype_policy="mixed_bfloat16")
    assert keras.config.dtype_policy().name == before
    half, full = model(images), features(images)
    assert half.dtype == tf.float32
    assert float(tf.norm(half - full) / tf.norm(full)) < 0.05


def test_inside_a_function_on_two_replicas(weights, features, images):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = build_features(weights)

    @tf.function
    def step(batch):
        return strategy.run(lambda x: tf.reduce_mean(model(x)), args=(batch,))

    values = tf.distribute.DistributedValues
    batch = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(images[context.replica_id_in_sync_group :][:1])
    )
    assert isinstance(batch, values)
    found = strategy.experimental_local_results(step(batch))
    for replica, value in enumerate(found):
        wanted = tf.reduce_mean(features(images[replica : replica + 1]))
        np.testing.assert_allclose(value, wanted, rtol=1e-4)


def test_another_layer(weights, images):
    assert build_features(weights, "block2_conv2")(images).shape == (2, 32, 32, 128)
    with pytest.raises(ConfigError, match="block9"):
        build_features(weights, "block9_conv1")
    rescaled = dataclasses.replace(weights, kind="rescaled")
    with pytest.raises(ConfigError, match="block5_conv4 only"):
        build_features(rescaled, "block2_conv2")


def test_never_random_weights(weights, monkeypatch):
    """A layer that does not take over its weights does not go unnoticed."""
    monkeypatch.setattr(keras.layers.Conv2D, "set_weights", lambda self, arrays: None)
    with pytest.raises(CorruptArtefactError, match="did not take over"):
        build_features(weights)


def test_the_input_layer_keeps_its_contract():
    layer = GreyToVgg(name="x")
    assert GreyToVgg.from_config(layer.get_config()).name == "x"
    assert layer.compute_output_shape((None, 5, 7, 1)) == (None, 5, 7, 3)
    assert perceptual.BGR_MEAN == (103.939, 116.779, 123.68)


@pytest.mark.slow
def test_the_rescaled_network_is_the_original_up_to_a_factor_per_channel(images):
    if not REFERENCE.exists():
        pytest.skip("needs the reference weights beside the checkout")
    found = resolve_rescaled()
    rescaled = build_features(dataclasses.replace(found, feature_scale=1.0))(images).numpy()
    original = build_features(resolve(str(REFERENCE)))(images).numpy()
    axes = (0, 1, 2)
    square = np.sum(rescaled**2, axes)
    factor = np.sum(rescaled * original, axes) / np.maximum(square, 1e-30)
    np.testing.assert_allclose(factor * rescaled, original, atol=1e-5 * original.max())
    assert (factor[square > 0] > 0).all()
    assert found.feature_scale == NST_FEATURE_SCALE
