"""An objective: named, weighted terms, each a function of the images of one training step."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from data_prep.errors import ConfigError, SrmriError
from srmri_tf.networks.gradients import ordered_sum

Terms = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Term:
    """One term of a generator's objective.

    Args:
        name: What logs call it.
        weight: Its factor in the sum.
        value: Maps the step's images to a float32 scalar, a mean over the batch.
    """

    name: str
    weight: float
    value: Callable[[Any], tf.Tensor]


def weighted_sum(terms: Sequence[Term], images: Any) -> tuple[tf.Tensor, Terms]:
    """The sum that a generator minimises, and every term without its weight.

    Args:
        terms: At least one.
        images: What each term is a function of.
    """
    values = {term.name: term.value(images) for term in terms}
    weighted = [term.weight * values[term.name] for term in terms]
    return ordered_sum(weighted), values


def own_terms(weights: Mapping[str, float]) -> list[Term]:
    """Terms of the user's own, by the whole names that a recipe gives them.

    No other term can then have the same name. Each is a function ``term(lr, sr, hr)`` of
    (B, H, W, 1) float32 images, of which hr belongs to lr where pairs are known, to a float32
    scalar that is a mean over the batch.

    Args:
        weights: ``package.module:function`` to weight.

    Raises:
        ConfigError: There is no such function.
    """
    return [
        Term(name, weight, _checked(name, load_function(name))) for name, weight in weights.items()
    ]


def load_function(name: str) -> Callable:
    """Import ``package.module:function``.

    Raises:
        ConfigError: The module cannot be imported, or has no such function.
    """
    module, _, function = name.partition(":")
    found: Any
    remedy = "Name package.module:function of an installed package, or set PYTHONPATH"
    with faults_of(name, "cannot be imported", remedy):
        found = getattr(importlib.import_module(module), function)
    if not callable(found):
        raise ConfigError(f"{name} is no function", remedy="Name a function in the recipe")
    return found


@contextlib.contextmanager
def faults_of(
    name: str, fault: str = "fails", remedy: str = "Correct it; `srmri-tf --debug` shows where"
) -> Iterator[None]:
    """Call what goes wrong in the user's own code by the name of the function.

    Raises:
        ConfigError: An exception was raised within.
    """
    try:
        yield
    except (SrmriError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"{name} {fault} ({type(error).__name__}: {first})",
            remedy=remedy,
        ) from error


def _checked(name: str, function: Callable) -> Callable[[Any], tf.Tensor]:
    def value(images: Any) -> tf.Tensor:
        with faults_of(name):
            term = tf.cast(function(images.lr, images.sr, images.hr), tf.float32)
        if term.shape.rank != 0:
            raise ConfigError(
                f"{name} gives a tensor of shape {tuple(term.shape)}, but a term is one number",
                remedy="Return the mean over the batch, for instance with tf.reduce_mean",
            )
        return term

    return value
