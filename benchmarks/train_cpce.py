"""How fast is a GAN-CPCE step? Against a straightforward PyTorch one, part by part.

    pip install torch
    python benchmarks/train_cpce.py [--quick] [--json FILE]

Every variant trains on the same random 64x64 pairs and starts from the same weights; the losses of
our paper step and PyTorch's are compared first. A pair counts once per generator update: pairs/s is
the batch size over the seconds of one whole step, critic updates included. VGG-19 gets random
weights here: its speed does not depend on them. All run in one process, so all have the same
allocator; PyTorch is measured with both layouts of tensors and counts with the faster one. bfloat16
is measured where the processor multiplies it natively.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from srmri_tf.cli import process

process.configure()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import read
import tensorflow as tf
import torch
from our_cpce import SIDE, our_model, our_step
from parts import Part, arrays_of, gradient_of, measure, table, update_of
from torch_cpce import GENERATOR, Step
from turns import LAYOUTS, fastest, in_turns, ratio, report
from vgg import features

from srmri_tf.data.dataset import Shards
from srmri_tf.networks import losses
from srmri_tf.networks.cpce import build
from srmri_tf.networks.precision import POLICIES, resolve_precision
from srmri_tf.recipes import load_recipe
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training.engine import make_step

DATA = "random 64x64 pairs, random weights; no scans"


def plain_step(config: TrainConfig, lr: np.ndarray, hr: np.ndarray) -> Callable:
    """The same step as one compiled float32 graph with Keras's own Adam, and no engine."""
    model = build(config, (SIDE, SIDE), features("float32"), "float32")
    model.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4))
    step = tf.function(model.train_step)
    count = config.pairs_per_step("adversarial")
    batch = (tf.constant(lr[:count]), tf.constant(hr[:count]))
    return lambda: float(step(batch)["generator_loss"])


def input_pairs_per_second() -> float:
    """What the input pipeline delivers when the step is taken away."""
    with tempfile.TemporaryDirectory() as folder:
        data, steps = Shards.open(read.make(Path(folder), 4, 2048)).pairs(128, 0, range(1))
        seconds = in_turns({"read": lambda: read.drain(data)}, 3)["read"]
    return steps * 128 / min(seconds)


