"""Every head of the default knows rows without a field, or abstains from them.

Oracle: which rows training had, planted. What this cannot show: rows that lack a field for another
reason than those of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import pool_candidates, pool_choice
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.heads import members
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.members import Member
from gobelin.prediction.heads.neural import NeuralPredictor

N, TRAIN = 700, np.arange(300)
NAMES = ("a", "b", "c")
FIELDS = ("image", "note", "table")
KINDS = ("class", "ordinal", "labels", "number")


def planted(kind: str, lacking: bool) -> tuple[Embeddings, Target]:
    """Three fields that say the same with noise of their own. lacking: each is missing in a third
    of the rows."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=N)
    x = {
        f: (z[:, None] * rng.normal(size=width) + rng.normal(size=(N, width))).astype(np.float32)
        for f, width in zip(FIELDS, (30, 20, 4), strict=True)
    }
    words = (2 * (z[:, None] > 0) + rng.normal(size=(N, 3))).astype(np.float32)
    present = rng.random((N, 3)) < (0.67 if lacking else 2)
    rows = Embeddings(FIELDS, x, present, tuple(map(str, range(N))), "s", words={"note": words})
    level = np.digitize(z + 0.3 * rng.normal(size=N), [-0.5, 0.5])
    if kind == "number":
        return rows, Target("y", "number", z)
    if kind == "labels":
        held = np.stack([level > 0, level > 1, rng.random(N) < 0.3], 1).astype(np.int64)
        return rows, Target("y", "labels", held, NAMES, np.ones(3, bool))
    return rows, Target("y", kind, level, NAMES, np.ones(3, bool))


def heads(rows: Embeddings, target: Target) -> list[Member]:
    """All that any preset compares."""
    found = pool_candidates.candidates(rows, target, "best")
    return [replace(m, trees=min(m.trees, 20)) for m in dict.fromkeys(found)]


def losses(target: Target, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float64 [n]: the loss of each row. scores: [n, V], as of a predictor."""
    truth = target.values[rows]
    if target.kind == "number":
        return (scores[:, 0] - truth) ** 2
    if target.kind == "labels":
        return np.logaddexp(0, np.where(truth == 1, -scores, scores)).mean(1)
    logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return -logs[np.arange(len(rows)), truth]


def guessed(target: Target, rows: np.ndarray) -> float:
    """The loss of the training rows' shares, or mean."""
    train = target.values[TRAIN]
    if target.kind == "number":
        return float(losses(target, np.full((len(rows), 1), train.mean()), rows).mean())
    if target.kind == "labels":
        share = train.mean(0)
        logits = np.log(share) - np.log(1 - share)
    else:
        logits = np.log(np.bincount(train, minlength=3) / len(train))
    return float(losses(target, np.tile(logits, (len(rows), 1)), rows).mean())


@pytest.mark.parametrize("lacking", [False, True], ids=["complete", "with gaps"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_answers_a_row_has_learned_from_rows_like_it(
    kind: str, lacking: bool, runtime: Runtime
) -> None:
    """Each head, each field hidden: it abstains, or it does not read the field, or it was trained
    with the field missing. Where it answers, it is no worse than guessing by more than noise."""
    rows, target = planted(kind, lacking)
    pool = catalog.build("fusion", "pool", {"members": heads(rows, target)})
    job = Job(TRAIN, np.ones(len(TRAIN), np.float32), 0)
    (fitted,) = pool.fit(rows, target, [job], TRAIN, runtime, silent)
    test = np.arange(300, N)
    answering = 0
    for one in fitted.fitted:
        for hidden in FIELDS:
            shown = rows.present[test] & (np.array(FIELDS) != hidden)
            some = replace(rows.rows(test), present=shown)
            heard = fitted.inputs.heard(one.member, some)
            reads = members.reads(one.member, hidden)
            knows = lacking or one.member.head == "dropout"
            assert not (heard.any() and reads and not knows), (one.member, hidden)
            if not heard.any():
                continue
            alone = replace(fitted, fitted=(one,))
            scores = alone.scores(some)[heard]
            own = losses(target, scores, test[heard]).mean()
            assert own < 1.1 * guessed(target, test[heard]), (one.member, hidden)
            answering += 1
    assert answering
    # the head that always answers learned with fields hidden
    (always,) = (one for one in fitted.fitted if one.member.head == "dropout")
    assert isinstance(always.head, NeuralPredictor) and always.head.settings.dropout > 0
    no_fields = replace(rows.rows(test), present=np.zeros((len(test), 3), bool))
    assert np.isfinite(fitted.scores(no_fields)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_answers_rows_that_lack_what_training_never_lacked(
    kind: str, runtime: Runtime
) -> None:
    """A head with dropout is in every pool, so that somebody knows these rows."""
    rows, target = planted(kind, lacking=False)
    names = list(rows.ids)
    ones = np.ones(N, np.float32)
    training = Training(Predict(preset="quick"), rows, target, TRAIN, names, ones, runtime, silent)
    chosen = pool_choice.choose(training)
    assert any(m.head == "dropout" and not m.fields for m in chosen.members)
    pool = catalog.build("fusion", "pool", chosen.settings)
    (fitted,) = pool.fit(rows, target, [Job(TRAIN, ones[TRAIN], 0)], TRAIN, runtime, silent)
    test = np.arange(300, N)
    for hidden in FIELDS:
        some = rows.rows(test).only([f for f in FIELDS if f != hidden])
        own = losses(target, fitted.scores(some), test).mean()
        assert own < 0.9 * guessed(target, test), hidden
