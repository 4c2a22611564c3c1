"""The explainer of pixels finds a planted patch. Oracle: where the patch was put."""

from __future__ import annotations

from explain import FOUND, patches


def test_a_planted_patch_lies_in_the_top_tenth_of_the_pixels_in_nine_of_ten_rows() -> None:
    found = patches("pixels", train=200, rows=20)
    assert (found >= FOUND).mean() >= 0.9, found
