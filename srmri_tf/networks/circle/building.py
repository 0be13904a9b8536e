"""GAN-CIRCLE as a recipe has it."""

import keras

from data_prep.kspace import Degradation
from srmri_tf.networks.circle.critic import CircleCritic
from srmri_tf.networks.circle.degraders import KspaceDegrader, LinearDegrader
from srmri_tf.networks.circle.fixed_degrader import FixedDegraderCircle
from srmri_tf.networks.circle.generator import CircleGenerator
from srmri_tf.networks.circle.model import Circle
from srmri_tf.networks.gan import own_generator
from srmri_tf.networks.optimizers import make_optimizers
from srmri_tf.recipes.config import CircleConfig


def build_generator(config: CircleConfig, policy: str, name: str = "generator") -> keras.Model:
    """G, or F, of a recipe under a Keras dtype policy: the paper's, or the user's own."""
    options = config.generator.model_dump()
    if function := options.pop("function"):
        return own_generator(function, policy, name)
    return CircleGenerator(**options, dtype=policy, name=name)


def build_degrader(
    config: CircleConfig, patch: tuple[int, int], policy: str, degradation: Degradation
) -> keras.Model:
    """F of a recipe: a network as G is, a filter to learn, or the degradation itself."""
    if config.degrader == "kspace":
        return KspaceDegrader(degradation, patch)
    if config.degrader == "linear":
        return LinearDegrader(patch, magnitude=degradation.lr == "magnitude")
    return build_generator(config, policy, "degrader")


def build(
    config: CircleConfig,
    patch: tuple[int, int],
    features: keras.Model | None,
    policy: str,
    degradation: Degradation | None = None,
) -> Circle:
    """A recipe's whole model, compiled.

    Args:
        config: The recipe.
        patch: Height and width of the training patches.
        features: None: there is no perceptual term.
        policy: Keras dtype policy of all networks.
        degradation: How the low-resolution images were made, for an F that is known.
    """
    generator = build_generator(config, policy)
    degrader = build_degrader(config, patch, policy, degradation or Degradation())
    critic_y, critic_x = (
        CircleCritic(config.critic.form, patch, dtype=policy, name=name)
        for name in ("critic_y", "critic_x")
    )
    objective = config.objective
    if share := config.paired_share():
        # A mean over the whole batch, in which pairs are only so frequent, becomes one over pairs.
        objective = objective.model_copy(update={"supervised": objective.supervised / share})
    kind = FixedDegraderCircle if config.fixed_degrader else Circle
    model = kind(generator, degrader, critic_y, critic_x, objective, seed=config.seed)
    model.xla = config.xla
    model.compile(*make_optimizers(config, policy))
    return model
