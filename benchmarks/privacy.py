"""What differential privacy costs: images of `private_means` at epsilon 1, 3, 10 and without noise.

python benchmarks/privacy.py [--rows 3000] [--steps 400] [--seeds 1] [--set fashion]

Two sets: scikit-learn's digits, and Fashion-MNIST (--rows of its training images). For each epsilon
a line a seed: the accuracy of a logistic regression that is trained on generated images alone and
reads real held-out ones, and how far generated images are from these (energy distance of coarse
cells). The same two for the real training images stand beside it. Settings are the defaults; none
is chosen on the held-out images."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import readme
import record

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.evidence import intervals
from gobelin.generation.fitting import Learned
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.networks.watching import cells, energy
from gobelin.privacy.guarantee import Guarantee

RUNTIME = Runtime(device="cpu", precision="float32", threads=1)
EPSILONS = (1.0, 3.0, 10.0, math.inf)
EACH = 150  # generated images a class
JUDGED = 2000  # held-out images, at most
Rows = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W, 1], int64 [N]


def digits(_: int) -> tuple[Rows, Rows]:
    """1,200 to learn from and 597 held out, each pixel drawn as 2 x 2."""
    data = load_digits()
    images = (data.images * 255 / 16).astype(np.uint8).repeat(2, 1).repeat(2, 2)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target.astype(np.int64)[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def clothes(rows: int) -> tuple[Rows, Rows]:
    """Some training images of Fashion-MNIST, and the first test images."""
    images, labels = fashion.load("train")
    some = np.random.default_rng(0).permutation(len(images))[:rows]
    held = fashion.load("t10k")
    return (images[some], labels[some]), (held[0][:JUDGED], held[1][:JUDGED])


SETS = {"digits": digits, "fashion": clothes}


def generated(train: Rows, epsilon: float, seed: int, steps: int) -> tuple[np.ndarray, float]:
    """EACH images of every class, and the deviation of the noise."""
    images, labels = train
    limit = 100.0 if math.isinf(epsilon) else epsilon
    component = catalog.build("generators", "private_means", {"dp": {"epsilon": limit}})
    rows = ImageRows(images, fashion.asked(labels), tuple(map(str, range(10))))
    asked = np.repeat(np.arange(10), EACH)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(replace(RUNTIME, seed=seed), Path(folder), steps)
        if math.isinf(epsilon):  # the component itself has noise always
            learned = Learned.of("private_means", rows)
            embedding = component.embedding(learned, seed)
            means = embedding.means(embedding.sums(images, labels, np.ones(len(images))))
            promise = Guarantee(epsilon, 0.0, "row", 0.0, "no noise")
            sampler = component.trained(learned, embedding, means, promise, context)
        else:
            sampler = component.fit(rows, rows.first(0), context)
        drawn = sampler.sample(fashion.asked(asked), range(len(asked)), Controls(batch=250))
        return np.concatenate(list(drawn)), sampler.promise.noise


def read_right(train: Rows, held: Rows) -> np.ndarray:
    """bool [n]: which held-out images a logistic regression on the pixels reads right."""
    flat = [images.reshape(len(images), -1) / 255 for images, _ in (train, held)]
    model = LogisticRegression(C=0.05, max_iter=300).fit(flat[0], train[1])
    return model.predict(flat[1]) == held[1]


def line(name: str, epsilon: str, train: Rows, held: Rows) -> dict[str, object]:
    """The figures of some images to learn from, real or generated."""
    right = read_right(train, held)
    sure = intervals.wilson(int(right.sum()), len(right))
    figure = {"value": sure.value, "low": sure.low, "high": sure.high, "n": len(right)}
    distance = energy(cells(train[0][:: max(1, len(train[0]) // 1000)]), cells(held[0][:1000]))
    return {
        "set": name,
        "epsilon": epsilon,
        "contender": f"{name} {epsilon}",
        "images": len(train[0]),
        "accuracy": figure,
        "distance": round(distance, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3000, help="of Fashion-MNIST")
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", choices=SETS)
    said = parser.parse_args()
    RUNTIME.apply()
    for name in [said.set] if said.set else SETS:
        train, held = SETS[name](said.rows)
        record.append("privacy", line(name, "real images", train, held) | {"rows": len(train[0])})
        for seed in range(said.seeds):
            for epsilon in EPSILONS:
                start = time.perf_counter()
                images, noise = generated(train, epsilon, seed, said.steps)
                made = images, np.repeat(np.arange(10), EACH)
                shown = "no noise" if math.isinf(epsilon) else f"{epsilon:g}"
                told = {"seed": seed, "rows": len(train[0]), "steps": said.steps, "noise": noise}
                told["seconds"] = round(time.perf_counter() - start, 1)
                record.append("privacy", line(name, shown, made, held) | told)
    sys.stdout.write(readme.privacy() + "\n")


if __name__ == "__main__":
    main()
