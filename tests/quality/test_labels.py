"""What is said of labels. Oracle: labels that were planted wrong, closed forms, a slow second
count, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.embedding.features import Embeddings
from gobelin.quality import labels


def labelled(
    rows: int, noise: float, seed: int, classes: int = 4, hard: float = 0.0, rest: float = 0.002
) -> tuple[np.ndarray, ...]:
    """P(true class | looks) [N, C], honest scores of labels, given labels and true ones. Each row
    looks like a class, or (a share `hard`) like two, each as likely; `rest` is left to all. A share
    `noise` of labels is one of the others at random."""
    rng = np.random.default_rng(seed)
    one, far, doubt = (
        rng.integers(0, classes, rows),
        rng.integers(1, classes, rows),
        (rng.random(rows) < hard)[:, None],
    )
    first, second = np.eye(classes)[one], np.eye(classes)[(one + far) % classes]
    looks = rest / classes + (1 - rest) * np.where(doubt, (first + second) / 2, first)
    true = (rng.random(rows)[:, None] > looks.cumsum(1)).sum(1)
    given = np.where(
        rng.random(rows) < noise, (true + rng.integers(1, classes, rows)) % classes, true
    )
    mixing = np.eye(classes) * (1 - noise) + noise / (classes - 1) * (1 - np.eye(classes))
    return looks, looks @ mixing, given, true


def slow_joint(scores: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The estimate of Northcutt et al. 2021, one row and one cell at a time."""
    classes, rows = scores.shape[1], len(given)
    threshold = []
    for j in range(classes):
        own = [scores[k, j] for k in range(rows) if given[k] == j]
        threshold.append(sum(own) / len(own) if own else float("inf"))
    counts = [[0.0] * classes for _ in range(classes)]
    for k in range(rows):
        able = [j for j in range(classes) if scores[k, j] >= threshold[j]]
        if able:
            counts[given[k]][max(able, key=lambda j: scores[k, j])] += 1
    out = np.zeros((classes, classes))
    for i in range(classes):
        size = sum(1 for g in given if g == i)
        for j in range(classes):
            share = counts[i][j] / sum(counts[i]) if sum(counts[i]) else float(i == j)
            out[i, j] = share * size / rows
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_is_that_of_a_count_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, given = rng.dirichlet(np.ones(5), 80), rng.integers(0, 4, 80)  # no row says class 4
    found = labels.joint(scores, given, np.ones(80))
    assert np.allclose(found, slow_joint(scores, given)) and np.isclose(found.sum(), 1)
    counts = rng.integers(0, 3, 80)  # a row that counts twice is two rows
    again = np.repeat(np.arange(80), counts)
    assert np.allclose(
        labels.joint(scores, given, counts.astype(float)), slow_joint(scores[again], given[again])
    )


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_planted_wrong_labels_are_found_and_counted(noise: float) -> None:
    _, scores, given, true = labelled(1500, noise, 0)
    wrong, together = given != true, labels.joint(scores, given, np.ones(1500))
    found = labels.suspects(scores, given, together)
    hit = wrong & (found >= 0)
    assert hit.sum() > 0.93 * wrong.sum() and hit.sum() > 0.93 * (found >= 0).sum()
    assert (found[hit] == true[hit]).mean() > 0.95
    told = labels.wrong_labels(scores, given, [str(k) for k in range(1500)], 100, 0)
    assert told.low <= wrong.mean() <= told.high and told.high - told.low < 0.08
    assert abs(together.sum(0) - np.bincount(true, minlength=4) / 1500).max() < 0.03


def test_labels_that_are_right_are_left_alone() -> None:
    _, scores, given, _ = labelled(1500, 0.0, 1)
    assert (
        labels.suspects(scores, given, labels.joint(scores, given, np.ones(1500))) >= 0
    ).mean() < 0.03


