"""Settings: mappings in, frozen dataclasses out, strictly.

A settings class stands beside the code that it configures. `@settings_class` makes it a frozen
pydantic dataclass: each field has a type, a default, limits and one line of description. `build`
turns a mapping (TOML, JSON, Python, `--set`) into an instance. All mistakes are reported together,
one line each."""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Strict,
    TypeAdapter,
    ValidationError,
)
from pydantic import Field as setting
from pydantic.dataclasses import dataclass, is_pydantic_dataclass
from pydantic.fields import FieldInfo

from gobelin.core import parse
from gobelin.core.errors import GobelinError, repeated
from gobelin.core.expectations import expectation, mistakes_of, parts
from gobelin.core.special import special

T = TypeVar("T")
COUNTED = ("generator", "tune")  # groups with a number of steps and a limit in minutes
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(setting, dataclasses.field))
def settings_class(cls: type[T]) -> type[T]:
    """A frozen pydantic dataclass that refuses unknown names and wrong values in our words.

    A field: `steps: int = setting(default=3, ge=0, le=9, description="Steps.")`. Values
    may be spelled as on the command line, see `_spelled`. Raises GobelinError where an instance is
    made with a wrong value."""
    hints = typing.get_type_hints(cls, include_extras=True)
    own = cls.__dict__.get("__annotations__", {})
    for name in [n for n in own if typing.get_origin(hints[n]) is not typing.ClassVar]:
        field = cls.__dict__.get(name)
        if isinstance(field, FieldInfo):
            # The limits go to the type, the default to the class: `dataclasses.fields` and the
            # class attribute then hold the default itself.
            own[name] = _spelled(_with(hints[name], field))
            factory = typing.cast(Any, field.default_factory)
            if field.is_required():
                delattr(cls, name)
            elif factory is None:
                setattr(cls, name, field.default)
            else:
                setattr(cls, name, dataclasses.field(default_factory=factory))
        else:
            own[name] = _spelled(hints[name])
    checked: Any = dataclass(frozen=True, config=STRICT)(cls)
    construct = checked.__init__

    @functools.wraps(construct)
    def __init__(self: object, *args: object, **kwargs: object) -> None:
        try:
            construct(self, *args, **kwargs)
        except ValidationError as error:
            raise GobelinError(*mistakes_of(error, checked, cls.__name__)) from error

    checked.__init__ = __init__
    return checked


