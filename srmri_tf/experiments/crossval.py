"""`crossval`: one run and one evaluation per fold (`fold`), and a table of how they vary.

=========================== ===================================================
``fold-K/MODEL``            the run that was not shown fold K
``fold-K/evaluation``       its evaluation on fold K
``summary.json``            every fold, mean and deviation over folds, all subjects
``summary.md``              the same as a table
=========================== ===================================================
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import BadInputError, ConfigError
from data_prep.files import plain, sealed, write_text
from data_prep.shards.schema import manifest_sha256, read_manifest
from srmri_tf.evaluation import tables
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.config import CONSISTENT, EvaluateConfig
from srmri_tf.evaluation.scorefiles import read_slices
from srmri_tf.evaluation.statistics import summarise
from srmri_tf.evaluation.summary import (
    METRICS_NAME,
    by_subject,
    read_document,
    read_evaluation,
)
from srmri_tf.models.resume import epochs_done
from srmri_tf.models.run import Run
from srmri_tf.models.stored import read
from srmri_tf.recipes import differences
from srmri_tf.recipes.config import CONFIGS, TrainConfig

SUMMARY_NAME = "summary.json"
_AGAIN = "Remove it to measure the fold again"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is cross-validated and where.

    Args:
        config: The settings; ``fold`` is set for each run.
        shards: Shards prepared with ``--folds``.
        out: Gets a folder for every fold, and the summary.
        devices: As for ``fit``.
        measured: As for ``evaluate``; ``fold`` is set for each evaluation.
    """

    config: TrainConfig
    shards: Path
    out: Path
    devices: int | str | None = None
    measured: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)

    def run(self, fold: int) -> Run:
        """What is trained without a fold."""
        return Run(self.folder(fold) / self.config.model)

    def evaluation(self, fold: int) -> Path:
        """Where it is measured on that fold."""
        return self.folder(fold) / "evaluation"

    def folder(self, fold: int) -> Path:
        """Where a fold is."""
        return self.out / f"fold-{fold}"

    def config_of(self, fold: int) -> TrainConfig:
        """The settings of one fold's run."""
        return self.config.model_copy(update={"fold": fold})

    def folds(self) -> int:
        """How many folds the shards have.

        Raises:
            ConfigError: They were prepared without.
        """
        count = read_manifest(self.shards).split_rule.folds
        if not count:
            raise ConfigError(
                "was prepared without folds",
                path=self.shards,
                remedy="Prepare the scans with `srmri-tf prepare --folds K`",
            )
        return count


