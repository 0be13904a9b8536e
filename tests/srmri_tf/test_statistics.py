"""Intervals over subjects."""

import numpy as np
import pytest

from srmri_tf.statistics import bootstrap_ci95, compare, slice_ci95, subject_means, summarise


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


def test_interval_over_slices_is_scipys_for_one_subject():
    from scipy.stats import bootstrap

    slices = np.random.default_rng(2).normal(1, 2, size=80)
    low, high = slice_ci95([np.append(slices, np.nan)])
    theirs = bootstrap((slices,), np.mean, method="percentile", rng=3).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.06)
    assert high == pytest.approx(theirs.high, abs=0.06)


def test_subjects_stay_while_their_slices_are_drawn_anew():
    """Subjects far apart and slices all alike: nothing varies."""
    assert slice_ci95([np.full(9, 1.0), np.full(3, 5.0)]) == (3.0, 3.0)
    assert slice_ci95([np.full(9, 1.0), np.array([5.0])]) is None


def test_a_summary_by_hand():
    summary = summarise({"a": [1.0, 3.0], "b": [6.0]})
    assert summary.mean == 4.0
    assert summary.sd == pytest.approx(8**0.5)
    assert summary.ci95 == (2.0, 6.0)
    assert summary.slice_sd == pytest.approx(np.std([1, 3, 6], ddof=1))


def test_a_subject_without_the_measure_is_left_out():
    assert summarise({"a": [float("nan")], "b": [6.0, float("nan")]}).mean == 6.0


def test_differences_are_paired_and_tested_over_subjects():
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(0)
    lr = {f"s{i}": list(rng.normal(30, 3, size=4)) for i in range(8)}
    better = {s: [v + 0.5 + 0.1 * rng.standard_normal() for v in lr[s]] for s in lr}
    difference = compare(better, lr)
    means = [np.mean(better[s]) - np.mean(lr[s]) for s in lr]
    assert difference.mean == pytest.approx(np.mean(means))
    assert difference.p == pytest.approx(wilcoxon(means).pvalue)
    assert difference.p == pytest.approx(2 / 2**8)  # all eight of one sign, by hand
    assert (difference.n_subjects, difference.n_slices) == (8, 32)
    assert difference.ci95[0] < difference.mean < difference.ci95[1]


def test_a_few_subjects_are_no_evidence():
    few = {f"s{i}": [1.0] * 9 for i in range(5)}
    none = {f"s{i}": [0.0] * 9 for i in range(5)}
    difference = compare(few, none)
    assert difference.p is None
    assert difference.slice_p < 0.05  # and that is why it is marked
    assert compare(few, few).slice_p is None
