"""Texts as shares of hashed character n-grams, and the directions in which texts differ most.

Deerwester et al. 1990 (latent semantic analysis) over character 2- to 4-grams inside words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.core.files import fingerprint
from gobelin.core.lazy import sparse
from gobelin.data.coarse import coarse_counts
from gobelin.data.texts import pieces


def shares(texts: Sequence[str], hashes: int) -> sparse.csr_matrix:
    """Sparse [n, hashes]: counts of the n-grams in each hash bucket, scaled to unit length. A long
    text is counted in pieces, as a list of its n-grams takes hundreds of bytes a letter."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=hashes, alternate_sign=False, norm=None
    )
    cut = [pieces(text) for text in texts]
    counts = vectorizer.transform([first for first, *_ in cut])
    if long := [k for k, (_, *others) in enumerate(cut) if others]:
        counts = counts.tolil()
        for k in long:
            counts[k] = sum(vectorizer.transform([piece]) for piece in cut[k])
        counts = counts.tocsr()
    return normalize(counts, copy=False)


def components(
    texts: Sequence[str], groups: np.ndarray, least_groups: int, hashes: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """float32 [width or fewer, hashes]: the first singular vectors of n texts' shares, times the
    rarity of each bucket (its inverse document frequency, with groups as documents); and how many
    buckets too few groups have, of how many. Those are zero in all vectors.

    The counts of groups are rounded (`data.coarse`): the vectors have unit length before they are
    multiplied by the rarity, so every count would follow from them.

    groups: int [n]."""
    if not texts:
        return np.zeros((1, hashes), np.float32), (0, 0)
    counts = shares(texts, hashes)
    buckets = counts.tocoo()
    pairs = np.unique(groups[buckets.row].astype(np.int64) * hashes + buckets.col)
    having = np.bincount(pairs % hashes, minlength=hashes)  # groups with each bucket
    common = having >= least_groups
    every = np.append(having, len(np.unique(groups)))
    *with_bucket, all_groups = 1 + coarse_counts(every, least_groups, fingerprint(sorted(texts)))
    rarity = (np.log(np.maximum(all_groups / np.array(with_bucket), 1)) + 1) * common
    size = max(1, min(width, most_directions(texts, least_groups)))
    vectors = directions(counts, rarity, size)
    seen = having > 0
    rare = int((seen & ~common).sum()), int(seen.sum())
    return vectors, rare


def most_directions(texts: Sequence[str], least_groups: int) -> int:
    """How many directions may be kept of n texts: three for four different ones, as n would span
    the texts themselves; all but one where single texts may be told."""
    return len(texts) - 1 if least_groups == 1 else 3 * len(set(texts)) // 4


def directions(counts: sparse.csr_matrix, rarity: np.ndarray, width: int) -> np.ndarray:
    """float32 [width, V]: the first singular vectors of counts [n, V] that are weighed by rarity
    [V], times the rarity."""
    from sklearn.utils.extmath import randomized_svd

    _, _, vectors = randomized_svd(counts.multiply(rarity).tocsr(), width, random_state=0)
    return np.asarray(vectors * rarity, np.float32)
