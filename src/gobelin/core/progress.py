"""How far a piece of work is: told by every long loop, shown by whoever listens.

A loop that is given a `Progress` calls it. A loop deep inside, which is given none, goes through
`counted`: what it tells reaches the listener of the process, as a log record does. A program that
listens to nothing sees nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

_steps: list[tuple[str, object]] = []  # that are being worked on, the outermost first
Item = TypeVar("Item")


class Progress(Protocol):
    """Is called during all work that can take over two seconds. The command line draws it with the
    time left."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing: the default of the library."""


_listener: Progress = silent


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Inside, the process works on a step of this name, which a user is told while the work counts
    nothing. Steps may stand inside each other."""
    entry = (name, object())
    _steps.append(entry)
    try:
        yield
    finally:
        _steps.remove(entry)


def present_step() -> str:
    """The innermost step that is being worked on; '' where there is none."""
    return _steps[-1][0] if _steps else ""


@contextlib.contextmanager
def listened(listener: Progress) -> Iterator[None]:
    """Inside, `listener` is called with all that `counted` tells, in whatever thread."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def counted(what: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
    """The items, one by one, and to the listener how many are done. total: how many there are, of
    items that don't know."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    told, done = _listener, 0
    if count:
        told(what, 0, count)
    for item in items:
        yield item
        done += 1
        if done < count:
            told(what, done, count)
    if count:
        told(what, count, count)
