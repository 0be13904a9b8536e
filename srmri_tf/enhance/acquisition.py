"""How a scan was acquired, as its BIDS sidecars say: what is still true of the enhanced one."""

import json
from pathlib import Path
from typing import Any

from data_prep.scans.sidecars import metadata_of

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


def acquisition_of(scan: Path) -> dict[str, Any]:
    """The fields of a scan's sidecars that hold for its enhanced version, too.

    ``SkullStripped`` is there always, as BIDS derivatives must say it: what the scan's sidecar
    says, else false, since `enhance` strips nothing.
    """
    said = metadata_of(scan)
    carried = {key: value for key, value in said.items() if key in _FIELDS and _is_json(value)}
    return {**carried, "SkullStripped": said.get("SkullStripped") is True}


def _is_json(value: Any) -> bool:
    """Whether a value can be written again: Python reads NaN, which is no JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
