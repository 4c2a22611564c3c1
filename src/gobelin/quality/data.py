"""Before any training: what can't be read, what is scarce or missing, what stands on both sides of
a split, what gives the label away.

What this cannot show: that a data set is fit for its purpose. It finds what can be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from gobelin.core.config import within
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, silent
from gobelin.core.neighbours import nearest
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.files import BadCell, cell_bytes
from gobelin.data.provenance import is_marked
from gobelin.embedding.features import Embeddings, Reader, unreadable
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import wilson


@dataclass(frozen=True)
class Check:
    """max_bad: the share of a column's cells that may be set aside. scarce: a class with fewer
    training rows than this share of the median class is named. near: two cells are near-duplicates
    when their distance is below this share of the median distance to the nearest neighbour. sure:
    how surely a field's presence must name a class to give it away."""

    max_bad: float = 0.1
    scarce: float = 0.5
    near: float = 0.3
    sure: float = 0.95

    def __post_init__(self) -> None:
        within(self, {"max_bad": (0, 1), "scarce": (0, 1), "near": (0, 100), "sure": (0, 1)})


@dataclass(frozen=True)
class Scan:
    """bad: cells set aside, (row id, column, reason). converted: how many cells were converted, by
    'field: how'.

    marked: ids of rows that claim to be real and hold an image that says it was generated; nothing
    of them is used."""

    dataset: Dataset
    bad: tuple[tuple[str, str, str], ...]
    converted: Mapping[str, int]
    marked: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        return [f"row {i}, column {c!r}: {reason}" for i, c, reason in self.bad]


def scan(reader: Reader, dataset: Dataset, how: Check, progress: Progress = silent) -> Scan:
    """Open every cell once; set aside what can't be read. An error when it is more than `max_bad`
    of a column."""
    bad, converted = unreadable(reader, dataset, progress)
    made = _marked(reader.schema, dataset, {(i, c) for i, c, _ in bad})
    bad += made
    refused = []
    for column in dict.fromkeys(c for _, c, _ in bad):
        there = sum(v is not None for v in dataset.values(column))
        reasons = [(i, reason) for i, c, reason in bad if c == column]
        if len(reasons) > how.max_bad * there:
            row, reason = reasons[0]
            value = dataset.values(column)[dataset.ids.index(row)]
            shown = (
                f", {value[:60]!r}"
                if isinstance(value, str) and repr(value[:40]) not in reason
                else ""
            )
            first = f"row {row}{shown}: {reason}"
            lost = any(reason.startswith("no such file") for _, reason in reasons)
            where = f"Paths start from {dataset.root} (--root DIR changes that). " if lost else ""
            refused.append(
                f"{dataset.source}, column {column!r}: {len(reasons)} of {there} cells can't be"
                f" used (first: {first}). {where}Mend them, or allow it with --max-bad"
                f" {min(1.0, len(reasons) / there + 0.01):.2f}."
            )
    if refused:
        raise GobelinError("\n".join(refused))
    marked = tuple(dict.fromkeys(i for i, _, _ in made))
    whole = [(i, c) for i in marked for c in dataset.column_names]
    return Scan(
        dataset.set_aside([(i, c) for i, c, _ in bad] + whole), tuple(bad), converted, marked
    )


def _marked(
    schema: Schema, dataset: Dataset, known: set[tuple[str, str]]
) -> list[tuple[str, str, str]]:
    """Files that say they were generated, in rows that claim to be real."""
    found = []
    columns = [
        c.name
        for c in schema.columns
        if c.kind == "image" and c.role == "cell" and c.name in dataset.column_names
    ]
    for column in columns:
        for row, value in enumerate(dataset.values(column)):
            one = (dataset.ids[row], column)
            images = (
                []
                if value is None or one in known
                else value
                if isinstance(value, list)
                else [value]
            )
            if not images or dataset.origins[row] != "real":
                continue
            try:
                if any(is_marked(cell_bytes(v, dataset.root)) for v in images):
                    found.append(
                        (
                            *one,
                            (
                                "is marked as generated, the row claims to be real: the whole row"
                                " is left out"
                            ),
                        )
                    )
            except BadCell:
                continue
    return found


