"""All fusions on the same rows. Oracles: planted readers, and the interval asked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence import comparison
from gobelin.prediction import fusion_choice
from gobelin.prediction.cross_fit import Predict, Training, cross_fit, cross_scores
from gobelin.prediction.fusion_choice import FUSION_DIFFERENCE, FUSION_SCORE
from gobelin.prediction.heads.job import Job

N = 300
LABEL = np.random.default_rng(0).integers(0, 3, N)
NUMBER = np.random.default_rng(1).normal(size=N)


@dataclass(frozen=True)
class Planted:
    """Reads the truth off its field, but for a share of rows, drawn by `seed`, where it says the
    next class, or 1 more."""

    wrong: float
    seed: int = 0
    batchable = True

    def fit(
        self,
        x: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: object,
    ) -> list[Planted]:
        return [self for _ in jobs]

    def scores(self, x: Embeddings) -> np.ndarray:
        truth = x.features["truth"][:, 0]
        off = np.random.default_rng(self.seed).random(N)[[int(i) for i in x.ids]] < self.wrong
        if x.space == "number":
            return (truth + off)[:, None]
        return np.eye(3)[(truth.astype(int) + off) % 3] * 3

    def load(self, folder: Path) -> Planted:
        raise NotImplementedError


def training(numeric: bool = False) -> Training:
    values = NUMBER if numeric else LABEL
    ids = tuple(map(str, range(N)))
    x = Embeddings(
        ("truth",),
        {"truth": values[:, None].astype(np.float32)},
        np.ones((N, 1), bool),
        ids,
        "number" if numeric else "",
    )
    target = (
        Target("y", "number", values)
        if numeric
        else Target("y", "class", LABEL, ("a", "b", "c"), np.ones(3, bool))
    )
    return Training(
        Predict(), x, target, np.arange(200), list(ids), np.ones(N, np.float32), Runtime()
    )


def test_the_planted_best_is_found_and_the_difference_is_the_interval_by_hand() -> None:
    wrong = {"good": 0.1, "fair": 0.15, "bad": 0.6}
    best, _, found = fusion_choice.choose_fusion(
        {name: Planted(w, k) for k, (name, w) in enumerate(wrong.items())}, training()
    )
    assert best == "good"
    own = {f.scope["fusion"]: f for f in found if f.name == FUSION_SCORE}
    right = {
        n: 1.0 - (np.random.default_rng(k).random(N) < w)[:200]
        for k, (n, w) in enumerate(wrong.items())
    }
    for name, hits in right.items():
        assert own[name].value == pytest.approx(
            np.mean([hits[LABEL[:200] == c].mean() for c in range(3)])
        )
    differences = {f.scope["fusion"]: f for f in found if f.name == FUSION_DIFFERENCE}
    assert set(differences) == {"fair", "bad"} and all(
        f.comparator == "good" for f in differences.values()
    )
    for name, one in differences.items():
        by_hand = comparison.compare(
            right["good"], right[name], LABEL[:200], list(range(200)), level=0.975
        )
        assert (one.value, one.low, one.high) == pytest.approx(
            (by_hand.value, by_hand.low, by_hand.high)
        )
    assert [differences[n].verdict for n in ("fair", "bad")] == ["no evidence", "worse"]


def test_of_a_number_the_smallest_error_wins() -> None:
    best, _, found = fusion_choice.choose_fusion(
        {"bad": Planted(0.9), "good": Planted(0.1, 1)}, training(numeric=True)
    )
    assert best == "good"
    own = {f.scope["fusion"]: f for f in found if f.name == FUSION_SCORE}
    off = np.random.default_rng(1).random(N)[:200] < 0.1
    assert (
        own["good"].value == pytest.approx(off.mean(), abs=1e-6) and own["good"].better == "lower"
    )
    (one,) = [f for f in found if f.name == FUSION_DIFFERENCE]
    assert one.verdict == "worse" and one.high is not None and one.high < 0


def test_rows_are_read_by_a_predictor_that_never_saw_them() -> None:
    """One that knows its own rows by heart and guesses the rest is no better than chance."""

    @dataclass(frozen=True)
    class ByHeart(Planted):
        rows: tuple[int, ...] = ()

        def fit(
            self, x: Embeddings, target: Target, jobs: Sequence[Job], *rest: object
        ) -> list[Planted]:
            return [replace(self, rows=tuple(job.rows)) for job in jobs]

        def scores(self, x: Embeddings) -> np.ndarray:
            out = np.zeros((len(x), 3))
            for k, name in enumerate(x.ids):
                out[k, LABEL[int(name)] if int(name) in self.rows else 0] = 3
            return out

    best, _, found = fusion_choice.choose_fusion(
        {"heart": ByHeart(0.0), "weak": Planted(0.55, 3)}, training()
    )
    assert best == "weak"
    assert {f.scope["fusion"]: f.value for f in found if f.name == FUSION_SCORE}[
        "heart"
    ] == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["concat", "mean"])
def test_a_choice_fits_no_more_than_it_compares(name: str) -> None:
    """Without predictors of all rows the scores are the same, and the best decay alone gives the
    predictor that all decays give."""
    data, fusion = training(), catalog.build("fusion", name, {"steps": 10})
    whole, scores = cross_fit(fusion, data), cross_scores(fusion, data)
    assert np.allclose(whole.scores, scores.scores, atol=1e-4) and whole.decay == scores.decay
    again = cross_fit(fusion, replace(data, decays=(scores.decay,)))
    assert again.decay == whole.decay and np.allclose(again.scores, whole.scores, atol=1e-4)
    told, expected = (one.predictor.scores(data.embeddings) for one in (again, whole))
    assert np.allclose(told, expected, atol=1e-4)
