"""A network as TensorFlow functions that need no Python: what a SavedModel is made of."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from srmri_tf.models import head, plausible
from srmri_tf.models.stored import MIN_SIDE, Stored
from srmri_tf.networks.gan import variables_by_layer

_SLICES = tf.TensorSpec([None, None, None, 1], tf.float32)
_NUMBER = tf.TensorSpec([], tf.float32)
_TOO_SMALL = (
    f"a slice has fewer than {MIN_SIDE} rows or columns; one whose matrix is doubled needs "
    f"{-(-MIN_SIDE // 2)}"
)
_SINGLE = tf.TensorSpec([None, None, 1], tf.float32)


class Graphs(tf.Module):
    """A network's signatures and the variables that they share.

    Args:
        stored: The network.
    """

    def __init__(self, stored: Stored) -> None:
        super().__init__(name="srmri_tf")
        network = stored.stock()
        # Not the network itself: a SavedModel would keep Keras's objects, too.
        self._apply = lambda lr: network(lr, training=False)
        self._halves = stored.options.get("first_stride") == 2
        self._magnitude = stored.degradation.is_magnitude
        # The names under which `srmri_tf.models.stored` finds them again.
        self.weights = {
            name.replace("/", "_"): variable.value
            for name, variable in variables_by_layer(network).items()
        }

    def signatures(self) -> dict[str, Callable[..., Any]]:
        """Concrete functions by the names that a SavedModel gives them.

        ======================= ===================== =========================================
        name                    input                 output
        ======================= ===================== =========================================
        ``serving_default``,    ``lr``, (B, H, W, 1)  ``sr``, the same shape; a volume's maximum
        ``sr``                                        is 1
        ``enhance``             ``image``, the same,  ``enhanced``, (B, 2H, 2W, 1), in the same
                                raw intensities       intensities; the largest of ``image`` is
                                                      what becomes 1
        ``enhance_with_scale``  ``image``, ``scale``  the same, where ``scale`` becomes 1, so that
                                                      a volume may come in parts
        ``enhance_consistent``  ``image``, ``scale``  the same with the measured centre of k-space
                                                      put back
        ======================= ===================== =========================================

        ``lr`` has at least 9 rows and columns, ``image`` 5: smaller ones end in an
        ``InvalidArgumentError`` that says so. The last three do what `srmri-tf enhance` does.
        """
        lr, image = _named(_SLICES, "lr"), _named(_SLICES, "image")
        scale = _named(_NUMBER, "scale")
        sr = _traced(lambda lr: {"sr": self.super_resolved(lr)}, lr)
        return {
            "serving_default": sr,
            "sr": sr,
            "enhance": _traced(lambda image: {"enhanced": self.enhanced(image)}, image),
            "enhance_with_scale": _traced(
                lambda image, scale: {"enhanced": self.enhanced(image, scale)}, image, scale
            ),
            "enhance_consistent": _traced(
                lambda image, scale: {"enhanced": self.enhanced(image, scale, consistent=True)},
                image,
                scale,
            ),
        }

    def super_resolved(self, lr: tf.Tensor) -> tf.Tensor:
        """The network on (B, H, W, 1) slices of any size."""
        sides = tf.shape(lr)[1:3]
        tf.debugging.assert_greater_equal(tf.reduce_min(sides), MIN_SIDE, _TOO_SMALL)
        if not self._halves:
            return self._apply(lr)
        # Strides of 2 need even sides: the last row or column is repeated, and cropped again.
        # By gather, since converters to ONNX and TFLite lose the shape behind a pad.
        even = lr
        for axis in (0, 1):
            last = sides[axis] - 1
            repeated = tf.minimum(tf.range(sides[axis] + sides[axis] % 2), last)
            even = tf.gather(even, repeated, axis=axis + 1)
        return self._apply(even)[:, : sides[0], : sides[1]]

    def enhanced(
        self, image: tf.Tensor, scale: tf.Tensor | None = None, *, consistent: bool = False
    ) -> tf.Tensor:
        """Zero-fill raw slices to twice the matrix and enhance them, one in memory at a time.

        Outside the box around its head, and where the network's output is implausible, a slice
        keeps its zero-filled values, as in `srmri_tf.enhance.volume`.

        Args:
            image: (B, H, W, 1) in any intensities.
            scale: The intensity that becomes 1, such as the volume's maximum; the largest of
                ``image`` if it is None.
            consistent: Put the measured centre of k-space back.

        Returns:
            (B, 2H, 2W, 1) in the same intensities; pixel (0, 0) stays where it was.
        """
        scale = tf.reduce_max(image) if scale is None else scale
        # An empty image stays as it is; a NaN makes all of the result NaN.
        scale = tf.where(scale <= 0, tf.ones_like(scale), scale)

        def one(single: tf.Tensor) -> tf.Tensor:
            scan = single[tf.newaxis, ..., 0] / scale
            magnitude = tf.maximum(scan, 0.0)  # as in training
            fine = tf.abs(upsampled(magnitude)) if self._magnitude else upsampled(scan)
            output = self.super_resolved(fine[..., tf.newaxis])[..., 0]
            taken = in_box(scan) & ~implausible(output - fine, fine)
            enhanced = tf.where(taken, output, fine)
            enhanced = (
                put_back(enhanced, scan, magnitude=self._magnitude) if consistent else enhanced
            )
            return enhanced[0, ..., tf.newaxis] * scale

        return tf.map_fn(one, image, parallel_iterations=1, fn_output_signature=_SINGLE)


def in_box(images: tf.Tensor) -> tf.Tensor:
    """Which pixels of twice the matrix lie in the box around each head: `head.in_boxes`.

    Args:
        images: (B, H, W) real; the volume's maximum is 1.

    Returns:
        (B, 2H, 2W) bool.
    """
    framed = tf.pad(images[..., tf.newaxis], [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    mask = tf.nn.avg_pool2d(framed, 3, 1, "VALID")[..., 0] > head.BACKGROUND
    rows, columns = (_in_span(tf.reduce_any(mask, axis)) for axis in (2, 1))
    return rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]


def _in_span(inside: tf.Tensor) -> tf.Tensor:
    """(B, N) bool, where the head is: (B, 2N) bool, its margin and whole steps included."""
    count = tf.shape(inside)[1]
    places = tf.range(count)
    first = tf.reduce_min(tf.where(inside, places, count), 1, keepdims=True)
    last = tf.reduce_max(tf.where(inside, places, -1), 1, keepdims=True)
    start = 2 * (first - head.MARGIN) // head.STEP * head.STEP
    stop = -(-2 * (last + 1 + head.MARGIN) // head.STEP) * head.STEP
    fine = tf.range(2 * count)
    return (fine >= start) & (fine < stop) & (last >= 0)


def implausible(changes: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Where a network's output is implausible: `plausible.implausible`.

    Args:
        changes: (B, H, W) float32, the output without the image.
        images: (B, H, W) float32; the volume's maximum is 1.

    Returns:
        (B, H, W) bool.
    """
    varies = _largest_around(images) + _largest_around(-images)
    beyond = tf.abs(changes) > plausible.RANGES * varies + plausible.SLACK
    return _largest_around(tf.cast(beyond, tf.float32)) > 0


