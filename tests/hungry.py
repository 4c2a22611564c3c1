"""Cells and files that claim to be large, or are: what reading them takes, see `test_budget`."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.budget import Reading
from gobelin.data.files import BadCell
from gobelin.data.image.headers import decoded_bytes, full_bytes, opened
from gobelin.data.image.images import MAX_PIXELS, Opening, decode_images
from gobelin.data.read import read
from gobelin.data.series.windows import open_series
from gobelin.data.sound.sounds import open_sound

SMALL = Reading(cell_mb=100, table_mb=100)


def coded(image: Image.Image, kind: str, **settings: Any) -> bytes:  # noqa: ANN401
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def palette_png(width: int, height: int) -> bytes:
    """One grey as a palette PNG, made without the memory for its pixels."""
    packer = zlib.compressobj()
    row = bytes(width + 1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", bytes(range(9))), (b"tRNS", b"\x80"), (b"IDAT", packed)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*p) for p in (*parts, (b"IEND", b"")))


def tiled_tiff(side: int, tile: int) -> bytes:
    """A TIFF of a few pixels whose one tile claims to have `tile` pixels on each side."""
    tags = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile)]
    packed = zlib.compress(bytes(1000))
    tags += [(323, tile), (324, 200), (325, len(packed))]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return head.ljust(200, b"\0") + packed


def sound(rate: int, channels: int = 1, frames: int = 200) -> bytes:
    """A WAV file of silence in 8 bits."""
    samples = bytes([128]) * frames * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels, channels, 8)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", len(body) + len(samples)) + body + samples


def npy(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(64)


def image(
    make: Callable[[], bytes], reading: Reading = SMALL, times: int = 1
) -> Callable[[Path], str]:
    """Opens a cell that has the image so many times; says the megabytes that were reserved."""

    def work(folder: Path) -> str:
        reading.use()
        data = make()
        try:
            _, note = decode_images({"x": [data] * times}, folder, Opening(), 32)
        except BadCell as error:
            return str(error)
        with opened(data) as head:
            full = full_bytes(head)
            head.draft(head.mode, (128, 128))  # of a JPEG
            reserved = len(data) + full + decoded_bytes(head, MAX_PIXELS)
        return f"{reserved / 1e6:.1f} {note}"

    return work


def table(name: str, make: Callable[[Path], object], reading: Reading) -> Callable[[Path], str]:
    """Reads a data file."""

    def work(folder: Path) -> str:
        make(folder / name)
        reading.use()
        try:
            return f"read {len(read(folder / name))}"
        except GobelinError as error:
            return str(error)

    return work


def cell(opener: Callable[..., object], value: Any, *more: Any) -> Callable[[Path], str]:  # noqa: ANN401
    def work(folder: Path) -> str:
        SMALL.use()
        try:
            opener(value(folder) if callable(value) else value, folder, *more)
        except BadCell as error:
            return str(error)
        return "opened"

    return work


def sparse(name: str) -> Callable[[Path], str]:
    """A file of 40 gigabytes that takes no room on the disk."""

    def make(folder: Path) -> str:
        with (folder / name).open("wb") as file:
            file.write(npy((5 * 10**9,)))
            file.truncate(40 * 10**9)
        return name

    return make


def empty_rows(path: Path) -> None:
    pq.write_table(pa.table({"a": pa.nulls(6_000_000)}), path)


def repeated_text(path: Path) -> None:
    """Rows that share one text of a megabyte."""
    text = pa.array(["x" * 10**6])
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), text)
    pq.write_table(pa.table({"a": column}), path)


def repeated_plain_text(path: Path) -> None:
    """The same, and the file doesn't say that the column is a dictionary."""
    repeated_text(path)
    pq.write_table(pq.read_table(path), path, store_schema=False)


def repeated_in_a_list(path: Path) -> None:
    """One row with a list of one text of a megabyte, two thousand times."""
    text = pa.array(["x" * 10**6])
    items = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), text)
    one = pa.ListArray.from_arrays(pa.array([0, 2000], pa.int32()), items)
    pq.write_table(pa.table({"a": one}), path, store_schema=False)


def repeated_in_files(path: Path) -> None:
    """Rows whose {bytes} are one file of a megabyte, kept as a dictionary."""
    file = pa.array([b"x" * 10**6])
    items = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), file)
    pq.write_table(pa.table({"a": pa.StructArray.from_arrays([items], ["bytes"])}), path)


