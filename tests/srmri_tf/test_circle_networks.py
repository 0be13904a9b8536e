"""GAN-CIRCLE's networks against the published shapes and counts; dropout without a state."""

import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import CircleCritic, CircleGenerator
from srmri_tf.networks.layers import stateless_dropout

RNG = np.random.default_rng(0)


def generator(**kwargs):
    network = CircleGenerator(**kwargs)
    network.build((None, None, None, 1))
    return network


def critic(form="eight_conv", side=64):
    network = CircleCritic(form=form)
    network.build((None, side, side, 1))
    return network


def test_generator_has_the_published_counts():
    assert generator().count_params() == 168_104
    assert generator(first_stride=1).count_params() == 164_536
    assert generator(widths="released").count_params() == 611_418


@pytest.mark.parametrize(
    ("form", "count"),
    [("eight_conv", 16_720_385), ("four_stage", 11_147_073), ("patchgan", 2_764_481)],
)
def test_critics_have_the_published_counts(form, count):
    assert critic(form).count_params() == count


def test_generator_layers_have_the_published_weights():
    counts = {layer.name: layer.count_params() for layer in generator().layers}
    features = [640, 31158, 23376, 18619, 15132, 12320, 9796, 7840, 6325, 4972, 3582, 2608]
    tail = {"A1": 10176, "B1": 3392, "B2": 584, "C1": 9248, "C2": 8192, "out": 144}
    assert counts == {f"feat{i + 1}": n for i, n in enumerate(features)} | tail
    assert generator(first_stride=1).get_layer("C2").count_params() == 4624


def test_released_generator_layers_have_the_published_weights():
    counts = [layer.count_params() for layer in generator(widths="released").layers]
    features = [1280, 121065, 87032, 66320, 50470, 38491, 29150, 21510, 15022, 10020, 5962, 3184]
    assert counts == [*features, 47360, 23680, 2312, 46728, 41508, 324]


def test_generator_works_at_half_the_size():
    network = generator()
    x = tf.zeros([1, 64, 64, 1])
    for conv, width in zip(
        network.blocks, (64, 54, 48, 43, 39, 35, 31, 28, 25, 22, 18, 16), strict=True
    ):
        x = conv(x)
        assert x.shape == (1, 32, 32, width)
    assert network.c2(tf.zeros([1, 32, 32, 32])).shape == (1, 64, 64, 16)


@pytest.mark.parametrize(
    ("form", "sides", "widths"),
    [
        ("eight_conv", (64, 32, 32, 16, 16, 8, 8, 4), (64, 64, 128, 128, 256, 256, 512, 512)),
        ("four_stage", (32, 16, 8, 4), (64, 128, 256, 512)),
        ("patchgan", (32, 16, 8, 8), (64, 128, 256, 512)),
    ],
)
def test_critic_layers_have_the_published_sizes(form, sides, widths):
    network = critic(form)
    shape = (None, 64, 64, 1)
    for conv, side, width in zip(network.convs, sides, widths, strict=True):
        shape = conv.compute_output_shape(shape)
        assert shape == (None, side, side, width)
    assert len(network.norms) == len(sides) - (form != "four_stage")
    if form == "patchgan":
        assert network.scores.compute_output_shape(shape) == (None, 8, 8, 1)
    else:
        assert network.dense1.kernel.shape == (4 * 4 * 512, 1024)


