"""What differential privacy costs: images of both private generators at epsilon 1, 3, 10 and
without noise.

python benchmarks/privacy.py [--seeds 3] [--set fashion] [--generator private_flow]

Two sets: scikit-learn's digits (1,200 images to learn from, 597 held out), and Fashion-MNIST (3,000
and 2,000 of its training images). For each generator, epsilon and seed a line: the accuracy of a
logistic regression that is trained on generated images alone and reads real held-out ones; how far
generated images are from these (energy distance of coarse cells); the verdict of a study in which
the generated images are added to the real ones, for the same regression; and what the membership
audit says. The first two for the real training images stand beside it. Settings are the defaults
but for the count of steps; none is chosen on the held-out images. A cell that is on file with its
verdict is not run again."""

from __future__ import annotations

import argparse
import functools
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import readme
import record
from membership import figures, of

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.evidence import intervals
from gobelin.evidence.comparison import compare
from gobelin.evidence.verdict import verdict
from gobelin.generation.fitting import Learned, from_seed
from gobelin.generation.generators import Context, Controls, ImageRows, Sampler
from gobelin.generation.private_descent import NoisyDescent, slots_in
from gobelin.generation.private_training import Released
from gobelin.networks.class_velocity import ClassVelocity, learn_means
from gobelin.networks.training.watching import cells, energy
from gobelin.privacy.audits import AuditInput
from gobelin.privacy.guarantee import Guarantee

RUNTIME = Runtime(device="cpu", precision="float32", threads=1)
EPSILONS = (1.0, 3.0, 10.0, math.inf)
EACH = 150  # generated images a class
LEARNED, JUDGED = 3000, 2000  # of Fashion-MNIST
STEPS = {  # {generator: {set: steps}}, so that all cells take half an hour of one core
    "private_means": {"digits": 150, "fashion": 60},
    "private_flow": {"digits": 60, "fashion": 40},
}
EXCHANGES = 1000  # behind the p value of the audit
Rows = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W, 1], int64 [N]


