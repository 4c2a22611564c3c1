"""Are the made images any good, and are they copies? Prepares the images in several spaces and runs
the audits.

What this cannot show: quality as a person sees it. A label that is read right may stand on an ugly
image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.fft import dctn

from gobelin.core import catalog
from gobelin.core.config import once, within
from gobelin.core.errors import GobelinError
from gobelin.embedding.encoders import Encoder
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import proportion
from gobelin.privacy import planted_copies
from gobelin.privacy.audits import AuditInput, Result

FREQUENCIES = 12


@dataclass(frozen=True)
class Judge:
    """audits, metrics: components to run, of metrics all where none is named. planted: how many
    changed training images make the positive control, over all kinds of change. space,
    space_settings: the image encoder whose features metrics and audits see beside the run's own, ''
    = one that needs no weights and isn't the generator's."""

    audits: tuple[str, ...] = ("copying",)
    planted: int = 280
    metrics: tuple[str, ...] = ()
    space: str = ""
    space_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within(self, {"planted": (1, 1e6)})
        once(self, "audits", "metrics")


def image_encoder(name: str, settings: Mapping[str, Any]) -> Encoder:
    """The component of this name, which must read images."""
    found: Encoder = catalog.build("encoders", name, settings)
    if "image" not in found.kinds:
        raise GobelinError(
            f"judge.space: {name!r} reads {', '.join(found.kinds)}, no images. Name an image"
            " encoder."
        )
    return found


@dataclass(frozen=True)
class Pictures:
    """uint8 [n, H, W, 3] at the generator's size, with their names; groups: of rows that belong
    together, () = each alone."""

    images: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()


def waves(images: np.ndarray) -> np.ndarray:
    """float32 [n, 3 * 144]: the lowest frequencies of each colour (Ahmed, Natarajan & Rao 1974),
    the space beside the encoder's in which screening looks for what is near."""
    x = dctn(images.astype(np.float32) / 255, axes=(1, 2), norm="ortho")[
        :, :FREQUENCIES, :FREQUENCIES
    ]
    return x.reshape(len(images), -1) / np.sqrt(images.shape[1] * images.shape[2])


def copies(
    how: Judge,
    train: Pictures,
    holdout: Pictures,
    made: Pictures,
    spaces: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    exchangeable: str,
    seed: int,
) -> Mapping[str, Result]:
    """Every audit's result. spaces: {name: images [n, H, W, 3] -> features [n, D]}, beside the
    pixels."""
    material = AuditInput(
        train=train.images,
        holdout=holdout.images,
        generated=made.images,
        spaces=spaces,
        train_ids=train.ids,
        generated_ids=made.ids,
        planted=planted_copies.of_every_kind(train.images, how.planted, seed),
        exchangeable=exchangeable,
        groups=holdout.groups,
    )
    return {name: catalog.build("audits", name).run(material) for name in how.audits}


def agreement(
    read: np.ndarray,
    asked: np.ndarray,
    scope: Mapping[str, str],
    chance: float,
    ceiling: float | None,
    units: Sequence[str],
) -> Finding:
    """How often the predictor, shown nothing but the made image, reads the class that was asked
    for. read, asked [n]."""
    found = proportion((read == asked).astype(float), np.asarray(units))
    return found.finding(
        "label_agreement",
        scope=scope,
        better="higher",
        unit="share",
        chance=chance,
        floor=ceiling,
        source="generate",
        note=(
            "the class read from the made image alone; floor: from real unseen images at the"
            " generator's size"
        ),
    )
