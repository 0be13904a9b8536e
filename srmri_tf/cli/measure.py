"""Commands that measure: evaluate, report, crossval, compare."""

from pathlib import Path
from typing import Any

import click

from data_prep.progress import counting
from srmri_tf.cli.model import (
    given_settings,
    quiet_tensorflow,
    read_overrides,
    setting_options,
)
from srmri_tf.cli.opening import tell_opening
from srmri_tf.cli.output import as_json, reporting
from srmri_tf.cli.paths import NAME, PATH

_SETTINGS = ("init", "epochs", "batch_size", "seed", "precision", "vgg_weights")
_PERCEPTUAL = click.option(
    "--perceptual/--no-perceptual",
    default=None,
    help="Also measure the VGG distance, of VGG-19's features.  [where there is a GPU]",
)


@click.command()
@click.argument("models", type=NAME, nargs=-1, required=True, metavar="MODEL...")
@click.argument("shards", type=PATH)
@click.option("-o", "--output", "out", type=PATH, required=True, help="Where results go.")
@click.option("--fold", type=click.IntRange(0), help="Cross-validation fold to test on.")
@click.option("--contrast", default="", help="Measure on test scans of this contrast only.")
@_PERCEPTUAL
@click.option(
    "--vgg-weights",
    type=NAME,
    default="auto",
    show_default=True,
    help="VGG-19 weights of the VGG distance: auto, imagenet or a file in Keras's layout.",
)
@click.option("--no-bicubic", is_flag=True, help="Leave bicubic interpolation out.")
@click.option(
    "--slices",
    default="6",
    show_default=True,
    help="Slices to keep for the report: a number, or SUBJECT:INDEX,SUBJECT/SESSION:INDEX.",
)
@click.option("--licence", default="", help="Licence of the data, repeated in the report.")
@click.option(
    "--consistency",
    is_flag=True,
    help="Also measure each network with data consistency, as NAME+dc.",
)
@click.option(
    "--force", is_flag=True, help="Measure models trained on test subjects, too, marked LEAK."
)
@as_json
def evaluate(
    models: tuple[str, ...],
    shards: Path,
    out: Path,
    no_bicubic: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure MODELs on the test subjects of SHARDS, beside the low-resolution input.

    A MODEL is a RUN folder, an exported model, or the name of one that comes with the package.
    """
    tell_opening(*models, shards)
    quiet_tensorflow()
    from srmri_tf.evaluation.config import EvaluateConfig
    from srmri_tf.evaluation.measuring import evaluate as measure

    with reporting("evaluate", as_json) as report:
        config = EvaluateConfig(bicubic=not no_bicubic, **given)
        with counting("measuring") as advance:
            result = measure(models, shards, out, config, advance)
        report.say(result.table)
        report.say(f"\nfigure: {result.figure}")
        report.result = {"output": out, "figure": result.figure, "metrics": result.document}


@click.command()
@click.argument("evaluation", type=PATH, metavar="EVAL")
@click.option("-o", "--output", "out", type=PATH, help="The HTML file.  [EVAL/report.html]")
@click.option(
    "--slices", default="", help="Slices to show of those kept: SUBJECT:INDEX,... or a number."
)
@click.option("--roi", metavar="ROW,COLUMN,SIDE", help="The magnified box, in pixels.")
def report(evaluation: Path, out: Path | None, slices: str, roi: str | None) -> None:
    """Write EVAL as one self-contained HTML file, to be opened from disk."""
    from srmri_tf.report.page import report as write

    path = write(evaluation, out, slices, _box(roi))
    click.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")


@click.command()
@click.argument("model", type=click.Choice(["cpce", "circle"]))
@click.argument("shards", type=PATH)
@click.option("-o", "--output", "out", type=PATH, required=True, help="A folder for all folds.")
@click.option("--folds", type=click.IntRange(1), help="Number of folds that SHARDS must have.")
@click.option("--fold", type=click.IntRange(0), help="Train and measure this fold only.")
@click.option("--recipe", type=NAME, help="A recipe's name or a TOML file; the paper's by default.")
@setting_options
@_PERCEPTUAL
@click.option(
    "--vgg-weights",
    type=NAME,
    help="VGG-19 weights of the perceptual loss and the VGG distance, as for fit.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting.")
@click.option(
    "--consistency",
    is_flag=True,
    help="Also measure each network with data consistency, as NAME+dc.",
)
@click.option("--licence", default="", help="Licence of the data, repeated in the reports.")
def crossval(
    model: str,
    shards: Path,
    out: Path,
    folds: int | None,
    fold: int | None,
    **given: Any,
) -> None:
    """Train and measure a network once per fold of SHARDS, and sum up how the folds vary.

    Subjects, not slices, are dealt to folds. The same command goes on with what was interrupted
    and leaves finished folds alone.
    """
    tell_opening(shards, out)
    from data_prep.errors import ConfigError
    from srmri_tf.evaluation.config import EvaluateConfig
    from srmri_tf.evaluation.tables import markdown
    from srmri_tf.experiments.crossval import Plan, is_done, summarise_folds

    settings = _crossval_settings(model, given)
    measured = EvaluateConfig(
        vgg_weights=settings.vgg_weights,
        **{name: given[name] for name in ("perceptual", "licence", "consistency")},
    )
    plan = Plan(settings, shards, out, given["devices"], measured)
    if folds not in (None, plan.folds()):
        raise ConfigError(
            f"was prepared with {plan.folds()} folds, not {folds}",
            path=shards,
            remedy=f"Prepare the scans with --folds {folds}",
        )
    wanted = range(plan.folds()) if fold is None else [fold]
    if left := [one for one in wanted if not is_done(plan, one)]:
        quiet_tensorflow()
        from srmri_tf.experiments.fold import run_fold

        for one in left:
            run_fold(plan, one)
    path, table = summarise_folds(plan)
    click.echo(f"{markdown(table)}\n\nsummary: {path}")


@click.command()
@click.argument("crossvals", type=PATH, nargs=-1, required=True, metavar="CROSSVAL...")
@click.option("-o", "--output", "out", type=PATH, required=True, help="Where results go.")
def compare(crossvals: tuple[Path, ...], out: Path) -> None:
    """Put finished CROSSVALs on the same shards into one table, called by their folders' names."""
    from srmri_tf.evaluation.tables import markdown
    from srmri_tf.experiments.compare import compare_crossvals

    click.echo(markdown(compare_crossvals(crossvals, out)))
    click.echo(f"\ntables, paired differences: {out / 'table.md'}")


def _crossval_settings(model: str, given: dict[str, Any]) -> Any:
    """The recipe with the options laid over it."""
    from srmri_tf.recipes import load_recipe

    overrides = read_overrides(given["settings"])
    overrides |= given_settings({key: given[key] for key in _SETTINGS})
    return load_recipe(given["recipe"] or f"paper-{model}", overrides, model)


def _box(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        row, column, side = (int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--roi takes ROW,COLUMN,SIDE in pixels, got {text!r}") from None
    return row, column, side


COMMANDS: tuple[click.Command, ...] = (evaluate, crossval, compare, report)
