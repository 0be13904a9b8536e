"""The fused update against Adam written out in NumPy."""

import keras
import numpy as np

from srmri_tf.adam import FusedAdam

RNG = np.random.default_rng(0)


def adam(weights, gradients, rate, beta_1, beta_2, epsilon=1e-7):
    """Kingma and Ba 2015, the efficient form of section 2."""
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for step, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        corrected = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        weights = weights - corrected * m / (np.sqrt(v) + epsilon)
    return weights


def test_steps_are_adams():
    start = RNG.standard_normal((4, 3))
    gradients = RNG.standard_normal((5, 4, 3))
    variable = keras.Variable(start)
    optimizer = FusedAdam(0.01, beta_1=0.8, beta_2=0.95)
    for gradient in gradients.astype(np.float32):
        optimizer.apply([gradient], [variable])
    expected = adam(start, gradients, 0.01, 0.8, 0.95)
    np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)
    assert int(optimizer.iterations) == 5


def test_the_amsgrad_variant_is_kerass():
    results = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        variable = keras.Variable(np.ones(3))
        optimizer = kind(0.1, amsgrad=True)
        for gradient in ([1.0, 2.0, 3.0], [0.1, -1.0, 0.0]):
            optimizer.apply([np.array(gradient, np.float32)], [variable])
        results.append(np.asarray(variable))
    np.testing.assert_array_equal(*results)


def test_it_survives_its_config():
    optimizer = FusedAdam(0.02, beta_1=0.5)
    assert FusedAdam.from_config(optimizer.get_config()).beta_1 == 0.5
