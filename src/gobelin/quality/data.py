"""Checks of a dataset before any training: cells that can't be read, scarce classes, missing cells,
near-duplicates across a split.

What this cannot show: that a dataset is fit for its purpose. It finds what can be counted.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.later import in_key
from gobelin.core.machine import Progress, silent
from gobelin.core.neighbours import nearest
from gobelin.core.printable import counted
from gobelin.core.shell import shell_word
from gobelin.data.dataset import Dataset
from gobelin.data.fields import PATH_KINDS, Schema, Target
from gobelin.data.files import LEAVES, BadCell, cell_bytes, spread
from gobelin.data.image.pixel_range import BEYOND
from gobelin.data.media import kinds as media
from gobelin.data.provenance.marks import is_marked
from gobelin.data.values.path_spelling import found_below
from gobelin.embedding.columns.unreadable import unreadable
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import wilson
from gobelin.quality.few_rows import FEW_NOTE, FEW_ROWS

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
REPEATED = 4  # equal training rows of each value on average, from which equal rows are expected
LONGEST_PATH = 60  # characters of a path in a line
NAMED_CELLS = 5  # of the cells that were set aside, those that the finding names


@settings_class
class Check:
    """Settings of the checks before training."""

    max_bad: float = setting(
        default=0.1, ge=0, le=1, description="Share of a column's cells that may be set aside."
    )
    scarce: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="A class below this share of the median class is scarce.",
    )
    near: float = setting(
        default=0.3,
        ge=0,
        le=100,
        description="Near-duplicates lie nearer than this share of the median neighbour distance.",
    )
    sure: float = setting(
        default=0.95,
        ge=0,
        le=1,
        description="Certainty from which a field's presence tells the class.",
    )
    source: str = setting(
        default="",
        description="Table of dates and values that windows without dates were cut from.",
    )

    later: ClassVar[tuple[str, ...]] = ("source",)  # `core.later`

    @property
    def fitted(self) -> dict[str, object]:
        """The settings that may change what is fitted, for a cache key."""
        return {name: value for name, value in self.key.items() if name != "source"}

    @property
    def key(self) -> dict[str, object]:
        """The settings that change what is checked."""
        return in_key(self)


@dataclass(frozen=True)
class Scan:
    """The dataset after every cell was opened once.

    dataset: bad cells and marked rows count as missing. bad: those cells, (row id, column, reason).
    converted: {'field: conversion': ids of the rows}. marked: ids of rows that claim to be real and
    hold an image that is marked as generated; nothing of them is used. paths: {(row id, column):
    path} of the bad cells that name a file.
    """

    dataset: Dataset
    bad: tuple[tuple[str, str, str], ...]
    converted: Mapping[str, Sequence[str]]
    marked: tuple[str, ...] = ()
    paths: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)

    def named(self) -> list[tuple[str, str, str]]:
        """The bad cells; a reason ends with the file's path, unless it quotes it already."""
        named = []
        for i, column, reason in self.bad:
            path = self.paths.get((i, column), "")
            shown = path if len(path) <= LONGEST_PATH else "..." + path[3 - LONGEST_PATH :]
            quoted = not path or repr(path[:40])[:-1] in reason
            named.append((i, column, reason if quoted else f"{reason} ({shown})"))
        return named

    def lines(self) -> list[str]:
        return [f"row {i}, column {c!r}: {reason}" for i, c, reason in self.named()]


