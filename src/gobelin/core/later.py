"""Settings in cache keys, by one rule.

A setting that came after a key was first made is left out of it while it has its default. So what
earlier versions made keeps its key, and another value gives another key. A settings class names
such settings in its class attribute `later`; a component does so, too. Tests hold keys of runs of
earlier versions.

What this can't show: that the default means what the earlier versions did. Whoever adds a setting
sees to that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from gobelin.core import parse
from gobelin.core.config import resolved


def in_key(settings: object) -> dict[str, Any]:
    """Every setting with its value, ready for a key, but for later ones with their default."""
    return without_unchanged(type(settings), resolved(settings))


def without_unchanged(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of settings of a class without those of `later` ones that are as by default."""
    later = set(getattr(cls, "later", ()))
    usual = {name: value for name, value in _defaults(cls).items() if name in later}
    return {n: v for n, v in values.items() if n not in later or v != usual[n]}


def added(settings: object, *names: str) -> list[Any]:
    """What is added to a key for settings that came after it: their values in this order; nothing
    while all of them have their default. Without names: all settings of the group, as one value."""
    values, usual = resolved(settings), _defaults(type(settings))
    if all(values[name] == usual[name] for name in names or usual):
        return []
    return [getattr(settings, name) for name in names] if names else [values]


def _defaults(cls: type) -> dict[str, Any]:
    """{setting: its default}, as JSON holds it, of those that have one."""
    found = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON is any
    whole = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return resolved(value) if whole else parse.json_value(json.dumps(value, default=str))
