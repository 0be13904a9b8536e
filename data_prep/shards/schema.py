"""The record and the manifest: the one contract between data_prep and srmri_tf.

A shard folder holds one TFRecord file per scan and ``manifest.json``. Each record is one pair:

======== ======== ==================================================================
feature  type     content
======== ======== ==================================================================
``lr``   bytes    low-resolution pixels, little-endian uint16 codes, row-major
``hr``   bytes    high-resolution pixels, the same
``slice`` int64   index of the slice in its volume
``row``  int64    first row of the patch in its slice (0 for whole slices)
``col``  int64    first column of the patch in its slice (0 for whole slices)
======== ======== ==================================================================

A code c stands for the intensity (c - 8192) / 32768: zero and one are exact, and the range
[-0.25, 1.75) leaves room for the ringing that truncated k-space adds to a volume in [0, 1].
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.files import SEAL, file_sha256, is_as_sealed, sealed
from data_prep.kspace import Degradation

SCHEMA_VERSION: Final = 1
MANIFEST_NAME = "manifest.json"
_RESTORE = "Restore it, or check what you changed with `srmri-tf verify --reseal FOLDER`"
CODE_ZERO = 8192
CODE_SCALE = 32768

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
# As in `orientation`, which takes a quarter of a second to import; mypy compares them.
Plane = Literal["sagittal", "coronal", "axial", "acquired"]
Kind = Literal["patches", "slices"]


def encode(intensities: np.ndarray) -> np.ndarray:
    """Turn intensities into uint16 codes, saturating outside [-0.25, 1.75).

    Args:
        intensities: Any shape, float, nominally in [0, 1].

    Examples:
        >>> encode(np.array([0.0, 1.0, 5.0])).tolist()
        [8192, 40960, 65535]
    """
    codes = np.asarray(intensities, np.float32) * np.float32(CODE_SCALE)
    codes = np.rint(codes, out=np.asarray(codes))
    codes += CODE_ZERO
    return np.clip(codes, 0, 65535, out=codes).astype("<u2")


def decode(codes: np.ndarray) -> np.ndarray:
    """Turn uint16 codes back into float32 intensities (the inverse of `encode` to 1.6e-5)."""
    return (codes.astype(np.float32) - CODE_ZERO) / CODE_SCALE


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(_Frozen):
    """Everything that decides what is in the shards, apart from the scans themselves.

    Args:
        degradation: The k-space truncation.
        patch_size: Side of a training patch in pixels.
        plane: Which plane every scan is cut along; ``auto`` finds it
            (`data_prep.scans.orientation`).
        fastmri: What of single-coil fastMRI files is used: the measured ``kspace``, in which
            the degradation then acts, or the root-sum-of-squares images, ``rss``.
        matrix: ``stored``, or ``acquired``: k-space is cropped to what was measured
            (`data_prep.scans.coverage`) before anything else.
        volume: Which volume is taken of a series of volumes, counted from 0; None refuses series.
        min_signal: Training patches whose brightest HR pixel is below this fraction of the
            volume's maximum are left out; 0 keeps every patch, as the paper does.
        max_slices: At most so many slices of each training scan, evenly spaced; 0 takes all. With
            folds every scan trains, and is tested on the same slices.
    """

    degradation: Degradation = Degradation()
    patch_size: int = Field(64, ge=9)
    plane: Literal["auto", "sagittal", "coronal", "axial"] = "auto"
    fastmri: Literal["kspace", "rss"] = "kspace"
    matrix: Literal["stored", "acquired"] = "stored"
    volume: int | None = Field(None, ge=0)
    min_signal: float = Field(0.0, ge=0, lt=1)
    max_slices: int = Field(0, ge=0)


class SplitRule(_Frozen):
    """How subjects (or slices) were dealt to the splits.

    Args:
        by: ``subject``: no subject is ever in two splits. ``slice``: slices are dealt one by one,
            as the paper's 8,000 / 955; slices of one subject are then on both sides.
        val_fraction: Fraction of the subjects (or slices) for validation.
        test_fraction: Fraction for testing.
        train_count: Exact number for training, the rest is left out; None takes all that remain.
        val_count: Exact number for validation, instead of the fraction.
        test_count: Exact number for testing, instead of the fraction.
        folds: Number of cross-validation folds, 0 for none. With folds every subject is stored
            as patches of split ``train``, and the reader picks the fold to test on.
        seed: Seed of the order in which they are dealt.
        file: Name of the TSV file that decided instead, empty if none did.
    """

    by: Literal["subject", "slice"] = "subject"
    val_fraction: float = Field(0.1, ge=0, le=1)
    test_fraction: float = Field(0.1, ge=0, le=1)
    train_count: int | None = Field(None, ge=0)
    val_count: int | None = Field(None, ge=0)
    test_count: int | None = Field(None, ge=0)
    folds: int = Field(0, ge=0)
    seed: int = 0
    file: str = ""

    @model_validator(mode="after")
    def _is_possible(self) -> "SplitRule":
        if found := list(self._conflicts()):
            raise ValueError("; ".join(found))
        return self

    def _conflicts(self) -> Iterator[str]:
        """What cannot be, a clause each."""
        if self.val_fraction + self.test_fraction > 1 + 1e-9:
            yield (
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} "
                "are more than 1 together"
            )
        if self.folds == 1 and not self.file:
            yield "folds must be 0 for none, or at least 2; 1 in a table alone"
        if self.by == "slice" and (self.folds or self.file):
            yield "a slice-wise split takes neither folds nor a table"


class Shard(_Frozen):
    """One TFRecord file: every record has the same ``height`` x ``width``.

    Args:
        file: Name inside the shard folder.
        subject: Subject label; no subject is in two splits unless the split is slice-wise.
        session: Session label, empty if there is none.
        contrast: ``T1``, ``T2``, ...; empty if it is unknown, and in folders made before.
        split: Which split the shard was prepared for.
        fold: Cross-validation fold of the subject, None without folds.
        kind: ``patches`` for training, or whole ``slices``.
        records: Number of records.
        height: Rows of one record's image, in pixels.
        width: Columns of one record's image, in pixels.
        slice_height: Rows of the slice the records come from.
        slice_width: Columns of that slice.
        slices: Number of distinct slices in the shard.
        plane: The plane the slices lie in; ``acquired`` where the file does not say.
        spacing: Row, column and slice spacing in mm, of the slices that the records come from.
        filled: How far k-space of the scan as it is stored is filled along rows and columns, as
            fractions of Nyquist; None in shards of version 0.2 and before.
        scale: The intensity that became 1, in the scan's own units.
        source: Name of the scan file.
        source_sha256: SHA-256 of the scan file.
        bytes: Size of the shard file.
        sha256: SHA-256 of the shard file.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9._+-]+$")
    subject: str
    session: str = ""
    contrast: str = ""
    split: Split
    fold: int | None = Field(None, ge=0)
    kind: Kind
    records: int = Field(ge=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    slice_height: int = Field(gt=0)
    slice_width: int = Field(gt=0)
    slices: int = Field(gt=0)
    plane: Plane
    spacing: tuple[float, float, float]
    filled: tuple[float, float] | None = None
    scale: float = Field(gt=0)
    source: str
    source_sha256: str
    bytes: int = Field(ge=0)
    sha256: str


class LeftOutFile(_Frozen):
    """A file that was found beside the scans and not used.

    Args:
        file: Its name.
        reason: What it is instead of a scan to be used, such as ``mask``.
    """

    file: str
    reason: str


class Manifest(_Frozen):
    """What a shard folder holds and how it was made.

    Args:
        schema_version: Of this description.
        software: What made the shards.
        parameters: What they hold.
        split_rule: How subjects were dealt to splits.
        shards: In the order of their scans.
        left_out: Files that were found beside the scans; empty in folders made before.
    """

    schema_version: Literal[1] = 1
    software: str
    parameters: Parameters
    split_rule: SplitRule = SplitRule()
    shards: tuple[Shard, ...]
    left_out: tuple[LeftOutFile, ...] = ()

    def of(self, split: Split) -> tuple[Shard, ...]:
        """The shards prepared for one split, in manifest order."""
        return tuple(shard for shard in self.shards if shard.split == split)

    @property
    def contrasts(self) -> dict[str, int]:
        """How many scans there are of each contrast; an empty name is an unknown one."""
        scans = {(shard.source, shard.source_sha256): shard.contrast for shard in self.shards}
        return dict(sorted(Counter(scans.values()).items()))

    def subjects(self, split: Split) -> list[str]:
        """The sorted subject labels of one split."""
        return sorted({shard.subject for shard in self.of(split)})

    def scans(self, split: Split) -> list[str]:
        """The sorted SHA-256 of the scan files of one split."""
        return sorted({shard.source_sha256 for shard in self.of(split)})


def manifest_sha256(folder: Path) -> str:
    """What tells the shards of a folder from all others: its manifest has every checksum."""
    return file_sha256(Path(folder) / MANIFEST_NAME)


def manifest_text(manifest: Manifest) -> str:
    """What the file holds: the manifest, and the checksum of all of it."""
    return json.dumps(sealed(manifest.model_dump(mode="json")), indent=1) + "\n"


def read_manifest(folder: Path, *, edited: bool = False) -> Manifest:
    """Read and validate the manifest of a shard folder.

    Args:
        folder: Of shards.
        edited: Take one that was changed by hand; else it must be as it was written. Those of
            before version 0.2 have no checksum.

    Raises:
        BadInputError: There is no manifest, or it is of another schema version.
        CorruptArtefactError: The manifest cannot be understood, or was changed.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise BadInputError(
            f"is not a folder of shards: it has no {MANIFEST_NAME}",
            path=folder,
            remedy="Make one with `srmri-tf prepare SCANS -o FOLDER`",
        ) from None
    except OSError as error:
        raise BadInputError(
            f"cannot be read: {error.strerror}", path=path, remedy="Prepare the scans again"
        ) from None
    except UnicodeDecodeError as error:
        raise CorruptArtefactError(
            f"is not UTF-8 text ({error})", path=path, remedy="Prepare the scans again"
        ) from None
    try:
        raw = json.loads(text)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version != SCHEMA_VERSION:
            raise BadInputError(
                f"has schema version {version}, but this software reads {SCHEMA_VERSION}",
                path=path,
                remedy="Prepare the scans again with this version",
            )
        if isinstance(raw, dict):
            if not (edited or is_as_sealed(raw)):
                raise CorruptArtefactError(
                    "was changed after it was written", path=path, remedy=_RESTORE
                )
            raw.pop(SEAL, None)
        return Manifest.model_validate_json(json.dumps(raw))
    except (json.JSONDecodeError, ValidationError) as error:
        first_line = str(error).replace("\n", "; ")[:300]
        raise CorruptArtefactError(
            f"is not a valid manifest ({first_line})",
            path=path,
            remedy="Prepare the scans again",
        ) from None
