"""GAN-CIRCLE (the paper, section II; [26]): objective and training step.

G super-resolves low-resolution images x, F degrades high-resolution images y; D_Y scores what G
makes and D_X what F makes. Images are (B, H, W, 1) float in [0, 1].
"""

import inspect
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from srmri_tf.networks import losses
from srmri_tf.networks.gan import AdversarialModel, Logs
from srmri_tf.networks.gradients import ordered_sum
from srmri_tf.networks.layers import register, replica_uniform
from srmri_tf.networks.objective import Term, own_terms, weighted_sum
from srmri_tf.recipes.config import CircleObjective


class Images(NamedTuple):
    """What the terms of the objective are functions of: x, y and what the generators make of them.

    All are (B, H, W, 1), but for ``paired`` (B,): 1 where x and y are a pair, else 0.
    """

    x: tf.Tensor
    y: tf.Tensor
    paired: tf.Tensor
    y_fake: tf.Tensor  # G(x)
    x_fake: tf.Tensor  # F(y)
    y_same: tf.Tensor | None = None  # G(y)
    x_same: tf.Tensor | None = None  # F(x)
    x_cycle: tf.Tensor | None = None  # F(G(x))
    y_cycle: tf.Tensor | None = None  # G(F(y))

    @property
    def lr(self) -> tf.Tensor:
        """What terms of the user's own call x."""
        return self.x

    @property
    def sr(self) -> tf.Tensor:
        """What terms of the user's own call G(x)."""
        return self.y_fake

    @property
    def hr(self) -> tf.Tensor:
        """What terms of the user's own call y."""
        return self.y


