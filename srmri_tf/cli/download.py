"""Commands that fetch scans: download sample, download ixi."""

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def download() -> None:
    """Fetch scans from the internet, checked and resumable."""


@download.command()
@click.argument("dest", type=FOLDER)
def sample(dest: Path) -> None:
    """Put three real brain scans (IXI T1, defaced, 27 MB; an 85 MB download) into DEST."""
    from data_prep import download as library
    from data_prep.net import progress_bar

    with progress_bar() as report:
        paths = library.sample(dest, report=report)
    for path in paths:
        click.echo(str(path))
    click.echo(f"IXI dataset, CC BY-SA 3.0: see {dest / library.ATTRIBUTION}", err=True)


COMMANDS: tuple[click.Command, ...] = (download,)
