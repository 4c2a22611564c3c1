"""Training, validation and test rows: by group, stratified by class, or by time.

The order of rows moves nobody: the groups of a stratum are ordered by a hash of the seed and their
names, and cut by share. Groups whose part was recorded keep it, and new groups fill the shares.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from gobelin.core.config import resolved, setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.machine import hash_order, numpy_generator
from gobelin.data.fields import Target
from gobelin.data.split.part_names import SPLIT_PARTS, part_of
from gobelin.data.values.dates import days, undecided
from gobelin.data.values.numbers import number

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
AFTER_DRAWING = ("parts_from", "purge", "embargo")  # settings that change no row's part
DRAWN = {"valid": "validation", "test": "test"}  # parts that can be drawn from training rows


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
    purge: Annotated[float, setting(ge=0)] | None = setting(
        default=None,
        description="With by = time: time until a row's answer is known, in days or as the times.",
    )
    embargo: float = setting(
        default=0.0, ge=0, description="With by = time: more time between rows of two parts."
    )
    parts_from: str = setting(
        default="", description="Run folder whose parts are taken over. New groups fill the shares."
    )

    def __post_init__(self) -> None:
        if self.valid + self.test >= 0.99:
            raise ValueError(
                f"valid = {self.valid} and test = {self.test} must leave more than 0.01 to train"
            )
        if self.gap and self.by != "time":
            raise ValueError("purge and embargo need by = time, found by = random")

    @property
    def drawn(self) -> dict[str, Any]:
        """The settings by which new groups are drawn."""
        return {name: v for name, v in resolved(self).items() if name not in AFTER_DRAWING}

    @property
    def gap(self) -> float:
        """The time that must lie between a row that is learned from and one that judges."""
        return (self.purge or 0.0) + self.embargo


def assign(
    settings: Split,
    target: Target,
    groups: Sequence[str],
    seed: int,
    given: Sequence[str | None] | None = None,
    times: Sequence[object] | None = None,
    recorded: Mapping[str, str] | None = None,
    by_row_order: bool = False,
) -> np.ndarray:
    """str [N]: the part of every row: train, valid or test. All rows of a group are in one part;
    rows without a target are training rows, unless a part was recorded.

    groups: group id of each row [N]. given: the user's split column [N]; where it exists, it is
    used as it is, and a part that it lacks is drawn from its training rows. times: of each row [N],
    for by = 'time'. recorded: {group: part} of groups that
    keep their part. by_row_order: as in runs of before parts were recorded. Raises GobelinError.
    """
    recorded = recorded or {}
    if given is not None:
        parts = _with_lacking(_given(given, groups), settings, target, groups, seed, recorded)
        _refuse_moved(parts, groups, recorded)
        return parts
    parts = np.array([recorded.get(g, "train") for g in groups], dtype="<U5")
    labelled = np.flatnonzero(target.present)
    units, shares = _units(groups), (settings.valid, settings.test)
    sizes = {u: int(target.present[rows].sum()) for u, rows in units.items()}
    if settings.by == "time":
        if times is None:
            raise GobelinError(
                "split.by = time: no column has the role time. Use --set schema.COLUMN=time."
            )
        moments = row_moments(times, labelled)
        latest = {u: max(moments[k] for k in rows) for u, rows in units.items()}
        strata = [sorted(units, key=lambda u: (latest[u], u))]
        known = target.present
        timed = [u for u in strata[0] if known[units[u]].any()]
        if any(recorded.get(u, "train") != "train" for u in timed):
            borders = _borders([u for u in timed if u in recorded], latest, recorded)
            for unit in (u for u in timed if u not in recorded):
                inside = [part for moment, part in borders if latest[unit] >= moment]
                parts[units[unit]] = inside[-1] if inside else "train"
            return parts
    else:
        strata = _strata(target, units, sizes, shares, seed, by_row_order)
    if settings.by == "time" and not any(u in recorded for u in units):
        return _moments_whole(parts, strata[0], latest, units, sizes, shares)
    for stratum in strata:
        _fill(parts, stratum, units, sizes, shares, recorded)
    return parts


def _moments_whole(
    parts: np.ndarray,
    order: Sequence[str],
    latest: Mapping[str, Any],
    units: Mapping[str, list[int]],
    sizes: Mapping[str, int],
    shares: tuple[float, float],
) -> np.ndarray:
    """The parts of units in the order of time, with all units of one moment in one part: rows of
    one day are no strangers to each other. Where a part would then be empty, a moment is divided,
    which is told.

    latest: the moment of each unit. Others as of `_fill`."""
    of_moment: dict[Any, list[str]] = {}
    for unit in filter(lambda u: sizes[u], order):
        of_moment.setdefault(latest[unit], []).append(unit)
    moments = {str(k): some for k, some in enumerate(of_moment.values())}
    rows = {name: [row for u in some for row in units[u]] for name, some in moments.items()}
    counts = {name: sum(sizes[u] for u in some) for name, some in moments.items()}
    whole, divided = parts.copy(), parts.copy()
    _fill(whole, list(moments), rows, counts, shares, {})
    _fill(divided, order, units, sizes, shares, {})
    if set(divided.tolist()) <= set(whole.tolist()):
        return whole
    LOG.warning(
        "split.by = time: the labelled rows have %d different times, so rows of one time stand in"
        " two parts.",
        len(moments),
    )
    return divided


def _with_lacking(
    parts: np.ndarray,
    settings: Split,
    target: Target,
    groups: Sequence[str],
    seed: int,
    recorded: Mapping[str, str],
) -> np.ndarray:
    """The user's parts; validation or test rows that they lack are drawn from the training rows, in
    the proportion of the settings' shares. Recorded groups keep their part.
    """
    lacking = [part for part in DRAWN if not (parts == part).any()]
    training = np.flatnonzero(parts == "train")
    if not lacking or not target.present[training].any():
        return parts
    shares = {"valid": settings.valid, "test": settings.test}
    left = 1 - sum(share for part, share in shares.items() if part not in lacking)
    valid, test = (shares[part] / left if part in lacking else 0.0 for part in ("valid", "test"))
    drawn = (valid, test)
    units: dict[str, list[int]] = {}
    for k in training.tolist():
        units.setdefault(groups[k], []).append(k)
    kept = {u: recorded[u] for u in units if recorded.get(u) in ("train", *lacking)}
    out = parts.copy()
    for unit, part in kept.items():
        out[units[unit]] = part
    sizes = {u: int(target.present[rows].sum()) for u, rows in units.items()}
    for stratum in _strata(target, units, sizes, drawn, seed):
        _fill(out, stratum, units, sizes, drawn, kept)
    counts = [f"{(out == part).sum()} {DRAWN[part]} rows" for part in lacking]
    LOG.warning(
        "split column: names no %s rows; %s were drawn from the training rows.",
        " and no ".join(DRAWN[part] for part in lacking),
        " and ".join(counts),
    )
    return out


def _borders(
    kept: Sequence[str], latest: Mapping[str, Any], recorded: Mapping[str, str]
) -> list[tuple[Any, str]]:
    """(first moment, part) of the validation and of the test rows. A new group takes the part into
    whose time it falls, so that every test row stays later than every training row.

    kept: recorded groups. Raises GobelinError where recorded parts don't follow each other in time.
    """
    borders, before = [], None
    for part in SPLIT_PARTS:
        moments = [latest[u] for u in kept if recorded[u] == part]
        if not moments:
            continue
        if before is not None and min(moments) < before:
            raise GobelinError(
                f"split.by = time: the recorded parts are not in the order of time: {part} rows"
                " begin before those of an earlier part end. Choose another --run, without"
                " --parts-from."
            )
        before = max(moments)
        borders += [(min(moments), part)] if part != "train" else []
    return borders


def row_moments(times: Sequence[object], labelled: np.ndarray) -> list[tuple[bool, float | str]]:
    """Sort keys of the rows: numbers as numbers ('9' before '10'), dates as dates, else texts,
    which a warning tells. A row without a time comes first. labelled: numbers of rows that must
    have a time. Raises GobelinError where one of them has none, and for a text among numbers or
    dates: it would put all rows in the order of the alphabet.
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
    odd = [k for k, t in enumerate(times) if t is not None and moments[k] is None]
    if not odd:
        return [(moment is not None, moment or 0.0) for moment in moments]
    texts = [k for k in odd if number(times[k]) is None]
    if texts and len(texts) < sum(t is not None for t in times):
        raise GobelinError(
            f"split.by = time: row {texts[0]} has {str(times[texts[0]])[:40]!r}, which is neither a"
            " number nor a date, as other times are. Correct it, or leave the row out."
        )
    LOG.warning(
        "split.by = time: times such as %r are neither numbers nor dates. They are put in the order"
        " of the alphabet.",
        str(times[odd[0]])[:40],
    )
    return [(t is not None, "" if t is None else str(t)) for t in times]


