"""The small image and sound networks, untrained: what they are made from, and what they tell
apart."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.image.images import png_bytes
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.convolution import Convolution


def drawn(kind: int, rng: np.random.Generator) -> bytes:
    """Grey noise with short strokes, all upright (0) or all lying (1), going round the edges: equal
    in every mean."""
    image = rng.integers(100, 156, (16, 16, 1)).repeat(3, 2).astype(np.uint8)
    for top, left in rng.integers(0, 16, (6, 2)):
        along = (np.arange(5) + (top, left)[kind]) % 16
        image[(along, left) if kind == 0 else (top, along)] = 255
    return png_bytes(image)


def test_untrained_it_tells_textures_apart_better_than_their_colours_do(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    cells = [{"i": drawn(int(kind), rng)} for kind in label]
    fitted = Convolution(16, 12, 5).fit(
        TrainingCells(cells[:40]),
        Field("i", "convolution", ("i",), "image"),
        {"i": "image"},
        runtime,
    )
    x = fitted.embed([fitted.decode(c, Path())[0] for c in cells])
    patches, plain = x[:, : 2 * 12 * 4], x[:, 2 * 12 * 4 :]

    def right(features: np.ndarray) -> float:
        """Share of the second half whose nearer class mean of the first half is its own."""
        means = np.stack([features[:40][label[:40] == k].mean(0) for k in (0, 1)])
        return float((((features[40:, None] - means) ** 2).sum(2).argmin(1) == label[40:]).mean())

    assert right(patches) > 0.9 > 0.7 > right(plain)


def test_a_cell_that_cant_be_opened_teaches_nothing(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    cells = [{"i": drawn(k % 2, rng)} for k in range(10)]
    field = Field("i", "convolution", ("i",), "image")
    fitted = [
        Convolution(16, 4, 3).fit(TrainingCells(rows), field, {"i": "image"}, runtime)
        for rows in (cells, [*cells, {"i": b"no image"}, None])
    ]
    assert fitted[0].fingerprint() == fitted[1].fingerprint()


def tone(hertz: tuple[float, float], seconds: float, gain: float) -> bytes:
    time = np.arange(int(16_000 * seconds)) / 16_000
    both = np.where(
        time < seconds / 2, np.sin(2 * np.pi * hertz[0] * time), np.sin(2 * np.pi * hertz[1] * time)
    )
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((both * gain).astype("<i2").tobytes())
    return out.getvalue()


def test_sounds_are_told_apart_by_order_and_hardly_by_length_or_loudness(runtime: Runtime) -> None:
    pytest.importorskip("soundfile")
    from gobelin.embedding.encoders.spectrogram import BESIDE, Spectrogram

    field = Field("a", "spectrogram", ("a",), "audio")
    up, down, slow, loud = (
        {"a": tone(*said)}
        for said in (
            ((400, 2000), 0.5, 4000),
            ((2000, 400), 0.5, 4000),
            ((400, 2000), 0.8, 4000),
            ((400, 2000), 0.5, 16000),
        )
    )
    cells = TrainingCells([up, down], least_groups=1)
    fitted = Spectrogram(frames=16, filters=6).fit(cells, field, {"a": "audio"}, runtime)
    x = fitted.embed([fitted.decode(c, Path())[0] for c in (up, down, slow, loud)])
    far = np.sqrt(((x[:1] - x[1:]) ** 2).sum(1))  # from `up` to each of the others
    assert far[0] > 3 * far[1] and far[0] > 3 * far[2]
    assert np.allclose(
        x[0, :-BESIDE], x[3, :-BESIDE], atol=0.02
    )  # a gain changes one of the numbers beside alone
    assert x[3, -2] - x[0, -2] == pytest.approx(np.log(16) / 10, abs=0.01)
