"""How well search in the shared space works: recall for every ordered pair of fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.embedding.alignment.align import Alignment, Shared
from gobelin.embedding.features import Embedder
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import mean, median_rank, recall_at

RECALL_AT = (1, 5, 10)  # recall@k is reported for these k
LEAST_POOL = 5  # a pair of fields with fewer rows is not measured
# (field a, field b, rows int [n]) -> {method: (queries [n, D], pool [n, D])}, other ways to search
OtherMethods = Callable[[str, str, np.ndarray], Mapping[str, tuple[np.ndarray, np.ndarray]]]


def ranks(queries: np.ndarray, pool: np.ndarray, groups: Sequence[str] | None = None) -> np.ndarray:
    """int [n]: the rank (1 = best) of row i of the pool for query i; a tie counts against it.

    queries, pool: [n, D]. groups: n names. Other rows of the query's group are right answers too,
    so they do not count against it."""
    cosines = queries @ pool.T
    group = (
        np.arange(len(pool)) if groups is None else np.unique(list(groups), return_inverse=True)[1]
    )
    as_near = cosines >= cosines.diagonal()[:, None]
    return 1 + (as_near & (group[:, None] != group[None])).sum(1)


def recall(
    shared: Shared, groups: Sequence[str], other_methods: OtherMethods | None = None
) -> list[Finding]:
    """Recall@1, 5, 10, the median rank and the mean reciprocal rank for every ordered pair of
    fields, over the rows that have both.

    groups: N names. other_methods: judged on the same rows; the best of them is compared with the
    shared space."""
    findings = []
    for a in shared.fields:
        for b in shared.fields:
            both = np.flatnonzero(shared.has(a) & shared.has(b))
            if a == b or len(both) < LEAST_POOL:
                continue
            names = [groups[int(k)] for k in both]
            space_ranks = ranks(shared.of(a)[both], shared.of(b)[both], names)
            findings += _pair(space_ranks, {"from": a, "to": b}, names)
            if other_methods is None:
                continue
            method_ranks = {
                name: ranks(queries, pool, names)
                for name, (queries, pool) in other_methods(a, b, both).items()
            }
            for name, places in method_ranks.items():
                findings += _pair(places, {"from": a, "to": b, "by": name}, names)
            reciprocal = {name: 1 / places for name, places in method_ranks.items()}
            best = max(reciprocal, key=lambda name: float(reciprocal[name].mean()))
            gain = mean(1 / space_ranks - reciprocal[best], names)
            verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no evidence"
            finding = gain.finding(
                "reciprocal_rank_gain",
                scope={"from": a, "to": b},
                better="higher",
                source="search",
            )
            findings.append(replace(finding, comparator=best, verdict=verdict))
    return findings


def recall_of_columns(
    embedder: Embedder,
    alignment: Alignment,
    dataset: Dataset,
    shared: Shared,
    field: str,
    groups: Sequence[str],
) -> list[Finding]:
    """For a field of several columns (the languages of a caption): each column alone as the query,
    against every other field.

    dataset, shared, groups: of the same N rows."""
    findings = []
    for column in embedder.schema.field(field).columns:
        values = dataset.values(column)
        rows = [k for k, v in enumerate(values) if v is not None]
        if len(rows) < LEAST_POOL:
            continue
        embeddings = embedder.embed_column(field, column, [values[k] for k in rows], dataset.root)
        queries = alignment.project(embeddings).of(field)
        for other in shared.fields:
            has_other = [k for k, r in enumerate(rows) if shared.has(other)[r]]
            if other != field and len(has_other) >= LEAST_POOL:
                pool_rows = [rows[k] for k in has_other]
                names = [groups[r] for r in pool_rows]
                places = ranks(queries[has_other], shared.of(other)[pool_rows], names)
                findings += _pair(places, {"from": f"{field}.{column}", "to": other}, names)
    return findings


def _pair(places: np.ndarray, scope: dict[str, str], groups: Sequence[str]) -> list[Finding]:
    """Findings on the ranks of n queries. Chance is that of an order drawn at random.

    places: int [n]. groups: n names."""
    size = Counter(groups)
    wrong = np.array([len(groups) - size[g] for g in groups])  # rows that could be ranked before
    note = f"pool of {len(places)}"
    findings = [
        recall_at(places, k, groups).finding(
            f"recall@{k}",
            scope=scope,
            better="higher",
            unit="share",
            note=note,
            source="search",
            chance=float(np.minimum(1, k / (wrong + 1)).mean()),
        )
        for k in RECALL_AT
    ]
    findings.append(
        median_rank(places, groups).finding(
            "median_rank",
            scope=scope,
            better="lower",
            chance=float(wrong.mean()) / 2 + 1,
            note=note,
            source="search",
        )
    )
    findings.append(
        mean(1 / places, groups).finding(
            "mean_reciprocal_rank",
            scope=scope,
            better="higher",
            chance=float(np.mean([(1 / np.arange(1, n + 2)).mean() for n in wrong])),
            note=note,
            source="search",
        )
    )
    return findings
