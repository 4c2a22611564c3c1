"""The schema of a dataset: the kind and role of every column, and the fields.

Encoders bid for each column, the best bid gives the kind, and the user's choices overrule both.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest, repeated, some, why_damaged
from gobelin.core.files import made_anew
from gobelin.core.shell import set_option
from gobelin.data.dataset import Dataset
from gobelin.data.fields import FILE_KINDS, ROLES, Bid, Column, Field, Schema, set_kind
from gobelin.data.files import OPENED, file_head, spread
from gobelin.data.target_reading import target_reading
from gobelin.data.targets import TARGET_KINDS
from gobelin.data.values.spelling import one_value
from gobelin.embedding.columns.number_remarks import number_remark
from gobelin.embedding.columns.remarks import (
    names_remark,
    odd_one,
    of_objects,
    printed_remark,
    unless_copy,
    unless_files,
    without_target,
)
from gobelin.embedding.columns.roles import (
    WORK_OF_ROLE,
    declared_column,
    different_rows,
    role_of,
    role_remark,
    with_empty_cells,
)
from gobelin.embedding.encoders import Encoder, Sample, declared, reading

SAMPLED_VALUES = 500  # of a column, that encoders bid on
NAMES = ("text", "category")  # kinds that names of files would be taken for


@dataclass(frozen=True)
class Choices:
    """The user's choices about columns and fields."""

    # column -> kind (image, text, number ...) or role (id, group, time, split, weight, ignore). A
    # target is a number, category, ordinal, or labels (several a row: a list, or a text with | or ;
    # between them).
    schema: Mapping[str, str] = field(default_factory=dict)
    # field -> the columns that it joins
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # default encoder of a kind -> settings of the encoder, and `name` for another encoder
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # levels of an ordinal target, the lowest first; without it the levels are numbers
    order: tuple[str, ...] = ()
    # words of the target for a missing answer; without them nan, n/a, null and the like
    missing: tuple[str, ...] = ()
    # fields that prediction does not use; a column of a field with others is not read at all
    left_out: tuple[str, ...] = ()


def default_encoder(kind: str) -> str | None:
    """The encoder that reads columns of this kind where none is named; None for no such encoder."""
    return next((n for n in reading(kind) if declared(n, "default")), None)


def default_encoders() -> list[str]:
    """The encoders that read their kinds where the user names none. None of them is imported."""
    return [n for n in catalog.names("encoders") if declared(n, "default")]


def encoder_for(kind: str, choices: Choices) -> str | None:
    """The name of the encoder that reads columns of this kind: the one that the user chose, else
    the default one; None where none reads it. Raises GobelinError where the chosen one does not
    read this kind."""
    able, default = reading(kind), default_encoder(kind)
    if default is None:
        return able[0] if able else None
    name = str(choices.encoders.get(default, {}).get("name", default))
    if name not in able:
        raise GobelinError(
            f"encoders.{default}.name: {name!r} reads no {kind}.{nearest(name, able)}"
        )
    return name


def build_encoder(name: str, choices: Choices) -> Encoder:
    """The encoder with its settings. In `choices.encoders` they have the name of the default
    encoder of its kind."""
    kind = declared(name, "kinds")[0]
    default = default_encoder(kind) or name
    settings = {k: v for k, v in choices.encoders.get(default, {}).items() if k != "name"}
    return catalog.build("encoders", name, settings)


def infer(dataset: Dataset, target: str | None, choices: Choices) -> Schema:
    """The schema of a dataset. target: name of the target column, None for no target. Raises one
    GobelinError with all mistakes in `choices`."""
    names = dataset.column_names
    _check_choices(names, target, choices, dataset.source)
    columns = tuple(_column(dataset, n, target, choices) for n in names)
    if not any(c.kind in FILE_KINDS for c in columns):
        columns = tuple(
            c if c.name in choices.schema else unless_files(dataset, c) for c in columns
        )
    if target and any(c.name == target and c.kind == "number" for c in columns):
        columns = tuple(
            c if c.name in choices.schema else unless_copy(dataset, c, target) for c in columns
        )
    columns = tuple(with_empty_cells(dataset, _as_left_out(c, choices)) for c in columns)
    fields, unread = _fields(columns, choices)
    if not fields:
        kinds = some(f"{c.name} ({c.kind})" for c in columns)
        raise GobelinError(
            f"{dataset.source}: no column that an encoder reads: {kinds}. Name one with --set"
            " schema.COL=KIND."
        )
    return Schema(columns, fields, unread)


