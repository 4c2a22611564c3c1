"""Are the made images any good, and are they copies? Prepares the images in several spaces and runs the audits.

What this cannot show: quality as a person sees it. A label that is read right may stand on an ugly image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.fft import dctn

from gobelin import catalog
from gobelin.audits import Material, Result
from gobelin.config import within
from gobelin.evidence import Finding, proportion
from gobelin.runtime import numpy_generator

FREQUENCIES = 12


@dataclass(frozen=True)
class Judge:
    """audits, metrics: components to run, of metrics all where none is named. planted: how many slightly changed training
    images make the positive control. space, space_settings: the image encoder whose features metrics see, '' = one that needs
    no weights and isn't the generator's own."""

    audits: tuple[str, ...] = ("copying",)
    planted: int = 200
    metrics: tuple[str, ...] = ()
    space: str = ""
    space_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within(self, {"planted": (1, 1e6)})


@dataclass(frozen=True)
class Pictures:
    """uint8 [n, H, W, 3] at the generator's size, with their names."""

    images: np.ndarray
    ids: tuple[str, ...]


def plant(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """uint8 [count, H, W, 3]: training images shifted by up to a pixel, a little brighter or darker, with some noise."""
    rng = numpy_generator(seed, "planted copies")
    chosen = images[rng.choice(len(images), min(count, len(images)), replace=False)]
    out = []
    for image in chosen:
        dy, dx = rng.integers(-1, 2, 2)
        moved = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")[1 + dy :, 1 + dx :][: image.shape[0], : image.shape[1]]
        changed = moved * rng.uniform(0.95, 1.05) + rng.normal(0, 4, image.shape)
        out.append(np.clip(np.rint(changed), 0, 255).astype(np.uint8))
    return np.stack(out)


def waves(images: np.ndarray) -> np.ndarray:
    """float32 [n, 3 * 144]: the lowest frequencies of each colour (Ahmed, Natarajan & Rao 1974), the space beside the
    encoder's in which copies are looked for."""
    x = dctn(images.astype(np.float32) / 255, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]
    return x.reshape(len(images), -1) / np.sqrt(images.shape[1] * images.shape[2])


def shifted(images: np.ndarray) -> list[np.ndarray]:
    """The images, and themselves shifted by a pixel in the eight directions, edges repeated."""
    h, w = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    steps = sorted(((y, x) for y in range(3) for x in range(3)), key=lambda s: s != (1, 1))
    return [padded[:, y : y + h, x : x + w] for y, x in steps]


def copies(
    how: Judge,
    train: Pictures,
    holdout: Pictures,
    made: Pictures,
    encode: Callable[[np.ndarray], np.ndarray],
    exchangeable: str,
    seed: int,
) -> Mapping[str, Result]:
    """Every audit's result. encode: images [n, H, W, 3] -> features [n, D] of the run's image encoder."""
    planted = plant(train.images, how.planted, seed)
    others = (holdout.images, made.images, planted)
    spaces = {
        "waves": [waves(train.images)] + [np.stack([waves(v) for v in shifted(g)], 1) for g in others],
        "encoder": [encode(g) for g in (train.images, *others)],
    }
    spaces_of = [{space: parts[k] for space, parts in spaces.items()} for k in range(4)]
    material = Material(
        train=spaces_of[0], holdout=spaces_of[1], made=spaces_of[2], planted=spaces_of[3], train_ids=train.ids,
        made_ids=made.ids, exchangeable=exchangeable,
    )  # fmt: skip
    return {name: catalog.build("audits", name).run(material) for name in how.audits}


def agreement(
    read: np.ndarray,
    asked: np.ndarray,
    scope: Mapping[str, str],
    chance: float,
    ceiling: float | None,
    units: Sequence[str],
) -> Finding:
    """How often the predictor, shown nothing but the made image, reads the class that was asked for. read, asked [n]."""
    found = proportion((read == asked).astype(float), np.asarray(units))
    return found.finding(
        "label_agreement", scope=scope, better="higher", unit="share", chance=chance, floor=ceiling, source="generate",
        note="the class read from the made image alone; floor: from real unseen images at the generator's size",
    )  # fmt: skip
