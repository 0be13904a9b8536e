"""Commands that measure: evaluate, report."""

from pathlib import Path

import click

from srmri_tf.cli.data import progress_bar
from srmri_tf.cli.model import quiet_tensorflow

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
    force: bool,
) -> None:
    """Measure RUNs on the test subjects of SHARDS, beside the low-resolution input."""
    quiet_tensorflow()
    from srmri_tf.evaluate import Options
    from srmri_tf.evaluate import evaluate as measure

    options = Options(not no_bicubic, vgg_weights, slices, fold, force, licence)
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


def _box(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        row, column, side = (int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--roi takes ROW,COLUMN,SIDE in pixels, got {text!r}") from None
    return row, column, side


COMMANDS: tuple[click.Command, ...] = (evaluate, report)
