"""Sums in a fixed order: no step adds three tensors at once, and every run has equal bits."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from srmri_tf.networks.circle import Circle, CircleCritic, CircleGenerator
from srmri_tf.networks.circle.degraders import LinearDegrader
from srmri_tf.networks.circle.fixed_degrader import FixedDegraderCircle
from srmri_tf.networks.cpce import Cpce, CpceCritic, CpceGenerator
from srmri_tf.networks.gradients import gradients, minimiser, ordered_sum
from srmri_tf.recipes.config import CircleObjective, CpceObjective
from srmri_tf.training.devices import make_strategy
from tests.srmri_tf.conftest import rewrite_graphs
from tests.srmri_tf.small import SmallCritic, SmallGenerator

RNG = np.random.default_rng(0)


class Features(keras.Model):
    def call(self, x, training=False):
        return tf.nn.avg_pool2d(x, 4, 4, "VALID")


def own(lr, sr, hr):
    """A term of the user's own that needs its images several times."""
    return tf.reduce_mean(tf.image.total_variation(sr) * tf.square(tf.reduce_mean(sr - hr + lr)))


def make_cpce():
    objective = CpceObjective(perceptual=1, l1=2, l2=3, n_critic=2, own={f"{__name__}:own": 1})
    model = Cpce(CpceGenerator(shortcut=True), CpceCritic((16, 16)), Features(), objective)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    return model, 16


def circle(networks, critics, kind=Circle):
    model = kind(*networks, *critics, CircleObjective(own={f"{__name__}:own": 1}))
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    return model, 32


def make_circle():
    networks = [CircleGenerator(name=name) for name in ("generator", "degrader")]
    critics = [CircleCritic("four_stage", (32, 32), name=n) for n in ("critic_y", "critic_x")]
    return circle(networks, critics)


def make_small_circle():
    """The same step, in which the same images and networks meet, quicker to trace."""
    networks = [SmallGenerator(name=name) for name in ("generator", "degrader")]
    critics = [SmallCritic(patch=(32, 32), name=name) for name in ("critic_y", "critic_x")]
    return circle(networks, critics)


def drop_nothing(model):
    for network in (model.generator, getattr(model, "degrader", None)):
        if hasattr(network, "dropout"):
            network.dropout = 0.0


def make_small_fixed_circle():
    degrader = LinearDegrader((32, 32))  # begins as the identity: at the kink of |F(x) - x|
    degrader.set_weights([weights + 0.01 for weights in degrader.get_weights()])
    networks = [SmallGenerator(name="generator"), degrader]
    critics = [SmallCritic(patch=(32, 32), name=name) for name in ("critic_y", "critic_x")]
    return circle(networks, critics, FixedDegraderCircle)


def test_gradients_are_those_of_a_tape():
    x = RNG.random((3, 4), np.float32)

    def value(x):
        return tf.reduce_sum(tf.sin(x) * x + tf.square(x) / (1 + x))

    with tf.GradientTape() as tape:
        tape.watch(watched := tf.constant(x))
        expected = tape.gradient(value(watched), watched)
    (found,) = tf.function(lambda x: gradients(value(x), [x]))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_ordered_sum_is_the_sum():
    values = RNG.random((5, 3), np.float32)
    found = tf.function(ordered_sum)(list(map(tf.constant, values)))
    np.testing.assert_allclose(found, values.sum(axis=0), rtol=1e-6)


@pytest.fixture(autouse=True)
def _graphs_are_rewritten():
    """As in a user's process, and not as in the other tests."""
    rewrite_graphs(True)
    yield
    rewrite_graphs(False)


slow = pytest.mark.slow  # an adversarial step has all that is in the others
CASES = [
    (make_cpce, "adversarial"),
    (make_small_circle, "adversarial"),
    *(pytest.param(make_cpce, phase, marks=slow) for phase in ("content", "critic")),
    *(pytest.param(make_circle, p, marks=slow) for p in ("content", "critic", "adversarial")),
]


def rewritten(function, *arguments) -> Iterator:
    """Call a function; every operation of it, as TensorFlow has rewritten it."""
    context.context().enable_run_metadata()
    context.context().export_run_metadata()  # forgets what ran before
    try:
        function(*arguments)
        graphs = context.context().export_run_metadata().function_graphs
    finally:
        context.context().disable_run_metadata()
    for graph in graphs:
        yield from graph.post_optimization_graph.node
        for function in graph.post_optimization_graph.library.function:
            yield from function.node_def


