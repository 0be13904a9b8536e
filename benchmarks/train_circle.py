"""How fast is a GAN-CIRCLE step? Against a straightforward PyTorch one, and what sharing saves.

    pip install torch
    python benchmarks/train_circle.py [--quick] [--json FILE]

Every variant trains on the same random 64x64 pairs with the paper's networks and objective; the
losses of both implementations, from one set of weights and without dropout, are compared first.
pairs/s is the batch size over the seconds of one whole step: both critics, both generators. All run
in one process, so all have the same allocator; PyTorch is measured with both layouts of tensors and
counts with the faster one. bfloat16 is measured where the processor multiplies it natively.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from srmri_tf.cli import process

process.configure()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
from parts import Part, arrays_of, gradient_of, measure, table, update_of
from torch_circle import GENERATOR, Step
from turns import LAYOUTS, fastest, in_turns, ratio, report

from srmri_tf.networks import losses
from srmri_tf.networks.circle import Circle, build
from srmri_tf.networks.circle.model import interleave, separate
from srmri_tf.networks.precision import POLICIES, resolve_precision
from srmri_tf.recipes import load_recipe
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training.engine import make_step

SIDE = 64
DATA = "random 64x64 pairs, random weights; no scans"


def our_model(config: TrainConfig, precision: str) -> tuple[Circle, tf.distribute.Strategy]:
    """The model as `fit` builds it, under the strategy that `fit` uses."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = build(config, (SIDE, SIDE), None, POLICIES[precision])
    return model, strategy


def our_step(config: TrainConfig, precision: str, lr: np.ndarray, hr: np.ndarray) -> Callable:
    """One adversarial step of the engine on fixed pairs."""
    model, strategy = our_model(config, precision)
    step = make_step(strategy, model, "adversarial")
    batch = (tf.constant(lr), tf.constant(hr))
    return lambda: step(batch, tf.constant(0.0))


def critic_arrays(critic: keras.Model) -> list[np.ndarray]:
    """Weights in PyTorch's order: convolutions, norms, dense layers."""
    kinds = (keras.layers.Conv2D, keras.layers.GroupNormalization, keras.layers.Dense)
    layers = [layer for kind in kinds for layer in critic.layers if isinstance(layer, kind)]
    return [w.numpy() for layer in layers for w in layer.weights]


def check_same_losses(lr: np.ndarray, hr: np.ndarray) -> float:
    """The largest difference of our losses and PyTorch's, relative where they are above 1."""
    config = load_recipe("paper-circle", {"batch_size": len(lr), "generator.dropout": 0.0})
    model, strategy = our_model(config, "float32")
    theirs = Step(bfloat16=False, dropout=0.0, side=SIDE)
    for adam in (theirs.generator_adam, theirs.critic_adam):
        adam.param_groups[0]["lr"] = 0.0  # Adam's first steps turn rounding into signs
    for optimizer in model.optimizers():
        optimizer.learning_rate.assign(0.0)
    generators = [arrays_of(net, GENERATOR) for net in (model.generator, model.degrader)]
    critics = [critic_arrays(net) for net in (model.critic_y, model.critic_x)]
    theirs.load([*generators, *critics])
    alphas = [
        tf.random.stateless_uniform([len(lr), 1, 1, 1], [config.seed, which]).numpy()
        for which in (0, 1)
    ]
    expected = theirs(lr, hr, alphas)
    found = make_step(strategy, model, "adversarial")((lr, hr), tf.constant(0.0))
    return max(abs(found[k] - v) / max(abs(v), 1.0) for k, v in expected.items())


def sharing(batch: int, precision: str, rounds: int) -> dict[str, float]:
    """How many times as fast one pass over two batches is as a pass over each."""
    model, _ = our_model(load_recipe("paper-circle", {"batch_size": batch}), precision)
    x, y = tf.random.uniform([2, batch, SIDE, SIDE, 1])

    def gradient(network: keras.Model, shared: bool, join: Callable, part: Callable) -> Callable:
        @tf.function
        def call() -> list[tf.Tensor]:
            weights = [v.value for v in network.trainable_weights]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                outputs = part(network(join(x, y))) if shared else (network(x), network(y))
                loss = tf.add_n([tf.reduce_sum(tf.abs(out)) for out in outputs])
            return tape.gradient(loss, weights)

        return call

    kinds = {
        "generator": (model.generator, interleave, separate),
        "critic": (model.critic_y, lambda a, b: tf.concat([a, b], 0), lambda z: tf.split(z, 2)),
    }
    saved = {}
    for name, (network, join, part) in kinds.items():
        calls = {str(s): gradient(network, s, join, part) for s in (False, True)}
        seconds = in_turns(calls, rounds)
        saved[f"{name}_shared_{precision}"] = ratio(seconds["False"], seconds["True"])
    return saved