def build(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """An instance of the settings class `cls` from `values`; missing names keep their defaults.

    A plain dataclass (a component of a user's own) is checked in the same way. Raises GobelinError
    with one line a mistake, each starting with `where`."""
    checked = _checked(cls)
    try:
        built = checked.__pydantic_validator__.validate_python(dict(values))
    except ValidationError as error:
        raise GobelinError(*mistakes_of(error, checked, where)) from error
    if checked is cls:
        return built
    try:
        return cls(**{f.name: getattr(built, f.name) for f in dataclasses.fields(checked)})
    except (TypeError, ValueError) as error:
        raise GobelinError(f"{where}: {error}.") from error


def _checked(cls: type) -> Any:  # noqa: ANN401 - a pydantic dataclass
    return cls if is_pydantic_dataclass(cls) else _checked_copy(cls)


@functools.cache
def _checked_copy(cls: type) -> type:
    """A settings class with the fields of a plain dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    body: dict[str, Any] = {"__annotations__": {}, "__module__": cls.__module__}
    for field in dataclasses.fields(cls):
        body["__annotations__"][field.name] = hints[field.name]
        if field.default_factory is not dataclasses.MISSING:
            body[field.name] = dataclasses.field(default_factory=field.default_factory)
        elif field.default is not dataclasses.MISSING:
            body[field.name] = field.default
    return settings_class(type(cls.__name__, (), body))


# What may be written for a value on a command line, beside what pydantic takes.


def _spelled(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """The same type, which also takes `true` and `false` as words, `1e3` as a whole number, `a,b`
    or one item as a list, and a column's name with dots as one key. A truth value is no number."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        # A validator that comes before must stand last, so that limits apply to the type itself.
        inner = _spelled(arguments[0])
        base, *spellings = typing.get_args(inner) if _annotated(inner) else (inner,)
        return _with(base, *arguments[1:], *spellings)
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, map(_spelled, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return _with(
            types.GenericAlias(tuple, (_spelled(arguments[0]), ...)), BeforeValidator(_listed)
        )
    if origin is Mapping:
        value = arguments[1]
        mapping = types.GenericAlias(Mapping, (str, _spelled(value)))
        plain = value in (bool, int, float, str) or typing.get_origin(value) in (tuple, Annotated)
        return _with(mapping, BeforeValidator(_flat)) if plain else mapping
    if hint is bool:
        return _with(bool, Strict(), BeforeValidator(_truth))
    if hint in (int, float):
        return _with(hint, BeforeValidator(_whole if hint is int else _number))
    return hint


def _with(hint: Any, *more: object) -> Any:  # noqa: ANN401
    annotated: Any = Annotated
    return annotated[(hint, *more)]


def _annotated(hint: Any) -> bool:  # noqa: ANN401
    return typing.get_origin(hint) is Annotated


def _truth(value: object) -> object:
    words = {"true": True, "false": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value")
    return value


def _whole(value: object) -> object:
    if isinstance(value, str) and "e" in value.lower():
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if number.is_integer() else value
    return _number(value)


def _listed(value: object) -> object:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        items = [items]
    items = [item.strip() if isinstance(item, str) else item for item in items]
    return [item for item in items if item != ""]


def _flat(values: object) -> object:
    """{'a': {'b': c}} as {'a.b': c}: `schema.A.B=C` names the column A.B."""
    if not isinstance(values, Mapping):
        return values
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{k}": v for k, v in typing.cast(dict, _flat(value)).items()}
        else:
            out[str(key)] = value
    return out


def _once(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if (twice := repeated(items)) is not None:
        raise ValueError(f"{twice!r} appears twice")
    return items


Once = AfterValidator(_once)  # of a list: no item may stand there twice


# What settings there are.


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting. name: dotted, as `--set` takes it. takes: the values it may have, in words."""

    name: str
    default: Any
    takes: str
    meaning: str

    @property
    def shown(self) -> str:
        """The default, spelled as `--set` takes it."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return "" if self.default in (None, {}) else str(self.default)


def listed(cls: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a settings class, groups spelled out, in their order."""
    for name, field in _checked(cls).__pydantic_fields__.items():
        hint, limits = parts(field)
        dotted = f"{prefix}.{name}" if prefix else name
        if is_pydantic_dataclass(hint):
            yield from listed(hint, dotted)
            continue
        default = field.get_default(call_default_factory=True)
        yield Setting(dotted, default, expectation(hint, limits), field.description or "")


def schema(cls: type) -> dict[str, Any]:
    """The JSON schema of a settings class."""
    return TypeAdapter(_checked(cls)).json_schema()


# Mappings.


def resolved(instance: object) -> dict[str, Any]:
    """Every setting of a dataclass with its value, ready for JSON. Raises GobelinError for a text
    that no file can hold."""
    text = json.dumps(dataclasses.asdict(instance), default=str)  # type: ignore[call-overload]
    try:
        return parse.json_value(text)
    except ValueError as error:
        raise GobelinError(f"settings: a value can't be stored: {error}. Name another.") from error


def limited(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `base` without the number of steps of each training that `over` limits by
    minutes and for which it sets no number: the later word counts."""
    out = dict(base)
    for group in COUNTED:
        values, limit = out.get(group), over.get(group)
        if isinstance(values, Mapping) and isinstance(limit, Mapping):
            changed = limit.get("minutes") not in (None, values.get("minutes"))
            if limit.get("steps"):
                out[group] = {k: v for k, v in values.items() if k != "ended"}
            elif changed:
                out[group] = {k: v for k, v in values.items() if k not in ("steps", "ended")}
    return out


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, group by group."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1, "a": {"c": 2}}` as `{"a": {"b": 1, "c": 2}}`: dotted names and groups, mixed.

    Only names at the top are split, so a column's name inside a group may have dots. Raises
    GobelinError where one setting is given twice."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        group = _grouped(str(key), value)
        if twice := _common(out, group):
            raise GobelinError(f"settings: {twice!r} is given twice, in two ways. Give it once.")
        out = merge(out, group)
    return out


def _grouped(name: str, value: object) -> dict[str, Any]:
    """{'a': {'b': value}} for the name 'a.b'. GobelinError for a value that no file can hold."""
    out: Any = value
    for part in reversed(name.split(".")):
        out = {part: out}
    try:
        parse.check(out)
    except ValueError as error:
        raise GobelinError(
            f"settings: {name[:60]!r} can't be used ({error}). Give a simpler value."
        ) from error
    return out


def _common(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The dotted name of a setting that both hold; '' for none."""
    for key in a.keys() & b.keys():
        if not (isinstance(a[key], Mapping) and isinstance(b[key], Mapping)):
            return key
        if deeper := _common(a[key], b[key]):
            return f"{key}.{deeper}"
    return ""


def assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """`a.b=c` strings as nested mappings; values stay strings until `build` knows their type."""
    out: dict[str, Any] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        if not equals or not path.strip():
            raise GobelinError(
                f"--set {pair!r}: NAME=VALUE was expected. For example --set runtime.seed=1."
            )
        out = merge(out, _grouped(path.strip(), value.strip()))
    return out


def read(path: Path) -> dict[str, Any]:
    """A recipe: a TOML file, or the settings.json of an earlier run."""
    if not (path.is_file() or special(path)):
        raise GobelinError(
            f"{path}: no such recipe. Give the path of a .toml file or of a run's settings.json."
        )
    try:
        if path.suffix == ".json":
            values = parse.json_file(path, parse.MOST_SETTINGS_BYTES)
        else:
            values = parse.toml_file(path)
    except OSError as error:
        raise GobelinError(f"{path}: can't be read ({error.strerror}). Check the path.") from error
    if not isinstance(values, dict):
        raise GobelinError(
            f"{path}: groups of settings were expected, found {type(values).__name__}."
        )
    return values
