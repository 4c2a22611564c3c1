"""Noise from the operating system. Oracle: the moments and the distribution function of the normal
distribution, within six standard errors."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from scipy.stats import kstest

from gobelin.privacy import secure_noise

COUNT = 400_000


def test_noise_is_normal_with_the_deviation_asked_for() -> None:
    x = secure_noise.normal(COUNT, 3.0) / 3
    assert len(x) == COUNT and abs(x.mean()) < 6 / math.sqrt(COUNT)
    assert abs(x.var() - 1) < 6 * math.sqrt(2 / COUNT)
    assert abs((x**4).mean() - 3) < 6 * math.sqrt(96 / COUNT)
    assert kstest(x, "norm").pvalue > 1e-6
    # none of the four parts, nor a neighbour, is told by another number
    for step in (1, COUNT // 4, COUNT // 2, 65_536):
        assert abs(np.corrcoef(x[:-step], x[step:])[0, 1]) < 6 / math.sqrt(COUNT - step)


def test_any_count_is_drawn() -> None:
    for count in (0, 1, 3, secure_noise.BLOCK + 1):
        assert secure_noise.normal(count, 1.0).shape == (count,)


def test_seeds_change_nothing() -> None:
    drawn = []
    for _ in range(2):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        drawn.append(secure_noise.normal(8, 1.0))
    assert (drawn[0] != drawn[1]).all()
