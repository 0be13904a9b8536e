"""What a worker does: one scan in, its shard out. Needs no TensorFlow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_prep.errors import BadInputError
from data_prep.prepare.pairs import SlicePairs, slice_pairs
from data_prep.prepare.plan import Item
from data_prep.scans import coverage
from data_prep.scans.sources import read
from data_prep.shards import files
from data_prep.shards.patches import cut, origins
from data_prep.shards.schema import Kind, Parameters, Shard, encode
from data_prep.shards.tfrecord import Record

CHUNK = 2  # slices transformed at a time: the working set stays in the processor's cache


class Job(BaseModel):
    """Everything a worker needs, small enough to be sent anywhere."""

    model_config = ConfigDict(frozen=True)

    item: Item
    parameters: Parameters
    folder: Path


def convert(job: Job) -> Shard:
    """Turn one scan into one shard.

    Raises:
        BadInputError: The scan is malformed or unsuitable; the file is named.
        EnvironmentFault: The shard cannot be written.
    """
    item, parameters = job.item, job.parameters
    path = item.scan.path
    volume = read(path, item.plane, parameters.fastmri, parameters.volume)
    filled = coverage.measure(volume)
    if parameters.matrix == "acquired":
        volume = coverage.acquired(volume, filled)
    pairs = slice_pairs(volume, parameters.degradation, path)
    count, height, width = pairs.images.shape
    indices = np.arange(count) if item.indices is None else np.asarray(item.indices, np.int64)
    try:
        if item.split == "train":
            kind: Kind = "patches"
            size = parameters.patch_size
            chunks = patch_records(pairs, indices, size, parameters.min_signal)
            height = width = size
        else:
            kind = "slices"
            chunks = slice_records(pairs, indices)
        written = files.write(job.folder / item.file, chunks)
    except BadInputError as error:
        raise BadInputError(error.fault, path=path, remedy=error.remedy) from None
    return Shard(
        file=item.file,
        subject=item.scan.subject,
        session=item.scan.session,
        contrast=item.scan.modality,
        split=item.split,
        fold=item.fold,
        kind=kind,
        records=written.records,
        height=height,
        width=width,
        slice_height=pairs.images.shape[1],
        slice_width=pairs.images.shape[2],
        slices=len(indices),
        plane=item.plane,
        spacing=volume.spacing,
        filled=(round(filled.rows, 4), round(filled.columns, 4)),
        scale=pairs.scale,
        source=path.name,
        source_sha256=volume.sha256,
        bytes=written.bytes,
        sha256=written.sha256,
    )


def slice_records(pairs: SlicePairs, indices: np.ndarray) -> Iterator[list[Record]]:
    """Whole slices as records, for validation and test."""
    for low, high, chosen in _encoded(pairs, indices):
        yield [
            Record(low[n].tobytes(), high[n].tobytes(), int(index), 0, 0)
            for n, index in enumerate(chosen)
        ]


def patch_records(
    pairs: SlicePairs, indices: np.ndarray, size: int, min_signal: float = 0.0
) -> Iterator[list[Record]]:
    """Patches as records, for training; dark ones are left out where ``min_signal`` asks for it.

    Raises:
        BadInputError: The slices are smaller than one patch.
    """
    where = origins((pairs.images.shape[1], pairs.images.shape[2]), size)
    floor = encode(np.array(min_signal))
    for low, high, chosen in _encoded(pairs, indices):
        low_patches, _ = cut(low, size)
        high_patches, _ = cut(high, size)
        yield [
            Record(low_patches[m][n].tobytes(), high_patches[m][n].tobytes(), int(index), row, col)
            for n, index in enumerate(chosen)
            for m, (row, col) in enumerate(where.tolist())
            if not min_signal or high_patches[m][n].max() >= floor
        ]


def _encoded(
    pairs: SlicePairs, indices: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """LR codes, HR codes and slice indices, a few slices at a time."""
    for start in range(0, len(indices), CHUNK):
        chosen = indices[start : start + CHUNK]
        low, high = pairs.at(chosen)
        yield encode(low), encode(high), chosen
