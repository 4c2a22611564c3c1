"""Calibration, intervals, folds and the choice of the decay, each against a planted truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.features import Embeddings
from gobelin.prediction import calibration, predictor
from gobelin.prediction.cross_fit import Predict, Training, balanced, folds_of
from gobelin.prediction.heads.job import Job
from gobelin.prediction.predictor import Model, as_features

QUICK = {"steps": 80, "components": 16}
CONVERGED = {"steps": 480, "components": 16}
"""Where a number is compared with a closed form: after 80 steps it depends on the seed (an edge at
2.1 to 3.3), after 480 hardly (2.00 to 2.04)."""


def rows(
    n: int, seed: int = 0, gap: float = 1.5, missing: float = 0.2
) -> tuple[Embeddings, Target]:
    """Three classes as Gaussian clouds in two fields, cells missing."""
    fixed, rng = np.random.default_rng(5), np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    means = gap * fixed.normal(size=(2, 3, 6))
    present = rng.random((n, 2)) >= missing
    features = {
        f: (
            np.where(present[:, k, None], means[k][label] + rng.normal(size=(n, 6)), 0).astype(
                np.float32
            )
        )
        for k, f in enumerate(("image", "text"))
    }
    x = Embeddings(("image", "text"), features, present, tuple(map(str, range(n))), "space")
    return x, Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))


def numbers(n: int, seed: int, noise: float = 2.0) -> tuple[Embeddings, Target]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    y = 10 + x @ np.array([3.0, -2, 1, 0]) + noise * rng.normal(size=n)
    return Embeddings(
        ("x",), {"x": x}, np.ones((n, 1), bool), tuple(map(str, range(n))), "space"
    ), Target("y", "number", y)


def fit(
    x: Embeddings,
    target: Target,
    runtime: Runtime,
    how: Predict | None = None,
    groups: list[str] | None = None,
    settings: dict[str, int] = QUICK,
) -> Model:
    fusion = catalog.build("fusion", "concat", settings)
    every = np.arange(len(x))
    ones = np.ones(len(x), np.float32)
    return predictor.fit(
        "concat",
        fusion,
        Training(how or Predict(), x, target, every, groups or list(x.ids), ones, runtime),
    )


@pytest.fixture(scope="module")
def fitted(runtime: Runtime) -> Model:
    return fit(*rows(240), runtime)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_recovers_a_planted_over_confidence(factor: float) -> None:
    """Labels are drawn from softmax(z); the scores are `factor` z. The temperature is the
    factor."""
    rng = np.random.default_rng(1)
    z = 1.5 * rng.normal(size=(20_000, 4))
    label = (softmax(z, axis=1).cumsum(1) < rng.random((20_000, 1))).sum(1)
    assert calibration.temperature(factor * z, label, np.ones(20_000)) == pytest.approx(
        factor, rel=0.05
    )


def test_a_fitted_models_probabilities_are_calibrated_on_fresh_rows(runtime: Runtime) -> None:
    """Scores made three times too sure by the fusion: the model undoes it."""
    how = Predict(balance=False, decays=(1e-3,))
    model = fit(*rows(600, gap=0.6), runtime, how, settings=CONVERGED)
    x, target = rows(4000, seed=9, gap=0.6)
    p = model.predict(x).probabilities
    sure, right = p.max(1), p.argmax(1) == target.values
    # measured over six seeds: 0.018 to 0.025; three times too sure it would be 0.2
    assert abs(sure.mean() - right.mean()) < 0.06
    assert model.temperature == pytest.approx(1, abs=0.4)

    class TooSure:
        def __init__(self, inner: object) -> None:
            self.inner = inner

        def scores(self, embeddings: Embeddings) -> np.ndarray:
            return 3 * self.inner.scores(embeddings)

    class Fusion:
        batchable = True

        def fit(self, *given: object) -> list[TooSure]:
            return [TooSure(p) for p in catalog.build("fusion", "concat", CONVERGED).fit(*given)]

    train, y = rows(600, gap=0.6)
    ones = np.ones(600, np.float32)
    sure = predictor.fit(
        "concat", Fusion(), Training(how, train, y, np.arange(600), list(train.ids), ones, runtime)
    )
    assert sure.temperature == pytest.approx(3 * model.temperature, rel=0.01)
    assert np.allclose(sure.predict(x).probabilities, p, atol=0.01)


def test_probabilities_sum_to_one_and_labels_are_their_largest(fitted: Model) -> None:
    """Relative to how common a class is."""
    x, target = rows(200, seed=3)
    found, common = fitted.predict(x), np.exp(fitted.calibration.mix)
    assert np.allclose(found.probabilities.sum(1), 1) and (found.probabilities >= 0).all()
    for k, row in enumerate(found.rows()):
        shares = {c: row[f"p_{c}"] / common[i] for i, c in enumerate("abc")}
        assert row["prediction"] == max(shares, key=shares.get) == "abc"[found.class_indices[k]]
        assert row["present"] == " ".join(
            f for f, there in zip(x.fields, x.present[k], strict=True) if there
        )
        assert row["id"] == x.ids[k]
    assert (found.class_indices == target.values)[x.present.any(1)].mean() > 0.85


def test_a_row_with_nothing_gets_equal_classes(fitted: Model) -> None:
    """Classes count equally, so that without evidence each is as likely."""
    x, _ = rows(5)
    nothing = fitted.predict(x.only([]))
    assert np.isfinite(nothing.probabilities).all() and np.allclose(
        nothing.probabilities, nothing.probabilities[0]
    )
    assert nothing.probabilities.max() < 0.6


def test_absent_features_are_not_read(fitted: Model) -> None:
    x, _ = rows(100, seed=4, missing=0.5)
    noise = np.random.default_rng(0)
    features = {
        f: np.where(x.present[:, k, None], v, 9 * noise.normal(size=v.shape)).astype(np.float32)
        for k, (f, v) in enumerate(x.features.items())
    }
    found = fitted.predict(replace(x, features=features))
    assert np.allclose(found.probabilities, fitted.predict(x).probabilities, atol=1e-6)


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_number_intervals_cover_as_often_as_they_say(level: float, runtime: Runtime) -> None:
    x, target = numbers(400, 0)
    model = fit(x, target, runtime, Predict(level=level))
    fresh, truth = numbers(5000, 1)
    found = model.predict(fresh)
    inside = (found.low <= truth.values) & (truth.values <= found.high)
    assert inside.mean() == pytest.approx(level, abs=0.05)
    assert np.allclose(found.high - found.values, found.values - found.low)
    wanted = 2.0 * {0.7: 1.0364, 0.9: 1.6449}[level]  # the noise's own quantile
    assert model.calibration.residual[1] == pytest.approx(wanted, rel=0.15)
    assert found.rows()[0]["low"] < found.rows()[0]["prediction"] < found.rows()[0]["high"]


def test_the_residual_is_the_conformal_quantile() -> None:
    rng = np.random.default_rng(0)
    for n in (9, 30, 101):
        errors = np.abs(rng.normal(size=n))
        assert (errors <= calibration.quantile(errors, 0.9, np.inf)).sum() == int(
            np.ceil(0.9 * (n + 1))
        )
    assert calibration.quantile(errors[:8], 0.9, np.inf) == np.inf  # 8 rows can't promise 9 in 10
    ranks = [calibration.quantile(np.arange(n), 0.9, np.inf, 1) for n in (50, 9, 8)]
    assert ranks == [46, 8, np.inf]  # one rank above the 46th of 50; of 9 the largest


def test_folds_keep_groups_together_and_spread_classes() -> None:
    rng = np.random.default_rng(0)
    group_of = rng.integers(0, 60, 300)
    label = (group_of % 3).astype(np.int64)  # a group has one class
    target = Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))
    used = np.flatnonzero(rng.random(300) < 0.8)
    fold = folds_of(target, used, [f"g{g}" for g in group_of], 4, seed=0)
    assert set(fold) == {0, 1, 2, 3}
    by_group = {g: set(fold[group_of[used] == g]) for g in set(group_of[used])}
    assert all(len(f) == 1 for f in by_group.values())
    for c in range(3):
        counts = np.bincount(
            [next(iter(f)) for g, f in by_group.items() if g % 3 == c], minlength=4
        )
        assert counts.max() - counts.min() <= 1
    again = folds_of(target, used, [f"g{g}" for g in group_of], 4, seed=0)
    other = folds_of(target, used, [f"g{g}" for g in group_of], 4, seed=1)
    assert np.array_equal(fold, again) and not np.array_equal(fold, other)


def test_pure_noise_takes_the_largest_decay_and_clear_classes_do_not(runtime: Runtime) -> None:
    how = Predict(decays=(1e-4, 1e-2, 1.0))
    rng = np.random.default_rng(0)
    for seed in range(3):
        label = np.random.default_rng(seed).integers(0, 2, 80)
        noise = Embeddings(
            ("x",),
            {"x": rng.normal(size=(80, 30)).astype(np.float32)},
            np.ones((80, 1), bool),
            tuple(map(str, range(80))),
            "space",
        )
        target = Target("y", "class", label, ("a", "b"), np.ones(2, bool))
        assert fit(noise, target, runtime, how, settings=CONVERGED).decay == 1.0
        clear = {"x": (noise.features["x"] + 4 * label[:, None] - 2).astype(np.float32)}
        told = replace(noise, features=clear)
        assert fit(told, target, runtime, how, settings=CONVERGED).decay < 1.0


def test_the_decay_is_the_one_with_the_smallest_crossed_loss(runtime: Runtime) -> None:
    """Cross-fitting done again, one fold and one decay at a time."""
    x, target = rows(120, gap=0.5)
    how = Predict(decays=(1e-3, 1e-1), folds=3, balance=False)
    fold = folds_of(target, np.arange(120), list(x.ids), 3, runtime.seed)
    losses = []
    for decay in how.decays:
        p = np.zeros((120, 3))
        for f in range(3):
            inside = np.flatnonzero(fold != f)
            job = Job(inside, np.ones(len(inside), np.float32), runtime.seed, decay)
            (one,) = catalog.build("fusion", "concat", QUICK).fit(
                x, target, [job], np.arange(120), runtime, silent
            )
            p[fold == f] = softmax(
                one.scores(x.rows(np.flatnonzero(fold == f))).astype(float), axis=1
            )
        losses.append(-np.log(p[np.arange(120), target.values]).mean())
    assert fit(x, target, runtime, how).decay == how.decays[int(np.argmin(losses))]


def test_too_few_rows_and_one_class_are_refused(runtime: Runtime) -> None:
    x, target = rows(40)
    with pytest.raises(GobelinError, match="29 labelled training rows"):
        fit(x, replace(target, values=np.where(np.arange(40) < 29, target.values, -1)), runtime)
    with pytest.raises(GobelinError, match="one class"):
        fit(x, replace(target, values=np.zeros(40, np.int64)), runtime)
    fit(x, replace(target, values=np.where(np.arange(40) < 30, target.values, -1)), runtime)


def test_unlabelled_and_other_rows_teach_nothing(runtime: Runtime) -> None:
    x, target = rows(90)
    hidden = replace(target, values=np.where(np.arange(90) < 60, target.values, -1))
    found = fit(x, hidden, runtime)
    short = fit(x.rows(np.arange(60)), target.rows(np.arange(60)), runtime)
    assert found.fingerprint() == short.fingerprint()


def test_saved_and_loaded_is_the_same(fitted: Model, runtime: Runtime, tmp_path: Path) -> None:
    number = fit(*numbers(60, 0), runtime)
    for name, model, x in (("c", fitted, rows(30)[0]), ("n", number, numbers(30, 2)[0])):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
        loaded = Model.load(tmp_path / name)
        assert loaded.fingerprint() == model.fingerprint()
        assert (loaded.decay, loaded.calibration) == (model.decay, model.calibration)
        assert loaded.settings == model.settings and loaded.classes == model.classes
        assert loaded.predict(x).rows() == model.predict(x).rows()


def test_balanced_weights_sum_equally_by_class() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(4, 300, p=[0.6, 0.3, 0.08, 0.02])
    target = Target("y", "class", label, tuple("abcde"), np.ones(5, bool))
    used = np.flatnonzero(rng.random(300) < 0.7)
    given = rng.uniform(0.1, 2, len(used)).astype(np.float32)
    found = balanced(target, used, given, True)
    sums = [found[label[used] == c].sum() for c in range(4)]
    assert np.allclose(sums, len(used) / 4, rtol=1e-5) and found.mean() == pytest.approx(
        1, rel=1e-5
    )
    for c in range(4):  # within a class their proportions stay
        own = label[used] == c
        assert np.allclose(found[own] / found[own].sum(), given[own] / given[own].sum(), rtol=1e-4)
    assert np.array_equal(balanced(target, used, given, False), given)
    number = Target("y", "number", rng.normal(size=300))
    assert np.array_equal(balanced(number, used, given, True), given)


def test_balance_moves_a_scarce_class_up(runtime: Runtime) -> None:
    """Two overlapping clouds, 1 : 9. Balanced, the boundary is the midpoint (closed form); as it
    is, it is shifted."""
    rng = np.random.default_rng(0)
    label = (np.arange(1000) % 10 == 0).astype(np.int64)
    x = (2.0 * label[:, None] + rng.normal(size=(1000, 1))).astype(np.float32)
    rows_ = Embeddings(
        ("x",), {"x": x}, np.ones((1000, 1), bool), tuple(map(str, range(1000))), "space"
    )
    target = Target("y", "class", label, ("many", "few"), np.ones(2, bool))
    line = np.linspace(-2, 4, 601, dtype=np.float32)[:, None]
    grid = Embeddings(
        ("x",), {"x": line}, np.ones((601, 1), bool), tuple(map(str, range(601))), "space"
    )
    for balance, edge in ((True, 1.0), (False, 1.0 + np.log(9) / 2)):
        how = Predict(balance=balance, decays=(1e-4,))
        found = fit(rows_, target, runtime, how, settings=CONVERGED).predict(grid)
        assert line[int(found.class_indices.argmax()), 0] == pytest.approx(edge, abs=0.25)


def test_features_of_the_shared_space(runtime: Runtime) -> None:
    x, target = rows(200)
    shared = fit_alignment(Align(width=8, steps=0), x, list(x.ids), runtime).project(x)
    y = as_features(shared, x)
    assert (
        y.fields == x.fields
        and np.array_equal(y.present, x.present)
        and y.space == shared.fingerprint
    )
    assert all(np.array_equal(y.features[f], shared.of(f)) for f in x.fields)
    model = fit(y, target, runtime)
    assert (model.predict(y).class_indices == target.values)[x.present.any(1)].mean() > 0.8
    with pytest.raises(GobelinError, match="other encoders"):
        model.predict(x)


def test_rows_of_no_weight_are_not_learned_from(runtime: Runtime) -> None:
    """Half of the training rows have turned labels and weight 0: the model is that of the true
    half, and not of all."""
    x, y = rows(400)
    turned = np.arange(400) % 2 == 1
    wrong = replace(y, values=np.where(turned, (y.values + 1) % 3, y.values))
    fusion, every, ids = catalog.build("fusion", "concat", QUICK), np.arange(400), list(x.ids)
    fresh, truth = rows(400, seed=9)
    right = {}
    for name, weights in (("weighed", np.where(turned, 0, 1)), ("all", np.ones(400))):
        training = Training(Predict(), x, wrong, every, ids, weights.astype(np.float32), runtime)
        model = predictor.fit("concat", fusion, training)
        right[name] = float((model.predict(fresh).class_indices == truth.values).mean())
    assert right["weighed"] > right["all"] + 0.1 and right["weighed"] > 0.8


def test_a_class_that_is_not_scored_does_not_decide_how_sure_to_be(runtime: Runtime) -> None:
    """One row of a fourth class would weigh as much as a third of the others, and no other fold has
    such a row. Not scored, it keeps its own weight: the other classes' weights are those of the
    rows without it, and it is never favoured."""
    x, target = rows(240)
    four = replace(
        target, classes=("a", "b", "c", "d"), values=np.where(np.arange(240) == 7, 3, target.values)
    )
    models = [
        fit(
            x,
            replace(four, scored=np.array([True, True, True, scored])),
            runtime,
            Predict(decays=(1e-3,)),
        )
        for scored in (True, False)
    ]
    without = fit(
        x,
        replace(target, values=np.where(np.arange(240) == 7, -1, target.values)),
        runtime,
        Predict(decays=(1e-3,)),
    )
    fresh, truth = rows(400, seed=9)
    right = [(m.predict(fresh).class_indices == truth.values).mean() for m in (*models, without)]
    assert right[1] == pytest.approx(right[2], abs=0.01) and right[0] < right[2]
    mix = models[1].calibration.mix
    assert mix[3] == pytest.approx(0, abs=1e-6) and mix[:3] == pytest.approx(
        without.calibration.mix, abs=1e-6
    )


def test_rows_that_cannot_be_answered_well_are_referred(runtime: Runtime, tmp_path: Path) -> None:
    """The mean error of what is answered stays below the limit on fresh rows; it is saved; and
    without a limit nothing is referred, and nothing is stored of it."""
    how = Predict(max_error=0.2)
    model = fit(*rows(600, gap=0.6), runtime, how)
    x, target = rows(4000, seed=9, gap=0.6)
    predictions = model.predict(x)
    wrong = predictions.class_indices != target.values
    assert predictions.refer is not None
    assert wrong.mean() > 0.25 and wrong[~predictions.refer].mean() < 0.2
    assert 0.2 < (~predictions.refer).mean() < 0.95
    assert wrong[predictions.refer].mean() > wrong.mean()
    assert [row["refer"] for row in predictions.rows()] == predictions.refer.tolist()
    model.save(tmp_path)
    assert (Model.load(tmp_path).predict(x).refer == predictions.refer).all()
    plain = fit(*rows(240), runtime)
    assert plain.predict(x).refer is None and "refer" not in plain.calibration.to_dict()
    assert "refer" not in plain.predict(x).rows()[0]


def test_sets_of_labels_hold_the_promised_share(runtime: Runtime, tmp_path: Path) -> None:
    x, one = rows(600, gap=0.6)
    fresh, other = rows(4000, seed=9, gap=0.6)

    def labels(target: Target, seed: int) -> Target:
        """A row has the label of its class, and each of the others with a chance of 0.2."""
        extra = np.random.default_rng(seed).random((len(target), 3)) < 0.2
        values = (np.eye(3, dtype=bool)[target.values] | extra).astype(np.int64)
        return Target("y", "labels", values, target.classes, np.ones(3, bool))

    model = fit(x, labels(one, 0), runtime, Predict(level=0.8))
    predictions, truth = model.predict(fresh), labels(other, 1).values == 1
    assert predictions.cover is not None
    share = (predictions.cover & truth).sum(1) / truth.sum(1)
    assert 0.77 < share.mean() < 0.85  # 0.8 was promised
    assert predictions.cover.sum(1).mean() < 2.9  # of three labels
    row = predictions.rows()[0]
    assert row["set"] == "|".join(np.array(model.classes)[predictions.cover[0]])
    model.save(tmp_path)
    assert (Model.load(tmp_path).predict(fresh).cover == predictions.cover).all()
