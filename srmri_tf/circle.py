"""GAN-CIRCLE whole: objective and training step (the paper, section II; [26]).

G sharpens low-resolution images x, F degrades high-resolution images y; D_Y judges what G makes
and D_X what F makes. Images are (B, H, W, 1) float in [0, 1]; the networks themselves are in
`circle_networks`.
"""

from typing import Any

import keras
import tensorflow as tf

from srmri_tf.adversarial import AdversarialModel
from srmri_tf.blocks import interleave, make_optimizer, minimise, replica_uniform, separate
from srmri_tf.circle_networks import CircleCritic, CircleGenerator
from srmri_tf.config import CircleConfig, CircleObjective
from srmri_tf.networks import losses

Logs = dict[str, tf.Tensor]
Images = dict[str, tf.Tensor]


class Circle(AdversarialModel):
    """GAN-CIRCLE as a trainable model: ``compile`` with two optimisers, then ``fit``.

    A batch of the dataset is (x, y), all pairs, or (x, y, paired), where paired (B,) is 1 for a
    pair and 0 for images of different subjects. A sample that is no pair has no supervised term,
    and its sparsifying term is of G(y) instead of G(x).

    Args:
        generator: G, maps low-resolution images to high-resolution ones.
        degrader: F, maps high-resolution images to low-resolution ones.
        critic_y: D_Y, scores high-resolution images.
        critic_x: D_X, scores low-resolution images.
        objective: The weights of the terms, which are means over the whole batch; `build` gives the
            supervised one more where only some samples are pairs.
        seed: Decides dropout and the penalties' random numbers.
    """

    def __init__(
        self,
        generator: keras.Model,
        degrader: keras.Model,
        critic_y: keras.Model,
        critic_x: keras.Model,
        objective: CircleObjective | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(("generator", "degrader"), ("critic_y", "critic_x"), seed, **kwargs)
        self.generator = generator
        self.degrader = degrader
        self.critic_y = critic_y
        self.critic_x = critic_x
        self.objective = objective or CircleObjective()

    def train_step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """One step of the current phase on one batch; returns the loss terms."""
        x, y, *rest = data
        paired = rest[0] if rest else tf.ones(tf.shape(x)[:1])
        if self.phase == "content":
            return self._update_generators_on_content(x, y, paired)
        if self.phase == "critic":
            return self._update_critics(x, y, self._translate(x, y))
        variables = self.maker_variables()
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch([v.value for v in variables])
            images = self._translate(x, y)
        # The critics learn from the same images, while the generators' tape rests.
        logs = self._update_critics(x, y, images)
        with tape:
            terms = self._terms(x, y, paired, images)
            loss = tf.add_n([getattr(self.objective, name) * t for name, t in terms.items()])
            scaled = self.generator_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.generator_optimizer)
        return {**logs, "generator_loss": loss, **terms, "generator_gradient_norm": norm}

    def _translate(self, x: tf.Tensor, y: tf.Tensor) -> Images:
        """G(x), G(y), F(y) and F(x), in one pass of each generator."""
        y_fake, y_same = separate(self.generator(interleave(x, y), noise=self._noise(0)))
        x_fake, x_same = separate(self.degrader(interleave(y, x), noise=self._noise(1)))
        return {"y_fake": y_fake, "y_same": y_same, "x_fake": x_fake, "x_same": x_same}

    def _terms(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor, images: Images) -> Logs:
        """Every term of the generators' objective, without its weight."""
        y_fake, y_same, x_fake, x_same = images.values()
        x_cycle = self.degrader(y_fake, noise=self._noise(2))
        y_cycle = self.generator(x_fake, noise=self._noise(3))
        sr = tf.where(_each(paired), y_fake, y_same)
        terms = {
            "cycle": losses.cycle(x, x_cycle, y, y_cycle),
            "identity": losses.identity(x, x_same, y, y_same),
            "sparsity": losses.joint_sparsity(sr, y, self.objective.tau),
            "supervised": losses.supervised(x, x_fake, y, y_fake, paired),
        }
        if self.objective.adversarial:
            terms["adversarial"] = losses.wasserstein_generator(
                self.critic_y(y_fake, training=True)
            ) + losses.wasserstein_generator(self.critic_x(x_fake, training=True))
        return terms

    def _update_critics(self, x: tf.Tensor, y: tf.Tensor, images: Images) -> Logs:
        """Minimise E[D(fake)] - E[D(real)] + lambda GP over D_Y and over D_X, in one step."""
        variables = self.critic_variables()
        y_fake, x_fake = (tf.stop_gradient(images[name]) for name in ("y_fake", "x_fake"))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss_y, logs = self._critic_loss(self.critic_y, y, y_fake, 0)
            loss_x, logs_x = self._critic_loss(self.critic_x, x, x_fake, 1)
            loss = loss_y + loss_x
            scaled = self.critic_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.critic_optimizer)
        logs |= {f"{name}_x": term for name, term in logs_x.items()}
        return {"critic_loss": loss, **logs, "critic_gradient_norm": norm}

    def _critic_loss(
        self, critic: keras.Model, real: tf.Tensor, fake: tf.Tensor, which: int
    ) -> tuple[tf.Tensor, Logs]:
        weights = self.objective
        # One pass over both halves: instance norm, like all else in the critic, mixes no samples.
        scores = critic(tf.concat([real, fake], axis=0), training=True)
        loss = distance = losses.wasserstein_critic(*tf.split(scores, 2))
        logs = {"wasserstein": -distance}
        if weights.gradient_penalty:
            draw = 2 * self.critic_optimizer.iterations + which
            alpha = replica_uniform(tf.shape(real)[0], self.seed, draw)
            penalty = losses.gradient_penalty(critic, real, fake, alpha, weights.penalty_norm)
            loss += weights.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        return loss, logs

    def _update_generators_on_content(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Logs:
        """Minimise L1 alone: of G(x) to y and F(y) to x, or of G(y) and F(x) where no pair is."""
        variables = self.maker_variables()
        known = _each(paired)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            y_fake = self.generator(tf.where(known, x, y), noise=self._noise(0))
            x_fake = self.degrader(tf.where(known, y, x), noise=self._noise(1))
            loss = losses.supervised(x, x_fake, y, y_fake)
            scaled = self.generator_optimizer.scale_loss(loss)
        norm = minimise(tape, scaled, variables, self.generator_optimizer)
        return {"generator_loss": loss, "supervised": loss, "generator_gradient_norm": norm}

    def _noise(self, index: int) -> tf.Tensor:
        """What decides the dropout of one of the passes of this step."""
        steps = self.generator_optimizer.iterations + self.critic_optimizer.iterations
        # Seeds are below 2^31, so that these numbers are never the penalties'.
        return tf.stack(
            [tf.constant(self.seed + 2**31, tf.int64), 4 * tf.cast(steps, tf.int64) + index]
        )


def build_generator(config: CircleConfig, policy: str, name: str = "generator") -> CircleGenerator:
    """G, or F, of a recipe, with its weights made, under a Keras dtype policy."""
    options = config.generator.model_dump()
    generator = CircleGenerator(**options, dtype=policy, name=name)
    generator.build((None, None, None, 1))
    return generator


def build(
    config: CircleConfig, patch: tuple[int, int], features: keras.Model | None, policy: str
) -> Circle:
    """A recipe's whole model, compiled.

    Args:
        config: The recipe.
        patch: Height and width of the training patches.
        features: None: there is no perceptual term.
        policy: Keras dtype policy of all networks.
    """
    generator, degrader = (build_generator(config, policy, n) for n in ("generator", "degrader"))
    critic_y, critic_x = (
        CircleCritic(form=config.critic.form, dtype=policy, name=name)
        for name in ("critic_y", "critic_x")
    )
    for critic in (critic_y, critic_x):
        critic.build((None, *patch, 1))
    objective = config.objective
    if share := config.paired_share():
        # A mean over the whole batch, in which pairs are only so frequent, becomes one over pairs.
        objective = objective.model_copy(update={"supervised": objective.supervised / share})
    model = Circle(generator, degrader, critic_y, critic_x, objective, seed=config.seed)
    model.compile(make_optimizer(config, policy), make_optimizer(config, policy))
    return model


def _each(paired: tf.Tensor) -> tf.Tensor:
    """(B, 1, 1, 1) bool of (B,) numbers."""
    return (paired > 0)[:, None, None, None]
