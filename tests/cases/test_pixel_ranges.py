"""Images whose pixels are no bytes: floats, 12 and 16 bits, signed.

Oracle: the quantiles of the pixels that were written, and bright against dark images that a run has
to tell apart.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import processor
import pytest
from coded_pictures import table
from PIL import Image

from gobelin.augmentation.rivals import RivalInput
from gobelin.augmentation.rivals.generator_size import GeneratorSize
from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.data.image.images import Opening, open_image
from gobelin.data.training_range import with_range
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.fitting import fit_encoder
from gobelin.sklearn import MultimodalClassifier
from gobelin.workbench.bench import Workbench
from gobelin.workbench.thumbnails import thumbnail

N = 80
SIDE = 24
SETTINGS = {
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"steps": 0, "width": 8},
    "predict": {"folds": 2, "decays": [0.01]},
    "fusion": {"settings": {"steps": 60}},
    "runtime": processor.SETTINGS,
}


def written(pixels: np.ndarray, kind: str = "TIFF") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def noise(k: int, low: float, high: float) -> np.ndarray:
    """Noise in the lower third of the range; in every other image the left half in its upper
    third."""
    x = np.random.default_rng(k).uniform(0, 1 / 3, (SIDE, SIDE))
    x[:, : SIDE // 2] += 2 / 3 * (k % 2)
    return low + (high - low) * x


MAKERS: dict[str, tuple[Callable[[int], bytes], float, float]] = {
    "float TIFF, 0 to 1": (lambda k: written(noise(k, 0, 1).astype(np.float32)), 0, 1),
    "float TIFF, tiny": (lambda k: written(noise(k, 0, 1e-6).astype(np.float32)), 0, 1e-6),
    "float TIFF, signed": (lambda k: written(noise(k, -1, 1).astype(np.float32)), -1, 1),
    "12 bits in PNG": (lambda k: written(noise(k, 0, 4095).astype(np.uint16), "PNG"), 0, 4095),
    "10 bits in TIFF": (lambda k: written(noise(k, 64, 940).astype(np.uint16)), 64, 940),
    "12 bits in big-endian TIFF": (lambda k: swapped(noise(k, 0, 4095)), 0, 4095),
    "16 bits in PNG": (lambda k: written(noise(k, 0, 65535).astype(np.uint16), "PNG"), 0, 65535),
    "signed TIFF": (lambda k: written(noise(k, -1000, 2000).astype(np.int32)), -1000, 2000),
    "12 bits in PGM": (lambda k: grey_map(noise(k, 0, 4095)), 0, 4095),
}


def swapped(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    big = pixels.astype(">u2")
    Image.frombytes("I;16B", big.shape[::-1], big.tobytes()).save(out, "TIFF")
    return out.getvalue()


def grey_map(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape
    return f"P5 {width} {height} 65535\n".encode() + pixels.astype(">u2").tobytes()


def fitted(cells: list[bytes], opening: Opening | None = None, least: int = 5) -> Opening:
    rows = [({"image": c}, k) for k, c in enumerate(cells)]
    return with_range(opening or Opening(), rows, least, Path())


def shown(cell: bytes, opening: Opening) -> np.ndarray:
    image, _ = open_image(cell, Path(), opening)
    assert image.mode == "L"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", MAKERS)
def test_the_range_is_that_of_training_pixels(name: str) -> None:
    maker, low, high = MAKERS[name]
    cells = [maker(k) for k in range(N)]
    found = fitted(cells)
    assert found.low is not None and found.high is not None
    assert abs(found.low - low) < 0.01 * (high - low)
    assert abs(found.high - high) < 0.01 * (high - low)
    dark, bright = shown(maker(0), found), shown(maker(1), found)
    assert dark[:, 12:].mean() == pytest.approx(255 / 6, abs=5)
    assert bright[:, :12].mean() == pytest.approx(255 * 5 / 6, abs=5)
    alone = shown(maker(1), Opening())  # an image without training rows has its own range
    assert alone.min() == 0 and alone.max() == 255


@pytest.mark.parametrize("odd", [1e30, -1e30, np.nan, np.inf, -np.inf])
def test_one_pixel_sets_no_range(odd: float) -> None:
    cells = []
    for k in range(N):
        x = noise(k, 0, 1).astype(np.float32)
        x[3, 15] = odd
        cells.append(written(x))
    found = fitted(cells)
    assert found.low is not None and found.high is not None
    if np.isfinite(odd):  # one pixel of 576 in every image is more than a thousandth
        cells = [written(noise(k, 0, 1).astype(np.float32)) for k in range(1, N)] + cells[:1]
        found = fitted(cells)
    assert abs(found.low) < 0.01 and abs(found.high - 1) < 0.01
    pixels = shown(cells[-1], found)
    assert pixels[3, 15] == (255 if odd > 0 else 0)  # what is no number is black
    assert 0 < np.median(pixels) < 255


def test_a_range_that_the_user_gave_stays() -> None:
    maker, _, _ = MAKERS["12 bits in PNG"]
    cells = [maker(k) for k in range(N)]
    both = Opening(low=10, high=20)
    assert fitted(cells, both) == both
    assert fitted(cells, Opening(low=0)).low == 0
    assert fitted(cells, Opening(high=5000)).high == 5000
    assert fitted(cells[:4]) == Opening()  # of too few groups to be kept
    assert fitted([written(np.zeros((4, 4, 3), np.uint8), "PNG")] * 9 + [b"no image"]) == Opening()


def test_few_bright_pixels_and_equal_pixels() -> None:
    sparse = np.zeros((300, 300), np.uint16)
    sparse[7, 7] = 9
    for opening in (Opening(), Opening(low=0, high=65535)):
        image, said = open_image(written(sparse), Path(), opening)
        assert np.asarray(image)[7, 7] == 255 and "range of the image itself" in said
    equal = np.full((4, 4), 7, np.uint16)
    assert open_image(written(equal), Path(), Opening())[1] == "16 bits, all pixels equal"
    assert (shown(written(equal), Opening()) == 127).all()
    assert (shown(written(equal), Opening(low=7, high=9)) == 0).all()


def colours(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a colour."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    out = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + name + data
        out += struct.pack(">I", zlib.crc32(name + data))
    return out


def tiff(pixels: np.ndarray, sample: int, photometric: int = 1) -> bytes:
    """A TIFF of one channel with these samples: 1 unsigned, 2 signed, 3 floats."""
    height, width = pixels.shape
    data = pixels.tobytes()
    tags = [(256, width), (257, height), (258, 8 * pixels.itemsize), (259, 1)]
    tags += [(262, photometric), (273, 8), (277, 1), (278, height), (279, len(data)), (339, sample)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack("<4sI", b"II*\0", 8 + len(data)) + data
    return start + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_signed_and_negative_pixels() -> None:
    ramp = np.linspace(-1000, 2000, 64).reshape(8, 8).astype("<i2")
    upward = shown(tiff(ramp, 2), Opening(low=-1000, high=2000))
    assert (np.diff(upward.ravel()) > 0).all() and upward[0, 0] == 0 and upward[-1, -1] == 255
    wide = np.linspace(0, 4095, 64).reshape(8, 8).astype("<u2")
    usual, turned = (
        shown(tiff(wide, 1, photometric), Opening(low=0, high=4095)) for photometric in (1, 0)
    )
    assert (turned == 255 - usual).all() and usual[0, 0] == 0
    with pytest.raises(BadCell, match="signed bytes"):
        open_image(tiff(ramp.astype("i1"), 2), Path(), Opening())
    for odd in (ramp.astype("<f2"), ramp.astype("<f8")):
        with pytest.raises(BadCell, match="a kind that is not read .* convert it: magick"):
            open_image(tiff(odd, 3), Path(), Opening())


def test_colours_of_sixteen_bits_are_told() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 6, 3))
    image, said = open_image(colours(values), Path(), Opening())
    assert np.array_equal(np.asarray(image), values >> 8)
    assert said == "16 bits a colour, of which 8 are kept"
    dark = open_image(colours(values >> 4), Path(), Opening())[1]
    assert dark == f"{said}, and less than half of the range is used"


@pytest.mark.parametrize("name", ["float TIFF, 0 to 1", "12 bits in PNG"])
def test_a_run_keeps_the_range_for_new_rows(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker, low, high = MAKERS[name]
    for k in range(N):
        (tmp_path / f"{k}.dat").write_bytes(maker(k))
    # of new rows none is bright, and one is of another range
    (tmp_path / "other.dat").write_bytes(written(noise(1, 0, 1e-9).astype(np.float32)))
    names = [f"{k}.dat" for k in range(N)]
    classes = [("dark", "bright")[k % 2] for k in range(N)]
    rows = table(tmp_path / "a.csv", {"image": names, "label": classes})
    bench = Workbench(rows, "label", tmp_path / "run", SETTINGS)
    found = bench.check()
    converted = [f.scope["what"] for f in found if f.name == "converted_cells"]
    bench.fit()
    told = [r.getMessage() for r in caplog.records if "becomes black" in r.getMessage()]
    kept = json.loads((tmp_path / "run" / "encoders" / "image" / "config.json").read_text())
    opening = kept["opening"]
    assert opening["high"] == pytest.approx(high, rel=0.01)
    assert told and f"{opening['low']:g} becomes black and {opening['high']:g} white" in told[0]
    (what,) = converted
    assert what.endswith(f"range {opening['low']:g} to {opening['high']:g}")
    # generators, baselines and the report see the same range
    seen = bench.run.checked.rows
    used = seen.dataset.opening("image")
    assert (used.low, used.high) == (opening["low"], opening["high"])
    picture = thumbnail(tmp_path / "run", seen, "image", 1)
    assert picture is not None and picture.endswith("1.png")
    with Image.open(tmp_path / "run" / picture) as image:
        assert (np.asarray(image) == shown(maker(1), used)).all()
    arm = GeneratorSize().arm(RivalInput(seen.dataset, "image", np.arange(4), SIDE, 0))
    for k, cell in enumerate(arm.dataset.values("image")[-4:]):
        made = np.asarray(open_image(cell, Path(), Opening())[0].convert("L"))
        assert (made == shown(maker(k), used)).all()
    new = table(tmp_path / "new.csv", {"image": names[:10:2]})
    again = Workbench.open(tmp_path / "run").predict(new)
    assert [again.classes[k] for k in again.class_indices] == ["dark"] * 5
    odd = table(tmp_path / "odd.csv", {"image": ["other.dat"]})
    bench.predict(odd)
    assert "1 cell of image: floats, outside the range" in caplog.records[-1].getMessage()


def test_estimators_keep_the_range_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Images in units of a millionth: without the range of training rows all are black."""
    maker, _, high = MAKERS["float TIFF, tiny"]
    for k in range(N):
        (tmp_path / f"{k}.dat").write_bytes(maker(k))
    rows = pd.DataFrame({"image": [f"{k}.dat" for k in range(N)]})
    answers = [("dark", "bright")[k % 2] for k in range(N)]
    estimator = MultimodalClassifier(root=tmp_path, encoders=SETTINGS["encoders"])
    estimator.fit(rows[:60], answers[:60])
    opening = estimator.embedder_.encoders["image"].opening
    assert opening.high == pytest.approx(high, rel=0.01)
    assert "of pixels that are no bytes" in caplog.text
    assert estimator.score(rows[60:], answers[60:]) == 1


@pytest.mark.parametrize("name", ["volume", "volume_convolution", "voxels"])
def test_every_encoder_of_volumes_tells_its_range(
    name: str, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    cells: list[Any] = []
    for _ in range(6):
        out = io.BytesIO()
        np.save(out, rng.uniform(-1000, 1000, (8, 8, 8)).astype(np.float32))
        cells.append({"scan": out.getvalue()})
    choices = {"network": "pixels"} if name == "volume" else {}
    encoder = fit_encoder(
        catalog.build("encoders", name, choices),
        TrainingCells(cells),
        Field("scan", name, ("scan",), "volume"),
        {"scan": "volume"},
        runtime,
    )
    low, high = encoder.opening.low, encoder.opening.high  # type: ignore[attr-defined]
    assert low == pytest.approx(-1000, rel=0.02) and high == pytest.approx(1000, rel=0.02)
    assert f"field scan: of voxels that are no bytes, {low:g} becomes black" in caplog.text
