"""How fast does a CUDA machine train and enhance? `gpu.sh` starts this; see docs/training.md.

Whole training steps of the paper's recipes on random 64x64 pairs that lie on the device, as `fit`
takes them: in float32 and bfloat16, with gradients by TensorFlow or by XLA, on one GPU and
on all; the same step on pairs that are read from shards; PyTorch's step; and the command `srmri-tf
enhance`. Variants of one network take turns. What fails, for want of memory or of a library, is a
note, not an end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import nibabel as nib
import numpy as np
import read
import tensorflow as tf
from turns import in_turns, ratio, report
from vgg import features

from srmri_tf.data.dataset import Shards
from srmri_tf.networks import circle, cpce
from srmri_tf.networks.precision import POLICIES
from srmri_tf.networks.vgg19.features import LAYER
from srmri_tf.recipes import load_recipe
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training.devices import mirrored, share
from srmri_tf.training.engine import make_step

EPOCH = 128_000  # pairs: the paper's 8,000 slices
BUILD = {"cpce": cpce.build, "circle": circle.build}
PRECISIONS = ("float32", "bfloat16")
CLI = "from srmri_tf.cli import main; main()"
DATA = "random 64x64 pairs, random weights; a phantom; no scans"

Rows = dict[str, list[float]]  # seconds of a row in each round


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        steps: Training steps of a row in a round.
        rounds: How often the rows take turns.
        changes: To the recipes, beside the batch.
        layer: Where VGG-19 ends.
        patch: Side of the patches.
        voxels: The phantom's matrix, before it is doubled in plane.
    """

    steps: int = 20
    rounds: int = 3
    changes: Mapping[str, Mapping[str, Any]] | None = None
    layer: str = LAYER
    patch: int = 64
    voxels: tuple[int, int, int] = (128, 128, 130)

    def recipe(self, name: str, xla: bool = False) -> TrainConfig:
        changes = self.changes[name] if self.changes else {}
        return load_recipe(f"paper-{name}", {**changes, "xla": xla})


# XLA takes a minute for four critic updates and all of VGG-19; less of each is the same path.
DRY = Plan(
    steps=1,
    rounds=1,
    changes={
        "cpce": {"batch_size": 2, "objective.n_critic": 1},
        "circle": {"batch_size": 2, "critic.form": "patchgan"},
    },
    layer="block1_conv1",
    patch=32,
    voxels=(24, 24, 4),
)


def devices(dry_run: bool) -> list[str]:
    """The GPUs that TensorFlow sees; for a dry run two devices that share the processor."""
    gpus = tf.config.list_physical_devices("GPU")
    if dry_run:
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        tf.config.set_logical_device_configuration(cpu, halves)
        tf.config.set_visible_devices([], "GPU")
        return ["CPU:0", "CPU:1"]
    if not gpus:
        raise SystemExit(
            "TensorFlow sees no GPU. `nvidia-smi` shows whether there is one and a driver; "
            "`pip install '.[gpu]'` brings the CUDA libraries. --dry-run needs none."
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [f"GPU:{number}" for number in range(len(gpus))]


def description(dry_run: bool) -> dict[str, Any]:
    """GPUs, driver and versions."""
    build = tf.sysconfig.get_build_info()
    found: dict[str, Any] = {
        "tensorflow": tf.__version__,
        "CUDA of tensorflow": build.get("cuda_version"),
        "cuDNN of tensorflow": build.get("cudnn_version"),
    }
    gpus = [] if dry_run else tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    found["GPU"] = [d.get("device_name") for d in details]
    found["compute capability"] = [d.get("compute_capability") for d in details]
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True)
        found["driver and memory"] = done.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        found["driver and memory"] = None
    return found


class Trainer:
    """Compiled steps of one recipe.

    Args:
        name: ``cpce`` or ``circle``.
        plan: Has the recipe and the side of the patches.
        precision: What it computes in.
        where: The devices, each of which gets a whole batch.
        xla: Let XLA compile the gradients.
    """

    def __init__(
        self, name: str, plan: Plan, precision: str, where: list[str], xla: bool = False
    ) -> None:
        config, self.patch = plan.recipe(name, xla), plan.patch
        policy = POLICIES[precision]
        self.strategy = mirrored(tuple(where))
        with self.strategy.scope():
            phi = features(policy, plan.layer) if name == "cpce" else None
            self.model = BUILD[name](config, (plan.patch, plan.patch), phi, policy)
        self.step = make_step(self.strategy, self.model, "adversarial")
        self.pairs = config.pairs_per_step("adversarial") * len(where)

    def on_fixed_pairs(self, steps: int) -> Callable[[], None]:
        """Steps on pairs that are on the devices already."""
        count = self.pairs // self.strategy.num_replicas_in_sync
        images = tf.random.stateless_uniform([2, count, self.patch, self.patch, 1], [1, 2])
        data = tf.data.Dataset.from_tensors((images[0], images[1])).repeat()
        batches = self.strategy.distribute_datasets_from_function(lambda context: data)
        batch = next(iter(batches))
        return lambda: [self.step(batch, tf.constant(0.0)) for _ in range(steps)]

    def from_shards(self, folder: Path, steps: int) -> Callable[[], None]:
        """Steps on pairs that are read, shuffled and moved to the devices meanwhile."""
        data, _ = Shards.open(folder).pairs(self.pairs, 0, range(10**6))
        batches = iter(share(self.strategy, data, self.pairs))
        return lambda: [self.step(next(batches), tf.constant(0.0)) for _ in range(steps)]