def _check_choices(names: Sequence[str], target: str | None, choices: Choices, source: str) -> None:
    """Raises one GobelinError with all mistakes. names: of the columns. source: of the data, for
    messages."""
    mistakes = []
    if target is not None and target not in names:
        why = without_target(names)
        mistakes.append(
            f"{source}: no column {target!r} to be the target.{nearest(target, names)}{why}"
        )
    kinds = {k for n in catalog.names("encoders") for k in declared(n, "kinds")}
    allowed = {*kinds, *ROLES, "audio", "video"} - {"target"}
    if choices.order and choices.schema.get(target or "", "ordinal") != "ordinal":
        mistakes.append(
            f"data.order: schema.{target} = {choices.schema[str(target)]}, which has no order."
            " Leave one of the two out."
        )
    if len(choices.order) == 1 or len(set(choices.order)) < len(choices.order):
        mistakes.append(
            "data.order: two or more different levels were expected, found"
            f" {', '.join(choices.order)}."
        )
    for column, kind in choices.schema.items():
        if column not in names:
            mistakes.append(
                f"schema.{column}: {source} has no such column.{nearest(column, names)}"
            )
        elif column == target and kind not in TARGET_KINDS:
            mistakes.append(
                f"schema.{column}: is the target, found {kind!r}. Use {', '.join(TARGET_KINDS)}, or"
                " name another --target."
            )
        elif column != target and kind not in allowed:
            mistakes.append(f"schema.{column}: no kind or role {kind!r}.{nearest(kind, allowed)}")
    for role in ROLES:
        columns = [c for c, chosen in choices.schema.items() if chosen == role]
        if role != "ignore" and len(columns) > 1:
            first, second = columns[:2]
            mistakes.append(
                f"schema.{second}: {first!r} has the role {role} already, found two. Keep one."
            )
    for name, members in choices.fields.items():
        mistakes += [
            f"fields.{name}: {source} has no column {m!r}.{nearest(m, names)}"
            for m in members
            if m not in names
        ]
    for name in choices.encoders:
        if name not in catalog.names("encoders"):
            mistakes.append(
                f"encoders.{name}: no such encoder.{nearest(name, catalog.names('encoders'))}"
            )
            continue
        try:
            kind = catalog.find("encoders", name).kinds[0]
            build_encoder(encoder_for(kind, choices) or name, choices)
        except GobelinError as error:
            mistakes += error.args
    if mistakes:
        raise GobelinError(*mistakes)


