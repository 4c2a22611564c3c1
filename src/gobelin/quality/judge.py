"""Are generated images copies, do they tell who was trained on, and do they show their class?
Prepares images in several spaces and runs the audits.

What this cannot show: quality as a person sees it. An ugly image may show its class well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import Once, setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.lazy import fft
from gobelin.core.progress import counted
from gobelin.embedding.encoders import Encoder
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import proportion
from gobelin.privacy import planted_copies
from gobelin.privacy.attribute_attacks import AttackedCells
from gobelin.privacy.audits import AuditInput, References, Result

LOWEST_FREQUENCIES = 12  # of each axis and colour


@settings_class
class Judge:
    """Settings of the audits and metrics of generated images."""

    audits: Annotated[tuple[str, ...], Once] = setting(
        default=("copying", "membership"), description="Audit components to run."
    )
    planted: int = setting(
        default=280,
        ge=1,
        le=1_000_000,
        description="Changed training images in the audits' positive control.",
    )
    references: int = setting(
        default=0,
        ge=0,
        le=1000,
        description="Reference generators that audits train: under 16 for RMIA, from 16 for LiRA.",
    )
    metrics: Annotated[tuple[str, ...], Once] = setting(
        default=(), description="Metric components to run. Empty runs all."
    )
    space: str = setting(
        default="",
        description="Image encoder of the metrics and audits. Empty: one the run does not use.",
    )
    space_settings: Mapping[str, Any] = setting(
        default_factory=dict, description="That image encoder's own settings."
    )

    later: ClassVar[tuple[str, ...]] = ("references",)  # `core.later`


def image_encoder(name: str, settings: Mapping[str, Any], kind: str = "image") -> Encoder:
    """The encoder of this name. Raises GobelinError if it reads no images, or nothing of another
    kind."""
    encoder: Encoder = catalog.build("encoders", name, settings)
    if kind not in encoder.kinds:
        raise GobelinError(
            f"judge.space: {name!r} reads {', '.join(encoder.kinds)}, not {kind}s. Name an {kind}"
            " encoder."
        )
    return encoder


@dataclass(frozen=True)
class NamedImages:
    """Images with their names.

    images: uint8 [n, H, W, 3] at the generator's size, or volumes [n, D, H, W, C]. ids: names of
    their rows [n]. groups: group of each row [n]; () where each row is a group.
    """

    images: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()


def waves(images: np.ndarray) -> np.ndarray:
    """float32 [n, 3 * 144]: the lowest frequencies of each colour of images, uint8 [n, H, W, 3]. Of
    volumes, uint8 [n, D, H, W, C], the 6 lowest of each axis, [n, 216 C].

    The discrete cosine transform (Ahmed, Natarajan & Rao 1974). Screening searches for near images
    in this space, and in the encoder's.
    """
    axes = tuple(range(1, images.ndim - 1))
    count = LOWEST_FREQUENCIES if len(axes) == 2 else LOWEST_FREQUENCIES // 2
    x = fft.dctn(images.astype(np.float32) / 255, axes=axes, norm="ortho")
    x = x[(slice(None), *[slice(count)] * len(axes))]
    return x.reshape(len(images), -1) / np.sqrt(np.prod(images.shape[1:-1]))


def audited(
    settings: Judge,
    train: NamedImages,
    holdout: NamedImages,
    generated: NamedImages,
    spaces: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    exchangeable: str,
    seed: int,
    row_losses: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None,
    cells: Callable[[], AttackedCells] | None = None,
    references: References | None = None,
) -> Mapping[str, Result]:
    """{audit: its result}.

    spaces: {name: function of images [n, H, W, 3] to features [n, D]}; audits use them beside the
    pixels. exchangeable: why training and held-out images are exchangeable ('random split by
    group'), '' if they are not. seed: of the planted copies and other random choices. row_losses:
    the generator's losses of training rows [n] and held-out rows [m]; None where it knows none.
    cells: the other cells of training, held-out and generated rows; None where there are none.
    references: generators that learn some of these rows each; None = none is trained.
    """
    material = AuditInput(
        train=train.images,
        holdout=holdout.images,
        generated=generated.images,
        spaces=spaces,
        train_ids=train.ids,
        generated_ids=generated.ids,
        planted=planted_copies.of_every_kind(train.images, settings.planted, seed),
        exchangeable=exchangeable,
        groups=holdout.groups,
        train_groups=train.groups,
        row_losses=row_losses,
        references=references,
        cells=cells,
        seed=seed,
    )
    audits = counted("audit", settings.audits)
    return {name: catalog.build("audits", name).run(material) for name in audits}


def agreement(
    read: np.ndarray,
    requested: np.ndarray,
    scope: Mapping[str, str],
    chance: float,
    ceiling: float | None,
    units: Sequence[str],
) -> Finding:
    """How often the predictor reads the requested class from a generated image alone.

    read, requested: classes [n]. ceiling: the same share for real unseen images. units: [n], images
    of one unit are not independent; the interval is over units.
    """
    interval = proportion((read == requested).astype(float), np.asarray(units))
    return interval.finding(
        "label_agreement",
        scope=scope,
        better="higher",
        unit="share",
        chance=chance,
        floor=ceiling,
        source="generate",
        note=(
            "the class read from the generated image alone; floor: from real unseen images at the"
            " generator's size"
        ),
    )