def scan(reader: Embedder, dataset: Dataset, settings: Check, progress: Progress = silent) -> Scan:
    """Open every cell once and set aside those that can't be read. Raises GobelinError, for all
    columns together, where they are more than `max_bad` of a column.
    """
    bad, converted = unreadable(reader, dataset, progress)
    marked_cells = _marked(reader.schema, dataset, {(i, c) for i, c, _ in bad})
    bad += marked_cells
    refused: list[str] = []
    of_column: dict[str, list[tuple[str, str]]] = {}
    for i, column, reason in bad:
        of_column.setdefault(column, []).append((i, reason))
    for column, reasons in of_column.items():
        present = sum(v is not None for v in dataset.values(column))
        if len(reasons) > settings.max_bad * present:
            row, reason = reasons[0]
            cells = dict(zip(dataset.ids, dataset.values(column), strict=True))
            value = cells[row]
            quoted = (
                f", {value[:60]!r}"
                if isinstance(value, str) and repr(value[:40]) not in reason
                else ""
            )
            first = f"row {row}{quoted}: {reason}"
            outside = [cells[i] for i, reason in reasons if reason.startswith(LEAVES)]
            wider = _wider(dataset, outside, len(outside) == present)
            where = _remedy(dataset, value, [reason for _, reason in reasons], wider)
            refused.append(
                f"{dataset.source}, column {column!r}: {len(reasons)} of {present} cells can't be"
                f" used (first: {first}). {where}Repair them, or allow it with --max-bad"
                f" {min(1.0, len(reasons) / present + 0.01):.2f}."
            )
    if refused:
        raise GobelinError(*refused)
    for conversion, ids in converted.items():
        if BEYOND in conversion:
            count = counted(len(ids), "cell", "cells")
            LOG.warning("%s: %s of %s.", dataset.source, count, conversion)
    marked_rows = tuple(dict.fromkeys(i for i, _, _ in marked_cells))
    place = {i: k for k, i in enumerate(dataset.ids)} if bad else {}
    values = {column: dataset.values(column) for column in of_column}
    paths = {
        (i, column): value
        for i, column, _ in bad
        if reader.schema.kind(column) in PATH_KINDS
        and isinstance(value := values[column][place[i]], str)
    }
    whole_rows = [(i, c) for i in marked_rows for c in dataset.column_names]
    return Scan(
        replace(
            dataset.set_aside([(i, c) for i, c, _ in bad] + whole_rows),
            openings=reader.openings(dataset.column_names),
        ),
        tuple(bad),
        converted,
        marked_rows,
        paths,
    )


def _wider(dataset: Dataset, outside: Sequence[Any], alone: bool) -> str:
    """The narrowest folder that holds these files, which lie outside of the data's; '' for none.
    alone: no other cell is a file, so that the data's own folder is needed for relative paths only.
    """
    paths = [v for v in spread(outside) if isinstance(v, str) and v]
    root = dataset.root.resolve()
    folders = [str((root / path).resolve().parent) for path in paths]
    if not alone or not all(Path(path).is_absolute() for path in paths):
        folders.append(str(root))
    return os.path.commonpath(folders) if paths else ""


def _remedy(dataset: Dataset, first: object, reasons: Sequence[str], wider: str) -> str:
    """What helps cells whose paths can't be used for these reasons, '' for others. first: the first
    of the cells. wider: the folder that holds them, if they are outside.
    """
    path = next((v for v in spread([first]) if isinstance(v, str)), "")
    if any(reason.startswith("no such file") for reason in reasons):
        below = found_below(path, dataset.root)
        hint = f"; there is {below}" if below else ""
        return f"Paths start from {dataset.root} (--root DIR changes that){hint}. "
    if reasons[0].startswith(LEAVES) and wider:
        return f"If you trust these files, allow them with --root {shell_word(wider)}. "
    return ""


def _marked(
    schema: Schema, dataset: Dataset, bad: set[tuple[str, str]]
) -> list[tuple[str, str, str]]:
    """Cells (row id, column, reason) with an image or volume that is marked as generated, in rows
    that claim to be real. bad: (row id, column) that can't be read.
    """
    marked, held, kinds = [], set(dataset.column_names), media()
    columns = [
        c.name for c in schema.columns if c.kind in kinds and c.role == "cell" and c.name in held
    ]
    for column in columns:
        for row, value in enumerate(dataset.values(column)):
            cell = (dataset.ids[row], column)
            images = (
                []
                if value is None or cell in bad
                else value
                if isinstance(value, list)
                else [value]
            )
            if not images or dataset.origins[row] != "real":
                continue
            try:
                if any(is_marked(cell_bytes(v, dataset.root)) for v in images):
                    marked.append(
                        (
                            *cell,
                            (
                                "is marked as generated, the row claims to be real: the whole row"
                                " is left out"
                            ),
                        )
                    )
            except BadCell:
                continue
    return marked


