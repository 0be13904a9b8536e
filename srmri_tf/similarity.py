"""Structural similarity (SSIM) of several images to one truth, by several windows at once.

In float32, strip by strip: what a strip needs stays in the processor's cache.
"""

from collections.abc import Sequence

import numpy as np

from srmri_tf.windows import Window, WindowedSums, whole_blocks

K1, K2 = 0.01, 0.03
_STRIP = 96  # rows at a time: fewer, and calls cost more than arithmetic; more, and caches overflow


class Similarity:
    """SSIM of images of one shape, in memory that is taken once.

    With d = x - y, both factors of SSIM are one minus something small, which float32 holds to
    1e-6 of the float64 result: luminance 1 - (mean d)^2 / (mean x^2 + mean y^2 + C1), contrast and
    structure 1 - var d / (var x + var y + C2).

    Args:
        shape: Rows and columns of the images.
        windows: Each gives a figure of its own.

    Raises:
        ValueError: A side is shorter than a window.

    Source: Wang et al. 2004.
    """

    def __init__(self, shape: tuple[int, int], windows: Sequence[Window]) -> None:
        spares = [len(window.taps) - 1 for window in windows]
        if min(shape) <= max(spares):
            raise ValueError(
                f"SSIM needs at least {max(spares) + 1} pixels a side. Received: {shape}"
            )
        self.shape = shape
        height, width = shape[0] - min(spares), shape[1] - min(spares)
        # Strips of one size; the last may be shorter.
        self._block = whole_blocks(-(-height // -(-height // _STRIP)), width)
        room = (self._block[0] + max(spares), self._block[1] + max(spares))
        # Zero where no image ever is: sums of that are not used, but must not overflow.
        self._truth = np.zeros((2, *room), np.float32)
        self._image = np.zeros((3, *room), np.float32)
        self._local = [_Local(w, shape, self._block, self._truth, self._image) for w in windows]

    def __call__(
        self, images: Sequence[np.ndarray], truth: np.ndarray, data_ranges: Sequence[float]
    ) -> np.ndarray:
        """Mean SSIM over the pixels whose window fits inside.

        Args:
            images: M of (H, W) float.
            truth: (H, W) float.
            data_ranges: Of the intensities, one for each window.

        Returns:
            (windows, M) float64.

        Raises:
            ValueError: Images of another shape.
        """
        shapes = {self.shape, truth.shape, *(image.shape for image in images)}
        if len(shapes) > 1:
            raise ValueError(f"SSIM needs images of one shape. Received: {sorted(shapes)}")
        # Variances do not feel a constant, and smaller numbers lose less to rounding.
        offset = np.float32(np.mean(truth))
        for local, data_range in zip(self._local, data_ranges, strict=True):
            local.begin(data_range, offset)
        sums = np.zeros((len(self._local), len(images)))
        height, rows = self.shape[0], self._block[0]
        for start in range(0, height - min(local.spare for local in self._local), rows):
            part = slice(start, min(start + self._truth.shape[1], height))
            self._load(truth[part], offset)
            for i, image in enumerate(images):
                self._load_image(image[part], offset)
                sums[:, i] += [local.compare(height - start) for local in self._local]
        pixels = [(height - x.spare) * (self.shape[1] - x.spare) for x in self._local]
        return sums / np.array(pixels)[:, None]

    def _load(self, truth: np.ndarray, offset: np.float32) -> None:
        """Take a strip (h, W) of the truth, and sum what all images share."""
        for buffer in (self._truth, self._image):
            buffer[:, len(truth) :] = 0  # not what a longer strip left there
        y, squares = self._truth
        np.subtract(truth, offset, out=y[: len(truth), : truth.shape[1]], casting="same_kind")
        np.multiply(y, y, out=squares)
        for local in self._local:
            local.share()

    def _load_image(self, image: np.ndarray, offset: np.float32) -> None:
        """Take a strip (h, W) of an image x: d, x^2 and d^2, with d = x - y."""
        d, x, squares = self._image
        np.subtract(image, offset, out=x[: len(image), : image.shape[1]], casting="same_kind")
        np.subtract(x, self._truth[0], out=d)
        x *= x
        np.multiply(d, d, out=squares)


class _Local:
    """Local SSIM under one window, in a strip of rows.

    Sums under the window are not divided by its weight W: W times a sum of squares less the square
    of the sum is W^2 times a variance, and C1 and C2 are scaled alike.

    Args:
        window: Of SSIM.
        shape: Of the images.
        block: Rows and columns of sums.
        truth: y and y^2 of the strip, as `Similarity` fills them in.
        image: d, x^2 and d^2.
    """

    def __init__(
        self,
        window: Window,
        shape: tuple[int, int],
        block: tuple[int, int],
        truth: np.ndarray,
        image: np.ndarray,
    ) -> None:
        self._window = window
        self.spare = len(window.taps) - 1
        self._columns = shape[1] - self.spare
        self._truth = WindowedSums(window, truth, block, (1.0, window.weight))
        self._image = WindowedSums(window, image, block, (1.0, window.weight, window.weight))
        self._scratch, self._second, self._bright, self._spread = np.empty((4, *block), np.float32)

    def begin(self, data_range: float, offset: np.float32) -> None:
        """Set the range of the intensities, and what was taken off all images."""
        weight = self._window.weight
        self._offset = np.float32(offset * weight)
        self._c1 = np.float32((K1 * data_range * weight) ** 2)
        self._c2 = np.float32((K2 * data_range * weight) ** 2 / self._window.covariance_factor)

    def share(self) -> None:
        """Sum up the truth's strip."""
        total, squares = self._truth()
        np.multiply(total, total, out=self._scratch)
        np.subtract(squares, self._scratch, out=self._spread)
        self._spread += self._c2
        np.add(total, self._offset, out=self._bright)
        self._bright *= self._bright
        self._bright += self._c1

    def compare(self, rows: int) -> np.float64:
        """Sum the local values of an image's strip, of which the image has ``rows`` from here."""
        # In place: fresh arrays would cost more than the arithmetic.
        total, spread, contrast = self._image()
        shift = np.multiply(total, total, out=self._scratch)
        contrast -= shift
        total += self._truth.outputs[0]  # from here on of x, not of d
        spread += self._spread
        spread -= np.multiply(total, total, out=self._second)
        contrast /= spread
        total += self._offset
        total *= total
        total += self._bright
        shift /= total
        np.subtract(1, shift, out=shift)
        np.subtract(1, contrast, out=contrast)
        valid = slice(max(rows - self.spare, 0)), slice(self._columns)
        return sums_of_products(shift[valid], contrast[valid]).sum()


def sums_of_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum over each row of (H, W), as (H,) float64; BLAS does float32 to 1e-7."""
    return np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0].astype(np.float64)
