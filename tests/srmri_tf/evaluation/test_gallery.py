"""The slices that an evaluation keeps for looking at."""

import json

import numpy as np
import pytest

from data_prep.errors import CorruptArtefactError
from srmri_tf.evaluation import gallery
from srmri_tf.evaluation.gallery import Exhibit


def test_the_shape_of_pixels_is_kept(tmp_path):
    images = {"lr": np.ones((16, 16), np.float32), "truth": np.ones((16, 16), np.float32)}
    kept = gallery.save([Exhibit("s1", "", 3, images, {}, spacing=(3.0, 1.0))], tmp_path)
    (exhibit,) = gallery.load(tmp_path, json.loads(json.dumps(kept)))
    assert list(exhibit.spacing) == [3.0, 1.0]


def test_damaged_images_are_refused_wherever_the_damage_is(tmp_path):
    image = np.random.default_rng(0).random((16, 16), np.float32)
    images = {"lr": image, "truth": image}
    entries = gallery.save([Exhibit("s1", "", 3, images, {}, ["median"])], tmp_path)
    path = tmp_path / gallery.FILE
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place : place + 8] = bytes(8)
        path.write_bytes(damaged)
        try:
            gallery.load(tmp_path, entries)
        except CorruptArtefactError:
            refused += 1
    assert refused > 100
    path.write_bytes(b"")
    with pytest.raises(CorruptArtefactError):
        gallery.load(tmp_path, entries)
