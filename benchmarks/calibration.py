"""Is the verdict honest where heads are really trained? 2,000 studies a cell with planted images
(`planted`), on all cores.

python benchmarks/calibration.py [--studies 2000] [--points 100000] [--cells WORD] [--again] (those
of the default head: --cells "pool heads" --studies 100 --points 3000): cells that stand in
benchmarks/results/calibration.jsonl with as many studies are not run again. A run that stops goes
on where it was: finished studies stand in --keep FOLDER. --table prints the results as Markdown,
--docs writes the table into docs/calibration.md.

false_helped: the share of studies with a claim that is not so: any kind of `helped` where the truth
against the real rows is at most 0, or `helped` alone where it is at most 0 against a rival; of
useless images every `helped`. coverage: how often the interval of the first generator arm against
the real rows holds the truth. power: how often a gain is found among the studies whose true gain is
within a tenth of the one that the studies declare detectable, on average (`power_at_its_own`: each
by itself). A cell fails where the exact 99.9 % interval of a rate excludes what was promised: false
`helped` and false `harmed` above 5 %, power below 80 %, coverage other than 95 %; where it is only
longer than promised, `conservative` says so. Cells of broken protocols are there to be seen
failing."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a core; before numpy is loaded
sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import record
from planted import Cell, Seen, one_study
from scipy import stats

from gobelin.core.files import fingerprint
from gobelin.core.machine import cores, derived_seed
from gobelin.evidence.intervals import Interval

NEAR = 0.1  # of the declared gain: the true gains that power is read at
TOGETHER = 5  # studies that a process does before it writes them down
DOCS = Path(__file__).parent.parent / "docs" / "calibration.md"
KEEP = Path(__file__).parent / "work" / "calibration"

HELPS = Cell(
    "helps, by the gain that the study declares",
    (30, 10, 6),
    (120, 120, 120),
    ratios=(1.0, 2.0, 4.0),
    power=True,
)
NULL = Cell("equal to the best rival", rivals=("classic", "retrieved"), runs=3, seeds=5)
NAIVE = Cell(
    "useless images, captions missing as in real rows",
    (40, 40, 6),
    (300, 300, 300),
    ("noise",),
    ("classic", "noise"),
    ratios=(2.0,),
    apart=0.4,
    missing=(0.05, 0.2, 0.6),
    useless=True,
)
UNITS = Cell(
    "units of 10 rows, equal to the best rival",
    (60, 30, 20),
    (150,) * 3,
    rivals=("retrieved",),
    rows_per_unit=10,
)
CELLS = (
    NULL,
    Cell(
        "useless images",
        generators=("noise",),
        rivals=("classic", "noise"),
        runs=3,
        seeds=5,
        useless=True,
    ),
    NAIVE,
    Cell("copies of training rows", generators=("copies",), rivals=("classic",), useless=True),
    UNITS,
    Cell(
        "5 classes of 5 to 80 rows",
        (60, 30, 15, 8, 6),
        (80, 40, 20, 10, 5),
        rivals=("classic", "retrieved"),
        apart=0.8,
    ),
    Cell(
        "two classes, 10 and 100 rows",
        (10, 60),
        (10, 100),
        rivals=("classic", "retrieved"),
        apart=0.35,
    ),
    Cell("ties: three made rows", ratios=(0.05,), generators=("fresh",)),
    Cell("perfect scores", (60, 40, 30), (50, 50, 50), apart=3.0),
    Cell(
        "any of four useless arms (Holm)",
        generators=("noise", "copies", "noise", "copies"),
        useless=True,
    ),
    HELPS,
    Cell(
        "helps, 3 generator runs",
        (30, 10, 6),
        (120, 120, 120),
        ratios=(1.0, 2.0, 4.0),
        runs=3,
        seeds=5,
        power=True,
    ),
    Cell("harms: images of other classes", generators=("mislabelled",), test=(120, 120, 120)),
    Cell(
        "method, 5 draws of training rows, equal to the best rival",
        rivals=("retrieved",),
        resamples=5,
        seeds=3,
    ),
    Cell(
        "method, 5 bootstraps of one set, equal to the best rival",
        rivals=("retrieved",),
        resamples=5,
        seeds=3,
        pool=True,
        reuse=1.0,
    ),
)
# Trained as the default fusion is; one such study takes ten seconds, so fewer are made.
POOLS = tuple(
    Cell(
        **{
            **cell.__dict__,
            "name": f"pool heads: {cell.name}",
            "pools": True,
            "runs": 1,
            "unseen": 4,
        }
    )
    for cell in (NULL, HELPS, NAIVE)
)
BROKEN = (
    Cell(**{**NAIVE.__dict__, "name": "broken: captions missing in all made rows", "naive": True}),
    Cell(
        **{**UNITS.__dict__, "name": "broken: rows of a unit as if independent", "rows_alone": True}
    ),
    Cell(
        **{
            **CELLS[-1].__dict__,
            "name": "broken: bootstraps of one set taken as drawn anew",
            "reuse": 0.0,
        }
    ),
)


def seeds(cell: Cell, studies: int) -> list[int]:
    return [
        derived_seed(0, "study", cell.name.removeprefix("broken: "), k) % 2**53
        for k in range(studies)
    ]


def block(task: tuple[Cell, list[int], int]) -> list[Seen]:
    cell, own, points = task
    return [one_study(cell, seed, points) for seed in own]


def studies_of(
    cell: Cell,
    studies: int,
    points: int,
    pool: ProcessPoolExecutor | None = None,
    keep: Path | None = None,
) -> list[Seen]:
    """The studies of a cell. keep: a folder whose finished studies are not made again."""
    file = keep / f"{fingerprint(asdict(cell), points)[:16]}.jsonl" if keep else None
    done = _kept(file) if file else {}
    wanted = seeds(cell, studies)
    lacking = [seed for seed in wanted if seed not in done]
    parts = [lacking[k : k + TOGETHER] for k in range(0, len(lacking), TOGETHER)]
    made = (pool.map if pool else map)(block, [(cell, part, points) for part in parts])
    for part, seen in zip(parts, made, strict=True):
        done |= dict(zip(part, seen, strict=True))
        if file:
            _keep(file, part, seen)
    return [done[seed] for seed in wanted]


def _kept(file: Path) -> dict[int, Seen]:
    """{seed: study} of a file; none where there is no file, and no line that is cut short."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    out = {}
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # a run was stopped while it wrote
            continue
        seed, words = row.pop("seed"), tuple(row.pop("words"))
        truth, same = np.array(row.pop("truth")), np.array(row.pop("same"))
        out[seed] = Seen(words, truth, same, **row)
    return out


