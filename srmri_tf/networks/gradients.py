"""Gradients that are the same to the bit in every run, and the optimiser step that takes them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

Loss = Callable[..., tuple[tf.Tensor, dict[str, tf.Tensor]]]
"""From tensors to this replica's mean loss, a scalar, and whatever else a step wants to know."""


def keep_order() -> None:
    """Have TensorFlow leave sums in this process as they are written.

    Its arithmetic optimiser makes one sum of several, whose order is not fixed. Without it a
    training step takes as long.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def gradients(value: tf.Tensor, sources: Sequence[Any]) -> list[tf.Tensor]:
    """The gradient of a value, every sum of it in a fixed order; inside a ``tf.function`` only.

    Where three or more gradients meet in one tensor, TensorFlow by default adds them in whatever
    order the scheduler leaves, and the last bit differs from run to run. Added two at a time they
    cannot: two terms commute. Call `keep_order` before.

    Args:
        value: A tensor of any shape; the gradient is that of its sum.
        sources: Tensors or Keras variables that it was computed from.

    Returns:
        One tensor per source.
    """
    return tf.gradients(
        value,
        [s.value if isinstance(s, keras.Variable) else s for s in sources],
        aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
    )


def ordered_sum(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """The sum of tensors of one shape, in a fixed order.

    ``tf.add_n`` has none.
    """
    return tf.reduce_sum(tf.stack(values), axis=0)


def minimiser(
    objective: Loss,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    xla: bool = False,
) -> Callable[..., tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]]:
    """What takes optimiser steps down the global batch's mean loss, inside a ``tf.function`` only.

    Keras optimisers sum gradients over replicas, so each replica's mean is divided by their number.

    Args:
        objective: Computes this replica's loss.
        variables: The weights.
        optimizer: Theirs.
        xla: Have XLA compile the way from ``objective``'s tensors to the gradients, once for all
            steps. What the weights act on must be computed within it, and random numbers without:
            XLA draws others.

    Returns:
        From the tensors that ``objective`` takes to the loss, what else ``objective`` returned, and
        the norm of the gradient before the step, over all weights together.
    """

    def descent(*tensors: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
        loss, logs = objective(*tensors)
        return loss, logs, gradients(optimizer.scale_loss(loss), variables)

    if xla:
        descent = tf.function(descent, autograph=False, jit_compile=True)

    def minimise(*tensors: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        loss, logs, found = descent(*tensors)
        norm = tf.sqrt(ordered_sum([tf.reduce_sum(tf.square(gradient)) for gradient in found]))
        norm /= optimizer.scale_loss(tf.constant(1.0))
        # The identity gives a gradient its replica's device, which the strategy asks for.
        means = [g / replicas if replicas > 1 else tf.identity(g) for g in found]
        if replicas > 1 and isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            means = _finite_on_all_replicas(means)
        optimizer.apply(means, variables)
        return loss, logs, norm

    return minimise


def _finite_on_all_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """This replica's gradients, or NaN if any replica has one that is not finite.

    Keras skips a step by the gradients of one replica, before they are summed: where others
    overflowed, weights would become NaN, and of several machines one would wait for the other.
    """
    finite = tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(v)) for v in values]))
    context = tf.distribute.get_replica_context()
    overflowed = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32))
    return [tf.where(overflowed > 0, tf.constant(float("nan"), v.dtype), v) for v in values]