def sums(nodes) -> list[int]:
    """How many tensors each AddN adds."""
    return [node.attr["N"].i for node in nodes if node.op == "AddN"]


@pytest.mark.parametrize(("make", "phase"), CASES)
def test_a_step_adds_two_tensors_at_a_time_and_is_the_same_to_the_bit_ten_times(make, phase):
    model, side = make()
    model.phase = phase
    step = tf.function(model.step, autograph=False)
    pairs = tuple(tf.constant(RNG.random((2, 4, side, side, 1), np.float32)))
    assert set(sums(rewritten(step, pairs))) <= {2}
    state = model.state()
    before = {name: np.array(variable) for name, variable in state.items()}
    expected: dict[str, np.ndarray] = {}
    for _ in range(10):
        for name, variable in state.items():
            variable.assign(before[name])
        step(pairs)
        for name, variable in state.items():
            np.testing.assert_array_equal(variable, expected.setdefault(name, np.array(variable)))


@pytest.mark.parametrize(
    ("make", "phases"),
    [
        pytest.param(make_small_circle, ["adversarial"], marks=slow),
        (make_small_circle, ["content", "critic"]),
        pytest.param(make_cpce, ["content", "adversarial"], marks=slow),
        pytest.param(make_small_fixed_circle, ["degrader", "content", "adversarial"], marks=slow),
        pytest.param(make_circle, ["adversarial"], marks=slow),
    ],
)
def test_xla_takes_the_steps_that_tensorflow_takes(make, phases):
    """From the same weights: losses, and each gradient, of which Adam's first means are a tenth."""
    keras.utils.set_random_seed(0)
    model, side = make()
    drop_nothing(model)  # XLA draws other random numbers
    for optimizer in model.optimizers():
        optimizer.learning_rate.assign(0.0)  # Adam's first step would go by the sign of noise
    images = np.random.default_rng(0).random((2, 4, side, side, 1), np.float32)
    pairs = tuple(tf.constant(images))
    state = model.state()
    before = {name: np.array(variable) for name, variable in state.items()}
    for model.phase in phases:
        found: dict[bool, tuple[dict, dict]] = {}
        for model.xla in (False, True):
            for name, variable in state.items():
                variable.assign(before[name])
            step = tf.function(model.step, autograph=False)
            functions = step.get_concrete_function(pairs).graph.as_graph_def().library.function
            assert any(f.attr["_XlaMustCompile"].b for f in functions) == model.xla
            logs = step(pairs)
            moments = {n: np.array(v) for n, v in state.items() if "_optimizer/" in n}
            found[model.xla] = logs, moments
        (logs, moments), (compiled_logs, compiled_moments) = found[False], found[True]
        assert list(logs) == list(compiled_logs)
        for name, value in logs.items():
            np.testing.assert_allclose(compiled_logs[name], value, 1e-4, 1e-6, err_msg=name)
        changed = [n for n in moments if not np.array_equal(moments[n], before[n])]
        assert len(changed) > 4
        for name, value in moments.items():
            bound = 1e-2 * np.abs(value).max()  # where real and made images nearly cancel
            np.testing.assert_allclose(compiled_moments[name], value, 0, bound, err_msg=name)


def test_the_check_sees_a_sum_of_three():
    def add(x, y):
        return tf.add_n([tf.sin(x), tf.cos(y), x * y])

    assert sums(rewritten(tf.function(add), tf.ones([100]), tf.ones([100]))) == [3]


@pytest.mark.parametrize("overflows", [0, 1])
def test_where_one_replica_overflows_all_skip_the_step(overflows):
    strategy = make_strategy("cpu:2")
    with strategy.scope():
        weight = keras.Variable(np.ones(3, np.float32), name="weight")
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5))
        optimizer.build([weight])

    def replica_step(large):
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        factor = tf.where(tf.equal(number, overflows), large, 1.0)
        minimiser(lambda: (tf.reduce_sum(weight * factor), {}), [weight], optimizer)()

    @tf.function(autograph=False)
    def step(large):
        strategy.run(replica_step, (large,))

    step(tf.constant(1e38))  # times the scale of the loss it is infinite
    np.testing.assert_array_equal(weight, 1)
    step(tf.constant(3.0))
    np.testing.assert_array_equal(weight, 1 - 0.5 * (3 + 1) / 2)
