"""What cuts of trees tell of a group that has many rows. Oracle: its planted value."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.data.coarse import LEAST_GROUPS
from gobelin.prediction.heads import members
from gobelin.prediction.heads.members import Member
from gobelin.prediction.heads.trees import Trees

DRAWS = 8
KINDS = ("one patient", "two patients", "one year in days", "a wide range")


def nearest_cut(head: str, outputs: int, seed: int, kind: str, least: int) -> float:
    """How far the nearest cut is from a value that one or two of 170 groups have, in the distance
    of the planted rows."""
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=(200, 3)) * 20 + 60, np.arange(200)
    scale = {"one year in days": 1 / 365, "a wide range": 1e6}.get(kind, 1.0)
    secret, near = rng.uniform(60, 80), 1e-3
    x[:30, 1] = secret + near * rng.normal(size=30)
    group[:30] = np.arange(30) % 2 if kind == "two patients" else 0
    x *= scale
    y = (x[:, 1] > np.median(x[:, 1])) + rng.normal(size=200)
    answers = y - y.mean() if outputs == 1 else (y > 0.5).astype(int)
    one = members.fit(
        Member(head=head, trees=30),  # type: ignore[arg-type]
        x,
        answers,
        np.ones(200),
        outputs,
        0,
        group,
        least,
    )
    assert isinstance(one.head, Trees)
    cuts = one.head.threshold[one.head.feature == 1]
    return float(np.abs(cuts / scale - secret).min() / near)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("head", members.GROWERS)
def test_cuts_tell_no_value_of_a_group_with_many_rows(head: str, outputs: int, kind: str) -> None:
    """The attack: quantiles of rows lie between two rows of one patient, and the shortest number
    between them was the patient's value, in every draw of boosted trees."""
    found = [nearest_cut(head, outputs, s, kind, LEAST_GROUPS) < 2 for s in range(DRAWS)]
    assert sum(found) <= 2  # by chance; all of them before


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_look_finds_a_value_that_is_told(outputs: int) -> None:
    assert all(nearest_cut("boosted", outputs, s, "one patient", 1) < 2 for s in range(DRAWS))
