"""Queries in the shared space, and how well search with them works: recall for every ordered pair
of fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell
from gobelin.embedding.alignment.align import Alignment, Shared
from gobelin.embedding.features import Reader
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import mean, median_rank, recall_at

KS = (1, 5, 10)
LEAST_POOL = 5
Rivals = Callable[[str, str, np.ndarray], Mapping[str, tuple[np.ndarray, np.ndarray]]]


def query_vector(reader: Reader, alignment: Alignment, cells: Mapping[str, Cell]) -> Shared:
    """One row of the shared space from the cells of any fields."""
    return alignment.project(reader.embed_cells(cells))


def ranks(queries: np.ndarray, pool: np.ndarray, groups: Sequence[str] | None = None) -> np.ndarray:
    """int [n]: the rank (1 = best) of row i of the pool for query i, [n, D] each; a tie counts
    against it. Rows of the query's own group (groups [n]) are right answers too, and none of them
    counts against it."""
    cosines = queries @ pool.T
    names = (
        np.arange(len(pool)) if groups is None else np.unique(list(groups), return_inverse=True)[1]
    )
    return 1 + ((cosines >= cosines.diagonal()[:, None]) & (names[:, None] != names[None])).sum(1)


def recall(shared: Shared, groups: Sequence[str], rivals: Rivals | None = None) -> list[Finding]:
    """Recall@1, 5, 10, the median rank and the mean reciprocal rank for every ordered pair of
    fields, over the rows that have both. rivals: given two fields and those rows, {name: (queries,
    pool)} of other ways to search, judged on the same rows."""
    found = []
    for a in shared.fields:
        for b in shared.fields:
            both = np.flatnonzero(shared.has(a) & shared.has(b))
            if a == b or len(both) < LEAST_POOL:
                continue
            names = [groups[int(k)] for k in both]
            own = ranks(shared.of(a)[both], shared.of(b)[both], names)
            found += _pair(own, {"from": a, "to": b}, names)
            theirs = (
                {name: ranks(*one, names) for name, one in rivals(a, b, both).items()}
                if rivals
                else {}
            )
            for name, one in theirs.items():
                found += _pair(one, {"from": a, "to": b, "by": name}, names)
            if theirs:
                best = max(theirs, key=lambda name: float((1 / theirs[name]).mean()))
                gain = mean(1 / own - 1 / theirs[best], names)
                verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no evidence"
                found.append(
                    replace(
                        gain.finding(
                            "reciprocal_rank_gain",
                            scope={"from": a, "to": b},
                            better="higher",
                            source="search",
                        ),
                        comparator=best,
                        verdict=verdict,
                    )
                )
    return found


def recall_of_columns(
    reader: Reader,
    alignment: Alignment,
    dataset: Dataset,
    shared: Shared,
    field: str,
    groups: Sequence[str],
) -> list[Finding]:
    """For a field of several columns (the languages of a caption): each column alone as the query,
    against every field."""
    found = []
    for column in reader.schema.field(field).columns:
        values = dataset.values(column)
        rows = [k for k, v in enumerate(values) if v is not None]
        if len(rows) < LEAST_POOL:
            continue
        queries = alignment.project(
            reader.embed_column(field, column, [values[k] for k in rows], dataset.root)
        ).of(field)
        for other in shared.fields:
            there = [k for k, r in enumerate(rows) if shared.has(other)[r]]
            if other != field and len(there) >= LEAST_POOL:
                pool = shared.of(other)[[rows[k] for k in there]]
                names = [groups[rows[k]] for k in there]
                found += _pair(
                    ranks(queries[there], pool, names),
                    {"from": f"{field}.{column}", "to": other},
                    names,
                )
    return found


def _pair(places: np.ndarray, scope: dict[str, str], groups: Sequence[str]) -> list[Finding]:
    """places [n]: the rank of every query. Chance is that of an order drawn at random."""
    size = Counter(groups)
    others = np.array([len(groups) - size[g] for g in groups])
    note = f"pool of {len(places)}"
    found = [
        recall_at(places, k, groups).finding(
            f"recall@{k}",
            scope=scope,
            better="higher",
            unit="share",
            note=note,
            source="search",
            chance=float(np.minimum(1, k / (others + 1)).mean()),
        )
        for k in KS
    ]
    middle = median_rank(places, groups)
    found.append(
        middle.finding(
            "median_rank",
            scope=scope,
            better="lower",
            chance=float(others.mean()) / 2 + 1,
            note=note,
            source="search",
        )
    )
    chance = float(np.mean([(1 / np.arange(1, n + 2)).mean() for n in others]))
    found.append(
        mean(1 / places, groups).finding(
            "mean_reciprocal_rank",
            scope=scope,
            better="higher",
            chance=chance,
            note=note,
            source="search",
        )
    )
    return found
