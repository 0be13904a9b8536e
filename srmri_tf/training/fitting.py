"""`fit`: strategy, model, schedule, resume. The engine is the same for every model.

A run is a folder (`srmri_tf.models.run`). Starting it again goes on where its checkpoint is, with
the weights an undisturbed run would have had.
"""

import contextlib
import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from data_prep.errors import ConfigError, CorruptArtefactError, DivergedError
from data_prep.files import file_sha256, lock, refuse_foreign, sealed, write_text
from data_prep.progress import downloading, message_console
from data_prep.shards.schema import SPLITS, manifest_sha256
from srmri_tf.data.dataset import Shards
from srmri_tf.models.initial import Initial, initial
from srmri_tf.models.resume import FINISHED, as_started, changes, is_finished
from srmri_tf.models.run import CONFIG_SHA256, EXTENDED, Run
from srmri_tf.networks.precision import POLICIES, resolve_precision
from srmri_tf.networks.registry import MODELS
from srmri_tf.networks.vgg19.features import build_features
from srmri_tf.networks.vgg19.weights import VggWeights, resolve
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training import watch
from srmri_tf.training.devices import is_chief, make_strategy
from srmri_tf.training.engine import Engine, phases
from srmri_tf.training.journal import Journal
from srmri_tf.training.validation import Validator

REDRAWS = 20


def fit(
    config: TrainConfig,
    shards_folder: Path,
    run_folder: Path,
    *,
    devices: int | str | None = None,
    tensorboard: bool = False,
    estimate: bool = False,
    console: Console | None = None,
) -> Run:
    """Train a model, or go on training it; a run that is finished is left alone.

    Args:
        config: The settings; of an existing run they must be the same, but one that is finished
            may be given more epochs.
        shards_folder: What `srmri-tf prepare` wrote.
        run_folder: Where the run is, or will be.
        devices: As for `srmri_tf.training.devices.make_strategy`.
        tensorboard: Also write TensorBoard events into RUN/tensorboard.
        estimate: First say how long it will take, from a few timed steps of each phase.
        console: Where progress goes; stderr by default.

    Raises:
        ConfigError: Settings that do not fit the run, the data or the devices.
        BadInputError: The shards are not there or not usable.
        CorruptArtefactError: Shards, VGG weights or checkpoint are damaged.
        EnvironmentFault: No disk, device or network.
        DivergedError: A loss term is not finite, or the generator is dead.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the checkpoint has every step done so far.
    """
    run = Run(Path(run_folder))
    if is_finished(run, config, Path(shards_folder)):
        (console or message_console()).print(f"{run.folder}: {FINISHED}", highlight=False)
        return run
    strategy = make_strategy(devices)  # first: a cluster must be joined before anything runs
    console = console or message_console(silent=not is_chief(strategy))
    config = config.model_copy(update={"precision": resolve_precision(config.precision)})
    refuse_foreign(run.folder, "a training run", run.config_file.name, run.facts_file.name)
    shards = Shards.open(shards_folder, config.fold, config.validation.fold)
    _check_data(config, shards, strategy.num_replicas_in_sync)
    vgg, begun = _vgg(run, config), _initial(run, config)
    with lock(run.folder) if is_chief(strategy) else contextlib.nullcontext():
        facts = _facts(shards, vgg, strategy)
        _check_same(run, config, facts)
        model = _build(config, shards, vgg, strategy)
        journal = Journal(run, config, model, writes=is_chief(strategy))
        if begun:
            facts["init"] = _begin(model, begun, console)
        elif not journal.restore():
            _revive(model, config, shards, console)
        measured = MODELS[config.model].build_generator(config, "float32")
        validator = Validator(shards, measured, config.validation.max_slices)
        if is_chief(strategy):
            _write_facts(run, config, facts)
        board = watch.TensorBoard(run.folder / "tensorboard") if tensorboard else None
        _announce(console, shards, vgg, validator, journal)
        engine = Engine(strategy, shards, journal, validator, board, console)
        if estimate:
            minutes = max(1, round(engine.estimate() / 60))
            console.print(f"the training steps left take about {minutes} min here", highlight=False)
        engine.train()
    return run


