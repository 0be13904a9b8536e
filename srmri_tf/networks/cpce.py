"""GAN-CPCE (the paper, section II.2; [23]): generator, critic, objective and training step.

Images are (B, H, W, 1) float in [0, 1]. The generator is fully convolutional; the critic is built
for one patch size.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from data_prep.kspace import Degradation
from srmri_tf.networks import losses
from srmri_tf.networks.gan import (
    AdversarialModel,
    Logs,
    own_generator,
)
from srmri_tf.networks.layers import CriticLeakyReLU, register, replica_uniform
from srmri_tf.networks.objective import Term, own_terms, weighted_sum
from srmri_tf.networks.optimizers import make_optimizers
from srmri_tf.recipes.config import CpceConfig, CpceObjective

PATCH = (64, 64)


@register
class CpceGenerator(keras.Model):
    """Conveying-path encoder-decoder: four convolutions, four transposed ones, 62,016 weights.

    Stride 1, valid padding and no biases throughout, so any image of at least 9x9 keeps its size.
    Each of deconv5 to deconv7 is joined by the encoder's features of its own size.

    Args:
        filters: Channels of every hidden layer.
        shortcut: Add the input before the last ReLU (a variant in the released code of [23]).
        dtype: Keras dtype policy of the hidden layers; the result is float32.
        name: Of the model.

    Call:
        (B, H, W, 1) in [0, 1] -> (B, H, W, 1) float32, not negative.

    Source: the paper, section II.2 and Fig. 1; the 1x1 convolutions are in the released code.
    """

    def __init__(
        self,
        filters: int = 32,
        shortcut: bool = False,
        dtype: Any = None,
        name: str = "generator",
    ) -> None:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        common = {"use_bias": False, "padding": "valid", "dtype": policy}

        def conv(number: int, x: Any) -> Any:
            return layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}", **common)(x)

        def deconv(number: int, x: Any, conveyed: Any) -> Any:
            up = layers.Conv2DTranspose(
                filters, 3, activation="relu", name=f"deconv{number}", **common
            )
            joined = layers.Concatenate(name=f"join{number}", dtype=policy)([conveyed, up(x)])
            squeeze = layers.Conv2D(
                filters, 1, activation="relu", name=f"squeeze{number}", **common
            )
            return squeeze(joined)

        lr = keras.Input((None, None, 1), name="lr")
        conv1 = conv(1, lr)
        conv2 = conv(2, conv1)
        conv3 = conv(3, conv2)
        conv4 = conv(4, conv3)
        x = deconv(5, conv4, conv3)
        x = deconv(6, x, conv2)
        x = deconv(7, x, conv1)
        x = layers.Conv2DTranspose(1, 3, name="deconv8", **common)(x)
        if shortcut:
            x = layers.Add(name="shortcut", dtype="float32")([lr, x])
        sr = layers.ReLU(name="sr", dtype="float32")(x)
        super().__init__(lr, sr, name=name)
        self.filters, self.shortcut, self.policy = filters, shortcut, policy

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "filters": self.filters,
            "shortcut": self.shortcut,
            "dtype": self.policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CpceGenerator":
        """The generator of these arguments."""
        return cls(**config)


@register
class CpceCritic(keras.Model):
    """Six 3x3 convolutions and two dense layers; 17,923,521 weights at 64x64.

    Args:
        patch: Rows and columns of the images.
        dtype: Keras dtype policy of the hidden layers; the score is float32.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, 1) float32, larger for more real.

    Source: the paper, section II.2 and Fig. 2.
    """

    WIDTHS = (64, 64, 128, 128, 256, 256)

    def __init__(
        self, patch: tuple[int, int] = PATCH, dtype: Any = None, name: str = "critic"
    ) -> None:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        image = keras.Input((*patch, 1), name="image")
        x = image
        for i, width in enumerate(self.WIDTHS, 1):
            x = layers.Conv2D(
                width, 3, strides=2 - i % 2, padding="same", name=f"conv{i}", dtype=policy
            )(x)
            x = CriticLeakyReLU(0.2, name=f"leaky{i}", dtype=policy)(x)
        x = layers.Flatten(name="flatten", dtype=policy)(x)
        x = layers.Dense(1024, name="dense1", dtype=policy)(x)
        x = CriticLeakyReLU(0.2, name="leaky7", dtype=policy)(x)
        score = layers.Dense(1, name="dense2", dtype="float32")(x)
        super().__init__(image, score, name=name)
        self.patch, self.policy = tuple(patch), policy

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"patch": self.patch, "dtype": self.policy.name, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CpceCritic":
        """The critic of these arguments."""
        return cls(**config)


class Images(NamedTuple):
    """What the terms of the objective are functions of, each (B, H, W, 1)."""

    lr: tf.Tensor
    sr: tf.Tensor
    hr: tf.Tensor


@register
class Cpce(AdversarialModel):
    """GAN-CPCE as a trainable model: ``compile`` with two optimisers, then ``fit``.

    A batch of the dataset is a pair (lr, hr) of (N, H, W, 1) images. In the adversarial and the
    critic phase N is ``n_critic`` batches, dealt out like cards: critic update k sees the pairs
    k, k + n_critic, ..., so that the split is the same however many devices share the batch. The
    generator update uses the last of them.

    Args:
        generator: Maps low-resolution images to high-resolution ones.
        critic: Scores images.
        features: phi, maps images in [0, 1] to VGG-19 features; None only if the perceptual
            weight is zero.
        objective: The weights of the terms.
        seed: Decides the penalty's random numbers.

    Raises:
        ValueError: A perceptual weight without a feature network.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        features: keras.Model | None = None,
        objective: CpceObjective | dict[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(("generator",), ("critic",), seed, **kwargs)
        self.generator = generator
        self.critic = critic
        self.features = features
        self.objective = CpceObjective.model_validate(objective or {})
        if self.objective.perceptual and features is None:
            raise ValueError("A perceptual weight above 0 needs `features`. Received: None")
        self.terms = self._objective_terms()

    def _objective_terms(self) -> list[Term]:
        """-E[D(G(x))] + lambda_p L_p, content terms, and the user's own."""
        weights = self.objective
        terms = [
            Term("l1", weights.l1, lambda images: losses.mean_absolute(images.sr, images.hr)),
            Term("l2", weights.l2, lambda images: losses.mean_squared(images.sr, images.hr)),
        ]
        if weights.adversarial:
            terms.append(Term("adversarial", weights.adversarial, self._adversarial))
        if weights.perceptual:
            terms.append(Term("perceptual", weights.perceptual, self._perceptual))
        return terms + own_terms(weights.own)

    def step(self, data: tuple[tf.Tensor, tf.Tensor]) -> Logs:
        """One step of the current phase on one batch of pairs; returns the loss terms."""
        lr, hr = data
        if self.phase == "content":
            sr = self.generator(lr, training=True)
            return self._update_generator(lr, sr, lambda sr: _content(sr, hr))
        lr, hr = self._divisible(lr, hr)
        last_lr, last_hr = self._deal(self.objective.n_critic - 1, lr, hr)
        sr = self.generator(last_lr, training=True)
        # The critic learns from the same images first.
        logs = self._update_critic_repeatedly(lr, hr, tf.stop_gradient(sr))
        if self.phase == "adversarial":
            logs |= self._update_generator(
                last_lr, sr, lambda sr: weighted_sum(self.terms, Images(last_lr, sr, last_hr))
            )
        return logs

    def _divisible(self, lr: tf.Tensor, hr: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, refused if ``n_critic`` updates cannot share it evenly."""
        count, updates = lr.shape[0], self.objective.n_critic
        reason = (
            f"Every step makes n_critic = {updates} critic updates, each on a part of the batch of "
            f"its own, so a batch holds a multiple of {updates} pairs on each device."
        )
        if count is not None:
            if count % updates or not count:
                raise ValueError(f"{reason} Received: a batch of {count} pairs")
            return lr, hr
        check = tf.debugging.assert_equal(tf.shape(lr)[0] % updates, 0, message=reason)
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(lr), tf.identity(hr)

    def _deal(self, k: int, *images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The part of a batch that critic update ``k`` sees."""
        return tuple(image[k :: self.objective.n_critic] for image in images)

    def _update_critic_repeatedly(self, lr: tf.Tensor, hr: tf.Tensor, last_sr: tf.Tensor) -> Logs:
        """Every critic update of a step; the generator stands still meanwhile."""
        update = self.minimiser("critic", self._critic_objective, self.critic_variables())
        logs: Logs = {}
        for k in range(self.objective.n_critic):
            dealt_lr, dealt_hr = self._deal(k, lr, hr)
            last = k == self.objective.n_critic - 1
            sr = last_sr if last else self.generator(dealt_lr, training=True)
            iterations = self.critic_optimizer.iterations
            logs |= update(sr, dealt_hr, replica_uniform(tf.shape(sr)[0], self.seed, iterations))
        return logs

    def _critic_objective(
        self, sr: tf.Tensor, hr: tf.Tensor, alpha: tf.Tensor
    ) -> tuple[tf.Tensor, Logs]:
        """E[D(G(x))] - E[D(y)] + lambda GP (equation 2), and its terms.

        Args:
            sr: G(x), (B, H, W, 1).
            hr: y, of the same shape.
            alpha: The penalty's random numbers, (B, 1, 1, 1).
        """
        weights = self.objective
        # One pass over both halves: nothing in the critic mixes samples.
        scores = self.critic(tf.concat([hr, sr], axis=0), training=True)
        real_scores, fake_scores = tf.split(scores, 2)
        loss = distance = losses.wasserstein_critic(real_scores, fake_scores)
        logs = {"wasserstein": -distance}
        if weights.gradient_penalty:
            penalty = losses.gradient_penalty(self.critic, hr, sr, alpha, weights.penalty_norm)
            loss += weights.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        return loss, logs

    def _update_generator(
        self, lr: tf.Tensor, sr: tf.Tensor, loss: Callable[[tf.Tensor], tuple[tf.Tensor, Logs]]
    ) -> Logs:
        """Take the generator's optimiser step; the brightest pixel is logged, too.

        Args:
            lr: Low-resolution images.
            sr: G(lr). XLA computes it anew, since its gradients begin there.
            loss: From G(lr) to the loss and its terms.
        """

        def objective() -> tuple[tf.Tensor, Logs]:
            return loss(self.generator(lr, training=True) if self.xla else sr)

        logs = self.minimise_over_generators(objective, self.generator_variables())
        return {**logs, "sr_max": tf.reduce_max(sr)}

    def _adversarial(self, images: Images) -> tf.Tensor:
        """-E[D(G(x))] (equation 2)."""
        return losses.wasserstein_generator(self.critic(images.sr, training=True))

    def _perceptual(self, images: Images) -> tf.Tensor:
        """L_p on the first ``perceptual_share`` of the global batch (equation 3).

        Each replica takes those that it holds, weighted so that the mean over all replicas is the
        mean over those samples; one that is known to hold none of them computes nothing.
        """
        context = tf.distribute.get_replica_context()
        replicas, share = context.num_replicas_in_sync, self.objective.perceptual_share
        rank = int(tf.get_static_value(context.replica_id_in_sync_group))
        part: Any = images.hr.shape[0]
        if part is not None:
            wanted: Any = math.ceil(share * (replicas * part))
            count: Any = min(max(wanted - rank * part, 0), part)
            if count == 0:
                return tf.zeros([])
            first, weight = count, replicas * count / wanted
        else:
            part = tf.shape(images.hr)[0]
            wanted = tf.cast(tf.math.ceil(share * tf.cast(replicas * part, tf.float32)), tf.int32)
            count = tf.clip_by_value(wanted - rank * part, 0, part)
            first, weight = tf.maximum(count, 1), tf.cast(replicas * count / wanted, tf.float32)
        phi: Any = self.features
        hr_features = tf.stop_gradient(phi(images.hr[:first], training=False))
        return losses.perceptual(phi(images.sr[:first], training=False), hr_features) * weight

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, networks included."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("generator", "critic", "features")
        }
        return {
            "name": self.name,
            **networks,
            "objective": self.objective.model_dump(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Cpce":
        """The model of these arguments, not compiled."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "critic", "features")
        }
        return cls(**{**config, **networks})


def _content(sr: tf.Tensor, hr: tf.Tensor) -> tuple[tf.Tensor, Logs]:
    """The per-pixel mean L1 alone: the warm-up's loss."""
    loss = losses.mean_absolute(sr, hr)
    return loss, {"l1": loss}


def build_generator(config: CpceConfig, policy: str) -> keras.Model:
    """The generator of a recipe under a Keras dtype policy: the paper's, or the user's own."""
    if config.generator.function:
        return own_generator(config.generator.function, policy, "generator")
    return CpceGenerator(shortcut=config.generator.shortcut, dtype=policy)


def build(
    config: CpceConfig,
    patch: tuple[int, int],
    features: keras.Model | None,
    policy: str,
    degradation: Degradation | None = None,
) -> Cpce:
    """A recipe's whole model, compiled.

    Args:
        config: The recipe.
        patch: Height and width of the training patches.
        features: phi, or None if the perceptual weight is zero.
        policy: Keras dtype policy of both networks.
        degradation: Without effect: the pairs say it.
    """
    critic = CpceCritic(patch, dtype=policy)
    generator = build_generator(config, policy)
    model = Cpce(generator, critic, features, config.objective, seed=config.seed)
    model.xla = config.xla
    model.compile(*make_optimizers(config, policy))
    return model
