"""What is to be made of which scan, decided before a voxel is read.

A plan is a pure function of the scans' names and headers and the configuration. Two plans that
differ would make different shards, so the differences are what a refused second run prints.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from data_prep.errors import BadInputError, ConfigError, what_differs
from data_prep.prepare import splits
from data_prep.prepare.splits import Place
from data_prep.scans.choosing import LeftOut
from data_prep.scans.names import Scan
from data_prep.scans.orientation import Plane
from data_prep.scans.sources import SliceLayout
from data_prep.shards.files import SUFFIX
from data_prep.shards.patches import evenly_spaced
from data_prep.shards.schema import SPLITS, Manifest, Parameters, Shard, Split, SplitRule

Named = dict[str, tuple[Scan, SliceLayout]]
_LONGEST = 200  # characters of a shard's name; suffixes and the notes of a run need some, too
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


class Item(BaseModel):
    """One shard to be made.

    Args:
        file: Name of the shard.
        scan: The scan, its path absolute.
        plane: The plane it is cut along.
        split: Which split it belongs to.
        fold: Cross-validation fold, None without folds.
        indices: Which slices, None for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    scan: Scan
    plane: Plane
    split: Split
    fold: int | None = None
    indices: tuple[int, ...] | None = None


class Plan(BaseModel):
    """Every shard of a folder, in the order of the manifest.

    Args:
        software: Version of what makes the shards.
        parameters: What they will hold.
        split_rule: How subjects are dealt to splits.
        items: The shards.
        left_out: Files that were found and are not used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    software: str
    parameters: Parameters
    split_rule: SplitRule
    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...] = ()

    def table(self) -> str:
        """The split table: a line for each subject, or for each slice if they were dealt."""
        if self.split_rule.by == "slice":
            lines = [
                f"{item.scan.path.name}\t{index}\t{item.split}\n"
                for item in self.items
                for index in item.indices or ()
            ]
            return "scan\tslice\tsplit\n" + "".join(lines)
        return splits.write_tsv(
            {item.scan.subject: Place(item.split, item.fold) for item in self.items}
        )


def make_plan(
    scans: Mapping[Scan, SliceLayout],
    parameters: Parameters,
    rule: SplitRule,
    *,
    software: str,
    table: Path | None = None,
) -> Plan:
    """Deal the scans' subjects, or their slices, to splits and name the shards.

    Args:
        scans: The scans in order, each with how it will be cut.
        parameters: What the shards will hold.
        rule: How to deal.
        software: Version of what makes the shards.
        table: A TSV file that decides instead of the rule.

    Raises:
        BadInputError: The split table cannot be used, or no scan is left.
        ConfigError: More subjects are asked for than there are, or the rules contradict.
    """
    named = _named(scans)
    if rule.by == "slice":
        if parameters.max_slices:
            raise ConfigError(
                "--max-slices is for whole scans, but --slice-wise deals their slices one by one",
                remedy="Leave one of them out; --train-count says how many slices are dealt",
            )
        items = list(_slice_items(named, rule))
    else:
        places = _subject_places([scan.subject for scan in scans], rule, table)
        folds = {place.fold for place in places.values() if place.fold is not None}
        rule = rule.model_copy(update={"folds": max(folds, default=-1) + 1})
        items = list(_subject_items(named, places, parameters.max_slices))
    if rule.folds and parameters.min_signal:
        raise ConfigError(
            "min_signal would leave holes in the slices that each fold is tested on",
            remedy="Use folds or --min-signal, not both",
        )
    if not items:
        raise BadInputError("no scan is left to prepare", remedy="Check the counts")
    return Plan(software=software, parameters=parameters, split_rule=rule, items=tuple(items))


def setting_differences(old: Plan | Manifest, new: Plan) -> list[str]:
    """Parameters that differ, one line each: ``patch_size: 64 there, 32 asked for``."""
    return what_differs(_settings(old), _settings(new))


def scan_differences(manifest: Manifest, plan: Plan) -> list[str]:
    """Scans that a finished folder has and the plan has not, and the other way round."""
    before = {_line(s.source, s.subject, s.contrast, s) for s in manifest.shards}
    after = {_line(i.scan.path.name, i.scan.subject, i.scan.modality, i) for i in plan.items}
    return [f"- {line}" for line in sorted(before - after)] + [
        f"+ {line}" for line in sorted(after - before)
    ]


def _subject_places(
    subjects: Sequence[str], rule: SplitRule, table: Path | None
) -> dict[str, Place]:
    if table is None:
        return splits.assign(subjects, rule)
    return splits.lookup(subjects, splits.read_tsv(table), table)


def _subject_items(named: Named, places: Mapping[str, Place], max_slices: int) -> Iterator[Item]:
    for name, (scan, layout) in named.items():
        if scan.subject in places:
            split, fold = places[scan.subject]
            total, indices = layout.shape[0], None
            if split == "train" and 0 < max_slices < total:
                indices = evenly_spaced(total, max_slices)
            yield _item(f"{name}{SUFFIX}", scan, layout, split=split, fold=fold, indices=indices)


def _slice_items(named: Named, rule: SplitRule) -> Iterator[Item]:
    """Up to three shards a scan: its slices are dealt one by one, as the paper's seem to be."""
    labels = {
        name: [f"{name}:{index}" for index in range(layout.shape[0])]
        for name, (_, layout) in named.items()
    }
    places = splits.assign(itertools.chain(*labels.values()), rule)
    for name, (scan, layout) in named.items():
        dealt = [places.get(label) for label in labels[name]]
        for split in SPLITS:
            indices = tuple(i for i, place in enumerate(dealt) if place and place.split == split)
            if indices:
                file = f"{name}-{split}{SUFFIX}"
                yield _item(file, scan, layout, split=split, indices=indices)


def _item(file: str, scan: Scan, layout: SliceLayout, **fields: Any) -> Item:
    absolute = dataclasses.replace(scan, path=scan.path.absolute())
    return Item(file=file, scan=absolute, plane=layout.plane, **fields)


def _line(source: str, subject: str, contrast: str, stored: Item | Shard) -> str:
    """One file name may be that of several scans; that of a shard is its own."""
    fold = "" if stored.fold is None else f", fold {stored.fold}"
    shown = f"{contrast or 'unknown contrast'}, {stored.split}{fold}"
    return f"{source} as {stored.file}: subject {subject}, {shown}"


def _settings(plan: Plan | Manifest) -> dict[str, object]:
    rule = {"split": plan.split_rule.model_dump(), "software": plan.software}
    return plan.parameters.model_dump() | rule


def _named(scans: Mapping[Scan, SliceLayout]) -> Named:
    """A distinct, portable name for each scan: subject, session, and a number where needed.

    Where there are several contrasts, theirs is part of it.
    """
    named: Named = {}
    taken: set[str] = set()
    several = len({scan.modality for scan in scans}) > 1
    for scan, layout in scans.items():
        parts = scan.subject, scan.session, scan.modality if several else ""
        base = "_".join(_UNSAFE.sub("-", part) for part in parts if part)
        base = base.strip(".-")[:_LONGEST] or "scan"
        name, number = base, 1
        while name.lower() in taken:  # some file systems do not tell cases apart
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        named[name] = scan, layout
    return named
