"""Our GAN-CPCE step for the benchmarks, as `fit` takes it; sets nothing for the process."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from vgg import features

from srmri_tf.networks.cpce import Cpce, build
from srmri_tf.networks.precision import POLICIES
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training.engine import make_step

SIDE = 64


def our_model(config: TrainConfig, policy: str) -> tuple[Cpce, tf.distribute.Strategy]:
    """The model as `fit` builds it, under the strategy that `fit` uses."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = build(config, (SIDE, SIDE), features(policy), policy)
    return model, strategy


def our_step(config: TrainConfig, precision: str, lr: np.ndarray, hr: np.ndarray) -> Callable:
    """One adversarial step of the engine on fixed pairs."""
    model, strategy = our_model(config, POLICIES[precision])
    step = make_step(strategy, model, "adversarial")
    count = config.pairs_per_step("adversarial")
    batch = (tf.constant(lr[:count]), tf.constant(hr[:count]))
    return lambda: step(batch, tf.constant(0.0))
