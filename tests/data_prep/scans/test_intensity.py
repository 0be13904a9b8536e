"""The intensity that becomes 1, against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.scans.intensity import intensity_scale

HERE = Path("scan.nii")


@pytest.mark.parametrize(
    ("values", "scale"), [([0, 5], 5), ([-1, 4], 4), ([3, 9], 9), ([-0.1, 1e-30, 1], 1)]
)
def test_the_scale_is_the_maximum(values, scale):
    assert intensity_scale(np.array(values, np.float32), HERE) == scale


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([5, 5], "every voxel is 5"),
        ([0, 0], "every voxel is 0"),
        ([-3, 0], "no positive voxel, its maximum is 0"),
        ([-3, -1], "no positive voxel"),
        ([-2, 4], "it goes from -2 to 4"),
    ],
)
def test_what_is_no_magnitude_image_is_refused(values, fault):
    with pytest.raises(BadInputError, match=fault):
        intensity_scale(np.array(values, np.float32), HERE)


def test_a_view_has_the_scale_of_what_it_shows():
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert intensity_scale(voxels.transpose(2, 0, 1)[::-1, :, ::-1], HERE) == 23
    assert intensity_scale(voxels[:1, ::-1, :2].T, HERE) == 9
