"""`fit`: strategy, model, schedule, resume. The engine is the same for every model.

A run is a folder (`srmri_tf.runs`). Starting it again goes on after its last finished epoch, with
the weights an undisturbed run would have had.
"""

import hashlib
import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from data_prep.atomic import lock, refuse_foreign, write_text
from data_prep.errors import ConfigError, DivergedError, EnvironmentFault
from data_prep.net import progress_bar
from data_prep.schema import MANIFEST_NAME
from srmri_tf import __version__, checkpoint, cpce
from srmri_tf.callbacks import Bar, Bookkeeper, Guard, Row
from srmri_tf.config import CpceConfig, Phase, differences, to_toml
from srmri_tf.dataset import Shards
from srmri_tf.perceptual import build_features
from srmri_tf.runs import Run
from srmri_tf.validation import Validator
from srmri_tf.vgg19 import VggWeights, resolve

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
REDRAWS = 20


def fit(
    config: CpceConfig,
    shards_folder: Path,
    run_folder: Path,
    *,
    devices: int | None = None,
    console: Console | None = None,
) -> Run:
    """Train a model, or go on training it.

    Args:
        config: The settings; of an existing run they must be the same.
        shards_folder: What `srmri-tf prepare` wrote.
        run_folder: Where the run is, or will be.
        devices: Use only the first so many GPUs (or CPU devices); None takes all.
        console: Where progress goes; stderr by default.

    Raises:
        ConfigError: Settings that do not fit the run, the data or the devices.
        BadInputError: The shards are not there or not usable.
        CorruptArtefactError: Shards, VGG weights or checkpoint are damaged.
        EnvironmentFault: No disk, device or network.
        DivergedError: A loss term is not finite, or the generator is dead.
    """
    console = console or Console(stderr=True)
    run = Run(Path(run_folder))
    config = config.model_copy(update={"precision": resolve_precision(config.precision)})
    refuse_foreign(run.folder, run.config_file.name, "a training run")
    shards = Shards.open(shards_folder)
    strategy = local_strategy(devices)
    _check_batches(config, shards, strategy.num_replicas_in_sync)
    with progress_bar() as report:
        vgg = resolve(config.vgg_weights, report=report) if config.objective.perceptual else None
    with lock(run.folder):
        _open_run(run, config, _facts(shards, vgg, strategy))
        with strategy.scope():
            model = _build(config, shards, vgg)
        history = _restore(run, model)
        if len(history) == config.schedule.total:
            console.print(f"{run.folder}: this run is finished; nothing to do", highlight=False)
            return run
        if not history:
            _revive(model, config, shards, console)
        validator = Validator(
            shards, cpce.build_generator(config, "float32"), config.validation.max_slices
        )
        _announce(console, config, shards, vgg, strategy, validator, len(history))
        _train(model, config, shards, Bookkeeper(run, config, validator, history, console), console)
    return run


