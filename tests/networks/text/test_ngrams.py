"""Rarity of n-grams: what follows from saved components, by solving for it; and long texts against
the whole of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from gobelin.data.texts import LETTERS_AT_ONCE
from gobelin.networks.text.ngrams import components, shares

WORDS = "red blue green old new tall wide warm cold house tree stone river cloud road".split()
HASHES = 256


def texts(n: int) -> list[str]:
    """Of made-up words, so that no two n-grams always stand together."""
    rng = np.random.default_rng(0)
    return [" ".join("".join(rng.choice([*"aeiokt"], 3)) for _ in range(4)) for _ in range(n)]


def counts_of(vectors: np.ndarray, n: int) -> dict[int, float]:
    """{bucket: how many documents have it}, as an attacker solves it: V V^T = I, where V is the
    saved array over the rarity, is K (K + 1) / 2 linear equations in 1 / rarity^2."""
    c = vectors.astype(np.float64)
    live = np.flatnonzero(np.abs(c).max(0) > 0)
    i, j = np.triu_indices(len(c))
    share = np.linalg.lstsq(c[i][:, live] * c[j][:, live], (i == j).astype(float), rcond=None)[0]
    rarity = 1 / np.sqrt(np.maximum(share, 1e-9))
    return dict(zip(live.tolist(), ((1 + n) / np.exp(rarity - 1) - 1).tolist(), strict=True))


def right(found: dict[int, float], some: list[str]) -> float:
    true = np.asarray((shares(some, HASHES) > 0).sum(0)).ravel()
    return float(np.mean([abs(count - true[k]) < 0.4 for k, count in found.items()]))


@pytest.mark.parametrize("n", [120, 121])
def test_counts_don_t_follow_from_the_components(n: int) -> None:
    """With exact counts the same arithmetic gives all of them (least_groups = 1 keeps those)."""
    some, groups = texts(n), np.arange(n)
    exact, _ = components(some, groups, 1, HASHES, 80)
    assert right(counts_of(exact, n), some) > 0.99
    rounded, _ = components(some, groups, 5, HASHES, 80)
    assert right(counts_of(rounded, n), some) < 0.3


def test_two_runs_don_t_tell_the_text_that_joined() -> None:
    """The attack: exactly the buckets of the new text rose by one."""
    hits, others = [], []
    for n in range(100, 130):
        some = texts(n)
        found = []
        for part in (some, some[:-1]):
            rarity = counts_of(components(part, np.arange(len(part)), 5, HASHES, 80)[0], len(part))
            found.append(rarity)
        own = set(shares(some[-1:], HASHES).indices.tolist())
        for bucket in found[0].keys() & found[1].keys():
            rose = found[0][bucket] - found[1][bucket] > 0.4
            (hits if bucket in own else others).append(rose)
    assert np.mean(others) > 0.1  # false ones are many
    assert np.mean(hits) < 2 * np.mean(others)


def test_documents_are_groups() -> None:
    """A patient with 300 notes of one word is one document: the word stays rare."""
    some = [*texts(120), *["tall house zyx"] * 300, *["zyx"] * 6]
    groups = np.array([*range(120), *[120] * 300, *range(121, 127)])
    found = counts_of(components(some, groups, 1, HASHES, 80)[0], 127)
    once = [*texts(120), "tall house zyx", *["zyx"] * 6]
    true = np.asarray((shares(once, HASHES) > 0).sum(0)).ravel()
    own = shares(["tall house zyx"], HASHES).indices
    assert [found[k] for k in own] == pytest.approx(true[own].tolist(), abs=0.4)


def test_a_long_text_is_counted_in_pieces() -> None:
    long = " ".join(np.random.default_rng(1).choice(WORDS, 12_000))
    assert len(long) > 2 * LETTERS_AT_ONCE
    whole = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=HASHES, alternate_sign=False
    ).transform(["a", long, "red"])
    assert abs(shares(["a", long, "red"], HASHES) - whole).max() < 1e-12
