"""Captions that rows borrow. Oracle: planted kinds of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin.embedding.alignment.align import Shared
from gobelin.quality import captions


def test_a_caption_is_borrowed_from_the_nearest_row_of_another_group() -> None:
    """Planted: rows of one kind have one direction in both fields. Row 0 has no caption and is of
    kind 2."""
    rng = np.random.default_rng(0)
    kind = np.arange(40) % 4
    kind[0] = 2
    vectors = (np.eye(6)[kind][:, None] + rng.normal(0, 0.05, (40, 2, 6))).astype(np.float32)
    present = np.ones((40, 2), bool)
    present[0, 1] = present[1, 0] = present[2, :] = False
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    shared = Shared(
        ("image", "caption"),
        vectors * present[..., None],
        present,
        tuple(map(str, range(40))),
        "space",
    )
    groups = [str(k) for k in range(40)]
    (one,) = captions.borrowed_captions(shared, "caption", np.arange(40), groups)
    cosines = {k: float(vectors[0, 0] @ vectors[k, 1]) for k in range(40) if present[k, 1] and k}
    assert (
        one.row == 0 and one.donor == max(cosines, key=cosines.__getitem__) and kind[one.donor] == 2
    )
    assert one.cosine == pytest.approx(max(cosines.values())) and 0 <= one.closeness <= 1
    nearest = [
        max(float(vectors[r, 0] @ vectors[k, 1]) for k in cosines if k != r)
        for r in cosines
        if present[r, 0]
    ]
    assert one.closeness == pytest.approx(np.mean([v <= one.cosine for v in nearest]))
    groups[one.donor] = "0"
    (other,) = captions.borrowed_captions(shared, "caption", np.arange(40), groups)
    assert other.donor == max((k for k in cosines if k != one.donor), key=cosines.__getitem__)
    assert (
        captions.borrowed_captions(
            replace(shared, present=np.ones((40, 2), bool)), "caption", np.arange(40), groups
        )
        == []
    )
