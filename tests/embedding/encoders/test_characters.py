"""Hashed n-grams against scikit-learn's own latent semantic analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import diags
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.characters import Characters, FittedCharacters

FIELD = Field("text", "characters", ("t", "u"), "text")
COLOURS, SHAPES = ("red", "green", "blue"), ("circle", "square", "triangle", "cross")
TEXTS = [f"a {size} {c} {s}" for size in ("small", "large") for c in COLOURS for s in SHAPES]


def fitted(texts: Sequence[str], **settings: int) -> FittedCharacters:
    cells = TrainingCells([*({"t": t} for t in texts), None], least_groups=1)
    encoder = Characters(**settings).fit(cells, FIELD, {}, Runtime())
    assert isinstance(encoder, FittedCharacters)
    return encoder


def coded(encoder: FittedCharacters, texts: Sequence[str]) -> np.ndarray:
    return encoder.embed([encoder.decode({"t": t}, Path())[0] for t in texts])


def test_vectors_are_those_of_latent_semantic_analysis() -> None:
    counts = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=4096, alternate_sign=False
    ).transform(TEXTS)
    weighed = counts @ diags(TfidfTransformer(norm=None, smooth_idf=True).fit(counts > 0).idf_)
    expected = TruncatedSVD(8, algorithm="arpack", random_state=0).fit_transform(weighed)
    found = coded(fitted(TEXTS, width=8), TEXTS)
    assert np.allclose(
        np.abs(found), np.abs(expected), atol=1e-3
    )  # the sign of a direction is free
    assert np.allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_full_width_keeps_every_scalar_product() -> None:
    counts = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=4096, alternate_sign=False
    ).transform(TEXTS)
    weighed = (counts @ diags(TfidfTransformer(norm=None).fit(counts > 0).idf_)).toarray()
    found = coded(fitted(TEXTS, width=len(TEXTS) - 1), TEXTS)
    tail = np.linalg.svd(weighed, compute_uv=False)[-1] ** 2
    assert np.abs(found @ found.T - weighed @ weighed.T).max() <= tail + 1e-4


def test_spelling_brings_near() -> None:
    encoder = fitted(TEXTS, width=16)
    near, query, far = coded(
        encoder, ["a small red circle", "small redd circles", "large blue cross"]
    )
    assert near @ query / np.linalg.norm(near) > far @ query / np.linalg.norm(far)


def test_width_is_at_most_the_texts_allow() -> None:
    assert fitted(TEXTS[:5]).width == 4 and fitted(["one"]).width == 1


def test_several_texts_are_one() -> None:
    encoder = fitted(TEXTS)
    assert encoder.decode({"t": " a ", "u": ["b", "c"]}, Path())[0] == "a b c"
