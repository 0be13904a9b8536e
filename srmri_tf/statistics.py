"""Means, intervals and paired tests over subjects: slices of one head are not independent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SLICE_RESAMPLES = 2_000  # slices are many, and so are the pairs of methods
#: With fewer pairs the two-sided signed-rank test cannot fall below 0.05 whatever the data.
FEWEST_PAIRS = 6


@dataclass(frozen=True)
class Summary:
    """One measure of one method over subjects.

    Args:
        mean: Mean over subjects of each subject's mean over slices.
        sd: Sample standard deviation of the subjects' means; None for a single subject.
        ci95: Bootstrap interval of the mean over subjects; None for a single subject.
        slice_sd: Sample standard deviation over all slices; None for a single slice.
    """

    mean: float
    sd: float | None
    ci95: tuple[float, float] | None
    slice_sd: float | None


@dataclass(frozen=True)
class Difference:
    """Two methods on the same subjects.

    Args:
        mean: Mean over subjects of the subjects' differences.
        ci95: Bootstrap interval of that; None for a single subject.
        p: Wilcoxon's signed-rank test over subjects, two-sided; None with fewer than 6.
        n_subjects: Subjects in it.
        slice_ci95: Bootstrap interval over the slices of these subjects; None where one has a
            single slice. Slices of one head are not independent, so it claims more than the data
            can bear; it is no evidence about other subjects.
        slice_p: The signed-rank test over slices, with the same reservation.
        n_slices: Slices in that.
    """

    mean: float
    ci95: tuple[float, float] | None
    p: float | None
    n_subjects: int
    slice_ci95: tuple[float, float] | None
    slice_p: float | None
    n_slices: int


def subject_means(values: Mapping[str, Sequence[float] | np.ndarray]) -> np.ndarray:
    """The mean of each subject's slices, in the order of the sorted labels; NaN is left out."""
    means = []
    for subject in sorted(values):
        kept = np.asarray(values[subject], np.float64)
        kept = kept[~np.isnan(kept)]
        means.append(kept.mean() if len(kept) else np.nan)
    return np.array(means)


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


def slice_ci95(subjects: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """Percentile bootstrap of the mean over subjects, where only their slices are drawn anew.

    Args:
        subjects: The slices' values, an array for each subject; NaN is left out.

    Returns:
        None where a subject has fewer than two slices, which cannot vary.

    Source: Efron and Tibshirani 1993, chapters 8 and 13: strata are resampled one by one.
    """
    kept = [values[~np.isnan(values)] for values in subjects]
    kept = [values for values in kept if len(values)]
    if not kept or min(map(len, kept)) < 2:
        return None
    rng = np.random.default_rng(0)
    means = np.zeros(SLICE_RESAMPLES)
    for values in kept:
        drawn = rng.integers(len(values), size=(SLICE_RESAMPLES, len(values)))
        means += values[drawn].mean(axis=1) / len(kept)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def summarise(values: Mapping[str, Sequence[float]]) -> Summary:
    """Sum up one measure of one method.

    Args:
        values: The slices' values by subject; at least one.
    """
    means = subject_means(values)
    means = means[~np.isnan(means)]
    slices = np.concatenate([np.asarray(v, np.float64) for v in values.values()])
    slices = slices[~np.isnan(slices)]
    return Summary(
        mean=float(means.mean()) if len(means) else float("nan"),
        sd=_sd(means),
        ci95=bootstrap_ci95(means),
        slice_sd=_sd(slices),
    )


def compare(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> Difference:
    """The difference ``first - second`` of one measure, slice by slice the same images.

    Args:
        first: The slices' values by subject.
        second: The same slices in the same order.
    """
    pairs = {s: np.subtract(first[s], second[s]) for s in first}
    means = subject_means(pairs)
    means = means[~np.isnan(means)]
    slices = np.concatenate(list(pairs.values()))
    slices = slices[~np.isnan(slices)]
    return Difference(
        mean=float(means.mean()) if len(means) else float("nan"),
        ci95=bootstrap_ci95(means),
        p=signed_rank(means),
        n_subjects=len(means),
        slice_ci95=slice_ci95(list(pairs.values())),
        slice_p=signed_rank(slices),
        n_slices=len(slices),
    )


def signed_rank(differences: np.ndarray) -> float | None:
    """Wilcoxon's signed-rank test of zero median, two-sided; None where it cannot tell.

    Source: Wilcoxon 1945, with zeros left out; exact for small samples without ties.
    """
    told = differences[np.isfinite(differences) & (differences != 0)]
    if len(told) < FEWEST_PAIRS:
        return None
    from scipy.stats import wilcoxon

    return float(wilcoxon(told).pvalue)


def _sd(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
