"""Means and spreads of training images and of a number target, as a trained generator keeps them.

Every group counts once, and they are rounded (`gobelin.data.coarse`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from torch import Tensor

from gobelin.core.machine import derived_seed
from gobelin.generation.generators import ImageRows
from gobelin.networks.condition import ConditionEmbedding
from gobelin.networks.flow_path import Velocity
from gobelin.networks.linear_filter import FilteredVelocity

MEASURED_IMAGES = 2048  # for mean and spread of the images, at most


def standardise(embedding: ConditionEmbedding, rows: ImageRows) -> None:
    """Tell the embedding the mean and the spread of a number target, of the rows that training
    uses."""
    if rows.condition.target is not None:
        group = rows.group_numbers[rows.used]
        embedding.standardise(rows.condition.target[rows.used], group, rows.least_groups)


def standardise_velocity(
    velocity: Velocity, rows: ImageRows, signal: Callable[[np.ndarray], Tensor], seed: int
) -> None:
    """Tell a velocity the mean and the spread of the training images, as the network takes them
    (`signal`), and its embedding those of the target."""
    some = _measured(rows, seed)
    velocity.standardise(signal(rows.images[some]), rows.group_numbers[some], rows.least_groups)
    standardise(cast(ConditionEmbedding, velocity.embedding), rows)


def filter_velocity(
    velocity: FilteredVelocity,
    rows: ImageRows,
    signal: Callable[[np.ndarray], Tensor],
    seed: int,
) -> None:
    """Tell a velocity the linear filter from the sources of training rows to their images."""
    source = rows.condition.source
    assert source is not None
    some = _measured(rows, seed)
    velocity.learn(signal(source[some]), signal(rows.images[some]), rows.group_numbers[some])


def _measured(rows: ImageRows, seed: int) -> np.ndarray:
    """int [n]: the training rows that are measured."""
    count = min(MEASURED_IMAGES, len(rows))
    return rows.drawn(0, count, derived_seed(seed, "measure")).numpy()
