"""Processor time of `fit` on some 180 rows of five fields, alone and beside a busy neighbour.

python benchmarks/fit_cost.py --keep FOLDER [--repeats 3]

The rows are units of a game: picture, name, description, sound, numbers (`peer_tables.units`). Each
measurement is a process of its own with the default number of threads, and counts what it computed
on all of them after torch, scikit-learn and Gobelin were imported. `cold` encodes every cell,
`warm` finds the features in the cache. The neighbour multiplies matrices on every core. Alone and
beside it alternate; the table has medians, and the median of their ratios.

What this cannot show: the wait of a user, which is longer the more others compute."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import record
from peer_sets import prepared

NEIGHBOUR = """
import numpy as np
x = np.random.default_rng(0).normal(size=(1500, 1500))
while True:
    x @ x
"""
PRESETS = ("quick", "good")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, default=Path("fit_cost"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    given = parser.parse_args()
    cell = prepared("units", 0, given.keep)
    folder, cache = given.keep / "run", given.keep / "cache"
    if given.once:
        sys.stdout.write(json.dumps({"seconds": spent(cell.train, given.once, folder)}))
        return
    for preset in PRESETS:
        for features in ("cold", "warm"):
            alone, beside = [], []
            for _ in range(given.repeats):
                for busy, found in ((False, alone), (True, beside)):
                    shutil.rmtree(folder, ignore_errors=True)
                    if features == "warm":
                        shutil.copytree(cache, folder / "cache")
                    with neighbour() if busy else contextlib.nullcontext():
                        found.append(child(given.keep, preset))
                    if features == "cold":
                        shutil.copytree(folder / "cache", cache, dirs_exist_ok=True)
            ratios = [b / a for a, b in zip(alone, beside, strict=True)]
            row = {"preset": preset, "features": features, "rows": rows_of(cell.train)}
            row |= {"alone": round(statistics.median(alone), 2)}
            row |= {"beside": round(statistics.median(beside), 2)}
            record.append("fit_cost", row | {"ratio": round(statistics.median(ratios), 2)})


def rows_of(table: Path) -> int:
    return len(table.read_text(encoding="utf-8").splitlines()) - 1


def child(keep: Path, preset: str) -> float:
    """The processor time of one fit in a process of its own."""
    command = [sys.executable, __file__, "--keep", str(keep), "--once", preset]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["seconds"])


def spent(table: Path, preset: str, folder: Path) -> float:
    """Processor time of `check` and `fit` in seconds, all threads, without imports."""
    import sklearn.ensemble  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch  # noqa: F401

    from gobelin import Workbench

    bench = Workbench(table, "race", folder, {"predict": {"preset": preset}})
    start = time.process_time()
    bench.fit()
    return time.process_time() - start


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Inside, another program computes on every core."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    other = subprocess.Popen([sys.executable, "-c", NEIGHBOUR], env=environment)
    time.sleep(2)  # until it computes
    try:
        yield
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    main()
