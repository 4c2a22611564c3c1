"""Do the prediction sets of few rows cover what they say? Planted classes, one linear head, fresh
rows.

python benchmarks/coverage.py [--studies 300] [--rows 50]

A row has 10 or 40 numbers, Gaussian about its class's mean. Each study draws training rows, fits
the predictor of a run (`prediction.predictor.fit`, a pool of one linear head), and counts how many
of 1,000 fresh rows have their class in the set of 90 %. The interval is that of the mean over
studies.

What this cannot show: other data, and other heads. A head that fits few rows more closely has
larger gaps between its folds and itself."""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.core import catalog
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import predictor
from gobelin.prediction.cross_fit import Predict, Training

CLASSES, FRESH, LEVEL = 3, 1000, 0.9
# count of numbers, and the spread of the classes' means
KINDS = ((10, 0.3), (10, 0.6), (40, 0.3), (40, 0.6))


def drawn(
    count: int, kind: tuple[int, float], rng: np.random.Generator
) -> tuple[Embeddings, Target]:
    width, apart = kind
    means = apart * np.random.default_rng(0).standard_normal((CLASSES, width))
    label = rng.integers(0, CLASSES, count)
    label[: CLASSES * 2] = np.resize(np.arange(CLASSES), CLASSES * 2)
    x = (means[label] + rng.standard_normal((count, width))).astype(np.float32)
    names = tuple(f"class {c}" for c in range(CLASSES))
    rows = Embeddings(("x",), {"x": x}, np.ones((count, 1), bool), tuple(map(str, range(count))))
    return rows, Target("class", "class", label, names, np.ones(CLASSES, bool))


def covered(count: int, kind: tuple[int, float], seed: int) -> tuple[float, float]:
    """The share of fresh rows whose class is in its set, and the mean size of a set."""
    rng = numpy_generator(seed, "coverage", count)
    rows, target = drawn(count, kind, rng)
    ids, weights = list(map(str, range(count))), np.ones(count, np.float32)
    training = Training(
        Predict(level=LEVEL), rows, target, np.arange(count), ids, weights, Runtime(seed % 2**31)
    )
    model = predictor.fit("pool", catalog.build("fusion", "pool", {}), training)
    fresh, truth = drawn(FRESH, kind, rng)
    sets = model.predict(fresh).sets
    assert sets is not None
    return float(sets[np.arange(FRESH), truth.values].mean()), float(sets.sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--rows", type=int, nargs="+", default=[50])
    said = parser.parse_args()
    for count, kind in product(said.rows, KINDS):
        found = np.array([covered(count, kind, seed) for seed in range(said.studies)])
        mean, error = found[:, 0].mean(), found[:, 0].std(ddof=1) / np.sqrt(said.studies)
        record.append(
            "coverage",
            {
                "rows": count,
                "numbers": kind[0],
                "apart": kind[1],
                "studies": said.studies,
                "level": LEVEL,
                "covered": round(float(mean), 4),
                "interval": [round(float(mean + k * 1.96 * error), 4) for k in (-1, 1)],
                "classes_a_set": round(float(found[:, 1].mean()), 3),
            },
        )


if __name__ == "__main__":
    main()
