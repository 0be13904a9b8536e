"""Rows survive their file."""

import math

import pytest

from data_prep.errors import CorruptArtefactError
from srmri_tf.evaluation.scorefiles import read_slices, read_volumes, write_rows
from srmri_tf.evaluation.scores import SliceRow, VolumeRow


def test_slices_come_back_and_what_was_not_measured_is_nan(tmp_path):
    rows = [
        SliceRow("lr", "s1", "", 3, False, 30.125, 0.5, nrmse=0.25),
        SliceRow("lr", "s 2", "a", 4, True, math.inf, 1.0),
    ]
    write_rows(tmp_path / "slices.tsv", rows, ["vgg", "high_frequency"])
    assert "vgg" not in (tmp_path / "slices.tsv").read_text()
    first, second = read_slices(tmp_path)
    assert first.subject == "s1"
    assert (first.slice, first.background, first.psnr, first.nrmse) == (3, False, 30.125, 0.25)
    assert math.isnan(first.vgg)
    assert (second.session, second.background, second.psnr) == ("a", True, math.inf)


def test_volumes_come_back(tmp_path):
    rows = [VolumeRow("lr", "s1", "b", 7, 30.5, 0.5, 31.0, 0.75, 0.125, 0.0, 2.5)]
    write_rows(tmp_path / "volumes.tsv", rows)
    assert read_volumes(tmp_path) == rows


@pytest.mark.parametrize("text", ["method\tsubject\nlr\ts1\n", "\0"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "slices.tsv").write_text(text)
    with pytest.raises(CorruptArtefactError, match=r"slices\.tsv"):
        read_slices(tmp_path)
    with pytest.raises(CorruptArtefactError, match=r"volumes\.tsv"):
        read_volumes(tmp_path)
