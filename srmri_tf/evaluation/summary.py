"""What metrics.json says: every method summed up over subjects, and compared in pairs."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.files import is_as_sealed, plain, refuse_to_replace, sealed
from data_prep.shards.schema import manifest_sha256
from srmri_tf.evaluation import gallery, tables
from srmri_tf.evaluation.baselines import BICUBIC, LOW_RESOLUTION, PUBLISHED
from srmri_tf.evaluation.scorefiles import SLICES_NAME, VOLUMES_NAME
from srmri_tf.evaluation.scores import KEYS, MEASURES, SliceRow, VolumeRow
from srmri_tf.evaluation.statistics import compare, subject_means, summarise

if TYPE_CHECKING:
    from srmri_tf.data.dataset import Shards

VERSION = 5
METRICS_NAME = "metrics.json"
FIGURE_NAME = "figure.png"
REPORT_NAME = "report.html"
_TABLES = frozenset({METRICS_NAME, "table.md", "table.tex", SLICES_NAME, VOLUMES_NAME})
_PICTURES = frozenset({FIGURE_NAME, gallery.FILE, "runs", REPORT_NAME})


def document_of(
    slices: Sequence[SliceRow],
    volumes: Sequence[VolumeRow],
    marks: Mapping[str, Sequence[str]],
    shards: "Shards",
    *,
    fold: int | None = None,
    contrast: str = "",
    licence: str = "",
) -> dict[str, Any]:
    """All of metrics.json that follows from the scores and the shards.

    Args:
        slices: All slices of all methods; the first method is the one gains refer to.
        volumes: All volumes.
        marks: Why a network's figures are too good, by network.
        shards: What was measured on.
        fold: The fold that was tested on.
        contrast: Of the scans that were tested on; empty: of all.
        licence: Of the data.
    """
    manifest = shards.manifest
    return figures_of(slices, volumes, marks) | {
        "parameters": manifest.parameters.model_dump(),
        "split_rule": manifest.split_rule.model_dump(),
        "fold": fold,
        "contrast": contrast,
        "test_subjects": manifest.subjects("test"),
        "data": {
            "licence": licence,
            "manifest_sha256": manifest_sha256(shards.folder),
            "software": manifest.software,
            "test_scans": [
                s.model_dump(include={"subject", "session", "source", "source_sha256", "sha256"})
                for s in manifest.of("test")
            ],
        },
    }


def figures_of(
    slices: Sequence[SliceRow], volumes: Sequence[VolumeRow], marks: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Every figure of metrics.json, with what it means.

    Args:
        slices: All slices of all methods; the first method is the one gains refer to.
        volumes: All volumes.
        marks: Why a network's figures are too good, by network.
    """
    keys = [key for key in KEYS if not all(math.isnan(getattr(row, key)) for row in slices)]
    methods = method_summaries(slices, volumes, keys)
    kinds = {LOW_RESOLUTION: "input", BICUBIC: "baseline"}
    for name, method in methods.items():
        method |= {"kind": kinds.get(name, "run"), "marks": list(marks.get(name, ()))}
    return {
        "version": VERSION,
        "software": f"srmri-tf {version('srmri-tf')}",
        "range": "1, volumes scaled by their maximum",
        "mean": "over subjects, of each subject's mean over slices",
        "ci95": "percentile bootstrap over subjects; null for a single subject",
        "slice_sd": "standard deviation over slices: no evidence about other subjects",
        "measures": {m.key: dataclasses.asdict(m) for m in MEASURES if m.key in keys},
        "methods": methods,
        "differences": differences(slices, keys),
        "published": [dataclasses.asdict(row) for row in PUBLISHED],
        "n_background": sum(row.background for row in slices if row.method == LOW_RESOLUTION),
    }


