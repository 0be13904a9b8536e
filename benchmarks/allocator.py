"""What do oneDNN and keeping freed memory save? A training step and `enhance`, with and without.

    python benchmarks/allocator.py [--quick] [--json FILE]

Both settings (`srmri_tf.cli.process`) hold for a whole process, so every measurement is a process
of its own, and the four combinations take turns. Times and page faults leave out imports, tracing
and one uncounted call. Ratios are those of a process with neither setting over one with the named
ones. ``..._memory_same_result`` is 1 if keeping memory changes no bit of the first step's losses or
of the enhanced scan. ``MiB grown`` is what a small training step adds to the peak in many steps,
with both.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from turns import report

from srmri_tf.cli import process

KINDS = {"neither": (0, 0), "memory": (0, 1), "onednn": (1, 0), "both": (1, 1)}
WORK = ("training step", "enhance")


def training_step(repeats: int) -> Callable[[], list[float]]:
    """Adversarial steps of the demo's recipe on random pairs; gives the first one's losses."""
    from our_cpce import our_step

    from srmri_tf.recipes import load_recipe

    config = load_recipe("demo")
    count = config.pairs_per_step("adversarial")
    lr, hr = np.random.default_rng(0).random((2, count, 64, 64, 1), np.float32)
    step = our_step(config, "float32", lr, hr)

    def call() -> list[float]:
        first, *_ = [step() for _ in range(repeats)]
        return list(first.values())

    return call


def enhancement(repeats: int, folder: Path) -> Callable[[], list[float]]:
    """`enhance` of a phantom, from file to file."""
    from made import make_run, make_scan

    from srmri_tf.enhance.config import EnhanceConfig
    from srmri_tf.enhance.files import enhance
    from srmri_tf.enhance.worklist import make_worklist

    scan, out = folder / "scan.nii.gz", folder / "out.nii.gz"
    make_scan(scan, 16 * repeats, (0.85, 0.65))
    config = EnhanceConfig(model=str(make_run(folder / "run")))

    def call() -> list[float]:
        list(enhance(make_worklist([scan], out), config, overwrite=True))
        return list(out.read_bytes())

    return call


def measured(work: str, kind: str, repeats: int) -> dict[str, float | str]:
    """Seconds, system seconds, page faults, peak and result of one kind of work, in here."""
    onednn, kept = KINDS[kind]
    os.environ[process.ONEDNN] = str(onednn)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if kept and not process.keep_memory():
        raise SystemExit("this system's allocator cannot be set, or the environment sets it")
    import keras

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        call = training_step(repeats) if work == WORK[0] else enhancement(repeats, Path(folder))
        first = call()
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        call()
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "system seconds": after.ru_stime - before.ru_stime,
        "page faults": after.ru_minflt - before.ru_minflt,
        "peak MiB": after.ru_maxrss / 1024,
        "result": hashlib.sha256(np.array(first).tobytes()).hexdigest(),
    }


def grown(steps: int) -> dict[str, float]:
    """MiB that the peak memory grows over so many small steps of the engine, after warming up."""
    process.configure()
    import tensorflow as tf

    from srmri_tf.networks.cpce import build
    from srmri_tf.recipes import load_recipe
    from srmri_tf.training.engine import make_step

    config = load_recipe("demo", {"batch_size": 1, "objective.perceptual": 0.0})
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = build(config, (16, 16), None, "float32")
    step = make_step(strategy, model, "adversarial")
    count = config.pairs_per_step("adversarial")
    batch = (tf.random.uniform([count, 16, 16, 1]),) * 2
    peaks = []
    for part in (200, steps):
        for _ in range(part):
            step(batch, tf.constant(0.0))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"MiB": peaks[1] - peaks[0]}


def in_a_process(*arguments: str | int) -> dict:
    """What this script prints when a process of its own does one piece of work."""
    command = [sys.executable, __file__, "--alone", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, few steps")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        work, *rest = options.alone
        alone = grown(int(rest[0])) if work == "grown" else measured(work, rest[0], int(rest[1]))
        print(json.dumps(alone))
        return
    rounds, repeats, steps = (1, 1, 200) if options.quick else (3, 4, 1000)
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {}
    for work in WORK:
        turns = [{kind: in_a_process(work, kind, repeats) for kind in KINDS} for _ in range(rounds)]
        for key in ("seconds", "system seconds", "page faults", "peak MiB"):
            for kind in KINDS:
                figures[f"{work}, {kind}, {key}"] = float(np.median([t[kind][key] for t in turns]))
        for kind in list(KINDS)[1:]:
            for name, key in (("time", "seconds"), ("faults", "page faults")):
                pairs = [t["neither"][key] / (t[kind][key] or 1) for t in turns]
                ratios[f"{work}_{kind}_{name}".replace(" ", "_")] = float(np.median(pairs))
        same = all(
            len({t[kind]["result"] for t in turns for kind in pair}) == 1
            for pair in (("neither", "memory"), ("onednn", "both"))
        )
        ratios[f"{work}_memory_same_result".replace(" ", "_")] = float(same)
    figures[f"MiB grown over {steps} steps"] = in_a_process("grown", steps)["MiB"]
    data = f"random 64x64 pairs, VGG-19 of random weights; a phantom of {16 * repeats} slices"
    report(ratios, figures, data, options.json)


if __name__ == "__main__":
    main()
