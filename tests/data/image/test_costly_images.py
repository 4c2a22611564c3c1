"""Image files of few bytes that would keep a decoder busy. Oracle: files made for it, each with a
sound one beside it that differs in a count alone."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell
from gobelin.data.image.headers import MOST_PIECES, MOST_SCANS, TooCostly, opened
from gobelin.data.image.images import Opening, open_image
from gobelin.data.provenance import c2pa
from gobelin.data.provenance.marks import read_lineage


def written(kind: str, **options: bool) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan stands there again and again."""
    data = written("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def with_hidden_end(count: int) -> bytes:
    """As `scans`, with an end in a comment before the last ones, where no decoder ends."""
    data, comment = scans(count), b"\xff\xfe\x00\x06ab\xff\xd9"
    at = data.index(b"\xff\xda")
    return data[:at] + comment + data[at:]


def segments(count: int) -> bytes:
    data = written("JPEG")
    return data[:2] + b"\xff\xe1\x00\x08Exif\0\0" * count + data[2:]


def chunks(count: int) -> bytes:
    data = written("PNG")
    empty = struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    return data[:33] + empty * count + data[33:]


def blocks(count: int) -> bytes:
    data = written("GIF")
    at = 13 + (3 << (data[10] & 7) + 1)
    return data[:at] + b"!\xfe" + b"\1c" * count + b"\0" + data[at:]


def no_lineage(data: bytes) -> None:
    with pytest.raises(TooCostly):
        read_lineage(io.BytesIO(data))


def no_manifest(data: bytes) -> None:
    with pytest.raises((OSError, GobelinError)):
        c2pa.read(data)


@pytest.mark.parametrize("made", [segments, chunks, blocks])
def test_many_pieces_are_refused_wherever_an_image_is_opened(
    made: Callable[[int], bytes], tmp_path: Path
) -> None:
    assert open_image(made(10), tmp_path, Opening())[0].size == (32, 32)
    costly = made(MOST_PIECES + 2)
    with pytest.raises(BadCell, match="pieces"):
        open_image(costly, tmp_path, Opening())
    (tmp_path / "a").write_bytes(costly)
    for data in (costly, io.BytesIO(costly), tmp_path / "a"):
        with pytest.raises(TooCostly):
            opened(data)
    no_lineage(costly)
    no_manifest(costly)


@pytest.mark.parametrize("made", [scans, with_hidden_end])
def test_many_scans_are_refused_before_they_are_decoded(made: Callable[[int], bytes]) -> None:
    usual = np.asarray(open_image(scans(10), Path(), Opening())[0])
    most = np.asarray(open_image(made(MOST_SCANS), Path(), Opening())[0])
    assert usual.shape == most.shape == (32, 32, 3)
    with pytest.raises(BadCell, match="scans"):
        open_image(made(MOST_SCANS + 1), Path(), Opening())


def test_scans_of_a_second_picture_after_the_end_do_not_count() -> None:
    data = scans(MOST_SCANS) + scans(MOST_SCANS)  # as phones append previews and films
    assert open_image(data, Path(), Opening())[0].size == (32, 32)
