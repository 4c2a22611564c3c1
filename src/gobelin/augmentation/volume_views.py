"""Changed views of volumes: mirrored, turned about every axis, scaled, moved, recoloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import ndimage

VIEW_SIDE = 64  # voxels a side at which views of volumes are made


@dataclass(frozen=True)
class VolumeChange:
    """How far a view may be from its volume.

    mirror: chance of a flip from left to right. turn: largest rotation about each axis, degrees.
    zoom: largest share by which it is scaled, and half of it the largest shift, as shares of the
    side. colour: largest change of brightness and contrast.
    """

    mirror: float
    turn: float
    zoom: float
    colour: float

    def view(self, volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One view of uint8 [D, H, W, C]; the border gets the level of the first corner."""
        x = volume[:, :, ::-1] if rng.random() < self.mirror else volume
        matrix = _turned(np.deg2rad(rng.uniform(-self.turn, self.turn, 3)))
        matrix *= 1 + rng.uniform(-self.zoom, self.zoom)
        middle = (np.array(volume.shape[:3]) - 1) / 2
        shift = rng.uniform(-self.zoom / 2, self.zoom / 2, 3) * volume.shape[:3]
        offset = middle - matrix @ middle + shift
        layers = [
            ndimage.affine_transform(
                x[..., c].astype(np.float32), matrix, offset, order=1, cval=float(x[0, 0, 0, c])
            )
            for c in range(volume.shape[3])
        ]
        moved = np.stack(layers, 3)
        brighter, contrast = 1 + rng.uniform(-self.colour, self.colour, 2)
        level = moved.mean()
        changed = (moved * brighter - level) * contrast + level
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _turned(angles: np.ndarray) -> np.ndarray:
    """[3, 3]: the rotation about the first, second and third axis, one after the other."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out
