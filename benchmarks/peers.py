"""Gobelin's default predictor beside the pipeline that a careful person builds in ten minutes.

python benchmarks/peers.py --keep FOLDER [--only SET] [--seeds 3] [--as NAME --set A=B ...]
python benchmarks/peers.py --table

A cell is a set, a contender and a seed; finished ones stand in results/peers.jsonl and are not done
again. A quarter of the rows is held out, whole groups, before anything else. The contenders:

- `gobelin`: `gobelin fit` with the sample's schema and defaults for the rest, then `predict`.
- `pipeline`: TF-IDF of words and word pairs, one-hot categories, numbers, the same frozen image
  features, mean and deviation of log-mel bands over time; then logistic regression (of a number:
  ridge) or histogram gradient boosting, whichever has the smaller loss in its own cross-validation
  over groups.

Scores are those of the held-out rows: balanced accuracy, log loss in the mix of classes that the
rows have; of a number the root mean squared error in its standard deviations. `--table` prints
differences, pooled over seeds, with paired intervals over groups. Processor time is of one thread,
with image features in the cache, and without starting Python.

What this cannot show: how other people would build the pipeline, and anything about sets whose
interval is wide."""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.core.machine import hash_order
from gobelin.data.mel import heard, mel_power
from gobelin.data.read import read
from gobelin.data.sounds import open_sound
from gobelin.evidence import comparison, intervals

# {name: (sample, its settings, rows used at most; 0 for all)}
SETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "sweethome": ("sweethome", {}, 0),
    "sweethome height": ("sweethome", {"predicts": "log_height"}, 0),
    "tuxpaint": ("tuxpaint", {}, 0),
    "openmoji": ("openmoji", {}, 0),
    "openmoji 300": ("openmoji", {}, 300),
    "digits 300": ("digits", {}, 300),
}
HELD_OUT = 0.25  # of the rows
DECAYS = (0.1, 1.0, 10.0)  # C of logistic regression, alpha of ridge
COMPONENTS = 50  # of texts and of images, for trees
BANDS = 40  # of the mel spectrum
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Cell:
    """The held-out rows of a set by a seed, and the files that contenders are given."""

    name: str
    seed: int
    target: str
    numeric: bool
    train: Path  # a table with the target
    test: Path  # a table without it
    settings: Mapping[str, Any]
    truth: list[str]  # answers of the held-out rows
    units: list[str]  # their groups
    work: Path  # of this set and seed


