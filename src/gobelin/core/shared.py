"""What several hold and nobody changes, once in memory: a pretrained network of many fields."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

_lock = threading.RLock()
_held: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """The object of this key, made where nobody holds it. It goes when nobody holds it any more.
    Who wants to change it makes a copy first."""
    with _lock:
        found: T | None = _held.get(key)
        if found is None:
            found = _held[key] = make()
        return found
