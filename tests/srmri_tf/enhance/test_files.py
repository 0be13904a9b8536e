"""Files in, files out: headers, every orientation, every malformed file, interruptions."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.files import lock
from srmri_tf.enhance import derivatives, files, volume
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance, plan
from srmri_tf.enhance.worklist import make_worklist
from srmri_tf.models import model as models
from srmri_tf.models.plausible import implausible
from tests.data_prep.malformed import CASES
from tests.data_prep.phantoms import OF_A_DEAD_PROCESS, affine, edit, phantom, save
from tests.srmri_tf.cli.test_cli import run, run_alone
from tests.srmri_tf.enhance.test_api import CARD
from tests.srmri_tf.enhance.test_volume import fake, fine, identity, stored_as
from tests.srmri_tf.evaluation.test_measuring import make_run

# The 24 right-handed axis orders and flips, and the 24 left-handed ones.
ORIENTATIONS = [
    list(zip(axes, flips, strict=True))
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]
FINE = ("constant", "all_zero", "series")  # nothing to train on, but nothing to refuse either


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A RUN whose network is the identity."""
    return make_run(tmp_path_factory.mktemp("enhance") / "net")


@pytest.fixture
def network(monkeypatch):
    """One that changes nothing, ringing included, whatever MODEL is asked for."""
    return use(fake(identity, lr="real"), monkeypatch)


def use(network, monkeypatch):
    """Take it for whatever MODEL is asked for: what is read of a file has the same fields."""
    monkeypatch.setattr(files, "read", lambda model: network)
    monkeypatch.setattr(models, "network_of", lambda stored, precision: stored)
    return network


def super_resolve(given, out=None, config=None, warn=None, model="", overwrite=False):
    config = dataclasses.replace(config or EnhanceConfig(), model=model)
    worklist = make_worklist(given, out, config)
    return list(enhance(worklist, config, overwrite=overwrite, warn=warn))


def oblique(spacing=(0.9, 0.9, 3.1)) -> np.ndarray:
    matrix = affine(spacing)
    matrix[:3, :3] = nib.eulerangles.euler2mat(0.1, -0.05, 0.2) @ matrix[:3, :3]
    return matrix


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_results_overlay_on_scans_of_every_orientation(network, tmp_path, orientation):
    voxels, matrix = stored_as(orientation, phantom((12, 10, 7)), oblique())
    image = nib.Nifti1Image(voxels, None)
    image.set_sform(matrix, code=1)
    image.set_qform(matrix, code=2)
    nib.save(image, tmp_path / "scan.nii.gz")
    (result,) = super_resolve([tmp_path / "scan.nii.gz"])
    scan, back = nib.load(tmp_path / "scan.nii.gz"), nib.load(result.target.image)
    across = scan.shape.index(7)
    step = np.where(np.arange(3) == across, 1, 2)
    assert back.shape == tuple(scan.shape * step)
    assert (back.header["sform_code"], back.header["qform_code"]) == (1, 2)
    for form in ("get_sform", "get_qform"):
        before, after = getattr(scan, form)(), getattr(back, form)()
        for landmark in [(0, 0, 0), (3, 2, 1), (5, 6, 6)]:
            np.testing.assert_allclose(
                nib.affines.apply_affine(after, landmark * step),
                nib.affines.apply_affine(before, landmark),
                atol=1e-5,
            )
    # So do the voxels: with a network that changes nothing this is zero-filling.
    found, stack = (np.moveaxis(i.get_fdata(), across, 0) for i in (back, scan))
    np.testing.assert_allclose(found, fine(stack), atol=0.01)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("same_grid", [False, True])