def digits() -> tuple[Rows, Rows]:
    """1,200 to learn from and 597 held out, each pixel drawn as 2 x 2."""
    data = load_digits()
    images = (data.images * 255 / 16).astype(np.uint8).repeat(2, 1).repeat(2, 2)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target.astype(np.int64)[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def clothes() -> tuple[Rows, Rows]:
    """Some training images of Fashion-MNIST, and others."""
    images, labels = fashion.load("train")
    order = np.random.default_rng(0).permutation(len(images))
    some, others = order[:LEARNED], order[LEARNED : LEARNED + JUDGED]
    return (images[some], labels[some]), (images[others], labels[others])


SETS = {"digits": digits, "fashion": clothes}


def without_noise(name: str, component: Any, rows: ImageRows, context: Context) -> Sampler:
    """The generator trained with the same code and no noise, which the component itself always
    has."""
    learned, seed = Learned.of(name, rows), context.runtime.seed
    promise = Guarantee(math.inf, 0.0, "row", 0.0, "no noise")
    if name == "private_means":
        embedding = component.embedding(learned, seed)
        target = rows.condition.target.numpy()
        means = embedding.means(embedding.sums(rows.images, target, np.ones(len(rows))))
        return component.trained(learned, embedding, means, promise, context)
    central = component.released(learned, rows, 1e-12)
    facts = Released(learned, tuple(map(float, central[:, -1])), promise)
    shape = (component.patch, component.width, component.depth, component.heads)
    network = from_seed(seed, name, lambda: ClassVelocity(learned.size, 10, *shape))
    rate = min(1.0, component.batch / len(rows))
    slots = slots_in(rows, learned)
    task = NoisyDescent(component, network, rows, slots, rate, 0.0, context.runtime)
    network.centre_on(central[:, :-1], central[:, -1])
    before = round(component.warmup * context.steps)
    learn_means(network, before, component.rate, component.whole, seed)
    return component.trained(task, facts, "no noise", context)


def generated(name: str, train: Rows, epsilon: float, seed: int, steps: int) -> tuple[Any, Sampler]:
    """EACH images of every class, and the sampler."""
    images, labels = train
    limit = 100.0 if math.isinf(epsilon) else epsilon
    component = catalog.build("generators", name, {"dp": {"epsilon": limit}})
    rows = ImageRows(images, fashion.asked(labels), tuple(map(str, range(10))))
    asked = np.repeat(np.arange(10), EACH)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(replace(RUNTIME, seed=seed), Path(folder), steps)
        if math.isinf(epsilon):
            sampler = without_noise(name, component, rows, context)
        else:
            sampler = component.fit(rows, rows.first(0), context)
        drawn = sampler.sample(fashion.asked(asked), range(len(asked)), Controls(batch=250))
        return (np.concatenate(list(drawn)), asked), sampler


def read_right(train: Rows, held: Rows) -> np.ndarray:
    """bool [n]: which held-out images a logistic regression on the pixels reads right."""
    flat = [images.reshape(len(images), -1) / 255 for images, _ in (train, held)]
    model = LogisticRegression(C=0.05, max_iter=300).fit(flat[0], train[1])
    return model.predict(flat[1]) == held[1]


def line(name: str, train: Rows, held: Rows) -> dict[str, Any]:
    """The figures of some images to learn from, real or generated."""
    right = read_right(train, held)
    sure = intervals.wilson(int(right.sum()), len(right))
    figure = {"value": sure.value, "low": sure.low, "high": sure.high, "n": len(right)}
    distance = energy(cells(train[0][:: max(1, len(train[0]) // 1000)]), cells(held[0][:1000]))
    return {
        "set": name,
        "images": len(train[0]),
        "accuracy": figure,
        "distance": round(distance, 4),
    }


@functools.cache
def read_after_real(name: str) -> np.ndarray:
    """bool [n]: the same by a regression that learned from the real images of a set alone."""
    return read_right(*SETS[name]())


def helped(name: str, made: Rows) -> dict[str, Any]:
    """The verdict on generated images that are added to the real ones, against real ones alone."""
    train, held = SETS[name]()
    both = np.concatenate([train[0], made[0]]), np.concatenate([train[1], made[1]])
    alone, added = read_after_real(name), read_right(both, held)
    difference = compare(alone.astype(float), added.astype(float), metric="accuracy")
    ends = (difference.value, difference.low, difference.high)
    return {"verdict": verdict(difference).word, "difference": [round(end, 4) for end in ends]}


def audited(made: Rows, sampler: Sampler, train: Rows, held: Rows) -> dict[str, Any]:
    """What the membership audit finds: by distance, and by loss where the sampler has one."""

    def losses() -> tuple[np.ndarray, np.ndarray]:
        each = [ImageRows(images, fashion.asked(labels)) for images, labels in (train, held)]
        first, second = (sampler.row_loss(rows, draws=1).numpy() for rows in each)
        return first, second

    knows = hasattr(sampler, "row_loss")
    images = AuditInput(
        train=train[0],
        holdout=held[0],
        generated=made[0],
        planted={},
        spaces={"cells": cells},
        train_ids=tuple(map(str, range(len(train[0])))),
        generated_ids=tuple(map(str, range(len(made[0])))),
        exchangeable="random split",
        row_losses=losses if knows else None,
    )
    result = catalog.build("audits", "membership", {"exchanges": EXCHANGES}).run(images)
    attacks = ("distance", "loss") if knows else ("distance",)
    scope = {"false alarms": "1 %"}
    found = [of(result, "members_found", attack=name, **scope) for name in attacks]
    bounds = [of(result, "epsilon_at_least", attack=name).value or 0.0 for name in attacks]
    worst = max(found, key=lambda f: f.value or 0.0)
    control = of(result, "members_found", control="over-fitted on the same rows", **scope)
    return {
        "members_found": figures(worst),
        "epsilon_at_least": round(max(bounds), 3),
        "control_found": figures(control),
        "membership": result.findings[0].verdict,
    }


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a cell on file is known by."""
    return tuple(row.get(key) for key in ("set", "generator", "epsilon", "seed", "steps"))


def cell(name: str, generator: str, epsilon: float, seed: int) -> None:
    """One line of results, if it is not on file."""
    steps = STEPS[generator][name]
    shown = "no noise" if math.isinf(epsilon) else f"{epsilon:g}"
    known = {"set": name, "generator": generator, "epsilon": shown, "seed": seed, "steps": steps}
    if key_of(known) in {key_of(row) for row in record.all_of("privacy") if "verdict" in row}:
        return
    start = time.process_time()
    train, held = SETS[name]()
    made, sampler = generated(generator, train, epsilon, seed, steps)
    spent = {"cpu_seconds": round(time.process_time() - start, 1), "noise": sampler.promise.noise}
    told = line(name, made, held) | helped(name, made)
    told |= audited(made, sampler, train, held)
    record.append("privacy", known | {"rows": len(train[0])} | told | spent)


def real(name: str) -> None:
    """The line of the real images."""
    known = {"set": name, "generator": "real images", "epsilon": "", "seed": 0, "steps": None}
    if key_of(known) not in {key_of(row) for row in record.all_of("privacy")}:
        train, held = SETS[name]()
        record.append("privacy", known | {"rows": len(train[0])} | line(name, train, held))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", choices=SETS)
    parser.add_argument("--generator", choices=STEPS)
    said = parser.parse_args()
    RUNTIME.apply()
    for seed in range(said.seeds):
        for name in [said.set] if said.set else SETS:
            real(name)
            for generator in [said.generator] if said.generator else STEPS:
                for epsilon in EPSILONS:
                    cell(name, generator, epsilon, seed)
    sys.stdout.write(readme.TABLES["privacy"]() + "\n")


if __name__ == "__main__":
    main()
