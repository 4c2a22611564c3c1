"""The rows of a run: a data set that was read and found usable, its schema, target and parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.printable import counted
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import ORIGIN_COLUMN, Dataset
from gobelin.data.fields import Schema, Target, set_kind
from gobelin.data.read import read
from gobelin.data.split.parts import NamedRows, RecordedParts, group_name
from gobelin.data.split.purging import TimeOrder, purged, time_order
from gobelin.data.split.splits import Split, scored_classes
from gobelin.data.targets import target_of
from gobelin.data.values.numbers import looks_written
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.remarks import odd_one
from gobelin.prediction.abstention import check_limit
from gobelin.prediction.cross_fit import LEAST_LABELLED_ROWS, check_weights
from gobelin.prediction.scoring import check_metric
from gobelin.prediction.trading import misfits
from gobelin.workbench.run.parts import drawn_parts, made_before
from gobelin.workbench.run.settings import Settings, unknown_names

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Rows:
    """A data set of N rows that was read and found usable."""

    dataset: Dataset
    schema: Schema
    target: Target
    parts: np.ndarray  # str [N]: train, valid or test; 'left' where a resample leaves a row out
    groups: tuple[str, ...]  # N group ids
    weights: np.ndarray  # float32 [N], for training
    named: NamedRows  # the rows as read, with names that don't depend on their order
    record: RecordedParts  # of the parts, as the run folder keeps it
    parts_key: str  # hash of the parts; '' in a run of before parts were recorded

    def part(self, name: str) -> np.ndarray:
        """int64 [n]: the rows of a part."""
        return np.flatnonzero(self.parts == name)

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """The ids of these rows."""
        return [self.dataset.ids[int(k)] for k in rows]

    def order(self, split: Split) -> TimeOrder | None:
        """The order in time of the rows of a split by time; None for another split."""
        time = self.schema.role("time")
        return time_order(split, self.dataset.values(time) if time else None)

    def labelled(self, name: str) -> np.ndarray:
        """int64 [n]: the labelled rows of a part."""
        return np.flatnonzero((self.parts == name) & self.target.present)


def read_rows(
    settings: Settings, dataset: Dataset | None = None, folder: RunFolder | None = None
) -> Rows:
    """Read the data and refuse what can't be used, before anything is written.

    dataset: in the place of the file that the settings name. folder: of the run, whose recorded
    parts are kept. Raises one GobelinError with a line
    for each mistake. Without a schema or a target the mistakes that rest on it stay unknown.
    """
    data = settings.data
    whole = read(data.path, data.root or None) if dataset is None else dataset
    mistakes = _generated_rows(whole)
    known = _attempt(mistakes, partial(_schema, settings, whole, folder))
    if known is None:
        raise _refusal(mistakes)
    mistakes += _left_out(settings.leave_out, known)
    identified = _attempt(mistakes, lambda: _identified(whole, known.role("id")))
    if identified is None:
        raise _refusal(mistakes)
    target = _attempt(mistakes, lambda: target_of(identified, known))
    if target is None:
        raise _refusal(mistakes)
    few = _few_labels(settings, identified, target)
    mistakes += few + _training(settings, target)
    by_time = settings.split.by == "time"
    mistakes += misfits(settings.trade, whole.column_names, known, target, by_time)
    named = NamedRows.of(whole, known)
    before = made_before(folder, whole)
    groups = _numbered_groups(identified, known) if before else named.names
    drawn = _attempt(mistakes, partial(drawn_parts, settings, folder, named, known, target, groups))
    if drawn is None:
        raise _refusal(mistakes)
    parts, record = drawn
    order = _attempt(mistakes, partial(_time_order, settings, identified, known))
    if order is not None:
        target = target.without(overlapping := purged(order, parts, target.present))
        _say_purged(settings, parts, overlapping)
    if data.target and target.kind != "number":
        target = replace(target, scored=scored_classes(target, parts))
        # with hardly a label, a lack of classes is no mistake of its own
        mistakes += [] if few else _few_classes(target, identified, known)
    if mistakes:
        raise _refusal(mistakes)
    weights, key = schema.weights_of(identified, known), "" if before else record.key
    return Rows(identified, known, target, parts, groups, weights, named, record, key)


def _schema(settings: Settings, whole: Dataset, folder: RunFolder | None) -> Schema:
    """The schema of the data. A run that was begun with the same data and choices keeps its own:
    what was fitted rests on it, and a later version may read a column in another way.
    """
    target = settings.data.target or None
    if folder is not None and folder.exists():
        stored = {"data": {}, **folder.stored("settings.json")}
        now = {**resolved(settings), "data": resolved(settings.data)}
        same = all(stored.get(n, {}) == now[n] for n in ("schema", "fields", "encoders"))
        same &= list(stored.get("leave_out", ())) == list(now["leave_out"])
        same &= all(stored["data"].get(n, []) == now["data"][n] for n in ("order", "missing"))
        same &= stored["data"].get("target") == settings.data.target
        if same and stored["data"].get("fingerprint") == whole.fingerprint:
            if (folder.folder / "schema.json").is_file():
                where = folder.folder / "schema.json"
                return schema.restored(folder.stored("schema.json"), where)
    return schema.infer(whole, target, settings.choices)


def _time_order(settings: Settings, whole: Dataset, known: Schema) -> TimeOrder | None:
    """The order in time of the rows of a split by time; None for another split."""
    time = known.role("time")
    return time_order(settings.split, whole.values(time) if time else None)


def _say_purged(settings: Settings, parts: np.ndarray, overlapping: np.ndarray) -> None:
    """Tell how many rows lost their answer."""
    counts = {part: int((overlapping & (parts == part)).sum()) for part in ("train", "valid")}
    if any(counts.values()):
        LOG.warning(
            "split.purge = %g and split.embargo = %g: the answers of %d training rows and %d"
            " validation rows are not used, as they reach into the time of later rows that judge.",
            settings.split.purge or 0.0,
            settings.split.embargo,
            counts["train"],
            counts["valid"],
        )


def _attempt(mistakes: list[str], function: Callable[[], ResultT]) -> ResultT | None:
    """What the function returns; None where it refuses, with its message among the mistakes."""
    try:
        return function()
    except GobelinError as error:
        mistakes += error.args
        return None


def _refusal(mistakes: Sequence[str]) -> GobelinError:
    """One error with a line for each mistake."""
    return GobelinError(*mistakes)


def _generated_rows(whole: Dataset) -> list[str]:
    """Rows that say that they are not real."""
    generated = np.flatnonzero(whole.origins != "real")
    if not len(generated):
        return []
    return [
        f"{whole.source}: {len(generated)} of {len(whole)} rows are not real, their origin or"
        f" lineage says so (first: row {whole.ids[int(generated[0])]}). Generated rows may stand in"
        f" no validation or test set: keep those whose {ORIGIN_COLUMN} says real."
    ]


def _identified(whole: Dataset, column: str | None) -> Dataset:
    """The data set with the ids of a column, or with row numbers."""
    return whole.with_ids(column) if column else whole.with_ids()


def _left_out(names: tuple[str, ...], known: Schema) -> list[str]:
    """Names in `leave_out` that are no field and no column, or no field that is left."""
    fields = known.field_names
    columns = {column.name for column in known.columns} & set(names)
    unknown = unknown_names(tuple(n for n in names if n not in columns), fields, "leave_out")
    if unknown or not set(fields) <= set(names):
        return unknown
    return [
        "leave_out: names every field, none is left to predict from. Keep one with --set"
        " leave_out=FIELD,..."
    ]


def _few_labels(settings: Settings, whole: Dataset, target: Target) -> list[str]:
    """Fewer labelled rows than a predictor needs."""
    name, count = settings.data.target, int(target.present.sum())
    if not name or count >= LEAST_LABELLED_ROWS:
        return []
    return [
        f"{whole.source}, column {name!r}: {counted(count, 'labelled row', 'labelled rows')},"
        f" at least {LEAST_LABELLED_ROWS} are needed. Add labels."
    ]


def _training(settings: Settings, target: Target) -> list[str]:
    """Settings of training that don't fit the target."""
    mistakes: list[str] = []
    name = settings.data.target
    if name:
        _attempt(mistakes, lambda: check_weights(settings.predict.weights, target))
        _attempt(mistakes, lambda: check_metric(settings.predict.metric, target))
        _attempt(mistakes, lambda: check_limit(settings.predict.max_error, target))
    if settings.tune.fields and target.kind in ("labels", "ordinal"):
        mistakes.append(
            f"tune.fields: encoders are trained on for classes or a number, and {name!r} has"
            f" {target.kind} values. Leave it out, or {set_kind(name, 'category')}."
        )
    return mistakes


