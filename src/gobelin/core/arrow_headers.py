"""What the messages of an Arrow stream promise, looked up before a buffer is unpacked.

A stream may hold packed buffers (LZ4, Zstandard). Arrow reserves what each of them says that it is
unpacked, so a file of 70 kB can take 2 GB. The metadata of a message are a flatbuffer: a table
holds the places of its fields, each 4 bytes, and a list of 2 bytes that says which field is where.
Layout: Arrow's `format/Message.fbs`.
"""

from __future__ import annotations

import struct

import pyarrow as pa

# Numbers of fields, in the order of Message.fbs
KIND, HEADER = 1, 2  # of a message
BUFFERS, COMPRESSION = 2, 3  # of a batch of rows
DATA = 1  # of a dictionary: its batch of rows
ROWS, DICTIONARY = 3, 2  # kinds of a message
PLACE = struct.Struct("<qq")  # where a buffer begins in the body, and its length
LENGTH = struct.Struct("<q")  # of a buffer, unpacked: the first bytes of a packed one


def unpacked_bytes(stream: pa.Buffer) -> int:
    """The bytes that the packed buffers of a stream say they are, unpacked: 0 where none is packed.
    Raises ValueError for metadata that can't be followed, and pyarrow's errors for a damaged
    stream.
    """
    messages, total = pa.ipc.MessageReader.open_stream(stream), 0
    try:
        for message in messages:
            total += _of_message(memoryview(message.metadata), message.body)
    except struct.error as error:
        raise ValueError("the metadata of a message are damaged") from error
    return total


def _of_message(metadata: memoryview, body: pa.Buffer | None) -> int:
    (root,) = struct.unpack_from("<I", metadata)
    kind, header = _field(metadata, root, KIND), _field(metadata, root, HEADER)
    if not kind or not header or body is None or metadata[kind] not in (ROWS, DICTIONARY):
        return 0
    batch = _followed(metadata, header)
    if metadata[kind] == DICTIONARY:
        data = _field(metadata, batch, DATA)
        if not data:
            return 0
        batch = _followed(metadata, data)
    buffers = _field(metadata, batch, BUFFERS)
    if not _field(metadata, batch, COMPRESSION) or not buffers:
        return 0
    start = _followed(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, start)
    if count * PLACE.size > len(metadata):
        raise ValueError("a message promises more buffers than it has bytes")
    held, total = memoryview(body), 0
    for place, length in PLACE.iter_unpack(metadata[start + 4 : start + 4 + count * PLACE.size]):
        if length >= LENGTH.size and place >= 0:
            total += max(0, LENGTH.unpack_from(held, place)[0])  # -1: this one is not packed
    return total


def _field(metadata: memoryview, table: int, number: int) -> int:
    """The place of a field of a table, 0 where the table lacks it."""
    (back,) = struct.unpack_from("<i", metadata, table)
    listed = table - back
    if listed < 0:
        raise ValueError("the metadata of a message are damaged")
    (size,) = struct.unpack_from("<H", metadata, listed)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, listed + 4 + 2 * number)
    return table + offset if offset else 0


def _followed(metadata: memoryview, place: int) -> int:
    """The place that a field leads to."""
    return int(place + struct.unpack_from("<I", metadata, place)[0])
