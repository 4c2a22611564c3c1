"""Series: every number against a slow definition, a reference tool or a planted truth."""

from __future__ import annotations

import warnings
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.fft import dct
from scipy.stats import pearsonr

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.fields import Cell, Field
from gobelin.data.files import BadCell
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.series import (
    INCREMENT_QUANTILES,
    SINGLE_FEATURES,
    VALUE_QUANTILES,
    FittedSeries,
    Series,
    autocorrelations,
    channel_features,
    cosines,
    octaves,
    orders,
    standard,
)
from gobelin.workbench.bench import Workbench

HOW = Series()
FIELD = Field("f", "series", ("x",), "series")
RNG = np.random.default_rng(0)
NAMES = (
    "level spread length holes constant trend change end fall rise highest lowest rough still up"
    " crossings busy busy5".split()
)


def single(row: np.ndarray) -> dict[str, float]:
    return dict(
        zip(
            NAMES, channel_features(np.asarray(row, float), 0.0, HOW)[:SINGLE_FEATURES], strict=True
        )
    )


def fitted(values: list[object], how: Series = HOW, field: Field = FIELD) -> FittedSeries:
    cells: list[Cell | None] = [None if v is None else {"x": v} for v in values]
    return how.fit(TrainingCells(cells, least_groups=1), field, {"x": "series"}, Runtime())


def coded(encoder: FittedSeries, values: list[object]) -> np.ndarray:
    return encoder.embed([encoder.decode({"x": v}, Path())[0] for v in values])


def walk(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n).cumsum()


