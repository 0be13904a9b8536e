"""Where a NIfTI header puts its voxels, and what is believed of a header that contradicts itself.

The order is nibabel's: the sform, else the qform, else the voxel sizes alone; each only where its
code is set and it can be used. docs/data.md has the whole of it as a table.
"""

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.quaternions import fillpositive, quat2mat

from data_prep.errors import BadInputError
from data_prep.scans.orientation import TIE, odd_one_out

_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metres, millimetres, micrometres
_LONGER = 0.005  # than 1 may a quaternion be: headers round
_APART = 0.1  # of a voxel: two forms further apart are not one place written twice
_SMALLEST, _LARGEST = 1e-7, 1e7  # voxel sizes: 0.1 um in metres, 10 m in micrometres
_FLAT = 1e-6  # of a box's volume: axes so close to a plane differ from it by rounding
_REMEDY = "Export the scan again"


@dataclass(frozen=True, eq=False)
class Placement:
    """Where voxels lie.

    Args:
        affine: ``(4, 4)`` float64, voxel indices to RAS+ mm.
        header: The header without what was not believed.
        doubts: What contradicts itself and what was believed, a clause each.
    """

    affine: np.ndarray
    header: nib.Nifti1Header
    doubts: tuple[str, ...] = field(default=())


def place(header: nib.Nifti1Header, shape: tuple[int, int, int], path: Path) -> Placement:
    """Decide where a header's voxels lie.

    Args:
        header: As the file has it.
        shape: The matrix.
        path: Named in errors.

    Raises:
        BadInputError: Voxel sizes are missing and no orientation has them, or an orientation is
            promised and none can be used.
    """
    believed = header.copy()
    doubts: list[str] = []
    sizes = _voxel_sizes(believed, doubts, path)
    forms, faults = _forms(believed, doubts)
    for bad, fault in faults.items():
        believed[f"{bad}_code"] = 0
        if not forms:
            raise BadInputError(
                f"has an orientation that cannot be used: its {bad} {fault}",
                path=path,
                remedy=_REMEDY,
            )
    if not forms and not _are_possible(sizes):
        raise _impossible(sizes, path)
    name, affine = next(iter(forms.items())) if forms else ("", believed.get_base_affine())
    doubts += [f"has a {bad} that {fault}; its {name} is used" for bad, fault in faults.items()]
    doubts += _differences(forms, believed, shape)
    found = voxel_sizes(affine)
    if not np.allclose(sizes, found, rtol=TIE):
        doubts.append(
            f"has voxels of {_by(sizes)} mm in pixdim, but of {_by(found)} mm in its {name}, "
            "which is used"
        )
        believed["pixdim"][1:4] = np.where(sizes > 0, sizes, found)
    doubts += _slice_axis_doubt(header, found)
    scale = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return Placement(np.diag([scale, scale, scale, 1.0]) @ affine, believed, tuple(doubts))


def slice_axis(header: nib.Nifti1Header) -> int | None:
    """The stored axis that ``dim_info`` says slices are stacked along; None if it does not say.

    Nor is it believed where it gives that axis another role too.
    """
    frequency, phase, stacked = header.get_dim_info()
    return None if stacked in (frequency, phase) else stacked


def _voxel_sizes(header: nib.Nifti1Header, doubts: list[str], path: Path) -> np.ndarray:
    """The voxel sizes in ``pixdim`` without their signs, which the header loses, too.

    Raises:
        BadInputError: One is not finite.
    """
    given = np.asarray(header["pixdim"][1:4], np.float64)
    if not np.isfinite(given).all():
        raise _impossible(given, path)
    if (given < 0).any():
        doubts.append(f"has negative voxel sizes, {_by(given)} mm; their absolute values are used")
        header["pixdim"][1:4] = np.abs(given)
    return np.abs(given)


