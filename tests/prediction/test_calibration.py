"""Sets, intervals, temperatures and thresholds: closed forms, slow versions, and coverage on
simulated exchangeable rows."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit, softmax

from gobelin.data.coarse import rows_of_groups
from gobelin.prediction import calibration
from gobelin.prediction.calibration import Calibration, CalibrationSettings, calibrate
from gobelin.prediction.temperatures import platt

LEVEL = 0.8


def blank(places: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Of rows with nothing: all classes alike."""
    assert not present.any()
    return np.zeros((len(places), 3))


def zero(places: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The same for a number."""
    assert not present.any()
    return np.zeros((len(places), 1))


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of three classes of unequal shares, and labels that follow other probabilities than
    the scores'."""
    z = rng.normal(size=(n, 3)) * 1.5 + np.array([1.0, 0, -1])
    p = softmax(0.7 * z, axis=1).cumsum(1)
    return z, (p < rng.random((n, 1))).sum(1).clip(max=2)


def test_what_is_strange_against_a_slow_version() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 40)
    for row, lac, aps in zip(
        p, calibration.nonconformity(p, "lac"), calibration.nonconformity(p, "aps"), strict=True
    ):
        for c in range(5):
            assert lac[c] == pytest.approx(1 - row[c])
            assert aps[c] == pytest.approx(sum(q for q in row if q >= row[c]))


def test_the_mean_coverage_of_a_set_is_the_closed_form() -> None:
    """n exchangeable rows and the k-th smallest bound: a new row lies under it in k / (n + 1) of
    cases (Vovk et al. 2005)."""
    n, rng, inside = 119, np.random.default_rng(0), []
    for _ in range(150):
        z, y = drawn(rng, n + 100)
        one = calibrate(
            z[:n],
            y[:n],
            np.ones(n),
            np.ones((n, 1), bool),
            blank,
            CalibrationSettings("class", LEVEL),
            0,
        )
        counts = np.ones(100, int)
        inside.append(
            one.prediction_sets(one.probabilities(z[n:], counts), counts)[
                np.arange(100), y[n:]
            ].mean()
        )
    error = np.std(inside) / np.sqrt(len(inside))
    assert (
        np.mean(inside) == pytest.approx(np.ceil((n + 1) * LEVEL) / (n + 1), abs=3.5 * error)
        and error < 0.005
    )


def test_adaptive_sets_cover_as_often_and_are_larger() -> None:
    n, rng, inside, sizes = (
        400,
        np.random.default_rng(1),
        {"lac": [], "aps": []},
        {"lac": [], "aps": []},
    )
    for _ in range(40):
        z, y = drawn(rng, 2 * n)
        for kind in inside:
            one = calibrate(
                z[:n],
                y[:n],
                np.ones(n),
                np.ones((n, 1), bool),
                blank,
                CalibrationSettings("class", LEVEL, kind),
                0,
            )
            sets = one.prediction_sets(one.probabilities(z[n:], np.ones(n, int)), np.ones(n, int))
            inside[kind].append(sets[np.arange(n), y[n:]].mean())
            sizes[kind].append(sets.sum(1).mean())
    error = np.std(inside["aps"]) / np.sqrt(40)
    assert (
        np.mean(inside["aps"]) == pytest.approx(np.ceil((n + 1) * LEVEL) / (n + 1), abs=3.5 * error)
        and error < 0.01
    )
    assert np.mean(sizes["aps"]) > np.mean(sizes["lac"])


