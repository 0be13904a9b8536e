"""Does a second replica take more memory than the first? One GAN-CIRCLE step on one and two.

    python benchmarks/replicas.py [--quick] [--json FILE]

Each count runs in a process of its own, on that many logical CPU devices, with as many pairs per
replica; what is counted is how far the peak rises above TensorFlow itself while a model of the
paper's recipe is built and takes three steps. Prints ``memory_per_replica_2_vs_1``, to be at most
1: a replica holds its own weights, Adam's moments and activations, and nothing more.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from turns import report

SIDE = 64
DATA = "random 64x64 pairs, random weights; no scans"


def peak() -> float:
    """MiB of this process at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grown(replicas: int, batch: int) -> float:
    """MiB that a model and its steps take on so many replicas of ``batch`` pairs each."""
    import tensorflow as tf

    from srmri_tf.networks.circle import build
    from srmri_tf.recipes import load_recipe
    from srmri_tf.training.engine import make_step

    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    config = load_recipe("paper-circle", {"batch_size": batch * replicas})
    data = tf.data.Dataset.from_tensors(
        (tf.random.uniform([batch, SIDE, SIDE, 1]), tf.random.uniform([batch, SIDE, SIDE, 1]))
    ).repeat()
    batches = iter(strategy.distribute_datasets_from_function(lambda context: data))
    before = peak()
    with strategy.scope():
        model = build(config, (SIDE, SIDE), None, "float32")
    step = make_step(strategy, model, "adversarial")
    for _ in range(3):
        step(next(batches), tf.constant(0.0))
    return peak() - before


def measured(replicas: int, batch: int) -> float:
    """`grown`, in a fresh process."""
    command = [sys.executable, __file__, "--replicas", str(replicas), "--batch", str(batch)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small batch, once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--batch", type=int, help="pairs per replica")
    parser.add_argument("--replicas", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    batch = args.batch or (4 if args.quick else 32)
    if args.replicas:
        print(grown(args.replicas, batch))
        return
    rounds = 1 if args.quick else 3
    one, two = zip(*[(measured(1, batch), measured(2, batch)) for _ in range(rounds)], strict=True)
    ratios = {
        "memory_per_replica_2_vs_1": statistics.median(
            b / 2 / a for a, b in zip(one, two, strict=True)
        )
    }
    figures = {
        "MiB on one replica": statistics.median(one),
        "MiB on two replicas": statistics.median(two),
        "pairs per replica": batch,
        "runs": json.dumps({"one": one, "two": two}),
    }
    report(ratios, figures, DATA, args.json)


if __name__ == "__main__":
    main()
