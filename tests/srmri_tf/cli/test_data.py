"""prepare, verify and inspect as a person runs them."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from data_prep.shards.schema import read_manifest
from tests.data_prep.phantoms import phantom, save


@pytest.fixture
def scans(tmp_path):
    for number in range(4):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((32, 30, 8), number))
    return tmp_path / "scans"


@pytest.fixture
def shards(scans, tmp_path, run):
    assert run("prepare", scans, "-o", tmp_path / "shards", "--patch-size", "16")[0] == 0
    return tmp_path / "shards"


def table(text) -> dict[str, list[str]]:
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in ("train", "val", "test")}


def test_prepare_ends_with_a_summary(scans, tmp_path, run):
    out = tmp_path / "shards"
    code, stdout, stderr = run("prepare", scans, "-o", out, "--patch-size", "16")
    assert (code, len(stderr.splitlines())) == (0, 1)
    assert stderr.startswith("4 shards made; ")
    rows = table(stdout)
    assert rows["train"][:4] == ["2", "2", "16", "64"]
    assert rows["val"][:4] == ["1", "1", "8", "0"]
    assert rows["test"][:4] == ["1", "1", "8", "0"]
    assert f"Shards: {out}" in stdout


def test_prepare_and_inspect_say_what_was_left_out(scans, tmp_path, run):
    drawn = (phantom((32, 30, 8)) > 500).astype(np.uint8)
    for name in ("s1_mask", "s2_desc-cpce", "s3_other"):
        save(scans / f"{name}.nii.gz", drawn)
    said = "left out 3: 1 label image, 1 mask, 1 result of srmri-tf\n"
    out = tmp_path / "shards"
    code, stdout, stderr = run("prepare", scans, "-o", out, "--patch-size", "16")
    assert code == 0
    assert stderr.startswith(said)
    assert f"  {scans / 's1_mask.nii.gz'}: mask\n" in stderr
    assert table(stdout)["train"][:2] == ["2", "2"]
    assert run("inspect", out)[2] == (
        f"{said}  s1_mask.nii.gz: mask\n  s2_desc-cpce.nii.gz: result of srmri-tf\n"
        "  s3_other.nii.gz: label image\n"
    )


def test_several_contrasts_are_chosen_from_or_mixed(tmp_path, run):
    for number in range(6):
        name = f"s{number // 2}_{('t1w', 't2w')[number % 2]}"
        save(tmp_path / "scans" / f"{name}.nii.gz", phantom((32, 30, 8), number))
    given = ("prepare", tmp_path / "scans", "--patch-size", "16")
    code, _, stderr = run(*given, "-o", tmp_path / "none")
    assert code == 2
    assert "several contrasts: T1, T2. Choose one with --modality, or mix them" in stderr
    both = ("--modality", "T1", "--all-contrasts")
    assert "--modality chooses one contrast" in run(*given, "-o", tmp_path / "none", *both)[2]
    assert run(*given, "-o", tmp_path / "t1", "--modality", "MPRAGE")[0] == 0
    assert read_manifest(tmp_path / "t1").contrasts == {"T1": 3}
    code, stdout, _ = run(*given, "-o", tmp_path / "all", "--all-contrasts")
    assert code == 0
    assert "scans by contrast: T1 3, T2 3" in stdout
    manifest = read_manifest(tmp_path / "all")
    assert sorted(shard.file for shard in manifest.shards)[:2] == [
        "s0_T1.tfrecord",
        "s0_T2.tfrecord",
    ]
    assert {split: len(manifest.of(split)) for split in ("train", "val", "test")} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }
    rows = [line.split() for line in run("inspect", tmp_path / "all")[1].splitlines()]
    assert [(row[0], row[-1]) for row in rows if row and row[-1] in ("all", "T1", "T2")] == [
        (split, contrast) for split in ("train", "val", "test") for contrast in ("all", "T1", "T2")
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--test-fraction", "1.0"], ("0", "0", "4")),
        (["--val-fraction", "1"], ("0", "4", "0")),
        (["--val-fraction", "0", "--test-fraction", "0"], ("4", "0", "0")),
        (["--val-fraction", "0.5", "--test-fraction", "0.5"], ("0", "2", "2")),
        (["--test-count", "2"], ("1", "1", "2")),
        (["--test-count", "2", "--val-count", "0", "--train-count", "1"], ("1", "0", "2")),
        (["--folds", "2"], ("4", "0", "0")),
    ],
)
def test_splits(scans, tmp_path, run, options, expected):
    code, stdout, stderr = run(
        "prepare", scans, "-o", tmp_path / "out", "--patch-size", "16", "--quiet", *options
    )
    assert (code, stderr) == (0, "")
    rows = table(stdout)
    assert tuple(rows[split][0] for split in ("train", "val", "test")) == expected


def test_a_slice_wise_split_is_marked(scans, tmp_path, run):
    out = tmp_path / "out"
    options = ["--slice-wise", "--train-count", "20", "--test-count", "5", "--val-count", "0"]
    code, stdout, stderr = run("prepare", scans, "-o", out, "--patch-size", "16", *options)
    assert code == 0
    assert table(stdout)["train"][2] == "20"
    assert table(stdout)["test"][2] == "5"
    assert "slices of one subject are in training and in test" in stderr
    assert "slices of one subject" in run("inspect", out)[2]


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        (["--val-fraction", "0.6", "--test-fraction", "0.6"], ["more than 1 together"]),
        (["--val-fraction", "-1"], ["--val-fraction: ", "prepare --help"]),
        (["--keep", "0", "--patch-size", "3"], ["--keep: ", "--patch-size: "]),
        (["--keep", "2"], ["less than or equal to 1, got 2.0"]),
        (["--plane", "oblique"], ["--plane: ", "'sagittal'"]),
        (["--matrix", "measured"], ["--matrix: ", "'acquired'"]),
        (["--keep-by", "volume", "--lr", "phase"], ["--keep-by: ", "--lr: "]),
        (["--lr", "coarse", "--keep", "0.1"], ["half of each axis"]),
        (["--folds", "2", "--test-fraction", "0.1"], ["contradict", "--folds", "--test-fraction"]),
        (["--folds", "2", "--slice-wise"], ["contradict"]),
        (["--split", "x.tsv", "--folds", "2"], ["--split, --folds"]),
        (["--folds", "9"], ["9 folds need as many subjects, got 4"]),
        (["--folds", "1"], ["at least 2"]),
        (["--test-count", "9"], ["more than the 4 there are"]),
        (["--subject-pattern", "("], ["--subject-pattern is not a regular expression"]),
        (["--workers", "0"], ["--workers"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_wrong_usage_is_code_2_and_writes_nothing(scans, tmp_path, run, options, faults):
    out = tmp_path / "out"
    code, stdout, stderr = run("prepare", scans, "-o", out, *options)
    assert (code, stdout) == (2, "")
    for fault in faults:
        assert fault in stderr
    assert "Traceback" not in stderr
    assert not out.exists()


def test_bad_input_is_code_3_and_writes_nothing(tmp_path, run):
    nan = save(tmp_path / "nan.nii.gz", np.full((20, 20, 5), np.nan, np.float32))
    for source in (tmp_path / "none.nii.gz", nan, tmp_path / "*.mgz"):
        code, _, stderr = run("prepare", source, "-o", tmp_path / "out")
        assert code == 3
        assert str(source) in stderr
        assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [nan]


def test_a_missing_table_is_code_3(scans, tmp_path, run):
    code, _, stderr = run("prepare", scans, "-o", tmp_path / "o", "--split", tmp_path / "no.tsv")
    assert code == 3
    assert "no.tsv" in stderr


def test_an_occupied_folder_is_code_2(scans, tmp_path, run):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    code, _, stderr = run("prepare", scans, "-o", tmp_path / "out")
    assert code == 2
    assert "something that is not a folder of shards, such as thesis.tex" in stderr


def test_other_parameters_are_code_2_with_the_difference(scans, shards, run):
    code, _, stderr = run("prepare", scans, "-o", shards, "--keep", "0.5", "--patch-size", "16")
    assert code == 2
    assert "keep: 0.25 there, 0.5 asked for" in stderr


def test_verify(shards, run):
    code, stdout, stderr = run("verify", shards)
    assert (code, stderr) == (0, "")
    assert "4 shards are as they were written" in stdout


def test_verify_of_a_changed_shard_is_code_4_and_names_it(shards, run):
    path = min(shards.glob("*.tfrecord"))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    for command in ("verify", "inspect"):
        code, stdout, stderr = run(command, shards)
        assert (code, stdout) == (4, "")
        assert path.name in stderr


def test_verify_of_no_shards_is_code_3(tmp_path, run):
    for folder in (tmp_path, tmp_path / "none"):
        code, _, stderr = run("verify", folder)
        assert code == 3
        assert "is not a folder of shards" in stderr


def test_inspect_shows_the_input_and_draws_it(shards, tmp_path, run):
    code, stdout, stderr = run("inspect", shards)
    assert (code, stderr) == (0, "")
    before, after = stdout.split("Low-resolution input")
    assert set(table(before)) == {"train", "val", "test"}
    for subjects, slices, psnr, ssim in table(after).values():
        assert int(subjects) in (1, 2)
        assert int(slices) > 0
        assert 20 < float(psnr) < 60
        assert 0.5 < float(ssim) < 1
    assert "0.25 of k-space by area, magnitude; axial slices; patches of 16" in stdout
    rows = after.split("How far k-space is filled")[1].splitlines()[2:6]
    assert [row.split() for row in rows] == [
        f"1.00 1.00 30 x 32 1 x 1 x 3 s{number}.nii.gz".split() for number in range(4)
    ]
    picture = tmp_path / "shards-contact-sheet.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Contact sheet: {picture}" in stdout


def test_inspect_measures_shards_that_do_not_say_how_far_kspace_is_filled(shards, run):
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    for shard in manifest["shards"]:
        del shard["filled"]
    del manifest["sha256"]  # those of before have none
    path.write_text(json.dumps(manifest))
    code, stdout, _ = run("inspect", shards)
    assert code == 0
    assert stdout.count("1.00     1.00") == 4


def test_inspect_of_slices_too_small_to_measure_is_code_3_and_names_one(tmp_path, run):
    for number in range(2):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((10, 10, 8), number))
    options = ("--patch-size", "9", "--val-fraction", "0", "--test-fraction", "0.5")
    assert run("prepare", tmp_path / "scans", "-o", tmp_path / "shards", *options)[0] == 0
    code, stdout, stderr = run("inspect", tmp_path / "shards")
    assert (code, stdout) == (3, "")
    assert "s0" in stderr
    assert "10 x 10, but SSIM needs at least 11 pixels a side" in stderr


def test_dask_without_a_scheduler_is_code_5(scans, tmp_path, run, monkeypatch):
    monkeypatch.setattr("data_prep.prepare.cluster.CONNECT_SECONDS", 0.2)
    code, _, stderr = run("prepare", scans, "-o", tmp_path / "out", "--dask", "tcp://127.0.0.1:9")
    assert code == 5
    assert "no Dask scheduler answers" in stderr
    assert not (tmp_path / "out").exists()


def test_prepare_never_imports_tensorflow(scans, tmp_path):
    code = (
        "import sys; from srmri_tf.cli import main\n"
        "main(['prepare', *sys.argv[1:], '--patch-size', '16'])\n"
        "assert 'tensorflow' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(scans), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.slow
def test_bad_input_is_refused_within_two_seconds(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("text")
    code = "from srmri_tf.cli import main; main()"
    command = [sys.executable, "-c", code, "prepare", str(path), "-o", str(tmp_path / "o")]
    started = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert time.perf_counter() - started < 2
    assert result.returncode == 3
