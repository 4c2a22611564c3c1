"""The names of all findings that the code can produce, read from its source.

A name stands first in `Finding(...)`, in `INTERVAL.finding(...)`, in a call of a function that
hands its parameter on to one of these, or behind `name=` of a `replace`. A gap of a formatted
name becomes a capital word: `recall@{k}` is `recall@K`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gobelin
from gobelin.prediction import scoring

SOURCE = Path(gobelin.__file__).parent
NAME = re.compile(r"[a-z]\w*(@[A-Z]+)?")


@dataclass
class Code:
    """constants: of every module by name. calls: by the function's name, each with the functions
    around it (the innermost last) and its module."""

    constants: dict[tuple[Path, str], ast.expr] = field(default_factory=dict)
    calls: dict[str, list[tuple[ast.Call, tuple[ast.FunctionDef, ...], Path]]] = field(
        default_factory=dict
    )

    @classmethod
    def read(cls) -> Code:
        code = cls()
        for path in sorted(SOURCE.rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in tree.body:
                if isinstance(node, ast.Assign):
                    for name, value in _assigned(node):
                        code.constants[path, name] = value
            code._walk(tree, (), path)
        return code

    def _walk(self, node: ast.AST, inside: tuple[ast.FunctionDef, ...], path: Path) -> None:
        if isinstance(node, ast.FunctionDef):
            inside = (*inside, node)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            self.calls.setdefault(name, []).append((node, inside, path))
        for child in ast.iter_child_nodes(node):
            self._walk(child, inside, path)


def names() -> tuple[set[str], list[str]]:
    """Every name, and the places whose name can't be read from the source."""
    code, found, unread = Code.read(), set(), []
    for function in ("Finding", "finding", "replace"):
        for call, inside, path in code.calls.get(function, []):
            argument = _name_of(function, call)
            hands_on = (
                bool(inside) and inside[-1].name == "finding"
            )  # whose callers are read themselves
            if argument is not None and not hands_on:
                some = set(_texts(code, argument, inside, path))
                found |= {name for name in some if NAME.fullmatch(name)}
                if "" in some:
                    unread.append(
                        f"{path.relative_to(SOURCE)}:{call.lineno}: {ast.unparse(argument)}"
                    )
    return found, unread


def _name_of(function: str, call: ast.Call) -> ast.expr | None:
    """The name of the finding. COMPARISON.finding(arm, other) has none: the score names it."""
    keyword = next((k.value for k in call.keywords if k.arg == "name"), None)
    if function == "replace":
        return keyword if {"scope", "note", "verdict"} & {k.arg for k in call.keywords} else None
    if keyword is not None:
        return keyword
    method = isinstance(call.func, ast.Attribute)
    comparison = function == "finding" and method and len(call.args) > 1
    return call.args[0] if call.args and not comparison else None


def _texts(
    code: Code,
    value: ast.expr,
    inside: tuple[ast.FunctionDef, ...],
    path: Path,
    seen: frozenset[str] = frozenset(),
) -> Iterator[str]:
    """What an expression can be; '' where the source leaves it open. The name of another finding is
    no new one."""
    if isinstance(value, ast.Constant):
        yield str(value.value)
    elif isinstance(value, ast.JoinedStr):
        parts = (
            p.value if isinstance(p, ast.Constant) else ast.unparse(p.value).split(".")[-1].upper()
            for p in value.values
        )
        yield "".join(map(str, parts))
    elif isinstance(value, ast.IfExp):
        yield from _texts(code, value.body, inside, path, seen)
        yield from _texts(code, value.orelse, inside, path, seen)
    elif isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "finding_name":
        yield from (name for known in scoring.METRICS.values() for name in known.values())
    elif isinstance(value, ast.Attribute) and value.attr in ("name", "metric"):
        return
    elif isinstance(value, ast.Name):
        place = f"{inside[-1].name if inside else path} {value.id}"
        if place not in seen:
            yield from _of_name(code, value.id, inside, path, seen | {place})
    else:
        yield ""


def _of_name(
    code: Code, name: str, inside: tuple[ast.FunctionDef, ...], path: Path, seen: frozenset[str]
) -> Iterator[str]:
    for depth, function in reversed(list(enumerate(inside))):
        nodes = list(ast.walk(function))
        lists = {n: v for node in nodes if isinstance(node, ast.Assign) for n, v in _assigned(node)}
        bound = [v for node in nodes for n, v in _bindings(code, node, path, lists) if n == name]
        for value in bound:
            yield from _texts(code, value, inside, path, seen)
        if bound:
            return
        order = [
            a.arg
            for a in (*function.args.posonlyargs, *function.args.args)
            if a.arg not in ("self", "cls")
        ]
        if name in [*order, *(a.arg for a in function.args.kwonlyargs)]:
            private = function.name.startswith("_") or depth > 0
            for call, where, other in code.calls.get(function.name, []):
                given = {k.arg: k.value for k in call.keywords} | dict(
                    zip(order, call.args, strict=False)
                )
                method = [a.arg for a in function.args.args][:1] == ["self"]
                alike = isinstance(call.func, ast.Attribute) == method and (
                    other == path or not private
                )
                if name in given and alike:
                    yield from _texts(code, given[name], where, other, seen)
            return
    if (constant := _constant(code, name, path)) is None:
        yield ""
    else:
        yield from _texts(code, constant, (), path, seen)


def _constant(code: Code, name: str, path: Path) -> ast.expr | None:
    """A constant of the module, or of the one that it was imported from."""
    return code.constants.get(
        (path, name), next((v for (_, n), v in code.constants.items() if n == name), None)
    )


def _bindings(
    code: Code, node: ast.AST, path: Path, lists: dict[str, ast.expr]
) -> Iterator[tuple[str, ast.expr]]:
    """Names that a statement or a loop binds, with values. lists: what the function assigns."""
    if isinstance(node, ast.Assign):
        yield from _assigned(node)
    elif isinstance(node, ast.For | ast.comprehension):
        rows = node.iter
        if isinstance(rows, ast.Name):
            rows = lists.get(rows.id) or _constant(code, rows.id, path)
        for some in (rows.body, rows.orelse) if isinstance(rows, ast.IfExp) else (rows,):
            for row in some.elts if isinstance(some, ast.Tuple | ast.List) else []:
                yield from _matched(node.target, row)


def _assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    for target in node.targets:
        yield from _matched(target, node.value)


def _matched(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
    ):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _matched(one, other)
