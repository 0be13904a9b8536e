"""Means, intervals and paired tests over subjects: slices of one head are not independent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, wilcoxon

#: With fewer pairs the two-sided signed-rank test cannot fall below 0.05 whatever the data.
FEWEST_PAIRS = 6


@dataclass(frozen=True)
class Summary:
    """One measure of one method over subjects, or the difference of two methods.

    Args:
        mean: Mean over subjects of each subject's mean over slices.
        sd: Sample standard deviation of the subjects' means; None for a single subject.
        ci95: Bootstrap interval of the mean over subjects; None for a single subject.
        n_subjects: Subjects in it.
        slice_sd: Sample standard deviation over all slices, which is their spread and no evidence
            about other subjects; None for a single slice.
        n_slices: Slices in it.
    """

    mean: float
    sd: float | None
    ci95: tuple[float, float] | None
    n_subjects: int
    slice_sd: float | None
    n_slices: int


@dataclass(frozen=True)
class Difference(Summary):
    """Two methods on the same slices.

    Args:
        p: Wilcoxon's signed-rank test over subjects, two-sided; None with fewer than 6.
    """

    p: float | None


def subject_means(values: Mapping[str, Sequence[float] | np.ndarray]) -> np.ndarray:
    """The mean of each subject's slices, in the order of the sorted labels; NaN is left out."""
    kept = (_without_nan(values[subject]) for subject in sorted(values))
    return np.array([slices.mean() if len(slices) else np.nan for slices in kept])


def bootstrap_ci95(means: np.ndarray) -> tuple[float, float] | None:
    """Percentile bootstrap of the mean over subjects; None for a single subject.

    Args:
        means: (subjects,) one mean each.

    Source: Efron and Tibshirani 1993, chapter 13; 10,000 resamples, fixed seed.
    """
    if len(means) < 2:
        return None
    found = bootstrap(
        (means,), np.mean, n_resamples=10_000, confidence_level=0.95, method="percentile", rng=0
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


@np.errstate(invalid="ignore")  # PSNR may be infinite, and so its deviation none
def summarise(values: Mapping[str, Sequence[float] | np.ndarray]) -> Summary:
    """Sum up one measure of one method.

    Args:
        values: The slices' values by subject; at least one.
    """
    means = _without_nan(subject_means(values))
    slices = _without_nan(np.concatenate([np.asarray(v, np.float64) for v in values.values()]))
    return Summary(
        mean=float(means.mean()) if len(means) else float("nan"),
        sd=_sd(means),
        ci95=bootstrap_ci95(means),
        n_subjects=len(means),
        slice_sd=_sd(slices),
        n_slices=len(slices),
    )


@np.errstate(invalid="ignore")
def compare(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> Difference:
    """The difference ``first - second`` of one measure, slice by slice the same images.

    Args:
        first: The slices' values by subject.
        second: The same slices in the same order.
    """
    pairs = {subject: np.subtract(first[subject], second[subject]) for subject in first}
    return Difference(**vars(summarise(pairs)), p=signed_rank(subject_means(pairs)))


def signed_rank(differences: np.ndarray) -> float | None:
    """Wilcoxon's signed-rank test of zero median, two-sided; None where it cannot tell.

    Source: Wilcoxon 1945, with zeros left out; exact for small samples without ties.
    """
    told = differences[np.isfinite(differences) & (differences != 0)]
    return float(wilcoxon(told).pvalue) if len(told) >= FEWEST_PAIRS else None


def _without_nan(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]


def _sd(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
