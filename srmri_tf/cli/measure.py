"""Commands that measure: evaluate, report, crossval, compare."""

from pathlib import Path
from typing import Any

import click

from srmri_tf.cli.data import progress_bar
from srmri_tf.cli.model import quiet_tensorflow, read_overrides

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.argument("shards", type=FOLDER)
@click.option("-o", "--output", "out", type=FOLDER, required=True, help="Where results go.")
@click.option("--fold", type=click.IntRange(0), help="Cross-validation fold to test on.")
@click.option(
    "--vgg-weights",
    default="auto",
    show_default=True,
    help="For the VGG distance: auto, imagenet, a file in Keras's layout, or none.",
)
@click.option("--no-bicubic", is_flag=True, help="Leave bicubic interpolation out.")
@click.option(
    "--slices",
    default="6",
    show_default=True,
    help="Slices to keep for the report: a number, or SUBJECT:INDEX,SUBJECT/SESSION:INDEX.",
)
@click.option("--licence", default="", help="Of the data; repeated in the report.")
@click.option(
    "--consistency", is_flag=True, help="Also with the measured k-space put back, as RUN+dc."
)
@click.option("--force", is_flag=True, help="Measure runs that learnt from test subjects, marked.")
def evaluate(
    runs: tuple[Path, ...],
    shards: Path,
    out: Path,
    fold: int | None,
    vgg_weights: str,
    no_bicubic: bool,
    slices: str,
    licence: str,
    consistency: bool,
    force: bool,
) -> None:
    """Measure RUNs on the test subjects of SHARDS, beside the low-resolution input."""
    quiet_tensorflow()
    from srmri_tf.evaluate import Options
    from srmri_tf.evaluate import evaluate as measure

    options = Options(not no_bicubic, vgg_weights, slices, fold, force, licence, consistency)
    with progress_bar("measuring") as advance:
        result = measure(runs, shards, out, options, advance)
    click.echo(result.table)
    click.echo(f"\nfigure: {result.figure}")


@click.command()
@click.argument("evaluation", type=FOLDER, metavar="EVAL")
@click.option("-o", "--output", "out", type=FOLDER, help="The HTML file.  [EVAL/report.html]")
@click.option("--slices", default="", help="Of the kept slices: SUBJECT:INDEX,... or a number.")
@click.option("--roi", metavar="ROW,COLUMN,SIDE", help="The magnified box, in pixels.")
def report(evaluation: Path, out: Path | None, slices: str, roi: str | None) -> None:
    """Write EVAL as one self-contained HTML file, to be opened from disk."""
    from srmri_tf.report import report as write

    path = write(evaluation, out, slices, _box(roi))
    click.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")


@click.command()
@click.argument("model", type=click.Choice(["cpce", "circle"]))
@click.argument("shards", type=FOLDER)
@click.option("-o", "--output", "out", type=FOLDER, required=True, help="A folder for all folds.")
@click.option("--folds", type=click.IntRange(2), help="Checked against what SHARDS were made with.")
@click.option("--fold", type=click.IntRange(0), help="Only this one: a job of its own.")
@click.option("--recipe", help="A recipe's name or a TOML file; the paper's by default.")
@click.option("--vgg-weights", help="As for fit; also for the VGG distance.")
@click.option("--devices", type=click.IntRange(1), help="Use only the first so many devices.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting.")
@click.option(
    "--consistency", is_flag=True, help="Also with the measured k-space put back, as RUN+dc."
)
@click.option("--licence", default="", help="Of the data; repeated in the reports.")
def crossval(
    model: str,
    shards: Path,
    out: Path,
    folds: int | None,
    fold: int | None,
    **given: Any,
) -> None:
    """Train and measure MODEL once per fold of SHARDS, and sum up how the folds vary.

    Subjects, not slices, are dealt to folds. The same command goes on with what was interrupted
    and leaves finished folds alone.
    """
    from data_prep.errors import ConfigError
    from data_prep.schema import read_manifest

    settings = _crossval_settings(model, given)
    read_manifest(shards)  # what is no folder of shards is refused before TensorFlow's import
    quiet_tensorflow()
    from srmri_tf.crossval import Plan, run_fold, summarise_folds
    from srmri_tf.evaluate import Options

    options = Options(
        vgg_weights=given["vgg_weights"] or "none",
        licence=given["licence"],
        consistency=given["consistency"],
    )
    plan = Plan(settings, shards, out, given["devices"], options)
    if folds not in (None, plan.folds()):
        raise ConfigError(
            f"was prepared with {plan.folds()} folds, not {folds}",
            path=shards,
            remedy=f"Prepare the scans with --folds {folds}",
        )
    for one in range(plan.folds()) if fold is None else [fold]:
        run_fold(plan, one)
    path, table = summarise_folds(plan)
    from srmri_tf.tables import markdown

    click.echo(f"{markdown(table)}\n\nsummary: {path}")


@click.command()
@click.argument("crossvals", type=FOLDER, nargs=-1, required=True, metavar="CROSSVAL...")
@click.option("-o", "--output", "out", type=FOLDER, required=True, help="Where results go.")
def compare(crossvals: tuple[Path, ...], out: Path) -> None:
    """Put finished CROSSVALs on the same shards into one table, called by their folders' names."""
    quiet_tensorflow()
    from srmri_tf.comparison import compare_crossvals
    from srmri_tf.tables import markdown

    click.echo(markdown(compare_crossvals(crossvals, out)))
    click.echo(f"\ntables, paired differences: {out / 'table.md'}")


def _crossval_settings(model: str, given: dict[str, Any]) -> Any:
    """The recipe with the options laid over it."""
    from data_prep.errors import ConfigError
    from srmri_tf.recipes import load_recipe

    overrides = read_overrides(given["settings"])
    if given["vgg_weights"]:
        overrides["vgg_weights"] = given["vgg_weights"]
    config = load_recipe(given["recipe"] or f"paper-{model}", overrides)
    if config.model != model:
        raise ConfigError(
            f"is a recipe for {config.model}, not {model}",
            path=given["recipe"],
            remedy=f"Give it to `srmri-tf crossval {config.model}`",
        )
    return config


def _box(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        row, column, side = (int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--roi takes ROW,COLUMN,SIDE in pixels, got {text!r}") from None
    return row, column, side


COMMANDS: tuple[click.Command, ...] = (evaluate, crossval, compare, report)
