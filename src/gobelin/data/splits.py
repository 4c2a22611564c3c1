"""Training, validation and test rows: by group, stratified by class, or by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.machine import numpy_generator
from gobelin.data.dates import days, undecided
from gobelin.data.fields import Target

SPLIT_PARTS = ("train", "valid", "test")


@settings_class
class Split:
    """Shares of the training, validation and test rows."""

    valid: float = setting(
        default=0.2, gt=0, lt=1, description="Share of the labelled rows used for validation."
    )
    test: float = setting(
        default=0.25, gt=0, lt=1, description="Share of the labelled rows used for the test."
    )
    by: Literal["random", "time"] = setting(
        default="random",
        description="How rows are chosen. time: the latest rows are the test rows.",
    )

    def __post_init__(self) -> None:
        if self.valid + self.test >= 0.99:
            raise ValueError(
                f"valid = {self.valid} and test = {self.test} must leave more than 0.01 to train"
            )


def assign(
    settings: Split,
    target: Target,
    groups: Sequence[str],
    seed: int,
    given: Sequence[str | None] | None = None,
    times: Sequence[object] | None = None,
) -> np.ndarray:
    """str [N]: the part of every row: train, valid or test. All rows of a group are in one part;
    rows without a target are training rows.

    groups: group id of each row [N]. given: the user's split column [N]; where it exists, it is
    used as it is. times: of each row [N], for by = 'time'. Raises GobelinError.
    """
    if given is not None:
        return _given(given, groups)
    parts = np.full(len(groups), "train", dtype="<U5")
    labelled = np.flatnonzero(target.present)
    unit_of, units = _units(groups)
    if settings.by == "time":
        if times is None:
            raise GobelinError(
                "split.by = time: no column has the role time. Use --set schema.COLUMN=time."
            )
        moments = _moments(times, labelled)
        latest = {u: max(moments[k] for k in rows) for u, rows in units.items()}
        order = sorted(units, key=lambda u: (latest[u], u))
        strata = [order]
    else:
        strata = _strata(target, units, seed)
    labelled_rows = set(labelled.tolist())
    for stratum in strata:
        _fill(parts, stratum, units, labelled_rows, settings)
    return parts


def _moments(times: Sequence[object], labelled: np.ndarray) -> list[tuple[bool, float | str]]:
    """Sort keys of the rows: numbers as numbers ('9' before '10'), dates as dates, else texts. A
    row without a time comes first. labelled: numbers of rows that must have a time.
    """
    for k in labelled:
        if times[k] is None:
            raise GobelinError(
                f"split.by = time: row {k} has a target and no time. Fill it in, or leave the row"
                " out."
            )
    try:
        return [(t is not None, 0.0 if t is None else float(t)) for t in times]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    order, doubtful = undecided(times)
    if doubtful and not order:
        raise GobelinError(
            f"split.by = time: {doubtful[:40]!r} can be read with the day first and with the month"
            " first, and no other time says which. Write dates as 2026-12-24."
        )
    moments = [days(t, order) for t in times]
    if all(t is None or moment is not None for t, moment in zip(times, moments, strict=True)):
        return [(moment is not None, moment or 0.0) for moment in moments]
    return [(t is not None, "" if t is None else str(t)) for t in times]


def _strata(target: Target, units: dict[str, list[int]], seed: int) -> list[list[str]]:
    """Units (groups) by their most frequent class, or by thirds of a number; each list in random
    order. units: {group: numbers of its rows}.
    """
    rng = numpy_generator(seed, "split")
    if target.kind == "number":
        known = target.values[target.present]
        edges = np.quantile(known, [1 / 3, 2 / 3]) if len(known) else np.zeros(2)
        label = np.where(target.present, np.searchsorted(edges, np.nan_to_num(target.values)), -1)
    else:
        label = target.strata
    by_class: dict[int, list[str]] = {}
    for unit, rows in units.items():
        labels = [int(label[k]) for k in rows if label[k] >= 0]
        by_class.setdefault(max(set(labels), key=labels.count) if labels else -1, []).append(unit)
    out = []
    for _, names in sorted(by_class.items()):
        out.append([names[k] for k in rng.permutation(len(names))])
    return out


def _fill(
    parts: np.ndarray,
    order: list[str],
    units: dict[str, list[int]],
    labelled: set[int],
    settings: Split,
) -> None:
    """The last units of `order` become test rows, those before them validation rows, by shares of
    the labelled rows. Changes `parts` in place.
    """
    sizes = [sum(k in labelled for k in units[u]) for u in order]
    total = sum(sizes)
    for part, share, before in (
        ("test", settings.test, 0.0),
        ("valid", settings.valid, settings.test),
    ):
        stop = 0
        for unit, size in zip(reversed(order), reversed(sizes), strict=True):
            start, stop = stop, stop + size
            if size and before * total <= start + size / 2 < (before + share) * total:
                parts[units[unit]] = part


def _units(groups: Sequence[str]) -> tuple[np.ndarray, dict[str, list[int]]]:
    units: dict[str, list[int]] = {}
    for k, g in enumerate(groups):
        units.setdefault(g, []).append(k)
    return np.array(groups), units


def _given(given: Sequence[str | None], groups: Sequence[str]) -> np.ndarray:
    names = {
        "train": "train",
        "training": "train",
        "valid": "valid",
        "val": "valid",
        "validation": "valid",
        "test": "test",
        "testing": "test",
    }
    parts = []
    for value in given:
        name = names.get((value or "train").lower())
        if name is None:
            raise GobelinError(
                f"split column: {value!r} is no part of a split.{nearest(str(value), SPLIT_PARTS)}"
            )
        parts.append(name)
    part_of_group: dict[str, str] = {}
    for group, part in zip(groups, parts, strict=True):
        if part_of_group.setdefault(group, part) != part:
            raise GobelinError(
                f"split column: group {group!r} is in {part_of_group[group]} and in {part}. Put all"
                " rows of a group into one part."
            )
    return np.array(parts)


def scored_classes(target: Target, parts: np.ndarray) -> np.ndarray:
    """bool [C]: True for classes that every part has; only they are scored. With several labels,
    every part also needs rows without the label. parts: str [N].
    """
    scored = np.ones(len(target.classes), bool)
    for part in SPLIT_PARTS:
        labelled_rows = np.flatnonzero((parts == part) & target.present)
        counts = target.counts(labelled_rows)
        scored &= (counts > 0) & ((counts < len(labelled_rows)) | target.exclusive)
    return scored
