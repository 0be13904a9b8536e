"""What both GANs share: two sides with an optimiser each, and training phases."""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from data_prep.errors import ConfigError
from srmri_tf.networks.gradients import Loss, keep_order, minimiser
from srmri_tf.networks.objective import faults_of, load_function
from srmri_tf.recipes.config import Phase

OPTIMIZERS = ("generator_optimizer", "critic_optimizer")
Logs = dict[str, tf.Tensor]


class AdversarialModel(keras.Model):
    """Generators against critics, as a Keras model; subclasses add ``step``.

    ``fit``, ``evaluate``, ``save`` and callbacks work as for any Keras model. A batch is a tuple
    that begins with (lr, hr), two (B, H, W, 1) images in [0, 1].

    Args:
        generators: Attribute names of the networks that make images; the first is the one that
            super-resolves.
        critics: Attribute names of the networks that score them.
        seed: Decides the steps' random numbers.

    Attributes:
        phase: What a step trains.
        xla: Whether XLA compiles the steps' gradients. Set it before the first step.
    """

    def __init__(
        self, generators: tuple[str, ...], critics: tuple[str, ...], seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._generators, self._critics = generators, critics
        self.seed = seed
        self._phase: Phase = "adversarial"
        self.xla = False
        self._compiled: dict[Phase, Any] = {}
        self.measures = {name: keras.metrics.Mean(name=name) for name in ("l1", "psnr")}

    @property
    def phase(self) -> Phase:
        """What a step trains."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase = phase
            if self.train_function is not None:  # Keras's, whose graph is of the phase before
                self.make_train_function(force=True)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        critic_optimizer: keras.optimizers.Optimizer,
        **kwargs: Any,
    ) -> None:
        """Attach an optimiser for each side, and create their slots for checkpoints to find.

        From now on TensorFlow rewrites no sums in this process (`gradients.keep_order`).
        """
        keep_order()
        kwargs.setdefault("jit_compile", False)
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        generator_optimizer.build(self.generator_variables())
        critic_optimizer.build(self.critic_variables())
        self.built = True

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimisers."""
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in OPTIMIZERS
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with the optimisers that ``get_compile_config`` described."""
        self.compile(
            **{name: keras.saving.deserialize_keras_object(config[name]) for name in OPTIMIZERS}
        )

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Super-resolve (B, H, W, 1) images."""
        return getattr(self, self._generators[0])(lr, training=training)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """One step of the current phase on one batch; returns the loss terms."""
        if not tf.executing_eagerly():
            return self.step(data)
        if self.phase not in self._compiled:  # gradients need a graph
            self._compiled[self.phase] = tf.function(self.step, autograph=False)
        return self._compiled[self.phase](data)

    def step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """What ``train_step`` does, inside a ``tf.function``."""
        raise NotImplementedError

    def test_step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """Mean absolute error and PSNR (dB, range 1) of the generator on pairs."""
        lr, hr, *_ = data
        hr = tf.cast(hr, tf.float32)
        sr = tf.cast(self(lr, training=False), tf.float32)
        self.measures["l1"].update_state(tf.reduce_mean(tf.abs(sr - hr), axis=(1, 2, 3)))
        self.measures["psnr"].update_state(tf.image.psnr(sr, hr, max_val=1.0))
        return {name: measure.result() for name, measure in self.measures.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Those of ``evaluate``, which Keras resets before each pass."""
        return list(self.measures.values())

    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's optimiser trains."""
        return [v for name in self._generators for v in getattr(self, name).trainable_variables]

    def critic_variables(self) -> list[keras.Variable]:
        """What the critic's optimiser trains."""
        return [v for name in self._critics for v in getattr(self, name).trainable_variables]

    def minimise_over_generators(self, objective: Loss, variables: list[keras.Variable]) -> Logs:
        """One step of the generators' optimiser on these weights; returns its terms."""
        return self.minimiser("generator", objective, variables)()

    def minimise_over_critics(self, objective: Loss, variables: list[keras.Variable]) -> Logs:
        """One step of the critics' optimiser on these weights; returns its terms."""
        return self.minimiser("critic", objective, variables)()

    def minimiser(
        self,
        side: Literal["generator", "critic"],
        objective: Loss,
        variables: list[keras.Variable],
    ) -> Callable[..., Logs]:
        """What takes steps of a side's optimiser on these weights; see `gradients.minimiser`."""
        minimise = minimiser(objective, variables, getattr(self, f"{side}_optimizer"), self.xla)

        def step(*tensors: tf.Tensor) -> Logs:
            loss, terms, norm = minimise(*tensors)
            return {f"{side}_loss": loss, **terms, f"{side}_gradient_norm": norm}

        return step

    def optimizers(self) -> tuple[keras.optimizers.Optimizer, ...]:
        """Every optimiser; the schedule sets all their rates."""
        return self.generator_optimizer, self.critic_optimizer

    def kept_weights(self) -> dict[str, np.ndarray]:
        """What a run measures and keeps of the network that super-resolves, by ``LAYER/VARIABLE``.

        Its weights, or, where the optimiser has an average of them, that.
        """
        optimizer = self.generator_optimizer
        network = variables_by_layer(getattr(self, self._generators[0]))
        averages = [v for v in optimizer.variables if v.path.endswith("_average")]
        if not averages or not np.asarray(optimizer.iterations):  # zero before the first step
            return {name: np.asarray(v) for name, v in network.items()}
        kept = dict(zip(map(id, self.generator_variables()), averages, strict=True))
        return {name: np.asarray(kept.get(id(v), v)) for name, v in network.items()}

    def state(self, *, critics: bool = True) -> dict[str, keras.Variable]:
        """Every variable that training changes, by a name that is the same in every run.

        Args:
            critics: Also those that only updates of the critics change.
        """
        sides = [(self._generators, "generator_optimizer")]
        if critics:
            sides.append((self._critics, "critic_optimizer"))
        state = {}
        for networks, optimizer in sides:
            for network in networks:
                for name, variable in variables_by_layer(getattr(self, network)).items():
                    state[f"{network}/{name}"] = variable
            for index, variable in enumerate(getattr(self, optimizer).variables):
                state[f"{optimizer}/{index:03d}"] = variable
        return state


def variables_by_layer(network: keras.Model) -> dict[str, keras.Variable]:
    """A network's weights by ``LAYER/VARIABLE``, such as ``conv1/kernel``."""
    return {"/".join(v.path.split("/")[-2:]): v for v in network.weights}


def own_generator(function: str, policy: str, name: str) -> keras.Model:
    """A generator that the user's own ``package.module:function`` makes.

    Args:
        function: Takes a Keras dtype policy and a name, and returns the model.
        policy: That policy.
        name: That name.

    Raises:
        ConfigError: There is no such function, it does not make a model that keeps an image's size,
            or weights that are kept by their layers' names would not be found again.
    """
    make = load_function(function)
    with faults_of(function):
        network, again = (_sized(function, make(dtype=policy, name=name)) for _ in range(2))
    names = variables_by_layer(network).keys()
    if names != variables_by_layer(again).keys():
        raise ConfigError(
            f"{function} makes layers whose names differ from call to call",
            remedy="Give a name to every layer that has weights",
        )
    if len(names) < len(network.weights):
        raise ConfigError(
            f"{function} gives one name to several layers that have weights",
            remedy="Give each a name of its own, also within models inside the model",
        )
    return network


def _sized(function: str, network: Any) -> keras.Model:
    """A user's generator, with its weights, once it is known to keep the size of an image."""
    if not isinstance(network, keras.Model):
        raise ConfigError(
            f"{function} returns a {type(network).__name__}, not a keras.Model",
            remedy="Return the model itself, not its output",
        )
    output = network(tf.zeros([1, 9, 10, 1]))
    if tuple(output.shape) != (1, 9, 10, 1):
        raise ConfigError(
            f"{function} makes a model from (1, 9, 10, 1) to {tuple(output.shape)}, not to the "
            "same shape",
            remedy='Pad with "same", and end in one channel',
        )
    if output.dtype != tf.float32:
        raise ConfigError(
            f"{function} makes a model whose output is {output.dtype.name}, not float32",
            remedy='Give its last layer dtype="float32"',
        )
    return network
