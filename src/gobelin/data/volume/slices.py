"""Slices in space: their order, their distance, and the axes of the body that they lie along.

Places and directions are DICOM's (LPS+, in mm): x runs to the left, y to the back, z to the head.
The order of the arrays is that of `data.volume.volumes` (RAS+).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

SAME_PLACE = 0.1  # share of the usual distance within which two slices lie at one place
GAP = 1.5  # distances over so many usual ones lack a slice
MOST_FILLED = 0.5  # missing slices that are left empty, at most, as a share of those there
SHEAR = 0.1  # sideways shift a slice, as a share of the distance, that is told


@dataclass(frozen=True)
class Plane:
    """Where a slice lies. across, down: directions of its columns' and rows' growing numbers, unit
    vectors [3]. corner: the centre of its first pixel [3], mm. pixel: mm down and across, or None.
    """

    across: tuple[float, float, float]
    down: tuple[float, float, float]
    corner: tuple[float, float, float]
    pixel: tuple[float, float] | None = None

    @property
    def normal(self) -> np.ndarray:
        """float64 [3]: across x down."""
        return np.cross(self.across, self.down)

    @property
    def place(self) -> float:
        """mm along the normal."""
        return float(self.normal @ np.array(self.corner))


@dataclass(frozen=True)
class Stack:
    """The order of slices that lie on each other.

    order: the numbers of the slices, by place, one for each place; None where one is missing.
    doubled: how many lie where another one does, and are left out. missing: how many are missing.
    distance: mm between two; None for one slice. uneven: whether the distances differ otherwise.
    sheared: whether the slices are shifted sideways, as by a tilted gantry.
    """

    order: tuple[int | None, ...]
    doubled: int = 0
    missing: int = 0
    distance: float | None = None
    uneven: bool = False
    sheared: bool = False


def stacked(planes: list[Plane]) -> Stack:
    """The order of slices of one orientation. Of several at one place the first is taken."""
    places = np.array([p.place for p in planes])
    ranks = sorted(range(len(planes)), key=lambda k: (places[k], k))
    steps = np.diff(places[ranks])
    usual = float(np.median(steps[steps > 1e-4])) if (steps > 1e-4).any() else 0.0
    kept: list[int] = []
    for k in ranks:
        if not kept or places[k] - places[kept[-1]] > SAME_PLACE * usual:
            kept.append(k)
    doubled = len(planes) - len(kept)
    if len(kept) < 2:
        return Stack(tuple(kept), doubled)
    steps = np.diff(places[kept])
    usual = float(np.median(steps))
    holes = [round(float(step) / usual) - 1 if step > GAP * usual else 0 for step in steps]
    sheared = _sheared([planes[k] for k in kept], places[kept])
    even = [step / (hole + 1) for step, hole in zip(steps, holes, strict=True)]
    uneven = bool(np.abs(np.array(even) - usual).max() > SAME_PLACE * usual)
    if sum(holes) > MOST_FILLED * len(kept):
        return Stack(tuple(kept), doubled, sum(holes), float(steps.mean()), True, sheared)
    order: list[int | None] = [kept[0]]
    for k, hole in zip(kept[1:], holes, strict=True):
        order += [None] * hole + [k]
    distance = float(places[kept[-1]] - places[kept[0]]) / (len(order) - 1)
    return Stack(tuple(order), doubled, sum(holes), distance, uneven, sheared)


def _sheared(planes: list[Plane], places: np.ndarray) -> bool:
    """Whether the corners of slices, sorted by place, leave the normal through the first."""
    way = np.array(planes[-1].corner) - np.array(planes[0].corner)
    along = float(places[-1] - places[0])
    return bool(np.linalg.norm(way - along * planes[0].normal) > SHEAR * along)


def canonical(values: np.ndarray, plane: Plane) -> tuple[np.ndarray, tuple[int, int, int]]:
    """[K, rows, columns, C] of slices in the order of their places -> [D, H, W, C] in RAS+, and
    which axis of the slices (0, 1, 2) became D, H and W. Of a slanted volume the nearest axes.
    """
    # of each axis of the array the direction in RAS: x and y change their signs
    ways = np.array([plane.normal, plane.down, plane.across]) * np.array([-1.0, -1.0, 1.0])
    bodies = permutations(range(3))  # of each axis of the array, the axis of the body: R, A or S
    best = max(bodies, key=lambda body: sum(abs(ways[k, body[k]]) for k in range(3)))
    flips = tuple(slice(None, None, 1 if ways[k, best[k]] >= 0 else -1) for k in range(3))
    depth, height, width = (best.index(body) for body in (2, 1, 0))
    return values[flips].transpose(depth, height, width, 3), (depth, height, width)