@pytest.mark.parametrize("first_stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (17, 12), (181, 217)])
def test_generator_keeps_any_size(height, width, first_stride):
    network = generator(first_stride=first_stride)
    assert network(tf.zeros([1, height, width, 1])).shape == (1, height, width, 1)


def test_an_odd_image_is_treated_like_the_even_one_it_is_cut_from():
    # Far from the cut, both must be the same: sampled at the same places, nothing shifted.
    network = generator()
    x = RNG.random((1, 80, 80, 1), np.float32)
    whole, cut = network(x), network(x[:, :79, :79])
    np.testing.assert_allclose(cut[:, :30, :30], whole[:, :30, :30], atol=1e-5)


def test_the_input_is_added_to_a_linear_output():
    network = generator()
    network.out.kernel.assign(tf.zeros_like(network.out.kernel))
    x = RNG.standard_normal((1, 9, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(network(x), x)


def test_the_reconstruction_sees_every_block():
    network = generator()
    x = tf.constant(RNG.random((1, 8, 8, 1), np.float32))
    for conv in network.blocks:
        before = network(x)
        conv.bias.assign_add(tf.ones_like(conv.bias))
        assert float(tf.reduce_max(tf.abs(network(x) - before))) > 1e-4
    kernel = network.a1.kernel
    assert kernel.shape[2] == 64 + 54 + 48 + 43 + 39 + 35 + 31 + 28 + 25 + 22 + 18 + 16


def test_initial_biases_are_zero_and_kernels_he_normal():
    network = generator()
    assert all(not np.any(conv.bias.numpy()) for conv in network.blocks)
    kernel = network.blocks[1].kernel.numpy()  # 3x3x64 inputs
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.05)


def test_critics_mix_no_samples():
    network = critic("four_stage", 32)
    both = RNG.random((2, 32, 32, 1), np.float32)
    alone = np.concatenate([network(both[:1]), network(both[1:])])
    np.testing.assert_allclose(network(both), alone, rtol=1e-4, atol=1e-4)


def test_a_norm_takes_away_the_mean_and_never_amplifies():
    features = 5 + 2 * RNG.standard_normal((2, 7, 6, 64)).astype(np.float32)
    mean, variance = (f(features, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
    expected = (features - mean) / np.sqrt(variance + 1)
    found = critic("four_stage", 32).norms[0](features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["eight_conv", "four_stage", "patchgan"])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.3])
def test_an_untrained_critic_is_steep_nowhere(form, noise):
    """Not even on air, where instance norm with the usual epsilon has a slope of up to 1e10."""
    network = critic(form, 64)
    images = tf.constant(noise * RNG.random((2, 64, 64, 1), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = network(images)
    slopes = tf.norm(tf.reshape(tape.gradient(scores, images), [2, -1]), axis=1)
    assert float(tf.reduce_max(slopes)) < 3


def test_patchgan_scores_are_the_mean_of_the_map():
    network = critic("patchgan", 32)
    network.scores.kernel.assign(tf.zeros_like(network.scores.kernel))
    network.scores.bias.assign([2.5])
    np.testing.assert_allclose(network(tf.zeros([3, 32, 32, 1])), np.full((3, 1), 2.5))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (CircleGenerator, {"widths": "released", "first_stride": 1, "dropout": 0.1}),
        (CircleCritic, {"form": "patchgan"}),
        (CircleCritic, {"form": "four_stage"}),
    ],
)
def test_a_network_survives_its_own_config_and_a_file(kind, options, tmp_path):
    network = kind(name="net", **options)
    network.build((None, 32, 32, 1))
    x = RNG.random((2, 32, 32, 1), np.float32)
    clone = kind.from_config(network.get_config())
    clone.build((None, 32, 32, 1))
    network.save_weights(tmp_path / "net.weights.h5")
    clone.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(clone(x), network(x))
    assert {k: clone.get_config()[k] for k in options} == options


@pytest.mark.parametrize("kind", [CircleGenerator, CircleCritic])
def test_mixed_precision_computes_in_half_and_answers_in_single(kind):
    network = kind(dtype="mixed_bfloat16")
    network.build((None, 32, 32, 1))
    assert {w.dtype for w in network.weights} == {"float32"}
    assert network(tf.ones([1, 32, 32, 1])).dtype == tf.float32
    conv = network.blocks[0] if kind is CircleGenerator else network.convs[0]
    assert conv(tf.ones([1, 32, 32, 1])).dtype == tf.bfloat16


# dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = tf.ones([64, 10, 10, 7])
    dropped = stateless_dropout(x, 0.2, tf.constant([1, 2], tf.int64), 0).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1.25)}
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)
    # No row, column, channel or sample is special.
    for axes in [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]:
        assert np.ptp((dropped == 0).mean(axes)) < 0.1


def test_dropout_differs_between_layers_passes_and_steps():
    x = tf.ones([4, 6, 6, 5])
    masks = [
        stateless_dropout(x, 0.5, tf.constant(noise, tf.int64), layer).numpy().tobytes()
        for noise in ([1, 2], [1, 3], [2, 2])
        for layer in (0, 1)
    ]
    assert len(set(masks)) == 6
    again = stateless_dropout(x, 0.5, tf.constant([1, 2], tf.int64), 0)
    assert again.numpy().tobytes() == masks[0]


@pytest.mark.parametrize("side", [8, 5])
def test_dropout_is_the_same_on_one_and_two_devices(side):
    noise = tf.constant([1, 2], tf.int64)

    def drop(samples):
        return stateless_dropout(tf.ones([samples, side, side, 3]), 0.5, noise, 1)

    devices = [d.name for d in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)
    parts = strategy.experimental_local_results(strategy.run(drop, (3,)))
    np.testing.assert_array_equal(np.concatenate(parts), drop(6))


def test_a_generator_drops_only_where_noise_is_given():
    network = generator(dropout=0.2)
    x = tf.constant(RNG.random((2, 8, 8, 1), np.float32))
    noise = tf.constant([0, 0], tf.int64)
    np.testing.assert_array_equal(network(x, training=True), network(x))
    assert np.any(network(x, noise=noise) != network(x))
    np.testing.assert_array_equal(network(x, noise=noise), network(x, noise=noise))
    off = generator(dropout=0.0)
    np.testing.assert_array_equal(off(x, noise=noise), off(x))
