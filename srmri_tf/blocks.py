"""Pieces that both networks' training steps share."""

from collections.abc import Sequence

import keras
import tensorflow as tf


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


def scaled_gradients(
    tape: tf.GradientTape, loss: tf.Tensor, variables: Sequence[keras.Variable]
) -> list[tf.Tensor]:
    """This replica's share of the gradient of the global batch's mean loss.

    Keras optimisers sum gradients over replicas, so each mean is divided by their number.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(loss, [v.value for v in variables])
    return gradients if replicas == 1 else [g / replicas for g in gradients]
