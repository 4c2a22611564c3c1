"""Texts as shares of hashed character n-grams, and the directions in which texts differ most.

Deerwester et al. 1990 (latent semantic analysis) over character 2- to 4-grams inside words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd


def shares(texts: Sequence[str], hashes: int) -> csr_matrix:
    """Sparse [n, hashes]: counts of the n-grams in each hash bucket, scaled to unit length."""
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=hashes, alternate_sign=False
    )
    return vectorizer.transform(list(texts))


def components(texts: Sequence[str], hashes: int, width: int) -> np.ndarray:
    """float32 [width or fewer, hashes]: the first singular vectors of these texts' shares, times
    the rarity of each bucket (its inverse document frequency).
    """
    counts = shares(texts, hashes)
    rarity = np.log((1 + len(texts)) / (1 + np.asarray((counts > 0).sum(0)).ravel())) + 1
    size = max(1, min(width, len(texts) - 1))
    _, _, vectors = randomized_svd(counts.multiply(rarity).tocsr(), size, random_state=0)
    return np.asarray(vectors * rarity, np.float32)
