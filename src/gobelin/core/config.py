"""Settings: mappings in, frozen dataclasses out, strictly.

A settings class is a frozen dataclass beside the code that it configures. `build` turns a mapping
(TOML, JSON, Python) into one; an unknown key or a value of the wrong type is an error that names
the key and the nearest known one."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gobelin.core.errors import GobelinError, nearest

T = TypeVar("T")
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def build(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """An instance of the dataclass `cls` from `values`; missing keys keep their defaults."""
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    mistakes, arguments = [], {}
    for key, value in values.items():
        if key not in known:
            mistakes.append(f"{where}: unknown setting {key!r}.{nearest(key, known)}")
            continue
        try:
            arguments[key] = _convert(hints[key], value, f"{where}.{key}")
        except GobelinError as error:
            mistakes.append(str(error))
    if mistakes:
        raise GobelinError("\n".join(mistakes))
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise GobelinError(f"{where}: {error}.") from error


def _convert(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any setting
    """`value` as the annotated type `kind`, or an error that says what was expected."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise GobelinError(
                f"{where}: is a group of settings, found {value!r}. Set {where}.NAME=VALUE."
            )
        return build(kind, value, where)
    if origin is tuple:
        items = (
            value.split(",")
            if isinstance(value, str)
            else list(value)
            if isinstance(value, list | tuple)
            else [value]
        )
        items = [i.strip() if isinstance(i, str) else i for i in items]
        return tuple(_convert(arguments[0], i, where) for i in items if i != "")
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        if not isinstance(value, Mapping):
            raise GobelinError(
                f"{where}: is a group of settings, found {value!r}. Set {where}.NAME=VALUE."
            )
        plain = arguments[1] in (str, float, int) or typing.get_origin(arguments[1]) is tuple
        inner = (
            _flat(value) if plain else value
        )  # schema.A.B=C: a column may have a dot in its name
        return {str(k): _convert(arguments[1], v, f"{where}.{k}") for k, v in inner.items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise GobelinError(
                f"{where}: one of {', '.join(map(str, arguments))} was expected, found {value!r}."
            )
        return value
    return _scalar(kind, value, where)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """{'a': {'b': c}} as {'a.b': c}."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= (
            {f"{key}.{k}": v for k, v in _flat(value).items()}
            if isinstance(value, Mapping)
            else {str(key): value}
        )
    return out


def within(settings: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """For a settings class: each of these settings must lie from low to high, each item of a tuple
    too (one at least)."""
    wrong = []
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        items = value if isinstance(value, tuple) else (value,)
        if not items or not all(low <= item <= high for item in items):
            wrong.append(
                f"{name} = {value if items else 'nothing'}, from {low:g} to {high:g} was expected"
            )
    if wrong:
        raise ValueError("; ".join(wrong))


def once(settings: object, *names: str) -> None:
    """For a settings class: no item of these tuples may stand there twice."""
    for name in names:
        items = getattr(settings, name)
        if twice := [one for one in items if items.count(one) > 1]:
            raise ValueError(f"{name}: {twice[0]!r} appears twice")


def _scalar(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
    elif kind in (int, float):
        try:
            if not isinstance(value, bool) and (kind is float or float(value) == int(float(value))):
                if math.isfinite(float(value)):
                    return float(value) if kind is float else _whole(value)
        except (TypeError, ValueError, OverflowError):
            pass
    elif kind is str:
        if isinstance(value, str | int | float):
            return str(value)
    else:
        return value
    raise GobelinError(f"{where}: {NAMES[kind]} was expected, found {value!r}.")


def _whole(value: Any) -> int:  # noqa: ANN401
    """7, '7', 7.0 and '7.0' as 7; a seed of 63 bits keeps every digit."""
    try:
        return int(str(value))
    except ValueError:
        return int(float(value))


def resolved(instance: object) -> dict[str, Any]:
    """Every setting of a dataclass with its value, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(instance), default=str))  # type: ignore[call-overload]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, group by group."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def assignments(pairs: typing.Iterable[str]) -> dict[str, Any]:
    """`a.b=c` strings as nested mappings; values stay strings until `build` knows their type."""
    out: dict[str, Any] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        if not equals or not path.strip():
            raise GobelinError(
                f"--set {pair!r}: NAME=VALUE was expected. For example --set runtime.seed=1."
            )
        nested: Any = value.strip()
        for key in reversed(path.strip().split(".")):
            nested = {key: nested}
        out = merge(out, nested)
    return out


def read(path: Path) -> dict[str, Any]:
    """A recipe: a TOML file, or the settings.json of an earlier run."""
    if not path.is_file():
        raise GobelinError(
            f"{path}: no such recipe. Give the path of a .toml file or of a run's settings.json."
        )
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise GobelinError(
            f"{path}: can't be read as {path.suffix[1:].upper() or 'TOML'} ({error})."
        ) from error
    if not isinstance(values, dict):
        raise GobelinError(
            f"{path}: groups of settings were expected, found {type(values).__name__}."
        )
    return values
