"""Which low-resolution image meets which high-resolution one, and in which order.

Everything is a pure function of (seed, epoch), and a record is a serialised pair of one patch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_prep.errors import BadInputError
from data_prep.shards.schema import Shard

SHUFFLE_WINDOW = 8192
"""Records that are shuffled together: of 64x64 pixels, 134 MB; of larger ones as many bytes."""

_WINDOW_PIXELS = SHUFFLE_WINDOW * 64 * 64
_MANY = 1 << 32  # more windows than an epoch can have, and more than the largest seed
_CYCLE = 16
_SLICE = {"slice": tf.io.FixedLenFeature([], tf.int64)}


@dataclass(frozen=True)
class Pairing:
    """The records of a training split, and how far their pairs are known.

    Args:
        files: The shards' files.
        subjects: The subject of each.
        share: The fraction of slices whose pairs are known: 1 all, 0 none. They are spread evenly
            over what is stored of every volume and are the same in every epoch.
        known: If some are known, and not all: which slices of each file, in ascending order.
        apart: The sorted subjects that have records, of which some are of other slices.
        window: Records that are shuffled together.
    """

    files: tuple[str, ...]
    subjects: tuple[str, ...]
    share: float = 1.0
    known: tuple[tuple[int, ...], ...] = ()
    apart: tuple[str, ...] = ()
    window: int = SHUFFLE_WINDOW

    @classmethod
    def of(cls, folder: Path, shards: Sequence[Shard], share: float) -> "Pairing":
        """Check that shards can be paired, or kept apart, as asked.

        Raises:
            BadInputError: Fewer than two subjects, if any are to be kept apart; or no slice left to
                be paired.
        """
        files = [str(folder / shard.file) for shard in shards]
        pixels = max(shard.height * shard.width for shard in shards)
        window = max(1, min(SHUFFLE_WINDOW, _WINDOW_PIXELS // pixels))
        subjects = tuple(shard.subject for shard in shards)
        pairing = cls(tuple(files), subjects, share, window=window)
        if share == 1.0:
            return pairing
        # Of every volume the first slice that is stored has no known pair: see `is_paired`.
        apart = {shard.subject for shard in shards if shard.records}
        if len(apart) < 2:
            raise BadInputError(
                "has too few training subjects to train on unpaired images: low- and "
                "high-resolution ones are taken from different subjects, so it takes 2 with slices "
                "whose pair is not known, and there "
                f"{'is 1' if len(apart) == 1 else 'are none'}",
                path=folder,
                remedy="Prepare more subjects, train with --mode supervised, or, where a fold "
                "validates, let it train, too: --set validation.fold=none",
            )
        known = tuple(_known_slices(file, share) for file in files) if share else ()
        if share and not any(known):
            raise BadInputError(
                f"has too few slices for a fraction of {share} of them to be paired",
                path=folder,
                remedy="Give a larger --paired-fraction",
            )
        return replace(pairing, known=known, apart=tuple(sorted(apart)))

    def epoch(
        self, seed: int, epoch: tf.Tensor, batch: int, known_only: bool = False
    ) -> tf.data.Dataset:
        """The whole batches of an epoch, in its order.

        Args:
            seed: With the epoch, decides the order.
            epoch: 0-based, int64.
            batch: Samples per element.
            known_only: Leave out the samples that are no pair, unless none is.

        Returns:
            Records, if all pairs are known or only those that are were asked for. Else triples: the
            record of x, the record of y, and 1 if they are one and the same, 0 if they are of
            different subjects. Unless all pairs are known, without end.
        """
        state = tf.stack([tf.constant(seed, tf.int64), epoch * _MANY])
        if self.share == 1.0:
            windows = self._windows(tf.range(len(self.files)), state)
            # Cutting windows into batches copies half as often as taking them apart first.
            return windows.rebatch(batch, drop_remainder=True)
        known = self._windows(tf.range(len(self.files)), _stream(state, 3))
        if known_only and self.share:
            return known.repeat().rebatch(batch, drop_remainder=True)
        apart = self._apart(state).map(lambda x, y: (x, y, 0.0))
        if self.share == 0.0:
            return apart.batch(batch, drop_remainder=True)
        together = known.unbatch().repeat().map(lambda record: (record, record, 1.0))
        turns = tf.data.Dataset.counter().map(
            lambda sample: tf.cast(is_paired(sample, self.share), tf.int64)
        )
        mixed = tf.data.Dataset.choose_from_datasets([apart, together], turns)
        return mixed.batch(batch, drop_remainder=True)

    def _apart(self, state: tf.Tensor) -> tf.data.Dataset:
        """Pairs (record of x, record of y) of different subjects.

        The subjects that have unpaired slices are split at random into two halves, and a record of
        each half makes two samples: one's x with the other's y, and the other way round.
        """
        dealt = [(n, s) for n, s in enumerate(self.subjects) if s in self.apart]
        files = tf.constant([number for number, _ in dealt])
        of_file = tf.constant([self.apart.index(subject) for _, subject in dealt])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self.apart)), state)
        in_half = tf.reduce_any(of_file[:, None] == order[None, : len(self.apart) // 2], axis=1)
        halves = [
            self._windows(tf.boolean_mask(files, chosen), _stream(state, stream), paired=False)
            .unbatch()
            .repeat()
            for stream, chosen in ((1, in_half), (2, ~in_half))
        ]
        both = tf.data.Dataset.zip(tuple(halves))
        return both.map(lambda a, b: (tf.stack([a, b]), tf.stack([b, a]))).unbatch()

    def _windows(self, files: tf.Tensor, state: tf.Tensor, paired: bool = True) -> tf.data.Dataset:
        """The records of files, thousands at a time, in an order that follows from ``state``.

        Args:
            files: (F,) int32, which of the files.
            state: (2,) int64.
            paired: Keep the records of slices whose pairs are known, or the others'.
        """
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(files)), state)

        def read(file: tf.Tensor) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset(
                tf.gather(tf.constant(self.files), file), buffer_size=1 << 20
            )
            if not self.known:
                return records
            known = tf.ragged.constant(self.known, dtype=tf.int64, ragged_rank=1)[file]

            def told(some: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return some, tf.reduce_any(_slices(some)[:, None] == known[None, :], axis=1)

            return records.batch(64).map(told).unbatch()

        def shuffle(window: tf.Tensor, records: tf.Tensor | tuple[tf.Tensor, ...]) -> tf.Tensor:
            if self.known:
                records = tf.boolean_mask(records[0], records[1] == paired)
            window_state = state + tf.stack([tf.constant(0, tf.int64), window])
            return tf.random.experimental.stateless_shuffle(records, window_state)

        return (
            tf.data.Dataset.from_tensor_slices(tf.gather(files, order))
            .interleave(read, cycle_length=_CYCLE, block_length=16, num_parallel_calls=1)
            # Dataset.shuffle takes no seed that varies with the epoch; a stateless shuffle of
            # windows does, and leaves no state that a checkpoint would have to carry.
            .batch(self.window)
            .enumerate(start=1)
            .map(shuffle)
        )


def is_paired(index: tf.Tensor, share: float) -> tf.Tensor:
    """Whether the ``index``-th of many is among a fraction ``share`` of them, evenly spread."""
    done = tf.floor(tf.cast(index, tf.float64) * share)
    return tf.floor(tf.cast(index + 1, tf.float64) * share) > done


def _stream(state: tf.Tensor, number: int) -> tf.Tensor:
    """Another state for another stream of the same epoch."""
    return state + tf.constant([number * _MANY, 0], tf.int64)


def _slices(records: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_example(records, _SLICE)["slice"]


def _known_slices(file: str, share: float) -> tuple[int, ...]:
    """The slices of a file whose pairs are known, ascending: a share of those that it stores."""
    stored = _stored_slices(file, Path(file).stat().st_mtime_ns)
    return tuple(stored[is_paired(np.arange(len(stored)), share).numpy()].tolist())


@cache
def _stored_slices(file: str, changed: int) -> np.ndarray:
    """The slices that a file, last changed then, has records of; read once for all phases."""
    found = [_slices(records).numpy() for records in tf.data.TFRecordDataset(file).batch(1024)]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