def test_the_level_holds_in_every_class_if_asked_for() -> None:
    rng, shares = np.random.default_rng(2), {True: [], False: []}
    for _ in range(30):
        z, y = drawn(rng, 1400)
        for by_class, found in shares.items():
            one = calibrate(
                z[:700],
                y[:700],
                np.ones(700),
                np.ones((700, 1), bool),
                blank,
                CalibrationSettings("class", LEVEL, by_class=by_class),
                0,
            )
            sets = one.prediction_sets(
                one.probabilities(z[700:], np.ones(700, int)), np.ones(700, int)
            )
            hit = sets[np.arange(700), y[700:]]
            found.append([hit[y[700:] == c].mean() for c in range(3)])
    assert np.allclose(np.mean(shares[True], axis=0), LEVEL, atol=0.03)
    assert (
        np.ptp(np.mean(shares[False], axis=0)) > 0.1
    )  # the plain sets pay for the common class with the rare one


def test_a_class_of_too_few_rows_can_never_be_ruled_out() -> None:
    z, y = drawn(np.random.default_rng(3), 300)
    y[y == 2] = 0
    y[:3] = 2  # 3 rows can't promise 4 in 5
    one = calibrate(
        z,
        y,
        np.ones(300),
        np.ones((300, 1), bool),
        blank,
        CalibrationSettings("class", LEVEL, by_class=True),
        0,
    )
    counts = np.ones(300, int)
    assert one.prediction_sets(one.probabilities(z, counts), counts)[:, 2].all()


def test_intervals_cover_and_are_wide_where_residuals_are() -> None:
    rng, shares, widths = np.random.default_rng(4), {True: [], False: []}, []
    for _ in range(30):
        v = rng.uniform(0, 10, 1500)
        y = v + rng.normal(size=1500) * (0.1 + v / 5)
        for local, found in shares.items():
            one = calibrate(
                v[:500, None],
                y[:500],
                np.ones(500),
                np.ones((500, 1), bool),
                zero,
                CalibrationSettings("number", LEVEL, local=local),
                0,
            )
            half = one.half_width(v[500:], np.ones(1000, int))
            hit = np.abs(v[500:] - y[500:]) <= half
            low, high = v[500:] < 2, v[500:] > 8
            found.append([hit.mean(), hit[low].mean(), hit[high].mean()])
            if local:
                widths.append(half[high].mean() / half[low].mean())
    assert np.mean(shares[True], axis=0) == pytest.approx([LEVEL] * 3, abs=0.04)
    assert (
        np.mean(shares[False], axis=0)[0] == pytest.approx(LEVEL, abs=0.02)
        and np.mean(shares[False], axis=0)[1] > 0.97
    )
    assert np.mean(widths) == pytest.approx(
        (0.1 + 9 / 5) / (0.1 + 1 / 5), rel=0.25
    )  # the planted ratio of deviations


def test_too_few_rows_promise_nothing() -> None:
    values = np.arange(12.0)
    one = calibrate(
        np.zeros((12, 1)),
        values,
        np.ones(12),
        np.ones((12, 1), bool),
        zero,
        CalibrationSettings("number", 0.95),
        0,
    )
    assert one.residual == (np.inf, np.inf)
    said = json.loads(json.dumps(one.to_dict()))
    assert Calibration.from_dict(said) == one


def test_each_count_of_fields_has_its_own_temperature_and_bound() -> None:
    """Scores are too sure by a factor that hangs on how many fields are there: the temperatures are
    the factors, and the sets cover at every count, of rows that lack fields and of rows whose
    fields are hidden."""
    rng, factors = np.random.default_rng(5), np.array([1.0, 0.5, 2.0, 4.0])
    z, y = drawn(rng, 4000)
    present = np.zeros((4000, 3), bool)
    present[:, 0] = True
    present[:1500, 1] = present[:1500, 2] = (
        True  # 1500 rows have three fields, 2500 have one, none has two
    )
    counts = present.sum(1)

    def shown(places: np.ndarray, there: np.ndarray) -> np.ndarray:
        return 0.7 * z[places] * factors[there.sum(1)][:, None]

    one = calibrate(
        0.7 * z * factors[counts][:, None],
        y,
        np.ones(4000),
        present,
        shown,
        CalibrationSettings("class", LEVEL),
        0,
    )
    assert one.temperature[1:] == pytest.approx(factors[1:], rel=0.12)
    fresh, truth = drawn(rng, 6000)
    for m in (1, 2, 3):
        count = np.full(6000, m)
        p = one.probabilities(0.7 * fresh * factors[m], count)
        inside = one.prediction_sets(p, count)[np.arange(6000), truth].mean()
        assert inside == pytest.approx(LEVEL, abs=0.03), m
        assert p.max(1).mean() == pytest.approx((p.argmax(1) == truth).mean(), abs=0.03), m