def photo(width: int = 1800, height: int = 1700) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return coded(photo(), "PNG", compress_level=1, exif=exif)


# decoded whole; what they take must be within what was reserved
IMAGES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: coded(photo(), "PNG", compress_level=1),
    "palette": lambda: palette_png(2600, 2600),
    "alpha": lambda: coded(photo().convert("RGBA"), "PNG", compress_level=1),
    "16 bits": lambda: coded(Image.new("I;16", (1800, 1800), 9), "PNG", compress_level=1),
    "turned": turned,
    "thin": lambda: coded(Image.new("RGB", (4500, 2)), "PNG"),
    "GIF": lambda: coded(photo().convert("P"), "GIF"),
    "TIFF": lambda: coded(photo(), "TIFF", compression="tiff_deflate"),
    "progressive": lambda: coded(photo(), "JPEG", progressive=True, quality=50),
    "JPEG2000": lambda: coded(photo(900, 800), "JPEG2000"),
    "WEBP": lambda: coded(photo(900, 800), "WEBP"),
    "AVIF": lambda: coded(photo(900, 800), "AVIF", speed=10),
}
# refused before anything is decoded, with the name of the setting. Of a text that is repeated one
# batch is read, of at most `table_mb`, and one more before the sum is over the budget.
REFUSED = {
    "palette PNG": (
        image(lambda: palette_png(7000, 7000), Reading(cell_mb=200)),
        "reading.cell_mb",
    ),
    "many pixels": (image(lambda: palette_png(12_000, 9000), Reading()), "opening.max_pixels"),
    "a claimed tile": (image(lambda: tiled_tiff(8, 30_000)), "reading.cell_mb"),
    "many images": (image(IMAGES["thin"], SMALL, 300), "reading.items"),
    "numbers that are not there": (cell(open_series, npy((10**13,))), "reading.samples"),
    "a sparse series": (cell(open_series, sparse("a.npy")), "reading.file_mb"),
    "a sparse table": (cell(open_series, sparse("a.csv")), "reading.file_mb"),
    "a sparse sound": (cell(open_sound, sparse("a.wav"), 30.0), "reading.file_mb"),
    "numbers as text": (cell(open_series, "1," * 2_000_000), "reading.cell_mb"),
    "many channels": (cell(open_sound, sound(8000, 1000), 30.0), "reading.channels"),
    "an hour": (cell(open_sound, sound(768_000, 1, 9_000_000), 3600.0), "reading.cell_mb"),
    "empty rows": (table("a.parquet", empty_rows, Reading()), "reading.rows"),
    "a repeated text": (table("b.parquet", repeated_text, SMALL), "reading.table_mb"),
    "a repeated plain text": (
        table("c.parquet", repeated_plain_text, SMALL),
        "reading.table_mb",
    ),
    "a text repeated in files": (table("e.parquet", repeated_in_files, SMALL), "reading.table_mb"),
    "a text repeated in a list": (
        table("d.parquet", repeated_in_a_list, SMALL),
        "reading.table_mb",
    ),
    "one long line": (
        table("a.csv", lambda p: p.write_text("a,b\n" + "," * 20_000_000), SMALL),
        "reading.cell_mb",
    ),
    "lists in a line": (
        table("a.jsonl", lambda p: p.write_text('{"a": [' + "[]," * 3_000_000 + "[]]}"), SMALL),
        "reading.table_mb",
    ),
    "a key each": (
        table(
            "b.jsonl",
            lambda p: p.write_text(
                "".join(json.dumps({f"k{k}": 1, f"j{k}": 1}) + "\n" for k in range(6000))
            ),
            Reading(),
        ),
        "reading.columns",
    ),
}
OPENED = {
    "one image five times": (image(IMAGES["palette"], SMALL, 5), "33.8 palette"),
    "an odd rate": (cell(open_sound, sound(767_999), 30.0), "opened"),
    "wide silence": (cell(open_sound, sound(8000, 250, 100_000), 30.0), "opened"),
}
CASES: dict[str, Callable[[Path], str]] = {
    **{f"image {name}": image(data) for name, data in IMAGES.items()},
    **{name: work for name, (work, _) in {**REFUSED, **OPENED}.items()},
}
