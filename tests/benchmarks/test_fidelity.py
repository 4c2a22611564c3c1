"""PSNR and SSIM of the benchmarks. Oracle: the paper's formulas written out window by window, and
closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from fidelity import psnr, ssim


def images(n: int, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        0, 256, (n, height, width, channels), dtype=np.uint8
    )


def slowly(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004 for one grey image [H, W], one window after another."""
    place = np.arange(11) - 5
    weight = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = (z[i : i + 11, j : j + 11].astype(float) for z in (x, y))
            m, k = (weight * a).sum(), (weight * b).sum()
            v, u = (weight * (a - m) ** 2).sum(), (weight * (b - k) ** 2).sum()
            c = (weight * (a - m) * (b - k)).sum()
            one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append((2 * m * k + one) * (2 * c + two) / ((m**2 + k**2 + one) * (v + u + two)))
    return float(np.mean(values))


@pytest.mark.parametrize("noise", [5, 60])
def test_ssim_is_the_papers(noise: int) -> None:
    one = images(3, 17, 14, 3)
    moved = one + np.random.default_rng(1).normal(0, noise, one.shape)
    other = np.clip(moved, 0, 255).astype(np.uint8)
    expected = [
        np.mean([slowly(a[..., c], b[..., c]) for c in range(3)])
        for a, b in zip(one, other, strict=True)
    ]
    assert ssim(one, other) == pytest.approx(expected, abs=1e-9)


def test_closed_forms() -> None:
    one = images(2, 16, 16, 3)
    assert ssim(one, one) == pytest.approx([1, 1]) and (psnr(one, one) == 100).all()
    flat, lighter = np.full((1, 16, 16, 1), 100, np.uint8), np.full((1, 16, 16, 1), 110, np.uint8)
    assert psnr(flat, lighter) == pytest.approx([20 * np.log10(25.5)])
    constant = (0.01 * 255) ** 2
    assert ssim(flat, lighter) == pytest.approx(
        [(2 * 100 * 110 + constant) / (100**2 + 110**2 + constant)]
    )