def read_finished(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The summary of a cross-validation that is done, and its folds' evaluations in order.

    Raises:
        BadInputError: It is none, or folds are still to be run.
        CorruptArtefactError: The summary is damaged.
    """
    if not (folder / SUMMARY_NAME).is_file():
        raise BadInputError(
            f"is no cross-validation: it has no {SUMMARY_NAME}",
            path=folder,
            remedy="Make one with `srmri-tf crossval`",
        )
    again = "Run `srmri-tf crossval` again"
    summary = read_document(folder / SUMMARY_NAME, again, "model", "folds", "done")
    folds = summary["folds"]
    if len(summary["done"]) < folds:
        raise BadInputError(
            f"has only {len(summary['done'])} of {folds} folds done",
            path=folder,
            remedy="Let `srmri-tf crossval` finish",
        )
    evaluations = [folder / f"fold-{fold}" / "evaluation" for fold in range(folds)]
    before = summary.get("networks", [None] * folds)
    for evaluation, sha256 in zip(evaluations, before, strict=True):
        if not sha256:
            continue
        document = read_evaluation(evaluation, _AGAIN, "methods")
        if sha256 != _measured_network(document, summary["model"]):
            raise BadInputError(
                f"was measured again after {folder / SUMMARY_NAME} was written",
                path=evaluation,
                remedy="Let `srmri-tf crossval` finish",
            )
    return summary, evaluations


def _measured_network(document: Mapping[str, Any], model: str) -> str | None:
    """SHA-256 of the weights of the network that an evaluation measured."""
    sha256: str | None = document["methods"].get(model, {}).get("sha256")
    return sha256


def is_done(plan: Plan, fold: int) -> bool:
    """Whether a fold is trained with the plan's settings, and measured as the plan asks for.

    Known without TensorFlow, which takes seconds to import.

    Raises:
        ConfigError: There is no such fold, or the folder is of another model.
        CorruptArtefactError: What is there of it is damaged.
    """
    if fold >= plan.folds():
        raise ConfigError(
            f"has no fold {fold}: there are {plan.folds()}, counted from 0",
            path=plan.shards,
            remedy="Give one of them, or none for all",
        )
    _refuse_other_models(plan)
    return _is_measured(plan, fold) and _has_all(plan, plan.evaluation(fold))


def _is_measured(plan: Plan, fold: int) -> bool:
    """Whether a fold's run is finished with the plan's settings, and was measured since."""
    run, evaluation = plan.run(fold), plan.evaluation(fold)
    if not (evaluation / METRICS_NAME).is_file():
        return False
    measured = _measured_network(read_evaluation(evaluation, _AGAIN, "methods"), plan.config.model)
    return (
        not differences(run.config(), run.resolved(plan.config_of(fold)))
        and epochs_done(run) >= run.config().schedule.total
        and measured == read(run.folder).sha256
    )


def _refuse_other_models(plan: Plan) -> None:
    for other in sorted(CONFIGS.keys() - {plan.config.model}):
        if next(plan.out.glob(f"fold-*/{other}"), None):
            raise ConfigError(
                f"holds a cross-validation of {other}, not {plan.config.model}",
                path=plan.out,
                remedy="Choose another folder for -o",
            )


def _has_all(plan: Plan, evaluation: Path) -> bool:
    """Whether an evaluation is of the plan's shards and holds all that the plan asks for."""
    document = read_evaluation(evaluation, _AGAIN)
    consistent = plan.config.model + CONSISTENT in document.get("methods", ())
    perceptual = "vgg" in document.get("measures", ())
    data = document.get("data", {})
    return (
        data.get("manifest_sha256") == manifest_sha256(plan.shards)
        and plan.measured.licence in ("", data.get("licence"))
        and (consistent or not plan.measured.consistency)
        and (perceptual or not plan.measured.perceptual)
    )


def summarise_folds(plan: Plan) -> tuple[Path, tables.Table]:
    """Sum up the folds that are done.

    Returns:
        The file ``summary.json``, and its table.

    Raises:
        CorruptArtefactError: A fold's evaluation cannot be read.
    """
    total = plan.folds()
    documents = {
        fold: read_evaluation(plan.evaluation(fold), _AGAIN, "methods", "measures")
        for fold in range(total)
        if _is_measured(plan, fold)
    }
    methods = list(dict.fromkeys(m for d in documents.values() for m in d["methods"]))
    keys = list(dict.fromkeys(k for d in documents.values() for k in d["measures"]))
    scores = [row for k in documents for row in read_slices(plan.evaluation(k))]
    values = by_subject(scores, keys)  # each subject is tested in one of the folds
    summary = {
        "version": VERSION,
        "model": plan.config.model,
        "folds": total,
        "validation": plan.config.validation.fold if total > 2 else "none",
        "done": list(documents),
        "networks": [_measured_network(d, plan.config.model) for d in documents.values()],
        "methods": {
            name: {
                key: {
                    "folds": (means := [_mean_of(d, name, key) for d in documents.values()]),
                    "mean": float(np.mean(means)),
                    "sd": float(np.std(means, ddof=1)) if len(means) > 1 else None,
                    "all_subjects": dataclasses.asdict(summarise(values[name][key])),
                }
                for key in keys
            }
            for name in methods
        },
    }
    table = _table(summary, documents)
    write_text(plan.out / SUMMARY_NAME, json.dumps(sealed(plain(summary)), indent=2) + "\n")
    write_text(plan.out / "summary.md", tables.markdown(table) + "\n")
    return plan.out / SUMMARY_NAME, table


def _table(summary: Mapping[str, Any], documents: Mapping[int, Mapping[str, Any]]) -> tables.Table:
    """A line per fold, one of their mean and deviation, one of all subjects."""
    shown = [name for name in (LOW_RESOLUTION, summary["model"]) if name in summary["methods"]]
    columns = [(key, name) for key in ("psnr", "ssim") for name in shown]
    digits = {"psnr": 2, "ssim": 4}
    rows = []
    for place, (fold, document) in enumerate(documents.items()):
        cells = [summary["methods"][name][key]["folds"][place] for key, name in columns]
        texts = [tables.number(v, digits[key]) for v, (key, _) in zip(cells, columns, strict=True)]
        counts = document["methods"][LOW_RESOLUTION]["measures"]["psnr"]
        rows.append((f"fold {fold}", str(counts["n_subjects"]), str(counts["n_slices"]), *texts))
    found = [(key, summary["methods"][name][key]) for key, name in columns]
    if rows:
        subjects, slices = (str(sum(int(row[i]) for row in rows)) for i in (1, 2))
        spread = [
            tables.number(s["mean"], digits[key])
            + (f" ± {s['sd']:.{digits[key]}f}" if s["sd"] is not None else "")
            for key, s in found
        ]
        rows.append(("mean ± sd over folds", "", "", *spread))
        pooled = [
            tables.number(s["all_subjects"]["mean"], digits[key])
            + tables.interval(s["all_subjects"]["ci95"], digits[key])
            for key, s in found
        ]
        rows.append(("all subjects [95 %]", subjects, slices, *pooled))
    labels = {"psnr": "PSNR (dB)", "ssim": "SSIM"}
    header = ("", "subjects", "slices", *(f"{name} {labels[key]}" for key, name in columns))
    done, total = len(documents), summary["folds"]
    notes = [] if done == total else [f"Incomplete: {done} of {total} folds are done."]
    if summary["validation"] == "none":
        notes.append("No fold validated: each best epoch was chosen on training subjects.")
    return tables.Table("Cross-validation", header, tuple(rows), tuple(notes))


def _mean_of(document: Mapping[str, Any], name: str, key: str) -> float:
    """A fold's mean; NaN where it was not measured."""
    mean = document["methods"].get(name, {}).get("measures", {}).get(key, {}).get("mean")
    return float("nan") if mean is None else float(mean)
