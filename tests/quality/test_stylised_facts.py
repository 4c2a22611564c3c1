"""Stylised facts against closed forms and a second implementation."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.quality.stylised_facts import (
    FACTS,
    excess_kurtosis,
    leverage,
    stylised_facts,
    tail_index,
    volatility_clustering,
)


def test_kurtosis_is_that_of_scipy_and_of_the_distribution() -> None:
    from scipy.stats import kurtosis

    rng = np.random.default_rng(0)
    paths = rng.standard_t(12, (4000, 64))
    assert excess_kurtosis(paths) == pytest.approx(kurtosis(paths.ravel()))
    assert excess_kurtosis(paths) == pytest.approx(6 / (12 - 4), abs=0.12)
    assert excess_kurtosis(rng.normal(size=(4000, 64))) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("index", [2.0, 3.0, 5.0])
def test_the_tail_of_pareto_is_its_exponent(index: float) -> None:
    rng = np.random.default_rng(1)
    sizes = (1 - rng.random((2000, 64))) ** (-1 / index)
    paths = sizes * rng.choice([-1, 1], sizes.shape)
    assert tail_index(paths) == pytest.approx(index, rel=0.05)


def test_clustering_is_the_autocorrelation_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(2)
    volatility = np.exp(np.cumsum(rng.normal(0, 0.02, 20_000)) * 0.3)
    returns = volatility * rng.normal(size=20_000)
    expected = np.mean([pd.Series(np.abs(returns)).autocorr(k) for k in range(1, 6)])
    assert volatility_clustering(returns[None]) == pytest.approx(expected, abs=0.01)
    assert volatility_clustering(rng.normal(size=(2000, 64))) == pytest.approx(0, abs=0.01)


def test_leverage_is_the_closed_form() -> None:
    """r[t] = z[t] exp(-a z[t-1]): at lag 1 the covariance of r with the next r^2 is
    -2a exp(2.5 a^2), at other lags 0."""
    a = 0.2
    z = np.random.default_rng(3).normal(size=(4000, 65))
    paths = z[:, 1:] * np.exp(-a * z[:, :-1])
    scale = np.sqrt(np.exp(2 * a**2) * (3 * np.exp(8 * a**2) - np.exp(4 * a**2)))
    expected = -2 * a * np.exp(2.5 * a**2) / scale / 5
    assert leverage(paths) == pytest.approx(expected, abs=0.006)
    assert leverage(np.abs(z)[:, 1:] * np.sign(z[:, :-1])) > expected  # the sign is not turned


def test_two_halves_of_one_set_are_alike_and_normal_steps_differ() -> None:
    arch = pytest.importorskip("arch.univariate")
    model = arch.ConstantMean(None, distribution=arch.StudentsT(seed=np.random.default_rng(0)))
    model.volatility = arch.GARCH(1, 1, 1)
    parameters = np.array([0.0, 0.02, 0.02, 0.12, 0.9, 6.0])
    paths = model.simulate(parameters, 64 * 600)["data"].to_numpy().reshape(600, 64)
    same = stylised_facts(paths[::2], paths[1::2])
    assert [f.verdict for f in same[1::2]] == ["like the real ones"] * len(FACTS)
    normal = np.random.default_rng(4).normal(0, paths.std(), (300, 64))
    words = {f.scope["fact"]: f.verdict for f in stylised_facts(paths, normal)[1::2]}
    assert words["excess_kurtosis"] == words["tail_index"] == "differs"
    assert words["volatility_clustering"] == "differs"


def test_paths_that_move_together_widen_the_interval() -> None:
    """Twenty copies of each path tell no more than one."""
    paths = np.random.default_rng(5).standard_t(5, (40, 64))
    made = np.random.default_rng(6).standard_t(5, (400, 64))
    copies, groups = np.repeat(paths, 20, axis=0), np.repeat(np.arange(40), 20)
    once, together, apart = (
        stylised_facts(*pair)[5]
        for pair in ((paths, made), (copies, made, 0, groups), (copies, made))
    )
    width = {k: f.high - f.low for k, f in enumerate((once, together, apart)) if f.high and f.low}
    assert width[1] == pytest.approx(width[0], rel=0.2) and width[2] < 0.8 * width[0]


def test_too_few_paths_and_holes_are_refused() -> None:
    paths = np.ones((20, 64))
    with pytest.raises(GobelinError, match="made paths of 3 x 64"):
        stylised_facts(paths, paths[:3])
    with pytest.raises(GobelinError, match="made paths of 20 x 5"):
        stylised_facts(paths, paths[:, :5])
    with pytest.raises(GobelinError, match="hold a value that is no number"):
        stylised_facts(paths * np.nan, paths)
