"""Intervals over subjects."""

import numpy as np

from srmri_tf.statistics import bootstrap_ci95, subject_means


def test_a_subject_counts_once_however_many_slices_it_has():
    values = {"b": [4.0] * 100, "a": [1.0, 3.0]}
    np.testing.assert_array_equal(subject_means(values), [2.0, 4.0])


def test_one_subject_has_no_interval():
    assert bootstrap_ci95(np.array([3.0])) is None


def test_interval_is_scipys_percentile_bootstrap():
    from scipy.stats import bootstrap

    means = np.random.default_rng(1).normal(30, 2, size=40)
    low, high = bootstrap_ci95(means)
    theirs = bootstrap((means,), np.mean, method="percentile", rng=2).confidence_interval
    assert abs(low - theirs.low) < 0.1
    assert abs(high - theirs.high) < 0.1