@register
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

    NETWORKS = ("generator", "degrader", "critic_y", "critic_x")

    def __init__(
        self,
        generator: keras.Model,
        degrader: keras.Model,
        critic_y: keras.Model,
        critic_x: keras.Model,
        objective: CircleObjective | dict[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(("generator", "degrader"), ("critic_y", "critic_x"), seed, **kwargs)
        self.generator = generator
        self.degrader = degrader
        self.critic_y = critic_y
        self.critic_x = critic_x
        self.objective = CircleObjective.model_validate(objective or {})
        terms = self.objective_terms()
        if weight := self.objective.adversarial:
            terms.append(Term("adversarial", weight, self.adversarial_term))
        self.terms = terms + own_terms(self.objective.own)

    def objective_terms(self) -> list[Term]:
        """Cycle, identity, sparsity and supervised terms."""
        weights = self.objective
        return [
            Term("cycle", weights.cycle, lambda i: losses.cycle(i.x, i.x_cycle, i.y, i.y_cycle)),
            Term(
                "identity",
                weights.identity,
                lambda i: losses.identity(i.x, i.x_same, i.y, i.y_same),
            ),
            Term("sparsity", weights.sparsity, self.sparsity_term),
            Term(
                "supervised",
                weights.supervised,
                lambda i: losses.supervised(i.x, i.x_fake, i.y, i.y_fake, i.paired),
            ),
        ]

    def step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """One step of the current phase on one batch; returns the loss terms."""
        x, y, *rest = data
        paired = rest[0] if rest else tf.ones(tf.shape(x)[:1])
        if self.phase == "content":
            return self.update_on_content(x, y, paired)
        images = self.translated(x, y, paired)
        logs = self.update_critics(images)  # the critics learn from the same images first
        if self.phase == "critic":
            return logs

        def objective() -> tuple[tf.Tensor, Logs]:
            made = self.translated(x, y, paired) if self.xla else images
            return weighted_sum(self.terms, self.with_cycles(made))

        return logs | self.minimise_over_generators(objective, self.trained_generators())

    def trained_generators(self) -> list[keras.Variable]:
        """What a step of the generators changes."""
        return self.generator_variables()

    def update_on_content(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Logs:
        """Minimise L1 alone: of G(x) to y and F(y) to x, or of G(y) and F(x) where no pair is."""

        def objective() -> tuple[tf.Tensor, Logs]:
            known = pair_mask(paired)
            y_fake = self.apply(self.generator, tf.where(known, x, y), 0)
            x_fake = self.apply(self.degrader, tf.where(known, y, x), 1)
            loss = losses.supervised(x, x_fake, y, y_fake)
            return loss, {"supervised": loss}

        return self.minimise_over_generators(objective, self.trained_generators())

    def translated(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Images:
        """G(x), G(y), F(y) and F(x), in one pass of each generator."""
        y_fake, y_same = separate(self.apply(self.generator, interleave(x, y), 0))
        x_fake, x_same = separate(self.apply(self.degrader, interleave(y, x), 1))
        return Images(x, y, paired, y_fake, x_fake, y_same, x_same)

    def with_cycles(self, images: Images) -> Images:
        """The same with F(G(x)) and G(F(y))."""
        return images._replace(
            x_cycle=self.degraded(images.y_fake, 2),
            y_cycle=self.apply(self.generator, images.x_fake, 3),
        )

    def update_critics(self, images: Images) -> Logs:
        """One step of both critics on G(x) and F(y)."""
        alpha_y, alpha_x = self.penalty_numbers(images.y, 0), self.penalty_numbers(images.x, 1)

        def objective() -> tuple[tf.Tensor, Logs]:
            y_fake, x_fake = tf.stop_gradient(images.y_fake), tf.stop_gradient(images.x_fake)
            loss_y, logs = self.critic_loss(self.critic_y, images.y, y_fake, alpha_y)
            loss_x, logs_x = self.critic_loss(self.critic_x, images.x, x_fake, alpha_x)
            logs |= {f"{name}_x": term for name, term in logs_x.items()}
            return ordered_sum([loss_y, loss_x]), logs

        return self.minimise_over_critics(objective, self.critic_variables())

    def penalty_numbers(self, images: tf.Tensor, which: int) -> tf.Tensor:
        """The random numbers of a critic's gradient penalty in this step, (B, 1, 1, 1).

        Args:
            images: As many as the batch has, (B, H, W, 1).
            which: 0 for D_Y and 1 for D_X, which draw other numbers.
        """
        draw = 2 * self.critic_optimizer.iterations + which
        return replica_uniform(tf.shape(images)[0], self.seed, draw)

    def critic_loss(
        self, critic: keras.Model, real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor
    ) -> tuple[tf.Tensor, Logs]:
        """A critic's loss on real and made images, and its terms.

        Args:
            critic: D_Y or D_X.
            real: (B, H, W, 1).
            fake: Of the same shape; it is not differentiated.
            alpha: What `penalty_numbers` has drawn.
        """
        weights = self.objective
        # One pass over both halves: instance norm, like all else in the critic, mixes no samples.
        scores = critic(tf.concat([real, fake], axis=0), training=True)
        loss = distance = losses.wasserstein_critic(*tf.split(scores, 2))
        logs = {"wasserstein": -distance}
        if weights.gradient_penalty:
            penalty = losses.gradient_penalty(critic, real, fake, alpha, weights.penalty_norm)
            loss += weights.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        return loss, logs

    def sparsity_term(self, images: Images) -> tf.Tensor:
        """The joint sparsifying transform of G(x), or of G(y) where x and y are no pair."""
        sr = tf.where(pair_mask(images.paired), images.y_fake, images.y_same)
        return losses.joint_sparsity(sr, images.y, self.objective.tau)

    def adversarial_term(self, images: Images) -> tf.Tensor:
        """-E[D_Y(G(x))] - E[D_X(F(y))]."""
        of_g = losses.wasserstein_generator(self.critic_y(images.y_fake, training=True))
        return of_g + losses.wasserstein_generator(self.critic_x(images.x_fake, training=True))

    def degraded(self, images: tf.Tensor, number: int) -> tf.Tensor:
        """F of images in one of the passes of a step."""
        return self.apply(self.degrader, images, number)

    def apply(self, network: keras.Model, images: tf.Tensor, number: int) -> tf.Tensor:
        """One of the passes of a step; each drops other features."""
        if "noise" not in inspect.signature(network.call).parameters or not getattr(
            network, "dropout", 0
        ):
            return network(images, training=True)
        return network(images, training=True, noise=self._noise(number))

    def _noise(self, number: int) -> tf.Tensor:
        """What decides the dropout of one of the passes of this step."""
        steps = self.generator_optimizer.iterations + self.critic_optimizer.iterations
        # Seeds are below 2^31, so that these numbers are never the penalties'.
        return tf.stack(
            [tf.constant(self.seed + 2**31, tf.int64), 4 * tf.cast(steps, tf.int64) + number]
        )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, networks included."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.NETWORKS
        }
        return {
            "name": self.name,
            **networks,
            "objective": self.objective.model_dump(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Circle":
        """The model of these arguments, not compiled."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in cls.NETWORKS
        }
        return cls(**{**config, **networks})


def interleave(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Two batches as one, sample by sample: first 0, second 0, first 1, second 1, ...

    A network then passes over both at once, and a replica's samples are consecutive among
    everyone's, which behind one another they would not be.

    Returns:
        (2 B, H, W, C) of two (B, H, W, C).
    """
    pairs = tf.stack([first, second], axis=1)
    return tf.reshape(pairs, tf.concat([[-1], tf.shape(first)[1:]], axis=0))


def separate(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The two batches that were interleaved."""
    return images[::2], images[1::2]


def pair_mask(paired: tf.Tensor) -> tf.Tensor:
    """(B, 1, 1, 1) bool of (B,) numbers."""
    return (paired > 0)[:, None, None, None]
