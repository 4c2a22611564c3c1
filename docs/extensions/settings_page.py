"""The settings as tables: name, type, default, limits, meaning; read from the settings classes.

A meaning stands in the field's description (pydantic) or in its metadata. Where a class has it in
its docstring instead, the docstring is printed above the table.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any


def tables(cls: type, path: str = "", level: int = 2) -> Iterator[str]:
    """Markdown: the plain settings of `cls`, then each group below a heading of its own."""
    groups = [(f.name, group) for f in dataclasses.fields(cls) if (group := _group(f)) is not None]
    if path:
        yield f"{'#' * level} {path}\n"
    plain = [f for f in dataclasses.fields(cls) if f.init and _group(f) is None]
    yield table(cls, plain)
    for name, group in groups:
        yield from tables(group, f"{path}.{name}".strip("."), level)


def table(cls: type, fields: list[dataclasses.Field[Any]] | None = None) -> str:
    """Markdown: the docstring of a dataclass and its fields, one a line."""
    fields = [f for f in dataclasses.fields(cls) if f.init] if fields is None else fields
    text = "" if _bare(cls) else inspect.cleandoc(cls.__doc__ or "")
    lines = [plain(text), ""] if text else []
    if not fields:
        return "\n".join([*lines, "" if text.startswith("No settings") else "No settings.\n"])
    meanings = [_meaning(cls, f) for f in fields]
    limits = [_limits(cls, f) for f in fields]
    heads = ["setting", "type", "default"] + ["limits"] * any(limits) + ["meaning"] * any(meanings)
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for field, limit, meaning in zip(fields, limits, meanings, strict=True):
        cells = [f"`{field.name}`", f"`{_type(field)}`", f"`{_default(field)}`"]
        cells += [limit] * any(limits) + [meaning] * any(meanings)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _group(field: dataclasses.Field[Any]) -> type | None:
    """The class of a field that is a group of settings itself."""
    value = _value(field)
    return type(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else None


def _value(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401 - any setting
    """The default; MISSING where one must be given."""
    if hasattr(field.default, "get_default"):  # Field(...) of pydantic
        value = field.default.get_default(call_default_factory=True)
        return dataclasses.MISSING if repr(value) == "PydanticUndefined" else value
    missing = field.default_factory is dataclasses.MISSING
    return field.default if missing else field.default_factory()


def _bare(cls: type) -> bool:
    """Whether nobody wrote a docstring: dataclass writes the signature in its place."""
    return not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}(")


def _information(cls: type, field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401 - a FieldInfo of pydantic, or None
    return getattr(cls, "__pydantic_fields__", {}).get(field.name)


def _meaning(cls: type, field: dataclasses.Field[Any]) -> str:
    said = getattr(_information(cls, field), "description", None)
    said = said or next(
        (field.metadata[k] for k in ("description", "meaning") if k in field.metadata), ""
    )
    return plain(" ".join(str(said).split()))


def _limits(cls: type, field: dataclasses.Field[Any]) -> str:
    words = {"ge": "at least {:g}", "gt": "above {:g}", "le": "at most {:g}", "lt": "below {:g}"}
    words |= {"min_length": "at least {} items", "max_length": "at most {} items"}
    rules = getattr(_information(cls, field), "metadata", ())
    said = [word.format(getattr(rule, key)) for rule in rules for key, word in words.items()
            if getattr(rule, key, None) is not None]  # fmt: skip
    return ", ".join(said)


def _type(field: dataclasses.Field[Any]) -> str:
    kind = getattr(field.type, "__origin__", field.type) if _annotated(field.type) else field.type
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def _annotated(kind: object) -> bool:
    return hasattr(kind, "__metadata__")


def _default(field: dataclasses.Field[Any]) -> str:
    value = _value(field)
    return "must be given" if value is dataclasses.MISSING else "''" if value == "" else str(value)


def plain(text: str) -> str:
    """Text of a docstring as Markdown: what stands in no code means nothing there."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if k % 2 else re.sub(r"([\\*_<>\[\]{}$#])", r"\\\1", part)
        for k, part in enumerate(parts)
    )
