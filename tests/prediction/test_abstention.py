"""Risk-coverage curves against a loop over rows, and referral against its promise on planted
probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.prediction import abstention
from gobelin.prediction.scoring import Answers


def planted(n: int, seed: int) -> tuple[Answers, Target]:
    """Three classes whose probabilities are true."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.7, 0.7, 0.7], n)
    label = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=2)
    return Answers(p, p.argmax(1)), Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))


def test_the_area_is_the_mean_of_the_risks_at_every_count() -> None:
    answers, target = planted(60, 0)
    sure, loss = abstention.scored(answers, target)
    order = sorted(range(60), key=lambda k: -sure[k])
    slow = np.mean([np.mean([loss[j] for j in order[: k + 1]]) for k in range(60)])
    assert abstention.area(sure, loss)(np.ones(60)) == pytest.approx(slow)
    # a weight of two is the row twice
    twice = np.ones(60)
    twice[7] = 2.0
    again = np.append(sure, sure[7]), np.append(loss, loss[7])
    assert abstention.area(sure, loss)(twice) == pytest.approx(abstention.area(*again)(np.ones(61)))
    assert abstention.area(np.ones(60), loss)(np.ones(60)) == pytest.approx(loss.mean())


def test_the_finding_lies_between_the_best_order_and_a_random_one() -> None:
    answers, target = planted(500, 1)
    found = abstention.summary(answers, target, [str(k) for k in range(500)])
    assert found.floor < found.low < found.value < found.high < found.chance
    wrong = int((answers.chosen != target.values).sum())
    # the best order: all right rows first, then the risk is (k - right) / k
    best = sum(max(0, k - (500 - wrong)) / k for k in range(1, 501)) / 500
    assert found.floor == pytest.approx(best)
    assert found.chance == pytest.approx(wrong / 500)


def test_true_probabilities_give_the_risk_that_they_say() -> None:
    answers, target = planted(20_000, 2)
    coverage, risks = abstention.curve(answers, target, [str(k) for k in range(20_000)])
    sure = np.sort(answers.probabilities.max(1))[::-1]
    for share, risk in zip(coverage, risks, strict=True):
        expected = 1 - sure[: round(share * 20_000)].mean()
        assert risk.value == pytest.approx(expected, abs=0.02)
    assert coverage == pytest.approx(np.arange(1, 21) / 20) and risks[0].value < risks[-1].value


def test_a_limit_of_the_error_of_a_number_is_refused() -> None:
    number = Target("price", "number", np.arange(3.0))
    abstention.check_limit(None, number)
    abstention.check_limit(0.1, planted(5, 0)[1])
    with pytest.raises(GobelinError, match="'price' is a number"):
        abstention.check_limit(0.1, number)


def test_equal_confidence_enters_together() -> None:
    p = np.repeat([[0.9, 0.1], [0.6, 0.4]], [30, 10], 0)
    target = Target("y", "class", np.arange(40) % 2, ("a", "b"), np.ones(2, bool))
    coverage, risks = abstention.curve(Answers(p, p.argmax(1)), target, list(map(str, range(40))))
    assert coverage == [0.75, 1.0] and [r.value for r in risks] == [0.5, 0.5]


def test_labels_are_scored_by_the_jaccard_distance() -> None:
    p = np.array([[0.9, 0.8, 0.1], [0.2, 0.1, 0.3], [0.7, 0.2, 0.6]])
    answers = Answers(p, p >= 0.5)
    truth = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1]])
    assert abstention.losses("labels", answers, truth) == pytest.approx([1 / 2, 0, 2 / 3])
    expected = [1.7 / 2.1, 0.8 * 0.9 * 0.7, 1.3 / 2.2]
    assert abstention.confidence("labels", answers) == pytest.approx(expected)


def test_referral_keeps_its_promise() -> None:
    """In at least 95 of 100 samples the rows that are answered have at most the promised loss, by
    their true probabilities; and most of what could be answered is."""
    most, kept, over = 0.25, [], 0
    for seed in range(100):
        answers, target = planted(800, seed)
        sure, loss = abstention.scored(answers, target)
        least = abstention.bound(sure, loss, list(map(str, range(800))), most)
        fresh, _ = planted(20_000, 1000 + seed)
        top = fresh.probabilities.max(1)
        answered = top >= least
        kept.append(answered.mean())
        over += answered.any() and 1 - top[answered].mean() > most
    assert over <= 5
    top = np.sort(top)[::-1]
    possible = (np.cumsum(1 - top) / np.arange(1, len(top) + 1) <= most).mean()
    assert np.mean(kept) > possible / 2


def test_where_nothing_can_be_promised_all_rows_are_referred() -> None:
    sure, loss = np.linspace(0.5, 1, 50), np.tile([0.0, 1.0], 25)
    assert abstention.bound(sure, loss, list(map(str, range(50))), 0.05) == abstention.REFER_ALL
    assert abstention.bound(sure, loss, list(map(str, range(50))), 1.0) == 0.5
    # fifty rows of one patient are one case
    assert abstention.bound(sure, 0 * loss, ["one"] * 50, 0.05) == abstention.REFER_ALL
    assert abstention.bound(sure, 0 * loss, list(map(str, range(50))), 0.2) == 0.5
