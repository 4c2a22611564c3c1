"""Benchmarks run seldom, and no type check reads them: what they take from the library is there.
Oracle: the names that stand in its files."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks").glob("*.py"))


def place(module: str) -> Path | None:
    """The file of a module of the library; None where there is none."""
    path = ROOT / "src" / module.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@lru_cache
def names(path: Path) -> frozenset[str]:
    """Every name that is defined, assigned or imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {a.asname or a.name.split(".")[0] for a in node.names}
    return frozenset(found)


def missing(text: str) -> list[str]:
    """What a program takes from modules of the library that have no such name."""
    tree, modules, out = ast.parse(text), dict[str, Path](), list[str]()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("gobelin"):
            continue
        home = place(str(node.module))
        known = names(home) if home else frozenset()
        for alias in node.names:
            if (inside := place(f"{node.module}.{alias.name}")) is not None:
                modules[alias.asname or alias.name] = inside
            elif alias.name not in known and "__getattr__" not in known:
                out.append(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            home = modules.get(node.value.id)
            if home and node.attr not in names(home):
                out.append(f"{node.value.id}.{node.attr}")
    return out


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_what_a_benchmark_takes_is_there(path: Path) -> None:
    assert missing(path.read_text(encoding="utf-8")) == []


def test_a_missing_name_is_seen() -> None:
    text = "from gobelin.quality import data\nfrom gobelin.data.files import items\ndata.giveaways"
    assert missing(text) == ["gobelin.data.files.items", "data.giveaways"]
