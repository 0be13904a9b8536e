"""`compare`: finished cross-validations side by side, every subject tested once by each.

Writes ``metrics.json``, ``slices.tsv``, ``volumes.tsv``, ``table.md`` and ``table.tex`` as
`evaluate` does for one split (docs/evaluation.md). A network is called by its folder's name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.errors import BadInputError, ConfigError
from data_prep.files import atomic_folder, plain
from srmri_tf.evaluation import tables
from srmri_tf.evaluation.baselines import BICUBIC, LOW_RESOLUTION
from srmri_tf.evaluation.scorefiles import (
    SLICES_NAME,
    VOLUMES_NAME,
    read_slices,
    read_volumes,
    write_rows,
)
from srmri_tf.evaluation.scores import KEYS, SliceRow, VolumeRow
from srmri_tf.evaluation.summary import (
    figures_of,
    read_evaluation,
    refuse_others,
    write_document,
)
from srmri_tf.experiments.crossval import read_finished

_AGAIN = "Run `srmri-tf crossval` again"


@dataclass(frozen=True)
class _Scores:
    """One cross-validation: its folds' documents, and all rows, its network called by ``name``."""

    name: str
    folder: Path
    documents: tuple[Mapping[str, Any], ...]
    slices: tuple[SliceRow, ...]
    volumes: tuple[VolumeRow, ...]

    @property
    def shards(self) -> list[str]:
        """What was measured on."""
        return [document["data"]["manifest_sha256"] for document in self.documents]

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Every slice measured."""
        first = self.slices[0].method
        return sorted((r.subject, r.session, r.slice) for r in self.slices if r.method == first)


def compare_crossvals(folders: Sequence[Path], out: Path) -> tables.Table:
    """Put cross-validations on the same shards into one table.

    Intervals over three subjects are coarse: they are the spread of three means, no more.

    Args:
        folders: What `srmri-tf crossval` wrote, all folds done; their names must differ.
        out: Gets the results; an earlier comparison there is replaced as a whole.

    Returns:
        The main table.

    Raises:
        ConfigError: Two folders of one name, or ``out`` holds something else.
        BadInputError: A folder is no finished cross-validation, or they measured different slices.
        CorruptArtefactError: A fold's files are damaged.
    """
    refuse_others(Path(out), comparison=True)
    names = [folder.resolve().name for folder in folders]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(
            f"two cross-validations are called {min(twice)}",
            remedy="Rename one of the folders: their names tell the rows apart",
        )
    if taken := {LOW_RESOLUTION, BICUBIC} & set(names):
        raise ConfigError(
            f"a cross-validation is called {min(taken)}, as a row of every table is",
            remedy="Rename its folder",
        )
    opened = [_open(folder, name) for folder, name in zip(folders, names, strict=True)]
    seen: set[str] = set()
    for scores in opened:
        own = {row.method for row in scores.slices} - {LOW_RESOLUTION, BICUBIC}
        if twice := own & seen:
            raise ConfigError(
                f"two rows would be called {min(twice)}",
                path=scores.folder,
                remedy="Rename the folder: folders' names tell the rows apart",
            )
        seen |= own
    for other in opened[1:]:
        if (other.shards, other.places) != (opened[0].shards, opened[0].places):
            raise BadInputError(
                f"was measured on other slices than {opened[0].folder}",
                path=other.folder,
                remedy="Compare cross-validations on the same shards",
            )
    slices = _merged([scores.slices for scores in opened])
    volumes = _merged([scores.volumes for scores in opened])
    first = opened[0].documents[0]
    document = figures_of(slices, volumes, {}) | {
        "parameters": first["parameters"],
        "split_rule": first["split_rule"],
        "fold": None,
        "test_subjects": sorted({row.subject for row in slices}),
        "data": first["data"] | {"test_scans": _scans(opened[0].documents)},
        "notes": [
            "Cross-validation: every subject was measured by networks that had not seen it.",
            *dict.fromkeys(note for s in opened for d in s.documents for note in d["notes"]),
        ],
    }
    unmeasured = [key for key in KEYS if key not in document["measures"]]
    with atomic_folder(Path(out)) as folder:
        write_rows(folder / SLICES_NAME, slices, unmeasured)
        write_rows(folder / VOLUMES_NAME, volumes, unmeasured)
        write_document(folder, document)
    return tables.main_table(plain(document))


def _open(folder: Path, name: str) -> _Scores:
    summary, evaluations = read_finished(folder)

    def renamed(method: str) -> str:
        trained = method == summary["model"] or method.startswith(summary["model"] + "+")
        return name + method.removeprefix(summary["model"]) if trained else method

    return _Scores(
        name,
        folder,
        tuple(read_evaluation(evaluation, _AGAIN, "data", "notes") for evaluation in evaluations),
        tuple(replace(r, method=renamed(r.method)) for e in evaluations for r in read_slices(e)),
        tuple(replace(r, method=renamed(r.method)) for e in evaluations for r in read_volumes(e)),
    )


def _merged(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """All rows, method by method; input and baselines once, from where most was measured."""
    methods: dict[str, list[Any]] = {}
    for rows in parts:
        known = set(methods)
        for row in rows:
            if row.method not in known:
                methods.setdefault(row.method, []).append(row)
    fullest = min(parts, key=lambda rows: sum(math.isnan(row.vgg) for row in rows))
    for name in {LOW_RESOLUTION, BICUBIC} & methods.keys():
        methods[name] = [row for row in fullest if row.method == name] or methods[name]
    return [row for rows in methods.values() for row in rows]


def _scans(documents: Sequence[Mapping[str, Any]]) -> list[Any]:
    found = {scan["sha256"]: scan for d in documents for scan in d["data"]["test_scans"]}
    return list(found.values())
