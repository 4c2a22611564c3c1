"""Thresholds against scikit-image and an exhaustive search; the three rules on planted brains."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.data.volume import tissue
from gobelin.data.volume.tissue import FLUID, GREY, WHITE


def mixture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(m, 8, n) for m, n in ((40, 300), (80, 900), (110, 700))])


@pytest.mark.parametrize("seed", range(4))
def test_the_thresholds_are_those_of_scikit_image(seed: int) -> None:
    filters = pytest.importorskip("skimage.filters")
    values = mixture(seed)
    ours, theirs = tissue.thresholds(values), filters.threshold_multiotsu(values, 3)
    bin_width = np.ptp(values) / tissue.BINS
    assert np.abs(np.array(ours) - theirs).max() <= bin_width + 1e-9


def test_no_other_thresholds_separate_better() -> None:
    """By the variance within the classes, over all pairs of a coarse grid."""
    values = mixture(9)

    def within(low: float, high: float) -> float:
        parts = [values[values < low], values[(values >= low) & (values < high)]]
        parts.append(values[values >= high])
        return sum(float(((p - p.mean()) ** 2).sum()) for p in parts if len(p))

    grid = np.linspace(values.min(), values.max(), 60)
    best = min(within(a, b) for a in grid for b in grid if a < b)
    assert within(*tissue.thresholds(values)) <= best * 1.001
    with pytest.raises(ValueError, match="three different"):
        tissue.thresholds(np.array([1.0, 2.0, 2.0]))


def brain() -> tuple[np.ndarray, np.ndarray]:
    """Brightness [8, 8, 6], 0 outside, and the true tissues."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 4, (8, 8, 6))
    truth[0] = 0
    return np.array([0, 40, 80, 110])[truth] * rng.uniform(0.97, 1.03, truth.shape), truth


def test_by_value_and_by_maps() -> None:
    image, truth = brain()
    assert (tissue.by_value(image) == truth).all()
    grey, white = (np.where(truth == k, 0.8, 0.1) for k in (GREY, WHITE))
    assert (tissue.by_maps(image, grey, white) == truth).all()
    # half and half of the rest: fluid has 1 - grey - white
    assert tissue.by_maps(image, 0 * grey, 0 * white)[1].min() == FLUID


def test_by_regions_takes_the_median_of_the_region() -> None:
    image, truth = brain()
    regions = np.where(truth > 0, 10 * truth + (np.indices(truth.shape)[1] > 3), 0)
    regions[1] = 0  # outside all regions: by its own brightness
    odd = image.copy()
    odd[2, 0, 0] = 40 if truth[2, 0, 0] != FLUID else 110  # one voxel does not change its region
    assert (tissue.by_regions(odd, regions) == truth).all()
    assert tissue.by_regions(odd, 0 * regions)[2, 0, 0] != truth[2, 0, 0]


def test_white_matter_gets_one_brightness() -> None:
    image, truth = brain()
    for factor in (0.5, 1.7):
        out = tissue.scaled(image * factor, truth.astype(np.uint8))
        assert np.median(out[truth == WHITE]) == pytest.approx(tissue.WHITE_VALUE)
        assert out[0].max() == 0 and out.dtype == np.float32