def _column(dataset: Dataset, name: str, target: str | None, choices: Choices) -> Column:
    """The kind and role of one column, with the reason."""
    values = [v for v in dataset.values(name) if v is not None]
    chosen = choices.schema.get(name)
    bid = _best_bid(name, values, dataset)
    if name == target:
        if bid.kind == "date" and not chosen and not choices.order:
            raise GobelinError(
                f"{dataset.source}, column {name!r}: holds dates, and a date can't be predicted."
                " Give a column with the days from a fixed date, or make each date a class:"
                f" {set_kind(name, 'category')}."
            )
        said = tuple(word.strip().lower() for word in choices.missing)
        if dataset.declared(name) == "category" and not chosen and not choices.order:
            chosen = "category"  # numbers that the reader of the data knows to be classes
        read = target_reading(
            name, values, bid.kind, chosen or "", said, choices.order, dataset.levels(name)
        )
        written = number_remark(name, values, of_target=True) if read.kind == "number" else ""
        remark = " ".join(filter(None, (read.remark, written)))
        return Column(
            name, read.kind, "target", 1.0, "the target", read.levels, read.missing, remark
        )
    if chosen in ROLES:
        return Column(name, bid.kind, str(chosen), 1.0, "set by the user")
    if chosen:
        return Column(name, chosen, "cell", 1.0, "set by the user", remark=bid.remark)
    if values and (given := dataset.declared(name)):
        is_read = given in ROLES or encoder_for(given, choices) is not None
        return declared_column(name, given, is_read, given in choices.schema.values())
    if not values:
        reason = "every cell is empty"
        return Column(name, "empty", "ignore", 1.0, reason, remark=f"not used: {reason}.")
    if len(values) == len(dataset) > 1 and one_value(values):
        reason = "every cell is the same"
        return Column(name, bid.kind, "ignore", 0.9, reason, remark=f"not used: {reason}.")
    different = partial(different_rows, dataset)
    if bid.kind not in FILE_KINDS and (found := role_of(name, values, len(dataset), different)):
        role, reason = found
        role = "ignore" if role == "group" and role in choices.schema.values() else role
        kind = "text" if bid.kind == "unknown" else bid.kind
        remark = f"{reason}: {WORK_OF_ROLE[role]}. As a feature: {set_kind(name, kind)}."
        remark = remark if reason else ""
        return Column(name, bid.kind, role, 0.8, reason or "by its name", remark=remark)
    if without := of_objects(values):
        return Column(name, "unknown", "ignore", 1.0, "printed objects", remark=without)
    printed = printed_remark(values, bid.kind)
    if bid.kind == "unknown":
        odd = str(odd_one(values) or values[0])[:40]
        remark = printed or (
            f"not used, no encoder reads cells such as {odd!r}. Say what they are"
            f" with {set_kind(name, 'text')}, category, number, date, id or group."
        )
        return Column(name, "unknown", "ignore", bid.confidence, bid.reason, remark=remark)
    unread = "" if encoder_for(bid.kind, choices) else f"not used, no encoder reads {bid.kind}."
    remark = unread or " ".join(filter(None, (bid.remark, role_remark(name, values))))
    remark = remark or printed or names_remark(name, values, bid.kind)
    return Column(name, bid.kind, "cell", bid.confidence, bid.reason, remark=remark)


def _as_left_out(column: Column, choices: Choices) -> Column:
    """The column; not read where the user leaves it out and its field has other columns."""
    if column.name not in choices.left_out or column.role != "cell":
        return column
    encoder = encoder_for(column.kind, choices)
    joined = encoder is not None and catalog.find("encoders", encoder).joined
    if joined or any(column.name in members for members in choices.fields.values()):
        return replace(column, role="ignore", reason="in leave_out", remark="")
    return column


