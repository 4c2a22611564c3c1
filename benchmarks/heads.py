"""Heads trained as one batched computation against one at a time, alternating in one process; the ratio is the result.

python benchmarks/heads.py [--heads 35] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.jobs import Job
from gobelin.networks.heads import HeadSettings, train_heads
from gobelin.networks.joins import SideBySide
from gobelin.runtime import Runtime, numpy_generator, silent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=35)
    parser.add_argument("--repeats", type=int, default=3)
    said = parser.parse_args()
    Runtime().resolved()
    rng = numpy_generator(0, "benchmark")
    rows, classes = 1500, 9
    features = [torch.from_numpy(rng.normal(size=(rows, k)).astype(np.float32)) for k in (160, 160, 12)]
    present = torch.from_numpy(rng.random((rows, 3)) < 0.7)
    answers = torch.from_numpy(rng.integers(0, classes, rows))
    jobs = [Job(np.arange(rows), np.ones(rows, np.float32), seed, 1e-3) for seed in range(said.heads)]
    settings = HeadSettings(classes, False, steps=150)
    for hidden in (0, 64):
        join = SideBySide(hidden)

        def together(join: SideBySide = join) -> list[dict[str, torch.Tensor]]:
            return train_heads(join, features, present, answers, jobs, settings, silent)

        def alone(join: SideBySide = join) -> list[dict[str, torch.Tensor]]:
            return [train_heads(join, features, present, answers, [job], settings, silent)[0] for job in jobs]

        times: dict[str, list[float]] = {"together": [], "alone": []}
        results = {}
        for _ in range(said.repeats):
            for name, way in (("together", together), ("alone", alone)):
                results[name], seconds = timed(way)
                times[name].append(seconds)
        ratio = statistics.median(a / t for a, t in zip(times["alone"], times["together"], strict=True))
        apart = max(
            float((one[k] - other[k]).abs().max())
            for one, other in zip(results["together"], results["alone"], strict=True)
            for k in one
        )
        record.append("heads", {"contender": f"hidden {hidden}", "heads": said.heads, "times_faster": round(ratio, 2),
                                "max_difference": apart, "seconds_together": round(min(times["together"]), 2)})  # fmt: skip


def timed(work: Callable[[], list[dict[str, torch.Tensor]]]) -> tuple[list[dict[str, torch.Tensor]], float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


if __name__ == "__main__":
    main()
