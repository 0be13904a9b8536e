"""Verified shards -> pairs for training and whole slices for measuring.

The order of training pairs is a pure function of (seed, epoch), so a run that was interrupted sees
what it would have seen.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans.contrast import normal
from data_prep.shards.files import records, verify, whole_slices
from data_prep.shards.patches import evenly_spaced
from data_prep.shards.schema import CODE_SCALE, CODE_ZERO, Manifest, Shard, Split
from srmri_tf.data.augmentation import UNCHANGED, augmented
from srmri_tf.data.pairing import Pairing
from srmri_tf.recipes.config import Augmentation, ValidationFold

LEAST_SIDE = 11
"""The smallest side of slices that SSIM's window fits into."""

_FEATURES = {name: tf.io.FixedLenFeature([], tf.string) for name in ("lr", "hr")}


@dataclass(frozen=True)
class SlicePair:
    """One slice as the network will see it, and the truth.

    Args:
        subject: Subject label.
        session: Session label, empty if there is none; the shard's name where scans share one.
        index: Index of the slice in its volume.
        lr: (H, W) float32, low resolution.
        hr: (H, W) float32 in [0, 1].
        spacing: Of rows and of columns in mm.
    """

    subject: str
    session: str
    index: int
    lr: np.ndarray
    hr: np.ndarray
    spacing: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Shards:
    """A shard folder whose every byte has been checked against its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(
        cls,
        folder: str | Path,
        fold: int | None = None,
        validation: ValidationFold = "next",
        contrast: str = "",
    ) -> "Shards":
        """Check the folder and return it.

        Args:
            folder: What `srmri-tf prepare` wrote.
            fold: Test on this fold, train on the rest; None takes the split the folder was
                prepared with.
            validation: ``next`` validates on the fold after the tested one if a third is left to
                train on, ``none`` trains on it, too.
            contrast: Test on the scans of this contrast only, such as ``T2``; empty for all.

        Raises:
            ConfigError: There is no such fold.
            BadInputError: The folder is not one of shards, or of another schema version, or no
                test scan is of that contrast.
            CorruptArtefactError: A shard is missing, foreign, cut, or differs in a single bit.
        """
        manifest = verify(Path(folder))
        if fold is not None:
            manifest = _of_fold(manifest, fold, validation, Path(folder))
        if contrast:
            manifest = _of_contrast(manifest, contrast, Path(folder))
        return cls(Path(folder), manifest)

    def training(self) -> tuple[Shard, ...]:
        """The patch shards of the training split.

        Raises:
            BadInputError: There are none, or their patches differ in size.
        """
        shards = tuple(s for s in self.manifest.of("train") if s.records)
        if not shards:
            raise BadInputError(
                "has no training patches",
                path=self.folder,
                remedy="Prepare with --val-fraction and --test-fraction that leave some subjects",
            )
        sizes = {(s.height, s.width) for s in shards}
        if len(sizes) > 1:
            raise BadInputError(
                f"mixes patches of sizes {sorted(sizes)}",
                path=self.folder,
                remedy="Prepare all scans in one go",
            )
        return shards

    def records(self) -> int:
        """Number of training pairs."""
        return sum(shard.records for shard in self.training())

    def steps(self, batch: int, at_most: int = 0) -> int:
        """Batches in an epoch of training pairs; at most so many, unless 0.

        Raises:
            ConfigError: There are fewer pairs than a batch takes.
        """
        if steps := self.records() // batch:
            return min(steps, at_most or steps)
        raise ConfigError(
            f"one step takes {batch} pairs, but there are only {self.records()}",
            path=self.folder,
            remedy="Choose a smaller --batch-size or prepare more scans",
        )

    def pairing(self, share: float = 1.0) -> Pairing:
        """The training records, of a fraction ``share`` of whose slices the pairs are known.

        Raises:
            BadInputError: Too few subjects or slices for such a share.
        """
        return Pairing.of(self.folder, self.training(), share)

    def pairs(
        self,
        batch: int,
        seed: int,
        epochs: range,
        *,
        max_steps: int = 0,
        augmentation: Augmentation = UNCHANGED,
        paired_share: float = 1.0,
        known_only: bool = False,
    ) -> tuple[tf.data.Dataset, int]:
        """Shuffled training pairs of several epochs, one after the other.

        Args:
            batch: Pairs per element.
            seed: With the epoch, decides the order.
            epochs: The 0-based epochs to run through.
            max_steps: At most so many batches of each epoch; 0 takes all.
            augmentation: How pairs are changed at random.
            paired_share: The fraction of slices whose pairs are known (`srmri_tf.data.pairing`).
            known_only: Of these, take only known pairs, as often as it takes to fill the epoch;
                without effect if none is known.

        Returns:
            A dataset of ((B, h, w, 1), (B, h, w, 1)) float32 pairs (lr, hr), and its elements per
            epoch. What does not fill a batch is left out until the next epoch's other order. Where
            samples may be no pair, elements are (lr, hr, paired) with paired (B,) float32: 1 where
            lr and hr are a pair, 0 where they are of different subjects.

        Raises:
            ConfigError: There are fewer pairs than a batch takes.
            BadInputError: Too few subjects or slices for such a share.
        """
        steps = self.steps(batch, max_steps)
        first = self.training()[0]
        shape = (first.height, first.width)
        pairing = self.pairing(paired_share)
        data = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(
            lambda epoch: _parsed(pairing.epoch(seed, epoch, batch, known_only), shape).take(steps)
        )
        if augmentation != UNCHANGED:
            data = data.enumerate(start=epochs.start * steps).map(
                functools.partial(augmented, seed, augmentation),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return data.with_options(options).prefetch(tf.data.AUTOTUNE), steps

    def slices(self, split: Split) -> Iterator[SlicePair]:
        """Whole slices of one split, in manifest order; patches are put together again."""
        shards = self.manifest.of(split)
        scans = Counter((shard.subject, shard.session) for shard in shards)
        for shard in shards:
            alone = scans[shard.subject, shard.session] == 1
            session = shard.session if alone else Path(shard.file).stem
            for index, lr, hr in whole_slices(self.folder, shard):
                yield SlicePair(shard.subject, session, index, lr, hr, shard.spacing[:2])

    def some_slices(self, split: Split, at_most: int) -> list[SlicePair]:
        """At most so many slices of a split, evenly spaced; 0 takes all."""
        if not at_most:
            return list(self.slices(split))
        total = sum(self._stored_slices(shard) for shard in self.manifest.of(split))
        wanted = set(evenly_spaced(total, at_most))
        return [pair for i, pair in enumerate(self.slices(split)) if i in wanted]

    def _stored_slices(self, shard: Shard) -> int:
        """How many slices of a shard have records: `min_signal` may leave one without patches."""
        if shard.kind == "slices" or not self.manifest.parameters.min_signal:
            return shard.slices
        return len({record.slice for record in records(self.folder / shard.file)})


def refuse_small(
    folder: Path, shards: Iterable[Shard], least: int = LEAST_SIDE, measure: str = "SSIM"
) -> None:
    """Refuse shards whose slices are too small to be measured.

    Args:
        folder: Of the shards.
        shards: Those that will be measured.
        least: Pixels a side that the measure takes.
        measure: Its name.

    Raises:
        BadInputError: A side is shorter.
    """
    for shard in shards:
        if min(shard.slice_height, shard.slice_width) < least:
            raise BadInputError(
                f"has slices of {shard.slice_height} x {shard.slice_width}, but {measure} needs "
                f"at least {least} pixels a side",
                path=folder / shard.file,
                remedy="Leave this scan out",
            )


def _of_contrast(manifest: Manifest, contrast: str, folder: Path) -> Manifest:
    """The manifest without test scans of other contrasts."""
    wanted = normal(contrast)
    kept = [s for s in manifest.shards if s.split != "test" or s.contrast == wanted]
    if not any(shard.split == "test" for shard in kept):
        found = sorted({shard.contrast or "unknown" for shard in manifest.of("test")})
        raise BadInputError(
            f"has no test scan of contrast {contrast}, but of {', '.join(found) or 'none'}",
            path=folder,
            remedy="Check --contrast; shards made before do not say theirs",
        )
    return manifest.model_copy(update={"shards": tuple(kept)})


def _of_fold(manifest: Manifest, fold: int, validation: ValidationFold, folder: Path) -> Manifest:
    """The manifest with the splits of one fold: it is tested, and the next one may validate.

    Subjects outside the folds train, or are left out if they were put aside for something else.
    """
    folds = manifest.split_rule.folds
    if fold >= folds:
        raise ConfigError(
            f"has no fold {fold}: it was prepared with {folds or 'no'} folds, counted from 0",
            path=folder,
            remedy="Prepare the scans with --folds, or choose another fold",
        )
    splits: dict[int | None, Split] = {fold: "test"}
    if validation == "next" and folds > 2:
        splits[(fold + 1) % folds] = "val"
    shards = [
        shard.model_copy(update={"split": splits.get(shard.fold, "train")})
        for shard in manifest.shards
        if shard.fold is not None or shard.split == "train"
    ]
    return manifest.model_copy(update={"shards": tuple(shards)})


def _parsed(samples: tf.data.Dataset, shape: tuple[int, int]) -> tf.data.Dataset:
    """Images of the records of `Pairing.epoch`."""
    parse = _parse if isinstance(samples.element_spec, tf.TensorSpec) else _parse_apart
    # Parsing a whole batch at once is twice as fast as parsing records one by one.
    return samples.map(functools.partial(parse, shape), num_parallel_calls=tf.data.AUTOTUNE)


def _parse(shape: tuple[int, int], records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    parsed = tf.io.parse_example(records, _FEATURES)
    return _intensities(parsed["lr"], shape), _intensities(parsed["hr"], shape)


def _parse_apart(
    shape: tuple[int, int], x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    lr = tf.io.parse_example(x, {"lr": _FEATURES["lr"]})["lr"]
    hr = tf.io.parse_example(y, {"hr": _FEATURES["hr"]})["hr"]
    return _intensities(lr, shape), _intensities(hr, shape), paired


def _intensities(images: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    codes = tf.reshape(tf.io.decode_raw(images, tf.uint16), [-1, *shape, 1])
    return (tf.cast(codes, tf.float32) - CODE_ZERO) / CODE_SCALE
