"""Exact nearest neighbours in bounded memory."""

from __future__ import annotations

import numpy as np

from gobelin.core.progress import counted

AT_ONCE = 1024  # queries


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
    # for all blocks, as fresh memory of this size costs more than the sums in it
    sums, products = np.empty((2, min(AT_ONCE, len(queries)), len(pool)))
    for start in counted("compare", range(0, len(queries), AT_ONCE)):
        block = queries[start : start + AT_ONCE].astype(np.float64)
        d = np.add((block**2).sum(1)[:, None], squares, out=sums[: len(block)])
        d -= np.matmul(2 * block, pool.T, out=products[: len(block)])
        np.maximum(d, 0, out=d)
        if groups is not None:
            d[groups[start : start + AT_ONCE, None] == groups] = np.inf
        nearest_one = d.argmin(1)
        place[start : start + AT_ONCE] = nearest_one
        distance[start : start + AT_ONCE] = np.sqrt(d[np.arange(len(block)), nearest_one])
    return distance, place
