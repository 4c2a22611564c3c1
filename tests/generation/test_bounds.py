"""The bounds on trained generators in tests/discs.py: a sound build all but never misses them, a
broken one always does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discs import (
    ASKED,
    BOTH,
    COLOURED,
    FOLLOWS,
    OBEYS,
    asking,
    colour,
    make,
    obedience,
    planted,
    redder,
)
from processor import RUNTIME
from scipy.stats import binom, t

from gobelin.core import catalog
from gobelin.generation.generators import Context, ImageRows, Sampler

NEVER = 1e-5
"""Most runs in which a sound build may miss a bound."""

SMALL: dict[str, dict[str, Any]] = {
    "autoregressive": {"width": 16, "depth": 1, "heads": 2, "hidden": 16, "levels": 8},
    "flow": {"width": 16, "depth": 1, "heads": 2, "patch": 4},
    "gan": {"width": 8, "critic_width": 8, "code": 8},
    "vaegan": {"width": 8, "code": 8, "batch": 32, "prior_width": 64, "prior_depth": 2},
}


def fit(name: str, rows: ImageRows, folder: Path, steps: int) -> Sampler:
    context = Context(RUNTIME.apply(), folder, steps)
    return catalog.build("generators", name, SMALL[name]).fit(rows, rows, context)


def test_bounds_are_all_but_never_missed_by_a_sound_build() -> None:
    """Red images and images that are not blue, of 2 x ASKED: one binomial."""
    least = round(ASKED * (1 + OBEYS))
    assert binom.cdf(least, 2 * ASKED, 0.83) < NEVER
    assert binom.sf(least, 2 * ASKED, 0.5) < NEVER
    assert 2 * binom.cdf(round(ASKED * BOTH[0]), ASKED, 0.2) < NEVER
    degrees = 60 - 2
    assert t.sf(FOLLOWS * (degrees / (1 - FOLLOWS**2)) ** 0.5, degrees) < NEVER


@pytest.mark.parametrize("name", SMALL)
def test_a_build_that_is_not_trained_misses_them(name: str, tmp_path: Path) -> None:
    sampler = fit(name, planted(40), tmp_path, 1)
    assert obedience(sampler) < OBEYS and obedience(sampler, "hint") < OBEYS
    assert colour(make(sampler, asking(40, target=0))) < COLOURED


def test_a_build_that_is_told_wrong_labels_misses_them(tmp_path: Path) -> None:
    """As many steps as in the test of its own, the conditions of other rows."""
    rows = planted(200)
    order = np.random.default_rng(0).permutation(200)
    wrong = replace(rows, condition=rows.condition.rows(order))
    sampler = fit("vaegan", wrong, tmp_path, 200)
    assert obedience(sampler) < OBEYS and obedience(sampler, "hint") < OBEYS
    one_colour = replace(rows, images=np.broadcast_to(rows.images[:1], rows.images.shape))
    share = redder(make(fit("vaegan", one_colour, tmp_path / "one", 60), asking(ASKED))).mean()
    assert not BOTH[0] < share < BOTH[1]
