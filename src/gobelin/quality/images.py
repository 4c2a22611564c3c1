"""How good are generated images? Every metric, in a feature space that the generator did not use,
beside the scores of real images.

The space is that of a second image encoder, fitted on training images alone. The encoder that the
generator was conditioned on is refused, as its own space flatters it. Generated images are compared
with training images, and so are held-out images: their scores are the floor. The same by class,
where a class has enough images for a number.

What this cannot show: quality as a person sees it, or in a space that knows things the second
encoder doesn't. An encoder that learned from few images without labels sees patches and colours,
not what they show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.core.progress import counted
from gobelin.core.workers import in_order
from gobelin.data.fields import Field
from gobelin.data.media import medium_of
from gobelin.embedding.encoders import FittedEncoder, TrainingCells
from gobelin.evidence.findings import Finding
from gobelin.quality.judge import Judge, image_encoder
from gobelin.quality.metrics import FeatureComparison, FeatureSet

IMAGE_COLUMN = "image"  # the only column of the cells that the second encoder gets
ENCODED_AT_ONCE = 256  # decoded and encoded
# Encoders that need no weights, with their settings. Where the run names none, the first that isn't
# the generator's own is taken. They are narrow: a Fréchet distance needs more images than features.
SPACES: dict[str, dict[str, Mapping[str, Any]]] = {
    "images": {"convolution": {"filters": 16}, "pixels": {"frequencies": 8}},
    "volumes": {"voxels": {"frequencies": 4, "cells": 2}, "volume": {}},
}


@dataclass(frozen=True)
class ImageSet:
    """images: uint8 [n, H, W, 3] at the generator's size, or volumes [n, D, H, W, C]. labels: their
    classes [n], or None."""

    images: np.ndarray
    labels: np.ndarray | None = None


def quality(
    settings: Judge,
    train: ImageSet,
    holdout: ImageSet,
    generated: ImageSet,
    conditioned_on: str,
    runtime: Runtime,
) -> list[Finding]:
    """Every metric's findings of generated images against training images, over all and by class.

    conditioned_on: name of the image encoder whose vectors drove the generator. A class gets its
    findings with numbers; if it is too small for all of them, one finding that says so. Raises
    GobelinError without training or generated images.
    """
    if not (len(train.images) and len(generated.images)):
        raise GobelinError("quality: there are no images to compare. Generate some first.")
    net = second_name(settings, conditioned_on, train.images)
    encoder = second(settings, train.images, conditioned_on, runtime)
    side = train.images.shape[1]
    unit = medium_of(train.images).unit
    resize = f"{side} {unit} (area average; bilinear where enlarged), then by the encoder's own"
    real, floor, new = (
        FeatureSet(list(features(encoder, part.images, runtime)), net, resize, part.labels)
        for part in (train, holdout, generated)
    )
    whole = FeatureComparison(real, new, floor if len(holdout.images) else None, conditioned_on)
    names = settings.metrics or catalog.names("metrics")
    metrics = [catalog.build("metrics", name) for name in names]
    findings = [finding for metric in metrics for finding in metric.measure(whole)]
    labelled = train.labels is not None and generated.labels is not None
    for comparison in whole.classes() if labelled else []:
        of_class = [finding for metric in metrics for finding in metric.measure(comparison)]
        numbers = [f for f in of_class if f.value is not None]
        too_few = sorted(
            (f for f in of_class if f.value is None and f.needed_n), key=lambda f: f.needed_n or 0
        )
        findings += numbers or too_few[:1]
    return findings


def second_name(settings: Judge, conditioned_on: str, images: np.ndarray) -> str:
    """The second encoder's name, for these images or volumes."""
    able = SPACES[medium_of(images).plural]
    return settings.space or next(name for name in able if name != conditioned_on)


def second(
    settings: Judge, images: np.ndarray, conditioned_on: str, runtime: Runtime
) -> FittedEncoder:
    """The second encoder, fitted on these training images, uint8 [n, H, W, 3]."""
    net = second_name(settings, conditioned_on, images)
    usual = SPACES[medium_of(images).plural].get(net, {})
    return fitted(net, settings.space_settings or usual, images, runtime)


def fitted(
    net: str, settings: Mapping[str, Any], images: np.ndarray, runtime: Runtime
) -> FittedEncoder:
    """The image encoder of this name, fitted on these images if it learns at all. In float32."""
    of_kind = medium_of(images)
    kind = of_kind.kind
    component = image_encoder(net, settings, kind)
    return component.fit(
        TrainingCells([{IMAGE_COLUMN: of_kind.cell(image)} for image in images]),
        Field(IMAGE_COLUMN, net, (IMAGE_COLUMN,), kind),
        {IMAGE_COLUMN: IMAGE_COLUMN},
        replace(runtime, precision="float32"),
    )


def features(encoder: FittedEncoder, images: np.ndarray, runtime: Runtime) -> Iterator[np.ndarray]:
    """Features of images, uint8 [n, H, W, 3], or of volumes, in blocks float32 [m, D]."""
    of_kind = medium_of(images)

    def decoded(image: np.ndarray) -> Any:  # noqa: ANN401 - each encoder decodes to its own type
        return encoder.decode({IMAGE_COLUMN: of_kind.cell(image)}, Path())[0]

    for start in counted("encode images", range(0, len(images), ENCODED_AT_ONCE)):
        block = images[start : start + ENCODED_AT_ONCE]
        yield encoder.embed(list(in_order(decoded, block, runtime.threads)))
