"""The membership audit on planted truths: nobody leaks, some rows leak, the rows themselves differ,
the audit is blind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from membership import CELLS, audited, of, study
from scipy import stats

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.privacy.attribute_attacks import AttackedCells
from gobelin.privacy.audits import AuditInput, Result

OVER_FITTED = {"control": "over-fitted on the same rows", "false alarms": "1 %"}
PARTS = ("train", "holdout")
OTHERS = {"control": "over-fitted on other rows"}


def word(result: Result) -> Finding:
    (found,) = [f for f in result.findings if f.verdict]
    assert found.name == "membership" and found == result.findings[0]
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_false_alarms_are_rare(cell: str) -> None:
    """The bound is passed once in 1,000 times."""
    assert alarms(range(20), cell) <= stats.binom.ppf(0.999, 20, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_false_alarms_are_rare_in_many_studies(cell: str) -> None:
    """400 other studies than those of `benchmarks/membership.py`: 29 are 5 % and its bound."""
    assert alarms(range(1000, 1400), cell) <= 29


def alarms(seeds: range, cell: str) -> int:
    """Studies without a leak that are called distinguishable."""
    words = [word(audited(study(seed, cell))).verdict for seed in seeds]
    return sum(one.startswith("distinguishable") for one in words)


def test_noisy_training_rows_among_the_images_are_found_and_named() -> None:
    images = study(0, "single rows", leaked=0.5)
    found = word(audited(images))
    assert (found.verdict, found.sure) == ("distinguishable", True)
    assert found.low > 0.1 and found.chance == 0.01  # type: ignore[operator]
    copied = nearest_rows(images)
    assert found.rows and np.mean([row in copied for row in found.rows]) > 0.9
    assert found.without_rows().rows == ()


def nearest_rows(images: AuditInput) -> set[str]:
    """Training rows that differ from a generated image by little noise: 8 levels on average."""
    a, b = (x.reshape(len(x), -1).astype(float) for x in (images.train, images.generated))
    near = np.abs(a[:, None] - b).mean(2).min(1) < 30
    return {images.train_ids[k] for k in np.flatnonzero(near)}


def test_nobody_leaks_and_the_controls_say_that_it_would_be_seen() -> None:
    result = audited(study(0, "single rows"))
    found, control, other = (
        word(result),
        of(result, "members_found", **OVER_FITTED),
        of(result, "membership_auc", **OTHERS),
    )
    assert (found.verdict, found.sure, found.rows) == ("not distinguishable", True, ())
    assert control.value >= 0.3 and "learned 150 rows" in control.note  # type: ignore[operator]
    assert other.low <= 0.5 <= other.high and "150 images" in other.note  # type: ignore[operator]
    assert of(result, "epsilon_at_least", attack="distance").value == 0
    few = of(result, "members_found", **{"attack": "distance", "false alarms": "0.1 %"})
    assert (few.value, few.n, few.needed_n) == (None, 120, 1000) and "too few" in few.note


def test_too_few_images_or_held_out_rows_give_no_all_clear() -> None:
    images = study(1, "single rows")
    some = replace(images, generated=images.generated[:20], generated_ids=images.generated_ids[:20])
    found = word(audited(some))
    assert found.verdict == "can't say: this audit could not have seen a leak" and not found.sure
    assert "generate more images" in found.note
    less = replace(images, holdout=images.holdout[:60], groups=images.groups[:60])
    found = word(audited(less))
    assert found.verdict.startswith("can't say: this audit could not") and not found.sure
    assert (found.value, found.n, found.needed_n) == (None, 60, 100)


def test_a_blind_space_is_no_all_clear() -> None:
    """Planted: all real rows are one image, so that no row lies nearer than another."""
    images = study(0, "single rows")
    real = {n: np.repeat(images.train[:1], len(getattr(images, n)), 0) for n in PARTS}
    found = word(audited(replace(images, **real)))
    assert found.verdict == "can't say: this audit could not have seen a leak" and not found.sure


def test_rows_that_differ_by_themselves_raise_no_alarm() -> None:
    """Planted: training rows are darker than held-out rows, whatever was generated."""
    images = study(0, "single rows")
    dark = (images.train * 0.35).astype(np.uint8)
    found = word(audited(replace(images, train=dark)))
    assert found.verdict == "can't say: training and held-out rows differ without the generator"
    assert not found.sure and found.rows == ()


def test_the_loss_of_rows_is_a_second_attack() -> None:
    """Planted: images leak nothing, losses do. Both attacks together keep the rate (Holm)."""
    images, rng = study(0, "single rows"), np.random.default_rng(0)
    leaky = rng.normal(0, 1, 150) - 2, rng.normal(0, 1, 120)
    result = audited(replace(images, row_losses=lambda: leaky))
    found = word(result)
    assert found.verdict == "distinguishable" and "loss" in found.note
    assert of(result, "membership_auc", attack="loss").value == pytest.approx(
        stats.mannwhitneyu(-leaky[0], -leaky[1]).statistic / (150 * 120)
    )
    p_values = [of(result, "membership_p_value", attack=a).value for a in ("distance", "loss")]
    assert p_values[1] == pytest.approx(2 / 1001) and p_values[0] > 0.05
    honest = rng.normal(0, 1, 150), rng.normal(0, 1, 120)
    assert (
        word(audited(replace(images, row_losses=lambda: honest))).verdict == "not distinguishable"
    )


def test_cells_that_rows_keep_are_attacked_beside_the_images() -> None:
    """Planted: generated rows hold the cells of training rows."""
    rng = np.random.default_rng(0)

    def table(n: int) -> dict[str, np.ndarray]:
        return {
            "age": rng.integers(0, 90, n).astype(float),
            "town": rng.integers(0, 9, n).astype(str),
        }

    train = table(150)
    cells = AttackedCells(train, table(120), train)
    result = audited(replace(study(0, "single rows"), cells=lambda: cells))
    risk = of(result, "attribute_risk", attack="inference", column="age")
    assert risk.low <= risk.value <= risk.high  # type: ignore[operator]
    assert "of training rows" in risk.note and "by guessing" in risk.note
    assert len([f for f in result.findings if f.name == "attribute_risk"]) == 4
    assert word(result).verdict == "not distinguishable"


def test_three_rows() -> None:
    images = study(0, "single rows")
    few = replace(
        images,
        train=images.train[:3],
        train_ids=images.train_ids[:3],
        train_groups=images.train_groups[:3],
        holdout=images.holdout[:2],
        groups=images.groups[:2],
    )
    assert word(audited(few)).verdict.startswith("can't say: this audit could not")


def test_images_of_another_size_are_refused() -> None:
    images = study(0, "single rows")
    with pytest.raises(GobelinError, match=r"one size, found 16 x 16 x 3, .*8 x 8 x 3. Resize"):
        audited(replace(images, generated=images.generated[:, ::2, ::2]))
