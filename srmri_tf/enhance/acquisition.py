"""How a scan was acquired, as its BIDS sidecars say: what is still true of the enhanced one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.scans import nifti
from data_prep.scans.choosing import entities_of, read_sidecar

_FIELDS = frozenset(
    """
    Manufacturer ManufacturersModelName DeviceSerialNumber StationName SoftwareVersions
    MagneticFieldStrength ReceiveCoilName ReceiveCoilActiveElements NumberReceiveCoilActiveElements
    GradientSetType MRTransmitCoilSequence MatrixCoilMode CoilCombinationMethod
    NumberTransmitCoilActiveElements TablePosition
    InstitutionName InstitutionAddress InstitutionalDepartmentName
    PulseSequenceType ScanningSequence SequenceVariant ScanOptions SequenceName
    PulseSequenceDetails NonlinearGradientCorrection MRAcquisitionType MTState MTOffsetFrequency
    MTPulseBandwidth MTNumberOfPulses MTPulseShape MTPulseDuration SpoilingState SpoilingType
    SpoilingRFPhaseIncrement SpoilingGradientMoment SpoilingGradientDuration WaterSuppression
    WaterSuppressionTechnique B0ShimmingTechnique B1ShimmingTechnique
    ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane ParallelAcquisitionTechnique
    PartialFourier PartialFourierDirection PhaseEncodingDirection SliceEncodingDirection
    MultibandAccelerationFactor
    EchoTime InversionTime RepetitionTime RepetitionTimeExcitation RepetitionTimePreparation
    DwellTime FlipAngle EchoTrainLength PixelBandwidth SliceThickness SpacingBetweenSlices
    ContrastBolusIngredient BodyPart BodyPartDetails
    """.split()  # noqa: SIM905
)
"""BIDS' fields of scanner, sequence and timing. Not those of the grid, such as AcquisitionMatrixPE,
which has changed, nor whatever else a sidecar holds, such as a person's name."""


def acquisition_of(scan: Path, dataset: Path | None) -> dict[str, Any]:
    """The fields of a scan's sidecars that hold for its enhanced version, too.

    ``SkullStripped`` is there always, as BIDS derivatives must say it: what the scan's sidecar
    says, else false, since `enhance` strips nothing.

    Args:
        scan: The file.
        dataset: The BIDS data set that it lies in, whose sidecars it inherits; None outside of one.
    """
    said: dict[str, Any] = {}
    for sidecar in _sidecars(scan, dataset):
        said |= read_sidecar(sidecar) or {}
    carried = {key: value for key, value in said.items() if key in _FIELDS and _is_json(value)}
    return {**carried, "SkullStripped": said.get("SkullStripped") is True}


def _sidecars(scan: Path, dataset: Path | None) -> Iterator[Path]:
    """The scan's sidecars by BIDS' inheritance principle; what a later one says counts."""
    if dataset is not None and scan.is_relative_to(dataset):
        name = nifti.stem(scan)
        entities, suffix = entities_of(name).items(), name.rpartition("_")[2]
        for folder in reversed([p for p in scan.parents if p.is_relative_to(dataset)]):
            inherited = [
                path
                for path in folder.glob("*.json")
                if path.stem.rpartition("_")[2] == suffix
                and entities_of(path.stem).items() <= entities
            ]
            yield from sorted(inherited, key=lambda path: (len(entities_of(path.stem)), path))
    yield scan


def _is_json(value: Any) -> bool:
    """Whether a value can be written again: Python reads NaN, which is no JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
