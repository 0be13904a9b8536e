"""`demo`: the whole path on three real scans, in minutes on two CPU cores."""

import time
from pathlib import Path

import click

from data_prep.download import sample
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.progress import MESSAGES, downloading
from data_prep.shards.schema import Parameters, SplitRule
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models.exporting import export
from srmri_tf.recipes import load_recipe
from srmri_tf.training.fitting import fit

MIN_SIGNAL = 0.05


RECIPES = {"cpce": ("demo", ""), "circle": ("demo-circle", "-circle")}
"""Each model's recipe, and what its folders' names end in."""


def demo(out: Path, model: str = "cpce", vgg_weights: str = "auto", workers: int = 2) -> None:
    """Download, prepare, fit, evaluate and export into one folder; print the table.

    Args:
        out: Gets ``scans`` and ``shards``; ``run``, ``evaluation`` and ``model``, for GAN-CIRCLE
            with ``-circle`` behind.
        model: ``cpce`` or ``circle``.
        vgg_weights: As for ``fit``.
        workers: Processes that prepare the scans.

    Raises:
        SrmriError: Whatever one of the steps raises; the next call goes on where it stopped.
    """
    started = time.monotonic()
    out = Path(out)
    _step(1, "three defaced IXI T1 scans")
    with downloading() as report:
        scans = sample.sample(out / "scans", report=report)
    _step(2, "shards: central 25 % of k-space against the full scan")
    shards = out / "shards"
    config = PrepareConfig(
        parameters=Parameters(min_signal=MIN_SIGNAL),
        split_rule=SplitRule(val_fraction=0.0, test_fraction=1 / 3),
    )
    prepare(scans, shards, config, workers=workers)
    recipe, suffix = RECIPES[model]
    run = out / f"run{suffix}"
    _step(3, f"GAN-{model.upper()} on two subjects")
    fit(load_recipe(recipe, {"vgg_weights": vgg_weights}), shards, run, estimate=True)
    _step(4, "measuring on the third subject")
    result = evaluate([run], shards, out / f"evaluation{suffix}")
    _step(5, "SavedModel")
    exported = export(run, out / f"model{suffix}", overwrite=True)
    minutes = (time.monotonic() - started) / 60
    click.echo(
        f"\n{result.table}\n\n"
        f"IXI T1 sample (not the paper's IXI T2): one test subject, {minutes:.0f} minutes in all\n"
        f"picture:    {result.figure}\n"
        f"SavedModel: {exported}"
    )


def _step(number: int, what: str) -> None:
    MESSAGES.info(f"[{number}/5] {what}")
