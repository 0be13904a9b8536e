"""The command for people who have scans and train nothing: enhance."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_prep.errors import raise_together
from data_prep.progress import MESSAGES, counting
from srmri_tf import DEFAULT_MODEL
from srmri_tf.cli.model import quiet_tensorflow
from srmri_tf.cli.opening import tell_opening
from srmri_tf.cli.output import Report, as_json, counted, dry_run, reporting
from srmri_tf.cli.paths import NAME, PATH

if TYPE_CHECKING:
    from srmri_tf.enhance.config import EnhanceConfig
    from srmri_tf.enhance.files import Result
    from srmri_tf.enhance.worklist import Worklist
    from srmri_tf.report import ScanPages


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
    default=DEFAULT_MODEL,
    show_default=True,
    help="A shipped model's name, a RUN, or an exported model.",
)
@click.option(
    "--same-grid",
    is_flag=True,
    help="The scanner has interpolated to twice the matrix: keep the grid.",
)
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
@click.option(
    "--ensemble",
    is_flag=True,
    help="Give the mean over eight flips and transposes; takes up to 8 times as long.",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Also write the standard deviation over eight flips and transposes; takes up to 8 "
    "times as long.",
)
@click.option("--modality", default="", help="Keep only scans of this contrast, such as T2.")
@click.option(
    "--participant-label",
    "--participant_label",
    "participants",
    multiple=True,
    metavar="LABEL",
    help="Keep only this subject's scans, such as 01 or sub-01; may be repeated.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    default="float32",
    show_default=True,
    help="What the network computes in.",
)
@click.option("--allow-missing", is_flag=True, help="Go on without files that are not fetched.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@click.option(
    "--report",
    "pages",
    is_flag=True,
    help="Also write an HTML page of each scan beside its result, and an index in a folder.",
)
@dry_run
@as_json
def enhance(
    scans: tuple[Path, ...],
    out: Path | None,
    modality: str,
    participants: tuple[str, ...],
    allow_missing: bool,
    overwrite: bool,
    pages: bool,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Enhance SCANs to twice the in-plane matrix.

    SCAN is a NIfTI, MGH, Analyze or NRRD file, a folder of such or of DICOM files, or a BIDS data
    set.

    Slices are zero-filled in k-space, then enhanced by a network. The result
    overlays on the scan, with its header, intensities and data type; a JSON sidecar says what it
    was made of. The same command goes on with what was interrupted.

    Research only: a network can invent detail.
    """
    tell_opening(*scans, model=settings["model"])
    from srmri_tf.enhance.config import EnhanceConfig
    from srmri_tf.enhance.worklist import make_worklist

    with reporting("enhance", as_json) as report:
        config = EnhanceConfig(**settings)
        worklist = make_worklist(
            scans,
            out,
            config,
            modality=modality,
            participants=participants,
            allow_missing=allow_missing,
        )
        report.leave_out(worklist.left_out)
        for line in worklist.summary(config.model):
            MESSAGES.info(line)
        report.result |= {"dry_run": dry_run, "scans": []}
        if dry_run:
            _plan_only(worklist, config, overwrite, pages, report)
        else:
            _enhance(worklist, config, overwrite, pages, report)


def _enhance(
    worklist: "Worklist", config: "EnhanceConfig", overwrite: bool, pages: bool, report: Report
) -> None:
    """Enhance scans, and say what each result is called as soon as it is there."""
    from srmri_tf.enhance.files import enhance as super_resolve
    from srmri_tf.models.stored import needs_tensorflow

    if needs_tensorflow(config.model):
        quiet_tensorflow()
    written = _scan_pages() if pages else None
    with _summed_up(worklist, report), counting("enhancing") as advance:
        results = super_resolve(
            worklist,
            config,
            overwrite=overwrite,
            pages=pages,
            progress=advance,
            warn=report.warn,
            before_networks=quiet_tensorflow,
        )
        for result in results:
            state = "" if result.fresh else " (finished already)"
            for path in result.target.images:
                report.say(f"{path}{state}")
            row = _described(result) | {"page": None}
            report.result["scans"].append(row)
            if written:
                row["page"] = written.add(result)
                report.say(f"{row['page']}")
            MESSAGES.debug(f"{row['file']}: {row['plane']} slices, model {row['model']}{state}")
    if written:
        report.result["indexes"] = written.indexes
        for path in written.indexes:
            report.say(f"index: {path}")
    else:
        MESSAGES.info("Add --report for a page that shows each scan beside its result.")


def _scan_pages() -> "ScanPages":
    from srmri_tf.report import ScanPages

    return ScanPages()


@contextlib.contextmanager
def _summed_up(worklist: "Worklist", report: Report) -> Iterator[None]:
    """At the end say how many scans were enhanced, also after a fault or an interrupt."""
    try:
        yield
    finally:
        rows = report.result["scans"]
        before = sum(row["finished_before"] for row in rows)
        missing = len(worklist.jobs) + len(worklist.faults) - len(rows)
        if rows:
            report.sum_up(
                f"{counted(len(rows) - before, 'scan')} enhanced",
                before and f"{before} finished before",
                missing and f"{missing} not enhanced",
            )


def _plan_only(
    worklist: "Worklist", config: "EnhanceConfig", overwrite: bool, pages: bool, report: Report
) -> None:
    """Say what would be made; nothing is written."""
    from srmri_tf.enhance.files import plan
    from srmri_tf.models.stored import needs_tensorflow

    if needs_tensorflow(config.model):
        quiet_tensorflow()
    results = plan(worklist, config, overwrite=overwrite, pages=pages, warn=report.warn)
    for result in results:
        row = _described(result) | {"page": result.target.page if pages else None}
        report.result["scans"].append(row)
        state = "" if result.fresh else " (finished already)"
        shown = f"contrast {result.job.contrast}, {row['plane']} slices, model {row['model']}"
        report.say(f"{row['file']}: {shown}")
        for path in result.target.images:
            report.say(f"  -> {path}{state}")
        if pages:
            report.say(f"  -> {row['page']}")
    report.say("Nothing was written.")
    raise_together(worklist.faults)


def _described(result: "Result") -> dict[str, Any]:
    """A result, or what would be one, for a document."""
    from data_prep.scans.names import read_name

    job = result.job
    return {
        "file": job.scan,
        "subject": read_name(job.scan).subject,
        "contrast": job.contrast.label,
        "contrast_source": job.contrast.source,
        "plane": job.plane,
        "model": result.model,
        "outputs": [*result.target.images, *result.target.sidecars],
        "finished_before": not result.fresh,
    }


COMMANDS: tuple[click.Command, ...] = (enhance,)