def _numbered_groups(whole: Dataset, known: Schema) -> tuple[str, ...]:
    """N group ids as runs have them that were made before parts were recorded: a row without a
    group and an id is named by its number.
    """
    group = known.role("group")
    values = whole.values(group) if group else list(whole.ids)
    pairs = zip(values, whole.ids, strict=True)
    return tuple(str(v) if v is not None else f"row {i}" for v, i in pairs)


def _few_classes(target: Target, dataset: Dataset, known: Schema) -> list[str]:
    """Too few classes or labels that stand in every part. target: with `scored` filled in."""
    where, count = f"{dataset.source}, column {target.name!r}", len(target.classes)
    if target.kind == "labels":
        if target.scored.any():
            return []
        return [
            f"{where}: none of its {count} labels is there in some rows of training, validation"
            " and test and lacking in others; one is needed. Add rows, or change --set split.valid"
            " and split.test."
        ]
    if count < 2:
        return [
            f"{where}: every labelled row says {target.classes[0][:40]!r}, two classes at least are"
            " needed. Name another --target."
        ]
    if target.scored.sum() < 2:
        return [
            f"{where}: {int(target.scored.sum())} classes stand in training, validation and test,"
            f" of {count}; two are needed. Add rows, or change --set split.valid and split.test."
            + _groups_told(dataset, known)
            + _read_as_classes(dataset.values(target.name))
            + next((f" {c.remark}" for c in known.columns if c.role == "target" and c.remark), "")
        ]
    return []


def _groups_told(dataset: Dataset, known: Schema) -> str:
    """How many groups there are, which parts can't divide; '' where each row is its own."""
    if not (group := known.role("group")):
        return ""
    values = dataset.values(group)
    count = values.count(None) + len({group_name(v) for v in values if v is not None})
    groups = counted(count, "group", "groups")
    return f" Rows of one group stay in one part, and {group!r} has {groups}."


def _read_as_classes(values: Sequence[Any]) -> str:
    """Why values that look like numbers are classes; '' for others."""
    present = [v for v in values if v is not None]
    if not looks_written(present) or not (odd := odd_one(present)):
        return ""
    return f" Cells such as {str(odd)[:40]!r} are no numbers, so all are classes: write numbers."
