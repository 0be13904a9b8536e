"""GAN-CIRCLE whose F is known or learnt first, so that G and D_Y alone train.

Where F trains along with G without pairs, it learns to change nothing, and G(F(y)) = y then asks
nothing of G. With an F that degrades, G(F(y)) = y is what G learns super-resolution from.
"""

import keras
import tensorflow as tf

from srmri_tf.networks import losses
from srmri_tf.networks.circle.degraders import LinearDegrader
from srmri_tf.networks.circle.model import Circle, Images, interleave, pair_mask, separate
from srmri_tf.networks.gan import Logs
from srmri_tf.networks.gradients import ordered_sum
from srmri_tf.networks.layers import register
from srmri_tf.networks.objective import Term


@register
class FixedDegraderCircle(Circle):
    """GAN-CIRCLE whose F is the degradation itself, or learns in a phase of its own, ``degrader``.

    All other phases train G and D_Y alone. The objective has no identity and no supervised term:
    where x and y are a pair, x is F(y), so that the cycle is their L1. Arguments are those of
    `Circle`.
    """

    def objective_terms(self) -> list[Term]:
        """The cycle G(F(y)) to y, and the sparsity term.

        F(G(x)) to x would ask G for nothing wherever F keeps what x lacks, and where F mirrors a
        patch at its edges, x goes on: it is left to data consistency, when a scan is enhanced.
        """
        weights = self.objective
        return [
            Term("cycle", weights.cycle, lambda i: losses.absolute(i.y_cycle, i.y)),
            Term("sparsity", weights.sparsity, self.sparsity_term),
        ]

    def sparsity_term(self, images: Images) -> tf.Tensor:
        """The joint sparsifying transform of G(F(y))."""
        return losses.joint_sparsity(images.y_cycle, images.y, self.objective.tau)

    def step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """One step of the current phase on one batch; returns the loss terms."""
        if self.phase == "degrader":
            return self._update_degrader(*data[:2])
        return super().step(data)

    def trained_generators(self) -> list[keras.Variable]:
        """G's weights."""
        return self.generator.trainable_variables

    def _update_degrader(self, x: tf.Tensor, y: tf.Tensor) -> Logs:
        """F(y) to look like any x to D_X, and F to leave x alone; D_X first, in the same step."""
        weights = self.objective

        def filtered() -> tuple[tf.Tensor, tf.Tensor]:
            return separate(self.apply(self.degrader, interleave(y, x), 1))

        made, alpha = filtered(), self.penalty_numbers(x, 1)

        def of_critic() -> tuple[tf.Tensor, Logs]:
            loss, terms = self.critic_loss(self.critic_x, x, tf.stop_gradient(made[0]), alpha)
            return loss, {f"{name}_x": term for name, term in terms.items()}

        def of_degrader() -> tuple[tf.Tensor, Logs]:
            x_fake, x_same = filtered() if self.xla else made
            adversarial = losses.wasserstein_generator(self.critic_x(x_fake, training=True))
            identity = losses.absolute(x_same, x)
            loss = ordered_sum([weights.adversarial * adversarial, weights.identity * identity])
            return loss, {"adversarial": adversarial, "identity": identity}

        logs = self.minimise_over_critics(of_critic, self.critic_x.trainable_variables)
        return logs | self.minimise_over_generators(of_degrader, self.degrader.trainable_variables)

    def update_on_content(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Logs:
        """Minimise ||G(F(y)) - y||_1 alone."""
        x_fake = tf.stop_gradient(self.low_resolution(x, y, paired))

        def objective() -> tuple[tf.Tensor, Logs]:
            loss = losses.absolute(self.apply(self.generator, x_fake, 0), y)
            return loss, {"cycle": loss}

        return self.minimise_over_generators(objective, self.trained_generators())

    def translated(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Images:
        """G(x) and F(y)."""
        x_fake = self.low_resolution(x, y, paired)
        return Images(x, y, paired, self.apply(self.generator, x, 0), x_fake)

    def with_cycles(self, images: Images) -> Images:
        """The same with G(F(y))."""
        return images._replace(y_cycle=self.apply(self.generator, images.x_fake, 3))

    def update_critics(self, images: Images) -> Logs:
        """One step of D_Y on G(x): where F is fixed there is nothing for D_X to judge."""
        y_fake = tf.stop_gradient(images.y_fake)
        alpha = self.penalty_numbers(images.y, 0)

        def objective() -> tuple[tf.Tensor, Logs]:
            return self.critic_loss(self.critic_y, images.y, y_fake, alpha)

        return self.minimise_over_critics(objective, self.critic_y.trainable_variables)

    def adversarial_term(self, images: Images) -> tf.Tensor:
        """-E[D_Y(G(x))]."""
        return losses.wasserstein_generator(self.critic_y(images.y_fake, training=True))

    def low_resolution(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> tf.Tensor:
        """F(y), which of a pair is x."""
        return tf.where(pair_mask(paired), x, self.degraded(y, 1))

    def degraded(self, images: tf.Tensor, number: int) -> tf.Tensor:
        """F of images; of a filter that is learnt, what it has decided."""
        if isinstance(self.degrader, LinearDegrader):
            return self.degrader(images, decided=True)
        return self.apply(self.degrader, images, number)