def _best_bid(name: str, values: Sequence[Any], dataset: Dataset) -> Bid:
    """The surest bid of all encoders for the present values of a column."""
    step = max(1, len(values) // SAMPLED_VALUES)
    sample = Sample(name, tuple(values[::step][:SAMPLED_VALUES]), len(dataset), dataset.root)
    # an encoder that the user must name bids for nothing
    bids = [b for n in default_encoders() if (b := catalog.find("encoders", n).bid(sample))]
    best = max(bids, key=lambda b: b.confidence, default=None)
    if (best is None or best.kind in NAMES) and (files := _file_names(sample)):
        return files
    if best:
        return best
    return Bid("unknown", 1.0, "no encoder recognises it" if values else "every cell is empty")


def _file_names(sample: Sample) -> Bid | None:
    """A bid for names of files that no encoder bids for, so that they are never learned as texts:
    of images, sounds and videos by their suffix, of other files if they are there. None for other
    values."""
    texts = [v for v in spread(sample.values) if isinstance(v, str)]
    if not texts:
        return None
    guesses = [(mimetypes.guess_type(v)[0] or "").split("/")[0] for v in texts]
    for kind in ("image", "audio", "video"):
        if (share := guesses.count(kind) / len(texts)) > 0.5:
            return Bid(kind, share, f"paths of {kind} files")
    chosen = texts[:: max(1, len(texts) // OPENED)][:OPENED]
    share = sum(bool(file_head(v, sample.root)) for v in chosen) / len(chosen)
    if share <= 0.5 or len(set(texts)) <= 0.5 * len(texts):  # names of a few sources are a category
        return None
    return Bid("file", share, "names of files of a format that no encoder reads")


def _fields(
    columns: tuple[Column, ...], choices: Choices
) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The fields, and the columns that no encoder reads."""
    cells = {c.name: c for c in columns if c.role == "cell"}
    in_field, fields, unread = set(), [], []
    for name, members in choices.fields.items():
        present = [m for m in members if m in cells]
        encoders = {encoder_for(cells[m].kind, choices) for m in present}
        if len(encoders) > 1 or None in encoders:
            raise GobelinError(
                f"fields.{name}: its columns are read by"
                f" {', '.join(map(str, sorted(encoders, key=str)))}; one encoder was expected. Join"
                " columns of one kind."
            )
        in_field |= set(present)
        if present:
            fields.append(Field.of(name, str(encoders.pop()), [cells[m] for m in present]))
    joined: dict[str, list[Column]] = {}  # encoder -> the columns of its one field
    for column in cells.values():
        if column.name in in_field:
            continue
        encoder = encoder_for(column.kind, choices)
        if encoder is None:
            unread.append(column.name)
        elif catalog.find("encoders", encoder).joined:
            joined.setdefault(encoder, []).append(column)
        else:
            fields.append(Field.of(column.name, encoder, [column]))
    fields += [Field.of(encoder, encoder, members) for encoder, members in joined.items()]
    if (twice := repeated(f.name for f in fields)) is not None:
        listed = ",".join(next(f.columns for f in reversed(fields) if f.name == twice))
        raise GobelinError(
            f"fields.{twice}: two fields have this name. Rename the column, or join the other"
            f" columns under another name with {set_option('fields.NAME', listed)}."
        )
    return tuple(fields), tuple(unread)


def remarks(schema: Schema) -> list[str]:
    """A line for each column that is read in one of several ways, or not used; the target first.
    Columns of which the same is said share a line.
    """
    lines: dict[str, list[str]] = {}
    for column in sorted(schema.columns, key=lambda c: c.role != "target"):
        if column.remark:
            lines.setdefault(column.remark, []).append(repr(column.name))
    return [
        f"column{'s' * (len(names) > 1)} {', '.join(names[:5])}"
        f"{f' and {len(names) - 5} more' if len(names) > 5 else ''}: {remark}"
        for remark, names in lines.items()
    ]


def weights_of(dataset: Dataset, schema: Schema) -> np.ndarray:
    """float32 [N]: how much each row counts in training, from the column with the role weight; 1
    without such a column, or where it is empty. Raises GobelinError for a weight that is no number
    from 0 up."""
    name = schema.role("weight")
    out = np.ones(len(dataset), np.float32)
    for k, v in enumerate(dataset.values(name) if name in dataset.column_names else ()):
        if v is None:
            continue
        try:
            out[k] = float(v)
        except (TypeError, ValueError):
            out[k] = np.nan
        if not (np.isfinite(out[k]) and out[k] >= 0):
            raise GobelinError(
                f"{dataset.source}, row {dataset.ids[k]}, column {name!r}: {str(v)[:40]!r} is no"
                " weight; a number from 0 up was expected. Correct it."
            )
    return out


def described(schema: Schema) -> dict[str, Any]:
    """The schema as schema.json holds it: without the fields' kinds, which follow from the
    columns."""
    columns = [vars(c) for c in schema.columns]
    fields = [{"name": f.name, "encoder": f.encoder, "columns": f.columns} for f in schema.fields]
    return {"columns": columns, "fields": fields, "unread": list(schema.unread)}


def restored(values: Mapping[str, Any], where: Path) -> Schema:
    """The inverse of `described`. where: the file, for messages. Raises GobelinError: damaged."""
    try:
        columns = tuple(
            Column(**{**c, **{n: tuple(c.get(n, ())) for n in ("levels", "missing")}})
            for c in values["columns"]
        )
        named = {c.name: c for c in columns}
        fields = tuple(
            Field.of(f["name"], f["encoder"], [named[c] for c in f["columns"]])
            for f in values["fields"]
        )
        texts = [v for f in fields for v in (f.name, f.encoder)] + list(values["unread"])
        for c in columns:
            texts += (c.name, c.kind, c.role, c.reason, c.remark, *c.levels, *c.missing)
        if not all(isinstance(v, str) for v in texts):
            raise ValueError("a name of a column or of a field, or a level, is not a text")
        return Schema(columns, fields, tuple(values["unread"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GobelinError(
            f"{where}: is damaged ({why_damaged(error)}). {made_anew(where, 'gobelin fit')}"
        ) from error
