"""The blend against its parts joined by hand, and where the trees know what a linear head can't."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.ensemble import HistGradientBoostingClassifier

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.fusion.blend import VALUES
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.trees import few_values

N, TRAIN = 300, np.arange(200)
JOB = Job(TRAIN, np.ones(200, np.float32), 3)


def product(missing: float) -> tuple[Embeddings, Target]:
    """The class is whether the signs of two fields agree."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2)).astype(np.float32)
    present = rng.random((N, 2)) >= missing
    features = {f: np.where(present[:, [k]], x[:, [k]], 0) for k, f in enumerate("ab")}
    target = Target(
        "y", "class", (x[:, 0] * x[:, 1] > 0).astype(int), ("no", "yes"), np.ones(2, bool)
    )
    return Embeddings(("a", "b"), features, present, tuple(map(str, range(N))), "space"), target


def test_it_is_the_pool_of_its_parts(runtime: Runtime) -> None:
    """The linear head of the same settings, and boosting by scikit-learn itself on the fields with
    nan."""
    x, target = product(0.3)
    (blend,) = catalog.build("fusion", "blend", {"steps": 60, "share": 0.25}).fit(
        x, target, [JOB], TRAIN, runtime, silent
    )
    (head,) = catalog.build("fusion", "concat", {"steps": 60}).fit(
        x, target, [JOB], TRAIN, runtime, silent
    )
    raw = np.concatenate(
        [np.where(x.present[:, [k]], x.features[f], np.nan) for k, f in enumerate(x.fields)], 1
    )
    trees = HistGradientBoostingClassifier(random_state=3, early_stopping=False).fit(
        raw[TRAIN], target.values[TRAIN]
    )
    pool = log_softmax(head.scores(x), 1) + 0.25 * np.log(
        np.clip(trees.predict_proba(raw), 1e-3, None)
    )
    assert np.allclose(blend.scores(x), log_softmax(pool, 1), atol=1e-4)


def test_the_trees_read_what_only_a_product_of_fields_tells(runtime: Runtime) -> None:
    x, target = product(0.0)
    test = np.arange(200, N)
    right = {}
    for name, share in (("concat", None), ("blend", 0.1)):
        settings = {"steps": 60, **({"share": share} if share else {})}
        (one,) = catalog.build("fusion", name, settings).fit(
            x, target, [JOB], TRAIN, runtime, silent
        )
        right[name] = (one.scores(x.rows(test)).argmax(1) == target.values[test]).mean()
    assert right["concat"] < 0.65 and right["blend"] > 0.9


def test_a_number_is_the_mean_of_both(runtime: Runtime) -> None:
    x, _ = product(0.0)
    number = Target("y", "number", x.features["a"][:, 0].astype(float))
    fit = {
        s: (
            catalog.build("fusion", "blend", {"steps": 60, "share": s}).fit(
                x, number, [JOB], TRAIN, runtime, silent
            )[0]
        )
        for s in (0.0, 0.3, 1.0)
    }
    linear, mixed, trees = (fit[s].scores(x) for s in (0.0, 0.3, 1.0))
    assert mixed == pytest.approx(0.7 * linear + 0.3 * trees, abs=1e-5)


def test_few_values_change_no_side_of_a_split() -> None:
    """Oracles: scikit-learn's trees, which say the same of a value and of what it became; quantiles
    of rows that are repeated as often as they weigh."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 3)).astype(np.float32)
    x[:, 1] = x[:, 1].round(1)  # few values stay
    x[rng.random(x.shape) < 0.2] = np.nan
    answers = (np.nan_to_num(x[:, 0]) + rng.normal(size=900) > 0).astype(int)
    weights = rng.integers(0, 4, 900).astype(np.float32)
    few = few_values(x, weights, VALUES)
    assert np.array_equal(np.isnan(few), np.isnan(x)) and np.array_equal(
        few[:, 1], x[:, 1], equal_nan=True
    )
    for k in (0, 2):
        levels = np.unique(few[~np.isnan(few[:, k]), k])
        assert 200 < len(levels) <= VALUES
        repeated = np.repeat(x[:, k], weights.astype(int))
        shares = (np.arange(VALUES) + 0.5) / VALUES
        wanted = np.nanquantile(repeated, shares, method="inverted_cdf")
        assert np.array_equal(levels, np.unique(wanted))
        there = ~np.isnan(x[:, k])
        nearest = levels[np.abs(x[there, k, None] - levels).argmin(1)]
        assert (few[there, k] == nearest).mean() > 0.99  # of equally near ones the lower
    trees = HistGradientBoostingClassifier(max_iter=20, early_stopping=False)
    trees.fit(few, answers, sample_weight=weights)
    assert np.array_equal(trees.predict_proba(x), trees.predict_proba(few))
