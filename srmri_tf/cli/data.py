"""Commands about data: prepare, verify, inspect."""

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_prep.progress import counting
from srmri_tf.cli import process
from srmri_tf.cli.model import quiet_tensorflow
from srmri_tf.cli.output import Report, aligned, as_json, counted, dry_run, reporting
from srmri_tf.cli.paths import PATH

if TYPE_CHECKING:
    from data_prep.prepare.pipeline import PrepareConfig
    from data_prep.prepare.plan import Plan
    from data_prep.shards.schema import Manifest, SplitRule
    from srmri_tf.evaluation.inspect import Baseline, Filled

_LEAK = (
    "slices were dealt one by one, so slices of one subject are in training and in test, and "
    "figures measured on them are too good."
)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=PATH, metavar="SOURCE...")
@click.option("-o", "--output", required=True, type=PATH, help="Folder of shards to make.")
@click.option("--val-fraction", type=float, help="Share of subjects for validation.  [0.1]")
@click.option("--test-fraction", type=float, help="Share of subjects for test.  [0.1]")
@click.option("--val-count", type=int, help="Number of subjects for validation instead.")
@click.option("--test-count", type=int, help="Number of subjects for test instead.")
@click.option("--train-count", type=int, help="Number for training; the rest is left out.")
@click.option("--split", "split_table", type=PATH, help="Table (TSV): subject, split[, fold].")
@click.option("--folds", type=int, help="Number of cross-validation folds to deal subjects to.")
@click.option("--slice-wise", is_flag=True, help="Deal single slices, not subjects: this leaks.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
@click.option("--patch-size", default=64, show_default=True, help="Side of a training patch.")
@click.option(
    "--min-signal",
    default=0.0,
    help="Leave out training patches whose maximum is below this fraction of the volume's.",
)
@click.option(
    "--max-slices", default=0, help="At most this many slices of each training scan.  [all]"
)
@click.option("--plane", default="auto", show_default=True, help="axial, coronal, sagittal, auto.")
@click.option("--keep", default=0.25, show_default=True, help="Fraction of k-space kept.")
@click.option(
    "--keep-by",
    default="area",
    show_default=True,
    help="area: --keep is a fraction of k-space; axis: of each axis.",
)
@click.option(
    "--lr",
    default="magnitude",
    show_default=True,
    help="Low-resolution image: magnitude, coarse or real.",
)
@click.option(
    "--fastmri",
    default="kspace",
    show_default=True,
    help="Of single-coil fastMRI files: kspace, or the rss images.",
)
@click.option(
    "--matrix",
    default="stored",
    show_default=True,
    help="stored, or acquired: k-space cropped to what was measured.",
)
@click.option("--volume", type=int, help="Volume to take of a series, counted from 0.")
@click.option("--modality", default="", help="Keep only scans of this contrast, such as T2.")
@click.option("--all-contrasts", is_flag=True, help="Mix contrasts instead of refusing them.")
@click.option("--site", default="", help="Keep only this IXI site, such as Guys.")
@click.option("--subject-pattern", default="", help="Regular expression with a group `subject`.")
@click.option("--allow-missing", is_flag=True, help="Go on without files that are not fetched.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Number of worker processes.",
)
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler.")
@dry_run
@as_json
def prepare(
    sources: tuple[Path, ...],
    output: Path,
    workers: int,
    dask: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn scans into shards of low- and high-resolution pairs.

    SOURCE is a NIfTI, MGH, Analyze, NRRD or fastMRI file, a folder of such or of DICOM files, a
    BIDS data set or a quoted pattern. Subjects are dealt to training, validation and test; no
    subject is ever in two of them. An interrupted run is continued by the same command.
    """
    from data_prep.prepare.cluster import dask_executor
    from data_prep.prepare.pipeline import carry_out, plan_for, refuse_output
    from data_prep.prepare.resume import refuse_different

    with reporting("prepare", as_json) as report:
        config = _prepare_config(options)
        refuse_output(output)
        if workers > 1 and not dask and not dry_run:
            process.need_address_space(500, "a worker process")
        with contextlib.ExitStack() as stack:
            executor = stack.enter_context(dask_executor(dask)) if dask and not dry_run else None
            plan = plan_for(sources, config, report.warn)
            _tell_plan(plan, report)
            _tell_leakage(plan.split_rule, report)
            report.result["output"] = output
            if dry_run:
                refuse_different(plan, output)
                _tell_dry_run(report)
                return
            advance = stack.enter_context(counting("preparing"))
            made: list[str] = []

            def step(done: int, total: int, name: str) -> None:
                made.append(name)
                advance(done, total, name)

            manifest = carry_out(
                plan,
                output,
                workers=workers,
                executor=executor,
                progress=step,
                warn=report.warn,
            )
        _tell_manifest(manifest, report)
        report.say(f"Shards: {output}")
        before = len(plan.items) - len(made)
        report.sum_up(f"{counted(len(made), 'shard')} made", before and f"{before} finished before")


@click.command()
@click.argument("shards", type=PATH)
@click.option(
    "--reseal",
    is_flag=True,
    help="The manifest was edited on purpose: check it against every record and accept it.",
)
@as_json
def verify(shards: Path, reseal: bool, as_json: bool) -> None:
    """Check every shard of a folder against its manifest, byte by byte."""
    from data_prep.shards import files

    with reporting("verify", as_json) as report:
        manifest = files.reseal(shards) if reseal else files.verify(shards)
        report.result = _splits(manifest)
        report.say(_summary(manifest))
        report.say(f"{shards}: {len(manifest.shards)} shards are as they were written.")


@click.command()
@click.argument("shards", type=PATH)
@click.option("-o", "--output", type=PATH, help="Contact sheet, a PNG.  [SHARDS-contact-sheet.png]")
@click.option(
    "--scans",
    default=6,
    show_default=True,
    type=click.IntRange(1),
    help="Number of scans on the contact sheet.",
)
@as_json
def inspect(shards: Path, output: Path | None, scans: int, as_json: bool) -> None:
    """Show what SHARDS hold: splits, quality of the low-resolution input, a contact sheet.

    Quality is PSNR and SSIM against the truth. Also how far the k-space of every scan is filled.
    """
    from data_prep.scans.choosing import LeftOut
    from data_prep.shards.files import verify as check

    with reporting("inspect", as_json) as report:
        manifest = check(shards)
        quiet_tensorflow()
        from srmri_tf.evaluation import inspect as inspection

        picture = output or shards.absolute().with_name(
            f"{shards.absolute().name}-contact-sheet.png"
        )
        with counting("measuring") as advance:
            rows = inspection.baselines(shards, manifest, advance)
        filled = inspection.filled(shards, manifest)
        inspection.contact_sheet(shards, manifest, picture, scans)
        report.leave_out(LeftOut(Path(item.file), item.reason) for item in manifest.left_out)
        _tell_manifest(manifest, report)
        _tell_leakage(manifest.split_rule, report)
        for line in (*_baseline_table(rows), *_filled_table(filled)):
            report.say(line)
        report.say("\n" + _parameters(manifest))
        report.say(f"Contact sheet: {picture}")
        report.result |= {
            "low_resolution": [row._asdict() for row in rows],
            "filled": [scan._asdict() for scan in filled],
            "contact_sheet": picture,
        }


COMMANDS: tuple[click.Command, ...] = (prepare, verify, inspect)


def _tell_plan(plan: "Plan", report: Report) -> None:
    """What was left out, and what will be made."""
    report.leave_out(plan.left_out)
    report.result["scans"] = [
        {
            "file": item.scan.path,
            "subject": item.scan.subject,
            "session": item.scan.session,
            "contrast": item.scan.modality,
            "site": item.scan.site,
            "plane": item.plane,
            "split": item.split,
            "fold": item.fold,
            "shard": item.file,
        }
        for item in plan.items
    ]


def _tell_dry_run(report: Report) -> None:
    """The plan as a table."""
    report.result["dry_run"] = True
    keys = ("split", "subject", "session", "contrast", "plane", "file", "shard")
    rows = [keys, *([str(row[key] or "-") for key in keys] for row in report.result["scans"])]
    for line in aligned(rows):
        report.say(line)
    report.say(f"Nothing was written; the shards would be in {report.result['output']}")


def _tell_manifest(manifest: "Manifest", report: Report) -> None:
    """What is in a folder of shards."""
    report.say(_summary(manifest))
    report.result |= _splits(manifest)


def _tell_leakage(rule: "SplitRule", report: Report) -> None:
    """A warning where slices were dealt one by one."""
    if rule.by == "slice":
        report.warn(_LEAK)


def _splits(manifest: "Manifest") -> dict[str, Any]:
    """What `_summary` has, and the parameters, for a document."""
    from data_prep.shards.schema import SPLITS

    return {
        "splits": {
            split: {
                "subjects": manifest.subjects(split),
                "scans": len(manifest.of(split)),
                "slices": sum(shard.slices for shard in manifest.of(split)),
                "records": sum(shard.records for shard in manifest.of(split)),
                "bytes": sum(shard.bytes for shard in manifest.of(split)),
            }
            for split in SPLITS
        },
        "contrasts": manifest.contrasts,
        "parameters": manifest.parameters.model_dump(mode="json"),
        "split_rule": manifest.split_rule.model_dump(mode="json"),
    }


def _prepare_config(options: dict[str, Any]) -> "PrepareConfig":
    """The configuration of the options, every fault in one error."""
    from pydantic import ValidationError

    from data_prep.errors import ConfigError
    from data_prep.prepare.pipeline import PrepareConfig

    def chosen(*names: str) -> dict[str, Any]:
        return {name: options[name] for name in names}

    try:
        return PrepareConfig.model_validate(
            {
                "parameters": {
                    "degradation": chosen("keep", "keep_by", "lr"),
                    **chosen("patch_size", "plane", "fastmri", "matrix", "volume"),
                    **chosen("min_signal", "max_slices"),
                },
                "split_rule": _split_rule(options),
                **chosen("split_table", "modality", "all_contrasts", "site"),
                **chosen("subject_pattern", "allow_missing"),
            }
        )
    except ValidationError as error:
        raise ConfigError(_faults(error), remedy="See `srmri-tf prepare --help`") from None


def _split_rule(options: dict[str, Any]) -> dict[str, Any]:
    """The rule, with fractions of zero where something else decides."""
    from data_prep.errors import ConfigError

    amounts = [
        f"{split}_{kind}" for kind in ("fraction", "count") for split in ("val", "test", "train")
    ]
    given = [name for name in amounts if options.get(name) is not None]
    deciders = [name for name in ("split_table", "folds", "slice_wise") if options[name]]
    exclusive = [name for name in deciders if name != "slice_wise"]
    if len(deciders) > 1 or (exclusive and given):
        clash = ", ".join("--" + name.replace("_", "-") for name in deciders + given)
        raise ConfigError(
            f"these options contradict each other: {clash.replace('--split-table', '--split')}",
            remedy="Choose one way to split",
        )
    rule = {name: options[name] for name in given}
    default = 0.0 if exclusive else 0.1
    for name, other in (("val", "test"), ("test", "val")):
        left = 1 - rule.get(f"{other}_fraction", 0.0)
        fallback = 0.0 if f"{name}_count" in rule else max(0.0, min(default, left))
        rule.setdefault(f"{name}_fraction", fallback)
    rule["by"] = "slice" if options["slice_wise"] else "subject"
    return rule | {"folds": options["folds"] or 0, "seed": options["seed"]}


def _faults(error: Any) -> str:
    """Every fault of a pydantic error: option, what is wrong, what was given."""
    lines = []
    for fault in error.errors():
        section = fault["loc"][-1:] in ((), ("degradation",), ("parameters",), ("split_rule",))
        place = "options" if section else "--" + str(fault["loc"][-1]).replace("_", "-")
        given = "" if isinstance(fault["input"], dict) else f", got {fault['input']!r}"
        lines.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(lines)


def _summary(manifest: "Manifest") -> str:
    """A line for each split: subjects, scans, slices, records, size."""
    from data_prep.shards.schema import SPLITS

    lines = [f"{'split':<6}{'subjects':>9}{'scans':>7}{'slices':>8}{'patches':>9}{'MB':>9}"]
    for split in SPLITS:
        shards = manifest.of(split)
        patches = sum(shard.records for shard in shards if shard.kind == "patches")
        lines.append(
            f"{split:<6}{len(manifest.subjects(split)):>9}{len(shards):>7}"
            f"{sum(shard.slices for shard in shards):>8}{patches:>9}"
            f"{sum(shard.bytes for shard in shards) / 1e6:>9.1f}"
        )
    if len(manifest.contrasts) > 1:
        counts = (f"{label or 'unknown'} {n}" for label, n in manifest.contrasts.items())
        lines.append(f"scans by contrast: {', '.join(counts)}")
    return "\n".join(lines)


def _baseline_table(rows: "list[Baseline]") -> list[str]:
    """The input's quality in each split, and in each contrast of it where there are several."""
    title = "\nLow-resolution input against the truth (range 1, slices with tissue):"
    several = len({row.contrast for row in rows}) > 1
    head = f"{'split':<6}{'subjects':>9}{'slices':>8}{'PSNR dB':>9}{'SSIM':>8}"
    lines = [title, f"{head}  contrast" if several else head]
    for row in rows:
        psnr, ssim = row.means.get("psnr", math.nan), row.means.get("ssim", math.nan)
        line = f"{row.split:<6}{row.subjects:>9}{row.slices:>8}{psnr:>9.2f}{ssim:>8.4f}"
        lines.append(f"{line}  {row.contrast}" if several else line)
    return lines


def _filled_table(scans: "list[Filled]") -> list[str]:
    """How far k-space of each scan is filled, and its grid."""
    lines = [
        "\nHow far k-space is filled (of Nyquist; 1 where all of it is):",
        f"{'rows':>5}{'columns':>9}{'matrix':>11}{'mm':>22}  scan",
    ]
    for scan in scans:
        grid = f"{scan.matrix:>11}{scan.spacing:>22}"
        lines.append(f"{scan.rows:>5.2f}{scan.columns:>9.2f}{grid}  {scan.source}")
    return lines


def _parameters(manifest: "Manifest") -> str:
    """How the shards were made, in a line."""
    parameters = manifest.parameters
    made = parameters.degradation
    planes = ", ".join(sorted({shard.plane for shard in manifest.shards}))
    cropped = "; k-space cropped to what was measured" if parameters.matrix == "acquired" else ""
    folds = f"; {manifest.split_rule.folds} folds" if manifest.split_rule.folds else ""
    return (
        f"Low resolution: {made.keep:g} of k-space by {made.keep_by}, {made.lr}; "
        f"{planes} slices; patches of {parameters.patch_size}{folds}{cropped}"
    )
