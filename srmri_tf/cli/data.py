"""Commands about data: prepare, verify, inspect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from data_prep.pipeline import PrepareConfig
    from data_prep.schema import Manifest

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=_FOLDER, metavar="SOURCE...")
@click.option("-o", "--output", required=True, type=_FOLDER, help="Folder of shards to make.")
@click.option("--val-fraction", type=float, help="Share of subjects for validation  [0.1].")
@click.option("--test-fraction", type=float, help="Share of subjects for test  [0.1].")
@click.option("--split", "split_table", type=_FOLDER, help="Table (TSV): subject, split.")
@click.option("--seed", default=0, show_default=True, help="Decides who is in which split.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--patch-size", default=64, show_default=True, help="Side of a training patch.")
@click.option("--min-signal", default=0.0, help="Leave out training patches darker than this.")
@click.option(
    "--plane",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "axial", "coronal", "sagittal"]),
    help="How to slice; auto: across the largest spacing.",
)
@click.option("--keep", default=0.25, show_default=True, help="Fraction of k-space kept.")
@click.option(
    "--keep-by",
    default="area",
    show_default=True,
    type=click.Choice(["area", "axis"]),
    help="Whether that is of the area, or of each axis.",
)
@click.option(
    "--lr",
    default="magnitude",
    show_default=True,
    type=click.Choice(["magnitude", "real"]),
    help="What of the inverse FFT is the low-resolution image.",
)
@click.option("--modality", default="", help="Keep only these scans, such as T2.")
@click.option("--site", default="", help="Keep only this IXI site, such as Guys.")
@click.option("--subject-pattern", default="", help="Regular expression with a group `subject`.")
def prepare(sources: tuple[Path, ...], output: Path, workers: int, **options: Any) -> None:
    """Turn scans into shards of low- and high-resolution pairs.

    SOURCE is a NIfTI file, a folder or a quoted pattern. Subjects are dealt to training,
    validation and test; no subject is ever in two of them. An interrupted run is continued by
    the same command.
    """
    from data_prep.pipeline import prepare as run

    config = _prepare_config(options)
    with _progress_bar("preparing") as advance:
        manifest = run(sources, output, config, workers=workers, progress=advance)
    click.echo(_summary(manifest))
    click.echo(f"Shards: {output}")


COMMANDS: tuple[click.Command, ...] = (prepare,)


def _prepare_config(options: dict[str, Any]) -> "PrepareConfig":
    """The configuration of the options, every fault in one error."""
    from pydantic import ValidationError

    from data_prep.errors import ConfigError
    from data_prep.pipeline import PrepareConfig

    val, test = options["val_fraction"], options["test_fraction"]
    if val is None:
        val = min(0.1, max(0.0, 1 - (0.1 if test is None else test)))
    if test is None:
        test = min(0.1, max(0.0, 1 - val))
    try:
        return PrepareConfig.model_validate(
            {
                "parameters": {
                    "degradation": {key: options[key] for key in ("keep", "keep_by", "lr")},
                    **{key: options[key] for key in ("patch_size", "plane", "min_signal")},
                },
                "split_rule": {"val_fraction": val, "test_fraction": test, "seed": options["seed"]},
                **{
                    key: options[key]
                    for key in ("split_table", "modality", "site", "subject_pattern")
                },
            }
        )
    except ValidationError as error:
        raise ConfigError(_faults(error)) from None


def _faults(error: Any) -> str:
    """Every fault of a pydantic error: option, what is wrong, what was given."""
    lines = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "options"
        given = "" if isinstance(fault["input"], dict) else f", got {fault['input']!r}"
        lines.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(lines)


@contextmanager
def _progress_bar(verb: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr; silent where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield advance


def _summary(manifest: "Manifest") -> str:
    """A line for each split: subjects, scans, slices, records, size."""
    from data_prep.schema import SPLITS

    lines = [f"{'split':<6}{'subjects':>9}{'scans':>7}{'slices':>8}{'patches':>9}{'MB':>9}"]
    for split in SPLITS:
        shards = manifest.of(split)
        patches = sum(shard.records for shard in shards if shard.kind == "patches")
        lines.append(
            f"{split:<6}{len(manifest.subjects(split)):>9}{len(shards):>7}"
            f"{sum(shard.slices for shard in shards):>8}{patches:>9}"
            f"{sum(shard.bytes for shard in shards) / 1e6:>9.1f}"
        )
    return "\n".join(lines)
