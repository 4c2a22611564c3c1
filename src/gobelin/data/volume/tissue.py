"""Label maps of the brain: background, cerebrospinal fluid, grey and white matter, by stated rules.

A brain without its skull is a volume that is 0 outside. Three rules, by what is known of a brain:
- `by_maps`: from tissue maps, the probability of grey and of white matter of every voxel;
- `by_regions`: from an atlas of regions, each of which has the tissue of its median brightness;
- `by_value`: from the brightness of each voxel alone.
The two thresholds of brightness are those of Otsu 1979, section III.E, for three classes.

What this cannot show: anatomy. A label by brightness is a label by brightness: a voxel of half grey
and half fluid gets one of the two names, and deep grey matter is bright and often called white.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

TISSUES = ("background", "fluid", "grey", "white")
BACKGROUND, FLUID, GREY, WHITE = range(4)
BINS = 256  # of the histogram
WHITE_VALUE = 200.0  # brightness of the median voxel of white matter


def thresholds(values: np.ndarray) -> tuple[float, float]:
    """The two thresholds of values [n] that separate three classes with the largest variance
    between them (Otsu 1979, equation 26), tried on the borders of `BINS` equal bins.

    Raises ValueError for fewer than three different values.
    """
    if len(np.unique(values)) < 3:
        raise ValueError("three classes need at least three different values")
    counts, edges = np.histogram(values, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    share = np.concatenate([[0.0], np.cumsum(counts / counts.sum())])  # below each edge
    moment = np.concatenate([[0.0], np.cumsum(centres * counts / counts.sum())])

    def between(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Share times squared mean of the bins first .. last - 1; 0 for an empty class."""
        weight = share[last] - share[first]
        part = moment[last] - moment[first]
        return np.divide(part**2, weight, out=np.zeros_like(part), where=weight > 1e-12)

    low, high = np.triu_indices(BINS + 1, 1)
    inside = (low > 0) & (high < BINS)
    low, high = low[inside], high[inside]
    nothing, everything = np.zeros_like(low), np.full_like(low, BINS)
    best = int((between(nothing, low) + between(low, high) + between(high, everything)).argmax())
    return float(edges[low[best]]), float(edges[high[best]])


def by_value(brain: np.ndarray) -> np.ndarray:
    """uint8, as `brain` (float, 0 outside): the tissue of each voxel by its own brightness."""
    inside = brain > 0
    cuts = thresholds(brain[inside])
    return np.where(inside, FLUID + np.digitize(brain, cuts), BACKGROUND).astype(np.uint8)


def by_maps(brain: np.ndarray, grey: np.ndarray, white: np.ndarray) -> np.ndarray:
    """uint8, as `brain` (float, 0 outside): the most probable tissue. grey, white: as `brain`,
    probabilities in 0..1; the rest of 1 is fluid.
    """
    each = np.stack([1 - grey - white, grey, white])
    return np.where(brain > 0, FLUID + each.argmax(0), BACKGROUND).astype(np.uint8)


def by_regions(brain: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """uint8, as `brain` (float, 0 outside): a voxel has the tissue of the median brightness of its
    region, and outside all regions (0) that of its own. regions: int, as `brain`.
    """
    inside = brain > 0
    values, region = brain[inside], regions[inside]
    cuts = thresholds(values)
    tissues = np.digitize(values, cuts)
    order = np.argsort(region, kind="stable")
    for voxels in np.split(order, np.flatnonzero(np.diff(region[order])) + 1):
        if region[voxels[0]] != 0:
            tissues[voxels] = np.digitize(np.median(values[voxels]), cuts)
    out = np.zeros(brain.shape, np.uint8)
    out[inside] = FLUID + tissues
    return out


def scaled(brain: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 in 0..255, as `brain`: brightness in units in which the median voxel of white matter
    is `WHITE_VALUE`, so that brains of other scanners and units compare.
    """
    factor = WHITE_VALUE / float(np.median(brain[labels == WHITE]))
    return np.clip(brain * factor, 0, 255).astype(np.float32)


def coarse(pixels: np.ndarray, size: int) -> np.ndarray:
    """float32 [size, size]: means of numbers [S, S]."""
    image = Image.fromarray(pixels.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def coarse_image(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size]: means of float [S, S] in 0..255."""
    return np.round(coarse(pixels, size)).clip(0, 255).astype(np.uint8)


def coarse_labels(labels: np.ndarray, size: int, count: int = len(TISSUES)) -> np.ndarray:
    """uint8 [size, size]: the label that most voxels of a pixel have, the smaller one of two.
    labels: int [S, S], below `count`."""
    shares = [coarse(labels == k, size) for k in range(count)]
    return np.argmax(np.round(np.stack(shares), 4), 0).astype(np.uint8)