def check_same_losses(lr: np.ndarray, hr: np.ndarray) -> float:
    """The largest relative difference between our losses and PyTorch's from one set of weights."""
    config = load_recipe("paper-cpce", {"batch_size": len(lr) // 4})
    model, strategy = our_model(config, "float32")
    if float(tf.reduce_max(model.generator(lr[:2]))) == 0:
        model.generator.set_weights([np.abs(w) for w in model.generator.get_weights()])
    vgg = [w.numpy() for w in model.features.weights]
    theirs = Step(4, bfloat16=False)
    for adam in (theirs.generator_adam, theirs.critic_adam):
        adam.param_groups[0]["lr"] = 0.0  # Adam's first steps turn rounding into signs
    for optimizer in model.optimizers():
        optimizer.learning_rate.assign(0.0)
    theirs.load(
        {
            "generator": arrays_of(model.generator, GENERATOR),
            "critic": model.critic.get_weights(),
            "vgg": vgg,
        }
    )
    alphas = [
        tf.random.stateless_uniform([len(lr) // 4, 1, 1, 1], [config.seed, k]).numpy()
        for k in range(4)
    ]
    expected = theirs(lr, hr, alphas)
    found = make_step(strategy, model, "adversarial")((lr, hr), tf.constant(0.0))
    return max(abs(found[k] - v) / max(abs(v), 1e-6) for k, v in expected.items())


def parts_of_step(batch: int, precision: str) -> dict[str, Part]:
    """What a step of the paper's recipe is made of."""
    config = load_recipe("paper-cpce", {"batch_size": batch})
    model, _ = our_model(config, POLICIES[precision])
    g, d, phi = model.generator, model.critic, model.features
    x, y = tf.random.uniform([2, batch, SIDE, SIDE, 1])
    alpha = tf.random.uniform([batch, 1, 1, 1])
    both = tf.concat([x, y], axis=0)
    made, judged = model.generator_variables(), model.critic_variables()
    forward = {"g": 0.42 * batch, "d": 0.57 * batch, "phi": 3.2 * batch}  # GFLOP of one pass
    n = config.objective.n_critic
    return {
        "generator, forward": Part(lambda: g(x, training=True), n - 1, forward["g"]),
        "generator, forward and back": Part(
            gradient_of(lambda: g(x, training=True), made), 1, 3 * forward["g"]
        ),
        "critic on both, forward and back": Part(
            gradient_of(lambda: d(both), judged), n, 6 * forward["d"]
        ),
        # Scores, their slope at the image, its change along itself, and the weights' gradient.
        "penalty": Part(
            gradient_of(lambda: losses.gradient_penalty(d, x, y, alpha), judged),
            n,
            4 * forward["d"],
        ),
        "critic, back to the image": Part(gradient_of(lambda: d(x), [], x), 1, 2 * forward["d"]),
        "VGG-19, forward": Part(lambda: phi(x), 1, forward["phi"]),
        "VGG-19, back to the image": Part(
            gradient_of(lambda: phi(x), [], x), 1, 2 * forward["phi"]
        ),
        "critic's Adam": Part(update_of(model.critic_optimizer, judged), n),
        "generator's Adam": Part(update_of(model.generator_optimizer, made), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small batch and few rounds")
    parser.add_argument("--batch", type=int, help="pairs per update")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    batch = args.batch or (4 if args.quick else 64)
    rounds = args.rounds or (2 if args.quick else 5)
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    rng = np.random.default_rng(0)
    lr, hr = rng.random((2, 4 * batch, SIDE, SIDE, 1), np.float32)
    difference = check_same_losses(lr[:16], hr[:16])
    print(f"largest relative difference of our losses and PyTorch's: {difference:.1e}")
    if difference > 1e-4:
        raise SystemExit("the two implementations do not compute the same losses")
    alphas = list(rng.random((4, batch, 1, 1, 1), np.float32))
    paper = load_recipe("paper-cpce", {"batch_size": batch})
    fast = load_recipe("fast-cpce", {"batch_size": batch})
    precisions = ["float32"]
    if resolve_precision("auto") == "bfloat16":
        precisions.append("bfloat16")
    variants = {"plain graph, float32": plain_step(paper, lr, hr)}
    for precision in precisions:
        variants[f"paper, {precision}"] = our_step(paper, precision, lr, hr)
        variants[f"fast, {precision}"] = our_step(fast, precision, lr, hr)
        for name, last in LAYOUTS.items():
            step = Step(4, precision == "bfloat16", last)
            variants[f"PyTorch, {precision}, {name}"] = lambda s=step: s(lr, hr, alphas)
    started = time.perf_counter()
    seconds = in_turns(variants, rounds)
    print(f"{rounds} rounds in {time.perf_counter() - started:.0f} s, batch {batch}")
    figures = {f"pairs/s {n}": batch / statistics.median(s) for n, s in seconds.items()}
    for precision in () if args.quick else precisions:
        rows = measure(parts_of_step(batch, precision), precision, max(3, rounds))
        print(f"\n{table(f'one step in {precision}, batch {batch}', rows)}")
        figures[f"parts, {precision}"] = rows
    figures["loss difference"] = difference
    figures["pairs/s of the input pipeline alone"] = input_pairs_per_second()
    plain = ratio(seconds["plain graph, float32"], seconds["paper, float32"])
    ratios = {"float32_vs_plain_graph": plain}
    for precision in precisions:
        torch_seconds = fastest(seconds, f"PyTorch, {precision}")
        ratios[f"{precision}_vs_torch"] = ratio(torch_seconds, seconds[f"paper, {precision}"])
        ratios[f"fast_vs_torch_{precision}"] = ratio(torch_seconds, seconds[f"fast, {precision}"])
    report(ratios, figures, DATA, args.json)


if __name__ == "__main__":
    main()
