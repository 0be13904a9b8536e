"""The command for people who have scans and train nothing: enhance."""

from pathlib import Path

import click

from data_prep.progress import counting
from srmri_tf.cli.model import quiet_tensorflow
from srmri_tf.cli.opening import tell, tell_opening
from srmri_tf.cli.paths import NAME, PATH


@click.command()
@click.argument("scans", nargs=-1, required=True, type=PATH, metavar="SCAN...")
@click.option(
    "-o",
    "--output",
    "out",
    type=PATH,
    help="A folder, or for one scan a .nii or .nii.gz file.  [beside a file; "
    "FOLDER/derivatives/srmri-tf for a folder]",
)
@click.option(
    "--model",
    type=NAME,
    default="",
    help="A shipped model's name, a RUN, or an exported model.  [GAN-CPCE of the scan's contrast]",
)
@click.option("--same-grid", is_flag=True, help="The scanner has interpolated: keep the grid.")
@click.option(
    "--plane",
    type=click.Choice(["auto", "axial", "coronal", "sagittal"]),
    default="auto",
    show_default=True,
    help="The plane that was acquired.",
)
@click.option(
    "--consistency/--no-consistency",
    default=None,
    help="Put the measured centre of k-space back.  [on, unless --same-grid]",
)
@click.option("--uncertainty", is_flag=True, help="Also map the spread over flips: 8 times slower.")
@click.option("--modality", default="", help="Keep only these scans, such as T2.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    default="float32",
    show_default=True,
    help="What the network computes in.",
)
@click.option("--allow-missing", is_flag=True, help="Go on without files that are not fetched.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
def enhance(
    scans: tuple[Path, ...],
    out: Path | None,
    model: str,
    same_grid: bool,
    plane: str,
    consistency: bool | None,
    uncertainty: bool,
    modality: str,
    precision: str,
    allow_missing: bool,
    overwrite: bool,
) -> None:
    """Enhance SCANs: NIfTI files, folders or BIDS data sets.

    The slices' matrix is doubled: zero-filled in k-space, then enhanced by a network. The result
    overlays on the scan, with its header, intensities and data type; a JSON sidecar says what it
    was made of. The same command goes on with what was interrupted.

    Research only: a network can invent detail.
    """
    tell_opening(*scans, model=model)
    from srmri_tf.enhance.config import EnhanceConfig
    from srmri_tf.enhance.files import enhance as super_resolve
    from srmri_tf.enhance.worklist import make_worklist
    from srmri_tf.models.stored import needs_tensorflow

    config = EnhanceConfig(
        same_grid,
        plane,  # type: ignore[arg-type]
        consistency,
        uncertainty,
        model,
        precision,
    )
    worklist = make_worklist(scans, out, config, modality=modality, allow_missing=allow_missing)
    tell((), worklist.left_out)
    for line in worklist.models(model):
        click.echo(line, err=True)
    if needs_tensorflow(model):
        quiet_tensorflow()
    with counting("enhancing") as advance:
        results = super_resolve(
            worklist,
            config,
            overwrite=overwrite,
            progress=advance,
            warn=_warn,
            before_networks=quiet_tensorflow,
        )
        for result in results:
            state = "" if result.fresh else " (finished already)"
            for path in result.target.images:
                click.echo(f"{path}{state}")


def _warn(text: str) -> None:
    click.echo(f"srmri-tf: warning: {text}", err=True)


COMMANDS: tuple[click.Command, ...] = (enhance,)