def counts(
    dataset: Dataset, schema: Schema, target: Target, parts: np.ndarray, scanned: Scan, how: Check
) -> list[Finding]:
    """Rows of every part and class, the scarce classes, the missing cells of every field, what was
    set aside."""
    found = [
        Finding(
            "rows",
            {"split": part},
            value=float((parts == part).sum()),
            n=int((parts == part).sum()),
            source="check",
        )
        for part in ("train", "valid", "test")
    ]
    found.append(
        Finding(
            "unlabelled_rows", value=float((~target.present).sum()), n=len(dataset), source="check"
        )
    )
    if target.classes:
        train = target.counts(np.flatnonzero((parts == "train") & target.present))
        middle = float(np.median(train))
        for k, name in enumerate(target.classes):
            scarce = train[k] < how.scarce * middle
            note = "scarce: under half of the median class" if scarce else ""
            if len(target.scored) and not target.scored[k]:
                note = "too small for every split: trains, and is left out of balanced accuracy"
            found.append(
                Finding(
                    "training_rows",
                    {"class": name},
                    value=float(train[k]),
                    n=int(train[k]),
                    note=note,
                    source="check",
                )
            )
    for field in schema.fields:
        missing = [c is None for c in dataset.cells(field)]
        found.append(
            wilson(sum(missing), len(missing)).finding(
                "missing_cells", scope={"field": field.name}, unit="share", source="check"
            )
        )
    for name in schema.unread:
        there = sum(v is not None for v in dataset.values(name))
        note = f"kind {schema.kind(name)}: kept, no encoder reads it yet"
        found.append(
            Finding(
                "cells_without_encoder",
                {"column": name},
                value=float(there),
                n=there,
                note=note,
                source="check",
            )
        )
    for how_converted, count in sorted(scanned.converted.items()):
        found.append(
            Finding(
                "converted_cells",
                {"what": how_converted},
                value=float(count),
                n=count,
                source="check",
            )
        )
    if scanned.bad:
        note = "; ".join(scanned.lines()[:5]) + ("; ..." if len(scanned.bad) > 5 else "")
        found.append(
            Finding(
                "cells_set_aside",
                value=float(len(scanned.bad)),
                n=len(scanned.bad),
                note=note,
                source="check",
            )
        )
    return found


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows of different parts whose cells of one field look the same. closeness: distance over
    the median distance to the nearest neighbour, 0 = equal."""

    field: str
    left: int
    right: int
    closeness: float


def duplicates(
    embeddings: Embeddings, parts: np.ndarray, how: Check, most: int = 200
) -> tuple[list[Finding], list[NearDuplicate]]:
    """Near-duplicates between training rows and the others, in every field; the nearest pairs of
    each."""
    found, twins = [], []
    train = parts == "train"
    for k, field in enumerate(embeddings.fields):
        here = embeddings.present[:, k]
        inside, outside = np.flatnonzero(here & train), np.flatnonzero(here & ~train)
        if len(inside) < 3 or len(outside) < 1:
            continue
        x = embeddings.features[field].astype(np.float64)
        x = (x - x[inside].mean(0)) / (x[inside].std(0).mean() + 1e-12)
        distance, place = nearest(x[outside], x[inside])
        own, _ = nearest(x[inside], x[inside], np.arange(len(x[inside])))
        scale = max(float(np.median(own)), 1e-9)
        closeness = distance / scale
        near = closeness < how.near
        note = (
            f"of {len(outside)} validation and test rows, with a training row; nearest-neighbour"
            " distance under "
        )
        found.append(
            Finding(
                "near_duplicates",
                {"field": field},
                value=float(near.sum()),
                n=len(outside),
                better="lower",
                note=note + f"{how.near:g} of the median",
                source="check",
            )
        )
        order = [j for j in np.argsort(closeness, kind="stable")[:most] if near[j]]
        twins += [
            NearDuplicate(field, int(inside[place[j]]), int(outside[j]), float(closeness[j]))
            for j in order
        ]
    return found, twins


def giveaways(
    dataset: Dataset,
    schema: Schema,
    target: Target,
    present: np.ndarray,
    fields: Sequence[str],
    rows: np.ndarray,
    how: Check,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Fields whose presence alone names a class, and table columns whose value alone does. Training
    rows only.

    present: bool [N, F]. Returns the findings and the names of the fields that prediction should
    leave out."""
    rows = rows[target.present[rows]]
    if not target.exclusive or len(rows) < 10:
        return [], ()
    found, out = [], []
    label = target.values[rows]
    for k, name in enumerate(fields):
        for there, word in ((present[rows, k], "present"), (~present[rows, k], "absent")):
            if there.sum() < 5 or there.all():
                continue
            top = int(np.bincount(label[there]).argmax())
            hits, base = int((label[there] == top).sum()), float((label == top).mean())
            share = wilson(hits, int(there.sum()))
            reach = hits / max(int((label == top).sum()), 1)
            if (
                share.low > how.sure - 0.05
                and share.value > how.sure
                and share.value > base + 0.2
                and reach > 0.3
            ):
                note = (
                    f"{name} {word} means class {target.classes[top]!r}; left out of prediction,"
                    " kept as a condition"
                )
                found.append(
                    share.finding(
                        "gives_label_away",
                        scope={"field": name},
                        unit="share",
                        chance=base,
                        note=note,
                        source="check",
                    )
                )
                out.append(name)
    columns = [c for f in schema.fields for c in f.columns if f.name not in out]
    found += [
        f
        for c in columns
        if (f := _column_giveaway(dataset, c, schema.kind(c), label, rows)) is not None
    ]
    return found, tuple(dict.fromkeys(out))


def _column_giveaway(
    dataset: Dataset, column: str, kind: str, label: np.ndarray, rows: np.ndarray
) -> Finding | None:
    """A number or category column from which a small tree reads the class almost without error
    (cross-fitted)."""
    if kind not in ("number", "category") or np.bincount(label).max() == len(label):
        return None
    values = dataset.values(column)
    chosen = [values[r] for r in rows]
    if (
        kind == "number"
        # a tree looks at the order alone; it would keep 32 bits of a number, which 1e300 has no
        # place
        # in
    ):
        place = np.unique([_float(v) for v in chosen], return_inverse=True)[1]
        x = np.array([[p, v is None] for p, v in zip(place, chosen, strict=True)], float)
    else:
        index = {v: i for i, v in enumerate(sorted({str(v) for v in chosen}))}
        x = np.array([[index[str(v)], v is None] for v in chosen], float)
    smallest = int(np.bincount(label)[np.unique(label)].min())
    if smallest < 2:
        return None
    tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=0)
    read = cross_val_predict(tree, x, label, cv=min(3, smallest))
    score = float(balanced_accuracy_score(label, read))
    chance = 1 / len(np.unique(label))
    if score < 0.95:
        return None
    return Finding(
        "gives_label_away",
        {"column": column},
        value=score,
        chance=chance,
        n=len(rows),
        unit="share",
        source="check",
        note=(
            f"the values of {column} alone name the class: look whether it was known before the"
            f" label; --set schema.{column}=ignore leaves it out"
        ),
    )


def _float(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