@dataclass(frozen=True)
class Answers:
    """Of n held-out rows."""

    classes: list[str]  # () for a number
    values: np.ndarray  # probabilities [n, C], or numbers [n]
    seconds: float  # of processor time
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, default=Path("peers"))
    parser.add_argument("--only", action="append", choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--as", dest="name", default="gobelin", help="name of the contender")
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        sys.stdout.write("\n".join(table()) + "\n")
        return
    names = [given.name] if given.name != "gobelin" else ["gobelin", "pipeline"]
    for name in given.only or SETS:
        for seed in range(given.seeds):
            for contender in names:
                run_cell(name, seed, contender, given.sets, given.keep)


def run_cell(name: str, seed: int, contender: str, sets: Sequence[str], keep: Path) -> None:
    """Add a line to results/peers.jsonl, unless it is there."""
    done = {(r["set"], r["seed"], r["contender"]) for r in record.all_of("peers")}
    if (name, seed, contender) in done:
        return
    try:
        cell = prepared(name, seed, keep)
    except GobelinError as error:  # the set isn't installed here
        sys.stderr.write(f"{error}\n")
        return
    answers = pipeline(cell) if contender == "pipeline" else gobelin(cell, contender, sets)
    record.append("peers", {"contender": contender, **scored(cell, answers)})


def prepared(name: str, seed: int, keep: Path) -> Cell:
    """The tables of a cell, written beside the sample's, so that paths in them are right."""
    sample, own, most = SETS[name]
    source = catalog.build("samples", sample, own)
    path = source.write(keep / "data" / name.split()[0], 0)
    if path.suffix != ".csv":
        raise GobelinError(f"{path}: a CSV was expected.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[source.target]]
    settings = {k: v for k, v in source.settings().items() if k != "generator"}
    schema = settings.get("schema", {})
    group = next((c for c, role in schema.items() if role == "group"), "id")
    order = hash_order(sorted({row[group] for row in rows}), seed, "peers")
    place = {g: k for k, g in enumerate(order)}
    rows.sort(key=lambda row: place[row[group]])
    counts = {
        c: [r[source.target] for r in rows].count(c) for c in {r[source.target] for r in rows}
    }
    numeric = source.target == "log_height"
    if not numeric:
        rows = [r for r in rows if counts[r[source.target]] >= 12]  # as many as splits need
    rows = rows[:most] if most else rows
    cut = round(len(rows) * HELD_OUT)
    while rows[cut][group] == rows[cut - 1][group]:
        cut += 1
    held, train = rows[:cut], rows[cut:]
    stem = f"{name.replace(' ', '-')}-{seed}"
    files = path.parent / f"{stem}-train.csv", path.parent / f"{stem}-test.csv"
    for file_path, some, columns in (
        (files[0], train, list(rows[0])),
        (files[1], held, [c for c in rows[0] if c != source.target]),
    ):
        with file_path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(some)
    truth, units = [r[source.target] for r in held], [r[group] for r in held]
    work = keep / "runs" / stem
    return Cell(name, seed, source.target, numeric, *files, settings, truth, units, work)


def gobelin(cell: Cell, name: str, sets: Sequence[str]) -> Answers:
    """`gobelin fit` and `gobelin predict`."""
    folder = cell.work / name
    shutil.rmtree(folder, ignore_errors=True)
    cache = cell.work.parent / "cache" / cell.name.split()[0]
    if cache.exists():
        shutil.copytree(cache, folder / "cache")
    else:  # features are encoded once, outside of the time
        fitted(cell, folder, ())
        shutil.copytree(folder / "cache", cache)
        shutil.rmtree(folder)
        shutil.copytree(cache, folder / "cache")
    start = time.process_time()
    bench = fitted(cell, folder, sets)
    found = bench.predict(cell.test)
    seconds = time.process_time() - start
    shutil.copytree(folder / "cache", cache, dirs_exist_ok=True)
    values = found.values if cell.numeric else found.probabilities
    fusion = bench.run.settings.fusion.name
    return Answers(list(found.classes), values, seconds, f"{fusion} {bench.run.predictor.fields}")


def fitted(cell: Cell, folder: Path, sets: Sequence[str]) -> Workbench:
    """A fitted run. The images of the held-out rows come into its cache too."""
    settings = config.merge(dict(cell.settings), config.assignments(sets))
    bench = Workbench(cell.train, cell.target, folder, settings)
    bench.fit()
    bench.run.features.embedder.embed(read(cell.test))
    return bench


def pipeline(cell: Cell) -> Answers:
    """What a careful person builds in ten minutes."""
    run = Workbench.open(cell.work / "gobelin").run  # for its schema and its image features
    with cell.train.open(encoding="utf-8", newline="") as file:
        train = list(csv.DictReader(file))
    with cell.test.open(encoding="utf-8", newline="") as file:
        test = list(csv.DictReader(file))
    images = [f for f in run.data.schema.fields if f.kind == "image"]
    embedded = [run.features.embedder.embed(read(p)) for p in (cell.train, cell.test)]
    start = time.process_time()
    linear: list[tuple[Any, Any]] = []  # (train, test) blocks
    trees: list[tuple[Any, Any]] = []
    for column in run.data.schema.columns:
        values = [[row.get(column.name) or "" for row in rows] for rows in (train, test)]
        for block, dense in blocks(column.kind, column.name, run, values, cell.train.parent):
            linear.append(block)
            trees.append(dense)
    for field in images:
        both = [e.features[field.name] for e in embedded]
        scaler = StandardScaler().fit(both[0])
        scaled = [scaler.transform(x) for x in both]
        linear.append((scaled[0], scaled[1]))
        trees.append(reduced(scaled[0], scaled[1]))
    x = [sparse.hstack([sparse.csr_matrix(b[k]) for b in linear]).tocsr() for k in (0, 1)]
    dense = [np.concatenate([b[k] for b in trees], 1) for k in (0, 1)]
    group = next((c.name for c in run.data.schema.columns if c.role == "group"), "id")
    groups, answers = [row[group] for row in train], [row[cell.target] for row in train]
    y = np.array(answers, float) if cell.numeric else np.array(answers)
    best, note = chosen(cell.numeric, x[0], dense[0], y, groups)
    is_tree = "HistGradient" in note
    best.fit(dense[0] if is_tree else x[0], y)
    values = (best.predict if cell.numeric else best.predict_proba)(dense[1] if is_tree else x[1])
    classes = [] if cell.numeric else list(best.classes_)
    return Answers(classes, values, time.process_time() - start, note)


def blocks(
    kind: str, name: str, run: Any, values: Sequence[list[str]], root: Path
) -> Iterator[tuple[tuple[Any, Any], tuple[Any, Any]]]:
    """The features of a column: for a linear model, and dense for trees."""
    used = {c for f in run.data.schema.fields for c in f.columns}
    if name not in used:
        return
    if kind == "text":
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
        try:
            train = vectors.fit_transform(values[0])
        except ValueError:  # no word stands in two rows
            return
        test = vectors.transform(values[1])
        yield (train, test), reduced(train, test)
    elif kind == "category":
        encoder = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
        train = encoder.fit_transform([[v] for v in values[0]]).toarray()
        test = encoder.transform([[v] for v in values[1]]).toarray()
        yield (train, test), (train, test)
    elif kind == "number":
        columns = [np.array([[float(v) if v else np.nan] for v in some]) for some in values]
        imputer = SimpleImputer(add_indicator=True).fit(columns[0])
        scaler = StandardScaler().fit(imputer.transform(columns[0]))
        filled = [scaler.transform(imputer.transform(c)) for c in columns]
        yield (filled[0], filled[1]), (columns[0], columns[1])
    elif kind == "audio":
        sounds = [np.stack([heard_bands(v, root) for v in some]) for some in values]
        scaler = StandardScaler().fit(sounds[0])
        filled = [np.nan_to_num(scaler.transform(s)) for s in sounds]
        yield (filled[0], filled[1]), (sounds[0], sounds[1])


def heard_bands(cell: str, root: Path) -> np.ndarray:
    """[2 BANDS]: mean and deviation of log-mel bands over time; nan for no sound."""
    if not cell:
        return np.full(2 * BANDS, np.nan)
    wave, _ = open_sound(cell, root, 30.0)
    bands, _ = heard(mel_power(wave, BANDS))
    return np.concatenate([bands.mean(0), bands.std(0)])


def reduced(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Few components, for trees."""
    count = min(COMPONENTS, train.shape[1] - 1, train.shape[0] - 1)
    if count < 1:
        return np.zeros((train.shape[0], 0)), np.zeros((test.shape[0], 0))
    svd = TruncatedSVD(count, random_state=0).fit(train)
    return svd.transform(train), svd.transform(test)


def chosen(
    numeric: bool, x: Any, dense: np.ndarray, y: np.ndarray, groups: Sequence[str]
) -> tuple[Any, str]:
    """The model with the smallest cross-validated loss, and its name."""
    linear: list[Any] = [
        Ridge(d) if numeric else LogisticRegression(C=d, max_iter=300) for d in DECAYS
    ]
    boosted = HistGradientBoostingRegressor if numeric else HistGradientBoostingClassifier
    tree = boosted(max_iter=100, max_features=0.3, random_state=0)
    folds = GroupKFold(4) if numeric else StratifiedGroupKFold(4, shuffle=True, random_state=0)
    splits = list(folds.split(x, y, groups))
    losses = []
    for model in [*linear, tree]:
        features, loss = dense if model is tree else x, 0.0
        for train, test in splits:
            fit = clone(model).fit(features[train], y[train])
            if numeric:
                loss += float(((fit.predict(features[test]) - y[test]) ** 2).sum())
                continue
            place = {c: k for k, c in enumerate(fit.classes_)}
            p = fit.predict_proba(features[test])
            right = [p[k, place[c]] if c in place else 0 for k, c in enumerate(y[test])]
            loss -= float(np.log(np.clip(right, LEAST_PROBABILITY, 1)).sum())
        losses.append(loss)
    best = [*linear, tree][int(np.argmin(losses))]
    return clone(best), repr(best)


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
    hits = (answers.values.argmax(1) == label).astype(float)
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
    """A line for each set and contender beside `pipeline`: scores and paired differences."""
    cells = {(r["set"], r["contender"], r["seed"]): r for r in record.all_of("peers")}
    names = sorted({c for _, c, _ in cells} - {"pipeline"})
    heads = ("set", "contender", "score", "pipeline", "difference", "log loss", "difference")
    lines = [f"| {' | '.join((*heads, 'seconds', 'of the pipeline'))} |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for name in SETS:
        for contender in names:
            seeds = [k for k in range(99) if (name, contender, k) in cells]
            seeds = [k for k in seeds if (name, "pipeline", k) in cells]
            if seeds:
                pairs = [[cells[name, c, k] for k in seeds] for c in (contender, "pipeline")]
                lines.append(f"| {name} | {contender} | {line(*pairs)} |")
    return lines


def line(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> str:
    """Both scores, and the differences with their intervals; above 0 is better for us."""
    units = [u for r in ours for u in r["units"]]
    seconds = [f"{np.mean([r['cpu_seconds'] for r in some]):.0f}" for some in (ours, theirs)]
    if "rmse" in ours[0]:
        own, other = (np.concatenate([r["row_error"] for r in some]) for some in (ours, theirs))
        gain = comparison.compare(other, own, units=units, metric="rmse")
        scores = [f"{np.mean([r['rmse'] for r in some]):.3f}" for some in (ours, theirs)]
        cells = [*scores, interval(gain, 1), "", "", *seconds]
        return " | ".join(cells)
    truth = [t for r in ours for t in r["truth"]]
    label = np.unique(truth, return_inverse=True)[1]
    hits = [np.array([float(h) for r in some for h in r["row_hit"]]) for some in (ours, theirs)]
    losses = [np.concatenate([r["row_loss"] for r in some]) for some in (ours, theirs)]
    gain = comparison.compare(hits[1], hits[0], label, units)
    less = intervals.mean(losses[1] - losses[0], units)
    scores = [
        f"{100 * np.mean([r['balanced_accuracy'] for r in some]):.1f} %" for some in (ours, theirs)
    ]
    mean_loss = [f"{np.mean([r['log_loss'] for r in some]):.3f}" for some in (ours, theirs)]
    cells = [*scores, interval(gain, 100), " / ".join(mean_loss), interval(less, 1), *seconds]
    return " | ".join(cells)


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
