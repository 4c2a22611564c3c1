"""Texts as shares of hashed character n-grams, and the directions in which texts differ most.

Deerwester et al. 1990 (latent semantic analysis) over character 2- to 4-grams inside words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.core.lazy import sparse


def shares(texts: Sequence[str], hashes: int) -> sparse.csr_matrix:
    """Sparse [n, hashes]: counts of the n-grams in each hash bucket, scaled to unit length."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=hashes, alternate_sign=False
    )
    return vectorizer.transform(list(texts))


def components(
    texts: Sequence[str], groups: np.ndarray, least_groups: int, hashes: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """float32 [width or fewer, hashes]: the first singular vectors of n texts' shares, times the
    rarity of each bucket (its inverse document frequency); and how many buckets too few groups
    have, of how many. Those are zero in all vectors.

    groups: int [n]. There are three vectors for four different texts at most: n would span the
    texts themselves."""
    from sklearn.utils.extmath import randomized_svd

    counts = shares(texts, hashes)
    buckets = counts.tocoo()
    pairs = np.unique(groups[buckets.row].astype(np.int64) * hashes + buckets.col)
    having = np.bincount(pairs % hashes, minlength=hashes)  # groups with each bucket
    common = having >= least_groups
    rarity = np.log((1 + len(texts)) / (1 + np.asarray((counts > 0).sum(0)).ravel())) + 1
    rarity *= common
    most = len(texts) - 1 if least_groups == 1 else 3 * len(set(texts)) // 4
    size = max(1, min(width, most))
    _, _, vectors = randomized_svd(counts.multiply(rarity).tocsr(), size, random_state=0)
    seen = having > 0
    rare = int((seen & ~common).sum()), int(seen.sum())
    return np.asarray(vectors * rarity, np.float32), rare
