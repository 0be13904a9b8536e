"""What Keras promises of every layer and model, kept by each of ours."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import Circle, CircleCritic, CircleGenerator
from srmri_tf.networks.cpce import Cpce, CpceCritic, CpceGenerator
from srmri_tf.networks.layers import CriticLeakyReLU, StatelessDropout
from tests.srmri_tf.small import SmallCpceCritic, SmallCritic, SmallGenerator

PATCH = (32, 32)
NETWORKS = {
    "cpce generator": lambda **kw: CpceGenerator(shortcut=True, **kw),
    "cpce critic": lambda **kw: CpceCritic((16, 16), **kw),
    "circle generator": lambda **kw: CircleGenerator(dropout=0.1, **kw),
    "circle generator, full size": lambda **kw: CircleGenerator(first_stride=1, **kw),
    "circle critic": lambda **kw: CircleCritic("four_stage", PATCH, **kw),
    "circle critic, patchgan": lambda **kw: CircleCritic("patchgan", PATCH, **kw),
}
LAYERS = {
    "leaky": lambda **kw: CriticLeakyReLU(0.2, **kw),
    "dropout": lambda **kw: StatelessDropout(0.2, 3, **kw),
}
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]


def pairs(count, side=16):
    return np.random.default_rng(count).random((2, count, side, side, 1), np.float32)


def image(network):
    """Images of the size that the network is made for."""
    side = network.input_shape[1] or 16
    return pairs(2, side)[0]


def make_cpce(generator=CpceGenerator, critic=CpceCritic):
    model = Cpce(generator(shortcut=True), critic((16, 16)), objective={"perceptual": 0})
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-4))
    return model


def make_circle(generator=CircleGenerator, critic=CircleCritic):
    networks = [generator(name=name) for name in ("generator", "degrader")]
    critics = [critic("local", PATCH, name=name) for name in ("critic_y", "critic_x")]
    model = Circle(*networks, *critics)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-4))
    return model


@pytest.fixture(scope="module")
def cpce():
    """With networks that are quick to trace; test_cpce trains the real ones."""
    return make_cpce(SmallGenerator, SmallCpceCritic)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_network_survives_its_config_and_a_file(make, tmp_path):
    network = make(name="net")
    again = type(network).from_config(network.get_config())
    assert again.get_config() == network.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in network.weights]
    network.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    assert type(loaded) is type(network)
    x = image(network)
    np.testing.assert_array_equal(loaded(x), network(x))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_network_computes_in_its_policy_and_answers_in_float32(make, policy):
    network = make(dtype=policy)
    half = policy.removeprefix("mixed_")
    computing = {layer.compute_dtype for layer in network.layers if layer.weights}
    assert half in computing
    assert {w.dtype for w in network.weights} == {"float32"}
    assert network(image(network)).dtype == tf.float32


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_the_global_policy_is_the_default(make):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = make()
    finally:
        keras.config.set_dtype_policy(before)
    assert network.get_config()["dtype"] == "mixed_bfloat16"


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_summary_lists_every_layer(make):
    network, lines = make(), []
    network.summary(print_fn=lines.append, line_length=120)
    text = "\n".join(lines)
    assert all(layer.name in text for layer in network.layers)
    assert f"{network.count_params():,}" in text


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_layer_survives_its_config(make):
    layer = make(name="layer", dtype="mixed_bfloat16")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 2, 4, 2)
    np.testing.assert_array_equal(again(x), layer(x))
    assert layer(x).dtype == tf.bfloat16
    assert layer.compute_output_shape((1, 2, 4, 2)) == (1, 2, 4, 2)


@pytest.mark.parametrize("batch", ["fixed", "ordinary"])
def test_gan_cpce_is_fitted_from_an_ordinary_dataset(cpce, batch):
    lr, hr = pairs(8)
    data = tf.data.Dataset.from_tensor_slices((lr, hr))
    data = data.batch(4, drop_remainder=batch == "fixed")
    history = cpce.fit(data, epochs=1, verbose=0).history
    assert {"critic_loss", "generator_loss", "adversarial"} <= history.keys()
    assert np.isfinite([values[0] for values in history.values()]).all()


def test_gan_circle_is_fitted_from_an_ordinary_dataset():
    circle = make_circle(SmallGenerator, SmallCritic)  # test_circle trains the real ones
    data = tf.data.Dataset.from_tensor_slices(tuple(pairs(2, 32))).batch(2)
    history = circle.fit(data, epochs=1, verbose=0).history
    assert {"cycle", "identity", "supervised"} <= history.keys()


@pytest.mark.parametrize("drop_remainder", [True, False])
def test_a_batch_that_critic_updates_cannot_share_is_refused_with_the_reason(drop_remainder):
    model = make_cpce(SmallGenerator, SmallCpceCritic)
    data = tf.data.Dataset.from_tensor_slices(tuple(pairs(6)))
    data = data.batch(6, drop_remainder=drop_remainder)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="n_critic = 4"):
        model.fit(data, verbose=0)


def test_evaluate_gives_the_mean_error_and_psnr_of_the_pairs(cpce):
    lr, hr = pairs(6)
    data = tf.data.Dataset.from_tensor_slices((lr, hr)).batch(4)  # the last batch is smaller
    found = cpce.evaluate(data, verbose=0, return_dict=True)
    error = np.asarray(cpce(lr)) - hr
    assert found["l1"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    psnr = -10 * np.log10(np.square(error).mean(axis=(1, 2, 3)))
    assert found["psnr"] == pytest.approx(psnr.mean(), rel=1e-5)


@pytest.mark.parametrize("make", [make_cpce, make_circle])
def test_a_training_model_is_saved_with_its_optimisers(make, tmp_path):
    model = make()
    rng = np.random.default_rng(0)
    for variable in model.state().values():  # as if it had been trained
        values = rng.integers(1, 100, variable.shape)
        variable.assign(values if variable.dtype == "int64" else values / 1000)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    before, after = model.state(), loaded.state()
    assert before.keys() == after.keys()
    for name, variable in before.items():
        np.testing.assert_array_equal(variable, after[name], err_msg=name)


def test_callbacks_see_every_term_and_can_stop_the_fit(cpce):
    seen = []

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(set(logs))
            self.model.stop_training = True

    cpce.fit(*pairs(4), batch_size=4, epochs=3, callbacks=[Stop()], verbose=0)
    assert len(seen) == 1
    assert "wasserstein" in seen[0]
