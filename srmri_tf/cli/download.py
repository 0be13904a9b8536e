"""Commands that fetch scans: download sample, download ixi."""

from pathlib import Path

import click

from data_prep.progress import MESSAGES
from srmri_tf.cli.paths import UserPath

FOLDER = UserPath(file_okay=False, path_type=Path)


@click.group()
def download() -> None:
    """Fetch scans from the internet, checked and resumable."""


@download.command()
@click.argument("dest", type=FOLDER)
def sample(dest: Path) -> None:
    """Put three real brain scans (IXI T1, defaced, 27 MB; an 85 MB download) into DEST."""
    from data_prep.download import sample as library
    from data_prep.progress import downloading

    with downloading() as report:
        paths = library.sample(dest, report=report)
    for path in paths:
        click.echo(str(path))
    MESSAGES.info(f"IXI dataset, CC BY-SA 3.0: see {dest / library.ATTRIBUTION}")


@download.command()
@click.argument("dest", type=FOLDER)
@click.option(
    "--modality",
    type=click.Choice(["T1", "T2", "PD", "MRA"]),
    default="T2",
    show_default=True,
    help="Contrast to fetch.",
)
@click.option(
    "--site",
    type=click.Choice(["Guys", "HH", "IOP"]),
    help="Keep one hospital's scans; Guys is the paper's Philips 1.5T scanner. All by default.",
)
@click.option("--keep-archive", is_flag=True, help="Leave the archive beside the scans.")
@click.option("--mirror", metavar="URL", help="Folder that holds IXI-T2.tar, instead of IXI's own.")
def ixi(
    dest: Path, modality: str, site: str | None, keep_archive: bool, mirror: str | None
) -> None:
    """Put the scans of the IXI dataset (several GB) into DEST.

    If it is interrupted, the same command continues where it stopped.
    """
    from data_prep.download import ixi as library
    from data_prep.progress import downloading

    with downloading() as report:
        paths = library.ixi(
            dest,
            modality,
            site,
            mirror=mirror or library.BASE_URL,
            keep_archive=keep_archive,
            report=report,
        )
    click.echo(f"{len(paths)} {modality} scans in {dest}")
    MESSAGES.info(f"IXI dataset, CC BY-SA 3.0: see {dest / library.ATTRIBUTION}")


COMMANDS: tuple[click.Command, ...] = (download,)
