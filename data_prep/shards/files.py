"""Shards on disk: one TFRecord file per scan and split, and the check of a whole folder."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.files import atomic_file, file_sha256, write_text
from data_prep.shards import tfrecord
from data_prep.shards.patches import stitch
from data_prep.shards.schema import (
    MANIFEST_NAME,
    Manifest,
    Shard,
    decode,
    manifest_text,
    read_manifest,
)
from data_prep.shards.tfrecord import Record

SUFFIX = ".tfrecord"
_BUFFER = 1 << 20


class WholeSlice(NamedTuple):
    """One slice of a shard, decoded: its number in the volume, and ``(H, W)`` float32 images."""

    number: int
    lr: np.ndarray
    hr: np.ndarray


class Written(NamedTuple):
    """What was written to a shard file."""

    records: int
    bytes: int
    sha256: str


def write(path: Path, chunks: Iterable[list[Record]]) -> Written:
    """Write records to a shard, which appears whole or not at all.

    It is left to the system when the bytes reach the disk: waiting here would idle the processor.

    Args:
        path: The shard file.
        chunks: Records in order, some at a time; what is in memory is one chunk.

    Raises:
        EnvironmentFault: The disk is full or the folder cannot be written.
    """
    digest, size, count = hashlib.sha256(), 0, 0
    with atomic_file(path, sync=False) as temporary, temporary.open("wb", _BUFFER) as file:
        for records in chunks:
            for record in records:
                framed = tfrecord.frame(tfrecord.example(record))
                file.write(framed)
                digest.update(framed)
                size += len(framed)
            count += len(records)
    return Written(count, size, digest.hexdigest())


def records(path: Path) -> Iterator[Record]:
    """The records of a shard file, each checked against its checksum; needs no TensorFlow.

    Raises:
        CorruptArtefactError: The file is missing or damaged.
    """
    try:
        for payload in tfrecord.payloads(Path(path).read_bytes()):
            yield tfrecord.parse(payload)
    except OSError as error:
        raise CorruptArtefactError(
            f"cannot be read: {error.strerror}", path=path, remedy=tfrecord.AGAIN
        ) from None
    except CorruptArtefactError as error:
        raise CorruptArtefactError(error.fault, path=path, remedy=tfrecord.AGAIN) from None


def whole_slices(folder: Path, shard: Shard) -> Iterator[WholeSlice]:
    """The whole slices of a shard in its order, put together from patches where it holds those.

    Patches that were left out for want of signal stay zero.

    Raises:
        CorruptArtefactError: The shard is missing or damaged.
    """
    whole = (shard.slice_height, shard.slice_width)
    stream = records(Path(folder) / shard.file)
    for index, group in groupby(stream, key=lambda record: record.slice):
        members = list(group)
        where = np.array([(record.row, record.col) for record in members])
        low, high = (
            decode(np.stack([pixels(getattr(record, name), shard) for record in members]))
            for name in ("lr", "hr")
        )
        if shard.kind == "slices":
            yield WholeSlice(index, low[0], high[0])
        else:
            yield WholeSlice(index, stitch(low, where, whole), stitch(high, where, whole))


def pixels(data: bytes, shard: Shard) -> np.ndarray:
    """One record's codes as ``(height, width)`` uint16."""
    return np.frombuffer(data, "<u2").reshape(shard.height, shard.width)


def verify(folder: Path) -> Manifest:
    """Check every shard of a folder against its manifest: size, checksum, nothing else there.

    Raises:
        BadInputError: The folder has no manifest, or lists no shard.
        CorruptArtefactError: A shard is missing, changed, extra or listed twice; all are named. Or
            the manifest was changed.
    """
    return _checked(Path(folder), read_manifest(folder))


def reseal(folder: Path) -> Manifest:
    """Check a manifest that was edited by hand against every record, and write its checksum anew.

    Raises:
        BadInputError: The folder has no manifest, or lists no shard.
        CorruptArtefactError: As for `verify`, or the manifest contradicts the records.
        EnvironmentFault: It cannot be written.
    """
    folder = Path(folder)
    manifest = _checked(folder, read_manifest(folder, edited=True))
    gaps = manifest.parameters.min_signal > 0
    unlike = [(s.file, fault) for s in manifest.shards if (fault := _unlike(folder, s, gaps))]
    _raise(folder, unlike)
    write_text(folder / MANIFEST_NAME, manifest_text(manifest))
    return manifest


def _checked(folder: Path, manifest: Manifest) -> Manifest:
    if not manifest.shards:
        raise BadInputError("lists no shard", path=folder, remedy="Prepare at least one scan")
    faults = [*_layout_faults(folder, manifest)]
    for shard in manifest.shards:
        fault = _fault(folder / shard.file, shard)
        if fault:
            faults.append((shard.file, fault))
    _raise(folder, faults)
    return manifest


def _raise(folder: Path, faults: list[tuple[str, str]]) -> None:
    """One error for the faults of a folder's files, if there are any."""
    if len(faults) == 1:
        name, fault = faults[0]
        raise CorruptArtefactError(fault, path=folder / name, remedy=tfrecord.AGAIN)
    if faults:
        lines = "".join(f"\n  {name}: {fault}" for name, fault in faults)
        raise CorruptArtefactError(
            f"{len(faults)} faults:{lines}\n", path=folder, remedy=tfrecord.AGAIN
        )


def _unlike(folder: Path, shard: Shard, gaps: bool) -> str:
    """What the manifest says of a shard and its records contradict, or an empty string.

    Args:
        folder: Of the shard.
        shard: What the manifest says.
        gaps: Whether patches may have been left out for want of signal.
    """
    size, slices, height, width, count = 2 * shard.height * shard.width, set(), 0, 0, 0
    for record in records(folder / shard.file):
        count += 1
        if not len(record.lr) == len(record.hr) == size:
            return f"has images of {len(record.hr) // 2} pixels, not {shard.height} x {shard.width}"
        slices.add(record.slice)
        height = max(height, record.row + shard.height)
        width = max(width, record.col + shard.width)
    if count != shard.records:
        return f"holds {count} records, expected {shard.records}"
    found = {"slice_height": height, "slice_width": width, "slices": len(slices)}
    for name, value in found.items():
        said = getattr(shard, name)
        if value > said or (value < said and not gaps):
            return f"has {name} {value}, not {said}"
    return ""


def is_intact(path: Path, shard: Shard) -> bool:
    """Whether a file is the one that was written, by size and checksum.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    if path.stat().st_size != shard.bytes:
        return False
    return file_sha256(path) == shard.sha256


def _layout_faults(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Shards listed twice or not at all, and subjects on both sides of a split."""
    listed = [shard.file for shard in manifest.shards]
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield name, "is listed more than once"
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.name not in listed:
            yield path.name, "is not in the manifest"
    if manifest.split_rule.by == "subject":
        seen: dict[str, set] = {}
        for shard in manifest.shards:
            seen.setdefault(shard.subject, set()).add((shard.split, shard.fold))
        for subject in sorted(seen):
            if len(seen[subject]) > 1:
                yield MANIFEST_NAME, f"puts subject {subject} in more than one split"


def _fault(path: Path, shard: Shard) -> str:
    """What is wrong with one shard file, or an empty string."""
    try:
        if is_intact(path, shard):
            return ""
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        count = sum(1 for _ in records(path))
    except CorruptArtefactError as error:
        return error.fault
    if count != shard.records:
        return f"holds {count} records, expected {shard.records}"
    return f"was changed: its {count} records are not those that were written"
