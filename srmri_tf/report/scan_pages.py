"""`enhance --report`: each scan beside its result on one self-contained HTML page.

Everything comes from files that are there: the scan, the result and its sidecar. So a result of an
earlier call gets the same page.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from data_prep.files import write_text
from data_prep.kspace import Degradation, upsampled
from data_prep.scans import nifti
from data_prep.scans.orientation import Slicing, find_slicing
from data_prep.scans.sidecars import read_sidecar
from data_prep.shards.patches import evenly_spaced
from srmri_tf import metrics
from srmri_tf.enhance.derivatives import INDEX, check_page
from srmri_tf.enhance.files import Result
from srmri_tf.enhance.volume import volume_scale
from srmri_tf.evaluation.figure import busiest_box
from srmri_tf.report import bands, pictures
from srmri_tf.report.rendering import render

SCAN, RESULT = "scan", "result"
SLICES = 6
MOST_CHARACTERS = 5_000_000
_HALF = Degradation()


@dataclass(frozen=True)
class Entry:
    """A row of an index.

    Args:
        page: The scan's page.
        scan: The scan's file name.
        contrast: What it shows, empty if that is not known.
        model: What enhanced it.
        warnings: Of the result.
    """

    page: Path
    scan: str
    contrast: str
    model: str
    warnings: list[str]


class ScanPages:
    """The pages of one call: one a scan, and an index in each folder of results."""

    def __init__(self) -> None:
        self._entries: dict[Path, list[Entry]] = {}

    @property
    def indexes(self) -> list[Path]:
        """The pages that link the others, one in each folder of results."""
        return [root / INDEX for root in self._entries]

    def add(self, result: Result) -> Path:
        """Write the page of a result, and the index again if it belongs to a folder of results.

        Raises:
            BadInputError: The scan or the result cannot be read any more.
            ConfigError: Something else has the name of a page.
            EnvironmentFault: The disk is full or the folder cannot be written.
        """
        entry = write_page(result)
        root = result.job.root
        if root is not None:
            entries = self._entries.setdefault(root, [])
            entries.append(entry)
            write_index(root, entries)
        return entry.page


def write_page(result: Result) -> Entry:
    """Write the page of one result; `ScanPages.add` says what it raises."""
    scan, made = nifti.read_series(result.job.scan), nifti.read_series(result.target.image)
    found = find_slicing(scan.affine, result.job.plane, path=scan.path)
    record = read_sidecar(result.target.image) or {}
    same_grid = bool(record.get("Parameters", {}).get("SameGrid"))
    shown = _slices(scan.volume(), made.volume(), found, scan.affine, same_grid=same_grid)
    brightest = pictures.most_error(shown)
    path = result.target.page
    contrast = record.get("Contrast", str(result.job.contrast))  # as it was when it was enhanced
    text = render(
        "scan.html.j2",
        name=scan.path.name,
        contrast=contrast,
        start=min(range(len(shown)), key=lambda i: "middle" not in shown[i].reasons),
        panels=pictures.panels(shown, _HALF, brightest, MOST_CHARACTERS),
        labels={SCAN: "scan" if same_grid else "scan, zero-filled", RESULT: "result"},
        most_error=brightest,
        palette=pictures.palette(),
        bands=bands.table(shown, SCAN, RESULT),
        warnings=_warnings(record),
        card=result.card,
        record=record,
        same_grid=same_grid,
        facts=_facts(scan, made, result, record, found),
    )
    _write(path, text)
    label = "" if contrast == "unknown" else contrast.partition(" by ")[0]
    return Entry(path, scan.path.name, label, result.model, _warnings(record))


def write_index(root: Path, entries: list[Entry]) -> None:
    """Write the page that links the pages of a folder of results."""
    path = root / INDEX
    rows = [
        (quote(os.fsencode(Path(os.path.relpath(entry.page, root)).as_posix())), entry)
        for entry in entries
    ]
    _write(path, render("index.html.j2", rows=rows))


def _slices(
    scan: np.ndarray, result: np.ndarray, found: Slicing, affine: np.ndarray, *, same_grid: bool
) -> list[pictures.Slice]:
    """Slices with tissue, evenly spread, and the middle one: in the order of the file."""
    scale = volume_scale(scan)
    low, high = found.stack(scan) / np.float32(scale), found.stack(result)
    rows, columns, _ = found.spacing(affine)
    slices = []
    for number, reason in _chosen(low).items():
        measured = low[number] if same_grid else upsampled(low[number])
        before, after = (
            np.ascontiguousarray(found.shown(image[np.newaxis])[0])
            for image in (measured, high[number] / np.float32(scale))
        )
        slices.append(
            pictures.Slice(
                f"slice {number + 1} of {len(low)}",
                {SCAN: before, RESULT: after},
                SCAN,
                busiest_box(before, after),
                [reason] if reason else [],
                spacing=(rows, columns),
            )
        )
    return slices


def _chosen(stack: np.ndarray) -> dict[int, str]:
    """Slices to show and why; of a volume without tissue the middle one."""
    tissue = [k for k, image in enumerate(stack) if not metrics.is_background(image)]
    tissue = tissue or [len(stack) // 2]
    spread = [tissue[i] for i in evenly_spaced(len(tissue), SLICES - 1)]
    middle = tissue[len(tissue) // 2]
    return {k: "middle" if k == middle else "" for k in sorted({*spread, middle})}


def _warnings(record: dict[str, Any]) -> list[str]:
    return list(record.get("Warnings", []))


def _facts(
    scan: nifti.Series,
    made: nifti.Series,
    result: Result,
    record: dict[str, Any],
    found: Slicing,
) -> dict[str, str]:
    """Where the result comes from, line by line."""
    software = " ".join(record["GeneratedBy"][0].values()) if "GeneratedBy" in record else ""
    facts = {
        "scan": ", ".join(record.get("Sources", [scan.path.name])),
        "SHA-256 of the scan": record.get("SourceSha256", ""),
        "result": result.target.image.name,
        "matrix": f"{_matrix(scan)} becomes {_matrix(made)}, {found.plane} slices",
        "voxels (mm)": f"{_spacing(scan, found)} become {_spacing(made, found)}",
        "stored as": f"{scan.stored.dtype.name} becomes {made.stored.dtype.name}",
        "model": record.get("Model", result.model),
        "SHA-256 of the model": record.get("ModelSha256", ""),
        "settings": ", ".join(f"{key} {value}" for key, value in record["Parameters"].items()),
        "software": software,
    }
    if scan.volumes > 1:
        facts["volumes"] = f"{scan.volumes}; the pictures are of the first"
    return facts


def _matrix(series: nifti.Series) -> str:
    return " x ".join(str(n) for n in series.stored.shape[:3])


def _spacing(series: nifti.Series, found: Slicing) -> str:
    return " x ".join(f"{size:.3g}" for size in found.spacing(series.affine))


def _write(path: Path, text: str) -> None:
    """Write a page over an earlier one, over nothing else.

    Raises:
        ConfigError: Something else has its name.
    """
    check_page(path)
    write_text(path, text)
