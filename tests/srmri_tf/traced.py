"""One model and its compiled steps for all runs of equal settings: tracing takes most of the time.

Every run begins with the weights and optimisers that its model was built with.
"""

from typing import Any

import keras
import numpy as np
import pytest

from srmri_tf.data.dataset import Shards
from srmri_tf.networks.registry import MODELS
from srmri_tf.training import engine, fitting

NOT_IN_THE_GRAPH = {"schedule", "validation", "init", "fold"}


def share_traced_steps(patch: pytest.MonkeyPatch) -> None:
    """Have `fit` build and trace no model and no pipeline of pairs twice from now on."""
    patch.setattr(fitting, "make_strategy", _once(fitting.make_strategy, lambda devices: devices))
    patch.setattr(engine, "make_step", _once(engine.make_step, _identities))
    patch.setattr(Shards, "pairs", _once(Shards.pairs, _which_pairs))
    models: dict[Any, tuple[keras.Model, dict[str, np.ndarray]]] = {}
    build = fitting._build

    def build_once(config, shards, vgg, strategy):
        settings = config.model_dump_json(exclude=NOT_IN_THE_GRAPH)
        first, degradation = shards.training()[0], shards.manifest.parameters.degradation
        key = settings, first.height, first.width, degradation, vgg and vgg.sha256
        key += id(strategy), MODELS[config.model].build
        if key not in models:
            model = build(config, shards, vgg, strategy)
            models[key] = model, {name: np.array(v) for name, v in model.state().items()}
        model, begun = models[key]
        for name, variable in model.state().items():
            variable.assign(begun[name])
        keras.utils.set_random_seed(config.seed)
        return model

    patch.setattr(fitting, "_build", build_once)


def _identities(strategy: Any, model: keras.Model, phase: str) -> tuple:
    return id(strategy), id(model), phase


def _which_pairs(shards: Shards, *arguments: Any, **options: Any) -> tuple:
    return shards.folder, str(shards.training()), arguments, tuple(sorted(options.items()))


def _once(function: Any, key: Any) -> Any:
    """A function that answers equal calls with its first answer."""
    answers: dict[Any, Any] = {}

    def call(*arguments, **options):
        if (which := key(*arguments, **options)) not in answers:
            answers[which] = function(*arguments, **options)
        return answers[which]

    return call


def as_built(models: dict[Any, Any], key: Any, make: Any, rates: tuple[float, float]) -> Any:
    """A model that is made, and traced, once per key, with the weights it was made with.

    Args:
        models: Those made before.
        key: What decides the model's graph.
        make: Makes it, compiled.
        rates: Learning rates of the generators and of the critics.
    """
    if key not in models:
        model = make()
        models[key] = model, {name: np.array(v) for name, v in model.state().items()}
    model, begun = models[key]
    model.phase = "adversarial"
    for name, variable in model.state().items():
        variable.assign(begun[name])
    for optimizer, rate in zip(model.optimizers(), rates, strict=True):
        optimizer.learning_rate.assign(rate)
    return model