def write_document(folder: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Write metrics.json, and its tables as table.md and table.tex.

    Args:
        folder: Gets the files.
        document: From `document_of`, with ``notes``.

    Returns:
        What metrics.json holds.
    """
    written = sealed(plain(document))
    text = json.dumps(written, indent=2, allow_nan=False)
    (folder / METRICS_NAME).write_text(text + "\n", encoding="utf-8")
    main, *others = found = tables.tables(written)
    sections = [f"{tables.markdown(main)}\n"]
    sections += [f"## {t.title}\n\n{tables.markdown(t)}\n" for t in others]
    (folder / "table.md").write_text("\n".join(sections), encoding="utf-8")
    (folder / "table.tex").write_text("\n".join(map(tables.latex, found)), encoding="utf-8")
    return written


def refuse_others(out: Path, *, comparison: bool) -> None:
    """Refuse a folder for an evaluation or a comparison that holds anything but an older one.

    Raises:
        ConfigError: It does, or cannot be replaced as a whole.
        EnvironmentFault: It cannot be written.
    """
    what = "a comparison" if comparison else "an evaluation"
    refuse_to_replace(out, what, _TABLES if comparison else _TABLES | _PICTURES)
    try:
        document = json.loads((out / METRICS_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        document = None
    ours = isinstance(document, dict) and str(document.get("software")).startswith("srmri-tf")
    if not ours or ("slices" not in document) != comparison:
        raise ConfigError(
            f"is not of {what} of srmri-tf",
            path=out / METRICS_NAME,
            remedy="Choose another folder for -o",
        )


def read_document(path: Path, remedy: str, *keys: str) -> dict[str, Any]:
    """Read what an evaluation or a cross-validation wrote as JSON.

    Args:
        path: The file.
        remedy: What to do if it is damaged.
        keys: What it must hold.

    Raises:
        CorruptArtefactError: The file is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptArtefactError(f"cannot be read ({error})", path=path, remedy=remedy) from None
    if not isinstance(document, dict):
        raise CorruptArtefactError("is not a JSON object", path=path, remedy=remedy)
    if not is_as_sealed(document):
        raise CorruptArtefactError("was changed after it was made", path=path, remedy=remedy)
    _require(document, keys, path, remedy)
    return document


def _require(document: Mapping[str, Any], keys: Sequence[str], path: Path, remedy: str) -> None:
    if missing := sorted(set(keys) - document.keys()):
        raise CorruptArtefactError(f"lacks {', '.join(missing)}", path=path, remedy=remedy)


def read_evaluation(folder: Path, remedy: str, *keys: str) -> dict[str, Any]:
    """Read an evaluation's metrics.json, of this version or of the two before.

    Args:
        folder: The evaluation.
        remedy: What to do if it is damaged or too old.
        keys: What it must hold.

    Raises:
        BadInputError: It is of another version.
        CorruptArtefactError: The file is missing or damaged.
    """
    path = folder / METRICS_NAME
    document = read_document(path, remedy, "version")
    if document["version"] not in (3, 4, VERSION):
        raise BadInputError(
            f"is of version {document['version']}, but this software reads {VERSION}",
            path=path,
            remedy=remedy,
        )
    if "n_air" in document:  # until version 4
        document["n_background"] = document.pop("n_air")
    _require(document, keys, path, remedy)
    return _from_version_3(document) if document["version"] == 3 else document


def _from_version_3(document: dict[str, Any]) -> dict[str, Any]:
    """The same in the words of today: ``high_frequency`` was called ``detail``.

    Its intervals over slices are left out; the spread of slices' differences is not in it.
    """
    label = {"detail": "high_frequency"}

    def renamed(by_key: Mapping[str, Any]) -> dict[str, Any]:
        return {label.get(key, key): value for key, value in by_key.items()}

    measures = {m.key: dataclasses.asdict(m) for m in MEASURES}
    if "measures" in document:
        document["measures"] = {key: measures[key] for key in renamed(document["measures"])}
    for method in document.get("methods", {}).values():
        counts = {key: method[key] for key in ("n_subjects", "n_slices")}
        means = renamed(method["measures"]).items()
        method["measures"] = {key: summary | counts for key, summary in means}
        method["gains"], method["volumes"] = map(renamed, (method["gains"], method["volumes"]))
        method["subjects"] = {who: renamed(found) for who, found in method["subjects"].items()}
    for item in document.get("differences", ()):
        item |= {"measure": label.get(item["measure"], item["measure"]), "slice_sd": None}
    return document


def method_summaries(
    slices: Sequence[SliceRow], volumes: Sequence[VolumeRow], keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Everything about each method, background slices apart.

    Args:
        slices: All slices of all methods; the first method is the one gains refer to.
        volumes: All volumes.
        keys: Measures to sum up.
    """
    values = by_subject(slices, keys)
    by_volume = by_subject(volumes, keys)
    base = next(iter(values))
    result = {}
    for name, mine in values.items():
        background = [row for row in slices if row.method == name and row.background]
        result[name] = {
            "measures": {key: dataclasses.asdict(summarise(mine[key])) for key in keys},
            "gains": {key: compare(mine[key], values[base][key]).mean for key in keys},
            "subjects": _each_subject(mine),
            "volumes": {key: summarise(by_volume[name][key]).mean for key in keys},
            "background": {
                "n_slices": len(background),
                "psnr": _mean(row.psnr for row in background),
                "ssim": _mean(row.ssim for row in background),
            },
        }
    return result


def differences(slices: Sequence[SliceRow], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Paired differences of every two methods, the later minus the earlier one."""
    values = by_subject(slices, keys)
    return [
        {"a": later, "b": earlier, "measure": key}
        | dataclasses.asdict(compare(values[later][key], values[earlier][key]))
        for earlier, later in combinations(values, 2)
        for key in keys
    ]


def by_subject(
    rows: Sequence[SliceRow] | Sequence[VolumeRow], keys: Sequence[str]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Method, measure, subject: the slices' or volumes' values; background slices are left out."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if isinstance(row, SliceRow) and row.background:
            continue
        mine = values.setdefault(row.method, {key: {} for key in keys})
        for key in keys:
            mine[key].setdefault(row.subject, []).append(getattr(row, key))
    return values


def _each_subject(values: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, float]]:
    """By subject: how many slices, and each measure's mean over them."""
    means = {key: subject_means(by_subject) for key, by_subject in values.items()}
    return {
        subject: {"n_slices": len(values["psnr"][subject])}
        | {key: float(means[key][place]) for key in values}
        for place, subject in enumerate(sorted(values["psnr"]))
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
