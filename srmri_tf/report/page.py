"""`report`: an evaluation as one self-contained HTML file.

Everything comes from the EVAL folder: no run, no shards, no device.
"""

import csv
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.files import write_text
from data_prep.kspace import Degradation
from srmri_tf.evaluation import gallery, tables
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.figure import box_of
from srmri_tf.evaluation.gallery import Exhibit
from srmri_tf.evaluation.networks import DESCRIPTION
from srmri_tf.evaluation.scorefiles import read_slices
from srmri_tf.evaluation.scores import SliceRow
from srmri_tf.evaluation.statistics import subject_means
from srmri_tf.evaluation.summary import METRICS_NAME, REPORT_NAME, by_subject, read_evaluation
from srmri_tf.models.run import Run
from srmri_tf.report import charts, pictures
from srmri_tf.report.charts import Chart
from srmri_tf.report.rendering import render

LABELS = {LOW_RESOLUTION: "low resolution", gallery.TRUTH: "truth"}
DISTRIBUTIONS = ("psnr", "ssim", "nrmse", "high_frequency", "vgg")
_AGAIN = "Run `srmri-tf evaluate` again"
_NEEDED = (
    *("methods", "measures", "parameters", "data", "differences", "published"),
    *("n_background", "notes", "software", "fold"),
)
MOST_CHARACTERS = 9_500_000
Roi = tuple[int, int, int]


def report(
    evaluation: Path, out: Path | None = None, slices: str = "", roi: Roi | None = None
) -> Path:
    """Write the report of an evaluation.

    Args:
        evaluation: What `srmri-tf evaluate` wrote.
        out: The HTML file; ``report.html`` inside the evaluation by default.
        slices: Which of the kept slices to show: labels with commas between, or a number; empty
            shows all.
        roi: First row, first column and side of the magnified box; by default each slice's busiest.

    Returns:
        The file.

    Raises:
        BadInputError: The folder is not an evaluation.
        CorruptArtefactError: A file of it is damaged.
        ConfigError: No such slice, or the box lies outside one.
        EnvironmentFault: The file cannot be written.
    """
    folder = Path(evaluation)
    document = _read(folder)
    kept = gallery.load(folder, document["slices"])
    exhibits = _wanted(_ordered(kept, read_slices(folder), _run_names(document)), slices)
    shown = [_slice(exhibit, document, roi) for exhibit in exhibits]
    degradation = Degradation.model_validate(document["parameters"]["degradation"])
    brightest = pictures.most_error(shown)
    text = render(
        "report.html.j2",
        document=document,
        tables=tables.tables(document),
        panels=pictures.panels(shown, degradation, brightest, MOST_CHARACTERS),
        most_error=brightest,
        palette=pictures.palette(),
        labels=LABELS,
        leaks={name for name, method in document["methods"].items() if method["marks"]},
        curves=_curves(folder, document),
        distributions=_distributions(folder, document),
        extremes=_extremes(exhibits, document),
        runs=_runs(folder, document),
        scans=document["data"]["test_scans"],
    )
    path = Path(out) if out else folder / REPORT_NAME
    write_text(path, text)
    return path


def _slice(exhibit: Exhibit, document: Mapping[str, Any], roi: Roi | None) -> pictures.Slice:
    """An exhibit as it is drawn: the input first, the truth last, a box to magnify.

    Raises:
        ConfigError: The box does not lie inside the slice.
    """
    height, width = exhibit.images[gallery.TRUTH].shape
    row, col, side = box = roi or box_of(exhibit)
    if side < 2 or row < 0 or col < 0 or row + side > height or col + side > width:
        raise ConfigError(
            f"the box of rows {row} to {row + side} and columns {col} to {col + side} does not lie "
            f"inside slice {exhibit.label} of {height} x {width}",
            remedy="Give --roi ROW,COLUMN,SIDE in pixels",
        )
    names = sorted(exhibit.images, key=lambda name: tables.order(document, name))
    return pictures.Slice(
        exhibit.label,
        {name: exhibit.images[name] for name in names},
        gallery.TRUTH,
        box,
        exhibit.reasons,
        exhibit.scores,
        exhibit.spacing,
    )


