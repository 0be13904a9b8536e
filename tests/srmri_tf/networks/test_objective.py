"""Terms of the user's own: found, weighted, differentiated."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.errors import ConfigError
from srmri_tf.models.stored import meaning, tiling
from srmri_tf.networks.circle import Circle
from srmri_tf.networks.cpce import Cpce
from srmri_tf.networks.gan import own_generator, variables_by_layer
from srmri_tf.networks.objective import load_function, own_terms
from srmri_tf.recipes.config import CircleConfig, CpceConfig, CpceObjective
from tests.srmri_tf.small import SmallCritic, SmallGenerator

MODULE = """
import keras
import tensorflow as tf

number = 3

def squares(lr, sr, hr):
    return tf.reduce_mean((sr - hr) ** 2) + tf.reduce_mean(lr)

def image(lr, sr, hr):
    return sr

def l1(lr, sr, hr):
    return 7 * tf.reduce_mean(sr)

def output(dtype, name):
    return keras.Input((None, None, 1))

def smaller(dtype, name):
    lr = keras.Input((None, None, 1))
    return keras.Model(lr, keras.layers.Conv2D(1, 3, name="conv")(lr), name=name)

def twice(dtype, name):
    lr = keras.Input((None, None, 1))
    parts = [
        keras.Sequential([keras.layers.Conv2D(1, 3, padding="same", name="conv")], name=f"part{i}")
        for i in (1, 2)
    ]
    return keras.Model(lr, parts[1](parts[0](lr)), name=name)

class Dropping(keras.Model):
    def __init__(self, name):
        super().__init__(name=name)
        self.conv = keras.layers.Conv2D(1, 3, padding="same", name="conv")
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, lr, training=False):
        return lr + self.conv(self.dropout(lr, training=training))

def dropping(dtype, name):
    return Dropping(name)

class Subclass(keras.Model):
    def __init__(self, name):
        super().__init__(name=name)
        self.dropout = 0.1
        self.conv = keras.layers.Conv2D(1, 3, padding="same", name="a")

    def call(self, images, training=False):
        return images + self.conv(images)


def subclass(dtype, name):
    return Subclass(name)


def fails(lr, sr, hr):
    return nowhere


def half(dtype, name):
    lr = keras.Input((None, None, 1))
    sr = keras.layers.Conv2D(1, 3, padding="same", name="a", dtype="mixed_bfloat16")(lr)
    return keras.Model(lr, sr, name=name)


def unnamed(dtype, name):
    lr = keras.Input((None, None, 1))
    return keras.Model(lr, keras.layers.Conv2D(1, 3, padding="same")(lr), name=name)
"""


class Black:
    """The images of a step."""

    lr = sr = hr = tf.zeros([2, 4, 4, 1])


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_terms.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine_terms", None)


@pytest.mark.usefixtures("mine")
def test_a_term_is_weighted_into_the_loss_and_its_gradient():
    lr, hr = np.random.default_rng(0).random((2, 2, 16, 16, 1), np.float32)
    objective = CpceObjective(
        perceptual=0, adversarial=0, n_critic=1, own={"mine_terms:squares": 3.0}
    )
    model = Cpce(SmallGenerator(), SmallCritic(patch=(16, 16)), None, objective)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0))
    weights = model.generator.trainable_variables
    before = [w.numpy() for w in weights]
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean((model.generator(lr) - hr) ** 2) + lr.mean()
    gradients = tape.gradient(expected, [w.value for w in weights])
    logs = model.train_step((tf.constant(lr), tf.constant(hr)))
    assert float(logs["mine_terms:squares"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(logs["generator_loss"]) == pytest.approx(3 * float(expected), rel=1e-5)
    for old, gradient, new in zip(before, gradients, weights, strict=True):
        np.testing.assert_allclose(new, old - 0.3 * gradient.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("absent_module:term", "absent_module:term cannot be imported"),
        ("mine_terms:absent", "mine_terms:absent cannot be imported"),
        ("mine_terms:number", "mine_terms:number is no function"),
        ("broken_terms:term", r"broken_terms:term cannot be imported \(SyntaxError"),
    ],
)
def test_what_is_no_function_is_refused_by_its_name(name, fault, tmp_path):
    (tmp_path / "broken_terms.py").write_text("def term(lr, sr, hr) return 0")
    with pytest.raises(ConfigError, match=fault):
        load_function(name)


@pytest.mark.usefixtures("mine")
def test_a_term_that_is_not_one_number_is_refused():
    (term,) = own_terms({"mine_terms:image": 1.0})
    with pytest.raises(ConfigError, match=r"mine_terms:image gives a tensor of shape \(2, 4, 4, 1"):
        term.value(Black)


@pytest.mark.usefixtures("mine")
def test_a_term_that_fails_is_named():
    (term,) = own_terms({"mine_terms:fails": 1.0})
    with pytest.raises(ConfigError, match=r"mine_terms:fails fails \(NameError: .*nowhere"):
        term.value(Black)


@pytest.mark.usefixtures("mine")
def test_a_term_does_not_hide_one_of_the_papers_that_is_called_the_same():
    lr, hr = np.random.default_rng(0).random((2, 2, 16, 16, 1), np.float32)
    objective = CpceObjective(
        perceptual=0, adversarial=0, n_critic=1, l1=2.0, own={"mine_terms:l1": 3.0}
    )
    model = Cpce(SmallGenerator(), SmallCritic(patch=(16, 16)), None, objective)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    sr = model.generator(lr).numpy()
    logs = model.train_step((tf.constant(lr), tf.constant(hr)))
    expected = 2 * np.abs(sr - hr).mean() + 3 * 7 * sr.mean()
    assert float(logs["generator_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("fails", r"fails \(TypeError: .*dtype"),
        ("half", "output is bfloat16, not float32"),
        ("unnamed", "names differ from call to call"),
        ("twice", "one name to several layers"),
        ("output", "KerasTensor, not a keras.Model"),
        ("smaller", r"from \(1, 9, 10, 1\) to \(1, 7, 8, 1\)"),
    ],
)
def test_a_generator_that_cannot_be_trained_or_kept_is_refused(name, fault):
    with pytest.raises(ConfigError, match=f"mine_terms:{name} .*{fault}"):
        own_generator(f"mine_terms:{name}", "float32", "generator")


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("name", "layer"), [("dropping", "conv"), ("subclass", "a")])
def test_a_generator_may_drop_features_in_its_own_way(name, layer):
    networks = [own_generator(f"mine_terms:{name}", "float32", each) for each in "gf"]
    assert variables_by_layer(networks[0]).keys() == {f"{layer}/kernel", f"{layer}/bias"}
    model = Circle(*networks, SmallCritic(patch=(16, 16)), SmallCritic(patch=(16, 16)))
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    x, y = tf.random.stateless_uniform([2, 2, 16, 16, 1], [0, 0])
    assert np.isfinite(float(model.train_step((x, y))["generator_loss"]))


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("config", [CpceConfig, CircleConfig])
def test_of_a_users_generator_only_its_function_matters(config):
    """GAN-CIRCLE's stride, for one, would have odd images mirrored."""
    recipe = config(generator={"function": "mine_terms:dropping"})
    assert meaning(recipe) == {"function": "mine_terms:dropping"}
    assert tiling(recipe.model, meaning(recipe)) == (64, 16)