def parts_of_step(batch: int, precision: str) -> dict[str, Part]:
    """What a step of the paper's recipe is made of; G and F, D_Y and D_X are alike."""
    model, _ = our_model(load_recipe("paper-circle", {"batch_size": batch}), precision)
    g, d = model.generator, model.critic_y
    x, y = tf.random.uniform([2, batch, SIDE, SIDE, 1])
    alpha = tf.random.uniform([batch, 1, 1, 1])
    both, noise = tf.concat([x, y], axis=0), tf.constant([1, 2], tf.int64)
    made, judged = g.trainable_variables, d.trainable_variables
    forward = {"g": 0.34 * batch, "d": 1.37 * batch}  # GFLOP of one pass
    return {
        "generator on both, forward and back": Part(
            gradient_of(lambda: g(both, noise=noise), made), 2, 6 * forward["g"]
        ),
        "generator's cycle, also to the image": Part(
            gradient_of(lambda: g(x, noise=noise), made, x), 2, 3 * forward["g"]
        ),
        "critic on both, forward and back": Part(
            gradient_of(lambda: d(both), judged), 2, 6 * forward["d"]
        ),
        # Instance norm is curved: the slope's change also goes back through the scores' own pass.
        "penalty": Part(
            gradient_of(lambda: losses.gradient_penalty(d, x, y, alpha), judged),
            2,
            6 * forward["d"],
        ),
        "critic, back to the image": Part(gradient_of(lambda: d(x), [], x), 2, 2 * forward["d"]),
        "critics' Adam": Part(update_of(model.critic_optimizer, model.critic_variables()), 1),
        "generators' Adam": Part(
            update_of(model.generator_optimizer, model.generator_variables()), 1
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small batch and few rounds")
    parser.add_argument("--batch", type=int, help="pairs per step")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    batch = args.batch or (4 if args.quick else 64)
    rounds = args.rounds or (2 if args.quick else 5)
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    rng = np.random.default_rng(0)
    lr, hr = rng.random((2, batch, SIDE, SIDE, 1), np.float32)
    difference = check_same_losses(lr[:4], hr[:4])
    print(f"largest relative difference of our losses and PyTorch's: {difference:.1e}")
    if difference > 1e-3:
        raise SystemExit("the two implementations do not compute the same losses")
    alphas = list(rng.random((2, batch, 1, 1, 1), np.float32))
    paper = load_recipe("paper-circle", {"batch_size": batch})
    dropout = paper.generator.dropout
    precisions = ["float32"]
    if resolve_precision("auto") == "bfloat16":
        precisions.append("bfloat16")
    variants = {}
    for precision in precisions:
        variants[f"paper, {precision}"] = our_step(paper, precision, lr, hr)
        for name, last in LAYOUTS.items():
            step = Step(precision == "bfloat16", dropout, SIDE, last)
            variants[f"PyTorch, {precision}, {name}"] = lambda s=step: s(lr, hr, alphas)
    started = time.perf_counter()
    seconds = in_turns(variants, rounds)
    print(f"{rounds} rounds in {time.perf_counter() - started:.0f} s, batch {batch}")
    figures = {f"pairs/s {n}": batch / statistics.median(s) for n, s in seconds.items()}
    figures["loss difference"] = difference
    ratios = {
        f"{p}_vs_torch": ratio(fastest(seconds, f"PyTorch, {p}"), seconds[f"paper, {p}"])
        for p in precisions
    }
    for precision in () if args.quick else precisions:
        ratios |= sharing(min(batch, 16), precision, rounds)
        rows = measure(parts_of_step(batch, precision), precision, max(3, rounds))
        print(f"\n{table(f'one step in {precision}, batch {batch}', rows)}")
        figures[f"parts, {precision}"] = rows
    print()
    report(ratios, figures, DATA, args.json)


if __name__ == "__main__":
    main()
