"""Arguments of public functions, checked against their annotations.

The command line reads texts and refuses what it can't read. A caller in Python can hand over
anything, and a wrong type would fail somewhere deep, or be taken for something else: the text "12"
for the list of ids "1" and "2". So a public function refuses it in one line, before any work.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gobelin.core.errors import GobelinError

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Class = TypeVar("Class")
# what a type is called: alone, and as the items of a list or mapping
WORDS = {
    str: ("a text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "truth values"),
    Path: ("a path", "paths"),
}
# the same of classes, by their names
CLASSES = {
    "Frame": "a data frame",
    "NamedColumns": "a data frame",
    "Dataset": "a Dataset",
    "Workbench": "a Workbench",
}
SHOWN = 60  # letters of a wrong value
MODULES_OF_TABLES = ("numpy", "pandas", "polars", "torch")


def typed(**remedies: str) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """A decorator: GobelinError for an argument of another type than its annotation.

    remedies: {argument: what to do}, the end of the message; without one it follows from the
    type."""

    def around(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        @functools.wraps(function)
        def call(*args: Given.args, **options: Given.kwargs) -> Answer:
            refuse_wrong_types(function, args, options, remedies)
            return function(*args, **options)

        return call

    return around


def typed_methods(**remedies: str) -> Callable[[type[Class]], type[Class]]:
    """The same for every public method of a class, and for making an instance."""

    def around(cls: type[Class]) -> type[Class]:
        wrap = typed(**remedies)
        for name, member in list(vars(cls).items()):
            if name.startswith("_") and name != "__init__":
                continue
            if inspect.isfunction(member):
                setattr(cls, name, wrap(member))
            elif isinstance(member, classmethod):
                setattr(cls, name, classmethod(wrap(member.__func__)))
        return cls

    return around


def refuse_wrong_types(
    function: Callable[..., object],
    args: Sequence[object],
    options: Mapping[str, object],
    remedies: Mapping[str, str],
) -> None:
    """Raises GobelinError for the first argument that doesn't fit."""
    signature, hints = _signature(function)
    try:
        bound = signature.bind(*args, **options)
    except TypeError:
        return  # the call itself says which name is wrong, or lacking
    for name, value in bound.arguments.items():
        if name not in hints:
            continue
        several = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        for key, one in value.items() if several else [(name, value)]:
            if not fits(one, hints[name]):
                remedy = remedies.get(name) or _remedy(hints[name], one)
                raise GobelinError(
                    f"{_called(function)}, {key}: {described(hints[name])} was expected, found"
                    f" {_found(one)}. {remedy}".rstrip()
                )


@functools.cache
def _signature(function: Callable[..., object]) -> tuple[inspect.Signature, dict[str, Any]]:
    # of the arguments alone: what is returned may be a name that only a type checker knows
    own = inspect.unwrap(function)
    asked = {n: a for n, a in own.__annotations__.items() if n != "return"}
    hints = typing.get_type_hints(types.SimpleNamespace(__annotations__=asked), own.__globals__)
    return inspect.signature(function), hints


def _called(function: Callable[..., object]) -> str:
    return function.__name__ if function.__name__ != "__init__" else "Workbench"


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether a value is of an annotated type. A text is no list, a truth value is no number, and
    what can be looked at once only is not looked into."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if hint in (None, types.NoneType, Any):
        return hint is Any or value is None
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items()
        )
    if origin in (Sequence, Iterable):
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return False
        return origin is Iterable or all(fits(v, inside[0]) for v in value)
    if hint in (int, float):
        kind = Integral if hint is int else Real
        return isinstance(value, kind) and not isinstance(value, bool)
    if origin is Callable or _is_protocol_of_calls(hint):
        return callable(value)
    return isinstance(value, hint) if isinstance(hint, type) and origin is None else True


def _is_protocol_of_calls(hint: Any) -> bool:  # noqa: ANN401
    """Whether a protocol asks for a call alone, such as that of progress."""
    return bool(getattr(hint, "_is_protocol", False)) and "__call__" in vars(hint)


def described(hint: Any) -> str:  # noqa: ANN401 - any annotation
    """The annotated type in words."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        named = [one for one in inside if one is not types.NoneType]
        if Path in named and float not in named:
            named.remove(str)  # a text that is a path
        words = list(dict.fromkeys(map(described, named)))
        return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
    if origin is Mapping:
        return f"{{name: {described(inside[1])}}}" if inside[1] is not Any else "a mapping"
    if origin in (Sequence, Iterable):
        return f"a list of {WORDS[inside[0]][1]}" if inside[0] in WORDS else "a list"
    if hint in WORDS:
        return WORDS[hint][0]
    if _is_protocol_of_calls(hint) or origin is Callable:
        return "a function"
    name = getattr(hint, "__name__", str(hint))
    return CLASSES.get(name, name)


def _found(value: object) -> str:
    """The value where it is short; else its type."""
    kind, module = type(value).__name__, type(value).__module__.split(".")[0]
    if module in MODULES_OF_TABLES and hasattr(value, "shape"):
        size = " x ".join(map(str, value.shape))
        return f"{kind} of {size}" if size else repr(value)[:SHOWN]
    shown = repr(value)
    if shown.startswith("<"):
        return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
    return shown if len(shown) <= SHOWN else f"{kind}: {shown[:SHOWN]} ..."


def _remedy(hint: Any, value: object) -> str:  # noqa: ANN401
    """What to do, where it follows from the types; else ''."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if union else (hint,)
    if any(getattr(kind, "__name__", "") == "Frame" for kind in kinds):
        if isinstance(value, Mapping) and any(hasattr(v, "shape") for v in value.values()):
            return "Give one of its tables."
        table = isinstance(value, Mapping | Sequence) or hasattr(value, "shape")
        if hasattr(value, "collect"):
            return "Its collect() makes a frame."
        return "Make a frame of it: pandas.DataFrame(...)." if table else "Give one of them."
    if type(value).__module__.startswith("PIL.") and Path in kinds:
        return "Save the image, and give the path of the file."
    if any(typing.get_origin(kind) is Sequence for kind in kinds) and fits(value, str | int):
        return f"Give [{value!r}]."
    return ""