def _strata(
    target: Target,
    units: Mapping[str, list[int]],
    sizes: Mapping[str, int],
    shares: tuple[float, float],
    seed: int,
    by_row_order: bool = False,
) -> list[list[str]]:
    """Units (groups) by their most frequent class (of several the first), or by thirds of a number;
    each list in an order of hashes. Strata of labels that are too small to give each part a row
    are joined: filled one by one they would leave validation and test rows out where labels are
    many and rare. units: {group: numbers of its rows}. sizes: labelled rows of each unit. shares:
    of the validation and of the test rows.
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
        counts = Counter(int(label[k]) for k in rows if label[k] >= 0)
        best = -1
        if counts and by_row_order:  # ties were broken so
            best = max(set(counts.elements()), key=counts.__getitem__)
        elif counts:
            best = min(counts, key=lambda c: (-counts[c], c))
        by_class.setdefault(best, []).append(unit)
    strata = [names for _, names in sorted(by_class.items())]
    if by_row_order:
        return [[names[k] for k in rng.permutation(len(names))] for names in strata]
    if target.kind == "labels":
        least = 1 / min(share for share in shares if share)
        whole, joined = [], []
        for names in strata:
            if sum(sizes[u] for u in names) < least:
                joined += names
            else:
                whole.append(names)
        strata = [*whole, joined]
    return [hash_order(names, seed, "split") for names in strata]


def _fill(
    parts: np.ndarray,
    order: Sequence[str],
    units: Mapping[str, list[int]],
    sizes: Mapping[str, int],
    shares: tuple[float, float],
    recorded: Mapping[str, str],
) -> None:
    """The last new units of `order` become test rows, those before them validation rows, by what
    the recorded units leave of each share of the labelled rows. Changes `parts` in place.

    sizes: labelled rows of each unit. shares: of the validation and of the test rows.
    """
    total = sum(sizes[u] for u in order)
    taken = {part: 0 for part in SPLIT_PARTS}
    for unit in order:
        if unit in recorded:
            taken[recorded[unit]] += sizes[unit]
    test = max(0.0, shares[1] * total - taken["test"])
    both = test + max(0.0, shares[0] * total - taken["valid"])
    if not any(taken.values()):
        both = (shares[1] + shares[0]) * total
    stop = 0
    for unit in reversed(order):
        if unit in recorded or not sizes[unit]:
            continue
        start, stop = stop, stop + sizes[unit]
        middle = start + sizes[unit] / 2
        if middle < both:
            parts[units[unit]] = "test" if middle < test else "valid"


def _units(groups: Sequence[str]) -> dict[str, list[int]]:
    units: dict[str, list[int]] = {}
    for k, g in enumerate(groups):
        units.setdefault(g, []).append(k)
    return units


def _refuse_moved(parts: np.ndarray, groups: Sequence[str], recorded: Mapping[str, str]) -> None:
    """Raises GobelinError where the user's split column moves groups out of their recorded part."""
    moved = {
        g: part
        for g, part in zip(groups, parts.tolist(), strict=True)
        if recorded.get(g, part) != part
    }
    if moved:
        group, part = next(iter(moved.items()))
        raise GobelinError(
            f"split column: moves {len(moved)} groups out of their recorded part (first: {group!r}"
            f" from {recorded[group]} to {part}). Put them back, or choose another --run, without"
            " --parts-from."
        )


def _given(given: Sequence[str | None], groups: Sequence[str]) -> np.ndarray:
    parts = []
    for value in given:
        part = part_of(value or "train")
        if not part:
            raise GobelinError(
                f"split column: {value!r} is no part of a split.{nearest(str(value), SPLIT_PARTS)}"
                " Correct it, or leave the column out with --set schema.COLUMN=ignore."
            )
        parts.append(part)
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
