"""Errors that a user can mend, one line each.

A `GobelinError` is the user's mistake: the command line prints its one line and exits with 2; a
server would answer 4xx. Any other error is a mistake of Gobelin and keeps its traceback. The
wording is always `where: what was wrong, what was found. What to do.`
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


class GobelinError(Exception):
    """A mistake of the user. `str(error)` is one line, or one line for each mistake in a file."""


class MissingExtra(GobelinError):
    """A heavy dependency is not installed. The message holds the command that installs it: the one
    of an extra, or `command`."""

    def __init__(self, what: str, extra: str = "", command: str = "") -> None:
        command = command or f"pip install 'gobelin[{extra}]'"
        super().__init__(f"{what} is not installed. Run: {command}")


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the known word nearest to `word`. If none is near: the known words."""
    words = sorted(str(k) for k in known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(words[:20])}{' ...' if len(words) > 20 else ''}." if words else ""


def repeated(items: Iterable[Item]) -> Item | None:
    """The first item that was there before; None where all differ."""
    seen: set[Item] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
