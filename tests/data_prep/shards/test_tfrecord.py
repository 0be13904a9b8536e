import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import CorruptArtefactError
from data_prep.shards import tfrecord
from data_prep.shards.tfrecord import Record

numbers = st.integers(0, 2**31)


@given(st.binary(max_size=400), st.binary(max_size=400), numbers, numbers, numbers)
def test_a_record_survives(low, high, index, row, col):
    record = Record(low, high, index, row, col)
    (payload,) = tfrecord.payloads(tfrecord.frame(tfrecord.example(record)))
    assert tfrecord.parse(payload) == record


def test_tensorflow_reads_what_is_written(tmp_path):
    import tensorflow as tf

    records = [
        Record(bytes(range(200)), b"\xff" * 200, index, row, 2**40)
        for index, row in [(0, 0), (127, 128), (16383, 16384), (70000, 1)]
    ]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(tfrecord.frame(tfrecord.example(record)) for record in records))
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("lr", "hr")}
    spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in ("slice", "row", "col")}
    batch = next(iter(tf.data.TFRecordDataset(str(path)).batch(10)))
    parsed = tf.io.parse_example(batch, spec)
    assert [
        Record(*values)
        for values in zip(
            *(parsed[name].numpy().tolist() for name in ("lr", "hr", "slice", "row", "col")),
            strict=True,
        )
    ] == records


def test_the_bytes_are_those_of_tensorflows_own_example():
    import tensorflow as tf

    example = tf.train.Example()
    example.features.feature["lr"].bytes_list.value.append(b"low")
    example.features.feature["hr"].bytes_list.value.append(b"high")
    for name, value in [("slice", 300), ("row", 64), ("col", 0)]:
        example.features.feature[name].int64_list.value.append(value)
    ours = tfrecord.example(Record(b"low", b"high", 300, 64, 0))
    assert tf.train.Example.FromString(ours) == example
    assert len(ours) == example.ByteSize()
    assert tfrecord.parse(example.SerializeToString()) == Record(b"low", b"high", 300, 64, 0)


@pytest.mark.parametrize("cut", [1, 4, 5, 30])
def test_a_cut_is_noticed(cut):
    data = tfrecord.frame(tfrecord.example(Record(b"abc", b"def", 1, 2, 3)))
    with pytest.raises(CorruptArtefactError, match="damaged record at byte 0"):
        list(tfrecord.payloads(data[:-cut]))


def test_every_flipped_byte_is_noticed():
    data = tfrecord.frame(tfrecord.example(Record(b"abc", b"def", 1, 2, 3)))
    for index in range(len(data)):
        flipped = bytearray(data)
        flipped[index] ^= 0x10
        with pytest.raises(CorruptArtefactError):
            list(tfrecord.payloads(bytes(flipped)))


@pytest.mark.parametrize("payload", [b"", b"\x0a", b"text", b"\x0a\x00", np.zeros(20).tobytes()])
def test_a_foreign_record_is_refused(payload):
    with pytest.raises(CorruptArtefactError, match="record of another kind"):
        tfrecord.parse(payload)