def test_hidden_fields_leave_every_subset_as_likely() -> None:
    present = np.ones((6000, 4), bool)
    present[:, 0] = False
    found = calibration.hide(present, 2, 0)
    assert (found.sum(1) == 2).all() and not found[:, 0].any()
    for a, b in combinations((1, 2, 3), 2):
        assert (found[:, a] & found[:, b]).mean() == pytest.approx(1 / 3, abs=0.02)
    assert (
        np.array_equal(found, calibration.hide(present, 2, 0))
        and (calibration.hide(present, 9, 0) == present).all()
    )


def test_slope_and_shift_of_a_label_are_recovered() -> None:
    rng = np.random.default_rng(6)
    s = rng.normal(size=20_000) * 3 + 1
    label = (rng.random(20_000) < expit(0.4 * s - 1.5)).astype(np.int64)
    assert platt(s, label, np.ones(20_000)) == pytest.approx((0.4, -1.5), abs=0.05)
    slope, shift = platt(np.linspace(-1, 1, 20), np.repeat([0, 1], 10), np.ones(20))
    assert expit(slope + shift) < 0.99  # ten perfectly separated rows are not certainty
    never_there = platt(rng.normal(size=30), np.zeros(30, int), np.ones(30))
    assert expit(never_there[1]) < 0.1


def test_the_best_threshold_is_half_of_the_best_f1() -> None:
    """Of calibrated probabilities (Lipton, Elkan & Narayanaswamy 2014, theorem 1); and on few rows
    that of all thresholds."""
    rng = np.random.default_rng(7)
    p = rng.beta(1, 4, 200_000)
    label = (rng.random(200_000) < p).astype(np.int64)
    found = calibration.best_threshold(p, label)
    said = p >= found
    score = 2 * (said & (label == 1)).sum() / (said.sum() + label.sum())
    assert found == pytest.approx(score / 2, abs=0.02)
    p, label = np.round(rng.random(30), 1), rng.integers(0, 2, 30)

    def f1(at: float) -> float:
        return 2 * ((p >= at) & (label == 1)).sum() / ((p >= at).sum() + label.sum())

    assert f1(calibration.best_threshold(p, label)) == pytest.approx(
        max(f1(q) for q in np.unique(p))
    )
    assert calibration.best_threshold(p, np.zeros(30, int)) == 0.5


