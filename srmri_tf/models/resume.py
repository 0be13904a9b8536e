"""Going on with a run: is it asked for what it was started with, or for more, and is it done?

All of it is known without TensorFlow, which takes seconds to import.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import what_differs
from data_prep.files import file_sha256
from data_prep.shards.schema import manifest_sha256, read_manifest
from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.networks.vgg19.file import keras_file
from srmri_tf.recipes import differences
from srmri_tf.recipes.config import TrainConfig

FINISHED = "this run is finished; nothing to do"


def changes(run: Run, config: TrainConfig, data_sha256: str, vgg_sha256: str) -> list[str]:
    """What is asked for now and differs from what a run was started with, a line each.

    Args:
        run: One that has settings.
        config: The settings asked for.
        data_sha256: Of the shards' manifest.
        vgg_sha256: Of the VGG-19 weights; empty if none are used.
    """
    before, now = run.facts(), {"data_sha256": data_sha256, "vgg_sha256": vgg_sha256}
    there = {key: before.get(key) for key in now}
    return differences(run.config(), config) + what_differs(there, now)


def as_started(run: Run, config: TrainConfig) -> TrainConfig:
    """The settings asked for, but with the epochs of a finished run that is asked for more.

    Args:
        run: One that has settings.
        config: The settings asked for.
    """
    before = run.config().schedule
    if config.schedule.epochs <= before.epochs or epochs_done(run) < before.total:
        return config
    schedule = config.schedule.model_copy(update={"epochs": before.epochs})
    return config.model_copy(update={"schedule": schedule})


def epochs_done(run: Run) -> int:
    """Of all phases together."""
    if not run.checkpoint_file.is_file():
        return 0
    return len(checkpoint.load_meta(run.checkpoint_file).get("history", ()))


def unfinished(run: Run) -> str:
    """``2 of 5 epochs`` of a run that was stopped; empty if it is finished or has no checkpoint."""
    done, total = epochs_done(run), run.config().schedule.total
    return f"{done} of {total} epochs" if 0 < done < total else ""


def is_finished(run: Run, config: TrainConfig, shards: Path) -> bool:
    """Whether a run has done all its epochs, with these settings, shards and VGG-19 weights.

    Args:
        run: It need not be there.
        config: The settings asked for.
        shards: The shard folder asked for; read no further than its manifest.

    Raises:
        SrmriError: A file of the run, the shards or the weights is not what it should be.
    """
    if not run.config_file.is_file() or epochs_done(run) < config.schedule.total:
        return False
    read_manifest(shards)
    vgg = _vgg_sha256(config.vgg_weights, run.facts()) if config.vgg_layer() else ""
    if changes(run, run.resolved(config), manifest_sha256(shards), vgg):
        return False
    for file in (run.checkpoint_file, run.best_file):
        checkpoint.check(file)
    return True


def _vgg_sha256(choice: str, facts: Mapping[str, Any]) -> str:
    """Of the VGG-19 weights that a choice means now."""
    recorded = facts.get("vgg_sha256")
    path = keras_file() if choice in ("auto", "imagenet") else Path(choice)
    if path.is_file() and file_sha256(path) == recorded:
        return recorded  # checked when the run was started
    from srmri_tf.networks.vgg19 import weights

    if choice == "auto" and recorded == weights.NST_SHA256 and weights.is_cached():
        return recorded
    return weights.resolve(choice, recorded).sha256
