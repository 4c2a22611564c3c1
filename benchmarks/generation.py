"""Who makes the best Fashion-MNIST in the same minutes on this machine? One process a contender, one after the other.

python benchmarks/generation.py [--minutes 10] [--seeds 3] [--contender NAME] [--seed K]

Every contender trains within the budget, then samples for 5 minutes or until 10,000 images; all distances are those of the
first n images of each, n the fewest that any contender reached. The machine's matrix product is timed before and after; a
run during which its rate moved by more than a fifth is repeated, three times at most. A contender that has its line for
this budget and seed is not run again. Features lie in benchmarks/work, lines in benchmarks/results/generation.jsonl.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import record
from contenders import BATCH, CONTENDERS, Sample

from gobelin.metrics import coverage, frechet, kernel
from gobelin.runtime import Runtime

MOST, SAMPLING, MOVED, TRIES = 10_000, 300.0, 0.2, 3
SEEDED = ("gobelin gan", "gobelin flow", "gobelin autoregressive", "DCGAN")
RESULTS = fashion.WORK / "features"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of Gobelin's own and of the DCGAN")
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--alone", action="store_true", help="run the contender in this very process")
    said = parser.parse_args()
    if said.alone:
        contend(said.contender, said.seed or 0, said.minutes)
        return
    Runtime().resolved()
    fashion.judge("features", 32, 1), fashion.judge("classes", 16, 2)
    for name in [said.contender] if said.contender else CONTENDERS:
        seeds = range(said.seeds if name in SEEDED else 1) if said.seed is None else [said.seed]
        for seed in seeds:
            for _ in range(TRIES):
                if finished(name, seed, said.minutes):
                    break
                command = [sys.executable, __file__, "--alone", "--contender", name, "--seed", str(seed)]
                subprocess.run([*command, "--minutes", str(said.minutes)], check=True)
    compare(said.minutes)


def contend(name: str, seed: int, minutes: float) -> None:
    """Train and sample one contender; leave the features of its images and what it took in RESULTS."""
    before, folder = matmul_rate(), fashion.WORK / f"{name} {seed}"
    shutil.rmtree(folder, ignore_errors=True)
    images, labels = fashion.load("train")
    fitted = CONTENDERS[name](seed).fit(images, labels, minutes, folder)
    trained_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    drawn = {suffix: draw(sample) for suffix, sample in fitted.samples.items()}
    after = matmul_rate()
    for suffix, (made, asked, seconds) in drawn.items():
        features, _ = fashion.read(fashion.judge("features", 32, 1), made)
        _, classes = fashion.read(fashion.judge("classes", 16, 2), made)
        took = {
            "contender": name + suffix, "parent": name, "seed": seed, "minutes": minutes, "steps": fitted.steps,
            "parameters": fitted.parameters, "train_seconds": round(fitted.seconds, 1), "samples": len(made),
            "samples_per_s": round(len(made) / seconds, 2), "train_images_per_s": round(fitted.images / fitted.seconds, 1),
            "flops_per_image": fitted.flops, "peak_memory_mb": trained_mb,
            "share_of_matmul_rate": round(fitted.flops * fitted.images / fitted.seconds / before, 4),
            "matmul_tflops_before": round(before / 1e12, 3), "matmul_tflops_after": round(after / 1e12, 3), **fitted.notes,
        }  # fmt: skip
        path = RESULTS / f"{name}{suffix} {seed}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, features=features, right=classes == asked, sheet=made[:BATCH], took=json.dumps(took))
        sys.stdout.write(json.dumps(took) + "\n")
    shutil.rmtree(folder, ignore_errors=True)


def draw(sample: Sample) -> tuple[np.ndarray, np.ndarray, float]:
    """Images, the classes that were asked for (in turn), and the seconds that they took."""
    asked, made, start = np.arange(MOST) % len(fashion.CLASSES), [], time.perf_counter()
    for block in sample(asked):
        made.append(block)
        if time.perf_counter() - start > SAMPLING:
            break
    images = np.concatenate(made)
    return images, asked[: len(images)], time.perf_counter() - start


def matmul_rate(size: int = 2048, seconds: float = 3.0) -> float:
    """Operations a second of a bfloat16 product here: the median of a few seconds."""
    a, spent, begun = torch.ones(size, size, dtype=torch.bfloat16), [], time.perf_counter()
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        _ = a @ a
        spent.append(time.perf_counter() - start)
    return 2 * size**3 / sorted(spent)[len(spent) // 2]


def kept(minutes: float) -> dict[str, tuple[dict[str, Any], Path]]:
    """What was run with this budget: what it took, and its features, by file name."""
    out = {}
    for path in sorted(RESULTS.glob("*.npz")):
        took = json.loads(str(np.load(path)["took"]))
        if took["minutes"] == minutes:
            out[path.stem] = (took, path)
    return out


def finished(name: str, seed: int, minutes: float) -> bool:
    """Whether there is a run during which the machine held its pace."""
    for took, _ in kept(minutes).values():
        if (took["parent"], took["seed"]) == (name, seed):
            before, after = took["matmul_tflops_before"], took["matmul_tflops_after"]
            return abs(after - before) <= MOVED * before
    return False


def compare(minutes: float) -> None:
    """A line a contender, all at the n of the one with the fewest images, and the real floor's."""
    runs = kept(minutes)
    n = min(took["samples"] for took, _ in runs.values())
    judge = fashion.judge("features", 32, 1)
    real, _ = fashion.read(judge, fashion.load("train")[0])
    test, _ = fashion.read(judge, fashion.load("t10k")[0])
    _, read = fashion.read(fashion.judge("classes", 16, 2), fashion.load("t10k")[0])
    right = read == fashion.load("t10k")[1]
    floor = {"contender": "real test images", "minutes": minutes, "seed": 0, "samples": len(test)}
    record.append("generation", floor | figures(real, test[:n], right) | {"compared": n})
    for took, path in runs.values():
        saved = np.load(path)
        record.append("generation", took | figures(real, saved["features"][:n], saved["right"]) | {"compared": n})


def figures(real: np.ndarray, made: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Distances of `made` to the training images; agreement over all the images made. Neighbours among as many real ones."""
    some = real[np.random.default_rng(0).permutation(len(real))[: len(made)]]
    scores = coverage.scores(some, made)
    return {
        "frechet": round(frechet.distance(real, made), 3), "kid": round(kernel.distance(some, made).value, 5),
        **{k: round(scores[k].value, 4) for k in ("precision", "recall", "density", "coverage")},
        "class_agreement": round(float(right.mean()), 4),
    }  # fmt: skip


if __name__ == "__main__":
    main()