def test_a_saved_run_tells_no_value_of_a_row_and_covers_no_less() -> None:
    rng = np.random.default_rng(5)
    z, label = drawn(rng, 400)
    v = rng.normal(1e4, 2000, 33)
    y = v + rng.normal(0, 50, 33)
    present, share = np.ones((400, 1), bool), np.ones(400)
    kinds = {
        "sets": calibrate(z, label, share, present, blank, CalibrationSettings("class", LEVEL), 0),
        "plain": calibrate(
            v[:, None], y, share[:33], present[:33], zero, CalibrationSettings("number", LEVEL), 0
        ),
        "local": calibrate(
            v[:, None],
            y,
            share[:33],
            present[:33],
            zero,
            CalibrationSettings("number", LEVEL, local=True),
            0,
        ),
        "labels": calibrate(
            z,
            np.eye(3, dtype=int)[label],
            share,
            present,
            blank,
            CalibrationSettings("labels", LEVEL, threshold=0),
            0,
        ),
    }
    for kind, exact in kinds.items():
        told = exact.coarse(chosen=True)
        fine = [
            x
            for name in ("bound", "residual", "scale", "threshold")
            for x in np.ravel(getattr(exact, name))
            if np.isfinite(x) and x not in (0, 1)
        ]
        kept = np.concatenate(
            [np.ravel(getattr(told, name)) for name in ("bound", "residual", "scale", "threshold")]
        )
        assert len(fine) and not np.isin(fine, kept).any(), kind
        assert Calibration.from_dict(json.loads(json.dumps(told.to_dict()))) == told
        if kind == "sets":
            for old, new in zip(np.ravel(exact.bound), np.ravel(told.bound), strict=True):
                assert old <= new and (1 - new) >= (1 - old) * 7 / 8 - 1e-12
        if kind == "plain":
            half, wide = (c.half_width(v, np.ones(33, int)) for c in (exact, told))
            assert (wide >= half).all() and (wide <= half * 9 / 8 + 1e-9).all()
    # the rows of neighbouring points differ by one: exact means subtract to it
    exact, told = kinds["local"], kinds["local"].coarse(chosen=True)
    order = np.sort(v)
    moved = np.diff(np.array(exact.scale)[:, 0]) * 20
    assert np.isclose(moved[:, None], order[20:] - order[:-20], rtol=1e-6).any()
    moved = np.diff(np.array(told.scale)[:, 0]) * 20
    assert not np.isclose(moved[:, None], order[20:] - order[:-20], rtol=1e-3).any()
    assert (np.diff(np.array(told.scale)[:, 0]) > 0).all()
    assert exact.coarse(chosen=False).threshold == exact.threshold


def test_no_group_is_a_point_of_the_local_scale() -> None:
    rng = np.random.default_rng(6)
    level = np.repeat(np.arange(10) * 1000.0, 30)  # ten patients of thirty rows
    own = np.repeat(rng.uniform(1, 900, 10), 30)  # how far each is from its prediction
    settings = CalibrationSettings("number", LEVEL, local=True)

    def points(window: int) -> np.ndarray:
        one = calibrate(
            level[:, None],
            level + own,
            np.ones(300),
            np.ones((300, 1), bool),
            zero,
            settings,
            0,
            window=window,
        )
        return np.array(one.scale)[:, 1]

    assert np.isclose(points(1)[:, None], own).any()
    assert not np.isclose(
        points(rows_of_groups(np.repeat(np.arange(10), 30), 5))[:, None], own
    ).any()


def test_the_bound_of_labels_misses_as_few_as_it_promises() -> None:
    """The smallest bound that keeps the promise, by trying every one; and the mean share of missed
    labels on fresh rows, over many samples."""
    rng, missed = np.random.default_rng(0), []
    for _ in range(120):
        p = rng.beta(0.6, 1.2, (150, 4))
        held = (rng.random((150, 4)) < p**1.5).astype(int)  # the probabilities need not be true
        n = 60
        bound = calibration.false_negative_bound(p[:n], held[:n], LEVEL)

        def share(b: float, rows: slice, p: np.ndarray = p, held: np.ndarray = held) -> np.ndarray:
            gone = ((1 - p[rows] > b) & (held[rows] == 1)).sum(1)
            return gone / np.maximum(held[rows].sum(1), 1)

        possible = [
            b for b in np.unique(1 - p[:n]) if share(b, slice(0, n)).sum() + 1 <= 0.2 * (n + 1)
        ]
        holds = share(bound, slice(0, n)).sum() + 1 <= 0.2 * (n + 1) + 1e-6
        assert holds and bound <= min(possible) + 1e-12
        missed.append(share(bound, slice(n, 150)).mean())
    assert np.mean(missed) <= 0.2 + 2 * np.std(missed) / 120**0.5
    assert np.mean(missed) > 0.12  # and not far fewer, so sets are small
    few = calibration.false_negative_bound(p[:3], held[:3], 0.9)
    assert few == 1.0  # three rows are too few for nine in ten
