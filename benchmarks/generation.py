"""Who makes the best Fashion-MNIST in the same minutes on this machine? One process a contender,
one after the other.

python benchmarks/generation.py [--minutes 10] [--seeds 3] [--contender NAME] [--seed K]

Every contender trains within the budget, then samples for 5 minutes or until 10,000 images. A line
holds its figures at every n of a ladder that it reached, and on top those at its largest; the
README's table compares all at the largest n that every contender reached. The machine's matrix
product is timed before and after; a run during which its rate moved by more than a fifth is
repeated, three times at most. A contender that has its line for this budget, seed and pair of
judges isn't run again."""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import readme
import record
from contenders import CONTENDERS, Sample

from gobelin.core import files, weights
from gobelin.core.machine import Runtime
from gobelin.quality.metrics import coverage, frechet, kernel

MOST, SAMPLING, MOVED, TRIES = 10_000, 300.0, 0.2, 3
SEEDED = ("gobelin gan", "gobelin flow", "gobelin autoregressive")
DRAWN = (
    "gobelin gan",
    "gobelin flow 2",
    "diffusers tuned DPM-Solver 15",
    "DCGAN",
    "diffusers plain DDIM 20",
)
AGAIN, REAL, LADDER = 75, "real test images", (500, 1000, 2000, 5000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of Gobelin's own")
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--alone", type=int, help="run the contender in this very process: which try this is"
    )
    said = parser.parse_args()
    if said.alone:
        contend(said.contender, said.seed or 0, said.minutes, said.alone == TRIES)
        return
    Runtime().resolved()
    if not finished(REAL, 0, 0):
        floor()
    for name in [said.contender] if said.contender else CONTENDERS:
        seeds = range(said.seeds if name in SEEDED else 1) if said.seed is None else [said.seed]
        for seed in [k for k in seeds if not finished(name, k, said.minutes)]:
            for attempt in range(1, TRIES + 1):
                command = [
                    sys.executable,
                    __file__,
                    "--contender",
                    name,
                    "--seed",
                    str(seed),
                    "--minutes",
                    str(said.minutes),
                ]
                done = subprocess.run([*command, "--alone", str(attempt)])
                if done.returncode != AGAIN:
                    done.check_returncode()
                    break
    if not said.contender:
        picture()
    sys.stdout.write(readme.TABLES["generation"]() + "\n")


def contend(name: str, seed: int, minutes: float, last: bool) -> None:
    """Train, sample and measure one contender; append a line for every way in which it samples."""
    before, folder = matmul_rate(), fashion.WORK / f"{name} {seed}"
    shutil.rmtree(folder, ignore_errors=True)
    images, labels = fashion.load("train")
    fitted = CONTENDERS[name](seed).fit(images, labels, minutes, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    drawn = {suffix: draw(sample) for suffix, sample in fitted.samples.items()}
    shutil.rmtree(folder, ignore_errors=True)
    after = matmul_rate()
    if abs(after - before) > MOVED * before and not last:
        raise SystemExit(AGAIN)
    for suffix, (made, asked, seconds) in drawn.items():
        took = {
            "contender": name + suffix,
            "parent": name,
            "seed": seed,
            "minutes": minutes,
            "steps": fitted.steps,
            **measured(images, made, asked),
            "samples_per_s": round(len(made) / seconds, 2),
            "train_images_per_s": round(fitted.images / fitted.seconds, 1),
            "peak_memory_mb": peak,
            "train_seconds": round(fitted.seconds, 1),
            "parameters": fitted.parameters,
            "flops_per_image": fitted.flops,
            "share_of_matmul_rate": round(
                fitted.flops * fitted.images / fitted.seconds / before, 4
            ),
            "matmul_tflops_before": round(before / 1e12, 3),
            "matmul_tflops_after": round(after / 1e12, 3),
            **fitted.notes,
        }
        record.append("generation", took)
        sheet(made, fashion.WORK / f"{name}{suffix} {seed}.png")


def sheet(made: np.ndarray, path: Path) -> None:
    """The first 80 images, a column a class."""
    rows = made[:80].reshape(8, 10, 28, 28).transpose(0, 2, 1, 3).reshape(8 * 28, 10 * 28)
    Image.fromarray(rows).resize((840, 672)).save(path)


def picture() -> None:
    """The first 20 images of five contenders, one below the other, for the README."""
    parts = [Image.open(fashion.WORK / f"{name} 0.png").crop((0, 0, 840, 168)) for name in DRAWN]
    out = Image.new("L", (840, len(parts) * 184 - 16), 255)
    for k, part in enumerate(parts):
        out.paste(part, (0, 184 * k))
    out.save(Path(__file__).parent.parent / "docs" / "images" / "fashion.png", optimize=True)


def floor() -> None:
    """The line of the real test images: what a perfect generator would get."""
    images, labels = fashion.load("t10k")
    row = {"contender": REAL, "parent": REAL, "seed": 0, "minutes": 0}
    record.append("generation", row | measured(fashion.load("train")[0], images, labels))


def measured(train: np.ndarray, made: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """Figures at every n of the ladder; at the top those of the largest."""
    features, classes = fashion.judge("features", 32, 1), fashion.judge("classes", 16, 2)
    real, _ = fashion.read(features, train)
    found, _ = fashion.read(features, made)
    right = fashion.read(classes, made)[1] == asked
    at = {n: figures(real, found[:n], right[:n]) for n in LADDER if n <= len(made)}
    return {"samples": len(made), **at[max(at)], "at": at, "judges": judges()}


def judges() -> str:
    """Names the two judges: figures of other judges can't be compared."""
    return files.fingerprint(
        weights.fingerprint(fashion.judge("features", 32, 1)),
        weights.fingerprint(fashion.judge("classes", 16, 2)),
    )[:12]


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


def finished(name: str, seed: int, minutes: float) -> bool:
    """Whether the results hold this contender's line."""
    wanted = (name, seed, minutes, judges())
    return any(
        (r["parent"], r["seed"], r["minutes"], r["judges"]) == wanted
        for r in record.all_of("generation")
    )


def figures(real: np.ndarray, made: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Distances of `made` to the training images; neighbours among as many real ones."""
    some = real[np.random.default_rng(0).permutation(len(real))[: len(made)]]
    scores = coverage.scores(some, made)
    return {
        "frechet": round(frechet.distance(real, made), 3),
        "kid": round(kernel.distance(some, made).value, 5),
        **{k: round(scores[k].value, 4) for k in ("precision", "recall", "density", "coverage")},
        "class_agreement": round(float(right.mean()), 4),
    }


if __name__ == "__main__":
    main()