def _forms(
    header: nib.Nifti1Header, doubts: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The affines that can be used, in the order they are believed, and the others' faults."""
    affines: dict[str, np.ndarray] = {}
    if header["sform_code"] > 0:
        affines["sform"] = np.asarray(header.get_sform(), np.float64)
    if header["qform_code"] > 0:
        affines["qform"] = _qform(header, doubts)
    faults = {name: fault for name, affine in affines.items() if (fault := affine_fault(affine))}
    return {name: affines[name] for name in affines if name not in faults}, faults


def affine_fault(affine: np.ndarray) -> str:
    """Why an affine ``(4, 4)`` cannot be used, empty if it can."""
    if not np.isfinite(affine).all():
        return "has values that are no numbers"
    if not affine[:3, :3].any():
        return "is zero"
    with np.errstate(over="ignore"):
        sizes = voxel_sizes(affine)
    if not _are_possible(sizes):
        return f"has impossible voxel sizes, got {_by(sizes)}"
    if abs(np.linalg.det(affine[:3, :3])) <= _FLAT * sizes.prod():
        return "maps the volume onto a plane"
    return ""


def _are_possible(sizes: np.ndarray) -> bool:
    """Whether voxels may be of these sizes, in any unit."""
    return bool(((sizes >= _SMALLEST) & (sizes <= _LARGEST)).all())


def _qform(header: nib.Nifti1Header, doubts: list[str]) -> np.ndarray:
    """The affine of the qform, NaN where its quaternion is none.

    As the NIfTI library does, a quaternion that rounding has made too long is shortened, and of
    ``pixdim[0]`` only the sign counts. The header is given both.
    """
    affine = np.full((4, 4), np.nan)
    names = ["quatern_b", "quatern_c", "quatern_d"]
    vector = np.array([header[name] for name in names], np.float64)
    length = float(np.linalg.norm(vector))
    if not length <= 1 + _LONGER:  # nor NaN
        return affine
    if length**2 > 1 + header.quaternion_threshold:
        doubts.append(
            f"has a quaternion of length {length:.7g} in its qform; it is taken for one of length 1"
        )
        vector /= length
        for name, value in zip(names, vector, strict=True):
            header[name] = value
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    steps = np.asarray(header["pixdim"][1:4], np.float64) * (1, 1, header["pixdim"][0])
    turn = quat2mat(fillpositive(vector, header.quaternion_threshold))
    affine = np.eye(4)
    affine[:3, :3] = turn * steps
    affine[:3, 3] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    return affine


def _differences(
    forms: dict[str, np.ndarray], header: nib.Nifti1Header, shape: tuple[int, int, int]
) -> list[str]:
    """In what two usable forms contradict each other.

    Under different codes they are in different spaces, so that only voxel sizes and the axes'
    directions can be compared.
    """
    if len(forms) < 2:
        return []
    sform, qform = forms["sform"], forms["qform"]
    corners = list(product(*((0, length - 1) for length in shape)))
    apart = np.linalg.norm(apply_affine(sform, corners) - apply_affine(qform, corners), axis=1)
    sizes = [voxel_sizes(form) for form in (sform, qform)]
    axes = ["".join(nib.aff2axcodes(form)) for form in (sform, qform)]
    same_space = header["sform_code"] == header["qform_code"]
    alike = axes[0] == axes[1] and np.allclose(sizes[0], sizes[1], rtol=TIE)
    if alike and (not same_space or apart.max() <= _APART * sizes[0].min()):
        return []
    described = [f"{_by(size)} mm, {axis}" for size, axis in zip(sizes, axes, strict=True)]
    return [
        f"has a sform ({described[0]}) and a qform ({described[1]}) that place its voxels up to "
        f"{apart.max():.3g} mm apart; the sform is used"
    ]


def _slice_axis_doubt(header: nib.Nifti1Header, sizes: np.ndarray) -> list[str]:
    """What the spacing says of the slices, where that is not what ``dim_info`` says."""
    named, odd = slice_axis(header), odd_one_out(sizes)
    if named is None or odd is None or named == odd:
        return []
    return [
        f"says in dim_info that slices are stacked along its axis {named + 1}, but its voxels of "
        f"{_by(sizes)} mm look stacked along axis {odd + 1}; dim_info is believed, unless there "
        "is a --plane"
    ]


def _impossible(sizes: np.ndarray, path: Path) -> BadInputError:
    return BadInputError(
        f"has impossible voxel sizes, got {_by(sizes)} mm", path=path, remedy=_REMEDY
    )


def _by(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:.6g}" for size in sizes)
