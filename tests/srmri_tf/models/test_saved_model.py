"""The functions of a SavedModel against NumPy and against the command line's own path."""

import numpy as np
import pytest

from data_prep import kspace
from srmri_tf.enhance import volume
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume
from srmri_tf.models import head
from srmri_tf.models.model import load_network
from srmri_tf.models.saved_model import Graphs, downsampled, in_box, put_back, upsampled
from srmri_tf.models.stored import read
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.models.test_model import make_circle_run

RNG = np.random.default_rng(0)
#: Stored columns first and towards the left, then rows towards posterior: shown as it is stored.
AS_SHOWN = np.diag([-0.5, -0.5, 3.0, 1.0])


def zero_filled_by_hand(image):
    """One axis after the other, frequency by frequency, as cosines and sines."""
    for axis in (0, 1):
        count = image.shape[axis]
        spectrum = np.fft.fft(image, axis=axis) / count
        positions = np.arange(2 * count) / 2
        result = 0
        for k in range(count):
            signed = k if k <= count / 2 else k - count
            waves = [np.exp(2j * np.pi * signed * positions / count)]
            if 2 * k == count:  # both signs, half each
                waves = [0.5 * waves[0], 0.5 * waves[0].conj()]
            line = np.take(spectrum, [k], axis=axis)
            wave = sum(waves).reshape([-1 if a == axis else 1 for a in (0, 1)])
            result = result + line * wave
        image = result
    return image


@pytest.mark.parametrize("shape", [(8, 6), (7, 8), (5, 9)])
def test_zero_filling_is_the_sum_of_its_waves(shape):
    image = RNG.random(shape).astype(np.float32)
    expected = zero_filled_by_hand(image)
    assert np.abs(expected.imag).max() < 1e-12
    found = upsampled(image[None])[0]
    np.testing.assert_allclose(found, expected.real, atol=1e-6)
    np.testing.assert_allclose(found[::2, ::2], image, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
def test_the_scan_is_put_back_and_higher_frequencies_stay(shape):
    scan = (RNG.random((1, *shape)) - 0.2).astype(np.float32)
    enhanced = RNG.normal(size=(1, 2 * shape[0], 2 * shape[1])).astype(np.float32)
    low = kspace.downsampled(enhanced)
    for magnitude, expected in (
        (False, scan),
        (True, np.where(scan < 0, scan, np.copysign(scan, low))),
    ):
        result = put_back(enhanced, scan, magnitude=magnitude).numpy()
        np.testing.assert_allclose(downsampled(result), expected, atol=1e-5)
        np.testing.assert_allclose(kspace.downsampled(result), expected, atol=1e-5)
        change = np.fft.fftshift(np.fft.fft2(result - enhanced)[0])
        rows, columns = (side // 2 for side in shape)
        change[
            shape[0] - rows : shape[0] + rows + 1, shape[1] - columns : shape[1] + columns + 1
        ] = 0
        assert np.abs(change).max() < 1e-3


def head_in_noise(shape):
    """Slices of a head of random tissue with faint noise around, and one of noise alone."""
    scan = RNG.rayleigh(0.6, shape)
    scan[:-1, shape[1] // 3 : shape[1] // 2, 5 : shape[2] // 3] += 500
    return np.rint(scan * RNG.uniform(0.5, 1.5, shape))


@pytest.mark.parametrize("shape", [(3, 50, 61), (2, 7, 40), (2, 16, 33)])
def test_the_box_is_that_of_numpy(shape):
    scan = (head_in_noise(shape) / 750).astype(np.float32)
    expected = head.in_boxes(head.head_mask(scan), 2)
    assert expected.any()
    np.testing.assert_array_equal(in_box(scan), expected)


def test_a_mean_at_the_level_is_in_the_box_in_both():
    scan = np.zeros((1000, 12, 12), np.float32)
    scan[:, 5, 6] = 36 * np.arange(1, 1001) / (1000 * np.arange(1, 1001))
    scan[:, 5, 6] += np.linspace(-1e-10, 1e-10, 1000)  # as rounding may have it
    for found in (in_box(scan).numpy(), head.in_boxes(head.head_mask(scan), 2)):
        assert found.any(axis=(1, 2)).all()


@pytest.mark.parametrize("kind", ["cpce", "circle"])
@pytest.mark.parametrize(
    "shape", [pytest.param((2, 16, 12), marks=pytest.mark.slow), (2, 13, 9), (3, 40, 31)]
)
def test_the_graph_is_the_command_lines_path(tmp_path, monkeypatch, kind, shape):
    monkeypatch.setattr(volume, "MAX_IMPLAUSIBLE", 1.0)  # random weights make no image
    run = {"cpce": lambda p: make_run(p, gain=1.0), "circle": make_circle_run}[kind](tmp_path / "r")
    scan = (900 * RNG.random(shape) if shape[0] == 2 else head_in_noise(shape)).astype(np.float32)
    graphs = Graphs(read(run))
    network = load_network(run)
    for consistent in (False, True):
        config = EnhanceConfig(plane="axial", consistency=consistent)
        result = enhance_volume(network, scan.transpose(2, 1, 0), AS_SHOWN, config)
        expected = result.voxels.transpose(2, 1, 0)
        found = graphs.enhanced(scan[..., None], consistent=consistent)[..., 0]
        assert np.abs(expected).max() > 100
        np.testing.assert_allclose(found, expected, atol=1e-5 * scan.max())


def test_a_scale_makes_parts_of_a_volume_agree_with_the_whole(tmp_path):
    graphs = Graphs(read(make_run(tmp_path / "run", gain=1.0)))
    scan = (900 * RNG.random((3, 12, 10, 1))).astype(np.float32)
    whole = graphs.enhanced(scan).numpy()
    parts = [graphs.enhanced(scan[i : i + 1], scan.max()).numpy() for i in range(3)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-3)


def test_a_network_for_odd_sides_gives_what_ours_gives(tmp_path):
    stored = read(make_circle_run(tmp_path / "run"))
    lr = RNG.random((1, 21, 18, 1), np.float32)
    np.testing.assert_allclose(Graphs(stored).super_resolved(lr), stored.generator()(lr), atol=1e-5)


@pytest.mark.parametrize("scale", [None, np.nan])
def test_a_nan_makes_no_wrong_pixels(tmp_path, scale):
    graphs = Graphs(read(make_run(tmp_path / "run", gain=1.0)))
    scan = (900 * RNG.random((2, 8, 8, 1))).astype(np.float32)
    scan[0, 3, 3] = np.nan
    assert np.isnan(graphs.enhanced(scan, scale)).all()


def test_an_empty_image_stays_empty(tmp_path):
    graphs = Graphs(read(make_run(tmp_path / "run", gain=1.0)))
    found = graphs.enhanced(np.zeros((1, 8, 8, 1), np.float32)).numpy()
    assert found.shape == (1, 16, 16, 1)
    assert not found.any()
