"""Pieces that both networks' training steps share."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from srmri_tf.adam import FusedAdam
from srmri_tf.config import RunConfig


def replica_uniform(batch: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1), one per sample: a pure function of (seed, step, sample).

    The numbers of the whole global batch are drawn on every replica and each takes its own share,
    so one device and several see the same ones.

    Args:
        batch: Samples on this replica, int scalar.
        seed: The run's seed.
        step: Any integer that changes from draw to draw.

    Returns:
        (batch, 1, 1, 1) float32.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    rank = tf.cast(context.replica_id_in_sync_group, tf.int32)
    state = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    everyone = tf.random.stateless_uniform(tf.stack([replicas * batch, 1, 1, 1]), state)
    return everyone[rank * batch : (rank + 1) * batch]


def make_optimizer(config: RunConfig, policy: str) -> keras.optimizers.Optimizer:
    """Adam as the recipe has it; with loss scaling where half precision needs it.

    Args:
        config: The recipe.
        policy: Keras dtype policy of the network.
    """
    adam = FusedAdam(
        config.schedule.rate(0), beta_1=config.optimizer.beta_1, beta_2=config.optimizer.beta_2
    )
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam


def minimise(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Take one optimiser step down the global batch's mean loss.

    Keras optimisers sum gradients over replicas, so each replica's mean is divided by their number.
    ``loss`` must have been scaled by ``optimizer.scale_loss`` on the tape.

    Returns:
        The norm of the gradient before the step, over all weights together.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(loss, [v.value for v in variables])
    norm = tf.linalg.global_norm(gradients) / optimizer.scale_loss(tf.constant(1.0))
    if replicas > 1:
        gradients = [gradient / replicas for gradient in gradients]
    optimizer.apply(gradients, variables)
    return norm
