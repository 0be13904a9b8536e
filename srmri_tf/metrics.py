"""Image quality of one slice against the truth, with the range always named.

Images are (H, W) float. The paper's convention is a range of 1 for volumes scaled to [0, 1].
"""

import numpy as np
from skimage.metrics import structural_similarity

AIR_LEVEL = 0.05


def psnr(image: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the two are equal."""
    error = np.mean(np.square(image.astype(np.float64) - truth.astype(np.float64)))
    if error == 0:
        return float("inf")
    return float(10 * np.log10(data_range**2 / error))


def ssim(image: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Structural similarity, gaussian 11x11 window with sigma 1.5, K 0.01 and 0.03.

    Source: Wang et al. 2004; no sample covariance, as in the original code.
    """
    return float(
        structural_similarity(
            image.astype(np.float64),
            truth.astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def is_air(truth: np.ndarray) -> bool:
    """Whether a slice of a volume scaled to [0, 1] shows no tissue: nothing reaches 5 %.

    Such slices score near-infinite PSNR for any method and would drown the others in a mean.
    """
    return bool(truth.max() < AIR_LEVEL)
