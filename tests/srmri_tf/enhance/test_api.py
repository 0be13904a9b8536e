"""`srmri_tf.load_model`, as a person without the command line uses it."""

import dataclasses
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest

import srmri_tf
from data_prep.errors import BadInputError, ConfigError
from srmri_tf.enhance import volume
from srmri_tf.enhance.api import Model
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume
from srmri_tf.models.card import ModelCard, Ranges
from srmri_tf.models.plausible import implausible
from tests.data_prep.phantoms import affine, phantom
from tests.srmri_tf.enhance.test_volume import fake, fine, identity
from tests.srmri_tf.evaluation.test_measuring import make_run

# No more of a card than warnings look at.
CARD = ModelCard.model_construct(
    contrast="T2",
    ranges=Ranges(in_plane_mm=(0.5, 0.6), slice_mm=(3, 3.3), intensity={"p50": (0.1, 0.5)}),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return srmri_tf.load_model(make_run(tmp_path_factory.mktemp("api") / "net", gain=0.1))


def test_a_model_is_a_function_from_volumes_to_volumes(model):
    scan = phantom((12, 10, 6))
    result = model(scan, (1, 1, 3))
    assert (result.shape, result.dtype) == ((24, 20, 6), np.float32)
    assert (model.name, model.card) == ("net", None)
    np.testing.assert_array_equal(
        result, enhance_volume(model.network, scan, affine((1, 1, 3))).voxels
    )
    assert model(scan, (3, 1, 1)).shape == (12, 20, 12)
    assert model(scan, (1, 1, 3), same_grid=True).shape == scan.shape
    assert model(scan, (1, 1, 3), plane="coronal").shape == (24, 10, 12)
    with_out = model(scan, (1, 1, 3), consistency=False)
    assert np.abs(with_out - result).max() > 0


def test_an_affine_says_how_the_volume_lies_and_moves_nothing(model):
    scan = phantom((12, 10, 6)).astype(np.int16)
    matrix = affine((1, 1, 3))[:, [1, 2, 0, 3]]
    result = model.enhance(scan, matrix, EnhanceConfig(uncertainty=True))
    assert result.voxels.shape == result.uncertainty.shape == (24, 10, 12)
    np.testing.assert_allclose(
        nib.affines.apply_affine(result.affine, (6, 4, 2)),
        nib.affines.apply_affine(matrix, (3, 4, 1)),
    )


@pytest.mark.parametrize(
    ("array", "spacing", "fault"),
    [
        (np.zeros((4, 5)), (1, 1, 3), "three axes"),
        (np.zeros((0, 5, 5)), (1, 1, 3), "three axes"),
        (phantom().astype(complex), (1, 1, 3), "real numbers"),
        (np.full((12, 12, 3), np.nan), (1, 1, 3), "NaN or infinite"),
        (phantom(), (1, 1), "three voxel sizes"),
        (phantom(), (1, 0, 3), "three voxel sizes"),
        (phantom(), (1, np.nan, 3), "three voxel sizes"),
        (phantom(), np.zeros((4, 4)), "three voxel sizes"),
        (phantom(), [[1, 2], 3], "three voxel sizes"),
    ],
)
def test_what_is_no_volume_is_refused(model, array, spacing, fault):
    with pytest.raises(BadInputError, match=fault):
        model(array, spacing)


def test_unknown_planes_and_precisions_are_refused(model):
    with pytest.raises(ConfigError, match=r"there is no plane 'Axial'\. Give one of auto, "):
        model(phantom(), (1, 1, 3), plane="Axial")
    with pytest.raises(ConfigError, match=r"there is no precision 'fp16'\. Give one of float32"):
        srmri_tf.load_model("l1-x2", precision="fp16")


def test_what_is_unlike_the_training_data_is_warned_of():
    known = Model(dataclasses.replace(fake(identity), card=CARD))
    scan = phantom((12, 10, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known(scan, (1.1, 1.1, 3))  # enhanced: 0.55 mm
    with pytest.warns(
        UserWarning, match=r"unlike the training data of fake: .*2.5 mm.*in training"
    ):
        known(scan, (5, 5, 3))
    with pytest.warns(UserWarning, match="slice spacing"):
        known(scan, (1.1, 1.1, 9))


def test_values_that_were_kept_are_warned_of(monkeypatch):
    monkeypatch.setattr(volume, "implausible", implausible)
    wild = Model(fake(lambda x: np.where(x > 0.98, 100, x)))
    with pytest.warns(UserWarning, match=r"the volume has what model fake was not trained for"):
        wild(phantom((40, 32, 3)), (1, 1, 3))


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, srmri_tf; print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert out.stdout.split() == ["False", "False"]


def test_an_interpolated_volume_is_warned_of(model):
    small = np.random.default_rng(0).random((4, 64, 64))
    scan = np.abs(fine(small)).transpose(2, 1, 0)
    with pytest.warns(UserWarning, match="the volume has its k-space filled to 0.5"):
        model(scan, (1, 1, 3))
