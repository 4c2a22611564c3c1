"""What the finance checks say where the truth is known: random walks, and planted futures.

python benchmarks/random_walks.py [--study walks|telling] [--simulations 200]

walks: a random walk with Gaussian or with heavy-tailed, clustered steps (GARCH(1, 1) with Student's
t) has nothing to be predicted. Windows of 32 prices, the next five days, a split by time that is
purged; the predictor of the library; the verdict after costs. "gained" is a false claim.

telling: columns that are known in time (volatility, past moves, noise, another market) and one that
holds the next five days' return beside noise. How often the guard warns of a column that is clean,
and how often of the planted one, by the share of its variance that is the future.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.fields import Field, Target
from gobelin.data.split.purging import TimeOrder, purged
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.series import Series
from gobelin.embedding.features import Embeddings
from gobelin.evidence.intervals import wilson
from gobelin.prediction import predictor, trading
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.fusion.concat import Concat
from gobelin.quality.telling import PanelRows, telling

DAYS, WINDOW, STEP, AHEAD = 1500, 32, 5, 5
COST = 0.0005
FIELD = Field("prices", "series", ("prices",), "series")
SETTINGS = Series(waves=4, octaves=3, lags=(1, 2, 5))
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # of a column's variance that is the future
ROWS = 400  # training rows of the study `telling`


def walk(rng: np.random.Generator, heavy: bool, days: int = DAYS) -> np.ndarray:
    """float64 [days]: logarithms of prices. heavy: GARCH(1, 1), a = 0.08, b = 0.9, t with 5 degrees
    of freedom."""
    if not heavy:
        return np.asarray(np.cumsum(rng.normal(0, 0.01, days)))
    shocks = rng.standard_t(5, days) * (3 / 5) ** 0.5
    variance, steps = 1e-4, np.zeros(days)
    for k in range(days):
        steps[k] = shocks[k] * variance**0.5
        variance = 2e-6 + 0.08 * steps[k] ** 2 + 0.9 * variance
    return np.asarray(np.cumsum(steps))


def verdict(seed: int, heavy: bool) -> tuple[str, float]:
    """The word after costs on validation rows of one walk, and the mean net return."""
    rng = numpy_generator(seed, "heavy walk" if heavy else "walk")
    logs = walk(rng, heavy)
    ends = np.arange(WINDOW, DAYS - AHEAD, STEP)
    windows = [{"prices": (logs[e - WINDOW : e] - logs[e - WINDOW]).tolist()} for e in ends]
    moves = logs[ends + AHEAD - 1] - logs[ends - 1]
    parts = np.where(ends < 0.55 * DAYS, "train", np.where(ends < 0.75 * DAYS, "valid", "test"))
    order = TimeOrder(ends.astype(float), float(AHEAD))
    target = Target("next", "class", (moves > 0).astype(np.int64), ("down", "up"))
    out = purged(order, parts, np.ones(len(ends), bool))
    target = target.without(out)
    train, valid = (np.flatnonzero((parts == p) & ~out) for p in ("train", "valid"))
    runtime = Runtime(seed=seed)
    encoder = SETTINGS.fit(
        TrainingCells([windows[k] for k in train]), FIELD, {"prices": "series"}, runtime
    )
    features = encoder.embed([encoder.decode(w, Path())[0] for w in windows])
    names = tuple(map(str, range(len(ends))))
    rows = Embeddings(
        ("prices",), {"prices": features}, np.ones((len(ends), 1), bool), names, "walks"
    )
    training = Training(
        Predict(folds=2, decays=(1e-2,)),
        rows,
        target,
        train,
        names,
        np.ones(len(ends), np.float32),
        runtime,
        order=order,
    )
    model = predictor.fit("concat", Concat(), training)
    found = model.predict(rows.rows(valid))
    market = trading.Market(order.times[valid], [""] * len(valid), np.expm1(moves[valid]))
    trade = trading.Trade(returns="next", cost=COST)
    rules = {
        trading.PREDICTOR: trading.class_positions(trade, target, found.class_indices),
        trading.HOLDING: np.ones(len(valid)),
        trading.MOMENTUM: np.sign([w["prices"][-1] for w in (windows[k] for k in valid)]),
    }
    own = trading.traded(trade, market, rules, float(AHEAD), seed)[0]
    return own.verdict, float(own.value or 0.0)


def walks(simulations: int) -> None:
    for heavy in (False, True):
        words, values = [], []
        for seed in range(simulations):
            word, value = verdict(seed, heavy)
            words.append(word)
            values.append(value)
            if seed % 20 == 19:
                logging.info("%s %d: %s", heavy, seed, {w: words.count(w) for w in set(words)})
        counts = {w: words.count(w) for w in (trading.NO_EVIDENCE, trading.GAINED, trading.LOST)}
        interval = wilson(counts[trading.GAINED], simulations)
        record.append(
            "random_walks",
            {
                "study": f"walks, {'heavy' if heavy else 'Gaussian'}",
                "simulations": simulations,
                **{f"{w.replace(' ', '_')}_count": c for w, c in counts.items()},
                "gained_share": interval.value,
                "gained_low": interval.low,
                "gained_high": interval.high,
                "net_return_mean": float(np.mean(values)),
                "cost_share": COST,
            },
        )


def warned(seed: int, share: float) -> tuple[bool, bool]:
    """Whether a clean column is warned of, and whether the planted one is."""
    rng = numpy_generator(seed, "telling")
    days = ROWS * STEP + WINDOW + AHEAD
    logs, other = walk(rng, True, days), walk(rng, True, days)
    ends = np.arange(WINDOW, days - AHEAD, STEP)[:ROWS]
    moves = logs[ends + AHEAD - 1] - logs[ends - 1]
    steps = np.diff(logs, prepend=0.0)
    columns = {
        "volatility": np.array([steps[e - 21 : e].std() for e in ends]),
        "past_week": logs[ends - 1] - logs[ends - 6],
        "past_month": logs[ends - 1] - logs[ends - 22],
        "below_peak": logs[ends - 1] - np.array([logs[e - WINDOW : e].max() for e in ends]),
        "other": other[ends - 1] - other[ends - 6],
        "noise": rng.normal(size=ROWS),
    }
    noise = rng.normal(0, moves.std(), ROWS)
    planted = {"planted": share**0.5 * moves + (1 - share) ** 0.5 * noise} if share else {}
    features = np.stack(
        [
            np.concatenate([[s], np.diff(logs[e - WINDOW : e])])
            for e, s in zip(ends, moves * 0, strict=True)
        ]
    )
    found = telling(
        {**columns, **planted}, features, moves, PanelRows(ends.astype(float), np.zeros(ROWS, int))
    )
    names = {f.scope["column"] for f in found}
    return bool(names - {"planted"}), "planted" in names


def planted_futures(simulations: int) -> None:
    for share in SHARES:
        both = np.array([warned(seed, share) for seed in range(simulations)])
        record.append(
            "random_walks",
            {
                "study": f"telling, {share:g} of the variance",
                "simulations": simulations,
                "future_share": share,
                "false_alarm_count": int(both[:, 0].sum()),
                "found_count": int(both[:, 1].sum()),
            },
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", choices=("walks", "telling"), default="walks")
    parser.add_argument("--simulations", type=int, default=200)
    given = parser.parse_args()
    {"walks": walks, "telling": planted_futures}[given.study](given.simulations)
