"""Shifted views against numpy.roll, waves against the inverse transform, an audit that knows a copier from an honest one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import idctn

from gobelin.data.images import png_bytes
from gobelin.embedding import Reader
from gobelin.errors import GobelinError
from gobelin.judge import FREQUENCIES, Judge, Pictures, agreement, copies, plant, shifted, waves

SIZE = 16


def drawn(n: int, seed: int) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: smooth pictures, no two alike: a few random waves of each colour, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    out = np.zeros((n, SIZE, SIZE, 3))
    for _ in range(4):
        fy, fx, phase, size = (rng.uniform(low, high, (n, 1, 1, 3)) for low, high in ((0, 2), (0, 2), (0, 6.3), (10, 45)))
        out += size * np.sin(6.283 * (fy * y[None, :, :, None] + fx * x[None, :, :, None]) + phase)
    return np.clip(128 + out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)


def test_shifted_is_the_image_and_its_eight_neighbours() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 7, 9, 3), dtype=np.uint8)
    views = shifted(images)
    assert len(views) == 9 and np.array_equal(views[0], images)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    left = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for view in views:
        same = [s for s in left if np.array_equal(view[inner], np.roll(images, s, (1, 2))[inner])]
        assert len(same) == 1
        dy, dx = same[0]
        rows, columns = np.clip(np.arange(7) - dy, 0, 6), np.clip(np.arange(9) - dx, 0, 8)
        assert np.array_equal(view, images[:, rows][:, :, columns])  # edges repeated
        left.remove(same[0])
    assert left == []


@pytest.mark.parametrize("size", [16, 24])
def test_waves_are_the_coefficients_that_rebuild_the_image(size: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    found = waves(images)
    assert found.shape == (5, 3 * FREQUENCIES**2)
    whole = np.zeros((5, size, size, 3))
    whole[:, :FREQUENCIES, :FREQUENCIES] = found.reshape(5, FREQUENCIES, FREQUENCIES, 3) * size
    rebuilt = idctn(whole, axes=(1, 2), norm="ortho")
    x = images / 255
    energy = (found**2).sum(1) * size**2
    assert np.allclose(energy, (rebuilt**2).sum((1, 2, 3)), rtol=1e-4)  # Parseval
    rest = ((x - rebuilt) ** 2).sum((1, 2, 3))
    assert np.allclose(rest, (x**2).sum((1, 2, 3)) - energy, rtol=1e-3)  # a projection: what is left is at right angles
    smooth = np.clip(128 + 100 * idctn(whole[:1] * 0 + _low(size), axes=(1, 2), norm="ortho"), 0, 255)
    back = waves(smooth.astype(np.uint8)).reshape(FREQUENCIES, FREQUENCIES, 3)
    assert np.unravel_index(np.abs(back[..., 0]).argsort(axis=None)[-2], back[..., 0].shape) == (2, 3)


def _low(size: int) -> np.ndarray:
    """One wave alone, at (2, 3)."""
    out = np.zeros((1, size, size, 3))
    out[:, 2, 3] = size / 2
    return out


def test_waves_are_as_far_apart_as_the_pixels_of_smooth_images() -> None:
    one, other = np.full((1, SIZE, SIZE, 3), 100, np.uint8), np.full((1, SIZE, SIZE, 3), 151, np.uint8)
    assert np.linalg.norm(waves(one) - waves(other)) == pytest.approx(3**0.5 * 51 / 255, rel=1e-4)


def test_planted_copies_lie_within_their_bounds() -> None:
    """Constant images: a shift changes nothing, so what is left is the brightness (5 %) and the noise (4)."""
    levels = np.arange(40, 201, 4)
    images = np.stack([np.full((SIZE, SIZE, 3), v, np.uint8) for v in levels])
    found = plant(images, 30, seed=0)
    assert found.shape == (30, SIZE, SIZE, 3) and found.dtype == np.uint8
    means, spreads = found.mean((1, 2, 3)), found.std((1, 2, 3))
    assert all(min(abs(m - v) / v for v in levels) < 0.06 for m in means) and np.all(np.abs(spreads - 4) < 0.6)
    assert np.array_equal(plant(images, 30, seed=0), found) and not np.array_equal(plant(images, 30, seed=1), found)
    assert len(plant(images, 999, seed=0)) == len(images)


def test_planted_copies_are_shifted_by_at_most_a_pixel() -> None:
    images = drawn(60, 3)
    found, views, seen = plant(images, 60, seed=2), shifted(images), set()
    for one in found:
        distances = np.array([np.abs(one.astype(float) - v.astype(float)).mean((1, 2, 3)) for v in views])
        view, source = np.unravel_index(distances.argmin(), distances.shape)
        assert distances[view, source] < 0.05 * images[source].mean() + 4.5
        assert source not in seen  # without repeats
        seen.add(source)


@pytest.fixture(scope="module")
def encode(shapes_reader: Reader):  # noqa: ANN201
    encoder = shapes_reader.encoders["image"]

    def features(images: np.ndarray) -> np.ndarray:
        return encoder.embed([encoder.decode({"image": png_bytes(i)}, None)[0] for i in images])

    return features


def pictures(images: np.ndarray, name: str) -> Pictures:
    return Pictures(images, tuple(f"{name}{k}" for k in range(len(images))))


def audited(made: np.ndarray, encode, exchangeable: str = "random split by group"):  # noqa: ANN001, ANN201
    train, holdout = drawn(150, 0), drawn(60, 1)
    result = copies(
        Judge(planted=60), pictures(train, "t"), pictures(holdout, "h"), pictures(made, "m"), encode, exchangeable, seed=0
    )["copying"]
    word = next(f for f in result.findings if f.name == "copies")
    return word, np.array([r["flagged"] for r in result.rows]), result


def test_a_copying_generator_is_caught(encode) -> None:  # noqa: ANN001
    rng = np.random.default_rng(7)
    source = rng.permutation(150)[:40]
    made = np.clip(drawn(150, 0)[source] + rng.normal(0, 3, (40, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    made[::2] = shifted(made)[3][::2]  # every other one a pixel off
    word, flagged, result = audited(made, encode)
    assert word.verdict == "copies training images" and flagged.mean() > 0.8
    right = [r["nearest"] == f"t{s}" for r, s in zip(result.rows, source, strict=True) if r["flagged"]]
    assert np.mean(right) > 0.95
    caught = next(f for f in result.findings if f.name == "planted_copies_caught")
    assert caught.value > 0.8


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_an_honest_generator_is_not(seed: int, encode) -> None:  # noqa: ANN001
    word, flagged, _ = audited(drawn(60, seed), encode)
    assert word.verdict != "copies training images" and flagged.mean() < 0.1


def test_only_the_copies_of_a_mixture_are_flagged(encode) -> None:  # noqa: ANN001
    made = np.concatenate([drawn(150, 0)[:15], drawn(45, 21)])
    _, flagged, _ = audited(made, encode)
    assert flagged[:15].mean() > 0.8 and flagged[15:].mean() < 0.1


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
    assert (found.value, found.low, found.high) == pytest.approx((p, centre - half, centre + half), abs=1e-3)
    assert (found.name, found.chance, found.floor, found.n) == ("label_agreement", 1 / 3, 0.8, 90)
    assert found.scope == {"class": "a"}
