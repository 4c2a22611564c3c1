"""Numbers of a user in the precision that is computed with."""

from __future__ import annotations

import numpy as np


def float32(values: np.ndarray) -> np.ndarray:
    """The same numbers as float32, of the same shape; those beyond its range are infinite, which
    readers count among voxels and pixels that are no numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, np.float32)


def float64(values: np.ndarray) -> np.ndarray:
    """A copy of the numbers as float64, of the same shape. A signalling nan is a quiet one."""
    with np.errstate(invalid="ignore"):
        return np.array(values, np.float64)
