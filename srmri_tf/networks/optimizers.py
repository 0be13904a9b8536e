"""The optimisers of generators and critics."""

import math
from typing import Any

import keras
from keras import ops

from srmri_tf.networks.layers import register
from srmri_tf.recipes.config import TrainConfig


@register
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for the kernels of hidden convolutions, Adam for all other weights.

    Muon replaces the momentum of a matrix by the nearest orthogonal matrix, so that every direction
    is learnt at the same rate. Keras's own takes matrices only; here a kernel (height, width, a, b)
    is the matrix (height x width x a, b). Kernels of the first and last layer, which have an
    image's one channel, are Adam's.

    Args:
        learning_rate: Of both.
        rms_rate: Root mean square of Muon's step at a learning rate of 1; Adam's is 0.2 to 0.4 (Liu
            et al.).
        **kwargs: Of ``keras.optimizers.Muon``. No weight decays by default.

    Source: K. Jordan et al., Muon, 2024; J. Liu et al., arXiv 2502.16982 (the root mean square).
    """

    def __init__(self, learning_rate: float = 1e-3, rms_rate: float = 0.6, **kwargs: Any) -> None:
        kwargs = {"weight_decay": None, "adam_weight_decay": None, **kwargs}
        super().__init__(learning_rate, rms_rate=rms_rate, **kwargs)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) != 4 or 1 in variable.shape[2:]

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """The orthogonal matrix nearest to a kernel, in the kernel's shape."""
        matrix = super().zeropower_via_newtonschulz5(ops.reshape(x, (-1, x.shape[-1])), steps)
        return ops.reshape(matrix, x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """An orthogonal kernel times the rate, scaled to a root mean square of ``rms_rate``."""
        return x * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1])) * self.rms_rate

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments; Keras's own leave ``rms_rate`` out."""
        return {**super().get_config(), "rms_rate": self.rms_rate}


def make_optimizers(
    config: TrainConfig, policy: str
) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
    """The generators' optimiser as the recipe has it, and Adam for the critics.

    Gradients are scaled where half precision needs it. Only the generators' weights are averaged.

    Args:
        config: The recipe.
        policy: Keras dtype policy of the networks.
    """
    settings, rate = config.optimizer, config.schedule.rate(0)
    betas = settings.beta_1, settings.beta_2
    average: dict[str, Any] = {"use_ema": settings.ema > 0, "ema_momentum": settings.ema}
    generators: keras.optimizers.Optimizer
    if settings.generators == "muon":
        generators = ConvolutionMuon(
            rate,
            adam_beta_1=betas[0],
            adam_beta_2=betas[1],
            weight_decay=settings.weight_decay or None,
            **average,
        )
    else:
        generators = keras.optimizers.Adam(rate, *betas, **average)
    critics = keras.optimizers.Adam(rate, *betas)
    if policy == "mixed_float16":
        return tuple(keras.optimizers.LossScaleOptimizer(o) for o in (generators, critics))
    return generators, critics
