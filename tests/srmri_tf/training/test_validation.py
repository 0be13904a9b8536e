"""What a validator measures, and what it refuses."""

import json

import numpy as np
import pytest

from data_prep.errors import BadInputError
from srmri_tf.data.dataset import LEAST_SIDE, Shards
from srmri_tf.metrics import image
from srmri_tf.training.validation import Validator
from tests.srmri_tf.small import SmallGenerator


def small_slices(folder, subject, height, width):
    """Say in the manifest that a subject's slices are of another size."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["subject"] == subject:
            shard |= {"slice_height": height, "slice_width": width}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_slices_too_small_for_ssim_are_refused_by_name(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "val", "c": "val"})
    small_slices(folder, "c", 40, 10)
    with pytest.raises(BadInputError, match="40 x 10, but SSIM needs at least 11") as caught:
        Validator(Shards.open(folder), SmallGenerator(), 0)
    assert caught.value.path == folder / "c.tfrecord"


def test_small_slices_that_are_not_measured_do_not_matter(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "val"})
    small_slices(folder, "a", 10, 10)
    assert len(Validator(Shards.open(folder), SmallGenerator(), 0).pairs) == 4


def test_the_least_side_is_that_of_ssims_window():
    least = np.ones((LEAST_SIDE, 40), np.float32)
    assert image.ssim(least, least) == 1
    with pytest.raises(ValueError, match="win_size"):
        image.ssim(least[1:], least[1:])
