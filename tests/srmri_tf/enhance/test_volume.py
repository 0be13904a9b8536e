"""Volumes against definitions that share no code with ours: NumPy's FFT, nibabel's affines."""

import dataclasses
import time
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.kspace import Degradation, downsampled
from srmri_tf.enhance import tiles
from srmri_tf.enhance import volume as volumes
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume, implausible_warning
from srmri_tf.models import plausible
from srmri_tf.models.model import Network, load_network
from srmri_tf.models.stored import tiling
from srmri_tf.networks.registry import MODELS, super_resolver
from srmri_tf.recipes.config import CONFIGS
from tests.data_prep.phantoms import affine, phantom
from tests.srmri_tf.evaluation.test_measuring import make_run

HERE = Path("scan.nii")
ORIENTATIONS = [
    list(zip(axes, flips, strict=True))
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]
SAME = EnhanceConfig(same_grid=True)
PLAIN = EnhanceConfig(consistency=False)


def fake(super_resolve, halo=0, multiple=1, lr="magnitude") -> Network:
    """A network that is any function of slices."""
    degradation = Degradation(lr=lr)
    return Network(
        "fake", "cpce", {}, degradation, halo, multiple, "0" * 64, None, super_resolve, None
    )


def identity(images):
    return images.copy()


def fine(images: np.ndarray) -> np.ndarray:
    """Zero-filled by NumPy: odd sides pad, even ones split their last line in two."""
    for axis in (-2, -1):
        n = images.shape[axis]
        spectrum = np.moveaxis(np.fft.fft(images, axis=axis), axis, 0)
        wide = np.zeros((2 * n, *spectrum.shape[1:]), complex)
        wide[: (n + 1) // 2] = spectrum[: (n + 1) // 2]
        wide[2 * n - (n - 1) // 2 :] = spectrum[n - (n - 1) // 2 :]
        if n % 2 == 0:
            wide[n // 2] = wide[-(n // 2)] = spectrum[n // 2] / 2
        images = np.moveaxis(2 * np.fft.ifft(wide, axis=0), 0, axis).real
    return images


def stored_as(orientation, voxels, matrix):
    """A RAS+ volume stored along other axes, and the affine that goes with it."""
    turn = np.array(orientation, float)
    back = nib.orientations.inv_ornt_aff(turn, voxels.shape)
    return nib.apply_orientation(voxels, turn), matrix @ back


def upright(voxels, matrix, plane):
    """The slices of a volume by nibabel's reorientation: from the front or top, right first."""
    image = nib.as_closest_canonical(nib.Nifti1Image(voxels, matrix))
    return image.get_fdata(dtype=np.float32).transpose(shown_axes(plane))[:, ::-1, ::-1]


def shown_axes(plane):
    """The world's axes that slices, rows and columns run along."""
    return (0, 2, 1) if plane == "sagittal" else (2, 1, 0)


def on_one_grid(images, matrix, plane):
    """Images as the network sees them: on the grid that begins at the first voxel shown."""
    direction = {int(axis): sign for axis, sign in nib.io_orientation(matrix)}
    _, rows, columns = (direction[axis] > 0 for axis in shown_axes(plane))
    return np.roll(images, (-int(rows), -int(columns)), axis=(1, 2))


def ramp_of(images):
    """Another number for every pixel of a slice, up to 1."""
    ramp = np.add.outer(np.arange(images.shape[1]), 30 * np.arange(images.shape[2]))
    return np.float32(1e-3) * ramp.astype(np.float32)


def test_a_matrix_is_doubled_by_zero_filling_and_its_scale_is_kept():
    scan = phantom((12, 11, 3))
    result = enhance_volume(fake(identity), scan, affine(), PLAIN)
    expected = np.abs(fine(scan.transpose(2, 0, 1).astype(float))).transpose(1, 2, 0)
    assert result.voxels.dtype == np.float32
    assert result.uncertainty is None
    np.testing.assert_allclose(result.voxels, expected, atol=1e-5 * scan.max())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("plane", ["auto", "sagittal"])
def test_every_orientation_stays_in_place_and_is_seen_upright(orientation, plane):
    # All 48 axis orders and flips, the 24 rotations among them.
    scan, matrix = stored_as(orientation, phantom((12, 10, 9)), affine((1, 1, 3)))
    seen = []

    def super_resolve(images):
        seen.append(images)
        return images + ramp_of(images)

    config = EnhanceConfig(plane=plane, consistency=False)
    result = enhance_volume(fake(super_resolve), scan, matrix, config)
    across = int(np.flatnonzero(np.array(result.voxels.shape) == scan.shape)[0])
    zero_filled = np.moveaxis(fine(np.moveaxis(scan, across, 0).astype(float)), 0, across)
    assert result.voxels.shape == zero_filled.shape
    # Landmarks: each voxel of the scan is where it was, on a grid twice as fine.
    for index in [(0, 0, 0), (3, 2, 1), (5, 7, 8)]:
        there = np.array(index) * np.where(np.arange(3) == across, 1, 2)
        np.testing.assert_allclose(
            nib.affines.apply_affine(result.affine, there),
            nib.affines.apply_affine(matrix, index),
            atol=1e-10,
        )
    # What the network saw, and where its output went.
    images = upright(np.abs(zero_filled) / scan.max(), result.affine, plane)
    found = np.concatenate(seen)
    images = on_one_grid(images, result.affine, plane)
    orders = [found, found[::-1]]  # slices come in the order of the file
    assert min(np.abs(o - images).max() for o in orders) < 1e-5
    shown = upright(result.voxels / scan.max(), result.affine, plane)
    change = on_one_grid(shown, result.affine, plane) - images
    np.testing.assert_allclose(change, np.broadcast_to(ramp_of(images), shown.shape), atol=1e-4)


def test_same_grid_keeps_the_grid():
    scan = phantom((12, 11, 3))
    result = enhance_volume(fake(lambda x: 2 * x), scan, affine(), SAME)
    np.testing.assert_allclose(result.voxels, 2 * scan, rtol=1e-6)
    np.testing.assert_array_equal(result.affine, affine())


def test_bright_voxels_are_not_clipped():
    scan = phantom((12, 11, 3))
    result = enhance_volume(fake(lambda x: x + 0.5), scan, affine(), SAME)
    assert result.voxels.max() == pytest.approx(1.5 * scan.max(), rel=1e-6)


def measured_part(image, side):
    """The samples of a centred spectrum that a scan of ``side`` measured with their mirror."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    reach = (side - 1) // 2
    rows, columns = (slice(n // 2 - reach, n // 2 + reach + 1) for n in image.shape)
    return spectrum[rows, columns] / image.size


@pytest.mark.parametrize("side", [12, 13])
def test_a_network_cannot_change_what_was_measured(side):
    scan = phantom((side, side, 3))
    noise = np.random.default_rng(0).random((1, 2 * side, 2 * side)).astype(np.float32)
    network = fake(lambda x: x + noise)
    by_default = enhance_volume(network, scan, affine()).voxels
    off = enhance_volume(network, scan, affine(), PLAIN).voxels
    for k in range(3):
        mine = measured_part(scan[:, :, k], side)
        np.testing.assert_allclose(measured_part(by_default[:, :, k], side), mine, atol=1e-3)
        assert np.abs(measured_part(off[:, :, k], side) - mine).max() > 100


@pytest.mark.parametrize("lr", ["coarse", "real"])
@pytest.mark.parametrize("sides", [(16, 18), (17, 15)])
def test_a_network_gets_no_k_space_that_it_was_not_trained_on(lr, sides):
    # Half of each axis is known; Nyquist's stripes are not, and come out as they went in.
    rows, columns = np.ogrid[: sides[0], : sides[1]]
    slow = 3 + np.cos(2 * np.pi * rows / sides[0]) + np.sin(4 * np.pi * columns / sides[1])
    fastest = np.cos(2 * np.pi * (sides[0] // 2) * rows / sides[0])
    scan = (slow + fastest)[..., np.newaxis].repeat(2, axis=2).astype(np.float32)
    seen = []

    def super_resolve(images):
        seen.append(images)
        return 3 * images

    result = enhance_volume(fake(super_resolve, lr=lr), scan, affine((1, 1, 3)), SAME)
    largest = scan.max()
    for image in seen[0]:
        np.testing.assert_allclose(largest * image.T[::-1, ::-1], slow, atol=1e-5)
    expected = (3 * slow + fastest)[..., np.newaxis].repeat(2, axis=2)
    np.testing.assert_allclose(result.voxels, expected, atol=1e-4)


def test_a_network_that_was_trained_on_magnitudes_of_the_whole_matrix_gets_them():
    scan = phantom((16, 14, 2))
    seen = []
    enhance_volume(fake(lambda images: seen.append(images) or images), scan, affine(), SAME)
    expected = scan.transpose(2, 1, 0)[:, ::-1, ::-1] / scan.max()
    np.testing.assert_array_equal(seen[0], expected.astype(np.float32))


def test_on_the_same_grid_consistency_is_a_choice():
    scan = phantom((16, 16, 3))
    network = fake(lambda x: x + 0.5)
    chosen = enhance_volume(
        network, scan, affine(), EnhanceConfig(same_grid=True, consistency=True)
    )
    np.testing.assert_allclose(chosen.voxels, scan, atol=1e-3)  # DC is measured
    left = enhance_volume(network, scan, affine(), SAME)
    np.testing.assert_allclose(left.voxels, scan + 500, rtol=1e-5)


def test_an_ensemble_keeps_what_was_measured():
    scan = np.random.default_rng(0).random((16, 14, 2)).astype(np.float32)
    rng = np.random.default_rng(1)
    network = fake(lambda images: images + rng.normal(0, 0.3, images.shape).astype(np.float32))
    found = enhance_volume(network, scan, affine(), EnhanceConfig(ensemble=True)).voxels
    again = np.abs(downsampled(found.transpose(2, 1, 0))).transpose(2, 1, 0)
    np.testing.assert_allclose(again, scan, atol=1e-5)


@pytest.mark.parametrize(("same_grid", "consistency"), [(False, None), (True, None), (True, True)])
def test_voxels_below_zero_stay_below_zero(same_grid, consistency):
    scan = phantom((16, 14, 3)).astype(np.float32)
    scan[2:5, 3:6] = -0.1 * scan.max()
    seen = []
    found = enhance_volume(
        fake(lambda images: seen.append(images) or images),
        scan,
        affine(),
        EnhanceConfig(same_grid=same_grid, consistency=consistency),
    ).voxels
    assert min(images.min() for images in seen) >= 0  # `prepare` cuts them off, too
    stack = found.transpose(2, 1, 0)
    again = (stack if same_grid else downsampled(stack)).transpose(2, 1, 0)
    below = scan < 0
    np.testing.assert_allclose(again[below], scan[below], rtol=0.5 if same_grid else 1e-3)


def test_a_network_of_real_parts_sees_the_ringing_below_zero():
    scan = np.zeros((12, 12, 3), np.float32)
    scan[6, 6] = 100
    lows = {}
    for kind in ("real", "magnitude"):
        network = fake(lambda x, kind=kind: lows.setdefault(kind, x.min()) + 0 * x, lr=kind)
        enhance_volume(network, scan, affine(), PLAIN)
    assert lows["real"] < -0.01
    assert lows["magnitude"] >= 0


def test_uncertainty_is_the_spread_over_flips_and_transposes():
    scan = phantom((12, 12, 3))
    pattern = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    config = EnhanceConfig(same_grid=True, uncertainty=True)
    result = enhance_volume(fake(lambda x: x + pattern), scan, affine(), config)
    group = [np.rot90(p, k) for p in (pattern, pattern.T) for k in range(4)]
    # The pattern is added to the image as shown; stored it lies transposed and against both axes.
    spread = np.std(group, axis=0).T[::-1, ::-1] * scan.max()
    np.testing.assert_allclose(
        result.uncertainty, np.repeat(spread[..., None], 3, axis=2), rtol=1e-4
    )
    plain = enhance_volume(fake(lambda x: x + pattern), scan, affine(), SAME)
    np.testing.assert_array_equal(result.voxels, plain.voxels)
    both = dataclasses.replace(config, ensemble=True)
    mean = enhance_volume(fake(lambda x: x + pattern), scan, affine(), both)
    added = np.mean(group, axis=0).T[::-1, ::-1] * scan.max()
    expected = np.repeat(added[..., None], 3, axis=2)
    np.testing.assert_allclose(mean.voxels - scan, expected, rtol=1e-3)
    np.testing.assert_array_equal(mean.uncertainty, result.uncertainty)


def test_a_network_that_treats_all_turns_alike_is_certain_whatever_the_shape():
    scan = phantom((13, 10, 3))
    result = enhance_volume(fake(np.sqrt), scan, affine(), EnhanceConfig(uncertainty=True))
    assert result.uncertainty.shape == (26, 20, 3)
    assert result.uncertainty.max() < 1e-3 * scan.max()


@pytest.fixture(scope="module")
def cpce(tmp_path_factory):
    return load_network(make_run(tmp_path_factory.mktemp("cpce") / "run", gain=1.0))


@pytest.fixture(
    scope="module",
    params=[
        ("cpce", {}),
        ("circle", {}),
        pytest.param(("circle", {"first_stride": 1}), marks=pytest.mark.slow),
    ],
)
def network(request, cpce):
    """Every kind of generator, with random weights."""
    kind, options = request.param
    config = CONFIGS[kind].model_validate({"model": kind, "generator": options})
    generator = MODELS[kind].build_generator(config, "float32")
    halo, multiple = tiling(kind, config.generator.model_dump())
    return dataclasses.replace(
        cpce,
        architecture=kind,
        halo=halo,
        multiple=multiple,
        super_resolve=super_resolver(generator),
    )


@pytest.mark.parametrize("shape", [(150, 97), (97, 150), (128, 64)])
def test_tiles_have_no_seams(network, shape):
    images = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    whole = network.super_resolve(images)
    for side in (48, 67):
        difference = np.abs(tiles.tiled(network, images, side) - whole).max()
        assert difference <= 1e-5 * np.abs(whole).max()


def test_a_halo_too_small_would_show(cpce):
    images = np.random.default_rng(1).random((1, 100, 40)).astype(np.float32)
    short = dataclasses.replace(cpce, halo=4)
    difference = np.abs(tiles.tiled(short, images, 50) - cpce.super_resolve(images)).max()
    assert difference > 1e-4 * np.abs(cpce.super_resolve(images)).max()


@pytest.mark.parametrize("shape", [(150, 97), (97, 150), (128, 64)])
@pytest.mark.parametrize("box", [(slice(33, 80), slice(16, 64)), (slice(0, 5), slice(40, 64))])
def test_a_box_is_as_in_the_whole_slice_and_the_rest_as_it_was(network, shape, box):
    images = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    whole = network.super_resolve(images)
    inside = (slice(None), *box)
    for side in (1024, 31):
        found = tiles.tiled(network, images, side, box)
        difference = np.abs(found[inside] - whole[inside]).max()
        assert difference <= 1e-6 * np.abs(whole).max()
        found[inside] = images[inside]
        np.testing.assert_array_equal(found, images)


def head_in_background(shape=(70, 51, 4)):
    """A head of random tissue away from the middle, and no signal elsewhere."""
    scan = np.zeros(shape, np.float32)
    scan[9:30, 20:44] = 500 + 500 * np.random.default_rng(2).random((21, 24, shape[2]))
    return scan


def test_background_keeps_the_zero_filled_values_and_the_head_is_the_networks():
    scan = head_in_background()
    enhanced = enhance_volume(fake(lambda x: x + 1), scan, affine(), PLAIN).voxels
    zero_filled = np.abs(fine(scan.transpose(2, 0, 1).astype(float))).transpose(1, 2, 0)
    change = (enhanced - zero_filled) / scan.max()
    np.testing.assert_allclose(change[18:60, 40:88], 1, atol=1e-5)
    # The last pixel lies between the last voxel and, as images are periodic, the first.
    np.testing.assert_allclose(change[90:-1], 0, atol=1e-5)
    assert (np.abs(change) > 0.5).mean() < 0.6


def test_slices_without_signal_skip_the_network():
    scan = head_in_background()
    scan[:, :, 1:3] = 0
    seen = []
    network = fake(lambda x: seen.append(len(x)) or x + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volumes, "PIXELS", 1)
        enhanced = enhance_volume(network, scan, affine(), PLAIN).voxels
    assert seen == [1, 1]
    assert enhanced[:, :, 1:3].max() == 0


def test_the_scan_is_measured_again_where_only_its_head_was_sharpened():
    scan = head_in_background((70, 50, 3))
    noise = np.random.default_rng(0).random((140, 140)).astype(np.float32)
    network = fake(lambda x: x + noise[: x.shape[1], : x.shape[2]])
    enhanced = enhance_volume(network, scan, affine()).voxels
    plain = enhance_volume(network, scan, affine(), PLAIN).voxels
    mine, yours, other = (
        np.fft.fft2(volume, axes=(0, 1))[:35, :25] / volume[..., 0].size
        for volume in (scan, enhanced, plain)
    )
    np.testing.assert_allclose(yours, mine, atol=1e-2)
    assert np.abs(other - mine).max() > 10


@pytest.mark.parametrize(
    "config",
    [
        EnhanceConfig(uncertainty=True, consistency=False),
        EnhanceConfig(same_grid=True, uncertainty=True),
    ],
)
def test_the_box_turns_with_the_slice(config):
    # Twice the image is the same however it is turned: any spread would be of the boxes.
    result = enhance_volume(fake(lambda x: 2 * x), head_in_background(), affine(), config)
    assert result.uncertainty.max() == 0
    assert result.voxels.max() > 1900


@pytest.mark.parametrize(("pixels", "together"), [(5000, 5), (2000, 2), (900, 1)])
def test_large_slices_are_tiled_and_few_go_together(monkeypatch, pixels, together):
    monkeypatch.setattr(volumes, "PIXELS", pixels)
    monkeypatch.setattr(tiles, "TILE", 16)
    seen, inside, most = [], [], []

    def super_resolve(images):
        inside.append(len(images))
        most.append(sum(inside))
        time.sleep(0.01)  # long enough for another thread to come in
        seen.append(images.shape)
        inside.remove(len(images))
        return images

    scan = phantom((20, 12, 7))
    result = enhance_volume(fake(super_resolve), scan, affine(), PLAIN)
    assert max(most) == together  # of 40 x 24 pixels each, or one
    assert max(max(sides) for _, *sides in seen) <= 16
    untiled = enhance_volume(fake(identity), scan, affine(), PLAIN)
    np.testing.assert_allclose(result.voxels, untiled.voxels, atol=1e-3)


@pytest.mark.parametrize("value", [0, 7, 1e-30, 1e30])
@pytest.mark.parametrize("config", [EnhanceConfig(uncertainty=True), SAME])
def test_a_constant_volume_stays_finite(cpce, value, config):
    result = enhance_volume(cpce, np.full((10, 12, 3), value, np.float32), affine(), config)
    assert np.isfinite(result.voxels).all()
    assert result.uncertainty is None or np.isfinite(result.uncertainty).all()


def test_progress_counts_slices(monkeypatch):
    monkeypatch.setattr(volumes, "PIXELS", 2 * 24 * 22)
    told = []
    enhance_volume(
        fake(identity), phantom((12, 11, 5)), affine(), progress=lambda *a: told.append(a)
    )
    assert told == [(done, 5) for done in (2, 4, 5)]


@pytest.mark.parametrize(
    ("voxels", "fault"),
    [
        (phantom((3, 20, 5)), "at least 5 a side"),
        (phantom((12, 12, 3)) - 900, "is not a magnitude image"),
        (-1 - phantom((12, 12, 3)), "no positive voxel"),
        (np.full((12, 12, 3), -5, np.float32), "is constant"),
    ],
)
def test_what_is_no_volume_of_magnitudes_is_refused(voxels, fault):
    with pytest.raises(BadInputError, match=fault) as caught:
        enhance_volume(fake(identity), voxels, affine(), path=HERE)
    assert caught.value.path == HERE


def test_a_volume_too_bright_for_its_result_is_refused():
    voxels = phantom() * np.float32(3.3e35)  # its maximum is 1000
    assert np.isfinite(voxels).all()
    with pytest.raises(BadInputError, match="the largest number of 32 bits") as caught:
        enhance_volume(fake(lambda x: 2 * x), voxels, affine(), PLAIN, path=HERE)
    assert caught.value.path == HERE


@pytest.fixture
def judged(monkeypatch):
    """Implausible outputs are not taken, as outside of tests."""
    monkeypatch.setattr(volumes, "implausible", plausible.implausible)


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize(("config", "factor"), [(SAME, 1), (PLAIN, 2)])
def test_where_an_output_is_implausible_the_zero_filled_values_are_kept(
    judged, config, factor, ensemble
):
    scan = phantom((40, 32, 3))
    filled = scan if factor == 1 else np.abs(fine(scan.transpose(2, 0, 1))).transpose(1, 2, 0)

    def spoilt(images):  # a hundred times the maximum of the volume, wherever it is bright
        return np.where(images > 0.98, 100, 1.001 * images)

    config = dataclasses.replace(config, ensemble=ensemble)
    result = enhance_volume(fake(spoilt), scan, affine(), config)
    bright = filled > 0.98 * scan.max()
    assert bright.any()
    around = binary_dilation(bright, np.ones((9, 9, 1)))
    expected = np.where(around, filled, 1.001 * filled)
    np.testing.assert_allclose(result.voxels, expected, rtol=1e-5, atol=1e-4 * scan.max())
    assert result.implausible == pytest.approx(around.mean(), abs=1e-3)
    said = implausible_warning(result.implausible, "fake")
    assert f"{result.implausible:.2%} of the head" in said
    assert "fake" in said


def test_a_few_implausible_pixels_are_not_warned_of():
    assert not implausible_warning(0.0, "fake")
    assert not implausible_warning(9e-5, "fake")
    assert implausible_warning(1.1e-4, "fake")


def test_a_network_whose_output_is_implausible_everywhere_is_refused(judged):
    with pytest.raises(BadInputError, match="gets implausible outputs from model fake in 100%"):
        enhance_volume(fake(lambda x: x + 5), phantom((40, 32, 3)), affine(), SAME)


def test_values_that_are_not_finite_are_an_error():
    with pytest.raises(CorruptArtefactError, match="fake gives values that are not finite"):
        enhance_volume(fake(lambda x: x * np.nan), phantom((12, 12, 3)), affine())


@pytest.mark.parametrize("consistency", [False, True])
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_the_network_sees_the_same_slices_however_they_are_stored(flips, consistency):
    scan, matrix = phantom((26, 22, 6)), affine()
    axes = [axis for axis, flip in enumerate(flips) if flip]
    other = matrix.copy()
    for axis in axes:  # the last voxel becomes the first
        other[:3, 3] += other[:3, axis] * (scan.shape[axis] - 1)
        other[:3, axis] *= -1

    def odd(images):  # its output depends on where a pixel lies
        rows, columns = (np.arange(n) % 2 for n in images.shape[1:])
        return images * (1 + 0.2 * rows[:, None] + 0.3 * columns).astype(np.float32)

    config = EnhanceConfig(plane="axial", consistency=consistency)
    expected = enhance_volume(fake(odd), scan, matrix, config).voxels
    found = enhance_volume(fake(odd), np.flip(scan, axes), other, config).voxels
    # The finer grid begins at the first voxel stored: half a voxel beyond the other grid's end.
    shifted = np.roll(np.flip(found, axes), [-1] * len({*axes} - {2}), tuple({*axes} - {2}))
    np.testing.assert_allclose(shifted, expected, atol=1e-5 * scan.max())
