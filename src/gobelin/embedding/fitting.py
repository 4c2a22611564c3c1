"""How an encoder is fitted on the training cells of a field."""

from __future__ import annotations

import logging
from dataclasses import replace

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.image.images import Opening
from gobelin.data.training_range import with_range
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.columns.schema import default_encoder
from gobelin.embedding.encoders import Encoder, FittedEncoder, TrainingCells

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def fit_encoder(
    encoder: Encoder, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
) -> FittedEncoder:
    """The encoder, fitted on these cells. One that opens images or volumes is first given the range
    of their pixels or voxels, where these are no bytes. A warning tells it."""
    opening = getattr(encoder, "opening", None)
    if isinstance(opening, Opening | VolumeOpening):
        found = with_range(opening, cells.present(), cells.least_groups, cells.root)
        if found != opening:
            LOG.warning(
                "field %s: of %s that are no bytes, %g becomes black and %g white (the middle"
                " 99.8 %% of those of training rows, as far as %d groups reach). Change it with"
                " --set encoders.%s.opening.low=N and .high=N.",
                field.name,
                "pixels" if isinstance(opening, Opening) else "voxels",
                found.low,
                found.high,
                cells.least_groups,
                default_encoder(field.kind) or field.encoder,
            )
        encoder = replace(encoder, opening=found)  # type: ignore[type-var]
    return encoder.fit(cells, field, kinds, runtime)
