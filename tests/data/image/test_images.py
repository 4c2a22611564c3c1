"""Opened images against closed forms; every sort of bad cell against its reason."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, PngImagePlugin

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Field
from gobelin.data.files import BadCell, cell_key, file_values
from gobelin.data.image import headers as image_headers
from gobelin.data.image import images
from gobelin.data.image.images import (
    Opening,
    decode_images,
    image_query,
    open_image,
    png_bytes,
    squared,
)
from gobelin.data.provenance.marks import read_lineage
from gobelin.report import pictures

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)


def coded(image: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def opened(
    value: str | bytes, root: Path = Path(), how: Opening | None = None
) -> tuple[np.ndarray, str]:
    image, converted = open_image(value, root, how or Opening())
    assert image.mode in ("RGB", "L")
    return np.asarray(image), converted


def reason(value: str | bytes, root: Path = Path(), how: Opening | None = None) -> str:
    with pytest.raises(BadCell) as caught:
        open_image(value, root, how or Opening())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_plain_images_are_not_converted() -> None:
    pixels, converted = opened(coded(Image.fromarray(COLOURS)))
    assert np.array_equal(pixels, COLOURS) and converted == ""
    pixels, converted = opened(coded(Image.fromarray(COLOURS[..., 0]), "TIFF"))
    assert np.array_equal(pixels, COLOURS[..., 0]) and converted == ""
    assert np.array_equal(opened(png_bytes(COLOURS))[0], COLOURS)
    assert np.array_equal(opened(png_bytes(COLOURS[..., :1]))[0], COLOURS[..., 0])


def test_cmyk_without_black_is_its_complement() -> None:
    cmyk = np.concatenate([COLOURS, np.zeros_like(COLOURS[..., :1])], -1)
    pixels, converted = opened(coded(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    assert np.array_equal(pixels, 255 - COLOURS) and converted == "CMYK"
    cmyk[..., 3] = 255
    assert not opened(coded(Image.fromarray(cmyk, "CMYK"), "TIFF"))[0].any()


def test_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels, converted = opened(coded(image))
    assert pixels.tolist() == [[[10, 20, 30], [40, 50, 60]]] and converted == "palette"
    pixels, converted = opened(coded(image, transparency=0), how=Opening(background=(1, 2, 3)))
    assert pixels.tolist() == [[[1, 2, 3], [40, 50, 60]]] and converted == "palette"


def test_alpha_is_mixed_with_the_background() -> None:
    rgba = np.array(
        [[[0, 100, 200, 51], [9, 8, 7, 0], [9, 8, 7, 255], [0, 255, 100, 102]]], np.uint8
    )
    pixels, converted = opened(coded(Image.fromarray(rgba)))
    assert (
        pixels.tolist() == [[[204, 224, 244], [255, 255, 255], [9, 8, 7], [153, 255, 193]]]
        and converted == "alpha"
    )
    many = RNG.integers(0, 256, (20, 20, 4), dtype=np.uint8)
    share, under = many[..., 3:] / 255, np.array([30, 60, 90])
    pixels, _ = opened(coded(Image.fromarray(many)), how=Opening(background=(30, 60, 90)))
    assert np.abs(pixels - (share * many[..., :3] + (1 - share) * under)).max() <= 1


def test_white_on_nothing_is_told() -> None:
    """Of a white drawing on a transparent ground a white page shows nothing, a grey one does; a
    white photograph is white."""
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[:2, :, 3] = 0
    said = "alpha, nothing seen of it on the background"
    pixels, converted = opened(coded(Image.fromarray(rgba)))
    assert (pixels == 255).all() and converted == said
    assert (
        opened(coded(Image.fromarray(rgba)), how=Opening(background=(128, 128, 128)))[1] == "alpha"
    )
    rgba[..., 3] = 255
    assert opened(coded(Image.fromarray(rgba)))[1] == "alpha"


def test_grey_with_alpha_and_a_transparent_colour() -> None:
    grey = np.array([[[0, 51], [100, 255]]], np.uint8)
    pixels, converted = opened(coded(Image.fromarray(grey, "LA")))
    assert pixels[..., 0].tolist() == [[204, 100]] and converted == "alpha"
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    pixels, converted = opened(coded(image, transparency=(1, 2, 3)))
    assert pixels.tolist() == [[[255, 255, 255], [4, 5, 6]]] and converted == "alpha"


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (1000, 3000)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_by_the_stated_range(low: int, high: int, kind: str) -> None:
    deep = RNG.integers(0, 65536, (8, 8), dtype=np.uint16)
    deep[0, :4] = low, high, 0, 65535
    deep[1] = np.linspace(low, high, 8)
    pixels, converted = opened(coded(Image.fromarray(deep), kind), how=Opening(low=low, high=high))
    expected = np.clip((deep.astype(float) - low) / (high - low) * 255, 0, 255)
    assert np.abs(pixels - expected).max() < 1 and converted == f"16 bits, range {low} to {high}"
    assert pixels[0, :2].tolist() == [0, 255]


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(GobelinError, match="low = 5 must be below high = 5"):
        Opening(low=5, high=5)


def test_one_bit_becomes_black_and_white() -> None:
    bits = RNG.integers(0, 2, (5, 9)).astype(bool)
    pixels, converted = opened(coded(Image.fromarray(bits)))
    assert np.array_equal(pixels, bits * np.uint8(255)) and converted == "1 bit"


TURNS = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_rotation_is_undone(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, _ = opened(coded(Image.fromarray(COLOURS), exif=exif))
    assert np.array_equal(pixels, TURNS[orientation](COLOURS))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_truncated_files_are_damaged(kind: str) -> None:
    whole = coded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    assert reason(whole[: len(whole) * 2 // 3]).startswith("is damaged")


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("words")
    assert (
        reason("empty.png", tmp_path) == "is an empty file"
        and reason("words.png", tmp_path) == "is not an image"
    )
    assert reason("none.png", tmp_path) == reason(".", tmp_path) == "no such file"
    assert reason(b"words") == "is not an image" and reason(7) == reason({"a": 1}) == "is no path"  # type: ignore[arg-type]


def test_bombs_are_not_opened() -> None:
    assert (
        reason(png_bytes(COLOURS), how=Opening(max_pixels=23))
        == "is too large (4 x 6 pixels; opening.max_pixels allows 23)"
    )
    assert opened(png_bytes(COLOURS), how=Opening(max_pixels=24))[1] == ""
    for side in (11_000, 60_000):  # over this limit, and over Pillow's own
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + struct.pack(">I", 13)
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
        )
        bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        assert reason(bomb).startswith("is too large")


@pytest.mark.parametrize(
    "url", ["http://x.org/a.png", "https://x.org/a.png", "file:///etc/passwd", "s3://b/a.png"]
)
def test_urls_are_not_fetched(url: str) -> None:
    assert reason(url) == "is a URL; nothing is downloaded"


def test_no_path_leaves_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    for place in (root / "in" / "a.png", tmp_path / "out.png", tmp_path / "root2.png"):
        place.write_bytes(png_bytes(COLOURS))
    (root / "inner.png").symlink_to(root / "in" / "a.png")
    (root / "outer.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    for inside in (
        "in/a.png",
        "in/../in/a.png",
        "inner.png",
        str(root / "in" / "a.png"),
        "folder/root/in/a.png",
    ):
        assert np.array_equal(opened(inside, root)[0], COLOURS)
    for outside in (
        "../out.png",
        "in/../../root2.png",
        "outer.png",
        "folder/out.png",
        str(tmp_path / "out.png"),
    ):
        assert reason(outside, root) == "leaves the data folder (--root DIR allows a wider one)"
        assert np.array_equal(opened(str(root / outside), tmp_path)[0], COLOURS)
    for odd in ("loop.png", "a\0b.png", "x" * 5000 + ".png"):
        assert reason(odd, root).startswith(("can't be opened", "no such file"))


def test_squared_pads_with_the_background() -> None:
    wide = Image.new("RGB", (4, 2), (200, 0, 0))
    pixels = squared(wide, 4, (0, 9, 0))
    assert (pixels[1:3] == (200, 0, 0)).all() and (pixels[[0, 3]] == (0, 9, 0)).all()
    assert np.array_equal(
        squared(wide.transpose(Image.Transpose.ROTATE_90), 4, (0, 9, 0)), pixels.swapaxes(0, 1)
    )
    assert (squared(Image.new("L", (2, 4), 7), 4)[:, [0, 3]] == 255).all()


def test_squared_shrinks_by_the_mean() -> None:
    large = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    means = large.reshape(4, 3, 4, 3, 3).mean((1, 3))
    assert np.abs(squared(Image.fromarray(large), 4) - means).max() <= 1
    assert np.array_equal(squared(Image.fromarray(large), 12), large)


def test_a_long_thin_image_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    strip = Image.fromarray(RNG.integers(0, 256, (60, 480, 3), dtype=np.uint8))
    whole = squared(strip, 16).astype(int)
    monkeypatch.setattr(images, "MAX_PIXELS", 160**2)  # below 480 x 480 once padded
    assert np.abs(squared(strip, 16) - whole).max() <= 2
    assert squared(Image.new("RGB", (2_000_000, 1), (0, 0, 0)), 8).mean() > 200


def test_cells_of_several_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(COLOURS))
    cell = {"one": "a.png", "two": [png_bytes(255 - COLOURS), "a.png"]}
    assert len(file_values(cell)) == 3
    pixels, _ = decode_images(cell, tmp_path, Opening(), 8)
    assert pixels.shape == (3, 8, 8, 3) and np.array_equal(pixels[0], pixels[2])
    same = {"one": png_bytes(COLOURS), "two": [png_bytes(255 - COLOURS), png_bytes(COLOURS)]}
    assert (
        cell_key(cell, tmp_path) == cell_key(same, tmp_path) and len(cell_key(cell, tmp_path)) == 16
    )
    assert cell_key({"one": "a.png"}, tmp_path) != cell_key(cell, tmp_path)


def test_metadata_text_is_no_transparency() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x")
    assert opened(coded(Image.fromarray(COLOURS), pnginfo=info))[1] == ""


@pytest.mark.parametrize(
    ("mode", "shape"), [("RGB", (900, 1400)), ("L", (1400, 900)), ("RGB", (60, 90))]
)
def test_a_large_jpeg_is_read_small_and_looks_the_same(
    mode: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    """Against the whole image, resized; one whose sides turn is turned; what is cut off is damaged,
    read small or whole."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [128 + 100 * np.sin(x / (20 + 9 * k)) * np.cos(y / (30 - 5 * k)) for k in range(3)]
    image = Image.fromarray(np.stack(waves, -1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "a.jpg", quality=95, exif=exif)
    whole, small = (open_image("a.jpg", tmp_path, Opening(), side)[0] for side in (0, 64))
    assert whole.size == shape and small.mode == mode
    assert small.size == (whole.size if min(shape) < 512 else tuple(s // 2 for s in shape))
    found, expected = (squared(i, 64).astype(int) for i in (small, whole))
    assert np.abs(found - expected).mean() < 1.5 and np.abs(found - expected).max() < 12
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: -len(data) // 3])
    for side in (0, 64):
        with pytest.raises(BadCell, match="damaged"):
            open_image("cut.jpg", tmp_path, Opening(), side)


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
newpath 0 0 moveto 9 9 lineto stroke
%%EOF
"""
WINDOWS = struct.pack("<IHhhhhHIH", 0x9AC6CDD7, 0, 0, 0, 99, 99, 72, 0, 0) + b"\x01\0\x09\0" * 9
NOT_READ = {
    "EPS": POSTSCRIPT,
    "EPS for DOS": struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(POSTSCRIPT), 0, 0, 0, 0, 65535)
    + POSTSCRIPT,
    "PostScript": POSTSCRIPT.replace(b" EPSF-3.0", b""),
    "PDF": b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n%%EOF",
    "WMF": WINDOWS,
    "EMF": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
    "IPTC": b"\x1c\x03\x3c\0\x02\x01\0\x1c\x03\x14\0\x01\x0a\x1c\x03\x1e\0\x01\x0a",
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(40),
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "XBM": b"#define x_width 8\n#define x_height 8\nstatic char x_bits[] = {\n0x00};",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    **{kind: coded(Image.fromarray(COLOURS), kind) for kind in ("ICO", "PCX", "SGI", "DDS")},
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The programs that were started, in whatever way. Those that Pillow knows are on the path."""
    started: list[str] = []
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("gs", "gswin64c", "gswin32c", "djpeg", "netpbm"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho {name} >> {folder}/started\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # as in a fresh process
    WATCHED.append(started)
    yield started
    WATCHED.clear()
    started += (folder / "started").read_text().split() if (folder / "started").exists() else []
    assert started == []


WATCHED: list[list[str]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if WATCHED and event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        WATCHED[0].append(f"{event} {arguments[0]!r}")


sys.addaudithook(_watch)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".eps", ".tga"])
@pytest.mark.parametrize("name", NOT_READ)
def test_no_cell_starts_a_program(
    name: str, suffix: str, tmp_path: Path, programs: list[str]
) -> None:
    """By its path, as bytes, in a list, as a query, in a report, as a file with a lineage."""
    data = NOT_READ[name]
    (tmp_path / f"x{suffix}").write_bytes(data)
    (tmp_path / "good.png").write_bytes(png_bytes(COLOURS))
    for value in (f"x{suffix}", data):
        why = reason(value, tmp_path)
        told = ("which is not read", "names another file")  # the latter: SVG
        assert why.startswith(("is not an image", "is damaged")) or any(t in why for t in told)
        with pytest.raises(BadCell):
            decode_images({"x": ["good.png", value]}, tmp_path, Opening(), 8)
    with pytest.raises(GobelinError, match="--image .*Give the path of an image"):
        image_query(str(tmp_path / f"x{suffix}"), Field("x", "image", ("x",), "image"))
    assert pictures.picture(tmp_path, f"x{suffix}", "").uri == ""
    with pytest.raises((OSError, SyntaxError)):
        read_lineage(tmp_path / f"x{suffix}")


def test_the_watch_sees_a_program(tmp_path: Path) -> None:
    """So that silence above means something: Pillow's own opener does start Ghostscript."""
    started: list[str] = []
    WATCHED.append(started)
    try:
        with contextlib.suppress(Exception):
            EpsImagePlugin.gs_binary = None
            Image.open(io.BytesIO(POSTSCRIPT)).load()
    finally:
        WATCHED.clear()
    assert any("gs" in program for program in started)


@pytest.mark.parametrize("kind", image_headers.FORMATS)
def test_every_format_that_is_named_is_read(kind: str) -> None:
    exact = Image.fromarray(COLOURS)
    lossless = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    pixels, note = opened(coded(exact, kind, **lossless.get(kind, {})))
    near = {"JPEG": 60, "AVIF": 12, "GIF": 0}.get(kind, 0)
    assert pixels.shape == COLOURS.shape and note in ("", "palette")
    assert np.abs(pixels.astype(int) - COLOURS).max() <= near or kind == "JPEG"


def test_metadata_is_bounded_before_it_is_joined() -> None:
    """Pillow joins comments piece by piece: the cost grows with the square of their length."""
    gif = coded(Image.fromarray(COLOURS).convert("P"), "GIF")
    at = 13 + (3 << (gif[10] & 7) + 1)
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 70_000 + b"\0"
    assert "bytes of metadata" in reason(gif[:at] + comment + gif[at:])
    assert opened(gif[:at] + b"!\xfe\x02ab\0" + gif[at:])[1] == "palette"
    jpeg = coded(Image.fromarray(COLOURS), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 60_002) + b"Exif\0\0" + bytes(59_994)
    assert "bytes of metadata" in reason(jpeg[:2] + segment * 300 + jpeg[2:])
    assert opened(jpeg[:2] + segment + jpeg[2:])[1] == ""


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "I;16", "CMYK", "F"])
def test_colours_are_the_same_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (23, 7, 4), dtype=np.uint8), "RGBA")
    image = image.convert("L").convert(mode) if mode in ("I;16", "F") else image.convert(mode)
    whole = opened(coded(image, "TIFF" if mode in ("CMYK", "F") else "PNG"))
    monkeypatch.setattr(images, "STRIP", 15)
    strips = opened(coded(image, "TIFF" if mode in ("CMYK", "F") else "PNG"))
    assert np.array_equal(whole[0], strips[0]) and whole[1] == strips[1] != ""
