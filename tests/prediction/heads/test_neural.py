"""How the components of a field are scaled before a neural fusion reads them.

Oracles: closed forms, and a planted table of two columns beside a wide field of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.neural import FIELD_VARIANCE, Projection, component_scales


def embeddings(**features: np.ndarray) -> Embeddings:
    n = len(next(iter(features.values())))
    x = {name: values.astype(np.float32) for name, values in features.items()}
    ids = tuple(map(str, range(n)))
    return Embeddings(tuple(x), x, np.ones((n, len(x)), bool), ids, "space", least_groups=1)


def test_every_field_has_the_same_variance_and_components_their_roots() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([9.0, 4.0, 1.0, 0.25])
    x = embeddings(narrow=rng.normal(size=(500, 4)) * spread, wide=rng.normal(size=(500, 90)))
    for field in x.fields:
        projected = Projection.fit(x, field, 160)(x.features[field])
        assert projected.var(0).sum() == pytest.approx(FIELD_VARIANCE, rel=1e-3)
    principal = np.linalg.svd(x.features["narrow"] - x.features["narrow"].mean(0), compute_uv=False)
    after = Projection.fit(x, "narrow", 160)(x.features["narrow"]).var(0)
    assert np.allclose(after / after.sum(), principal / principal.sum(), rtol=1e-3)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_units_change_nothing(unit: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 6)) * np.arange(1, 7)
    one, other = embeddings(x=x), embeddings(x=unit * x)
    own = Projection.fit(one, "x", 160)(one.features["x"])
    assert np.allclose(
        np.abs(own), np.abs(Projection.fit(other, "x", 160)(other.features["x"])), atol=1e-2
    )


def test_a_field_that_never_differs_counts_nothing() -> None:
    assert not component_scales(np.zeros(3)).any()
    tiny = component_scales(np.array([1.0, 1e-20, 0.0]))
    assert np.isfinite(tiny).all() and tiny[2] == tiny[1] < 1e4


def test_a_saved_scale_is_rounded_so_that_it_tells_of_no_group() -> None:
    x = replace(embeddings(x=np.random.default_rng(2).normal(size=(200, 5))), least_groups=5)
    lengths = np.linalg.norm(Projection.fit(x, "x", 160).directions, axis=0)
    assert np.allclose(2 * np.log2(lengths), np.round(2 * np.log2(lengths)), atol=1e-4)


def test_a_narrow_field_is_not_drowned_by_a_wide_one(runtime: Runtime) -> None:
    """Two columns name the class, and 300 others are noise. The noise alone is at chance."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, 500)
    table = np.eye(3)[label][:, :2] * 4 + rng.normal(size=(500, 2))
    x = embeddings(table=table, noise=rng.normal(size=(500, 300)))
    target = Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))
    rows = np.arange(100)
    (fitted,) = catalog.build("fusion", "concat").fit(
        x, target, [Job(rows, np.ones(100, np.float32), 0, 1e-2)], rows, runtime, silent
    )
    right = fitted.scores(x.rows(np.arange(100, 500))).argmax(1) == label[100:]
    assert right.mean() > 0.85
