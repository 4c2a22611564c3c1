"""Queries in the shared space, and how well search with them works: recall for every ordered pair of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gobelin.align import Alignment, Shared
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell
from gobelin.embedding import Reader
from gobelin.evidence import Finding, median_rank, recall_at

KS = (1, 5, 10)
LEAST_POOL = 5


def query_vector(reader: Reader, alignment: Alignment, cells: Mapping[str, Cell]) -> Shared:
    """One row of the shared space from the cells of any fields."""
    return alignment.project(reader.embed_cells(cells))


def ranks(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """int [n]: the rank (1 = best) of row i of the pool for query i, [n, D] each; a tie counts against it."""
    cosines = queries @ pool.T
    return (cosines >= cosines.diagonal()[:, None]).sum(1)


def recall(shared: Shared, groups: Sequence[str]) -> list[Finding]:
    """Recall@1, 5, 10 and the median rank for every ordered pair of fields, over the rows that have both."""
    found = []
    for a in shared.fields:
        for b in shared.fields:
            both = np.flatnonzero(shared.has(a) & shared.has(b))
            if a != b and len(both) >= LEAST_POOL:
                found += _pair(shared.of(a)[both], shared.of(b)[both], a, b, [groups[int(k)] for k in both])
    return found


def recall_of_columns(
    reader: Reader, alignment: Alignment, dataset: Dataset, shared: Shared, field: str, groups: Sequence[str]
) -> list[Finding]:
    """For a field of several columns (the languages of a caption): each column alone as the query, against every field."""
    found = []
    for column in reader.schema.field(field).columns:
        values = dataset.values(column)
        rows = [k for k, v in enumerate(values) if v is not None]
        if len(rows) < LEAST_POOL:
            continue
        queries = alignment.project(reader.embed_column(field, column, [values[k] for k in rows], dataset.root)).of(field)
        for other in shared.fields:
            there = [k for k, r in enumerate(rows) if shared.has(other)[r]]
            if other != field and len(there) >= LEAST_POOL:
                pool = shared.of(other)[[rows[k] for k in there]]
                found += _pair(queries[there], pool, f"{field}.{column}", other, [groups[rows[k]] for k in there])
    return found


def _pair(queries: np.ndarray, pool: np.ndarray, a: str, b: str, groups: Sequence[str]) -> list[Finding]:
    places = ranks(queries, pool)
    scope = {"from": a, "to": b}
    note = f"pool of {len(pool)}"
    found = [
        recall_at(places, k, groups).finding(
            f"recall@{k}", scope=scope, better="higher", unit="share", chance=min(1.0, k / len(pool)), note=note,
            source="search",
        )
        for k in KS
    ]  # fmt: skip
    middle = median_rank(places, groups)
    found.append(
        middle.finding("median_rank", scope=scope, better="lower", chance=(len(pool) + 1) / 2, note=note, source="search")
    )
    return found
