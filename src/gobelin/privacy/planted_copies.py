"""Planted copies, the positive control of an audit: training images, changed a little in each of
the ways in which a copy may be changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gobelin.core.lazy import ndimage
from gobelin.core.machine import numpy_generator

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to a pixel, a little brighter or darker, with some noise."""
    dy, dx = rng.integers(-1, 2, 2)
    moved = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")[1 + dy :, 1 + dx :][
        : image.shape[0], : image.shape[1]
    ]
    return moved * rng.uniform(0.95, 1.05) + rng.normal(0, 4, image.shape)


def _cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """70 to 90 % of each side, anywhere, at the old size."""
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


def _blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred by a Gaussian of 2 to 5 % of the side."""
    return ndimage.gaussian_filter(image, (rng.uniform(0.02, 0.05) * image.shape[0],) * 2 + (0,))


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast and brightness of each channel changed."""
    channels = image.shape[2]
    return image * rng.uniform(0.7, 1.2, channels) + rng.uniform(-30, 30, channels)


def _overlaid(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A box of one colour over 9 to 25 % of the area."""
    out, (height, width, channels) = image.copy(), image.shape
    h, w = (rng.uniform(0.3, 0.5, 2) * (height, width)).astype(int)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    out[top : top + h, left : left + w] = rng.integers(0, 256, channels)
    return out


CHANGES: Mapping[str, Change] = {
    "exact": lambda image, rng: image,
    "noisy": _noisy,
    "flipped": lambda image, rng: image[:, ::-1],
    "cropped": _cropped,
    "blurred": _blurred,
    "recoloured": _recoloured,
    "overlaid": _overlaid,
}


def plant(images: np.ndarray, count: int, seed: int, change: str = "noisy") -> np.ndarray:
    """`count` different images of uint8 [n, H, W, C], changed in this way: uint8 [count, H, W, C].
    All n if there are fewer."""
    rng = numpy_generator(seed, f"planted copies, {change}")
    chosen = images[rng.choice(len(images), min(count, len(images)), replace=False)]
    changed = np.stack([CHANGES[change](image.astype(np.float64), rng) for image in chosen])
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def of_every_kind(images: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """{kind of change: its share of `count` planted copies}, at least one each."""
    return {
        change: plant(images, max(1, count // len(CHANGES)), seed, change) for change in CHANGES
    }