def test_the_count_of_wrong_labels_is_drawn_by_whole_groups() -> None:
    """Ten copies of each row are no more evidence than the row."""
    _, scores, given, _ = labelled(200, 0.2, 3)
    one = labels.wrong_labels(scores, given, [str(k) for k in range(200)], 300, 0)
    many = labels.wrong_labels(
        np.repeat(scores, 10, 0), np.repeat(given, 10), [str(k // 10) for k in range(2000)], 300, 0
    )
    alone = labels.wrong_labels(
        np.repeat(scores, 10, 0), np.repeat(given, 10), [str(k) for k in range(2000)], 300, 0
    )
    width = [i.high - i.low for i in (one, many, alone)]
    assert (
        one.value == pytest.approx(many.value)
        and 0.7 < width[1] / width[0] < 1.4
        and width[2] < 0.5 * width[0]
    )
    assert (many.n, alone.n) == (200, 2000)


def test_transition_is_the_joint_by_true_class_with_one_imaginary_row() -> None:
    together = np.array([[0.4, 0.1], [0.0, 0.5]])
    assert np.allclose(labels.transition(together, 10), [[4.5 / 5, 0.5 / 5], [1.5 / 7, 5.5 / 7]])


def test_scores_of_labels_are_taken_apart_into_true_classes() -> None:
    """Where a mixture of classes explains the scores exactly, it is found."""
    mixing = np.array([[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])
    true = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    assert np.abs(labels.unmixed(true @ mixing, mixing) - true).max() < 0.02
    assert np.allclose(labels.unmixed(true, np.eye(3)), true)


def test_a_label_s_chance_is_bayes_rule() -> None:
    """Two classes; 0 is called 1 with 0.2, 1 is called 0 with 0.3. A row that looks like class 1
    with 0.9 and says 0: 0.1 * 0.8 against 0.9 * 0.3; one that says 1: 0.1 * 0.2 against 0.9 *
    0.7."""
    mixing, true = np.array([[0.8, 0.2], [0.3, 0.7]]), np.tile([0.1, 0.9], (3, 1))
    found = labels.posterior(true, np.array([0, 1, -1]), mixing)
    assert found[:2, 0] == pytest.approx([0.08 / 0.35, 0.02 / 0.65]) and np.allclose(
        found[2], true[2]
    )


@pytest.mark.parametrize(
    "noise, hard", [(0.0, 0.0), (0.0, 0.4), (0.2, 0.0), (0.2, 0.4), (0.4, 0.4)]
)
def test_labels_are_given_only_where_they_are_right_often_enough(noise: float, hard: float) -> None:
    """Planted: the true class of every row is known; of 20 data sets few miss the stated precision
    (5 % may, and a few more because the noise is itself estimated)."""
    missed, told = 0, 0
    for seed in range(20):
        looks, scores, given, _ = labelled(2500, noise, seed, hard=hard, rest=0.02)
        mixing = labels.transition(labels.joint(scores, given, np.ones(2500)), 2500)
        read = labels.unmixed(scores, mixing)
        line = labels.confidence_bar(read, given, mixing, [str(k) for k in range(2500)], 0.9)
        above = read.max(1) >= line.confidence
        told += above.any()
        missed += (
            above.any() and looks[above, read.argmax(1)[above]].mean() < 0.9 - 0.015
        )  # what the surest rows get wrong
    assert told >= 15 and missed <= 3, (told, missed)


def test_nothing_is_given_where_nothing_is_sure_or_too_few_rows_show_it() -> None:
    rng = np.random.default_rng(0)
    flat = rng.dirichlet(np.full(3, 50), 400)
    line = labels.confidence_bar(
        flat, rng.integers(0, 3, 400), np.eye(3), [str(k) for k in range(400)], 0.95
    )
    assert line.confidence == np.inf and line.right.low < 0.95
    sure, given = np.eye(3)[np.arange(40) % 3], np.arange(40) % 3
    assert (
        labels.confidence_bar(sure, given, np.eye(3), [str(k) for k in range(40)], 0.95).confidence
        == np.inf
    )  # 40 of 40 show no 0.95
    sure, given = np.eye(3)[np.arange(90) % 3], np.arange(90) % 3
    assert (
        labels.confidence_bar(sure, given, np.eye(3), [str(k) for k in range(90)], 0.95).confidence
        == 1.0
    )


def embeddings(x: np.ndarray, present: np.ndarray) -> Embeddings:
    ids = tuple(str(k) for k in range(len(x)))
    return Embeddings(("a", "b"), {"a": x[:, :4], "b": x[:, 4:]}, present, ids, "x")


def test_rows_that_look_the_same_have_one_number() -> None:
    rng = np.random.default_rng(0)
    x, present = rng.normal(size=(60, 8)).astype(np.float32), np.ones((60, 2), bool)
    x[10] = x[3] + 1e-4
    x[20] = x[10] + 1e-4  # three in a chain
    x[41], present[41, 1] = x[40], False  # the same picture, one of them without its text
    x[51] = x[50]
    found = labels.near_duplicate_groups(embeddings(x, present), np.arange(60), 0.3)
    assert found[3] == found[10] == found[20] and found[50] == found[51] and found[40] != found[41]
    assert len(np.unique(found)) == 57 and found.max() == 56
    some = labels.near_duplicate_groups(embeddings(x, present), np.array([3, 20, 7, 50, 8]), 0.3)
    assert some[0] == some[1] and len(np.unique(some)) == 4
