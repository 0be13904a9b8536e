"""`benchmarks/coarse.py`: networks must see slices as `enhance` shows them."""

from pathlib import Path

import numpy as np

from srmri_tf.enhance.config import EnhanceConfig
from tests.srmri_tf.enhance.test_volume import fake


def test_the_network_sees_slices_as_they_are_given(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from coarse import super_resolved

    scan = np.random.default_rng(0).random((2, 18, 14), np.float32) + 0.1
    scan /= scan.max()
    seen = []
    network = fake(lambda images: seen.append(images) or images)
    result = super_resolved(network, scan, EnhanceConfig(same_grid=True, plane="axial"))
    np.testing.assert_array_equal(np.concatenate(seen), scan)
    np.testing.assert_array_equal(result, scan)
