"""Trees that were grown a moment ago.

`pool_choice` compares heads on folds of the training rows, and the chosen ones are cross-fitted
afterwards on the same folds. Trees of the same rows are the same trees, and are grown once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from gobelin.prediction.heads.trees import Trees

MOST = 40  # trees of the folds of all heads of one pool, and some more


class Recent:
    """The `MOST` heads that were grown last, by the fingerprint of all that they follow from."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self._kept = most, dict[str, Trees]()
        self._lock = threading.Lock()

    def of(self, key: str, grow: Callable[[], Trees]) -> Trees:
        """What `grow` gave for this key; it is called where none is kept."""
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = grow()
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > self.most:
                    del self._kept[next(iter(self._kept))]
        return found


RECENT = Recent()
