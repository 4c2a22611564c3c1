"""The rows of a run: a data set that was read and found usable, its schema, target and parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import ORIGIN_COLUMN, Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.read import read
from gobelin.data.splits import assign, small_classes
from gobelin.data.targets import target_of
from gobelin.embedding import schema
from gobelin.prediction.cross_fit import LEAST_LABELLED_ROWS, check_weights
from gobelin.workbench.run.settings import Settings, check_names


@dataclass(frozen=True)
class Rows:
    """A data set that was read and found usable. parts: str [N]; groups: N group ids; weights:
    float32 [N], for training."""

    dataset: Dataset
    schema: Schema
    target: Target
    parts: np.ndarray
    groups: tuple[str, ...]
    weights: np.ndarray

    def part(self, name: str) -> np.ndarray:
        """int64 [n]: the rows of a part."""
        return np.flatnonzero(self.parts == name)

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """The ids of these rows."""
        return [self.dataset.ids[int(k)] for k in rows]

    def labelled(self, name: str) -> np.ndarray:
        """int64 [n]: the labelled rows of a part."""
        return np.flatnonzero((self.parts == name) & self.target.present)


def read_rows(settings: Settings, dataset: Dataset | None = None) -> Rows:
    """Read the data and refuse what can't be used, before anything is written."""
    data = settings.data
    whole = dataset or read(data.path, data.root or None)
    if made := int((whole.origins != "real").sum()):
        raise GobelinError(
            f"{whole.source}: {made} of {len(whole)} rows are not real, their origin or lineage"
            f" says so (first: row {whole.ids[int(np.flatnonzero(whole.origins != 'real')[0])]})."
            " Made rows may stand in no validation or test set: keep those whose"
            f" {ORIGIN_COLUMN} says real."
        )
    found = schema.infer(whole, data.target or None, settings.choices)
    whole = whole.with_ids(found.role("id")) if found.role("id") else whole.with_ids()
    target = target_of(whole, found)
    if data.target and target.present.sum() < LEAST_LABELLED_ROWS:
        raise GobelinError(
            f"{whole.source}, column {data.target!r}: {int(target.present.sum())} labelled rows, at"
            f" least {LEAST_LABELLED_ROWS} are needed. Add labels."
        )
    if data.target:
        check_weights(settings.predict.weights, target)
    if settings.tune.fields and target.kind in ("labels", "ordinal"):
        raise GobelinError(
            f"tune.fields: encoders are trained on for classes or a number, and {data.target!r} has"
            f" {target.kind} values. Leave it out, or --set schema.{data.target}=category."
        )
    check_names(settings.leave_out, found.field_names, "leave_out")
    if set(found.field_names) <= set(settings.leave_out):
        raise GobelinError(
            "leave_out: names every field, none is left to predict from. Keep one with --set"
            " leave_out=FIELD,..."
        )
    group, split, time = (found.role(r) for r in ("group", "split", "time"))
    values = whole.values(group) if group else list(whole.ids)
    groups = tuple(
        str(v) if v is not None else f"row {i}" for v, i in zip(values, whole.ids, strict=True)
    )
    parts = assign(
        settings.split,
        target,
        groups,
        settings.runtime.seed,
        whole.values(split) if split else None,
        whole.values(time) if time else None,
    )
    if target.kind != "number" and data.target:
        target = replace(target, scored=small_classes(target, parts))
        if target.kind == "labels":
            _enough_labels(target, whole.source)
        elif len(target.classes) < 2:
            raise GobelinError(
                f"{whole.source}, column {data.target!r}: every labelled row says"
                f" {target.classes[0][:40]!r}, two classes at least are needed. Name another"
                " --target."
            )
        elif target.scored.sum() < 2:
            raise GobelinError(
                f"{whole.source}, column {data.target!r}: {int(target.scored.sum())} classes stand"
                f" in training, validation and test, of {len(target.classes)}; two are needed. Add"
                " rows, or change --set split.valid and split.test."
            )
    return Rows(whole, found, target, parts, groups, schema.weights_of(whole, found))


def _enough_labels(target: Target, source: str) -> None:
    if not target.scored.any():
        raise GobelinError(
            f"{source}, column {target.name!r}: none of its {len(target.classes)} labels is there"
            " in some rows of training, validation and test and lacking in others; one is needed."
            " Add rows, or change --set split.valid and split.test."
        )
