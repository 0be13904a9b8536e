"""The state of a folder of shards: foreign, interrupted, or complete.

An interrupted folder holds ``.progress``: the plan it was started with, and one note for each
finished shard. After a power cut the disk may hold a note and not its shard, so shards are
compared with their notes before they are kept, and are all on the disk before the manifest is.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ValidationError

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError, listed
from data_prep.files import clear, disk_errors, is_scratch, sync_to_disk, write_text
from data_prep.prepare import splits
from data_prep.prepare.plan import Item, Plan, scan_differences, setting_differences
from data_prep.scans import dicom, layouts, nifti
from data_prep.shards import files
from data_prep.shards.schema import (
    MANIFEST_NAME,
    LeftOutFile,
    Manifest,
    Shard,
    manifest_text,
    read_manifest,
)

PROGRESS = ".progress"
_PLAN = "plan.json"
_ELSEWHERE = "Choose another folder, or delete this one"


class _Begun(BaseModel):
    """What every version's plan has."""

    software: str


class _Note(BaseModel):
    """A finished shard, and the item and scan file it was made from."""

    shard: Shard
    item: Item
    scan_bytes: int
    scan_mtime_ns: int


def already_complete(plan: Plan, folder: Path) -> Manifest | None:
    """The manifest of a folder that holds just what the plan would make; None if unfinished.

    Raises:
        ConfigError: The folder is complete, but was made with other parameters or scans.
        CorruptArtefactError: It is complete, but a shard is gone.
    """
    if not (folder / MANIFEST_NAME).exists():
        return None
    manifest = read_manifest(folder)
    differences = (
        setting_differences(manifest, plan)
        or scan_differences(manifest, plan)
        or _content_differences(manifest, plan)
    )
    if differences:
        raise _different(folder, differences)
    for shard in manifest.shards:
        path = folder / shard.file
        if not path.exists() or path.stat().st_size != shard.bytes:
            raise CorruptArtefactError(
                "is missing or was changed", path=path, remedy="Prepare into a new folder"
            )
    return manifest


def refuse_different(plan: Plan, folder: Path) -> None:
    """Refuse a folder that was prepared with other parameters or scans; nothing is written.

    Raises:
        ConfigError: The folder is complete, and differs from the plan, or holds an interrupted run
            that cannot be continued by it.
        CorruptArtefactError: It is complete, but a shard is gone.
    """
    if already_complete(plan, folder) is None:
        _refuse_different_run(plan, folder)


def start_or_resume(plan: Plan, folder: Path) -> dict[str, Shard]:
    """Note the plan in the folder, and find out which of its shards are finished.

    Leftovers of a killed run, and shards the plan does not want, are removed.

    Raises:
        ConfigError: The folder holds an interrupted run with other parameters, none of whose scans
            is asked for, or of another version, whose shards would have other bytes.
    """
    notes = folder / PROGRESS
    _refuse_different_run(plan, folder)
    done = {}
    for item in plan.items:
        note = _read_note(_note_path(folder, item.file))
        if note is not None and _still_true(note, item, folder):
            done[item.file] = note.shard
    with disk_errors(folder):
        clear(notes)
        for path in folder.glob(f"*{files.SUFFIX}"):
            if path.name not in done:
                path.unlink()
    write_text(notes / _PLAN, plan.model_dump_json(indent=1) + "\n")
    return done


def note(folder: Path, shard: Shard, item: Item) -> None:
    """Write down that a shard is finished."""
    size, mtime = _stamp(item.scan.path)
    entry = _Note(shard=shard, item=item, scan_bytes=size, scan_mtime_ns=mtime)
    write_text(_note_path(folder, shard.file), entry.model_dump_json(indent=1) + "\n", sync=False)


def finish(plan: Plan, folder: Path, done: dict[str, Shard]) -> Manifest:
    """Write the split table and then, last of all, the manifest."""
    manifest = Manifest(
        software=plan.software,
        parameters=plan.parameters,
        split_rule=plan.split_rule,
        shards=tuple(done[item.file] for item in plan.items),
        left_out=tuple(
            LeftOutFile(file=path.name, reason=reason) for path, reason in sorted(plan.left_out)
        ),
    )
    sync_to_disk(folder, done)
    write_text(folder / splits.SPLIT_NAME, plan.table())
    write_text(folder / MANIFEST_NAME, manifest_text(manifest))
    return manifest


