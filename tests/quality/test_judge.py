"""Waves against the inverse transform, an audit that knows copiers of every kind from honest
ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import idctn

from gobelin.core.errors import GobelinError
from gobelin.data.image.images import png_bytes
from gobelin.embedding.features import Embedder
from gobelin.privacy.planted_copies import CHANGES, plant
from gobelin.quality import judge
from gobelin.quality.judge import LOWEST_FREQUENCIES, Judge, NamedImages, agreement, waves

SIZE = 16


def drawn(n: int, seed: int) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: smooth pictures, no two alike: a few random waves of each colour, and
    noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    out = np.zeros((n, SIZE, SIZE, 3))
    for _ in range(4):
        fy, fx, phase, size = (
            rng.uniform(low, high, (n, 1, 1, 3))
            for low, high in ((0, 2), (0, 2), (0, 6.3), (10, 45))
        )
        out += size * np.sin(6.283 * (fy * y[None, :, :, None] + fx * x[None, :, :, None]) + phase)
    return np.clip(128 + out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 24])
def test_waves_are_the_coefficients_that_rebuild_the_image(size: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    found = waves(images)
    assert found.shape == (5, 3 * LOWEST_FREQUENCIES**2)
    whole = np.zeros((5, size, size, 3))
    whole[:, :LOWEST_FREQUENCIES, :LOWEST_FREQUENCIES] = (
        found.reshape(5, LOWEST_FREQUENCIES, LOWEST_FREQUENCIES, 3) * size
    )
    rebuilt = idctn(whole, axes=(1, 2), norm="ortho")
    x = images / 255
    energy = (found**2).sum(1) * size**2
    assert np.allclose(energy, (rebuilt**2).sum((1, 2, 3)), rtol=1e-4)  # Parseval
    rest = ((x - rebuilt) ** 2).sum((1, 2, 3))
    assert np.allclose(
        rest, (x**2).sum((1, 2, 3)) - energy, rtol=1e-3
    )  # a projection: what is left is at right angles
    smooth = np.clip(
        128 + 100 * idctn(whole[:1] * 0 + _low(size), axes=(1, 2), norm="ortho"), 0, 255
    )
    back = waves(smooth.astype(np.uint8)).reshape(LOWEST_FREQUENCIES, LOWEST_FREQUENCIES, 3)
    assert np.unravel_index(np.abs(back[..., 0]).argsort(axis=None)[-2], back[..., 0].shape) == (
        2,
        3,
    )


def _low(size: int) -> np.ndarray:
    """One wave alone, at (2, 3)."""
    out = np.zeros((1, size, size, 3))
    out[:, 2, 3] = size / 2
    return out


def test_waves_are_as_far_apart_as_the_pixels_of_smooth_images() -> None:
    one, other = (
        np.full((1, SIZE, SIZE, 3), 100, np.uint8),
        np.full((1, SIZE, SIZE, 3), 151, np.uint8),
    )
    assert np.linalg.norm(waves(one) - waves(other)) == pytest.approx(3**0.5 * 51 / 255, rel=1e-4)


@pytest.fixture(scope="module")
def encode(shapes_reader: Embedder):  # noqa: ANN201
    encoder = shapes_reader.encoders["image"]

    def features(images: np.ndarray) -> np.ndarray:
        return encoder.embed([encoder.decode({"image": png_bytes(i)}, None)[0] for i in images])

    return features


def pictures(images: np.ndarray, name: str) -> NamedImages:
    return NamedImages(images, tuple(f"{name}{k}" for k in range(len(images))))


def audited(made: np.ndarray, encode, exchangeable: str = "random split by group"):  # noqa: ANN001, ANN201
    train, holdout = drawn(150, 0), drawn(100, 1)
    spaces = {"encoder": encode}
    result = judge.audited(
        Judge(planted=70, audits=("copying",)),
        pictures(train, "t"),
        pictures(holdout, "h"),
        pictures(made, "m"),
        spaces,
        exchangeable,
        seed=0,
    )["copying"]
    word = next(f for f in result.findings if f.name == "copies")
    return word, np.array([r["flagged"] for r in result.rows]), result


@pytest.fixture(scope="module")
def every_kind(encode):  # noqa: ANN001, ANN201
    """One audit of 20 copies of each kind, 100 honest images and what it said."""
    made = np.concatenate(
        [*(plant(drawn(150, 0), 20, 5, kind) for kind in CHANGES), drawn(100, 21)]
    )
    return audited(made, encode)


@pytest.mark.parametrize("kind", CHANGES)
def test_copies_of_every_kind_are_caught(kind: str, every_kind) -> None:  # noqa: ANN001
    at = 20 * list(CHANGES).index(kind)
    assert every_kind[1][at : at + 20].mean() >= (0.8 if kind == "overlaid" else 0.9)


def test_honest_images_among_them_are_cleared_at_the_stated_rate(
    every_kind,
) -> None:  # noqa: ANN001
    word, flagged, result = every_kind
    limit = next(f for f in result.findings if f.name == "false_alarms")
    assert (
        limit.value == pytest.approx(2 / 101)
        and word.chance == limit.value
        and limit.low < limit.value < limit.high
    )
    assert flagged[-100:].mean() <= 0.05
    caught = {
        f.scope["change"]: f.value
        for f in result.findings
        if f.name == "planted_copies_caught" and f.scope
    }
    assert set(caught) == set(CHANGES) and min(caught.values()) >= 0.7


def test_a_copying_generator_is_caught_and_its_sources_named(encode) -> None:  # noqa: ANN001
    source = np.random.default_rng(7).permutation(150)[:40]
    word, flagged, result = audited(drawn(150, 0)[source][:, :, ::-1], encode)  # mirrored
    assert word.verdict == "copies training images" and flagged.mean() > 0.9
    right = [
        r["nearest"] == f"t{s}" for r, s in zip(result.rows, source, strict=True) if r["flagged"]
    ]
    assert np.mean(right) > 0.95
    assert all((r["ratio"] < 1) == r["flagged"] for r in result.rows)


@pytest.mark.parametrize("seed", [11, 12])
def test_an_honest_generator_is_not(seed: int, encode) -> None:  # noqa: ANN001
    word, flagged, _ = audited(drawn(100, seed), encode)
    assert word.verdict != "copies training images" and flagged.mean() < 0.06


def test_a_tenth_of_copies_is_called_copying(encode) -> None:  # noqa: ANN001
    made = np.concatenate([plant(drawn(150, 0), 30, 3, "cropped"), drawn(270, 21)])
    word, flagged, _ = audited(made, encode)
    assert word.verdict == "copies training images"
    assert flagged[:30].mean() > 0.9 and flagged[30:].mean() < 0.06


def test_rows_that_cannot_be_exchanged_are_refused(encode) -> None:  # noqa: ANN001
    with pytest.raises(GobelinError, match="not exchangeable"):
        audited(drawn(5, 3), encode, exchangeable="")


def test_agreement_is_the_share_that_is_read_right() -> None:
    """Wilson's interval in closed form: centre and half width at z = 1.96."""
    rng = np.random.default_rng(0)
    asked, read = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    found = agreement(read, asked, {"class": "a"}, 1 / 3, 0.8, [str(k) for k in range(90)])
    p, n, z = float((asked == read).mean()), 90, 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (found.value, found.low, found.high) == pytest.approx(
        (p, centre - half, centre + half), abs=1e-3
    )
    assert (found.name, found.chance, found.floor, found.n) == ("label_agreement", 1 / 3, 0.8, 90)
    assert found.scope == {"class": "a"}