def _vgg(run: Run, config: TrainConfig) -> VggWeights | None:
    """Those that the recipe names; ``auto`` means what it meant where the run was started."""
    if config.vgg_layer() is None:
        return None
    started = run.facts().get("vgg_sha256") if run.config_file.is_file() else None
    with downloading() as report:
        return resolve(config.vgg_weights, started, report=report)


def _build(
    config: TrainConfig, shards: Shards, vgg: VggWeights | None, strategy: tf.distribute.Strategy
) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    policy = POLICIES[config.precision]
    first = shards.training()[0]
    with strategy.scope():
        layer, features = config.vgg_layer(), None
        if vgg and layer:
            features = build_features(vgg, layer=layer, dtype_policy=policy)
        patch, degradation = (first.height, first.width), shards.manifest.parameters.degradation
        return MODELS[config.model].build(config, patch, features, policy, degradation)


def _initial(run: Run, config: TrainConfig) -> Initial | None:
    """What a new run begins with; None if nothing is asked for, or if it has a checkpoint.

    Raises:
        ConfigError: The model does not fit the recipe, or is not the one that the run, which was
            stopped before its first checkpoint, was started with.
    """
    begun = None if run.checkpoint_file.is_file() else initial(config)
    if begun and run.config_file.is_file():
        before = (run.facts().get("init") or {}).get("sha256")
        if before not in (None, begun.origin.sha256):
            raise ConfigError(
                f"is not the model that {run.folder} was started with: it has changed since",
                path=config.init,
                remedy="Restore that one, or choose another folder for -o",
            )
    return begun


def _begin(model: Any, begun: Initial, console: Console) -> dict[str, Any]:
    """Fill a model with the weights it begins with; what run.json says of them."""
    origin = begun.fill(model)
    taken = " and ".join(origin.networks)
    console.print(f"begins with the {taken} of {origin.name}", highlight=False)
    return origin.model_dump(mode="json")


def _revive(model: Any, config: TrainConfig, shards: Shards, console: Console) -> None:
    """Draw new weights until the output is not all zero: a bias-free ReLU net can start dead."""
    data, _ = shards.pairs(min(config.batch_size, shards.records()), config.seed, range(1))
    bright = (lr for lr, *_ in data if float(tf.reduce_max(lr)) > 0)
    lr = next(bright, None)
    if lr is None:
        return  # nothing but background
    for redraw in range(REDRAWS):
        if float(tf.reduce_max(model.generator(lr))) > 0:
            return
        console.print(f"the generator's initial weights are dead; drawing again ({redraw + 1})")
        keras.utils.set_random_seed(config.seed + 7919 * (redraw + 1))
        fresh = MODELS[config.model].build_generator(config, "float32")
        model.generator.set_weights(fresh.get_weights())
    raise DivergedError(
        f"the generator's output is zero everywhere after {REDRAWS} draws of its weights",
        remedy="Try another --seed, or generator.shortcut = true",
    )


def _check_data(config: TrainConfig, shards: Shards, replicas: int) -> None:
    batches = {
        "--batch-size": config.batch_size,
        "--set schedule.warmup_batch_size": config.schedule.warmup_batch_size,
    }
    for setting, batch in batches.items():
        if batch % replicas:
            raise ConfigError(
                f"a batch of {batch} pairs cannot be shared by {replicas} devices",
                remedy=f"Choose a {setting} that is a multiple of {replicas}",
            )
    for phase, _ in phases(config, 0):
        shards.steps(config.pairs_per_step(phase))
    shards.pairing(config.paired_share())
    first = shards.training()[0]
    if min(first.height, first.width) < config.min_patch():
        raise ConfigError(
            f"has patches of {first.height}x{first.width}; this model takes at least "
            f"{config.min_patch()}x{config.min_patch()}",
            path=shards.folder,
            remedy="Prepare with a larger --patch-size",
        )