def _ordered(
    exhibits: Sequence[Exhibit], rows: Sequence[SliceRow], runs: Sequence[str]
) -> list[Exhibit]:
    """The slice nearest to the first run's median gain in PSNR, then best, worst and the others."""
    if not exhibits or not runs:
        return list(exhibits)
    psnr = {
        (row.method, (row.subject, row.session, row.slice)): row.psnr
        for row in rows
        if not row.background
    }
    gains = {
        place: value - psnr[LOW_RESOLUTION, place]
        for (method, place), value in psnr.items()
        if method == runs[0]
    }
    finite = [gain for gain in gains.values() if np.isfinite(gain)]
    middle = float(np.median(finite)) if finite else 0.0
    typical = min(exhibits, key=lambda e: np.nan_to_num(abs(gains[e.place] - middle), nan=np.inf))
    typical.reasons = [f"nearest to the median gain of {runs[0]}", *typical.reasons]

    def rank(exhibit: Exhibit) -> int:
        reasons = " ".join(exhibit.reasons)
        ranks = [exhibit is typical, "largest gain of" in reasons, "smallest gain of" in reasons]
        return ranks.index(True) if any(ranks) else len(ranks)

    return sorted(exhibits, key=rank)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / METRICS_NAME
    if not path.is_file():
        raise BadInputError(
            f"is not an evaluation: it has no {METRICS_NAME}",
            path=folder,
            remedy="Make one with `srmri-tf evaluate RUN SHARDS -o EVAL`",
        )
    document = read_evaluation(folder, _AGAIN, *_NEEDED)
    if "slices" not in document:
        raise BadInputError(
            "is a comparison: it has no pictures",
            path=folder,
            remedy="Its tables are beside it, as Markdown and LaTeX; report an evaluation",
        )
    if missing := {"test_scans", "licence"} - document["data"].keys():
        raise CorruptArtefactError(f"lacks {', '.join(sorted(missing))}", path=path, remedy=_AGAIN)
    return document


def _wanted(exhibits: list[Exhibit], slices: str) -> list[Exhibit]:
    if not slices:
        return exhibits
    if slices.isdecimal():
        return exhibits[: int(slices)]
    try:
        wanted = gallery.find(slices, [exhibit.place for exhibit in exhibits])
    except ConfigError as error:
        raise ConfigError(
            error.fault,
            remedy=f"{error.remedy}, or keep it with `srmri-tf evaluate --slices`",
        ) from None
    return [exhibit for exhibit in exhibits if exhibit.place in wanted]


def _curves(folder: Path, document: Mapping[str, Any]) -> list[tuple[str, list[Chart]]]:
    """Validation quality by epoch, with the low-resolution line, for every run that has a log."""
    found = []
    for name in _run_names(document):
        log = _log(Run(folder / "runs" / name).log_file)
        drawn = [
            charts.lines(
                f"{label} of {name} on the validation slices by epoch",
                log.get("epoch", []),
                label,
                {"low resolution": log.get(f"lr_{key}", []), name: log.get(key, [])},
            )
            for key, label in (("psnr", "PSNR (dB)"), ("ssim", "SSIM"))
        ]
        found.append((name, [chart for chart in drawn if chart]))
    return [(name, drawn) for name, drawn in found if drawn]


def _log(path: Path) -> dict[str, list[float]]:
    """The columns of a run's log.csv, NaN where there is no number; none if it has no log.

    Raises:
        CorruptArtefactError: It cannot be read.
    """
    columns: dict[str, list[float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for key, cell in row.items():
                    columns.setdefault(key, []).append(_number(cell))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorruptArtefactError(f"cannot be read ({error})", path=path, remedy=_AGAIN) from None
    return columns


def _distributions(folder: Path, document: Mapping[str, Any]) -> list[Chart]:
    """Box plots of every measure, background slices left out."""
    keys = [key for key in DISTRIBUTIONS if key in document["measures"]]
    drawn = []
    values = by_subject(read_slices(folder), keys)
    for key in keys:
        label = document["measures"][key]["label"]
        slices = {name: list(chain(*mine[key].values())) for name, mine in values.items()}
        subjects = {name: subject_means(mine[key]).tolist() for name, mine in values.items()}
        drawn.append(charts.boxes(f"{label} by method", label, slices, subjects))
    return [chart for chart in drawn if chart]


def _extremes(
    exhibits: Sequence[Exhibit], document: Mapping[str, Any]
) -> list[tuple[str, str, str, str, str]]:
    """Each run's smallest and largest PSNR gains among the slices shown."""
    found = []
    for name in _run_names(document):
        for which in ("smallest", "largest"):
            for exhibit in exhibits:
                if f"{which} gain of {name}" in exhibit.reasons:
                    mine, lr = exhibit.scores[name], exhibit.scores[LOW_RESOLUTION]
                    psnr = _gain(mine["psnr"], lr["psnr"], 2)
                    ssim = _gain(mine["ssim"], lr["ssim"], 4)
                    found.append((name, which, exhibit.label, psnr, ssim))
    return found


def _gain(mine: float | None, lr: float | None, digits: int) -> str:
    gain = None if mine is None or lr is None else mine - lr
    return tables.number(gain, digits, sign=True)


def _runs(folder: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings and facts of every run, or what a model says of itself, as text by file."""
    found = []
    for name in _run_names(document):
        run = Run(folder / "runs" / name)
        if not run.folder.is_dir():  # a run's answer, changed afterwards
            continue
        paths = (run.config_file, run.facts_file, run.folder / DESCRIPTION)
        texts = {path.name: path.read_text(encoding="utf-8") for path in paths if path.is_file()}
        kind = document["methods"][name]["kind"]
        found.append({"name": name, "kind": kind.capitalize(), "texts": texts})
    return found


def _run_names(document: Mapping[str, Any]) -> list[str]:
    """The methods that are networks: runs, and models that were trained elsewhere."""
    methods = document["methods"].items()
    return [name for name, method in methods if method["kind"] in ("run", "model")]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
