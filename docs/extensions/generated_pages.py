"""Pages that each build writes from the code into docs/_generated; docs/reference includes them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import settings_page

import gobelin
from gobelin.core import catalog
from gobelin.workbench.run.settings import Settings

SOURCE = Path(gobelin.__file__).parent


def setup(app: Any) -> dict[str, bool]:  # noqa: ANN401 - a Sphinx application
    app.connect("config-inited", lambda app, config: write(Path(app.srcdir) / "_generated"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """All generated pages; an unchanged one is left alone, so that a second build is quick."""
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        text = "\n".join(page()) + "\n"
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def settings() -> Iterator[str]:
    yield from settings_page.tables(Settings)


def components() -> Iterator[str]:
    """Every component by slot: what its file says of it, and its settings."""
    for slot in catalog.SLOTS:
        yield f"## {slot}\n"
        for name in catalog.names(slot):
            row, cls = catalog.described(slot, name), catalog.find(slot, name)
            yield f"### {slot}: {name}\n\n{settings_page.plain(row['what'])}\n"
            for key in ("conditions", "licence", "cost"):
                if row.get(key):
                    yield f"- {key}: {settings_page.plain(row[key])}"
            yield "\n" + settings_page.table(cls, whole=True)


def contracts() -> Iterator[str]:
    """The contract of each slot: what its package itself defines."""
    for slot, package in catalog.SLOTS.items():
        yield f"## {slot}\n"
        yield from _autodoc("automodule", package, ":members:", ":undoc-members:")


def python() -> Iterator[str]:
    """Every public name of the package, and of `gobelin.sklearn`."""
    for name in gobelin.__all__:
        if name != "__version__":
            kind = "autoclass" if inspect.isclass(getattr(gobelin, name)) else "autofunction"
            kind = "autoexception" if name.endswith("Error") else kind
            yield f"## gobelin.{name}\n"
            yield from _autodoc(
                kind,
                f"gobelin.{name}",
                *([] if kind == "autofunction" else [":members:", ":undoc-members:"]),
            )
    module = importlib.import_module("gobelin.sklearn")
    for name, cls in sorted(vars(module).items()):
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_"):
            verbs = [
                verb
                for verb in ("fit", *sorted(dir(cls)))
                if verb == "fit" or verb.startswith("predict")
            ]
            yield f"## gobelin.sklearn.{name}\n"
            yield from _autodoc(
                "autoclass",
                f"gobelin.sklearn.{name}",
                f":members: {', '.join(verbs)}",
                ":undoc-members:",
            )


def messages() -> Iterator[str]:
    """Every message of a mistake, by the file that raises it; a gap stands in capitals."""
    for path in sorted(SOURCE.rglob("*.py")):
        found = list(dict.fromkeys(_messages(ast.parse(path.read_text(encoding="utf-8")))))
        if found:
            yield f"### {path.relative_to(SOURCE).with_suffix('').as_posix()}\n"
            yield from (f"- {settings_page.plain(text)}" for text in found)
            yield ""


def _messages(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) == "GobelinError"
        ):
            if node.args and isinstance(node.args[0], ast.JoinedStr | ast.Constant):
                yield " ".join(_filled(node.args[0]).split())


def _filled(node: ast.expr) -> str:
    """A text with its gaps as capitals: f'{path}: is a file' -> 'PATH: is a file'."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_filled(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        words = re.findall(r"[A-Za-z][A-Za-z_]*", ast.unparse(node.value))
        if ast.unparse(node.value).startswith("nearest("):
            return " Did you mean ...?"
        return words[-1].upper() if words else "..."
    return "..."


def _autodoc(directive: str, target: str, *options: str) -> Iterator[str]:
    yield "\n".join(
        [
            "```{eval-rst}",
            f".. {directive}:: {target}",
            *(f"   {option}" for option in options),
            "```",
            "",
        ]
    )


PAGES = {page.__name__: page for page in (settings, components, contracts, python, messages)}

if __name__ == "__main__":
    write(Path(sys.argv[1]))