def tidy(folder: Path, existed: bool) -> None:
    """After a run: drop the notes of a complete folder, and whatever is left where none is.

    A run that was interrupted early may leave a shard that nobody noted.
    """
    notes = folder / PROGRESS
    complete = (folder / MANIFEST_NAME).exists()
    noted = any(path.name.endswith(f"{files.SUFFIX}.json") for path in notes.glob("*"))
    if notes.exists() and not complete and not noted:
        for path in folder.glob(f"*{files.SUFFIX}"):
            path.unlink(missing_ok=True)
    if complete or not noted:
        shutil.rmtree(notes, ignore_errors=True)
    if not existed and all(is_scratch(path) for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _note_path(folder: Path, file: str) -> Path:
    return folder / PROGRESS / f"{file}.json"


def _read_plan(folder: Path, software: str) -> Plan | None:
    path = folder / PROGRESS / _PLAN
    try:
        text = path.read_text(encoding="utf-8")
        begun = _Begun.model_validate_json(text)
        if begun.software != software:  # its plan may be of another form
            raise _different(folder, [f"software: {begun.software} there, {software} asked for"])
        return Plan.model_validate_json(text)
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError):
        raise CorruptArtefactError(
            "is not the plan of an interrupted run", path=path, remedy="Delete the folder"
        ) from None


def _refuse_different_run(plan: Plan, folder: Path) -> None:
    """Refuse an interrupted run that another plan began; some of its scans may be left out."""
    before = _read_plan(folder, plan.software)
    if before is None:
        return
    differences = setting_differences(before, plan)
    if not differences and not _have_a_scan_in_common(before, plan):
        differences = [f"scans: {_shown(before)} there, {_shown(plan)} asked for"]
    if differences:
        raise _different(folder, differences)


def _have_a_scan_in_common(before: Plan, plan: Plan) -> bool:
    there = {_identity(item.scan.path) for item in before.items}
    there |= {item.scan.path.name for item in before.items}  # of converted scans
    return any(_identity(item.scan.path) in there for item in plan.items)


def _identity(scan: Path) -> str:
    """What a scan is known by: its path, however it is spelled.

    Of a converted scan its name: every process converts it anew, into a folder of its own.
    """
    if dicom.is_converted(scan):
        return scan.name
    return str(scan.parent.resolve() / scan.name)


def _shown(plan: Plan) -> str:
    first, *others = sorted({item.scan.path for item in plan.items})
    return f"{first} and {len(others)} more" if others else f"{first}"


def _read_note(path: Path) -> _Note | None:
    """A note that cannot be read is as good as none: its scan is done again."""
    try:
        return _Note.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def _still_true(note: _Note, item: Item, folder: Path) -> bool:
    """Whether the note is about this item, its scan is unchanged and its shard is there."""
    scan, noted = item.scan.path, note.item.scan.path
    converted = dicom.is_converted(scan)
    if _identity(scan) == (noted.name if converted else _identity(noted)):
        item = item.model_copy(update={"scan": replace(item.scan, path=noted)})
    try:
        return (
            note.item == item
            and (
                nifti.checksum(scan) == note.shard.source_sha256
                if converted
                else _stamp(scan) == (note.scan_bytes, note.scan_mtime_ns)
            )
            and files.is_intact(folder / item.file, note.shard)
        )
    except OSError:
        return False


def _stamp(scan: Path) -> tuple[int, int]:
    """Size and time of change of a scan's files."""
    try:
        states = [file.stat() for file in layouts.files(scan)]
    except OSError as error:
        raise BadInputError(
            f"has gone away ({error.strerror})", path=scan, remedy="Run the same command again"
        ) from None
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def _content_differences(manifest: Manifest, plan: Plan) -> list[str]:
    """Scans whose file is not the one the shard was made from."""
    scans = {item.file: item.scan.path for item in plan.items}
    return [
        f"{shard.source}: its content has changed"
        for shard in manifest.shards
        if nifti.checksum(scans[shard.file]) != shard.source_sha256
    ]


def _different(folder: Path, differences: list[str]) -> ConfigError:
    fault = f"was prepared differently:{listed(differences)}\n"
    return ConfigError(fault, path=folder, remedy=_ELSEWHERE)
