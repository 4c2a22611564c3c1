"""Any bytes in a cell: images, sounds, windows of numbers. Oracles: Pillow, soundfile and numpy on
the valid ones; the planted claim of a header on the others."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import REFUSED, damaged, outcome, tries
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.image.formats import image_share
from gobelin.data.image.images import Opening, decode_images, open_image, squared
from gobelin.data.provenance.marks import is_marked, marked_png, read_lineage
from gobelin.data.series.windows import open_series, series_share
from gobelin.data.sound.sounds import CANCELLED, RATE, open_sound, sound_share

HERE = Path()
LOSSLESS = {
    "PNG": ("1", "L", "RGB", "RGBA", "LA", "P", "I;16"),
    "BMP": ("1", "L", "RGB", "P"),
    "TIFF": ("L", "RGB", "RGBA", "CMYK", "I;16"),
    "GIF": ("L", "P"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("L", "RGB"),
}
LOSSY = {"JPEG": ("L", "RGB", "CMYK")}


@st.composite
def drawn(draw: st.DrawFn) -> Image.Image:
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    mode = draw(st.sampled_from(sorted({m for modes in LOSSLESS.values() for m in modes})))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 4))
    image = Image.fromarray(pixels.astype(np.uint8), "RGBA")
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return image.convert("RGB").convert(mode) if mode not in ("RGBA", "LA") else image.convert(mode)


def saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return out.getvalue()


@st.composite
def image_files(draw: st.DrawFn, kinds: dict[str, tuple[str, ...]] = LOSSLESS | LOSSY) -> bytes:
    image, kind = draw(drawn()), draw(st.sampled_from(sorted(kinds)))
    return saved(image if image.mode in kinds[kind] else image.convert("RGB"), kind)


@tries(60)
@given(data=image_files(LOSSLESS))
def test_an_image_has_the_pixels_that_pillow_finds(data: bytes) -> None:
    image, _ = outcome(lambda: open_image(data, HERE, Opening(low=0, high=65535)))
    with Image.open(io.BytesIO(data)) as found:
        if found.mode.startswith("I"):
            expected = np.asarray(found).astype(float) / 257
            assert np.abs(np.asarray(image) - expected).max() <= 1
            return
        rgba = found.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        expected_image = Image.alpha_composite(white, rgba).convert("RGB")
    assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(expected_image))


def png_of_claims(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG whose header says what it likes about the data that follow."""

    def chunk(kind: bytes, inside: bytes) -> bytes:
        return (
            struct.pack(">I", len(inside))
            + kind
            + inside
            + struct.pack(">I", zlib.crc32(kind + inside))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    packed = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + packed + chunk(b"IEND", b"")


CLAIMS = st.builds(
    png_of_claims,
    st.sampled_from([0, 1, 16, 9_999, 10_000, 65_535, 2**31 - 1, 2**32 - 1]),
    st.sampled_from([0, 1, 16, 9_999, 10_000, 65_535, 2**31 - 1, 2**32 - 1]),
    st.sampled_from([1, 8, 16]),
    st.sampled_from([0, 2, 3, 4, 6]),
    st.binary(max_size=60),
)


@tries(100)
@given(data=st.one_of(damaged(image_files()), CLAIMS, st.binary(max_size=60)))
@example(data=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
@example(data=png_of_claims(10_000, 10_000, 8, 3, bytes(10)))
@example(data=png_of_claims(10_000, 10_000, 1, 3, bytes(1_251 * 10_000)))
@example(data=png_of_claims(10, 9_000_000, 8, 2, bytes(10)))
@example(data=b"P6 30000 30000 255\n")
@example(
    data=b"BM"
    + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 9_999, -9_999, 1, 24, 0, 0, 0, 0, 0, 0)
)
def test_any_bytes_as_an_image(data: bytes) -> None:
    image_share([data], HERE)
    pixels = outcome(lambda: decode_images({"x": data}, HERE, Opening(), 16)[0])
    if pixels is not REFUSED:
        assert pixels.shape == (1, 16, 16, 3) and pixels.dtype == np.uint8


@tries(20)
@given(image=drawn(), size=st.integers(1, 20))
def test_any_shape_becomes_a_square(image: Image.Image, size: int) -> None:
    image = image.resize((image.width**2, max(1, image.height // 4)))
    assert outcome(lambda: squared(image, size)).shape == (size, size, 3)


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), JSON_TEXTS, max_size=4)


@tries(30)
@given(record=RECORDS)
@example(record={"caption": "\ud800"})
@example(record={"caption": "]]> & <x>\0"})
def test_a_mark_is_read_as_it_was_written(record: dict[str, Any]) -> None:
    data = outcome(lambda: marked_png(np.zeros((4, 4, 3), np.uint8), record))
    if data is REFUSED:
        return
    assert is_marked(data)
    expected = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
    assert read_lineage(io.BytesIO(data)) == json.loads(expected)


@tries(40)
@given(
    data=damaged(RECORDS.map(lambda r: marked_png(np.zeros((4, 4, 3), np.uint8), {"a": len(r)}))),
    text=st.text(st.characters(codec="latin-1"), max_size=30),
)
@example(data=b"", text="[" * 30_000)
@example(data=b"", text='{"a":' * 3_000 + "1" + "}" * 3_000)
def test_any_text_of_a_png_as_lineage(data: bytes, text: str, tmp_path_factory: Any) -> None:
    out, mark = io.BytesIO(), Image.Image()
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("gobelin", text)
    mark = Image.new("L", (2, 2))
    mark.save(out, "PNG", pnginfo=info)
    found = outcome(lambda: read_lineage(io.BytesIO(out.getvalue())))
    assert found is None or found is REFUSED or isinstance(found, dict)
    outcome(lambda: open_image(data, HERE, Opening()))


soundfile = pytest.importorskip("soundfile")


@st.composite
def sound_files(draw: st.DrawFn, kind: str = "", rates: tuple[int, ...] = (8_000, RATE)) -> bytes:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    wave = rng.uniform(-0.9, 0.9, (draw(st.integers(1, 400)), draw(st.integers(1, 2))))
    out = io.BytesIO()
    kind = kind or draw(st.sampled_from(["WAV", "FLAC", "OGG", "AIFF", "AU"]))
    soundfile.write(out, wave, draw(st.sampled_from(rates)), format=kind)
    return out.getvalue()


@tries(25)
@given(data=st.one_of(*[sound_files(kind, (RATE,)) for kind in ("WAV", "FLAC", "AIFF", "AU")]))
def test_a_sound_has_the_samples_that_soundfile_finds(data: bytes) -> None:
    wave, _ = outcome(lambda: open_sound(data, HERE, 10.0))
    channels, _ = soundfile.read(io.BytesIO(data), always_2d=True)
    expected, powers = channels.mean(1), (channels**2).sum(0)
    if (expected**2).sum() < CANCELLED * powers.max() / len(powers) ** 2:  # they cancel out
        expected = channels[:, powers.argmax()]
    assert np.allclose(wave, expected, atol=1e-12)


def wav_of_claims(rate: int, channels: int, bits: int, promised: int, data: bytes) -> bytes:
    step = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", 1, channels, rate, min(rate * step, 2**32 - 1), step % 65536, bits
    )
    return (
        b"RIFF" + struct.pack("<I", promised) + b"WAVEfmt " + struct.pack("<I", 16) + form
        + b"data" + struct.pack("<I", promised) + data
    )  # fmt: skip


WAV_CLAIMS = st.builds(
    wav_of_claims,
    st.sampled_from([0, 1, 999, 1_000, 16_000, 44_100, 767_999, 768_000, 2**31 - 1, 2**32 - 1]),
    st.sampled_from([0, 1, 2, 255, 1_024, 65_535]),
    st.sampled_from([0, 8, 16, 24, 32]),
    st.sampled_from([0, 1, 400, 2**31 - 1, 2**32 - 1]),
    st.binary(max_size=400),
)


@tries(60)
@given(data=st.one_of(damaged(sound_files()), WAV_CLAIMS, st.binary(max_size=60)))
@example(data=wav_of_claims(767_999, 1, 16, 400, bytes(400)))
@example(data=wav_of_claims(16_000, 1_024, 16, 2**31 - 1, bytes(4_096)))
def test_any_bytes_as_a_sound(data: bytes) -> None:
    sound_share([data], HERE)
    outcome(lambda: open_sound(data, HERE, 10.0))


NUMBERS = st.floats(-1e300, 1e300, allow_nan=False)
WINDOWS = st.lists(NUMBERS, min_size=2, max_size=12)


@tries(40)
@given(window=WINDOWS, spelling=st.sampled_from(["list", "json", "numpy", "semicolons", "npy"]))
def test_a_window_has_the_numbers_that_were_written(window: list[float], spelling: str) -> None:
    out = io.BytesIO()
    np.save(out, np.array(window))
    with np.printoptions(threshold=100_000, floatmode="unique"):
        value: Any = {
            "list": window,
            "json": json.dumps(window),
            "numpy": str(np.array(window)),
            "semicolons": "; ".join(map(repr, window)),
            "npy": out.getvalue(),
        }[spelling]
    found, holes = outcome(lambda: open_series(value, HERE))
    assert found[0].tolist() == window and not holes.any()


def npy_of_claims(kind: str, shape: tuple[int, ...], data: bytes) -> bytes:
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@st.composite
def npy_files(draw: st.DrawFn) -> bytes:
    kinds = draw(
        st.sampled_from(
            [arrays.floating_dtypes, arrays.integer_dtypes, arrays.unicode_string_dtypes]
        )
    )
    out = io.BytesIO()
    np.save(out, draw(arrays.arrays(kinds(), arrays.array_shapes(max_dims=3, max_side=6))))
    return out.getvalue()


SHAPES = st.lists(st.sampled_from([0, 1, 2, 10, 2**24, 2**31, 10**13, -1]), max_size=4).map(tuple)
NPY_KINDS = ["<f8", "|u1", "<U9", "|O", "<c16", "|V0", "M8[s]", "zz"]
NPY_CLAIMS = st.builds(npy_of_claims, st.sampled_from(NPY_KINDS), SHAPES, st.binary(max_size=64))


@tries(80)
@given(data=st.one_of(damaged(npy_files()), NPY_CLAIMS, st.binary(max_size=60)))
@example(data=npy_of_claims("<f8", (10**13,), bytes(64)))
@example(data=npy_of_claims("|O", (2,), b"cos\nsystem\n(S'true'\ntR."))
@example(data=b"\x93NUMPY\x01\x00" + struct.pack("<H", 40_000) + b"(" * 40_000)
@example(data=b"\x93NUMPY\x01\x00" + struct.pack("<H", 9_000) + b"(" * 9_000)
@example(data=b"\x93NUMPY\x01\x00" + struct.pack("<H", 3) + b"{(\n")
@example(data=b"PK\x03\x04" + bytes(60))
@example(data=npy_of_claims("|u1", (0, 2**31, 2**31), b""))
@example(data=npy_of_claims("<f4", (2,), b"\x00\x00\xa0\x7f" * 2))
@example(data=npy_of_claims("<f8", (2,), bytes(16)).replace(b"(2,)", b"(2L,)"))
@example(data=npy_of_claims("<f8", (2,), bytes(16)).replace(b"'fortran", b"\x01fortran"))
def test_any_bytes_as_a_window(data: bytes) -> None:
    series_share([data], HERE)
    found = outcome(lambda: open_series(data, HERE)[0])
    assert found is REFUSED or np.isfinite(found).all()


MARKS = st.lists(
    st.sampled_from([*"[]()0123456789.,;e+- nNaif'\"\t\n", "np.float64("]), max_size=60
).map("".join)


@tries(80)
@given(
    value=MARKS
    | st.recursive(NUMBERS | st.none() | MARKS, lambda s: st.lists(s, max_size=5), max_leaves=10)
)
@example(value="[" * 50_000)
@example(value="[1," * 20_000 + "2" + "]" * 20_000)
@example(value="np.float64(" * 20_000)
@example(value="1e" + "9" * 5_000 + ";1")
def test_any_text_as_a_window(value: Any) -> None:
    outcome(lambda: series_share([value], HERE))
    found = outcome(lambda: open_series(value, HERE)[0])
    assert found is REFUSED or np.isfinite(found).all()


def test_the_oracle_fails_on_what_must_not_happen() -> None:
    """The fuzz tests would be green for nothing if their own oracle saw nothing."""

    def hidden() -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise GobelinError("x: is damaged (MemoryError). Make it again.") from error

    for work in (
        lambda: [][1],
        hidden,
        lambda: np.ones(50_000_000).sum(),
        lambda: json.loads("[" * 9**5),
    ):
        with pytest.raises((AssertionError, IndexError, RecursionError)):
            outcome(work)
