"""The default pool of heads beside `concat` for ordered classes and several labels a row.

python benchmarks/targets.py --keep FOLDER [--only SET] [--seeds 3] [--metric NAME]
python benchmarks/targets.py --table

Features are encoded once, by encoders of the training rows of a run. Then a quarter of the rows is
held out by group, and both predictors are fitted on the others. A cell is a set and a metric; the
held-out rows of all seeds are scored together, and the difference has the paired bootstrap over
groups.

What this cannot show: other sets. Held-out rows of one seed are training rows of another, so the
interval is a little too short."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import hash_order
from gobelin.data.fields import Target
from gobelin.evidence import scores
from gobelin.prediction import pool_choice, predictor, scoring
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.scoring import Answers

HELD_OUT = 0.25  # of the rows
LEVELS, LEAST_ROWS = 5, 25  # of a number; of a label
Row = dict[str, str]


@dataclass(frozen=True)
class Set:
    """A sample whose target is made from a column."""

    sample: str
    kind: str  # of the target
    column: str  # that the target is made from
    make: Callable[[list[Row]], list[str]]  # rows -> targets
    hidden: tuple[str, ...]  # columns that would say the target
    most: int  # rows used


def levels(column: str) -> Callable[[list[Row]], list[str]]:
    """Fifths of a number, 1 the lowest. Equal numbers are in one of them."""

    def make(rows: list[Row]) -> list[str]:
        values = np.array([float(row[column]) for row in rows])
        cuts = np.unique(np.quantile(values, np.arange(1, LEVELS) / LEVELS))
        return [str(1 + k) for k in np.searchsorted(cuts, values)]

    return make


def tags(rows: list[Row]) -> list[str]:
    """The frequent tags of each row."""
    held = [{tag.strip() for tag in row["tags"].split(",") if tag.strip()} for row in rows]
    count = Counter(tag for one in held for tag in one)
    return ["|".join(sorted(t for t in one if count[t] >= LEAST_ROWS)) or "|" for one in held]


SETS = {
    "furniture height": Set(
        "sweethome", "ordinal", "height", levels("height"), ("height", "log_height"), 820
    ),
    "furniture tags": Set("sweethome", "labels", "tags", tags, ("category", "tags"), 820),
    "furniture tags 250": Set("sweethome", "labels", "tags", tags, ("category", "tags"), 250),
    "drawing colours": Set(
        "openmoji", "ordinal", "colours", levels("colours"), ("colours", "country"), 600
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, default=Path("targets"))
    parser.add_argument("--only", action="append", choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--metric", default="auto")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        sys.stdout.write("\n".join(table()) + "\n")
        return
    for name in given.only or SETS:
        run_set(name, given.keep, given.seeds, given.metric)


def run_set(name: str, keep: Path, seeds: int, metric: Any) -> None:  # noqa: ANN401
    """Add a line for each metric of the kind of target."""
    bench = encoded(name, keep)
    rows = bench.run.predictor.checked.rows
    embeddings, target = bench.run.features.embeddings, rows.target
    held_rows: list[np.ndarray] = []
    found: dict[str, list[Answers]] = {"pool": [], "concat": []}
    seconds = dict.fromkeys(found, 0.0)
    labelled = np.flatnonzero(target.present)
    for seed in range(seeds):
        order = hash_order(sorted({rows.groups[r] for r in labelled}), seed, "targets")
        place = {group: k for k, group in enumerate(order)}
        at = np.array([place[rows.groups[r]] for r in labelled])
        held = at < HELD_OUT * len(order)
        training = Training(
            Predict(metric=metric),
            embeddings.keep(bench.run.predictor.fields),
            target,
            labelled[~held],
            rows.groups,
            np.ones(len(target), np.float32),
            replace(bench.run.features.data.runtime, seed=seed),
        )
        held_rows.append(labelled[held])
        for fusion in found:
            start = time.process_time()
            own = pool_choice.choose(training).settings if fusion == "pool" else {}
            model = predictor.fit(fusion, catalog.build("fusion", fusion, own), training)
            found[fusion].append(model.predict(training.embeddings.rows(held_rows[-1])).answers)
            seconds[fusion] += time.process_time() - start
    places = np.concatenate(held_rows)
    truth, units = scored(target, places), [rows.groups[r] for r in places]
    answers = {fusion: joined(parts) for fusion, parts in found.items()}
    for one in scoring.METRICS[target.kind] if metric == "auto" else [metric]:
        score = {f: scoring.weighted(one, said, truth) for f, said in answers.items()}
        sign = -1 if scoring.better(one, target.kind) == "lower" else 1
        gain = scores.interval(
            lambda w, sign=sign, score=score: sign * (score["pool"](w) - score["concat"](w)), units
        )
        every = np.ones(len(truth))
        record.append(
            "targets",
            {
                "set": name,
                "metric": one,
                "aim": metric,
                "rows": len(labelled),
                "held_out_rows": len(places),
                "pool": round(score["pool"](every), 4),
                "concat": round(score["concat"](every), 4),
                "gain": round(gain.value, 4),
                "gain_low": round(gain.low, 4),
                "gain_high": round(gain.high, 4),
                "processor_seconds": {f: round(s / seeds, 1) for f, s in seconds.items()},
            },
        )


def scored(target: Target, rows: np.ndarray) -> Target:
    """The target of these rows; labels that all or none of them have are not scored."""
    out = target.rows(rows)
    if target.kind != "labels":
        return replace(out, scored=np.ones(len(target.classes), bool))
    return replace(out, scored=(out.values == 1).any(0) & (out.values == 0).any(0))


def joined(parts: list[Answers]) -> Answers:
    """The answers of all seeds."""
    return Answers(
        np.concatenate([one.probabilities for one in parts]),
        np.concatenate([one.chosen for one in parts]),
    )


def encoded(name: str, keep: Path) -> Workbench:
    """A run with the features of all rows. Its own predictor is not used."""
    one = SETS[name]
    source = catalog.build("samples", one.sample, {})
    path = source.write(keep / "data" / one.sample, 0)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[one.column] or one.column == "tags"]
    rows = rows[:: max(1, len(rows) // one.most)][: one.most]
    for row, made in zip(rows, one.make(rows), strict=True):
        row["answer"] = made
    table_path = path.parent / f"{name.replace(' ', '-')}.csv"
    columns = [c for c in rows[0] if c not in one.hidden]
    with table_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    own = source.settings()
    settings: dict[str, Any] = {
        "schema": {c: k for c, k in own["schema"].items() if c in columns} | {"answer": one.kind},
        "fields": {
            field: [c for c in joined_columns if c in columns]
            for field, joined_columns in own["fields"].items()
            if any(c in columns for c in joined_columns)
        },
        "fusion": {"name": "concat"},
        "refit": False,
    }
    bench = Workbench(table_path, "answer", keep / "runs" / name.replace(" ", "-"), settings)
    bench.fit()
    return bench


def table() -> list[str]:
    """Rows of Markdown."""
    out = ["| set | score | pool | concat | better by |", "|---|---|---|---|---|"]
    for row in record.all_of("targets"):
        ends = f"{row['gain_low']:+.3f} to {row['gain_high']:+.3f}"
        out.append(
            f"| {row['set']}, {row['rows']} rows | {row['metric'].replace('_', ' ')} |"
            f" {row['pool']:.3f} | {row['concat']:.3f} | {row['gain']:+.3f} ({ends}) |"
        )
    return out


if __name__ == "__main__":
    main()