def counts(
    dataset: Dataset,
    schema: Schema,
    target: Target,
    parts: np.ndarray,
    scanned: Scan,
    settings: Check,
    groups: Sequence[str] | None = None,
) -> list[Finding]:
    """Findings: rows of every part and class, scarce classes, missing cells of every field, columns
    without an encoder, converted cells, cells set aside.

    parts: str [N], the part of every row. groups: N names; None: each row is one.
    """
    findings = [
        _count("rows", int((parts == part).sum()), {"split": part})
        for part in ("train", "valid", "test")
    ]
    unlabelled = _count("unlabelled_rows", int((~target.present).sum()))
    findings.append(replace(unlabelled, n=len(dataset)))
    if target.classes:
        train = target.counts(np.flatnonzero((parts == "train") & target.present))
        median = float(np.median(train))
        for k, name in enumerate(target.classes):
            scarce = train[k] < settings.scarce * median
            note = f"scarce: fewer than {settings.scarce:g} of the median class" if scarce else ""
            if len(target.scored) and not target.scored[k]:
                note = "not in every split: used in training, left out of balanced accuracy"
            note = "; ".join(filter(None, (note, FEW_NOTE if train[k] < FEW_ROWS else "")))
            findings.append(_count("training_rows", int(train[k]), {"class": name}, note))
    for field in schema.fields:
        missing = [c is None for c in dataset.cells(field)]
        findings.append(_missing(missing, {"field": field.name}))
        for column in field.columns if len(field.columns) > 1 else ():
            without = [value is None for value in dataset.values(column)]
            if any(without):  # the field is there as long as one of its columns is
                findings.append(_missing(without, {"column": column}))
    for name in schema.unread:
        present = sum(v is not None for v in dataset.values(name))
        note = f"kind {schema.kind(name)}: not used, as no encoder reads it"
        findings.append(_count("cells_without_encoder", present, {"column": name}, note))
    group = dict(zip(dataset.ids, groups or dataset.ids, strict=True)) if scanned.converted else {}
    for conversion, ids in sorted(scanned.converted.items()):
        found = _count("converted_cells", len(ids), {"what": conversion})
        findings.append(replace(found, n=len({group[i] for i in ids})))
    if scanned.bad:
        count, named = len(scanned.bad), tuple(scanned.lines()[:NAMED_CELLS])
        note = f"the first {NAMED_CELLS}" if count > NAMED_CELLS else ""
        findings.append(replace(_count("cells_set_aside", count, note=note), cells=named))
    return findings


def _missing(missing: Sequence[bool], scope: Mapping[str, str]) -> Finding:
    share = wilson(sum(missing), len(missing))
    return share.finding("missing_cells", scope=scope, unit="share", source="check")


def _count(name: str, n: int, scope: Mapping[str, str] | None = None, note: str = "") -> Finding:
    """A finding whose value is a count, and whose evidence are the counted things."""
    return Finding(name=name, scope=scope or {}, value=float(n), n=n, note=note, source="check")


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows of different parts of the split whose cells of one field look the same.

    left, right: numbers of the training row and of the other row. closeness: their distance over
    the median distance of training rows to their nearest neighbour, 0 = equal.
    """

    field: str
    left: int
    right: int
    closeness: float


def duplicates(
    embeddings: Embeddings, parts: np.ndarray, settings: Check, most: int = 200
) -> tuple[list[Finding], list[NearDuplicate]]:
    """Near-duplicates between training rows and the other rows, in every field: how many there are,
    and the nearest pairs, at most `most` a field. Not counted where training rows hold few
    different values: equal ones are expected then. parts: str [N].
    """
    findings, near_duplicates = [], []
    train = parts == "train"
    for k, field in enumerate(embeddings.fields):
        present = embeddings.present[:, k]
        inside, outside = np.flatnonzero(present & train), np.flatnonzero(present & ~train)
        if len(inside) < 3 or len(outside) < 1:
            continue
        x = embeddings.features[field].astype(np.float64)
        # one scale for all features: columns of large variance stay the important ones
        x = (x - x[inside].mean(0)) / (x[inside].std(0).mean() + 1e-12)
        # one of equal rows, or the scale would be 0 where every row stands there twice
        once = inside[np.unique(embeddings.features[field][inside], axis=0, return_index=True)[1]]
        if len(inside) >= REPEATED * len(once):
            few = f"not counted: {len(inside)} training rows hold {len(once)} different values"
            findings.append(_near(field, None, len(outside), few))
            continue
        distance, place = nearest(x[outside], x[inside])
        between, _ = nearest(x[once], x[once], np.arange(len(once)))
        scale = max(float(np.median(between)), 1e-9)
        closeness = distance / scale
        near = closeness < settings.near
        note = (
            f"validation and test rows, of {len(outside)}, with a near-duplicate among training"
            f" rows: a distance below {settings.near:g} of the median distance to the nearest"
            " neighbour"
        )
        findings.append(_near(field, float(near.sum()), len(outside), note))
        told = closeness.round(6)  # equal cells then come in the order of their rows
        near_duplicates += [
            NearDuplicate(field, int(inside[place[j]]), int(outside[j]), float(told[j]))
            for j in np.argsort(told, kind="stable")[:most]
            if near[j]
        ]
    return findings, near_duplicates


def _near(field: str, value: float | None, n: int, note: str) -> Finding:
    return Finding(
        name="near_duplicates",
        scope={"field": field},
        value=value,
        n=n,
        better="lower",
        note=note,
        source="check",
    )
