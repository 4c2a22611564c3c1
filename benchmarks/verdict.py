"""All heads of a verdict's study as one batched computation against the same study one head at a
time, in plain torch.

python benchmarks/verdict.py [--resamples 5] [--sample 1] [--threads 0] [--hidden 0 64]

The study: 7 arms (real rows; six with added ones) in 5 resamples of 1,500 training rows; tuning
over 2 ratios, 2 mixes and 2 decays (real rows: 8 decays) with 2 seeds; then 10 seeds of each arm at
what tuning chose by validation loss. Three fields of 160, 160 and 12 components, 9 classes, 30 % of
the cells missing. One at a time is written here with torch's modules, autograd, Adam and cosine,
and shares nothing with `gobelin.networks` but the random streams. `--sample k` trains every k-th
head of it.

Both ways run in turns, a resample each; one at a time has one thread or all, whichever is faster on
a first head. Seconds are of training alone (of a sample, scaled); times_faster is of the clock,
median and range over resamples."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.core.machine import Runtime, generator, numpy_generator, silent
from gobelin.prediction.heads.batched import train_heads
from gobelin.prediction.heads.draws import HeadSettings
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import SideBySide

REAL, ARMS, CLASSES, WIDTHS = 1500, 7, 9, (160, 160, 12)
RATIOS, MIXES, DECAYS, TUNING_SEEDS, SEEDS = (0.25, 1.0), (0.25, 1.0), (1e-3, 1e-2), 2, 10
Choice = tuple[float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--resamples", type=int, default=5)
    parser.add_argument(
        "--sample",
        type=int,
        default=1,
        help="One at a time, train every k-th head; its time is scaled.",
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--hidden",
        type=int,
        nargs="*",
        default=[0, 64],
        help="Widths of the hidden layer, 0: linear.",
    )
    said = parser.parse_args()
    threads = Runtime(threads=said.threads).resolved().threads
    for hidden in said.hidden:
        measure(hidden, said.resamples, said.sample, threads)


@dataclass(frozen=True)
class Study:
    """One resample. features [N, K_f], present [N, F], answers [N]: the real rows, then each arm's
    added ones; then as many validation rows as real ones."""

    features: list[torch.Tensor]
    present: torch.Tensor
    answers: torch.Tensor
    rows: dict[tuple[int, float], np.ndarray]
    valid: torch.Tensor

    @staticmethod
    def drawn(resample: int) -> Study:
        """A linear answer with noise; an added row is a real one that is moved, its missing cells
        kept."""
        rng = numpy_generator(resample, "verdict")
        first = [rng.normal(size=(2 * REAL, k)) * np.geomspace(1, 0.1, k) for k in WIDTHS]
        maps = [rng.normal(size=(k, CLASSES)) for k in WIDTHS]
        label = (
            sum(f @ m for f, m in zip(first, maps, strict=True))
            + 2 * rng.gumbel(size=(2 * REAL, CLASSES))
        ).argmax(1)
        there = rng.random((2 * REAL, len(WIDTHS))) >= 0.3
        drawn = rng.integers(0, REAL, REAL)  # the resample of the training rows
        parents = [drawn[rng.permutation(REAL)] for _ in range(ARMS - 1)]
        whole = np.concatenate([drawn, *parents, np.arange(REAL, 2 * REAL)])
        moved = [f[whole] for f in first]
        for f in moved:
            made = slice(REAL, ARMS * REAL)
            f[made] += 0.5 * f.std() * rng.normal(size=f[made].shape)
        rows = {(0, 0.0): np.arange(REAL)}
        for arm, ratio in product(range(1, ARMS), RATIOS):
            rows[arm, ratio] = np.concatenate(
                [np.arange(REAL), arm * REAL + np.arange(round(ratio * REAL))]
            )
        features = [
            torch.from_numpy((f / f.std() / f.shape[1] ** 0.5).astype(np.float32)) for f in moved
        ]
        return Study(
            features,
            torch.from_numpy(there[whole]),
            torch.from_numpy(label[whole]),
            rows,
            torch.arange(ARMS * REAL, (ARMS + 1) * REAL),
        )

    def job(self, arm: int, choice: Choice, seed: int) -> Job:
        ratio, mix, decay = choice
        rows = self.rows[arm, ratio]
        weights = np.where(rows < REAL, 1.0, mix)
        return Job(rows, (weights / weights.mean()).astype(np.float32), seed, decay)

    def tuning(self) -> list[tuple[int, Choice, int]]:
        real = [
            (0, (0.0, 1.0, float(d)), s)
            for d in np.geomspace(min(DECAYS) / 3, max(DECAYS) * 3, 8)
            for s in range(TUNING_SEEDS)
        ]
        choices = product(range(1, ARMS), product(RATIOS, MIXES, DECAYS), range(TUNING_SEEDS))
        return real + [(arm, choice, s) for arm, choice, s in choices]

    def probabilities(self, head: dict[str, torch.Tensor]) -> torch.Tensor:
        """float64 [validation rows, C], of the weights as `train_heads` names them."""
        there = self.present[self.valid].double()
        x = [f[self.valid].double() * there[:, [k]] for k, f in enumerate(self.features)]
        out = torch.cat([*x, there], 1) @ head["map1"].double() + head["bias1"].double()
        if "map2" in head:
            out = nn.functional.gelu(out) @ head["map2"].double() + head["bias2"].double()
        return out.softmax(1)

    def loss(self, head: dict[str, torch.Tensor]) -> float:
        p = self.probabilities(head)
        return float(-p.gather(1, self.answers[self.valid][:, None]).log().mean())


def alone(study: Study, job: Job, settings: HeadSettings, hidden: int) -> dict[str, torch.Tensor]:
    """One head as a user would train it."""
    widths, rows, share = (
        torch.tensor(WIDTHS),
        torch.from_numpy(job.rows),
        torch.from_numpy(job.weights),
    )
    x = torch.cat(study.features, 1)
    first = nn.Linear(x.shape[1] + len(WIDTHS), hidden or CLASSES)
    model = nn.Sequential(first, nn.GELU(), nn.Linear(hidden, CLASSES)) if hidden else first
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for k, layer in enumerate(layers, 1):
            start = torch.randn(
                layer.in_features, layer.out_features, generator=generator(job.seed, "weights", k)
            )
            layer.weight.copy_((start * (0.5 / layer.in_features**0.5)).T)
            layer.bias.zero_()
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    epochs = range(-(-settings.steps * settings.batch // len(rows)))
    order = torch.cat(
        [torch.randperm(len(rows), generator=generator(job.seed, "order", e)) for e in epochs]
    )
    for step, places in enumerate(order.split(settings.batch)[: settings.steps]):
        batch = rows[places]
        there = study.present[batch]
        chance = torch.rand(there.shape, generator=generator(job.seed, "dropout", step))
        kept = there & (chance >= settings.dropout)
        last = (
            nn.functional.one_hot(chance.masked_fill(~there, -1).argmax(1), len(WIDTHS)).bool()
            & there
        )
        shown = torch.where(kept.any(1, keepdim=True), kept, last).float()
        scores = model(torch.cat([x[batch] * shown.repeat_interleave(widths, 1), shown], 1))
        loss = (
            nn.functional.cross_entropy(scores, study.answers[batch], reduction="none")
            * share[places]
        ).mean()
        loss = loss + job.decay * sum((layer.weight**2).sum() for layer in layers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    maps = {f"map{k}": layer.weight.detach().T for k, layer in enumerate(layers, 1)}
    return maps | {f"bias{k}": layer.bias.detach() for k, layer in enumerate(layers, 1)}


def one_by_one(
    study: Study, jobs: Sequence[Job], settings: HeadSettings, hidden: int
) -> list[dict[str, torch.Tensor]]:
    return [alone(study, job, settings, hidden) for job in jobs]


def together(
    study: Study, jobs: Sequence[Job], settings: HeadSettings, hidden: int
) -> list[dict[str, torch.Tensor]]:
    return train_heads(
        SideBySide(hidden), study.features, study.present, study.answers, jobs, settings, silent
    )


def tuned(study: Study, heads: Sequence[dict[str, torch.Tensor]]) -> list[Job]:
    """The last trainings: every arm at its choice with the smallest validation loss, means over the
    tuning seeds."""
    losses: dict[tuple[int, Choice], list[float]] = {}
    for (arm, choice, _), head in zip(study.tuning(), heads, strict=True):
        losses.setdefault((arm, choice), []).append(study.loss(head))
    best = [
        min((np.mean(v), choice) for (a, choice), v in losses.items() if a == arm)[1]
        for arm in range(ARMS)
    ]
    return [study.job(arm, best[arm], s) for arm in range(ARMS) for s in range(SEEDS)]


def clocked(work: Callable[[], Any]) -> tuple[Any, np.ndarray]:
    """What it gives, and the seconds of the clock and of the processor."""
    start = np.array([time.perf_counter(), time.process_time()])
    return work(), np.array([time.perf_counter(), time.process_time()]) - start


def measure(hidden: int, resamples: int, sample: int, threads: int) -> None:
    settings = HeadSettings(CLASSES, False)
    few = replace(settings, steps=20)
    first = Study.drawn(0)
    jobs = [first.job(0, (0.0, 1.0, 1e-3), 0)]
    together(first, jobs, few, hidden)
    speeds = {}
    for count in dict.fromkeys([1, threads]):
        torch.set_num_threads(count)
        speeds[count] = min(
            float(clocked(partial(one_by_one, first, jobs, few, hidden))[1][0]) for _ in range(5)
        )
    best = min(speeds, key=lambda count: speeds[count])
    seconds: dict[str, list[np.ndarray]] = {"together": [], "one at a time": []}
    difference, unlike, trained, total = 0.0, 0, 0, 0
    for r in range(resamples):
        study = Study.drawn(r)
        tuning = [study.job(*one) for one in study.tuning()]
        torch.set_num_threads(threads)
        begun, begin = clocked(partial(together, study, tuning, settings, hidden))
        last = tuned(study, begun)
        ended, end = clocked(partial(together, study, last, settings, hidden))
        seconds["together"].append(begin + end)
        some = range(r % sample, len(tuning) + len(last), sample)
        torch.set_num_threads(best)
        plain, took = clocked(
            partial(one_by_one, study, [[*tuning, *last][k] for k in some], settings, hidden)
        )
        seconds["one at a time"].append(took * (len(tuning) + len(last)) / len(some))
        for k, head in zip(some, plain, strict=True):
            p, q = study.probabilities([*begun, *ended][k]), study.probabilities(head)
            difference = max(difference, float((p - q).abs().max()))
            two = q.topk(2, 1).values
            unlike += int(((p.argmax(1) != q.argmax(1)) & (two[:, 0] - two[:, 1] >= 1e-3)).sum())
        trained, total = trained + len(some), total + len(tuning) + len(last)
    faster = [
        a[0] / b[0] for a, b in zip(seconds["one at a time"], seconds["together"], strict=True)
    ]
    for way, each in seconds.items():
        wall, processor = sum(each).round(1).tolist()
        record.append(
            "verdict",
            {
                "head": f"hidden {hidden}" if hidden else "linear",
                "way": way,
                "heads": total,
                "heads_trained": total if way == "together" else trained,
                "seconds": wall,
                "processor_seconds": processor,
                "threads": threads if way == "together" else best,
                "max_difference": difference,
                "labels_that_differ": unlike,
                "times_faster": {
                    k: round(float(f(faster)), 2)
                    for k, f in (("median", statistics.median), ("lowest", min), ("highest", max))
                },
            },
        )


if __name__ == "__main__":
    main()
