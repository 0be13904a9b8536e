"""What is to be made of which scan, decided before any scan is read.

A plan is a pure function of the scans' names and the configuration. Two plans that differ would
make different shards, so the differences are what a refused second run prints.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from data_prep import splits
from data_prep.errors import BadInputError
from data_prep.schema import Manifest, Parameters, Shard, Split, SplitRule
from data_prep.shards import SUFFIX
from data_prep.sources import Scan
from data_prep.splits import Place

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


class Item(BaseModel):
    """One shard to be made.

    Args:
        file: Name of the shard.
        scan: The scan file.
        subject: Subject label.
        session: Session label, empty if there is none.
        split: Which split it belongs to.
        fold: Cross-validation fold, None without folds.
        indices: Which slices, None for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    scan: Path
    subject: str
    session: str
    split: Split
    fold: int | None = None
    indices: tuple[int, ...] | None = None

    def describe(self) -> str:
        """The line that two runs are compared by."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.scan.name}: subject {self.subject}, {self.split}{fold}"


class Plan(BaseModel):
    """Every shard of a folder, in the order of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    software: str
    parameters: Parameters
    split_rule: SplitRule
    items: tuple[Item, ...]

    def places(self) -> dict[str, Place]:
        """Where every subject is, for the split table."""
        return {item.subject: Place(item.split, item.fold) for item in self.items}


def make_plan(
    scans: Sequence[Scan],
    parameters: Parameters,
    rule: SplitRule,
    *,
    software: str,
    table: Path | None = None,
) -> Plan:
    """Deal the scans' subjects to splits and name their shards.

    Raises:
        BadInputError: The split table cannot be used, or no scan is left.
        ConfigError: More subjects are asked for than there are.
    """
    subjects = [scan.subject for scan in scans]
    if table is None:
        places = splits.assign(subjects, rule)
    else:
        places = splits.lookup(subjects, splits.read_tsv(table), table)
    items = []
    for name, scan in _named(scans):
        if scan.subject in places:
            split, fold = places[scan.subject]
            items.append(
                Item(
                    file=f"{name}{SUFFIX}",
                    scan=scan.path,
                    subject=scan.subject,
                    session=scan.session,
                    split=split,
                    fold=fold,
                )
            )
    if not items:
        raise BadInputError("no scan is left to prepare", remedy="Check the counts")
    return Plan(software=software, parameters=parameters, split_rule=rule, items=tuple(items))


def setting_differences(old: Plan | Manifest, new: Plan, old_name: str = "there") -> list[str]:
    """Parameters that differ, one line each: ``patch_size: 64 there, 32 asked for``."""
    before, after = _settings(old), _settings(new)
    return [
        f"{key}: {before.get(key)} {old_name}, {after.get(key)} asked for"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def scan_differences(manifest: Manifest, plan: Plan) -> list[str]:
    """Scans that a finished folder has and the plan has not, and the other way round."""
    before = {_describe(shard) for shard in manifest.shards}
    after = {item.describe() for item in plan.items}
    return [f"- {line}" for line in sorted(before - after)] + [
        f"+ {line}" for line in sorted(after - before)
    ]


def _describe(shard: Shard) -> str:
    fold = "" if shard.fold is None else f", fold {shard.fold}"
    return f"{shard.source}: subject {shard.subject}, {shard.split}{fold}"


def _settings(plan: Plan | Manifest) -> dict[str, object]:
    flat = dict(_flat(plan.parameters.model_dump()))
    flat.update((f"split {key}", value) for key, value in plan.split_rule.model_dump().items())
    flat["software"] = plan.software
    return flat


def _flat(nested: dict) -> Iterator[tuple[str, object]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield key, value


def _named(scans: Sequence[Scan]) -> Iterator[tuple[str, Scan]]:
    """A distinct, portable name for each scan: subject, session, and a number where needed."""
    taken: set[str] = set()
    for scan in scans:
        base = "_".join(_UNSAFE.sub("-", part) for part in (scan.subject, scan.session) if part)
        base = base.strip(".-") or "scan"
        name, number = base, 1
        while name.lower() in taken:  # some file systems do not tell cases apart
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        yield name, scan
