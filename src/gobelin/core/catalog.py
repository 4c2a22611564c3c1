"""Components by name. A component's name is the name of its file, everywhere: `nearest_copy.py` <->
`NearestCopy`.

Nothing registers itself: a slot is a folder, and its files are its components. A name that comes
from a command line or from the network must match a file in the slot, so it can import nothing
else.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any

from gobelin.core import config
from gobelin.core.errors import GobelinError, nearest

SLOTS = {
    "readers": "gobelin.data.readers",
    "samples": "gobelin.data.samples",
    "encoders": "gobelin.embedding.encoders",
    "fusion": "gobelin.prediction.fusion",
    "generators": "gobelin.generation.generators",
    "rivals": "gobelin.augmentation.rivals",
    "metrics": "gobelin.quality.metrics",
    "audits": "gobelin.privacy.audits",
}


def names(slot: str) -> list[str]:
    """The components of a slot, sorted. Only the slot's contract is imported. GobelinError for an
    unknown slot."""
    if slot not in SLOTS:
        raise GobelinError(f"list: no slot {slot!r}.{nearest(slot, SLOTS)}")
    return list(_names(slot))


@functools.cache
def _names(slot: str) -> tuple[str, ...]:
    """The folder is read once: a schema asks for every column."""
    package = importlib.import_module(SLOTS[slot])
    files = pkgutil.iter_modules(package.__path__)
    return tuple(sorted(m.name for m in files if not m.name.startswith("_")))


def find(slot: str, name: str) -> type[Any]:
    """The class of a component. GobelinError for an unknown name."""
    known = names(slot)
    if name not in known:
        raise GobelinError(f"{slot}: no component {name!r}.{nearest(name, known)}")
    module = importlib.import_module(f"{SLOTS[slot]}.{name}")
    return getattr(module, class_name(name))


def build(slot: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any component
    """An instance with the given settings, the rest at their defaults."""
    return config.build(find(slot, name), settings or {}, f"{slot}.{name}")


def described(slot: str, name: str) -> dict[str, str]:
    """slot, name and what (the first line of its file). For a generator also conditions, licence
    and cost."""
    component = find(slot, name)
    row = {
        "slot": slot,
        "name": name,
        "what": (sys.modules[component.__module__].__doc__ or "").strip().splitlines()[0],
    }
    if slot == "generators":
        row["conditions"] = ", ".join(sorted(component.accepts)) or "nothing"
        row |= {key: getattr(component, key, "not said") for key in ("licence", "cost")}
    return row


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