def test_headers_are_kept(network, tmp_path, suffix, dtype, same_grid):
    voxels = (phantom((12, 10, 7)) / 4).astype(dtype)
    image = nib.Nifti1Image(voxels, affine((1, 1, 3)), dtype=dtype)
    image.set_sform(affine((1, 1, 3)), code=4)
    image.set_qform(affine((1, 1, 3)), code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_dim_info(0, 1, 2)
    image.header["descrip"] = b"scanner says hello"
    image.header["slice_end"] = 6
    nib.save(image, tmp_path / f"scan{suffix}")
    (result,) = super_resolve(
        [tmp_path / f"scan{suffix}"], config=EnhanceConfig(same_grid=same_grid)
    )
    back = nib.load(result.target.image)
    assert result.target.image.name == f"scan_desc-cpce{suffix}"
    rings = np.issubdtype(dtype, np.unsignedinteger) and not same_grid
    assert back.get_data_dtype() == (np.int16 if rings else dtype)
    kept = ("sform_code", "qform_code", "xyzt_units", "descrip", "dim_info", "slice_end")
    for field in (*kept, "scl_slope", "scl_inter", "qoffset_x", "quatern_b"):
        np.testing.assert_array_equal(back.header[field], image.header[field], err_msg=field)
    size = 1 if same_grid else 0.5
    np.testing.assert_array_equal(back.header.get_zooms(), (size, size, 3))
    grid = back.get_fdata()[:: 1 if same_grid else 2, :: 1 if same_grid else 2]
    np.testing.assert_allclose(grid, voxels, atol=1e-3)  # the scan's own voxels are among them


def series_of(count=3):
    """A series with a timing, an offset in time and an intensity of its own in each volume."""
    volumes = [(n + 1) * phantom((12, 10, 7), n) for n in range(count)]
    image = nib.Nifti1Image(np.stack(volumes, axis=-1).astype(np.int16), affine((1, 1, 3)))
    image.header.set_zooms((1, 1, 3, 2.5))
    image.header.set_xyzt_units("mm", "sec")
    image.header["toffset"] = 1.5
    return image


@pytest.mark.parametrize("uncertainty", [False, True])
def test_a_series_is_enhanced_volume_by_volume(network, tmp_path, uncertainty):
    image = series_of()
    nib.save(image, tmp_path / "bold.nii.gz")
    calls = []
    config = EnhanceConfig(uncertainty=uncertainty)
    worklist = make_worklist([tmp_path / "bold.nii.gz"], None, config)
    (result,) = enhance(worklist, config, progress=lambda *call: calls.append(call[:2]))
    back = nib.load(result.target.image)
    assert back.shape == (24, 20, 7, 3)
    assert back.header.get_zooms() == (0.5, 0.5, 3, 2.5)
    assert back.header["toffset"] == 1.5
    assert back.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(back.get_fdata()[::2, ::2], image.get_fdata(), atol=1)
    assert calls[-1] == (21, 21)
    assert calls == sorted(calls)
    if uncertainty:
        assert nib.load(result.target.uncertainty).shape == back.shape
    for number in range(3):
        alone = nib.Nifti1Image(image.dataobj[..., number], image.affine)
        nib.save(alone, tmp_path / f"alone{number}.nii.gz")
        (single,) = super_resolve([tmp_path / f"alone{number}.nii.gz"], config=config)
        np.testing.assert_array_equal(
            back.get_fdata()[..., number], nib.load(single.target.image).get_fdata()
        )


def test_a_series_is_in_memory_once(monkeypatch):
    def enhanced(network, volume, affine, config, **options):
        voxels = np.zeros((64, 64, 8), np.float32)
        return SimpleNamespace(voxels=voxels, uncertainty=None, implausible=0.25)

    monkeypatch.setattr(files, "enhance_volume", enhanced)
    series = SimpleNamespace(volumes=20, volume=lambda number: None, affine=None, path=None)
    tracemalloc.start()
    (image,), implausible = files._enhanced(None, series, None, EnhanceConfig(), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.shape == (64, 64, 8, 20)
    assert implausible == pytest.approx(0.25)
    assert peak < 1.2 * image.nbytes


@pytest.mark.parametrize("suffix", [".mgz", ".hdr", ".img"])
def test_other_formats_become_nifti(network, tmp_path, suffix):
    voxels = (phantom((12, 10, 7)) / 4).astype(np.int16)
    kind = nib.MGHImage if suffix == ".mgz" else nib.Nifti1Pair
    image = kind(voxels, oblique())
    nib.save(image, tmp_path / f"scan{suffix}")
    (result,) = super_resolve([tmp_path / f"scan{suffix}"])
    assert result.target.image == tmp_path / "scan_desc-cpce.nii.gz"
    back = nib.load(result.target.image)
    np.testing.assert_allclose(back.affine, image.affine @ np.diag([0.5, 0.5, 1, 1]), atol=1e-5)
    np.testing.assert_allclose(back.get_fdata()[::2, ::2], voxels, atol=1)
    assert back.get_data_dtype() == np.int16
    (again,) = super_resolve([tmp_path / f"scan{suffix}"])
    assert not again.fresh


def test_a_header_without_what_was_not_believed_is_written(network, tmp_path):
    path = edit(save(tmp_path / "scan.nii", phantom((12, 10, 7))), pixdim={1: 0})
    warnings = []
    (result,) = super_resolve([path], warn=warnings.append)
    assert any("0 x 1 x 3 mm in pixdim" in text for text in warnings)
    back = nib.load(result.target.image)
    assert back.header.get_zooms() == (0.5, 0.5, 3)
    record = json.loads(result.target.sidecar.read_text())
    assert any("0 x 1 x 3 mm in pixdim" in text for text in record["Warnings"])


def test_bright_voxels_widen_the_type_instead_of_being_clipped(tmp_path, monkeypatch):
    use(fake(lambda x: 1.5 * x), monkeypatch)
    path = save(tmp_path / "scan.nii", (phantom((12, 10, 7)) * 0.255).astype(np.uint8))
    (result,) = super_resolve([path], config=EnhanceConfig(consistency=False))
    back = nib.load(result.target.image)
    assert back.get_data_dtype() == np.uint16
    assert back.get_fdata().max() > 1.4 * 255


def test_the_file_measured_again_is_the_scan(tmp_path, monkeypatch):
    """Also of unsigned integers, which ringing below zero gives a sign."""
    noise = np.random.default_rng(0).normal(0, 0.1, (64, 64)).astype(np.float32)
    use(fake(lambda x: x + noise[: x.shape[1], : x.shape[2]]), monkeypatch)
    voxels = np.zeros((30, 28, 7), np.uint16)
    voxels[8:20, 7:21] = phantom((12, 14, 7))
    path = save(tmp_path / "scan.nii.gz", voxels)
    (result,) = super_resolve([path])
    back = nib.load(result.target.image)
    assert back.get_data_dtype() == np.int16
    stored = np.asarray(back.dataobj)
    assert stored.min() < -0.05 * voxels.max()
    again = np.abs(measured(stored.transpose(2, 0, 1))).transpose(1, 2, 0)
    # Each stored value is rounded by half a unit at most, and a quarter of that is measured.
    assert np.sqrt(np.mean((again - voxels) ** 2)) < 0.2
    assert np.abs(again - voxels).max() < 1


def measured(images):
    """Half the matrix by NumPy: the centre of k-space, both signs of its highest line added."""
    for axis in (-2, -1):
        n = images.shape[axis] // 2
        spectrum = np.moveaxis(np.fft.fft(images, axis=axis), axis, 0)
        low = np.concatenate([spectrum[: n // 2], spectrum[-(n // 2) :]])
        low[n // 2] += spectrum[n // 2]
        images = np.moveaxis(np.fft.ifft(low, axis=0), 0, axis).real / 2
    return images


@pytest.mark.parametrize("name", [name for name in CASES if name not in FINE])
def test_a_malformed_scan_is_one_message_and_nothing_is_written(
    name, folder, network, tmp_path, capsys
):
    (tmp_path / "in").mkdir()
    make, fault = CASES[name]
    path = make(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    started = time.perf_counter()
    assert run("enhance", path, "-o", tmp_path / "out", "--model", folder) == 3
    assert time.perf_counter() - started < 2
    captured = capsys.readouterr()
    assert str(path) in captured.err
    assert fault in captured.err
    first, *rest = captured.err.splitlines()
    assert first == f"opening {path}, model {folder} ..."
    assert len([line for line in rest if not line.startswith("model ")]) == 1
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["bomb", "bomb_behind_an_innocent_header", "absurd_shape"])
def test_absurd_sizes_are_refused_before_memory_is_taken(name, network, tmp_path):
    path = CASES[name][0](tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            super_resolve([path], tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FINE)
def test_a_constant_scan_stays_finite(name, network, tmp_path):
    path = CASES[name][0](tmp_path)
    (result,) = super_resolve([path], config=EnhanceConfig(uncertainty=True))
    for image in result.target.images:
        assert np.isfinite(nib.load(image).get_fdata()).all()


def test_a_damaged_scan_does_not_keep_the_others_from_being_sharpened(network, tmp_path):
    scans = tmp_path / "in"
    for name in ("a", "c"):
        save(scans / f"{name}.nii.gz")
    CASES["nan_voxel"][0](scans)  # only its voxels show it
    with pytest.raises(BadInputError, match=r"scan\.nii\.gz: has 1 voxels that are NaN"):
        super_resolve([scans], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a_desc-cpce.json",
        "a_desc-cpce.nii.gz",
        "c_desc-cpce.json",
        "c_desc-cpce.nii.gz",
    ]


def test_a_name_too_long_for_a_result_does_not_keep_the_others_from_being_enhanced(
    network, tmp_path
):
    save(tmp_path / "in" / "a.nii.gz")
    long = save(tmp_path / "in" / f"{'b' * 215}.nii.gz")  # so is its result's name, just not longer
    save(tmp_path / "in" / f"{'c' * 239}.nii.gz")
    with pytest.raises(BadInputError, match=r"ccc\.nii\.gz: its result would have a name of 26"):
        super_resolve([tmp_path / "in"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gz")) == [
        "a_desc-cpce.nii.gz",
        f"{'b' * 215}_desc-cpce.nii.gz",
    ]
    (result,) = super_resolve([long], tmp_path / "x.nii.gz")
    assert result.target.image == tmp_path / "x.nii.gz"


def test_the_same_call_goes_on_where_it_was_interrupted(network, tmp_path, monkeypatch):
    scans = tmp_path / "in"
    for n in range(3):
        save(scans / f"s{n}.nii.gz", phantom(seed=n))
    worklist = make_worklist([scans], tmp_path / "out")
    work = enhance(worklist)
    first = next(work)
    work.close()  # as an interrupt would
    (tmp_path / "out" / f"{OF_A_DEAD_PROCESS}killed-s1.nii.gz").write_bytes(b"half")
    stamp = first.target.image.stat().st_mtime_ns
    assert [result.fresh for result in enhance(worklist)] == [False, True, True]
    assert first.target.image.stat().st_mtime_ns == stamp
    assert not list((tmp_path / "out").glob(".*"))
    assert [result.fresh for result in enhance(worklist)] == [False] * 3
    assert [r.fresh for r in enhance(worklist, overwrite=True)] == [True] * 3


def test_another_scan_model_or_setting_is_refused_before_anything_is_written(
    network, tmp_path, monkeypatch
):
    scans = [save(tmp_path / f"s{n}.nii.gz", phantom(seed=n)) for n in range(2)]
    super_resolve(scans[1:], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ConfigError, match="Consistency: True there, False asked for"):
        super_resolve(scans, tmp_path / "out", EnhanceConfig(consistency=False))
    other = dataclasses.replace(network, sha256="f" * 64)
    use(other, monkeypatch)
    with pytest.raises(ConfigError, match="ModelSha256"):
        super_resolve(scans, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_scan_is_never_replaced_by_its_own_result(network, tmp_path):
    scan = save(tmp_path / "in" / "scan.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    around = tmp_path / "in" / ".." / "in" / scan.name
    for out in (scan, around, tmp_path / "link" / scan.name):
        for overwrite in (False, True):
            with pytest.raises(ConfigError, match="would be replaced by a result"):
                super_resolve([scan], out, overwrite=overwrite)


def test_a_result_does_not_take_the_sidecar_of_a_scan(network, tmp_path):
    scan = save(tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"sidecar of the scan scan\.nii\.gz"):
            super_resolve([scan], tmp_path / "scan.nii", overwrite=overwrite)
    assert (tmp_path / "scan.json").read_text() == "{}"


def test_a_foreign_file_is_not_replaced_unless_it_is_said(network, tmp_path):
    scan = save(tmp_path / "scan.nii.gz")
    (tmp_path / "out.nii.gz").write_text("precious")
    with pytest.raises(ConfigError, match="was not made by this program"):
        super_resolve([scan], tmp_path / "out.nii.gz")
    assert (tmp_path / "out.nii.gz").read_text() == "precious"
    super_resolve([scan], tmp_path / "out.nii.gz", overwrite=True)
    assert nib.load(tmp_path / "out.nii.gz").shape == (48, 40, 12)


def test_a_bids_data_set_and_its_sidecars(network, tmp_path):
    save(tmp_path / "sub-1" / "anat" / "sub-1_T2w.nii.gz")
    (result,) = super_resolve([tmp_path], config=EnhanceConfig(uncertainty=True))
    out = tmp_path / "derivatives" / "srmri-tf"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        ".bidsignore",
        "README.md",
        "dataset_description.json",
        "sub-1/anat/sub-1_res-2x_desc-cpceUncertainty_T2w.json",
        "sub-1/anat/sub-1_res-2x_desc-cpceUncertainty_T2w.nii.gz",
        "sub-1/anat/sub-1_res-2x_desc-cpce_T2w.json",
        "sub-1/anat/sub-1_res-2x_desc-cpce_T2w.nii.gz",
    ]
    (out / "dataset_description.json").unlink()  # as a kill just before it would
    assert [
        again.fresh for again in super_resolve([tmp_path], config=EnhanceConfig(uncertainty=True))
    ] == [False]
    assert (out / "dataset_description.json").exists()
    said = json.loads(result.target.sidecar.read_text())
    assert said["Contrast"] == "T2 by its name"
    assert said["Sources"] == ["bids:raw:sub-1/anat/sub-1_T2w.nii.gz"]
    assert said["ModelSha256"] == network.sha256
    assert said["Parameters"]["Uncertainty"] is True
    assert said["SlicePlane"] == "axial"


def test_the_bids_validator_finds_no_error(network, tmp_path):
    validator = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in ("sub-1/anat/sub-1_T2w", "sub-2/ses-1/anat/sub-2_ses-1_acq-hr_desc-preproc_T1w"):
        save(raw / f"{name}.nii.gz", phantom((12, 10, 7)))
    save(raw / "sub-1" / "anat" / "sub-1_FLAIR.nii", phantom((12, 10, 7)))
    super_resolve([raw], out, EnhanceConfig(uncertainty=True))
    super_resolve([raw / "sub-2"], out, EnhanceConfig(same_grid=True))
    done = subprocess.run([validator, "--json", out], capture_output=True, check=False, timeout=60)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert {issue["code"] for issue in issues} <= {"TOO_FEW_AUTHORS", "NIFTI_UNIT"}  # of the scans
    (out / "sub-1" / "anat" / "sub-1_res-2x_desc-cpce_T2w.json").write_text("{}")
    assert subprocess.run([validator, out], capture_output=True, check=False).returncode


def test_what_is_out_of_range_is_warned_of_and_noted(network, tmp_path, monkeypatch):
    known = dataclasses.replace(network, card=CARD)
    use(known, monkeypatch)
    scan = save(tmp_path / "head_T1w.nii", spacing=(5, 5, 3))
    said = []
    (result,) = super_resolve([scan], warn=said.append)
    assert said[0].startswith(f"{scan}: is T1 by its name, but model fake was trained on T2")
    assert any("in-plane spacing 2.5 mm, but 0.5 to 0.6 in training" in text for text in said)
    noted = json.loads(result.target.sidecar.read_text())["Warnings"]
    assert [f"{scan}: {text}" for text in noted] == said


def test_values_that_were_kept_are_warned_of_and_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(volume, "implausible", implausible)
    use(fake(lambda x: np.where(x > 0.98, 100, x)), monkeypatch)
    scan = save(tmp_path / "head_T2w.nii", phantom((40, 32, 3)))
    said = []
    (result,) = super_resolve([scan], warn=said.append)
    assert re.fullmatch(rf"{scan}: has what model fake was .*in \d+\.\d\d% of the head .*", said[0])
    noted = json.loads(result.target.sidecar.read_text())["Warnings"]
    assert [f"{scan}: {text}" for text in noted] == said
    brightest = nib.load(scan).get_fdata().max()
    assert nib.load(result.target.image).get_fdata().max() < 2 * brightest


def test_every_contrast_that_a_model_learnt_from_is_its_own(network, tmp_path, monkeypatch):
    card = CARD.model_copy(update={"contrast": "FLAIR, T1"})
    use(dataclasses.replace(network, card=card), monkeypatch)
    said = []
    for name in ("a_T1w", "a_FLAIR", "a_T2w"):
        super_resolve([save(tmp_path / f"{name}.nii", spacing=(5, 5, 3))], warn=said.append)
    (told,) = (text for text in said if "by its name" in text)
    assert told.startswith(f"{tmp_path / 'a_T2w.nii'}: is T2")
    assert "trained on FLAIR, T1" in told


@pytest.mark.parametrize("same_grid", [False, True])
@pytest.mark.parametrize("interpolated", [False, True])
def test_the_wrong_grid_is_warned_of(network, tmp_path, interpolated, same_grid):
    small = np.random.default_rng(0).random((4, 64, 64)) * 500
    images = fine(small) if interpolated else np.kron(small, np.ones((1, 2, 2)))
    images += np.random.default_rng(1).random(images.shape) * (0 if interpolated else 500)
    said = []
    scan = save(tmp_path / "a.nii", np.abs(images).transpose(2, 1, 0).astype(np.float32))
    super_resolve([scan], config=EnhanceConfig(same_grid=same_grid), warn=said.append)
    told = [text for text in said if "has its k-space filled to" in text]
    assert len(told) == (interpolated != same_grid)
    for text in told:
        assert text.endswith(f"enhance it {'without' if same_grid else 'with'} --same-grid")


def test_a_scan_without_orientation_is_warned_of(network, tmp_path):
    scan = edit(save(tmp_path / "scan.nii"), sform_code=0, qform_code=0)
    said = []
    super_resolve([scan], warn=said.append)
    assert [text for text in said if "has no orientation" in text]


@pytest.mark.parametrize(("units", "size"), [(2, 1.5), (3, 0.0015), (7, 1.5)])
def test_a_resolution_is_in_mm_and_of_the_affine_that_is_believed(network, tmp_path, units, size):
    path = edit(save(tmp_path / "sub-1_T2w.nii", spacing=(3, 3, 9)), xyzt_units=units)
    edit(path, pixdim=[1, 5, 5, 9, 0, 0, 0, 0])
    (result,) = super_resolve([path])
    said = json.loads(result.target.sidecar.read_text())["Resolution"]
    assert said == f"voxels of {size:g} x {size:g} x {6 * size:g} mm"


def test_a_contradiction_of_name_and_sidecar_is_noted(network, tmp_path):
    scan = save(tmp_path / "a_T2w.nii")
    (tmp_path / "a_T2w.json").write_text('{"EchoTime": 0.003, "RepetitionTime": 0.5}')
    said = []
    (result,) = super_resolve([scan], warn=said.append)
    noted = json.loads(result.target.sidecar.read_text())["Warnings"]
    assert [f"{scan}: {text}" for text in noted] == said
    assert "T1" in noted[0]


def test_a_result_made_anew_leaves_no_outdated_map_and_page(network, tmp_path):
    scan = save(tmp_path / "scan.nii.gz")
    super_resolve([scan], config=EnhanceConfig(uncertainty=True))
    page = tmp_path / "scan_desc-cpce.html"
    page.write_text(f"<head>{derivatives.PAGE_MARK}</head>")
    index = tmp_path / "index.html"
    index.write_text(page.read_text())
    (again,) = super_resolve([scan], tmp_path, EnhanceConfig(same_grid=True), overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted([scan, again.target.image, again.target.sidecar])
    super_resolve([scan], config=EnhanceConfig(uncertainty=True), overwrite=True)
    page.write_text("my own notes")
    (tmp_path / "scan_desc-cpceUncertainty.json").write_text("{}")
    super_resolve([scan], overwrite=True)
    assert page.exists()
    assert (tmp_path / "scan_desc-cpceUncertainty.nii.gz").exists()  # whose it is nobody says


def test_one_folder_holds_results_of_one_bids_data_set(network, tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / f"sub-{name}" / "anat" / f"sub-{name}_T2w.nii")
        (tmp_path / name / "dataset_description.json").write_text("{}")
    super_resolve([tmp_path / "a"], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds results of another BIDS data set, \.\./a"):
        super_resolve([tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out" / "sub-b").exists()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert not super_resolve([tmp_path / "link"], tmp_path / "out")[0].fresh


@pytest.mark.parametrize("name", ["b_T2_desc-cpce.html", "index.html"])
def test_pages_with_the_names_of_other_files_are_refused_first(network, tmp_path, name):
    scans = [save(tmp_path / f"{letter}_T2.nii") for letter in "ab"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    worklist = make_worklist(scans, tmp_path / "out")
    for work in (enhance, plan):
        with pytest.raises(ConfigError, match=f"{name}: already exists and is no page"):
            list(work(worklist, EnhanceConfig(model=""), pages=True))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_calls_share_a_folder_but_no_result(network, tmp_path):
    first, second = (save(tmp_path / f"{letter}_T2.nii") for letter in "ab")
    out = tmp_path / "out"
    results = enhance(make_worklist([first, second], out), EnhanceConfig(model=""))
    with lock(out, "b_T2_desc-cpce.nii"):
        assert next(results).job.scan == first
        (other,) = super_resolve([save(tmp_path / "c_T2.nii")], out)
        with pytest.raises(BadInputError, match=r"b_T2_desc-cpce\.nii: is in use by another"):
            next(results)
    assert other.fresh
    results = enhance(make_worklist([first, second], out), EnhanceConfig(model=""))
    next(results)
    super_resolve([second], out)  # meanwhile
    assert not next(results).fresh
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{letter}_T2_desc-cpce.{suffix}" for letter in "abc" for suffix in ("json", "nii")
    )


def test_a_plan_has_the_warnings_that_need_no_voxel(network, tmp_path, monkeypatch):
    use(dataclasses.replace(network, card=CARD), monkeypatch)
    scan = edit(save(tmp_path / "x_FLAIR.nii"), sform_code=0, qform_code=0)
    said = []
    plan(make_worklist([scan]), EnhanceConfig(model=""), warn=said.append)
    assert len(said) == 2
    assert "is FLAIR by its name" in said[0]
    assert "has no orientation" in said[1]


def test_a_result_as_input_is_warned_of(network, tmp_path):
    (result,) = super_resolve([save(tmp_path / "scan.nii")])
    said = []
    (again,) = super_resolve([result.target.image], warn=said.append)
    assert said == [f"{result.target.image}: is itself a result of srmri-tf, not a scan"]
    assert again.target.image.name == "scan_desc-cpceCpce.nii"


def test_a_model_of_another_degradation_is_refused(tmp_path):
    parameters = {"degradation": {"keep": 0.25, "keep_by": "axis", "lr": "magnitude"}}
    model = make_run(tmp_path / "net", parameters=parameters)
    scan = save(tmp_path / "scan.nii")
    with pytest.raises(BadInputError, match=r"kept 0\.25 of k-space by axis"):
        super_resolve([scan], tmp_path / "out", model=str(model))
    (model / "run.json").write_text("{}")
    with pytest.raises(BadInputError, match="does not say which degradation"):
        super_resolve([scan], tmp_path / "out", model=str(model))
    assert not (tmp_path / "out").exists()


def test_the_command(folder, tmp_path, capsys):
    scan = save(tmp_path / "scan.nii.gz")
    out = tmp_path / "out"
    arguments = ("enhance", scan, "-o", out, "--model", folder)
    assert run(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out / 'scan_desc-cpce.nii.gz'}\n"
    assert f"model {folder}: scan.nii.gz (contrast unknown)" in captured.err
    assert run(*arguments) == 0
    assert "(finished already)" in capsys.readouterr().out
    assert run(*arguments, "--same-grid", "--uncertainty") == 2
    assert "SameGrid: False there, True asked for" in capsys.readouterr().err
    assert run(*arguments, "--same-grid", "--uncertainty", "--overwrite") == 0
    spread = nib.load(out / "scan_desc-cpceUncertainty.nii.gz")
    assert spread.shape == (24, 20, 12)


@pytest.mark.parametrize("kept_in", ["run", "package"])
def test_what_is_finished_is_known_without_tensorflow(kept_in, folder, tmp_path):
    for n in range(2):
        save(tmp_path / "in" / f"s{n}.nii.gz", phantom(seed=n))
    arguments = ["enhance", tmp_path / "in", "-o", tmp_path / "out"]
    arguments += ["--model", folder] if kept_in == "run" else []
    assert run(*arguments) == 0
    printed, _, imported, _ = run_alone(*arguments)
    assert printed.count("(finished already)") == 2
    assert "tensorflow" not in imported
    assert "keras" not in imported


@pytest.mark.slow
def test_killed_at_any_moment_a_rerun_ends_with_the_same_bytes(folder, tmp_path):
    scans = tmp_path / "in"
    for n in range(4):
        save(scans / f"s{n}.nii.gz", phantom((64, 60, 12), n))

    def start(out):
        command = [sys.executable, "-c", "from srmri_tf.cli import main; main()"]
        arguments = ["enhance", str(scans), "-o", str(out), "--model", str(folder)]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen([*command, *arguments], env=environment)

    def contents(out):
        return {path.name: path.read_bytes() for path in out.iterdir()}

    assert start(tmp_path / "whole").wait(300) == 0
    for count in (1, 2, 3, 4, 5, 6):  # files that are there when the kill comes
        process = start(tmp_path / "killed")
        while process.poll() is None and len(list((tmp_path / "killed").glob("*"))) < count:
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert start(tmp_path / "killed").wait(300) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
