"""What a network's output may change, against SciPy's filters and on what truncation does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from data_prep.kspace import Degradation, zero_filled
from srmri_tf.models.plausible import RANGES, SIDE, SLACK, implausible
from tests.data_prep.phantoms import phantom


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)), st.integers(0, 2**32 - 1)
)
def test_the_range_is_that_of_scipy(shape, seed):
    rng = np.random.default_rng(seed)
    images = rng.random(shape, np.float32)
    changes = (rng.standard_normal(shape) * rng.choice([0.1, 2.0])).astype(np.float32)
    window = (1, SIDE, SIDE)
    varies = maximum_filter(images, window) - minimum_filter(images, window)
    beyond = np.abs(changes) > np.float32(RANGES) * varies + np.float32(SLACK)
    np.testing.assert_array_equal(implausible(changes, images), maximum_filter(beyond, window))


@pytest.mark.parametrize("lr", ["magnitude", "real", "coarse"])
def test_the_truth_itself_is_plausible(lr):
    scan = phantom((48, 40, 5)).transpose(2, 1, 0)
    scan /= scan.max()
    low = zero_filled(scan, Degradation(lr=lr))
    assert not implausible(scan - low, low).any()
    point = np.zeros((1, 48, 40), np.float32)
    point[0, 20, 20] = 1
    low = zero_filled(point, Degradation(lr=lr))  # a quarter of it is left
    assert implausible(4 * (point - low), low).any()
    assert not implausible(2 / 3 * (point - low), low).any()


def test_noise_on_nothing_is_plausible_but_no_more():
    nothing = np.zeros((1, 20, 20), np.float32)
    assert not implausible(nothing + 0.9 * SLACK, nothing).any()
    assert implausible(nothing - 1.1 * SLACK, nothing).all()
