"""The settings as tables: name, default, what it takes, meaning. So does `gobelin settings`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator

from gobelin.core import config


def tables(cls: type, path: str = "") -> Iterator[str]:
    """Markdown: the plain settings of `cls`, then each group below a heading of its own."""
    yield f"## {path}\n\n{table(cls, path)}" if path else f"## Outside any group\n\n{_rows(cls)}"
    for field in dataclasses.fields(cls):
        if (group := _group(field)) is not None:
            yield from tables(group, f"{path}.{field.name}".strip("."))


def table(cls: type, path: str = "", whole: bool = False) -> str:
    """Markdown: the docstring of a settings class, and its settings.

    path: the group's name, which then stands before each setting. whole: with those of its
    groups."""
    # a dataclass that nobody wrote a docstring for has its signature there
    written = cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(")
    text = inspect.cleandoc(cls.__doc__ or "") if written else ""
    rows = _rows(cls, path, whole) or ("" if text.startswith("No settings") else "No settings.\n")
    return f"{plain(text)}\n\n{rows}" if text else rows


def _rows(cls: type, path: str = "", whole: bool = False) -> str:
    """Markdown: a table of the settings, '' where there are none."""
    first = f"{path}." if path else ""
    settings = [
        one for one in config.listed(cls, path) if whole or "." not in one.name.removeprefix(first)
    ]
    if not settings:
        return ""
    lines = ["| setting | default | takes | meaning |", "|---|---|---|---|"]
    for setting in settings:
        default = f"`{setting.shown}`" if setting.shown else ""
        cells = (f"`{setting.name}`", default, plain(setting.takes), plain(setting.meaning))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _group(field: dataclasses.Field[object]) -> type | None:
    """The class of a field that is a group of settings itself."""
    factory = field.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


def plain(text: str) -> str:
    """Text of a docstring as Markdown: what stands in no code means nothing there."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if k % 2 else re.sub(r"([\\*_<>\[\]{}$#])", r"\\\1", part)
        for k, part in enumerate(parts)
    )
