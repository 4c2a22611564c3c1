"""Planted copies, the positive control of an audit: training images, changed a little in each of
the ways in which a copy may be changed. Images [H, W, C], or volumes [D, H, W, C]."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gobelin.core.lazy import ndimage
from gobelin.core.machine import numpy_generator

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to a pixel, a little brighter or darker, with some noise."""
    dims = image.ndim - 1
    by = rng.integers(-1, 2, dims)
    wide = np.pad(image, ((1, 1),) * dims + ((0, 0),), "edge")
    places = zip(by, image.shape[:dims], strict=True)
    moved = wide[tuple(slice(1 + step, 1 + step + side) for step, side in places)]
    return moved * rng.uniform(0.95, 1.05) + rng.normal(0, 4, image.shape)


def _cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """70 to 90 % of each side, anywhere, at the old size."""
    if image.ndim == 4:
        return _cropped_volume(image, rng)
    height, width = image.shape[:2]
    share = rng.uniform(0.7, 0.9)
    top, left = rng.uniform(0, 1 - share, 2)
    box = (left * width, top * height, (left + share) * width, (top + share) * height)
    layers = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[2])]
    return np.stack(
        [
            np.asarray(layer.resize((width, height), Image.Resampling.BILINEAR, box))
            for layer in layers
        ],
        2,
    )


def _cropped_volume(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """70 to 90 % of each side, anywhere, at the old size; straight lines between voxels."""
    share = rng.uniform(0.7, 0.9)
    corner = rng.uniform(0, 1 - share, 3) * volume.shape[:3]
    # voxel centres of the new grid, in voxels of the old one
    start = corner + 0.5 * share - 0.5
    layers = [
        ndimage.affine_transform(volume[..., c], [share] * 3, start, order=1, mode="nearest")
        for c in range(volume.shape[3])
    ]
    return np.stack(layers, 3)


def _blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred by a Gaussian of 2 to 5 % of the side."""
    sigma = rng.uniform(0.02, 0.05) * image.shape[0]
    return ndimage.gaussian_filter(image, (sigma,) * (image.ndim - 1) + (0,))


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast and brightness of each channel changed."""
    channels = image.shape[-1]
    return image * rng.uniform(0.7, 1.2, channels) + rng.uniform(-30, 30, channels)


def _overlaid(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A box of one colour over 9 to 25 % of the area, or 9 to 25 % of a volume."""
    out, (*sides, channels) = image.copy(), image.shape
    low, high = (0.3, 0.5) if len(sides) == 2 else (0.45, 0.63)
    lengths = (rng.uniform(low, high, len(sides)) * sides).astype(int)
    corner = [rng.integers(0, side - n + 1) for side, n in zip(sides, lengths, strict=True)]
    box = tuple(slice(a, a + n) for a, n in zip(corner, lengths, strict=True))
    out[box] = rng.integers(0, 256, channels)
    return out


CHANGES: Mapping[str, Change] = {
    "exact": lambda image, rng: image,
    "noisy": _noisy,
    "flipped": lambda image, rng: image[..., ::-1, :],
    "cropped": _cropped,
    "blurred": _blurred,
    "recoloured": _recoloured,
    "overlaid": _overlaid,
}


def plant(images: np.ndarray, count: int, seed: int, change: str = "noisy") -> np.ndarray:
    """`count` different images of uint8 [n, H, W, C], changed in this way: uint8 [count, H, W, C].
    All n if there are fewer. The same of volumes [n, D, H, W, C]."""
    rng = numpy_generator(seed, f"planted copies, {change}")
    chosen = images[rng.choice(len(images), min(count, len(images)), replace=False)]
    changed = np.stack([CHANGES[change](image.astype(np.float64), rng) for image in chosen])
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def of_every_kind(images: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """{kind of change: its share of `count` planted copies}, at least one each."""
    return {
        change: plant(images, max(1, count // len(CHANGES)), seed, change) for change in CHANGES
    }
