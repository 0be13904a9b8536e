"""Means and confidence intervals over subjects: slices of one head are not independent."""

from collections.abc import Mapping, Sequence

import numpy as np

RESAMPLES = 10_000


def subject_means(values: Mapping[str, Sequence[float]]) -> np.ndarray:
    """The mean of each subject's slices, in the order of the sorted labels."""
    return np.array([np.mean(values[subject]) for subject in sorted(values)])


def bootstrap_ci95(means: np.ndarray) -> tuple[float, float] | None:
    """Percentile bootstrap of the mean over subjects; None for a single subject.

    Args:
        means: (subjects,) one mean each.

    Source: Efron and Tibshirani 1993, chapter 13; 10,000 resamples, fixed seed.
    """
    if len(means) < 2:
        return None
    drawn = np.random.default_rng(0).integers(len(means), size=(RESAMPLES, len(means)))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
