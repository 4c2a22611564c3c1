"""Numbers in the place of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def numbered(texts: Sequence[str]) -> np.ndarray:
    """int64 [N]: the place of each text among the different ones, sorted. An array of texts would
    take as much for each of them as for the longest."""
    place = {text: k for k, text in enumerate(sorted(set(texts)))}
    return np.array([place[text] for text in texts], np.int64)
