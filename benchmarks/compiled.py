"""Training steps whose gradients are computed by XLA, and whose weights TensorFlow updates.

XLA cannot compile a step on several replicas, and on a processor it loses. What it gets here is
each part of a step from images to gradients, on one device. The mathematics is that of
`train_step`, but that G(x) of GAN-CPCE's last critic update is computed once more for the
generator's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from srmri_tf.networks.circle import Circle
from srmri_tf.networks.circle.model import Images as CircleImages
from srmri_tf.networks.cpce import Cpce, Images
from srmri_tf.networks.gradients import minimise
from srmri_tf.networks.objective import weighted_sum

Logs = dict[str, tf.Tensor]


class _Catcher:
    """Takes an optimiser's place inside a compiled function, and keeps what it is given."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._optimizer = optimizer
        self.iterations = optimizer.iterations
        self.scale_loss = optimizer.scale_loss
        self.gradients: Sequence[tf.Tensor] = []

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]) -> None:
        self.gradients = gradients


def compiled(
    model: keras.Model,
    side: str,
    variables: Sequence[keras.Variable],
    update: Callable[..., Logs],
) -> Callable[..., Logs]:
    """An update whose gradients XLA computes.

    Args:
        model: Whose update.
        side: Attribute of the optimiser that the update uses.
        variables: What that optimiser trains.
        update: From tensors to loss terms.
    """
    optimizer = getattr(model, side)

    @tf.function(jit_compile=True)
    def gradients(*tensors: Any) -> tuple[Logs, Sequence[tf.Tensor]]:
        catcher = _Catcher(optimizer)
        setattr(model, side, catcher)
        try:
            logs = update(*tensors)
        finally:
            setattr(model, side, optimizer)
        return logs, catcher.gradients

    def call(*tensors: Any) -> Logs:
        logs, found = gradients(*tensors)
        optimizer.apply(found, variables)
        return logs

    return call


def compile_cpce(model: Cpce) -> None:
    """Let XLA compute the gradients of GAN-CPCE's adversarial steps."""

    def generator_update(lr: tf.Tensor, hr: tf.Tensor) -> Logs:
        return model._update_generator(Images(lr, model.generator(lr, training=True), hr))

    critic = compiled(model, "critic_optimizer", model.critic_variables(), model._update_critic)
    generator = compiled(
        model, "generator_optimizer", model.generator_variables(), generator_update
    )

    def train_step(data: tuple[tf.Tensor, tf.Tensor]) -> Logs:
        logs: Logs = {}
        for k in range(model.objective.n_critic):
            lr, hr = model._deal(k, *data)
            logs |= critic(model.generator(lr, training=True), hr)
        return logs | generator(lr, hr)

    model.train_step = train_step


def compile_circle(model: Circle) -> None:
    """Let XLA compute the gradients of GAN-CIRCLE's adversarial steps."""
    variables = model.generator_variables()

    def generators_update(x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Logs:
        images = model.with_cycles(model.translated(x, y, paired))
        loss, terms = weighted_sum(model.terms, images)
        norm = minimise(loss, variables, model.generator_optimizer)
        return {"generator_loss": loss, **terms, "generator_gradient_norm": norm}

    critics = compiled(
        model,
        "critic_optimizer",
        model.critic_variables(),
        lambda *images: model.update_critics(CircleImages(*images)),
    )
    generators = compiled(model, "generator_optimizer", variables, generators_update)

    def train_step(data: tuple[tf.Tensor, tf.Tensor]) -> Logs:
        x, y = data
        paired = tf.ones(tf.shape(x)[:1])
        logs = critics(*model.translated(x, y, paired)[:7])
        return logs | generators(x, y, paired)

    model.train_step = train_step
