"""How good are made images? Every metric, in a feature space that the generator never saw, beside
real images' own scores.

The space is that of a second image encoder, fitted on training images alone; the one that the
generator was conditioned on is refused, as its own space flatters it. Made images are compared with
training images, and so are held-out ones: their scores are the floor. By class as well, wherever a
class has images enough for a number.

What this cannot show: quality as a person sees it, or in a space that knows things the second
encoder doesn't; one that was learned from few images without labels sees patches and colours, not
what they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.core.workers import in_order
from gobelin.data.fields import Field
from gobelin.data.images import png_bytes
from gobelin.embedding.encoders import FittedEncoder
from gobelin.evidence.findings import Finding
from gobelin.quality.judge import Judge, image_encoder
from gobelin.quality.metrics import Comparison, FeatureSet

COLUMN, BLOCK = "image", 256
SPACES: dict[str, Mapping[str, Any]] = {
    "convolution": {"filters": 16},
    "pixels": {"frequencies": 8},
}
"""The spaces that need no weights. Where none is named, the first that isn't the generator's own is
taken. They are narrow, since a Fréchet distance needs more images than features."""


@dataclass(frozen=True)
class Seen:
    """images uint8 [n, H, W, 3] at the generator's size; labels: their classes [n], or None."""

    images: np.ndarray
    labels: np.ndarray | None = None


def quality(
    how: Judge, train: Seen, holdout: Seen, made: Seen, conditioned_on: str, runtime: Runtime
) -> list[Finding]:
    """Every metric's findings of made images against training images, and by class those that are
    numbers; a class that is too small for all of them has one finding that says so. conditioned_on:
    the image encoder whose vectors drove the generator."""
    if not all(len(one.images) for one in (train, made)):
        raise GobelinError("quality: there are no images to compare. Make some first.")
    net, encoder = named(how, conditioned_on), second(how, train.images, conditioned_on, runtime)
    size = train.images.shape[1]
    real, floor, new = (
        FeatureSet(
            list(features(encoder, one.images, runtime)),
            net,
            f"{size} pixels (area average; bilinear where enlarged), then by the encoder's own",
            one.labels,
        )
        for one in (train, holdout, made)
    )
    whole = Comparison(real, new, floor if len(holdout.images) else None, conditioned_on)
    metrics = [catalog.build("metrics", name) for name in how.metrics or catalog.names("metrics")]
    found = [one for metric in metrics for one in metric.measure(whole)]
    for part in whole.classes() if train.labels is not None and made.labels is not None else []:
        own = [one for metric in metrics for one in metric.measure(part)]
        numbers = [one for one in own if one.value is not None]
        silent = sorted(
            (one for one in own if one.value is None and one.needed_n),
            key=lambda one: one.needed_n or 0,
        )
        found += numbers or silent[:1]
    return found


def named(how: Judge, conditioned_on: str) -> str:
    """The second encoder's name."""
    return how.space or next(name for name in SPACES if name != conditioned_on)


def second(how: Judge, images: np.ndarray, conditioned_on: str, runtime: Runtime) -> FittedEncoder:
    """The second encoder, learned from these training images."""
    net = named(how, conditioned_on)
    return fitted(net, how.space_settings or SPACES.get(net, {}), images, runtime)


def fitted(
    net: str, settings: Mapping[str, Any], images: np.ndarray, runtime: Runtime
) -> FittedEncoder:
    """The image encoder of this name, learned from these images where it learns at all. In
    float32."""
    component = image_encoder(net, settings)
    cells = [{COLUMN: png_bytes(image)} for image in images]
    return component.fit(
        cells,
        Field(COLUMN, net, (COLUMN,), "image"),
        {COLUMN: COLUMN},
        replace(runtime, precision="float32"),
    )


def features(encoder: FittedEncoder, images: np.ndarray, runtime: Runtime) -> Iterator[np.ndarray]:
    """float32 [n, D] blocks."""

    def opened(
        image: np.ndarray,
    ) -> Any:  # noqa: ANN401 - what an encoder decodes to is its own affair
        return encoder.decode({COLUMN: png_bytes(image)}, Path())[0]

    for start in range(0, len(images), BLOCK):
        yield encoder.embed(list(in_order(opened, images[start : start + BLOCK], runtime.threads)))
