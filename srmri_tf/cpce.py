"""GAN-CPCE whole: generator, critic and training step (the paper, section II.2; [23]).

Images are (B, H, W, 1) float in [0, 1]. The generator is fully convolutional; the critic is built
for one patch size.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from srmri_tf import convolutions
from srmri_tf.adversarial import AdversarialModel
from srmri_tf.blocks import leaky_relu, make_optimizer, minimise, replica_uniform
from srmri_tf.config import CpceConfig, CpceObjective
from srmri_tf.networks import losses

_register = keras.saving.register_keras_serializable(package="srmri_tf")


@_register
class CpceGenerator(keras.Model):
    """Conveying-path encoder-decoder: four convolutions, four transposed ones, 62,016 weights.

    Stride 1, valid padding and no biases throughout, so any image of at least 9x9 keeps its size.
    Each of deconv5-7 is joined by the encoder's features of its own size (conv3, conv2, conv1).

    Args:
        filters: Channels of every hidden layer.
        shortcut: Add the input before the last ReLU (a variant in the released code of [23]).

    Source: the paper, section II.2 and Fig. 1; the 1x1 convolutions are in the released code.
    """

    def __init__(self, filters: int = 32, shortcut: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.shortcut = shortcut
        common = {"use_bias": False, "padding": "valid", "dtype": self.dtype_policy}
        conv, deconv = keras.layers.Conv2D, keras.layers.Conv2DTranspose
        self.encoder = [conv(filters, 3, name=f"conv{i}", **common) for i in (1, 2, 3, 4)]
        self.decoder = [deconv(filters, 3, name=f"deconv{i}", **common) for i in (5, 6, 7)]
        self.squeeze = [conv(filters, 1, name=f"squeeze{i}", **common) for i in (5, 6, 7)]
        self.deconv8 = deconv(1, 3, name="deconv8", **common)

    def build(self, input_shape: Any) -> None:
        """Create every weight; the image's side does not matter."""
        channels = 1
        for conv in self.encoder:
            conv.build((None, None, None, channels))
            channels = self.filters
        for deconv, squeeze in zip(self.decoder, self.squeeze, strict=True):
            deconv.build((None, None, None, self.filters))
            squeeze.build((None, None, None, 2 * self.filters))
        self.deconv8.build((None, None, None, self.filters))
        self.built = True

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Sharpen (B, H, W, 1) images; the result is float32 and not negative.

        Without ``training`` the same is computed in ways that are faster forwards only.
        """
        x = tf.cast(lr, self.compute_dtype)
        paths = []
        for conv in self.encoder:
            x = convolutions.convolve(x, conv.kernel)
            paths.append(x)
        paths.pop()  # conv4 has no conveying path
        for deconv, squeeze in zip(self.decoder, self.squeeze, strict=True):
            deep = tf.nn.relu(deconv(x)) if training else convolutions.deconvolve(x, deconv.kernel)
            x = convolutions.convolve_pair(paths.pop(), deep, squeeze.kernel)
        last = self.deconv8
        x = last(x) if training else convolutions.deconvolve_to_one_channel(x, last.kernel)
        x = tf.cast(x, tf.float32)
        if self.shortcut:
            x += tf.cast(lr, tf.float32)
        return tf.nn.relu(x)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "filters": self.filters, "shortcut": self.shortcut}


@_register
class CpceCritic(keras.Model):
    """Six 3x3 convolutions and two dense layers; 17,923,521 weights at 64x64.

    Source: the paper, section II.2 and Fig. 2.
    """

    WIDTHS = (64, 64, 128, 128, 256, 256)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convs = [
            keras.layers.Conv2D(
                width,
                3,
                strides=1 + i % 2,
                padding="same",
                name=f"conv{i + 1}",
                dtype=self.dtype_policy,
            )
            for i, width in enumerate(self.WIDTHS)
        ]
        self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
        self.dense1 = keras.layers.Dense(1024, name="dense1", dtype=self.dtype_policy)
        self.dense2 = keras.layers.Dense(1, name="dense2", dtype="float32")

    def build(self, input_shape: Any) -> None:
        """Create every weight for images of ``input_shape`` (B, H, W, 1)."""
        _, height, width, channels = input_shape
        for conv in self.convs:
            conv.build((None, height, width, channels))
            _, height, width, channels = conv.compute_output_shape((None, height, width, channels))
        self.dense1.build((None, height * width * channels))
        self.dense2.build((None, 1024))
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Score (B, H, W, 1) images: (B, 1) float32, larger for more real."""
        x = tf.cast(images, self.compute_dtype)
        for conv in self.convs:
            x = leaky_relu(conv(x), 0.2)
        x = leaky_relu(self.dense1(self.flatten(x)), 0.2)
        return self.dense2(x)


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
        objective: CpceObjective | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(("generator",), ("critic",), seed, **kwargs)
        self.generator = generator
        self.critic = critic
        self.features = features
        self.objective = objective or CpceObjective()
        if self.objective.perceptual and features is None:
            raise ValueError("A perceptual weight above 0 needs `features`. Received: None")

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the current phase on one batch of pairs; returns the loss terms."""
        lr, hr = data
        if self.phase == "content":
            return self._update_generator_on_content(lr, hr)
        last_lr, last_hr = self._deal(self.objective.n_critic - 1, lr, hr)
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch([v.value for v in self.maker_variables()])
            sr = self.generator(last_lr, training=True)
        # The critic learns from the same images, while the generator's tape rests.
        logs = self._update_critic_repeatedly(lr, hr, tf.stop_gradient(sr))
        if self.phase == "adversarial":
            logs |= self._update_generator(tape, sr, last_hr)
        return logs

    def _deal(self, k: int, *images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The part of a batch that critic update ``k`` sees."""
        return tuple(image[k :: self.objective.n_critic] for image in images)

    def _update_critic_repeatedly(
        self, lr: tf.Tensor, hr: tf.Tensor, last_fake: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Every critic update of a step; the generator stands still meanwhile."""
        weights = self.objective
        logs: dict[str, tf.Tensor] = {}
        for k in range(weights.n_critic):
            dealt_lr, dealt_hr = self._deal(k, lr, hr)
            known = k == weights.n_critic - 1
            fake = last_fake if known else self.generator(dealt_lr, training=True)
            logs |= self._update_critic(fake, dealt_hr)
        return logs

    def _update_critic(self, fake: tf.Tensor, hr: tf.Tensor) -> dict[str, tf.Tensor]:
        """Minimise E[D(G(x))] - E[D(y)] + lambda GP over the critic (equation 2)."""
        weights, variables = self.objective, self.critic_variables()
        step = self.critic_optimizer.iterations
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            # One pass over both halves: nothing in the critic mixes samples.
            scores = self.critic(tf.concat([hr, fake], axis=0), training=True)
            real_scores, fake_scores = tf.split(scores, 2)
            loss = distance = losses.wasserstein_critic(real_scores, fake_scores)
            logs = {"wasserstein": -distance}
            if weights.gradient_penalty:
                alpha = replica_uniform(tf.shape(hr)[0], self.seed, step)
                penalty = losses.gradient_penalty(
                    self.critic, hr, fake, alpha, weights.penalty_norm
                )
                loss += weights.gradient_penalty * penalty
                logs["gradient_penalty"] = penalty
            scaled = self.critic_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.critic_optimizer)
        return {"critic_loss": loss, **logs, "critic_gradient_norm": norm}

    def _update_generator(
        self, tape: tf.GradientTape, sr: tf.Tensor, hr: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Minimise -E[D(G(x))] + lambda_p L_p (+ content terms) over the generator.

        Args:
            tape: Has watched how the generator made ``sr``, and watches on.
            sr: G(x).
            hr: y.
        """
        weights, variables = self.objective, self.maker_variables()
        with tape:
            terms = {"l1": losses.mean_absolute(sr, hr), "l2": losses.mean_squared(sr, hr)}
            if weights.adversarial:
                terms["adversarial"] = losses.wasserstein_generator(self.critic(sr, training=True))
            if weights.perceptual and self.features is not None:
                terms["perceptual"] = self._perceptual(self.features, sr, hr)
            loss = tf.add_n([getattr(weights, name) * term for name, term in terms.items()])
            scaled = self.generator_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.generator_optimizer)
        return {
            "generator_loss": loss,
            **terms,
            "generator_gradient_norm": norm,
            "sr_max": tf.reduce_max(sr),
        }

    def _perceptual(self, phi: keras.Model, sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
        """L_p on the first ``perceptual_share`` of the global batch (equation 3).

        Each replica takes those that it holds, weighted so that the mean over all replicas is the
        mean over those samples; one that holds none of them computes nothing.
        """
        context = tf.distribute.get_replica_context()
        replicas, part = context.num_replicas_in_sync, hr.shape[0]
        rank = int(tf.get_static_value(context.replica_id_in_sync_group))
        wanted = math.ceil(self.objective.perceptual_share * (replicas * part))
        count = min(max(wanted - rank * part, 0), part)
        if count == 0:
            return tf.zeros([])
        hr_features = tf.stop_gradient(phi(hr[:count], training=False))
        loss = losses.perceptual(phi(sr[:count], training=False), hr_features)
        return loss * (replicas * count / wanted)

    def _update_generator_on_content(self, lr: tf.Tensor, hr: tf.Tensor) -> dict[str, tf.Tensor]:
        """Minimise the per-pixel mean L1 alone: the warm-up."""
        variables = self.maker_variables()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            sr = self.generator(lr, training=True)
            loss = losses.mean_absolute(sr, hr)
            scaled = self.generator_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.generator_optimizer)
        return {
            "generator_loss": loss,
            "l1": loss,
            "generator_gradient_norm": norm,
            "sr_max": tf.reduce_max(sr),
        }


def build_generator(config: CpceConfig, policy: str) -> CpceGenerator:
    """The generator of a recipe, with its weights made, under a Keras dtype policy."""
    generator = CpceGenerator(shortcut=config.generator.shortcut, dtype=policy, name="generator")
    generator.build((None, None, None, 1))
    return generator


def build(
    config: CpceConfig, patch: tuple[int, int], features: keras.Model | None, policy: str
) -> Cpce:
    """A recipe's whole model, compiled.

    Args:
        config: The recipe.
        patch: Height and width of the training patches.
        features: phi, or None if the perceptual weight is zero.
        policy: Keras dtype policy of both networks.
    """
    critic = CpceCritic(dtype=policy, name="critic")
    critic.build((None, *patch, 1))
    model = Cpce(
        build_generator(config, policy), critic, features, config.objective, seed=config.seed
    )
    model.compile(make_optimizer(config, policy), make_optimizer(config, policy))
    return model