def resolve_precision(precision: str) -> str:
    """What ``auto`` means on this machine: bfloat16 where it is multiplied natively."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        return "bfloat16" if capability and capability >= (8, 0) else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return "float32"
    return "bfloat16" if {"amx_bf16", "avx512_bf16"} & set(flags) else "float32"


def local_strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """MirroredStrategy over the local GPUs, or the CPU where there are none.

    Raises:
        EnvironmentFault: There are fewer devices than asked for.
    """
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if devices is not None and devices > len(found):
        raise EnvironmentFault(f"{devices} devices were asked for, but {len(found)} are here")
    return tf.distribute.MirroredStrategy([device.name for device in found[:devices]])


def phases(config: CpceConfig, first: int) -> Iterator[tuple[Phase, range]]:
    """The phases still to come from the 0-based epoch ``first``, each with its epochs."""
    schedule = config.schedule
    start = first
    while start < schedule.total:
        stop = start
        while stop < schedule.total and schedule.phase(stop) == schedule.phase(start):
            stop += 1
        yield schedule.phase(start), range(start, stop)
        start = stop


def _train(
    model: Any, config: CpceConfig, shards: Shards, bookkeeper: Bookkeeper, console: Console
) -> None:
    replicas = model.distribute_strategy.num_replicas_in_sync
    for phase, epochs in phases(config, len(bookkeeper.history)):
        batch = config.batch_size * config.batches_per_step(phase)
        data, steps = shards.pairs(
            batch,
            config.seed,
            epochs,
            max_steps=config.schedule.steps_per_epoch,
            replicas=replicas,
        )
        model.phase = phase
        model.train_function = None  # trace again: another phase is another graph
        model.fit(
            data,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[Guard(), Bar(console, config.schedule.total, batch), bookkeeper],
        )


def _build(config: CpceConfig, shards: Shards, vgg: VggWeights | None) -> Any:
    keras.utils.set_random_seed(config.seed)
    policy = POLICIES[config.precision]
    features = build_features(vgg, dtype_policy=policy) if vgg else None
    first = shards.training()[0]
    return cpce.build(config, (first.height, first.width), features, policy)


def _restore(run: Run, model: Any) -> list[Row]:
    if not run.checkpoint_file.is_file():
        return []
    arrays, meta = checkpoint.load(run.checkpoint_file)
    checkpoint.assign(run.checkpoint_file, model.state(), arrays)
    return meta["history"]


def _revive(model: Any, config: CpceConfig, shards: Shards, console: Console) -> None:
    """Draw new weights until the output is not all zero: a bias-free ReLU net can start dead."""
    data, _ = shards.pairs(min(config.batch_size, shards.records()), config.seed, range(1))
    lr = next(iter(data))[0]
    for redraw in range(REDRAWS):
        if float(tf.reduce_max(model.generator(lr))) > 0:
            return
        console.print(f"the generator's initial weights are dead; drawing again ({redraw + 1})")
        keras.utils.set_random_seed(config.seed + 7919 * (redraw + 1))
        fresh = cpce.build_generator(config, "float32")
        model.generator.set_weights(fresh.get_weights())
    raise DivergedError(
        f"the generator's output is zero everywhere after {REDRAWS} draws of its weights",
        remedy="Try another --seed, or generator.shortcut = true",
    )


def _check_batches(config: CpceConfig, shards: Shards, replicas: int) -> None:
    if config.batch_size % replicas:
        raise ConfigError(
            f"a batch of {config.batch_size} pairs cannot be shared by {replicas} devices",
            remedy=f"Choose a --batch-size that is a multiple of {replicas}",
        )
    for phase, _ in phases(config, 0):
        batch = config.batch_size * config.batches_per_step(phase)
        shards.pairs(batch, 0, range(1), replicas=replicas)


def _open_run(run: Run, config: CpceConfig, facts: dict[str, Any]) -> None:
    """Write down what the run is, or check that it is the same one."""
    if not run.config_file.is_file():
        write_text(run.facts_file, json.dumps(facts, indent=2) + "\n")
        write_text(run.config_file, to_toml(config))
        return
    changed = differences(run.config(), config)
    before = run.facts()
    for key in ("data_sha256", "vgg_sha256"):
        if before.get(key) != facts[key]:
            changed.append(f"{key}: {before.get(key)} -> {facts[key]}")
    if changed:
        listing = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"was started with other settings:\n{listing}\n",
            path=run.folder,
            remedy="Go on with the same ones, or choose another folder for -o",
        )


def _facts(
    shards: Shards, vgg: VggWeights | None, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
    manifest = shards.manifest
    return {
        "software": {
            "srmri_tf": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy")},
        },
        "replicas": strategy.num_replicas_in_sync,
        "data": str(shards.folder),
        "data_sha256": hashlib.sha256((shards.folder / MANIFEST_NAME).read_bytes()).hexdigest(),
        "parameters": manifest.parameters.model_dump(),
        "subjects": {split: manifest.subjects(split) for split in ("train", "val", "test")},
        "vgg": vgg.description if vgg else "not used",
        "vgg_sha256": vgg.sha256 if vgg else "",
    }


def _announce(
    console: Console,
    config: CpceConfig,
    shards: Shards,
    vgg: VggWeights | None,
    strategy: tf.distribute.Strategy,
    validator: Validator,
    done: int,
) -> None:
    manifest = shards.manifest
    where = "validation" if validator.split == "val" else "TRAINING"
    lines = [
        f"{len(manifest.subjects('train'))} training subjects, {shards.records()} pairs; "
        f"{len(validator.pairs)} slices of {where} subjects are measured after each epoch"
        f"{'' if validator.split == 'val' else ': there are no validation subjects'}",
        f"{strategy.num_replicas_in_sync} device(s), {config.precision}",
        f"VGG-19: {vgg.description}" if vgg else "no perceptual term",
    ]
    if done:
        lines.append(f"going on after epoch {done}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
