"""Records as a worker makes them, before they are framed."""

import hashlib

import numpy as np

from data_prep.kspace import Degradation, zero_filled
from data_prep.prepare.convert import patch_records, slice_records
from data_prep.prepare.pairs import SlicePairs
from data_prep.shards import files
from data_prep.shards.schema import encode


def pairs(images) -> SlicePairs:
    return SlicePairs(images, 1.0, Degradation())


def test_slices_are_stored_with_their_partners(tmp_path):
    images = np.random.default_rng(0).random((11, 12, 9)).astype(np.float32)
    written = files.write(tmp_path / "a.tfrecord", slice_records(pairs(images), np.arange(11)))
    records = list(files.records(tmp_path / "a.tfrecord"))
    assert written.records == len(records) == 11
    content = (tmp_path / "a.tfrecord").read_bytes()
    assert (written.bytes, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert [(record.slice, record.row, record.col) for record in records] == [
        (index, 0, 0) for index in range(11)
    ]
    high = np.frombuffer(records[10].hr, "<u2").reshape(12, 9)
    low = np.frombuffer(records[10].lr, "<u2").reshape(12, 9)
    np.testing.assert_array_equal(high, encode(images[10]))
    np.testing.assert_array_equal(low, encode(zero_filled(images[10], Degradation())))


def test_patches_are_cut_after_degrading(tmp_path):
    images = np.random.default_rng(0).random((2, 12, 9)).astype(np.float32)
    chunks = patch_records(pairs(images), np.array([1]), 5)
    records = [record for chunk in chunks for record in chunk]
    assert [(r.slice, r.row, r.col) for r in records] == [
        (1, row, col) for row in (0, 5, 7) for col in (0, 4)
    ]
    low = encode(zero_filled(images[1], Degradation()))
    np.testing.assert_array_equal(np.frombuffer(records[3].lr, "<u2").reshape(5, 5), low[5:10, 4:9])


def test_dark_patches_are_left_out_where_asked():
    images = np.zeros((1, 4, 4), np.float32)
    images[0, :2, :2], images[0, 2:, 2:] = 1.0, 0.1

    def kept(floor):
        chunks = patch_records(pairs(images), np.arange(1), 2, floor)
        return [(record.row, record.col) for chunk in chunks for record in chunk]

    assert kept(0) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert kept(0.05) == [(0, 0), (2, 2)]
    assert kept(0.5) == [(0, 0)]
