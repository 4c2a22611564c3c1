"""Are the measures of quality as exact as the published tools, and how fast, in how much memory?
Features in, numbers out.

python benchmarks/metrics.py [--rows 10000] [--width 1280] [--rounds 3] [--metric coverage] [--shape
rectified]

Each call has a process of its own, tools in turn within a round, the median over rounds counts.
Seconds are of the call alone; memory is what the call added at its peak to what the process and its
features took. `difference` is the largest relative one between Gobelin's figures and the tool's.
Rows: 40 directions and noise, behind a rectifier as features are (`rectified`), or white noise,
where distances are hardest to tell apart (`white`)."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record
import reference_metrics as theirs

from gobelin.quality.metrics import coverage, frechet, kernel

NEAREST, SUBSETS, SIZE = 5, 100, 1000
OURS = "gobelin"
Figures = dict[str, float]


def rows(n: int, width: int, shape: str, made: bool) -> np.ndarray:
    """float32 [n, width]."""
    rng = np.random.default_rng(1 + made)
    noise = rng.normal(size=(n, width)).astype(np.float32)
    if shape == "white":
        return noise + np.float32(0.01 * made)
    directions = np.random.default_rng(0).normal(size=(40, width)).astype(np.float32) / np.float32(
        6
    )
    spread = np.float32(1.1 if made else 1)
    return np.maximum(
        rng.normal(size=(n, 40)).astype(np.float32) * spread @ directions + 0.3 * noise + 0.2, 0
    )


def of_coverage(x: np.ndarray, y: np.ndarray) -> Figures:
    return {name: found.value for name, found in coverage.scores(x, y, NEAREST).items()}


def of_kernel(x: np.ndarray, y: np.ndarray) -> Figures:
    found = kernel.of_subsets(x, y, SUBSETS, min(SIZE, len(x)))
    return {"mean": float(found.mean()), "deviation": float(found.std())}


def their_kernel(x: np.ndarray, y: np.ndarray) -> Figures:
    return dict(
        zip(("mean", "deviation"), theirs.kernel(x, y, SUBSETS, min(SIZE, len(x))), strict=True)
    )


# Each metric's tools, and whether a tool adds in the type of its features and so is given float64
# ones.
CALLS: dict[str, dict[str, tuple[Callable[[Any, Any], Figures], bool]]] = {
    "coverage": {
        OURS: (of_coverage, False),
        "prdc": (lambda x, y: theirs.coverage(x, y, NEAREST), False),
        "torch-fidelity": (lambda x, y: theirs.precision_recall(x, y, NEAREST), False),
    },
    "frechet": {
        OURS: (lambda x, y: {"distance": frechet.distance(x, y)}, False),
        "torch-fidelity": (lambda x, y: {"distance": theirs.frechet(x, y)}, True),
        "scipy sqrtm": (
            lambda x, y: {"distance": theirs.frechet_by_root(theirs.moments(x), theirs.moments(y))},
            False,
        ),
    },
    "frechet of covariances": {
        OURS: (lambda x, y: {"distance": frechet.gaussians(*x, *y)}, False),
        "torch-fidelity": (lambda x, y: {"distance": theirs.frechet_of_moments(x, y)}, False),
        "scipy sqrtm": (lambda x, y: {"distance": theirs.frechet_by_root(x, y)}, False),
    },
    "kernel": {OURS: (of_kernel, False), "torch-fidelity": (their_kernel, True)},
}

GIVEN: dict[str, Callable[[np.ndarray], Any]] = {
    "frechet of covariances": theirs.moments
}  # before the clock runs, of rows


def alone(metric: str, tool: str, n: int, width: int, shape: str) -> None:
    """One call in this very process; one JSON line."""
    call, wide = CALLS[metric][tool]
    given = GIVEN.get(metric, lambda z: z.astype(np.float64 if wide else np.float32))
    call(
        *(given(rows(300, 16, shape, made)) for made in (False, True))
    )  # imports, and whatever a first call sets up
    x, y = (given(rows(n, width, shape, made)) for made in (False, True))
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="ascii"
    )  # the peak starts again from here
    before, start = memory("VmRSS"), time.perf_counter()
    figures = call(x, y)
    seconds = time.perf_counter() - start
    said = {
        "seconds": seconds,
        "mb": memory("VmHWM") - before,
        "figures": {k: float(v) for k, v in figures.items()},
    }
    sys.stdout.write(json.dumps(said) + "\n")


def memory(name: str) -> float:
    """MB, from the kernel's own count for this process."""
    line = next(
        x
        for x in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if x.startswith(name)
    )
    return int(line.split()[1]) / 1024


def measure(metric: str, n: int, width: int, shape: str, rounds: int) -> None:
    found: dict[str, list[dict]] = {tool: [] for tool in CALLS[metric]}
    for _ in range(rounds):
        for tool, said in found.items():
            command = [
                sys.executable,
                __file__,
                "--metric",
                metric,
                "--alone",
                tool,
                "--rows",
                str(n),
                "--width",
                str(width),
            ]
            done = subprocess.run(
                [*command, "--shape", shape], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{metric}, {tool}:\n{done.stderr[-2000:]}")
            said.append(json.loads(done.stdout.splitlines()[-1]))
    ours = found[OURS][0]["figures"]
    middle = {
        tool: statistics.median(one["seconds"] for one in said) for tool, said in found.items()
    }
    most = {tool: max(one["mb"] for one in said) for tool, said in found.items()}
    for tool, said in found.items():
        other = said[0]["figures"]
        differences = [abs(ours[k] - v) / max(abs(v), 1e-12) for k, v in other.items()]
        record.append(
            "metrics",
            {
                "contender": f"{metric}, {shape}, {tool}",
                "metric": metric,
                "shape": shape,
                "tool": tool,
                "rows": n,
                "width": width,
                "rounds": rounds,
                "seconds": round(middle[tool], 3),
                "times_gobelin": round(middle[tool] / middle[OURS], 2),
                "peak_mb": round(most[tool], 1),
                "memory_times_gobelin": round(most[tool] / max(most[OURS], 0.1), 2),
                "difference": max(differences),
                "figures": other,
            },
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--metric", choices=CALLS)
    parser.add_argument("--shape", choices=("rectified", "white"), default="rectified")
    parser.add_argument("--alone", help="call this tool once in this very process")
    said = parser.parse_args()
    if said.alone:
        alone(said.metric, said.alone, said.rows, said.width, said.shape)
        return
    for metric in [said.metric] if said.metric else CALLS:
        measure(metric, said.rows, said.width, said.shape, said.rounds)


if __name__ == "__main__":
    main()
