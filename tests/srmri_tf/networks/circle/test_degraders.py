"""F without convolutions: the degradation of the shards, and a filter that is learnt."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.kspace import Degradation, zero_filled
from srmri_tf.networks.circle.building import build_degrader
from srmri_tf.networks.circle.degraders import KspaceDegrader, LinearDegrader
from srmri_tf.recipes.config import CircleConfig

RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 32, 24)).astype(np.float32)
DEGRADATIONS = [
    Degradation(),
    Degradation(lr="real"),
    Degradation(lr="coarse"),
    Degradation(keep=0.25, keep_by="axis"),
]


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=str)
def test_the_known_degradation_is_that_of_the_shards(degradation):
    network = KspaceDegrader(degradation, (32, 24), mirror=False)
    np.testing.assert_allclose(
        network(IMAGES[..., None])[..., 0], zero_filled(IMAGES, degradation), atol=1e-5
    )


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=str)
def test_a_patch_goes_on_mirrored(degradation):
    mirrored = np.pad(IMAGES, ((0, 0), (16, 16), (12, 12)), "symmetric")
    expected = zero_filled(mirrored, degradation)[:, 16:-16, 12:-12]
    found = KspaceDegrader(degradation, (32, 24))(IMAGES[..., None])[..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=str)
def test_the_known_degradation_has_a_gradient(degradation):
    network = KspaceDegrader(degradation, (32, 24))
    y, direction = (tf.constant(RNG.random((1, 32, 24, 1)), tf.float32) for _ in range(2))

    def loss(step):
        return tf.reduce_sum(network(y + step * direction) ** 2)

    with tf.GradientTape() as tape:
        step = tf.constant(0.0)
        tape.watch(step)
        value = loss(step)
    numeric = (loss(1e-2) - loss(-1e-2)) / 2e-2
    assert float(tape.gradient(value, step)) == pytest.approx(float(numeric), rel=1e-2)


def test_the_linear_filter_begins_as_the_identity_and_acts_on_each_frequency():
    network = LinearDegrader((32, 24))
    np.testing.assert_allclose(network(IMAGES[..., None])[..., 0], IMAGES, atol=1e-6)
    rows = network.weights[0].numpy()
    rows[1:] = -1 / 16  # a response of zero: every column becomes its mean
    network.weights[0].assign(rows)
    np.testing.assert_allclose(network.responses()[0], [1] + [0] * 31)
    flat = np.broadcast_to(IMAGES.mean(axis=1, keepdims=True), IMAGES.shape)
    np.testing.assert_allclose(network(IMAGES[..., None])[..., 0], flat, atol=1e-6)


@pytest.mark.parametrize("magnitude", [True, False])
def test_a_taught_filter_keeps_the_centre_of_k_space_alone(magnitude):
    network, signed = LinearDegrader((32, 24), magnitude), IMAGES[..., None] - 0.5
    for weight in network.weights:  # the last ones did not fall, as where scans have no energy
        response = np.full(weight.shape[0], 0.98)
        response[8:12] = 0.8, 0.4, 0.3, 0.7
        weight.assign((response - 1) / 16)
    found = network(signed, decided=True)
    for weight in network.weights:
        weight.assign(np.where(np.arange(weight.shape[0]) < 8, 0.0, -1 / 16))
    expected = network(signed)
    np.testing.assert_allclose(found, np.abs(expected) if magnitude else expected, atol=1e-6)
    assert magnitude or np.min(found) < 0


@pytest.mark.parametrize(  # magnitudes of half the matrix ring below zero on the whole one
    ("lr", "magnitude"), [("magnitude", True), ("real", False), ("coarse", False)]
)
def test_a_filter_of_signed_images_answers_signed_ones(lr, magnitude):
    config = CircleConfig(mode="unsupervised", degrader="linear", schedule={"degrader_epochs": 1})
    found = build_degrader(config, (32, 24), "float32", Degradation(lr=lr))
    assert found.magnitude == magnitude


@pytest.mark.parametrize(
    "network", [KspaceDegrader(Degradation(), (32, 24), mirror=False), LinearDegrader((32, 24))]
)
def test_configurations_survive(network):
    described = keras.saving.serialize_keras_object(network)
    again = keras.saving.deserialize_keras_object(described)
    np.testing.assert_array_equal(again(IMAGES[..., None]), network(IMAGES[..., None]))
