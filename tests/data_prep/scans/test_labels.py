"""Label images and statistical maps, told by what files hold."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from data_prep.scans.labels import FEW, no_scan
from tests.data_prep.malformed import CASES
from tests.data_prep.phantoms import affine, phantom, save


def labels(count=6):
    return np.minimum(phantom() / 1000 * count, count - 1).astype(np.int16)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_few_whole_values_are_labels(tmp_path, dtype, suffix):
    assert no_scan(save(tmp_path / f"a{suffix}", labels().astype(dtype))) == "label image"
    assert no_scan(save(tmp_path / f"b{suffix}", phantom().astype(dtype) / 4)) == ""


def test_values_that_are_not_whole_and_constants_are_no_labels(tmp_path):
    assert no_scan(save(tmp_path / "a.nii", labels() / np.float32(7))) == ""
    assert no_scan(save(tmp_path / "b.nii", np.ones((9, 9, 9), np.uint8))) == ""


def test_a_coarsely_quantised_scan_is_none_either(tmp_path):
    assert no_scan(save(tmp_path / "a.nii", labels(FEW + 8).astype(np.uint8))) == ""


@pytest.mark.parametrize(("code", "kind"), [(1002, "label image"), (4, "statistical map"), (0, "")])
def test_the_intent_code_is_believed(tmp_path, code, kind):
    image = nib.Nifti1Image(phantom(), affine())
    image.header["intent_code"] = code
    nib.save(image, tmp_path / "a.nii.gz")
    assert no_scan(tmp_path / "a.nii.gz") == kind


def test_voxels_far_behind_the_header_are_found(tmp_path):
    image = nib.Nifti1Image(labels(), affine())
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"x" * 3000))
    nib.save(image, tmp_path / "a.nii.gz")
    assert no_scan(tmp_path / "a.nii.gz") == "label image"


@pytest.mark.parametrize("name", CASES)
def test_malformed_files_are_left_to_the_reader(name, tmp_path):
    assert no_scan(CASES[name][0](tmp_path)) == ""


def test_a_file_that_is_not_there_or_cut_off(tmp_path):
    assert no_scan(tmp_path / "none.nii") == ""
    whole = gzip.compress(save(tmp_path / "a.nii").read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert no_scan(tmp_path / "b.nii.gz") == ""