def _check_same(run: Run, config: TrainConfig, facts: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings or data."""
    if not run.config_file.is_file():
        for path in (run.checkpoint_file, run.best_file):
            if path.is_file():
                raise CorruptArtefactError(
                    f"is there, but {run.config_file.name}, which says what it is of, is not",
                    path=path,
                    remedy="Choose another folder for -o",
                )
        return
    if not run.checkpoint_file.is_file() and _epochs_logged(run) > 1:
        raise CorruptArtefactError(
            f"has lost its {run.checkpoint_file.name}, without which it would begin again",
            path=run.folder,
            remedy=f"Restore it, or choose another folder for -o; `evaluate`, `enhance` and "
            f"`export` need {run.best_file.name} alone",
        )
    asked = as_started(run, config)
    if changed := changes(run, asked, facts["data_sha256"], facts["vgg_sha256"]):
        listing = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"was started with other settings:\n{listing}\n",
            path=run.folder,
            remedy="Go on with the same ones, or choose another folder for -o; a run that has "
            "done all its epochs can be given more --epochs, and nothing else",
        )


def _epochs_logged(run: Run) -> int:
    """Rows of the log; of a run that was killed before its first checkpoint at most one."""
    text = run.log_file.read_text(encoding="utf-8") if run.log_file.is_file() else ""
    return max(0, len(text.splitlines()) - 1)


def _write_facts(run: Run, config: TrainConfig, facts: dict[str, Any]) -> None:
    """Say what a run is, or that it is to have more epochs than it had."""
    text = to_toml(config)
    sums = [hashlib.sha256(text.encode()).hexdigest()]
    if run.config_file.is_file():
        before = run.config().schedule.epochs
        if before == config.schedule.epochs:
            return
        facts = run.facts()
        extended = facts.get(EXTENDED, [])
        facts[EXTENDED] = extended if before in extended else [*extended, before]
        sums.append(file_sha256(run.config_file))  # killed in between, these are still there
    write_text(run.facts_file, json.dumps(sealed({**facts, CONFIG_SHA256: sums}), indent=2) + "\n")
    write_text(run.config_file, text)


def _facts(
    shards: Shards, vgg: VggWeights | None, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
    manifest = shards.manifest
    return {
        "software": {
            "srmri_tf": version("srmri-tf"),
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy")},
        },
        "replicas": strategy.num_replicas_in_sync,
        "data": str(shards.folder),
        "data_sha256": manifest_sha256(shards.folder),
        "parameters": manifest.parameters.model_dump(),
        "subjects": {split: manifest.subjects(split) for split in SPLITS},
        "scans": {split: manifest.scans(split) for split in SPLITS},
        "vgg": vgg.description if vgg else "not used",
        "vgg_sha256": vgg.sha256 if vgg else "",
    }


def _announce(
    console: Console,
    shards: Shards,
    vgg: VggWeights | None,
    validator: Validator,
    journal: Journal,
) -> None:
    has_val = validator.split == "val"
    config, progress = journal.config, journal.progress
    lines = [
        f"{len(shards.manifest.subjects('train'))} training subjects, {shards.records()} pairs; "
        f"{len(validator.pairs)} slices of {'validation' if has_val else 'TRAINING'} subjects are "
        f"measured after each epoch{'' if has_val else ': there are no validation subjects'}",
        f"{journal.model.distribute_strategy.num_replicas_in_sync} device(s), {config.precision}",
        f"VGG-19: {vgg.description}" if vgg else "no perceptual term",
    ]
    if progress.epoch or progress.steps:
        lines.append(f"going on after {progress.epoch} epochs and {progress.steps} steps")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
