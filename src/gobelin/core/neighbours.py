"""Exact nearest neighbours in bounded memory."""

from __future__ import annotations

import numpy as np

from gobelin.core.progress import counted


def nearest(
    queries: np.ndarray, pool: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The Euclidean distance of each query to its nearest row of the pool, float64 [n], and the
    number of that row, int64 [n].

    queries: [n, D], or [n, V, D] for V views of each (the nearest view counts).
    pool: [m, D].
    groups: int [n]. The queries are then the pool itself (or its views), and no row is a neighbour
        of its own group. A row without any other group has the distance inf.

    Computes in float64, in blocks of 1,024 queries.
    """
    if queries.ndim == 3:
        of_views = [nearest(queries[:, v], pool, groups) for v in range(queries.shape[1])]
        distances, places = (np.stack(part) for part in zip(*of_views, strict=True))
        best = distances.argmin(0)[None]
        return np.take_along_axis(distances, best, 0)[0], np.take_along_axis(places, best, 0)[0]
    distance, place = np.empty(len(queries)), np.empty(len(queries), np.int64)
    pool = pool.astype(np.float64)
    squares = (pool**2).sum(1)
    for start in counted("compare", range(0, len(queries), 1024)):
        block = queries[start : start + 1024].astype(np.float64)
        d = np.clip((block**2).sum(1)[:, None] + squares - 2 * block @ pool.T, 0, None)
        if groups is not None:
            d[groups[start : start + 1024, None] == groups] = np.inf
        place[start : start + 1024] = d.argmin(1)
        distance[start : start + 1024] = np.sqrt(d.min(1))
    return distance, place