def _keep(file: Path, own: list[int], seen: list[Seen]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        for seed, one in zip(own, seen, strict=True):
            row = asdict(one) | {"truth": one.truth.tolist(), "same": one.same.tolist()}
            out.write("\n" + json.dumps({"seed": seed, **row}))


def figures(cell: Cell, seen: list[Seen], points: int) -> dict[str, Any]:
    """One line of the results."""
    many = len(seen)
    truth, same = (
        np.stack([s.truth for s in seen]),
        np.stack([s.same for s in seen]),
    )  # [studies, A, 1 + rivals]
    words = np.array([s.words for s in seen])
    if cell.resamples > 1:  # the method's truth: over training rows drawn anew
        truth = np.broadcast_to(same.mean(0), same.shape)
    helps, better = np.char.startswith(words, "helped"), words == "helped"
    wrong = (helps & (truth[:, :, 0] <= 0)) | (better & ((truth.min(2) <= 0) | cell.useless))
    wrong_harmed = (words == "harmed") & (truth[:, :, 0] >= 0)
    low, high, declared = (
        np.array([getattr(s, name) for s in seen]) for name in ("low", "high", "detectable")
    )
    gain = truth[:, 0, 0]
    held = (low <= gain) & (gain <= high)
    near = cell.power & (np.abs(gain / declared.mean() - 1) <= NEAR)
    own = cell.power & (np.abs(gain / declared - 1) <= NEAR)
    rates = {
        "false_helped": rate(wrong.any(1)),
        "false_harmed": rate(wrong_harmed.any(1)),
        "coverage": rate(held),
        "power": rate(low[near] > 0) if near.any() else None,
    }
    why = [
        text
        for name, side, promised, text in (
            ("false_helped", "low", 0.05, "false helped"),
            ("false_harmed", "low", 0.05, "false harmed"),
            ("coverage", "high", 0.95, "covers too little"),
            ("power", "high", 0.80, "power below what was declared"),
        )
        if (one := rates[name])
        and (getattr(one, side) > promised if side == "low" else getattr(one, side) < promised)
    ]
    why += ["an interval of width zero"] * bool((high - low).min() <= 0)
    conservative = rates["coverage"].low > 0.95
    return {
        "cell": cell.name,
        "truth_points": points,
        "studies": many,
        "false_helped": rates["false_helped"].value,
        "power": rates["power"].value if rates["power"] else None,
        "coverage": rates["coverage"].value,
        "failed": bool(why) or conservative,
        "why": why + (["covers more than it says"] if conservative else []),
        "conservative": conservative and not why,
        "broken": cell.broken,
        "false_harmed": rates["false_harmed"].value,
        "said_helped": float(helps.any(1).mean()),
        "said_helped_over_rivals": float(better.any(1).mean()),
        "said_harmed": float((words == "harmed").any(1).mean()),
        "coverage_of_the_same_heads": float(
            ((low <= same[:, 0, 0]) & (same[:, 0, 0] <= high)).mean()
        ),
        "power_studies": int(near.sum()),
        "power_at_its_own": float((low[own] > 0).mean()) if own.any() else None,
        "true_gain_points": 100 * float(gain.mean()),
        "detectable_points": 100 * float(declared.mean()),
        "width_points": 100 * float((high - low).mean()),
        "narrowest_points": 100 * float((high - low).min()),
        "intervals": {name: [one.low, one.high] for name, one in rates.items() if one},
    }


def rate(events: np.ndarray) -> Interval:
    """The exact interval of a proportion (Clopper & Pearson 1934) at 99.9 %."""
    count, studies = int(events.sum()), len(events)
    found = stats.binomtest(count, studies).proportion_ci(0.999, "exact")
    return Interval(
        count / studies, found.low, found.high, 0.999, "Clopper & Pearson 1934", studies
    )


def table() -> str:
    """The newest line of every cell, Markdown."""
    rows = record.latest("calibration", "cell").values()
    lines = [
        (
            "| cell | studies | false `helped` | false `harmed` | coverage of 95 % | power | gain,"
            " declared, width (points) | |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        power = (
            f"{100 * row['power']:.1f} % of {row['power_studies']}"
            if row["power"] is not None
            else ""
        )
        sizes = " / ".join(
            f"{row[k]:.1f}" for k in ("true_gain_points", "detectable_points", "width_points")
        )
        said = "; ".join(row["why"]) if row["failed"] else "holds"
        lines.append(
            f"| {row['cell']} | {row['studies']:,} | {100 * row['false_helped']:.1f} % |"
            f" {100 * row['false_harmed']:.1f} % | {100 * row['coverage']:.1f} % | {power} |"
            f" {sizes} | {said} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--cells", default="", help="only cells whose name has this word")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--keep", type=Path, default=KEEP)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--docs", action="store_true")
    said = parser.parse_args()
    if said.table or said.docs:
        if said.docs:
            text = DOCS.read_text(encoding="utf-8")
            filled = re.sub(
                r"(<!-- table -->\n).*?(<!-- end -->)",
                lambda m: f"{m[1]}{table()}\n{m[2]}",
                text,
                flags=re.S,
            )
            DOCS.write_text(filled, encoding="utf-8")
        sys.stdout.write(table() + "\n")
        return
    done = {
        row["cell"]
        for row in record.all_of("calibration")
        if row["studies"] == said.studies and not said.again
    }
    with ProcessPoolExecutor(said.workers) as pool:
        for cell in (*CELLS, *POOLS, *BROKEN):
            if cell.name not in done and said.cells in cell.name:
                seen = studies_of(cell, said.studies, said.points, pool, said.keep)
                record.append("calibration", figures(cell, seen, said.points))


if __name__ == "__main__":
    main()
