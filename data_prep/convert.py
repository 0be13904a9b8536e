"""What a worker does: one scan in, its shard out. Needs no TensorFlow."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_prep import shards
from data_prep.errors import BadInputError
from data_prep.pairs import SlicePairs, slice_pairs
from data_prep.plan import Item
from data_prep.schema import Kind, Parameters, Shard
from data_prep.sources import Scan, Volume, read


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
    volume = read(Scan(subject=item.subject, session=item.session, path=item.scan), parameters)
    pairs = slice_pairs(volume, parameters)
    count, height, width = pairs.images.shape
    indices = np.arange(count) if item.indices is None else np.asarray(item.indices, np.int64)
    try:
        if item.split == "train":
            kind: Kind = "patches"
            size = parameters.patch_size
            chunks = shards.patch_records(pairs, indices, size, parameters.min_signal)
            height = width = size
        else:
            kind = "slices"
            chunks = shards.slice_records(pairs, indices)
        written = shards.write(job.folder / item.file, chunks)
    except BadInputError as error:
        raise BadInputError(error.fault, path=item.scan, remedy=error.remedy) from None
    return _entry(item, volume, pairs, written, (kind, height, width, len(indices)))


def _entry(
    item: Item,
    volume: Volume,
    pairs: SlicePairs,
    written: shards.Written,
    form: tuple[Kind, int, int, int],
) -> Shard:
    kind, height, width, count = form
    return Shard(
        file=item.file,
        subject=item.subject,
        session=item.session,
        split=item.split,
        fold=item.fold,
        kind=kind,
        records=written.records,
        height=height,
        width=width,
        slice_height=pairs.images.shape[1],
        slice_width=pairs.images.shape[2],
        slices=count,
        plane=pairs.plane,
        spacing=pairs.spacing,
        scale=pairs.scale,
        source=item.scan.name,
        source_sha256=volume.sha256,
        bytes=written.bytes,
        sha256=written.sha256,
    )