class Bench:
    """Rows of one run, and what could not be measured."""

    def __init__(self, plan: Plan, where: list[str]) -> None:
        self.plan, self.where = plan, where
        self.figures: dict[str, Any] = {}
        self.ratios: dict[str, float] = {}
        self.notes: list[str] = []
        self.trainers: dict[str, Trainer] = {}

    def timed(self, makers: Mapping[str, Callable[[], Callable]], each: int = 1) -> Rows:
        """Seconds of each row in each round; a row that fails is left out, and noted.

        Args:
            makers: Each makes a call that takes the row's ``each`` steps.
            each: How many steps a call takes.
        """
        calls = {}
        for row, make in makers.items():
            try:
                started = time.perf_counter()
                call = make()
                call()  # traces, compiles, and shows whether the memory suffices
                calls[row] = call
                print(f"{row}: ready after {time.perf_counter() - started:.0f} s", flush=True)
            except (tf.errors.OpError, RuntimeError, ValueError) as error:
                self.notes.append(f"{row}: {str(error).strip().splitlines()[0]}")
                print(f"note: {self.notes[-1]}", flush=True)
        rows = in_turns(calls, self.plan.rounds)
        return {row: [s / each for s in seconds] for row, seconds in rows.items()}

    def compare(self, name: str, rows: Rows, slower: str, faster: str) -> None:
        """Note how many times as fast the second row is, if both were measured."""
        if slower in rows and faster in rows:
            self.ratios[name] = ratio(rows[slower], rows[faster])

    def training(self, name: str, folder: Path) -> Rows:
        """Steps of one recipe in every way but XLA's, beside each other."""
        steps, one = self.plan.steps, self.where[:1]

        def fixed(row: str, precision: str, where: list[str]) -> Callable[[], Callable]:
            def make() -> Callable:
                self.trainers[row] = Trainer(name, self.plan, precision, where)
                return self.trainers[row].on_fixed_pairs(steps)

            return make

        makers, count = {}, len(self.where)
        for precision in PRECISIONS:
            row = f"{name}, {precision}"
            makers[row] = fixed(row, precision, one)
            makers[f"{row}, from shards"] = lambda row=row: self.trainers[row].from_shards(
                folder, steps
            )
            if count > 1:
                every = f"{row}, {count} devices"
                makers[every] = fixed(every, precision, self.where)
        rows = self.timed(makers, steps)
        for row, seconds in rows.items():
            self.add_figures(row, self.trainers[row.removesuffix(", from shards")].pairs, seconds)
        for precision in PRECISIONS:
            row, key = f"{name}, {precision}", f"{name}_{precision}"
            self.compare(f"{key}_fixed_vs_from_shards", rows, f"{row}, from shards", row)
            every = f"{row}, {count} devices"
            if every in rows and row in rows:
                self.ratios[f"{key}_{count}_devices_vs_1"] = count * ratio(rows[row], rows[every])
        self.compare(f"{name}_bfloat16_vs_float32", rows, f"{name}, float32", f"{name}, bfloat16")
        return rows

    def by_xla(self, name: str) -> Rows:
        """Steps of one recipe by XLA beside the same without. Last, for compiling takes longest."""
        steps, rows = self.plan.steps, {}
        for precision in PRECISIONS:
            row = f"{name}, {precision}"
            compiled = f"{row}, XLA"

            def make(precision: str = precision) -> Callable:
                trainer = Trainer(name, self.plan, precision, self.where[:1], xla=True)
                return trainer.on_fixed_pairs(steps)

            if row not in self.trainers:
                continue
            plain = self.trainers[row]
            makers = {row: lambda plain=plain: plain.on_fixed_pairs(steps), compiled: make}
            found = self.timed(makers, steps)
            self.compare(f"{row.replace(', ', '_')}_xla_vs_plain", found, row, compiled)
            if compiled in found:
                rows[compiled] = found[compiled]
                self.add_figures(compiled, plain.pairs, found[compiled])
        return rows

    def add_figures(self, row: str, pairs: int, seconds: list[float]) -> None:
        """The figures of a row whose steps take so many seconds and pairs."""
        self.figures[f"{row}: ms a step"] = 1e3 * median(seconds)
        self.figures[f"{row}: pairs/s"] = pairs / median(seconds)
        self.figures[f"{row}: minutes an epoch"] = EPOCH / pairs * median(seconds) / 60
        print(f"{row}: {1e3 * median(seconds):.4g} ms a step", flush=True)

    def torch(self) -> tuple[Rows, dict[str, Any]]:
        """PyTorch's rows, by an interpreter that has it, and its versions."""
        batches = {name: self.plan.recipe(name).batch_size for name in BUILD}
        script = Path(__file__).with_name("gpu_torch.py")
        command = [os.environ.get("TORCH_PYTHON", sys.executable), str(script)]
        command += [json.dumps(batches), str(self.plan.steps), str(self.plan.rounds)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            fault = done.stderr.strip() or "no message" if done.returncode else None
        except OSError as error:  # no such interpreter
            fault = str(error)
        if fault:
            self.notes.append(f"PyTorch: {fault.splitlines()[-1]}")
            return {}, {"torch": None, "CUDA of torch": None}
        found = json.loads(done.stdout.splitlines()[-1])
        self.notes += [f"PyTorch, {row}: {fault}" for row, fault in found["failed"].items()]
        for row, seconds in found["seconds"].items():
            self.figures[f"{row}, PyTorch: ms a step"] = 1e3 * median(seconds)
            print(f"{row}, PyTorch: {1e3 * median(seconds):.4g} ms a step", flush=True)
        return found["seconds"], found["versions"]

    def enhance(self, folder: Path) -> None:
        """The command, from file to file, start-up included."""
        scan = folder / "phantom.nii.gz"
        nib.save(nib.Nifti1Image(phantom(self.plan.voxels), np.diag([1.8, 1.8, 3, 1])), scan)
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if is_cpu(self.where) else None
        for precision in PRECISIONS:
            command = [sys.executable, "-c", CLI, "enhance", str(scan), "--model", "cpce-t2-x2"]
            command += ["-o", str(folder / f"{precision}.nii.gz"), "--precision", precision]
            started = time.perf_counter()
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - started
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                self.notes.append(f"enhance, {precision}: {last}")
            else:
                self.figures[f"enhance, {precision}: seconds"] = seconds
                print(f"enhance, {precision}: {seconds:.1f} s", flush=True)


def is_cpu(where: list[str]) -> bool:
    return where[0].startswith("CPU")


def phantom(shape: tuple[int, int, int]) -> np.ndarray:
    """An ellipsoid with ripples and noise, int16."""
    rows, columns, slices = (np.linspace(-1, 1, side) for side in shape)
    distance = (rows[:, None, None] / 0.9) ** 2 + (columns[:, None] / 0.7) ** 2 + slices**2 / 2
    head = (distance < 1) * (0.6 + 0.2 * np.cos(20 * distance))
    noise = 0.03 * np.random.default_rng(0).standard_normal(shape)
    return (1000 * np.clip(head + noise, 0, 1)).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=Plan.steps, help="training steps a round")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the processor")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    where = devices(options.dry_run)
    bench = Bench(DRY if options.dry_run else Plan(options.steps, options.rounds), where)
    print(f"TensorFlow sees {', '.join(where)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench.enhance(folder)
        (folder / "shards").mkdir()
        shards = read.make(folder / "shards", 4, 16 if options.dry_run else 1024, bench.plan.patch)
        ours = {row: s for name in BUILD for row, s in bench.training(name, shards).items()}
    theirs, versions = bench.torch()
    if theirs and options.dry_run:
        bench.notes.append("dry run: PyTorch's steps are of full size, so there are no ratios")
        theirs = {}
    if len(where) == 1:
        bench.notes.append("one GPU: nothing to share a batch with")

    def write_report() -> None:
        for row, seconds in theirs.items():
            rows, key = {"theirs": seconds, **ours}, row.replace(", ", "_")
            bench.compare(f"{key}_vs_torch", rows, "theirs", row)
            bench.compare(f"{key}_xla_vs_torch", rows, "theirs", f"{row}, XLA")
        figures = {"devices": where, **bench.figures, "notes": bench.notes}
        more = {**description(options.dry_run), **versions}
        report(bench.ratios, figures, DATA, options.json, more)

    write_report()  # compiling takes minutes: if it is stopped, this JSON is kept
    print("now by XLA", flush=True)
    for name in BUILD:
        ours |= bench.by_xla(name)
    write_report()


if __name__ == "__main__":
    main()
