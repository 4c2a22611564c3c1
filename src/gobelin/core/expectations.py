"""What a setting takes, and what was wrong with a value, in words."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.fields import FieldInfo

from gobelin.core.errors import nearest

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
MOST_LINES = 20  # of mistakes in one tree of settings
MOST_LETTERS = 200  # of a value or a name in such a line
LISTS = {int: "whole numbers", float: "numbers", str: "words"}


def mistakes_of(error: ValidationError, cls: type, where: str) -> list[str]:
    """One line a mistake, of the first `MOST_LINES`, and one that counts the others. A list is not
    also called too short for its wrong items."""
    mistakes = error.errors()
    inside = {mistake["loc"][:-1] for mistake in mistakes}
    told = [m for m in mistakes if m["type"] != "too_short" or m["loc"] not in inside]
    lines = dict.fromkeys(_line(mistake, cls, where) for mistake in told[:MOST_LINES])
    more = len(told) - MOST_LINES
    return [*lines, *([f"{where}: {more} more such lines are left out."] if more > 0 else [])]


def _line(mistake: Mapping[str, Any], cls: type, where: str) -> str:
    """`where.name: what was expected, what was found.`"""
    hint: Any = cls
    limits: tuple[Any, ...] = ()
    for part in mistake["loc"]:
        fields = getattr(hint, "__pydantic_fields__", None)
        if fields is not None:
            name = list(fields)[part] if isinstance(part, int) else str(part)
            if name not in fields:
                return (
                    f"{where}: unknown setting {cut(name)}.{nearest(name[:MOST_LETTERS], fields)}"
                )
            where, (hint, limits) = f"{where}.{name}", parts(fields[name])
        elif typing.get_origin(hint) is tuple:
            hint, limits = parts(typing.get_args(hint)[0])
        elif typing.get_origin(hint) is Mapping:
            where, (hint, limits) = (
                f"{where}.{str(part)[:MOST_LETTERS]}",
                parts(typing.get_args(hint)[1]),
            )
    found, kind = mistake["input"], mistake["type"]
    if kind == "value_error" and hint not in NAMES:
        return f"{where}: {mistake['ctx']['error']}."
    if is_pydantic_dataclass(hint) or typing.get_origin(hint) is Mapping:
        name = where.partition(".")[2] or where  # as `--set` takes it, without the name of the tree
        return f"{where}: is a group of settings, found {cut(found)}. Set {name}.NAME=VALUE."
    if kind in ("too_short", "too_long"):
        count = mistake["ctx"]["min_length" if kind == "too_short" else "max_length"]
        values = "value or more was" if count == 1 else "values were"
        return f"{where}: {count} {values} expected, found {len(found) or 'nothing'}."
    outside = kind.startswith(("greater_than", "less_than"))
    expected = expectation(hint, limits if outside else ())
    return f"{where}: {expected} was expected, found {cut(found)}."


def cut(value: object) -> str:
    """A value as Python writes it, its beginning where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of too many digits, lists within lists
        text = f"a {type(value).__name__}"
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} ..."


def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401
    """The type without its limits, and the limits. `X | None` counts as X."""
    if isinstance(hint, FieldInfo):
        inner, limits = parts(hint.annotation)
        return inner, (*limits, *hint.metadata)
    if typing.get_origin(hint) is Annotated:
        inner, limits = parts(typing.get_args(hint)[0])
        for more in typing.get_args(hint)[1:]:
            limits = (*limits, *(more.metadata if isinstance(more, FieldInfo) else (more,)))
        return inner, limits
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return parts(next(a for a in typing.get_args(hint) if a is not type(None)))
    return hint, ()


def expectation(hint: Any, limits: Iterable[Any] = ()) -> str:  # noqa: ANN401
    """What a setting takes, in words: 'a whole number from 0 to 9'."""
    hint, more = parts(hint)
    names = NAMES
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        hint, limits = parts(arguments[0])
        names = {kind: f"a list of {name}" for kind, name in LISTS.items()}
    if origin is Mapping or is_pydantic_dataclass(hint):
        return "a group of settings"
    low = high = ""
    for limit in (*more, *limits):
        for key, words in (("ge", " from"), ("gt", " above")):
            low = f"{words} {getattr(limit, key):.12g}" if hasattr(limit, key) else low
        for key, words in (("le", " to"), ("lt", " to below")):
            high = f"{words} {getattr(limit, key):.12g}" if hasattr(limit, key) else high
    if low and not high and low.startswith(" from"):
        high = " up"
    if low.startswith(" above") and high.startswith(" to below"):
        low, high = low.replace("above", "between"), high.replace("to below", "and")
    elif low.startswith(" above") and high:
        high = f" and up{high}"
    return f"{names.get(hint, 'a value')}{low}{high}"
