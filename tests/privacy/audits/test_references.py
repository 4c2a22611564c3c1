"""The membership audit with reference generators, whose losses are planted: a row's difficulty,
less what is memorised of the rows that a generator learned, and noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from membership import audited, leaky_losses, of, study
from scipy import stats

from gobelin.core.errors import GobelinError
from gobelin.evidence.intervals import exact
from gobelin.privacy.audits import References, Result
from gobelin.privacy.membership_attack import Attack
from gobelin.privacy.membership_findings import OverfittedControls, verdict

IMAGES = study(0, "single rows")
ROWS = len(IMAGES.train) + len(IMAGES.holdout)


def result(count: int, memorised: float, seed: int = 0) -> Result:
    images = study(seed, "single rows") if seed else IMAGES
    return audited(leaky_losses(images, count, memorised))


@pytest.mark.parametrize(("count", "name"), [(2, "RMIA"), (16, "LiRA")])
def test_references_find_what_the_loss_alone_does_not(count: int, name: str) -> None:
    leaky, honest = result(count, 2.0), result(count, 0.0)
    found = leaky.findings[0]
    assert found.verdict == "distinguishable" and f"by {name}" in found.note
    areas = {a: of(leaky, "membership_auc", attack=a) for a in ("distance", "loss", name)}
    assert areas["loss"].low < 0.7 < 0.9 < areas[name].low  # type: ignore[operator]
    clear = honest.findings[0]
    assert (clear.verdict, clear.sure) == ("not distinguishable", True)
    assert of(honest, "membership_auc", attack=name).low < 0.5  # type: ignore[operator]


def test_every_attack_has_its_two_controls() -> None:
    honest = result(2, 0.0)
    for attack in ({}, {"attack": "loss"}, {"attack": "RMIA"}):
        scope = {"control": "over-fitted on the same rows", "false alarms": "1 %", **attack}
        assert of(honest, "members_found", **scope).value >= 0.3, attack  # type: ignore[operator]
        other = of(honest, "membership_auc", control="over-fitted on other rows", **attack)
        assert other.low <= 0.5 <= other.high and other.level > 0.99, attack  # type: ignore[operator]


def test_a_control_that_one_attack_does_not_catch_gives_no_all_clear() -> None:
    rng = np.random.default_rng(0)
    member, groups = np.arange(400) < 200, np.arange(400)
    attack = Attack(rng.normal(0, 1, 400), member, groups)
    area = attack.area()
    caught, missed = (
        OverfittedControls(exact(hits, 200), area, 300, 200, 100, 200) for hits in (150, 20)
    )
    attacks, ids = {"distance": attack, "loss": attack}, [""] * 400
    p_values = {"distance": 0.6, "loss": 0.7}
    clear = verdict(attacks, p_values, {"distance": caught, "loss": caught}, ids)
    blind = verdict(attacks, p_values, {"distance": caught, "loss": missed}, ids)
    assert (clear.verdict, clear.sure) == ("not distinguishable", True)
    assert blind.verdict == "can't say: this audit could not have seen a leak" and not blind.sure
    assert "the over-fitted control is not caught by loss" in blind.note
    alarm = verdict(attacks, p_values | {"loss": 0.01}, {"distance": caught, "loss": missed}, ids)
    assert alarm.verdict.startswith("distinguishable") and alarm.sure


def test_one_reference_compares_the_rows_that_it_did_not_learn() -> None:
    found = of(result(1, 2.0), "membership_auc", attack="RMIA")
    whole = of(result(2, 2.0), "membership_auc", attack="RMIA")
    assert (found.n, whole.n) == (ROWS / 2, ROWS) and found.low > 0.8  # type: ignore[operator]


def test_references_without_enough_groups_are_refused() -> None:
    images = leaky_losses(IMAGES, 2, 0.0)
    few = replace(images, holdout=images.holdout[:5], groups=images.groups[:5])
    with pytest.raises(GobelinError, match=r"150 training and 5 held-out groups.*references to 0"):
        audited(few)


def test_a_reference_learns_groups_as_a_whole_and_both_kinds_alike() -> None:
    seen = []

    def losses(learned: np.ndarray) -> np.ndarray:
        seen.append(learned)
        return np.zeros(learned.shape)

    images = leaky_losses(IMAGES, 2, 0.0)
    assert audited(replace(images, references=References(4, losses))).findings
    learned = seen[0]
    assert learned.shape == (4, ROWS) and (learned.sum(1) == ROWS / 2).all()
    for row in learned:  # hypergeometric: a share of training rows as among all rows
        members = row[: len(IMAGES.train)].sum()
        law = stats.hypergeom(ROWS, len(IMAGES.train), ROWS // 2)
        assert law.ppf(1e-7) <= members <= law.ppf(1 - 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 16])
def test_false_alarms_stay_rare_with_references(count: int) -> None:
    """Three attacks together in 60 studies without a leak, though references know what they
    learned."""
    words = [result(count, 0.0, seed).findings[0].verdict for seed in range(2000, 2060)]
    alarms = sum(word.startswith("distinguishable") for word in words)
    assert alarms <= stats.binom.ppf(1 - 1e-6, 60, 0.05)
