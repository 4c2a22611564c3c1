"""Docstrings of this project are plain English with `code` in single backticks. This makes them reStructuredText for autodoc.

What would mean something else there (a star, a bar, a trailing underscore) is escaped. A paragraph whose lines are indented
unevenly keeps its lines, so that no docstring can break the build by its layout.
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
    return {"parallel_read_safe": True}


def _process(app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:  # noqa: ANN401
    lines[:] = restructured(lines)


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
