"""Volumes as pictures: their planes, as a person looks at them.

Anterior and superior are up. Left is on the left: the person is seen from behind, from above and
from their left side (what radiologists call the neurological convention).
"""

from __future__ import annotations

import numpy as np

GAP = 1  # white pixels between two planes
PLANES = ("axial", "coronal", "sagittal")


def plane(volume: np.ndarray, axis: int, place: int) -> np.ndarray:
    """uint8 [h, w, 3]: one plane of uint8 [D, H, W, C] across this axis (0, 1 or 2)."""
    cut = np.take(volume, place, axis)[::-1]  # superior, or anterior, becomes the top
    if cut.shape[2] == 3:
        return cut
    return np.repeat(cut[..., :1], 3, 2)


def three_planes(volume: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3]: the middle planes side by side, in the order of `PLANES`."""
    planes = [plane(volume, axis, volume.shape[axis] // 2) for axis in range(3)]
    height = max(p.shape[0] for p in planes)
    width = sum(p.shape[1] for p in planes) + 2 * GAP
    out = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for cut in planes:
        out[: cut.shape[0], left : left + cut.shape[1]] = cut
        left += cut.shape[1] + GAP
    return out


def plane_strip(volume: np.ndarray, axis: int) -> np.ndarray:
    """uint8 [h, n w, 3]: all n planes across this axis side by side, from the first on."""
    return np.concatenate([plane(volume, axis, k) for k in range(volume.shape[axis])], 1)
