"""What both GANs share: averaged weights, phases."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.gan import AdversarialModel
from srmri_tf.networks.optimizers import make_optimizers
from srmri_tf.recipes.config import CpceConfig


class Pulled(AdversarialModel):
    """A generator that is pulled towards the images of its batch."""

    def __init__(self):
        super().__init__(("generator",), ("critic",), seed=0)
        self.generator, self.critic = (
            keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Dense(1, name=name)], name=name)
            for name in ("generator", "critic")
        )

    def step(self, data):
        def objective():
            error = self.generator(tf.ones_like(data[0])) - data[0]
            return tf.reduce_mean(tf.square(error)), {}

        return self.minimise_over_generators(objective, self.generator_variables())


def pulled(devices, ema, policy="float32"):
    """A compiled model on so many devices, and a function that takes one step of it."""
    config = CpceConfig.model_validate(
        {"optimizer": {"ema": ema}, "schedule": {"learning_rate": 0.1}}
    )
    names = [device.name for device in tf.config.list_logical_devices("CPU")[:devices]]
    strategy = tf.distribute.MirroredStrategy(names)
    with strategy.scope():
        model = Pulled()
        model.compile(*make_optimizers(config, policy))

    @tf.function(autograph=False)
    def step():
        strategy.run(model.train_step, ((tf.constant(2.0, shape=[4, 1, 1, 1]),),))

    return model, step


@pytest.mark.parametrize(
    ("devices", "policy"), [(1, "float32"), (2, "float32"), (1, "mixed_float16")]
)
def test_kept_weights_are_their_average_over_the_steps(devices, policy):
    model, step = pulled(devices, 0.75, policy)
    begun = model.kept_weights()
    for name, weights in zip(begun, model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(begun[name], weights)  # nothing to average yet
    history = []
    for _ in range(4):
        step()
        history.append(model.generator.get_weights())
    kept = model.kept_weights()
    assert list(kept) == ["generator/kernel", "generator/bias"]
    for place, average in enumerate(kept.values()):
        first, *rest = (weights[place] for weights in history)
        expected = first
        for weights in rest:
            expected = 0.75 * expected + 0.25 * weights
        np.testing.assert_allclose(average, expected, rtol=1e-6)
        assert not np.allclose(average, history[-1][place])


def test_without_an_average_the_weights_themselves_are_kept():
    model, step = pulled(1, 0.0)
    step()
    for kept, weights in zip(
        model.kept_weights().values(), model.generator.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(kept, weights)


def test_averages_are_part_of_a_checkpoint_and_critics_have_none():
    plain, averaged = (set(pulled(1, ema)[0].state()) for ema in (0.0, 0.5))
    assert plain < averaged
    assert len(averaged - plain) == 2  # kernel and bias of the generator
    assert all(name.startswith("generator_optimizer/") for name in averaged - plain)


def test_another_phase_is_trained_by_the_next_fit():
    model, _ = pulled(1, 0.0)
    seen = []

    def step(data):
        seen.append(model.phase)
        return {"loss": tf.constant(0.0)}

    model.step = step
    data = tf.data.Dataset.from_tensors((tf.ones([4, 1, 1, 1]),))
    for phase in ("content", "adversarial", "adversarial"):
        model.phase = phase
        model.fit(data, verbose=0)
    assert seen == ["content", "adversarial"]  # as they are traced
