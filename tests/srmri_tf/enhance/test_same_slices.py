"""What `prepare` trains on and what `enhance` shows a network are the same slices of a scan."""

import json
import tempfile
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.prepare.pipeline import PrepareConfig, plan_for, prepare
from data_prep.shards.files import whole_slices
from data_prep.shards.schema import Parameters, SplitRule
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance
from srmri_tf.enhance.worklist import make_worklist
from tests.data_prep.phantoms import affine, phantom
from tests.srmri_tf.enhance.test_files import use
from tests.srmri_tf.enhance.test_volume import fake

SHAPE = (16, 14, 13)
ROTATIONS = [
    np.array(list(zip(axes, flips, strict=True)), float)
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
    if np.linalg.det(np.eye(3)[list(axes)] * flips) > 0
]
ISOTROPIC = (1, 1, 1)


def save(path, turn, spacing, slice_axis=None):
    """A scan of ``spacing`` along RAS+, stored turned; the header may name the slice axis."""
    voxels, matrix = phantom(SHAPE), affine(spacing)
    stored = nib.apply_orientation(voxels, turn)
    back = nib.orientations.inv_ornt_aff(turn, voxels.shape)
    image = nib.Nifti1Image(stored, matrix @ back)
    if slice_axis is not None:
        image.header.set_dim_info(slice=slice_axis)
    nib.save(image, path)
    return path


def prepared(path, folder, plane="auto"):
    """The plane of a scan's shard, and its high-resolution slices."""
    config = PrepareConfig(
        parameters=Parameters(plane=plane), split_rule=SplitRule(val_fraction=0, test_fraction=1)
    )
    (shard,) = prepare([path], folder, config).shards
    return shard.plane, np.stack([pair.hr for pair in whole_slices(folder, shard)])


def enhanced(path, folder, monkeypatch, plane="auto"):
    """The plane of a result's sidecar, and the images that the network was shown."""
    seen = []
    network = fake(lambda images: seen.append(images.copy()) or images)
    use(network, monkeypatch)
    chosen = EnhanceConfig(same_grid=True, plane=plane)
    (result,) = enhance(make_worklist([path], folder, chosen), chosen)
    record = json.loads(result.target.sidecar.read_text())
    return record["SlicePlane"], np.concatenate(seen)


def assert_same(path, folder, monkeypatch, expected, plane="auto"):
    trained, truth = prepared(path, folder / "shards", plane)
    applied, seen = enhanced(path, folder / "results", monkeypatch, plane)
    assert (trained, applied) == (expected, expected)
    # `enhance` takes slices in the order of the file, `prepare` in that of the body.
    order = 1 if np.abs(seen[0] - truth[0]).max() < np.abs(seen[-1] - truth[0]).max() else -1
    np.testing.assert_allclose(seen[::order], truth, atol=1.6e-5)  # half a code of a shard


MM = st.one_of(st.floats(0.2, 8), st.sampled_from([0.5, 0.9375, 1.0, 1.005, 1.2, 3.0]))


@given(
    st.tuples(MM, MM, MM),
    st.sampled_from(ROTATIONS),
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from(["auto", "auto", "coronal"]),
)
@settings(deadline=None)
def test_both_commands_decide_alike(spacing, turn, slice_axis, plane):
    config = PrepareConfig(parameters=Parameters(plane=plane, patch_size=9))
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder, "a_T2.nii"), turn, spacing, slice_axis)
        (item,) = plan_for([path], config).items
        (job,) = make_worklist([path], config=EnhanceConfig(plane=plane)).jobs
    assert item.plane == job.plane
    if plane != "auto":
        assert item.plane == plane


@pytest.mark.parametrize("turn", ROTATIONS)
@pytest.mark.parametrize(
    ("spacing", "plane"),
    [((1, 1, 3), "axial"), ((1, 1, 0.8), "axial"), ((1, 2, 2), "sagittal"), ((1, 3, 2), "coronal")],
)
def test_in_every_orientation(tmp_path, monkeypatch, turn, spacing, plane):
    assert_same(save(tmp_path / "a_T2.nii", turn, spacing), tmp_path, monkeypatch, plane)


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [
        (ISOTROPIC, "axial"),
        ((0.5, 0.5, 0.45), "axial"),
        ((2, 2, 1), "axial"),
        ((1.2, 0.9375, 0.9375), "sagittal"),
        ((1, 3, 1), "coronal"),
        ((1, 2, 3), "axial"),
    ],
)
def test_at_every_kind_of_spacing(tmp_path, monkeypatch, spacing, plane):
    assert_same(save(tmp_path / "a_T2.nii", ROTATIONS[0], spacing), tmp_path, monkeypatch, plane)


@pytest.mark.parametrize("turn", ROTATIONS[::5])
@pytest.mark.parametrize("spacing", [ISOTROPIC, (1, 1, 3)])
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_where_the_header_names_the_slice_axis(tmp_path, monkeypatch, turn, spacing, slice_axis):
    path = save(tmp_path / "a_T2.nii", turn, spacing, slice_axis)
    # apply_orientation puts RAS+ axis i where turn[i] says, so look the stored axis up.
    plane = ("sagittal", "coronal", "axial")[int(np.flatnonzero(turn[:, 0] == slice_axis)[0])]
    assert_same(path, tmp_path, monkeypatch, plane)


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_where_the_user_names_the_plane(tmp_path, monkeypatch, plane):
    path = save(tmp_path / "a_T2.nii", ROTATIONS[7], (1, 1, 3), 0)
    assert_same(path, tmp_path, monkeypatch, plane, plane)
