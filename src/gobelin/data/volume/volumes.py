"""A volume: a grid of voxels with its spacing, opened from any format, and fitted to a cube.

The files are opened by `data.volume.files`. The array of every volume has the same order, that of
RAS+: D runs from inferior to superior, H from posterior to anterior, W from left to right. It is
the transposed array of nibabel's canonical image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.image.pixel_range import span
from gobelin.data.values.narrow import float64

MOST_CHANNELS = 4  # of an opened volume; of more volumes along a fourth axis the mean is taken
SAMPLED = 64  # voxels a side that tell the range of a volume
BYTE, HOUNSFIELD, ARBITRARY = "byte", "HU", "arbitrary"  # units of the values


@dataclass(frozen=True)
class Volume:
    """A volume as it was opened.

    values: float32 [D, H, W, C]; a voxel without a number is nan. spacing: mm from the centre of a
    voxel to the next along D, H and W; None where the file gives none. unit: BYTE (0 to 255),
    HOUNSFIELD, ARBITRARY, or the unit that the file names. oriented: whether the file says which
    way the axes run.
    """

    values: np.ndarray
    spacing: tuple[float, float, float] | None = None
    unit: str = ARBITRARY
    oriented: bool = False


@settings_class
class VolumeOpening:
    """How volumes are opened."""

    low: int | float | None = setting(
        default=None, description="Value that becomes black. Empty: by training rows."
    )
    high: int | float | None = setting(
        default=None, description="Value that becomes white. Empty: by training rows."
    )
    max_voxels: int = setting(
        default=2**28,
        ge=1,
        le=2**36,
        description="Largest volume in voxels, all channels. Larger ones are set aside.",
    )

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")


def window(volume: Volume, opening: VolumeOpening) -> tuple[float, float]:
    """The values that become 0 and 255: those of the settings, else 0 and 255 of bytes, else the
    middle 99.8 % of the volume's own voxels. Both ends are equal for a volume of one value.
    """
    if volume.unit == BYTE:
        low, high = 0.0, 255.0
    else:
        found = samples(volume)
        low, high = span(found) if found.size else (0.0, 0.0)
    low = low if opening.low is None else float(opening.low)
    high = high if opening.high is None else float(opening.high)
    return low, max(low, high)


def samples(volume: Volume) -> np.ndarray:
    """float64 [n]: finite voxels, evenly chosen, SAMPLED along each axis at most."""
    steps = (slice(None, None, max(1, -(-side // SAMPLED))) for side in volume.values.shape[:3])
    values = float64(volume.values[tuple(steps)].ravel())
    return values[np.isfinite(values)]


def fitted_volume(volume: Volume, side: int, opening: VolumeOpening) -> np.ndarray:
    """uint8 [side, side, side, C]: the whole volume with its proportions in mm, in the middle of a
    cube. What the volume does not fill is 0, as is a voxel without a number.

    The window (`window`) becomes 0 to 255 first. An axis that shrinks takes the mean of the voxels
    that a new one covers, one that grows is interpolated linearly.
    """
    low, high = window(volume, opening)
    scale = 255.0 / (high - low) if high > low else 0.0
    voxels: np.ndarray = volume.values
    if scale > float(np.finfo(np.float32).max):
        voxels = float64(voxels)
    kind = voxels.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the window: 0 or 255
        values = (voxels - kind(low)) * kind(scale)
    values = np.clip(np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)
    sides = fitted_sides(values.shape[:3], volume.spacing, side)
    # the axis that shrinks most goes first: it leaves the least to do
    for axis in sorted(range(3), key=lambda a: sides[a] / values.shape[a]):
        values = _resized(values, axis, sides[axis])
    out = np.zeros((side, side, side, values.shape[3]), np.uint8)
    places = [(side - n) // 2 for n in sides]
    inside = tuple(slice(p, p + n) for p, n in zip(places, sides, strict=True))
    out[inside] = np.rint(values).astype(np.uint8)
    return out


def fitted_sides(
    shape: tuple[int, ...], spacing: tuple[float, float, float] | None, side: int
) -> tuple[int, int, int]:
    """The voxels along D, H and W of a volume whose longest edge in mm gets `side` voxels."""
    edges = [n * mm for n, mm in zip(shape, spacing or (1.0, 1.0, 1.0), strict=True)]
    depth, height, width = (max(1, round(side * edge / max(edges))) for edge in edges)
    return depth, height, width


def _resized(values: np.ndarray, axis: int, count: int) -> np.ndarray:
    """float32, as `values` with `count` voxels along an axis."""
    if values.shape[axis] == count:
        return values
    weights = axis_weights(values.shape[axis], count)
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


def axis_weights(old: int, new: int) -> np.ndarray:
    """float32 [new, old], rows of sum 1: how much each old voxel counts in a new one. By the part
    of it that the new one covers where new < old, else by linear interpolation between centres.
    """
    if new <= old:
        ends = np.linspace(0, old, new + 1)
        covered = np.minimum(ends[1:, None], np.arange(1, old + 1)) - np.maximum(
            ends[:-1, None], np.arange(old)
        )
        weights = np.maximum(covered, 0)
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    centres = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(old)), 0).astype(np.float32)
