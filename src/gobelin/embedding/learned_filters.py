"""How a network of patches learns its filters from training cells (`networks.patches`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gobelin.core.machine import Runtime
from gobelin.data.fields import Cell
from gobelin.embedding.encoders import TrainingCells
from gobelin.networks.patches import PatchNetwork


def learn_filters(
    network: PatchNetwork,
    cells: TrainingCells,
    opened: Callable[[Cell], np.ndarray],
    nothing: np.ndarray,
    signal: Callable[[np.ndarray], torch.Tensor],
    most: int,
    runtime: Runtime,
) -> None:
    """opened: a cell as [k, ...]; may raise BadCell. nothing: [0, ...], of no cell. signal: arrays
    as the network is shown them. most: cells, evenly chosen."""
    found = cells.some(opened, most, runtime.threads)
    signals = signal(np.concatenate([nothing, *(x for x, _ in found)])).cpu()
    groups = torch.tensor([group for x, group in found for _ in x], dtype=torch.int64)
    network.learn(signals, runtime.seed, groups, cells.least_groups)
