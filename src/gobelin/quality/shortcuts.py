"""Shortcuts: a scanner, a hospital or another way of recording that goes with the target, and that
images, sounds or texts give away.

A predictor can then read the scanner in place of the disease. It looks good on rows of these
scanners, and fails where they see other patients (Zech et al. 2018: pneumonia by hospital; DeGrave
et al. 2021). Two things are asked of each column that tells how a row was recorded:
1. Does it go with the target? Cramer's V with the correction of Bergsma 2013, and a permutation
   test, over groups.
2. Do the features of a field tell it? The cross-fitted balanced accuracy of a ridge classifier.

What this cannot show: that a predictor uses the shortcut (`explain` does, and a test on another
scanner), or a way of recording that no column names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals
from gobelin.evidence.findings import Finding
from gobelin.quality.giveaways import leave_out_option

# words in the names of columns that tell how a row was recorded
RECORDING = frozenset(
    "scanner manufacturer vendor maker model device machine station site hospital clinic center"
    " centre institution camera sensor detector lab laboratory batch plate protocol coil kvp"
    " operator technician equipment microscope".split()
)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
MOST_VALUES = 20  # different ones; of more, each has too few rows
DRAWS = 999  # of the permutation test
LEAST_ASSOCIATION, MOST_CHANCE = 0.3, 0.01  # Cramer's V, p value
CLEARLY = 0.2  # above guessing: the lower end of the interval of the balanced accuracy
FOLDS, MOST_ROWS = 5, 2000
NAMED = 4  # values in the note


@dataclass(frozen=True)
class Recording:
    """A column that tells how rows were recorded, on the n rows that have a compared value.

    rows: int [n], of the dataset. value: int [n], places in `names`. counts: int [V, C], groups of
    each value by class. alike: other columns that part the rows in the same way.
    """

    column: str
    rows: np.ndarray
    value: np.ndarray
    names: tuple[str, ...]
    counts: np.ndarray
    alike: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """The column, and those that say the same."""
        return f"{self.column} (like {', '.join(self.alike)})" if self.alike else self.column

    def parts_as(self, other: Recording) -> bool:
        """Whether both part the same rows in the same way."""
        if not np.array_equal(self.rows, other.rows):
            return False
        pairs = set(zip(self.value.tolist(), other.value.tolist(), strict=True))
        return len(pairs) == len(self.names) == len(other.names)

    def told(self, target: Target) -> str:
        """The most frequent class of each value, and its share."""
        parts = []
        for k in np.argsort(-self.counts.sum(1), kind="stable")[:NAMED]:
            best = int(self.counts[k].argmax())
            share = 100 * self.counts[k, best] / self.counts[k].sum()
            parts.append(f"{self.names[k]!r} {share:.0f} % {target.classes[best]!r}")
        more = len(self.names) - NAMED
        return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def recordings(
    dataset: Dataset,
    schema: Schema,
    target: Target,
    groups: Sequence[str],
    rows: np.ndarray,
    least_groups: int = LEAST_GROUPS,
) -> list[Recording]:
    """The columns that tell how rows were recorded, by their names, with at least two values of
    `LEAST_GROUPS` groups, or of `least_groups` where these are more. groups: N names. rows: numbers
    of the training rows."""
    least = max(LEAST_GROUPS, least_groups)
    if not target.exclusive:
        return []
    rows = rows[target.present[rows]]
    roles = {schema.role(role) for role in ("target", "id", "group", "time", "split", "weight")}
    found: list[Recording] = []
    for column in (name for name in dataset.column_names if name not in roles):
        if RECORDING & {word.lower() for word in WORD.findall(column)}:
            values = dataset.values(column)
            known = np.array([r for r in rows if isinstance(values[r], str | int | float)], int)
            texts = [str(values[r]) for r in known]
            if one := _recording(column, texts, known, groups, target, least):
                same = next((k for k, known in enumerate(found) if known.parts_as(one)), None)
                if same is None:
                    found.append(one)
                else:
                    found[same] = replace(found[same], alike=(*found[same].alike, column))
    return found


def _recording(
    column: str,
    values: list[str],
    rows: np.ndarray,
    groups: Sequence[str],
    target: Target,
    least: int,
) -> Recording | None:
    """None where fewer than two values have enough groups."""
    of_value: dict[str, set[str]] = {}
    for value, row in zip(values, rows, strict=True):
        of_value.setdefault(value, set()).add(groups[row])
    if len(of_value) > MOST_VALUES:
        return None
    names = tuple(sorted(v for v, some in of_value.items() if len(some) >= least))
    kept = np.array([k for k, v in enumerate(values) if v in names], int)
    if len(names) < 2:
        return None
    place = np.array([names.index(values[k]) for k in kept])
    counts = np.zeros((len(names), len(target.classes)), int)
    # a group counts once for each of its values and classes
    labels = target.values[rows[kept]].tolist()
    units = [groups[row] for row in rows[kept]]
    once = set(zip(units, place.tolist(), labels, strict=True))
    for _, value, label in once:
        counts[value, label] += 1
    return Recording(column, rows[kept], place, names, counts)


def associations(found: Sequence[Recording], target: Target) -> list[tuple[Recording, Finding]]:
    """Those that go with the target, each with its finding."""
    out = []
    for one in found:
        strength, p = cramer(one.counts), permutation(one.counts)
        if strength >= LEAST_ASSOCIATION and p <= MOST_CHANCE:
            note = (
                f"{one.called} goes with the target: {one.told(target)}. If it is how rows were"
                " recorded and not what is asked, compare the scores within each of its values"
            )
            finding = Finding(
                name="recording_goes_with_target",
                scope={"column": one.column},
                value=strength,
                chance=0.0,
                n=int(one.counts.sum()),
                method=f"Cramer's V (Bergsma 2013), permutation p = {p:.3f}",
                better="lower",
                note=note,
                source="check",
            )
            out.append((one, finding))
    return out


def shortcuts(
    found: Sequence[Recording],
    embeddings: Embeddings,
    schema: Schema,
    groups: Sequence[str],
    target: Target,
) -> list[Finding]:
    """One finding for each field whose features tell a column of `found`, which go with the
    target. embeddings: of all N rows. groups: N names."""
    out = []
    for one in found:
        for name in embeddings.fields:
            if one.column in schema.field(name).columns:
                continue
            has = embeddings.present[one.rows, embeddings.fields.index(name)]
            finding = _told(one, name, embeddings.features[name], np.flatnonzero(has), groups)
            if finding is not None:
                remedy = (
                    f"{name} tells {one.called}, which goes with the target ({one.told(target)}):"
                    f" a predictor may read {one.column} in place of the answer. Test it on another"
                    f" {one.column}, or use rows in which both are spread alike; without the field:"
                    f" {leave_out_option(name)}"
                )
                out.append(replace(finding, note=remedy))
    return out


def _told(
    one: Recording, field: str, features: np.ndarray, places: np.ndarray, groups: Sequence[str]
) -> Finding | None:
    """How well a field tells a column; None where it is not clearly better than guessing. places:
    of the rows of `one` that have the field."""
    places = places[:: max(1, -(-len(places) // MOST_ROWS))]
    rows, label = one.rows[places], one.value[places]
    units = np.array([groups[r] for r in rows])
    smallest = min((len(np.unique(units[label == v])) for v in np.unique(label)), default=0)
    if len(np.unique(label)) < 2 or smallest < LEAST_GROUPS:
        return None
    answers = cross_fitted(features[rows].astype(np.float64), label, units)
    hits = (answers == label).astype(float)
    score = intervals.balanced_accuracy(hits, label, units)
    chance = 1 / len(np.unique(label))
    if score.low < chance + CLEARLY:
        return None
    return score.finding(
        "shortcut",
        scope={"field": field, "column": one.column},
        unit="share",
        chance=chance,
        better="lower",
        source="check",
    )


def cross_fitted(x: np.ndarray, label: np.ndarray, units: np.ndarray) -> np.ndarray:
    """int [n]: the class of each row by a ridge classifier (least squares on one-hot classes that
    count alike) that was fitted on the rows of other units. x: [n, D]. label: int [n]. units:
    [n] names."""
    unit = np.unique(units, return_inverse=True)[1]
    fold = numpy_generator(0, "shortcuts").permutation(unit.max() + 1)[unit] % FOLDS
    answers = np.empty_like(label)
    for k in np.unique(fold):
        held, train = fold == k, fold != k
        mean, spread = x[train].mean(0), x[train].std(0)
        z = (x - mean) / np.where(spread > 1e-9, spread, np.inf)
        classes, of = np.unique(label[train], return_inverse=True)
        share = (1 / np.bincount(of))[of]  # classes count alike
        share /= share.sum()
        hot = np.eye(len(classes))[of]
        middle = share @ z[train]
        a = (z[train] - middle) * np.sqrt(share)[:, None]
        b = (hot - share @ hot) * np.sqrt(share)[:, None]
        # in the dual, as there may be more features than rows; the mean eigenvalue as penalty
        gram = a @ a.T
        penalty = max(float(np.trace(gram)) / len(gram), 1e-9)
        weights = a.T @ np.linalg.solve(gram + penalty * np.eye(len(gram)), b)
        answers[held] = classes[((z[held] - middle) @ weights).argmax(1)]
    return answers


def cramer(counts: np.ndarray) -> float:
    """Cramer's V of a table [V, C] with the correction for bias of Bergsma 2013, equations 1 to 3;
    0 where a value or a class is alone."""
    table = counts[counts.sum(1) > 0][:, counts.sum(0) > 0].astype(np.float64)
    n, (r, c) = table.sum(), table.shape
    if min(r, c) < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    r, c = (k - (k - 1) ** 2 / (n - 1) for k in (r, c))
    return float(np.sqrt(phi / min(r - 1, c - 1)))


def permutation(counts: np.ndarray) -> float:
    """The p value of 'value and class are independent', by chi-squared under shuffled classes
    (Fisher 1935; the observed table counts as one, Phipson & Smyth 2010)."""
    value, label = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    rng = numpy_generator(0, "association")
    expected = np.outer(counts.sum(1), counts.sum(0)) / max(counts.sum(), 1)
    known = expected > 0

    def statistic(table: np.ndarray) -> float:
        return float(((table - expected)[known] ** 2 / expected[known]).sum())

    observed, places = statistic(counts) * (1 - 1e-12), value * counts.shape[1]
    reached = sum(
        statistic(
            np.bincount(places + rng.permutation(label), minlength=counts.size).reshape(
                counts.shape
            )
        )
        >= observed
        for _ in range(DRAWS)
    )
    return (reached + 1) / (DRAWS + 1)
