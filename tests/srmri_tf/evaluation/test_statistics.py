"""Intervals over subjects."""

import numpy as np
import pytest

from srmri_tf.evaluation.statistics import bootstrap_ci95, compare, subject_means, summarise


def test_a_subject_counts_once_however_many_slices_it_has():
    values = {"b": [4.0] * 100, "a": [1.0, 3.0]}
    np.testing.assert_array_equal(subject_means(values), [2.0, 4.0])


def test_one_subject_has_no_interval():
    assert bootstrap_ci95(np.array([3.0])) is None


def test_the_interval_leaves_out_a_fortieth_of_all_resamples_at_either_end():
    """Of 7 subjects all 7^7 resamples can be written down; 10,000 of them miss by 0.1 %."""
    means = np.random.default_rng(5).normal(30, 2, size=7)
    every = np.zeros(1)
    for _ in means:
        every = (every[:, None] + means / 7).ravel()
    low, high = bootstrap_ci95(means)
    assert np.mean(every < low) == pytest.approx(0.025, abs=0.002)
    assert np.mean(every > high) == pytest.approx(0.025, abs=0.002)
    assert bootstrap_ci95(means) == (low, high)


def test_a_summary_by_hand():
    summary = summarise({"a": [1.0, 3.0], "b": [6.0]})
    assert summary.mean == 4.0
    assert summary.sd == pytest.approx(8**0.5)
    assert summary.ci95 == (2.0, 6.0)
    assert summary.slice_sd == pytest.approx(np.std([1, 3, 6], ddof=1))
    assert (summary.n_subjects, summary.n_slices) == (2, 3)


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
    paired = [np.subtract(better[s], lr[s]) for s in lr]
    assert difference.slice_sd == pytest.approx(np.std(paired, ddof=1))


def test_a_few_subjects_are_no_evidence():
    few = {f"s{i}": [1.0] * 9 for i in range(5)}
    none = {f"s{i}": [0.0] * 9 for i in range(5)}
    assert compare(few, none).p is None
    more = {**few, "s5": [1.0]}
    assert compare(more, {**none, "s5": [0.0]}).p == pytest.approx(2 / 2**6)
    assert compare(more, {**none, "s5": [1.0]}).p is None  # a difference of 0 tells nothing
