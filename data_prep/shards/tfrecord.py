"""TFRecord files without TensorFlow: framing, checksums and the one record of this package.

A TFRecord is a length, its checksum, the payload, its checksum. The payload is a
``tf.train.Example`` in the protocol-buffer wire format, whose constant parts are built once. A
worker process that imports TensorFlow needs three seconds and 500 MB before its first scan.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import google_crc32c

from data_prep.errors import CorruptArtefactError

AGAIN = "Prepare the scans again into a new folder"
_MASK_DELTA = 0xA282EAD8
_WHOLE = 0xFFFFFFFF
_BYTES = 2  # the wire type of strings, bytes and messages
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


class Record(NamedTuple):
    """One pair as it is stored: pixels as little-endian uint16 bytes, and where they lie."""

    lr: bytes
    hr: bytes
    slice: int
    row: int
    col: int


def frame(payload: bytes) -> bytes:
    """One TFRecord: length, its checksum, payload, its checksum."""
    return b"".join((_frame_head(len(payload)), payload, _masked_crc(payload)))


def example(record: Record) -> bytes:
    """Serialise a record as a ``tf.train.Example``, features in alphabetical order."""
    after = _integer_entry(b"row", record.row) + _integer_entry(b"slice", record.slice)
    before, between = _before(record.col, len(record.hr), len(record.lr), len(after))
    return b"".join((before, record.hr, between, record.lr, after))


def payloads(data: bytes | memoryview) -> Iterator[bytes]:
    """The payloads of a TFRecord file, each checked against its checksum.

    Raises:
        CorruptArtefactError: A checksum is wrong or the file ends inside a record.
    """
    view = memoryview(data)
    start = 0
    while start < len(view):
        length_bytes = bytes(view[start : start + 8])
        if bytes(view[start + 8 : start + 12]) != _masked_crc(length_bytes):
            raise CorruptArtefactError(f"has a damaged record at byte {start}", remedy=AGAIN)
        end = start + 12 + _LENGTH.unpack(length_bytes)[0]
        payload = bytes(view[start + 12 : end])
        if bytes(view[end : end + 4]) != _masked_crc(payload):
            raise CorruptArtefactError(f"has a damaged record at byte {start}", remedy=AGAIN)
        yield payload
        start = end + 4


def parse(payload: bytes) -> Record:
    """Read a record back from its Example.

    Raises:
        CorruptArtefactError: It is not one of this package's records.
    """
    try:
        (features,) = [value for _, value in _fields(payload)]
        found = {}
        for _, entry in _fields(features):
            (_, name), (_, feature) = _fields(entry)
            ((_, values),) = _fields(feature)
            ((_, value),) = _fields(values)
            found[bytes(name).decode()] = value
        return Record(
            lr=bytes(found["lr"]),
            hr=bytes(found["hr"]),
            slice=_varint_at(found["slice"], 0)[0],
            row=_varint_at(found["row"], 0)[0],
            col=_varint_at(found["col"], 0)[0],
        )
    except (ValueError, KeyError, IndexError, TypeError):
        raise CorruptArtefactError("holds a record of another kind", remedy=AGAIN) from None


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return _CRC.pack((((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _WHOLE)


@lru_cache
def _frame_head(length: int) -> bytes:
    packed = _LENGTH.pack(length)
    return packed + _masked_crc(packed)


@lru_cache
def _before(col: int, hr: int, lr: int, after: int) -> tuple[bytes, bytes]:
    """What stands before an Example's HR pixels and before its LR pixels, given their lengths."""
    first = _integer_entry(b"col", col) + _blob_head(b"hr", hr)
    between = _blob_head(b"lr", lr)
    return _head(1, len(first) + hr + len(between) + lr + after) + first, between


@lru_cache
def _integer_entry(name: bytes, value: int) -> bytes:
    """A whole map entry: the same few numbers come again and again."""
    return _field(1, _field(1, name) + _field(2, _field(3, _field(1, _varint(value)))))


@lru_cache
def _blob_head(name: bytes, length: int) -> bytes:
    """All of a map entry but the bytes themselves, which are its end."""
    head = _head(1, length)  # BytesList.value
    head = _head(1, len(head) + length) + head  # Feature.bytes_list
    head = _field(1, name) + _head(2, len(head) + length) + head  # key, value
    return _head(1, len(head) + length) + head  # Features.feature


def _field(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content


@lru_cache
def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_at(data: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        value |= (byte & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if byte < 0x80:
            return value, start


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a message as (number, content)."""
    fields, start = [], 0
    while start < len(data):
        key, start = _varint_at(data, start)
        length, start = _varint_at(data, start)
        if key & 7 != _BYTES or start + length > len(data):
            raise ValueError(key)
        fields.append((key >> 3, data[start : start + length]))
        start += length
    return fields
