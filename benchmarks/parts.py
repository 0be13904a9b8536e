"""Where the time of a training step goes, part by part, against the machine's convolution peak."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from turns import in_turns

PEAK = "large convolution"


@dataclass(frozen=True)
class Part:
    """A piece of a training step.

    Args:
        call: Takes it once.
        times: How often one step does.
        gflop: Arithmetic of one call, as the mathematics needs it; 0 where there is hardly any.
    """

    call: Callable[[], Any]
    times: int
    gflop: float = 0.0


def arrays_of(network: keras.Model, layers: Sequence[str]) -> list[np.ndarray]:
    """Weights of a network's layers, in the order in which they are named."""
    return [weight.numpy() for name in layers for weight in network.get_layer(name).weights]


def gradient_of(
    output: Callable[[], Any], weights: list[keras.Variable], *inputs: tf.Tensor
) -> Callable[[], Any]:
    """A call that makes an output and the gradient of its sum, to weights and to inputs."""

    def call() -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            watched = [*(v.value for v in weights), *inputs]
            tape.watch(watched)
            total = tf.reduce_sum(tf.cast(output(), tf.float32))
        return tape.gradient(total, watched)

    return call


def update_of(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> Callable:
    """A call that takes one optimiser step."""
    return lambda: optimizer.apply([tf.zeros_like(w.value) for w in weights], weights)


def large_convolution(precision: str) -> Part:
    """What the machine does best, in float32 or bfloat16: a large, regular convolution."""
    x = tf.cast(tf.random.uniform([32, 64, 64, 128]), precision)
    kernel = tf.cast(tf.random.uniform([3, 3, 128, 128]), precision)
    return Part(lambda: tf.nn.conv2d(x, kernel, 1, "SAME"), 0, 2 * 32 * 64**2 * 9 * 128**2 / 1e9)


def measure(parts: Mapping[str, Part], precision: str, rounds: int) -> dict[str, dict[str, float]]:
    """Time the parts in turns with a large, regular convolution.

    Returns:
        Of each part: ``times`` a step takes it, ``ms`` of one call, its ``share`` of all parts'
        time in a step, and where it has arithmetic ``GFLOP/s`` and the fraction ``of peak``.
    """
    large = large_convolution(precision)
    every = {PEAK: large, **parts}
    calls = {name: tf.function(part.call) for name, part in every.items()}
    seconds = in_turns(calls, rounds)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    whole = sum(part.times * median[name] for name, part in parts.items())
    rows: dict[str, dict[str, float]] = {}
    for name, part in every.items():
        share = part.times * median[name] / whole
        rows[name] = {"times": part.times, "ms": 1e3 * median[name], "share": share}
        if part.gflop:
            speeds = [part.gflop / s for s in seconds[name]]
            peaks = [large.gflop / s for s in seconds[PEAK]]
            fractions = [a / b for a, b in zip(speeds, peaks, strict=True)]
            rows[name]["GFLOP/s"] = statistics.median(speeds)
            rows[name]["of peak"] = statistics.median(fractions)
    return rows


def table(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """The rows that `measure` returned, to read."""
    width = max(map(len, [title, *rows]))
    forms = {"times": ".0f", "ms": ".1f", "share": ".0%", "GFLOP/s": ".0f", "of peak": ".2f"}
    lines = [f"{title:<{width}}" + "".join(f"{name:>9}" for name in forms)]
    for name, row in rows.items():
        cells = (format(row[key], form) if key in row else "" for key, form in forms.items())
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)
