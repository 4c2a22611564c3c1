"""Docstrings are plain English with `code` in single backticks; autodoc reads reStructuredText.

Characters that would mean something else there (a star, a bar, a trailing underscore) are
escaped. A paragraph whose lines are indented unevenly keeps its lines: no docstring breaks the
build by its layout.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

CODE = re.compile(r"``.+?``|`[^`]+`", re.S)
SPECIAL = re.compile(r"([\\*|]|(?<=\w)_(?!\w)|`)")
BULLET = re.compile(r"- ")


def setup(app: Any) -> dict[str, bool]:  # noqa: ANN401 - a Sphinx application
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True}


def _process(app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:  # noqa: ANN401
    lines[:] = restructured(lines)


def _signature(app: Any, what: str, name: str, it: Any, *rest: Any) -> tuple[str, str] | None:  # noqa: ANN401
    """A protocol is never called: it has no signature to show."""
    return ("", "") if getattr(it, "_is_protocol", False) else None


def restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText, paragraph by paragraph."""
    out: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            out += [*_paragraph([line.rstrip() for line in group]), ""]
    return out


def _paragraph(lines: list[str]) -> list[str]:
    if lines[0].lstrip().startswith(">>>"):
        return ["::", "", *(f"    {line.strip()}" for line in lines)]
    if any(BULLET.match(line.strip()) for line in lines) and BULLET.match(lines[0].strip()):
        return _items(lines)
    indents = {len(line) - len(line.lstrip()) for line in lines}
    if len(indents) > 1:
        return [f"| {line}" for line in _escaped("\n".join(lines)).split("\n")]
    return _escaped("\n".join(line.strip() for line in lines)).split("\n")


def _items(lines: list[str]) -> list[str]:
    out: list[str] = []
    for line in _escaped("\n".join(line.strip() for line in lines)).split("\n"):
        out += ["", line] if BULLET.match(line) else [f"  {line}"]
    return out


def _escaped(text: str) -> str:
    out, end = [], 0
    for code in CODE.finditer(text):
        out.append(SPECIAL.sub(r"\\\1", text[end : code.start()]))
        out.append("``" + code[0].strip("`").replace("\n", " ") + "``")
        end = code.end()
    text = "".join([*out, SPECIAL.sub(r"\\\1", text[end:])])
    # Code must not touch a letter in reStructuredText: an empty escape stands between.
    return re.sub(r"(``)(?=\w)(?<=\w``)|(?<=\w)(?=``\w)", lambda m: (m[0] or "") + "\\ ", text)
