"""Components by name. A component's name is the name of its file, everywhere: `nearest_copy.py` <->
`NearestCopy`.

Nothing registers itself: a slot is a folder, and its files are its components. A name that comes
from a command line or from the network must match a file in the slot, so it can import nothing
else. What a list or a help text says of a component is read from its file, which is not imported:
torch alone takes seconds to load.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import io
import pkgutil
import sys
import tokenize
from collections.abc import Mapping
from typing import Any

from gobelin.core.errors import GobelinError, nearest

SLOTS = {
    "readers": "gobelin.data.readers",
    "media": "gobelin.data.media",
    "samples": "gobelin.data.samples",
    "encoders": "gobelin.embedding.encoders",
    "fusion": "gobelin.prediction.fusion",
    "generators": "gobelin.generation.generators",
    "rivals": "gobelin.augmentation.rivals",
    "metrics": "gobelin.quality.metrics",
    "audits": "gobelin.privacy.audits",
    "explainers": "gobelin.prediction.explainers",
}


OTHER_FLAGS = {"sound": "audio"}  # {another name of a query's flag: the flag}


def names(slot: str) -> list[str]:
    """The components of a slot, sorted. None of them is imported. GobelinError for an unknown
    slot."""
    if slot not in SLOTS:
        raise GobelinError(f"list: no slot {slot!r}.{nearest(slot, SLOTS)}")
    return list(_files(slot))


@functools.cache
def _files(slot: str) -> dict[str, pkgutil.ModuleInfo]:
    """Name -> file. The folder is read once: a schema asks for every column."""
    package = importlib.util.find_spec(SLOTS[slot])
    assert package is not None, slot
    found = {m.name: m for m in pkgutil.iter_modules(package.submodule_search_locations)}
    return {name: found[name] for name in sorted(found) if not name.startswith("_")}


def _file(slot: str, name: str) -> pkgutil.ModuleInfo:
    """The file of a component. GobelinError for an unknown name."""
    known = names(slot)
    if name not in known:
        raise GobelinError(f"{slot}: no component {name!r}.{nearest(name, known)}")
    return _files(slot)[name]


def find(slot: str, name: str) -> type[Any]:
    """The class of a component. GobelinError for an unknown name."""
    _file(slot, name)
    module = importlib.import_module(f"{SLOTS[slot]}.{name}")
    return getattr(module, class_name(name))


def build(slot: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any component
    """An instance with the given settings, the rest at their defaults."""
    from gobelin.core import config  # pydantic: a list of names needs none

    return config.build(find(slot, name), settings or {}, f"{slot}.{name}")


def described(slot: str, name: str) -> dict[str, str]:
    """slot, name and what (the first line of its file). For a generator also conditions, licence
    and cost."""
    row = {"slot": slot, "name": name, "what": _first_line(_source(slot, name))}
    if slot == "generators":
        row["conditions"] = ", ".join(sorted(declared(slot, name, "accepts", ()))) or "nothing"
        row |= {key: declared(slot, name, key, "not said") for key in ("licence", "cost")}
    return row


def _first_line(source: str) -> str:
    """The first line of a file's docstring. The rest of the file is not looked at."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING:
            return str(ast.literal_eval(token.string)).strip().partition("\n")[0]
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            break
    return ""


def declared(slot: str, name: str, attribute: str, otherwise: object = None) -> Any:  # noqa: ANN401
    """A class attribute of a component: the literal (or frozenset of one) in its file. A component
    that inherits or computes it is imported."""
    if f"{SLOTS[slot]}.{name}" in sys.modules:
        return getattr(find(slot, name), attribute, otherwise)
    for node in _tree(slot, name).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name(name):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == attribute:
                    with contextlib.suppress(ValueError, TypeError):
                        return _literal(line.value)
    return getattr(find(slot, name), attribute, otherwise)


def _literal(value: ast.expr | None) -> object:
    """ValueError or TypeError for any other expression."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "frozenset":
        return frozenset(*map(ast.literal_eval, value.args))
    return ast.literal_eval(value)  # type: ignore[arg-type]


@functools.cache
def _tree(slot: str, name: str) -> ast.Module:
    return ast.parse(_source(slot, name))


def _source(slot: str, name: str) -> str:
    finder: Any = _file(slot, name).module_finder
    return finder.find_spec(name).loader.get_source(name)


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