def _largest_around(images: tf.Tensor) -> tf.Tensor:
    """The largest in the square around each pixel of (B, H, W), rows first: fewer comparisons."""
    largest = images[..., tf.newaxis]
    for window in ((plausible.SIDE, 1), (1, plausible.SIDE)):
        largest = tf.nn.max_pool2d(largest, window, 1, "SAME")
    return largest[..., 0]


def upsampled(images: tf.Tensor) -> tf.Tensor:
    """Zero-fill k-space to twice the matrix; sample (0, 0) and all intensities stay.

    The highest frequency of an even side is its own mirror image, so that one half of it goes to
    either end: a real image stays real, and its own samples are found again between the new ones.

    Args:
        images: (B, H, W) real.

    Returns:
        (B, 2H, 2W) float32; truncated k-space rings, also below zero.
    """
    spectrum = tf.signal.fft2d(tf.cast(images, tf.complex64))
    for axis in (1, 2):
        spectrum = _filled(spectrum, axis)
    return 4 * tf.math.real(tf.signal.ifft2d(spectrum))


def downsampled(images: tf.Tensor) -> tf.Tensor:
    """What a scanner would measure of images at half the matrix: the inverse of `upsampled`.

    Args:
        images: (B, 2H, 2W) real.

    Returns:
        (B, H, W) float32, not a magnitude.
    """
    spectrum = tf.signal.fft2d(tf.cast(images, tf.complex64))
    for axis in (1, 2):
        spectrum = _cut(spectrum, axis)
    return tf.math.real(tf.signal.ifft2d(spectrum)) / 4


def put_back(images: tf.Tensor, scan: tf.Tensor, *, magnitude: bool) -> tf.Tensor:
    """Give images the samples of k-space that a scan was made of.

    Args:
        images: (B, 2H, 2W) real.
        scan: (B, H, W) real, in the same scale.
        magnitude: The scan has lost its signs: take them from the images. What is negative, as
            resampling may leave it, stays.
    """
    low = downsampled(images)
    signed = tf.where((low < 0) & (scan > 0), -scan, scan) if magnitude else scan
    return images + upsampled(signed - low)


def _filled(spectrum: tf.Tensor, axis: int) -> tf.Tensor:
    """Twice as many frequencies along an axis, in the FFT's order, the new ones zero."""
    shape = tf.shape(spectrum)
    count = shape[axis]
    even = 1 - count % 2
    positive, nyquist, negative = tf.split(
        spectrum, [(count + 1) // 2, even, count - (count + 1) // 2 - even], axis
    )
    zeros = tf.zeros(tf.tensor_scatter_nd_update(shape, [[axis]], [count - even]), spectrum.dtype)
    return tf.concat([positive, 0.5 * nyquist, zeros, 0.5 * nyquist, negative], axis)


def _cut(spectrum: tf.Tensor, axis: int) -> tf.Tensor:
    """Half as many frequencies along an axis; both signs of an even half's highest are one."""
    count = tf.shape(spectrum)[axis] // 2
    even = 1 - count % 2
    above, below = (count + 1) // 2, (count - 1) // 2
    parts = [above, even, 2 * (count - even) - above - below, even, below]
    positive, nyquist, _, mirrored, negative = tf.split(spectrum, parts, axis)
    return tf.concat([positive, nyquist + mirrored, negative], axis)


def _traced(function: Callable[..., Any], *specs: tf.TensorSpec) -> Callable[..., Any]:
    return tf.function(function).get_concrete_function(*specs)


def _named(spec: tf.TensorSpec, name: str) -> tf.TensorSpec:
    return tf.TensorSpec(spec.shape, spec.dtype, name=name)
