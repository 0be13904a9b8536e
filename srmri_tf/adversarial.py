"""What every GAN of this package shares: two sides, an optimiser each, and a named state."""

from typing import Any

import keras
import tensorflow as tf

from srmri_tf.config import Phase

PATCH = (64, 64)


class AdversarialModel(keras.Model):
    """Networks that make images against networks that judge them; subclasses add ``train_step``.

    Args:
        makers: Attribute names of the networks that make images; the first one sharpens.
        critics: Attribute names of the networks that judge them.
        seed: Decides the steps' random numbers.
    """

    def __init__(
        self, makers: tuple[str, ...], critics: tuple[str, ...], seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._makers, self._critics = makers, critics
        self.seed = seed
        self.phase: Phase = "adversarial"

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        critic_optimizer: keras.optimizers.Optimizer,
        **kwargs: Any,
    ) -> None:
        """Attach an optimiser for each side, and create their slots for checkpoints to find.

        Networks that have no weights yet get those for the paper's 64x64 patches.
        """
        for name in (*self._makers, *self._critics):
            network = getattr(self, name)
            if not network.built:
                network.build((None, *PATCH, 1))
        kwargs.setdefault("jit_compile", False)
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        generator_optimizer.build(self.maker_variables())
        critic_optimizer.build(self.critic_variables())

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Sharpen images."""
        return getattr(self, self._makers[0])(lr, training=training)

    def maker_variables(self) -> list[keras.Variable]:
        """What the generator's optimiser trains."""
        return [v for name in self._makers for v in getattr(self, name).trainable_variables]

    def critic_variables(self) -> list[keras.Variable]:
        """What the critic's optimiser trains."""
        return [v for name in self._critics for v in getattr(self, name).trainable_variables]

    def optimizers(self) -> tuple[keras.optimizers.Optimizer, ...]:
        """Every optimiser; the schedule sets all their rates."""
        return self.generator_optimizer, self.critic_optimizer

    def state(self, *, critics: bool = True) -> dict[str, keras.Variable]:
        """Every variable that training changes, by a name that is the same in every run.

        Args:
            critics: Also those that only updates of the critics change.
        """
        parts = [*self._makers, "generator_optimizer"]
        if critics:
            parts += [*self._critics, "critic_optimizer"]
        return {
            f"{part}/{index:03d}": variable
            for part in parts
            for index, variable in enumerate(getattr(self, part).variables)
        }
