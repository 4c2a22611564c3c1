"""Random numbers that nobody can draw again: from the operating system, never from a seed.

Who knows the seed of a noise can subtract it. So nothing here takes a seed, and nothing that is
drawn is stored. A normal number is half the sum of four (Holohan & Braghin 2021, section 4): the
last digits of one alone tell where the noiseless number lay (Mironov 2012).

What this cannot show: that the operating system's numbers are as random as it says.
"""

from __future__ import annotations

import math
import os

import numpy as np

SUMMED = 4  # normal numbers in one
UNIT = 2.0**-53
BLOCK = 1 << 18  # numbers drawn at once


def uniform(count: int) -> np.ndarray:
    """float64 [count], above 0 and up to 1."""
    bits = np.frombuffer(os.urandom(8 * count), np.uint64)
    return ((bits >> np.uint64(11)).astype(np.float64) + 1) * UNIT


def normal(count: int, deviation: float) -> np.ndarray:
    """float64 [count]: normal numbers of mean 0."""
    blocks = [min(BLOCK, count - k) for k in range(0, count, BLOCK)]
    return np.concatenate([np.zeros(0), *(_normal(n) for n in blocks)]) * deviation


def _normal(count: int) -> np.ndarray:
    """Standard normal numbers (Box & Muller 1958): two uniform numbers make two of them."""
    pairs = count * SUMMED // 2
    length, turn = uniform(2 * pairs).reshape(2, -1)
    length, turn = np.sqrt(-2 * np.log(length)), 2 * math.pi * turn
    both = np.concatenate([length * np.cos(turn), length * np.sin(turn)])
    return both.reshape(SUMMED, count).sum(0) / math.sqrt(SUMMED)