def persistent(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """x_t = share x_(t-1) + noise."""
    x = np.zeros(n + 50)
    for t in range(1, len(x)):
        x[t] = share * x[t - 1] + rng.normal()
    return x[50:]


def test_the_width_is_that_of_the_settings() -> None:
    for how in (HOW, Series(lags=(1,), waves=2, octaves=3, pairs=2)):
        for channels in (1, 2, 3):
            x = RNG.normal(size=(channels, 30))
            assert len(how.features(x, np.zeros(channels))) == how.width(channels)
    assert (
        HOW.width(3) - 3 * HOW.width(1) == 6
        and Series(pairs=2).width(3) - 3 * Series(pairs=2).width(1) == 2
    )


def test_level_and_spread_are_those_of_the_quartiles() -> None:
    x = RNG.normal(7, 3, 500)
    z, level, spread = standard(x)
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    assert np.sinh(level) == pytest.approx(middle) and np.exp(spread) == pytest.approx(
        (high - low) / 1.349
    )
    assert np.allclose(z, (x - middle) / ((high - low) / 1.349))


@pytest.mark.parametrize(
    ("factor", "shift"),
    [(2.0**40, 0.0), (2.0**-900, 0.0), (1e300, 0.0), (3.7, -250.0), (1e-6, 5.0)],
)
def test_unit_and_zero_change_level_and_spread_alone(factor: float, shift: float) -> None:
    x = RNG.normal(size=80)
    one, other = (channel_features(v, 0.0, HOW) for v in (x, factor * x + shift))
    assert np.allclose(one[2:], other[2:], atol=1e-6) and other[1] - one[1] == pytest.approx(
        np.log(factor), abs=1e-6
    )


def test_a_tool_and_slow_definitions_agree() -> None:
    acf = pytest.importorskip("statsmodels.tsa.stattools").acf
    x = walk(120)
    centred = x - x.mean()
    wanted = [*acf(x, nlags=119, fft=False)[[1, 5, 30, 119]], 0, 0]
    assert np.allclose(autocorrelations(centred, (1, 5, 30, 119, 120, 500)), wanted)
    unit = centred / centred.std()
    assert np.allclose(cosines(centred, 9), dct(unit, type=2)[1:10] / 120)
    found = channel_features(x, 0.0, HOW)
    z = standard(x)[0]
    assert np.allclose(
        found[SINGLE_FEATURES : SINGLE_FEATURES + len(VALUE_QUANTILES)],
        np.arcsinh(np.quantile(z, VALUE_QUANTILES)),
    )
    d = np.diff(x)
    spread = np.subtract(*np.quantile(d, [0.75, 0.25])) / 1.349
    start = SINGLE_FEATURES + len(VALUE_QUANTILES)
    assert np.allclose(
        found[start : start + len(INCREMENT_QUANTILES)],
        np.arcsinh(np.quantile(d / spread, INCREMENT_QUANTILES)),
    )
    own = single(x)
    slow = {
        "trend": pearsonr(x, np.arange(120)).statistic,
        "change": np.arcsinh(z[-1] - z[0]),
        "end": np.arcsinh(z[-12:].mean()),
        "fall": np.arcsinh(max(z[i] - z[j] for i in range(120) for j in range(i, 120))),
        "rise": np.arcsinh(max(z[j] - z[i] for i in range(120) for j in range(i, 120))),
        "highest": x.argmax() / 119,
        "lowest": x.argmin() / 119,
        "up": np.mean(d > 0),
        "still": 0.0,
        "length": np.log(120),
        "rough": (
            sum((x[k + 1] - x[k]) ** 2 for k in range(119))
            / sum((v - x.mean()) ** 2 for v in x)
            / 2
        ),
        "crossings": np.mean(
            [(x[k] > np.median(x)) != (x[k + 1] > np.median(x)) for k in range(119)]
        ),
        "busy": acf(np.abs(d), nlags=5, fft=False)[1],
        "busy5": acf(np.abs(d), nlags=5, fft=False)[5],
    }
    assert {k: own[k] for k in slow} == pytest.approx(slow)


def test_orders_of_three_are_counted() -> None:
    x = RNG.normal(size=90)
    wanted = dict.fromkeys(permutations(range(3)), 0)
    for k in range(88):
        wanted[tuple(np.argsort(x[k : k + 3]))] += 1
    assert sorted(orders(x)) == pytest.approx(sorted(v / 88 for v in wanted.values()))
    assert orders(np.arange(9.0)).tolist() == [0, 0, 0, 0, 0, 1] and orders(-np.arange(9.0))[0] == 1
    assert orders(np.zeros(5))[-1] == 1 and orders(np.zeros(2)).sum() == 0
    for place, three in enumerate(
        ([3, 2, 1], [2, 3, 1], [3, 1, 2], [1, 3, 2], [2, 1, 3], [1, 2, 3])
    ):
        assert orders(np.array(three)).argmax() == place


@pytest.mark.parametrize("octave", range(6))
def test_a_tone_lies_in_its_octave(octave: int) -> None:
    tone = np.sin(
        2 * np.pi * 0.375 / 2**octave * np.arange(1024) + 1
    )  # in the middle of the octave
    shares = np.exp(octaves(tone - tone.mean(), 6)) - 1e-4
    assert shares.sum() == pytest.approx(1) and shares[octave] > 0.99
    assert np.exp(octaves(RNG.normal(size=20_000), 3)) == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_noise_walks_and_trends_are_told_apart() -> None:
    noise, drift = RNG.normal(size=4000), np.arange(200.0)
    assert (
        single(noise)["rough"] == pytest.approx(1, abs=0.05) and single(walk(4000))["rough"] < 0.05
    )
    assert single(drift)["trend"] == pytest.approx(1) and single(-drift)["trend"] == pytest.approx(
        -1
    )
    assert single(drift)["fall"] == 0 and single(-drift)["rise"] == 0 and single(drift)["up"] == 1
    calm = RNG.normal(size=4000) * np.repeat([0.2, 2.0] * 20, 100)  # volatility in clusters
    assert single(calm.cumsum())["busy"] > 0.2 > 0.05 > abs(single(walk(4000))["busy"])
    assert channel_features(persistent(20_000, 0.6, RNG), 0.0, HOW)[-21] == pytest.approx(
        0.6, abs=0.02
    )  # the first lag


def test_the_length_of_the_window_changes_little() -> None:
    def wave(n: int) -> np.ndarray:
        t = np.linspace(0, 1, n)
        return np.sin(5 * t) + t

    short, long = (channel_features(wave(n), 0.0, HOW) for n in (60, 600))
    shape = [
        NAMES.index(name) for name in "level spread trend change end fall rise highest".split()
    ]
    shape += list(range(SINGLE_FEATURES, SINGLE_FEATURES + len(VALUE_QUANTILES))) + list(
        range(len(short) - 14, len(short) - 6)
    )  # cosines
    assert np.allclose(short[shape], long[shape], atol=0.06)


HARD = {
    "constant": np.full(50, 3.0),
    "zero": np.zeros(10),
    "two alike": np.array([0.1, 0.1]),
    "two": np.array([1.0, 2.0]),
    "three": np.array([2.0, 1.0, 2.0]),
    "one spike": np.eye(1, 400, 7)[0],
    "tiny": 5e-324 * np.arange(9.0),
    "huge": 1e300 * walk(40),
    "largest": np.array([1.7e308, -1.7e308] * 9),
    "a million": walk(1_000_000),
    "huge and tiny": np.array([1e-300, 1e300, 1.0, -1e300]),
    "a last digit": np.repeat([1.0, 1.0 + 1e-15], 20),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_windows_give_finite_numbers(name: str) -> None:
    encoder = fitted([walk(40, seed).tolist() for seed in range(8)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = HOW.features(HARD[name][None], np.zeros(1))
        found = encoder.embed([x])
    assert np.isfinite(x).all() and np.isfinite(found).all() and np.abs(found).max() <= 5
    assert bool(x[NAMES.index("constant")]) == (name in ("constant", "zero", "two alike"))
    assert np.isfinite(coded(fitted([HARD["constant"].tolist()] * 5), [walk(9).tolist()])).all()


def test_scales_are_those_of_the_training_rows_in_any_order() -> None:
    values: list[object] = [walk(30 + k, k).tolist() for k in range(40)]
    encoder = fitted([*values, None])
    raw = np.stack([HOW.features(np.array([v]), np.zeros(1)) for v in values])
    low, middle, high = np.quantile(raw, [0.25, 0.5, 0.75], axis=0)
    moves = high - low > 1e-9
    expected = np.clip((raw - middle) / np.where(moves, (high - low) / 1.349, 1), -5, 5)[:, moves]
    assert moves.sum() > 50 and np.allclose(coded(encoder, values)[:, moves], expected, atol=1e-4)
    assert (
        fitted(values[::-1]).fingerprint()
        == encoder.fingerprint()
        != fitted(values[1:]).fingerprint()
    )
    with_outlier = fitted([*values, (1e9 * walk(30)).tolist()])
    assert np.median(np.abs(coded(with_outlier, values) - coded(encoder, values))) < 0.05
    assert fitted([]).width == fitted([[1], ["a", "b"]]).width == HOW.width(1)


def test_channels_are_those_of_most_rows_and_their_pairs_are_correlated() -> None:
    rows: list[object] = []
    for k in range(30):
        a = walk(50, k)
        rows.append([a.tolist(), (-3 * a + 2).tolist(), RNG.normal(size=50).tolist()])
    encoder = fitted([*rows, walk(50).tolist(), [1, 2]])
    assert encoder.channels == {"x": 3} and encoder.width == HOW.width(3)
    raw = encoder.decode({"x": rows[0]}, Path())[0][3 * HOW.width(1) :]
    x = np.array(rows[0])
    wanted = [
        [pearsonr(v[i], v[j]).statistic for v in (x, np.diff(x))]
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert np.allclose(raw, np.ravel(wanted)) and raw[:2] == pytest.approx([-1, -1])
    with pytest.raises(
        BadCell, match=r"has 1 channels, 3 were expected \(encoders.series.channels\)"
    ) as caught:
        encoder.decode({"x": [1, 2, 3]}, Path())
    assert caught.value.column == "x"
    assert fitted(rows, Series(channels=2)).width == HOW.width(2)


def test_columns_stand_side_by_side_and_a_missing_one_is_zero() -> None:
    field = Field("f", "series", ("x", "y"), "series")
    cells: list[Cell] = [{"x": walk(20, k).tolist(), "y": walk(9, k).tolist()} for k in range(10)]
    encoder = HOW.fit(TrainingCells(cells), field, {}, Runtime())
    both, alone = (
        encoder.embed([encoder.decode(c, Path())[0]])[0] for c in (cells[0], {"y": cells[0]["y"]})
    )
    half = HOW.width(1)
    assert encoder.width == 2 * half and both[:half].any()
    assert not alone[:half].any() and np.array_equal(alone[half:], both[half:])


def test_holes_are_filled_in_and_said() -> None:
    x = np.sin(np.arange(200) / 50)
    holed = [None if k % 7 == 3 else float(v) for k, v in enumerate(x)]
    encoder = fitted([walk(60, k).tolist() for k in range(20)])
    whole, how = encoder.decode({"x": x.tolist()}, Path())
    filled, said = encoder.decode({"x": holed}, Path())
    assert (
        how == ""
        and said == "missing samples filled in"
        and filled[3] == pytest.approx(1 / 7, abs=0.005)
    )
    same = [k for k, name in enumerate(NAMES) if name not in ("holes", "busy", "busy5")]
    assert np.allclose(filled[same], whole[same], atol=0.02)


def test_files_teach_what_their_numbers_teach(tmp_path: Path) -> None:
    rows = [np.stack([walk(30, k), walk(30, k + 50)]) for k in range(12)]
    for k, x in enumerate(rows):
        np.save(tmp_path / f"{k}.npy", x)
    cells: list[Cell | None] = [{"x": f"{k}.npy"} for k in range(12)]
    training = TrainingCells(cells, least_groups=1, root=tmp_path)
    encoder = HOW.fit(training, FIELD, {}, Runtime())
    assert encoder.fingerprint() == fitted([x.tolist() for x in rows]).fingerprint()
    lines = "".join(f"{k}.npy,{'ab'[k % 2]}\n" for k in range(12))
    (tmp_path / "records.csv").write_text("window,y\n" + 6 * lines)
    window = Workbench(
        tmp_path / "records.csv", "y", tmp_path / "run"
    ).run.features.embedder.encoders["window"]
    assert (
        isinstance(window, FittedSeries)
        and window.width == HOW.width(2)
        and (window.scales[1] != 1).any()
    )


def test_bad_windows_are_listed_or_refused_in_one_line(tmp_path: Path) -> None:
    """Of 60 windows of different lengths six are bad, each in its own way; a tenth may be."""
    bad = {
        3: "[1, 2",
        10: "[7]",
        20: "[1, high, 2]",
        30: "[1, Infinity]",
        40: "[[1, 2], [1]]",
        50: "[[1, 2, 3], [4, 5, 6]]",
    }
    cells = [bad.get(k, str(walk(20 + k, k).tolist())) for k in range(60)]
    cells[55] = str([4.0] * 9)  # constant: nothing is wrong with it
    lines = "".join(f'"{cell}",{"ab"[k % 2]}\n' for k, cell in enumerate(cells))
    (tmp_path / "records.csv").write_text("window,y\n" + lines)
    scan = Workbench(tmp_path / "records.csv", "y", tmp_path / "run").run.checked.scan
    assert [(int(row), column) for row, column, _ in scan.bad] == [(k, "window") for k in bad]
    reasons = [
        "is it cut short",
        "has 1 sample;",
        "holds 'high'",
        "not finite",
        "of 1 and of 2 samples",
        "has 2 channels, 1 were expected",
    ]
    assert all(part in reason for part, (_, _, reason) in zip(reasons, scan.bad, strict=True))
    strict = {"check": {"max_bad": 0.05}}
    with pytest.raises(
        GobelinError,
        match=r"column 'window': 6 of 60 cells can't be used \(first: row 3, .*--max-bad 0.11",
    ) as caught:
        _ = Workbench(tmp_path / "records.csv", "y", tmp_path / "run", strict).run.checked.scan
    assert "\n" not in str(caught.value)


def test_thirty_rows_tell_two_processes_apart() -> None:
    """Planted: persistence 0.2 or 0.9, whatever the unit, the zero and the length."""
    rng = np.random.default_rng(3)

    def rows(n: int) -> tuple[list[object], np.ndarray]:
        label = np.arange(n) % 2
        made = [
            persistent(int(rng.integers(60, 200)), (0.2, 0.9)[y], rng) * 10 ** rng.uniform(-6, 6)
            for y in label
        ]
        return [(x + rng.normal() * np.abs(x).max()).tolist() for x in made], label

    (train, known), (test, truth) = rows(30), rows(200)
    encoder = fitted(train)
    x, new = coded(encoder, train), coded(encoder, test)
    centres = np.stack([x[known == c].mean(0) for c in (0, 1)])
    guess = ((new[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (guess == truth).mean() > 0.95
