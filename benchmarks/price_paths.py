"""Made paths of daily returns against real ones, by stylised facts.

python benchmarks/price_paths.py [--steps 400] [--contender flow]

Real: 20 American stocks, 1990 to 2022 (package skfolio), each divided by its standard deviation,
cut into windows of 64 days. Every second window is learned from, the others are compared with.
Contenders:

    real          the windows that were learned from: what can be reached
    normal steps  independent normal returns of the same variance
    shuffled      the learned returns in a random order
    garch         GARCH(1, 1) with Student's t, fitted by the package arch, simulated
    flow          the generator `flow` on images of 8 x 8 squares of 2 x 2 pixels, a square a day in
                  the order of reading: the normal score of a return is the brightness
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.core import catalog
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.samples.finance import FILE
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.quality.stylised_facts import stylised_facts

SIDE, SQUARE = 8, 2
DAYS = SIDE * SIDE
MADE = 1000
WIDEST = 3.5  # normal score of black and of white
FLOW = {"width": 96, "depth": 3, "heads": 3, "patch": SQUARE, "batch": 64}


def windows() -> np.ndarray:
    """float64 [stocks, windows, 64]: standardised returns."""
    package = importlib.util.find_spec("skfolio")
    assert package is not None and package.submodule_search_locations, "skfolio is needed"
    path = Path(package.submodule_search_locations[0]) / FILE
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "Date"]
    closes = np.array([[float(row[name]) for name in names] for row in rows]).T
    steps = np.diff(np.log(closes), axis=1)
    steps = (steps - steps.mean(1, keepdims=True)) / steps.std(1, keepdims=True)
    count = steps.shape[1] // DAYS
    return steps[:, : count * DAYS].reshape(len(names), count, DAYS)


def by_garch(learned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [MADE, 64]."""
    from arch import arch_model
    from arch.univariate import GARCH, ConstantMean, StudentsT

    fitted = arch_model(learned.ravel(), mean="Constant", p=1, q=1, dist="t", rescale=False).fit(
        disp="off"
    )
    model = ConstantMean(None, volatility=GARCH(1, 0, 1), distribution=StudentsT(seed=rng))
    found = model.simulate(fitted.params.to_numpy(), MADE * DAYS)
    return found["data"].to_numpy().reshape(MADE, DAYS)


def nothing(n: int) -> Condition:
    """The condition of n images of which nothing is known."""
    none = torch.zeros(n, 1, dtype=torch.bool)
    target = torch.full((n,), -1)
    return Condition(("none",), torch.zeros(n, 1, 1), none, target, fingerprint="paths")


def by_flow(learned: np.ndarray, steps: int, seed: int, rng: np.random.Generator) -> np.ndarray:
    """float64 [MADE, 64]."""
    ordered = np.sort(learned.ravel())
    shares = (np.searchsorted(ordered, learned) + 0.5) / (len(ordered) + 1)
    bright = np.clip((norm.ppf(shares) / WIDEST + 1) / 2, 0, 1) * 255
    days = np.round(bright).astype(np.uint8).reshape(-1, SIDE, SIDE)
    images = np.repeat(days.repeat(SQUARE, 1).repeat(SQUARE, 2)[..., None], 3, 3)
    cut = len(images) - len(images) // 10
    parts = [ImageRows(x, nothing(len(x)), ("path",)) for x in (images[:cut], images[cut:])]
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(seed=seed, device="cpu", precision="float32")
        context = Context(runtime, Path(folder), steps=steps)
        sampler = catalog.build("generators", "flow", FLOW).fit(*parts, context)
        blocks = sampler.sample(nothing(MADE), list(range(MADE)), Controls(steps=16))
        made = np.concatenate(list(blocks))
    squares = made.astype(float).reshape(MADE, SIDE, SQUARE, SIDE, SQUARE, 3).mean((2, 4, 5))
    score = (squares.reshape(MADE, DAYS) / 255 * 2 - 1) * WIDEST
    score += rng.uniform(-0.5, 0.5, score.shape) * WIDEST / 255  # within a step of brightness
    return np.quantile(ordered, norm.cdf(score))


def main(steps: int, seed: int, chosen: str) -> None:
    cut = windows()
    learned = cut[:, ::2].reshape(-1, DAYS)
    real = cut[:, 1::2].reshape(-1, DAYS)
    times = np.tile(np.arange(cut[:, 1::2].shape[1]), len(cut))  # stocks move together
    rng = numpy_generator(seed, "paths")
    contenders = {
        "real": lambda: learned,
        "normal steps": lambda: rng.normal(0, learned.std(), (MADE, DAYS)),
        "shuffled": lambda: rng.permutation(learned.ravel())[: MADE * DAYS].reshape(MADE, DAYS),
        "garch": lambda: by_garch(learned, rng),
        "flow": lambda: by_flow(learned, steps, seed, rng),
    }
    for name, make in contenders.items():
        if chosen not in ("all", name):
            continue
        found = stylised_facts(real, make(), seed, times)
        facts = {
            one.scope["fact"]: {
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "real": one.floor,
                "verdict": difference.verdict,
            }
            for one, difference in zip(found[::2], found[1::2], strict=True)
        }
        record.append(
            "price_paths",
            {
                "contender": name,
                "facts": facts,
                "paths": found[0].n,
                "independent_times": found[1].n,
                "real_paths": len(real),
                "training_steps": steps if name == "flow" else None,
                "seed": seed,
            },
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contender", default="all")
    given = parser.parse_args()
    main(given.steps, given.seed, given.contender)
