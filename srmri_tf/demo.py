"""`demo`: the whole path on three real scans, in minutes on two CPU cores."""

import time
from pathlib import Path

import click

from data_prep import download
from data_prep.net import progress_bar
from data_prep.pipeline import PrepareConfig, prepare
from data_prep.schema import Parameters, SplitRule
from srmri_tf.evaluate import evaluate, table
from srmri_tf.export import export
from srmri_tf.recipes import load_recipe
from srmri_tf.training import fit

MIN_SIGNAL = 0.05


def demo(out: Path, vgg_weights: str = "auto", workers: int = 2) -> None:
    """Download, prepare, fit, evaluate and export into one folder; print the table.

    Args:
        out: Gets ``scans``, ``shards``, ``run``, ``evaluation`` and ``model``.
        vgg_weights: As for ``fit``.
        workers: Processes that prepare the scans.

    Raises:
        SrmriError: Whatever one of the steps raises; the next call goes on where it stopped.
    """
    started = time.monotonic()
    out = Path(out)
    _step(1, "three defaced IXI T1 scans")
    with progress_bar() as report:
        scans = download.sample(out / "scans", report=report)
    _step(2, "shards: central 25 % of k-space against the full scan")
    shards = out / "shards"
    config = PrepareConfig(
        parameters=Parameters(min_signal=MIN_SIGNAL),
        split_rule=SplitRule(val_fraction=0.0, test_fraction=1 / 3),
    )
    prepare(scans, shards, config, workers=workers)
    _step(3, "GAN-CPCE on two subjects")
    fit(load_recipe("demo", {"vgg_weights": vgg_weights}), shards, out / "run")
    _step(4, "measuring on the third subject")
    result = evaluate([out / "run"], shards, out / "evaluation")
    _step(5, "SavedModel")
    model = export(out / "run", out / "model", overwrite=True)
    minutes = (time.monotonic() - started) / 60
    click.echo(
        f"\n{table(result.rows)}\n\n"
        f"IXI T1 sample (not the paper's IXI T2): one test subject, {minutes:.0f} minutes in all\n"
        f"picture:    {result.figure}\n"
        f"SavedModel: {model}"
    )


def _step(number: int, what: str) -> None:
    click.echo(f"[{number}/5] {what}", err=True)
