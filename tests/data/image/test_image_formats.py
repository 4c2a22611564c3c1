"""Formats of image files. Oracle: files that Pillow writes, and beginnings that formats state."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from gobelin.data.image import headers as image_headers
from gobelin.data.image.formats import UNREAD, image_share, is_image, unidentified, unread_format


@pytest.mark.parametrize("kind", image_headers.FORMATS)
def test_a_file_of_every_format_that_is_read_is_an_image(kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(out, kind)
    assert is_image(out.getvalue()) and not unread_format(out.getvalue())


@pytest.mark.parametrize("head", [*UNREAD, b"8BPS", b"\xff\x0a", b"\0\0\0\x18ftypheic"])
def test_a_format_that_is_not_read_is_named_with_a_command(head: bytes) -> None:
    assert is_image(head) and "convert it: " in unread_format(head) == unidentified(head)


@pytest.mark.parametrize("head", [b"", b"a word", b"%PDF-1.7", b"PK\3\4", bytes(64)])
def test_other_files_are_no_images(head: bytes) -> None:
    assert not is_image(head) and not unread_format(head)
    assert unidentified(head) == "not an image"


def test_share_of_image_values() -> None:
    assert image_share(
        ["a.PNG", "b.txt", b"\x89PNG..", b"words", 3, ["c.jpg", "d.gif"]], Path()
    ) == pytest.approx(4 / 7)
    assert image_share([], Path()) == 0
