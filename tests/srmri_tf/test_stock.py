"""The stock networks against ours, which share no code with them."""

import numpy as np
import pytest
from srmri_tf.stock import stock_model

from srmri_tf.config import CircleConfig, CpceConfig
from srmri_tf.generators import MODELS, variables_by_layer
from srmri_tf.stored import meaning

RNG = np.random.default_rng(0)
CONFIGS = {
    "cpce": CpceConfig(),
    "cpce with shortcut": CpceConfig(generator={"shortcut": True}),
    "circle": CircleConfig(),
    "circle at full size": CircleConfig(generator={"first_stride": 1}),
    "circle as released": CircleConfig(generator={"widths": "released"}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_are_those_of_our_network(name):
    config = CONFIGS[name]
    ours = MODELS[config.model].build_generator(config, "float32")
    stock = stock_model(config.model, meaning(config))
    theirs = variables_by_layer(stock)
    for layer, variable in variables_by_layer(ours).items():
        variable.assign(0.1 * RNG.standard_normal(variable.shape))  # biases, too
        theirs[layer].assign(variable.numpy())
    lr = RNG.random((2, 26, 34, 1), np.float32)
    expected = ours(lr).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(stock(lr), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "weights"), [("cpce", 62_016), ("circle", 168_104)])
def test_the_number_of_weights_is_the_papers(name, weights):
    config = CONFIGS[name]
    assert stock_model(config.model, meaning(config)).count_params() == weights


def test_every_layer_is_keras_own():
    for config in CONFIGS.values():
        layers = stock_model(config.model, meaning(config)).layers
        assert {layer.__module__.split(".")[0] for layer in layers} == {"keras"}
