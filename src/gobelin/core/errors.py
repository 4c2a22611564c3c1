"""Errors that a user can mend, one line each.

A `GobelinError` is the user's mistake: the command line prints its one line and exits with 2; a
server would answer 4xx. Any other error is a mistake of Gobelin and keeps its traceback, but for
one that the files of a run may cause (`UnusableValue`). The wording is always
`where: what was wrong, what was found. What to do.`
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from gobelin.core.printable import printable

Item = TypeVar("Item", bound=Hashable)
MOST_NAMES, MOST_LETTERS = 20, 60  # of names that a line lists
MOST_LINES = 5  # of the mistakes in a table


class GobelinError(Exception):
    """A mistake of the user. `str(error)` is one line, or one line for each mistake in a file: the
    `args`. A name that the line quotes can't break it, as what is not printable is escaped."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*map(printable, lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


class UnusableValue(GobelinError):
    """A file holds a value that no check foresaw. The cause has a traceback for programmers, which
    the command line prints with --verbose."""


class UsedUp(GobelinError):
    """No memory or no open file is left. It says nothing of the file that was read or written."""


class MissingExtra(GobelinError):
    """A heavy dependency is not installed. The message holds the command that installs it: the one
    of an extra, or `command`."""

    def __init__(self, what: str, extra: str = "", command: str = "") -> None:
        command = command or f"pip install 'gobelin[{extra}]'"
        super().__init__(f"{what} is not installed. Run: {command}")


# why a file or folder that is there can't be opened
CLOSED = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG, errno.ELOOP)
NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|can't start new thread"
    r"|failed to map segment|\(os error 12\)",
    re.IGNORECASE,
)  # how torch, the loader, Rust and Python say it where they raise no MemoryError


NO_FILES = re.compile(
    r"\(os error (23|24)\)|Os \{ code: (23|24),|[Tt]oo many open files"
)  # as Rust and PyTorch say it
OF_RUST = ("SafetensorError", "PanicException")  # errors of libraries in Rust, by their names


def outside_cause(error: BaseException) -> str | None:
    """The line about an error that the machine caused while a command ran: no memory or no disk
    is left, a file was removed or can't be opened. None for any other, which is a mistake of
    Gobelin."""
    number = error.errno if isinstance(error, OSError) else None
    if line := used_up(error):
        return line
    if isinstance(error, OSError) and number in (errno.ENOENT, errno.ESTALE):
        return (
            f"{error.filename or 'a file'}: was removed while the command ran. Put it back, or run"
            " the same command again."
        )
    if isinstance(error, OSError) and number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return (
            f"{error.filename or 'output'}: can't be written ({error.strerror}). Send it elsewhere,"
            " or free some space and run the same command again."
        )
    if isinstance(error, OSError) and number in CLOSED:
        return (
            f"{error.filename or 'a name'}: can't be opened ({error.strerror}). Give another one."
        )
    return None


def used_up(error: BaseException) -> str | None:
    """The line about an error that says that no memory or no open file is left."""
    number = error.errno if isinstance(error, OSError) else None
    tells = isinstance(error, RuntimeError | OSError | ImportError)
    said = str(error) if tells or type(error).__name__ in OF_RUST else ""
    if isinstance(error, MemoryError) or number == errno.ENOMEM or NO_MEMORY.search(said):
        return (
            "gobelin: memory is used up. Close other programs or raise the limit (ulimit -v), use"
            " smaller settings or fewer rows, and run the same command again."
        )
    if number in (errno.EMFILE, errno.ENFILE) or NO_FILES.search(said):
        return (
            "gobelin: too many files are open. Raise the limit (ulimit -n), or close other"
            " programs, and run the same command again."
        )
    return None


def first_line(error: BaseException, most: int = 160) -> str:
    """The first line of an error's message, cut to `most` letters; its kind where it says
    nothing."""
    said = str(error).strip()
    return said.splitlines()[0][:most].rstrip(".") if said else type(error).__name__


def why_damaged(error: BaseException) -> str:
    """Why a file of Gobelin's could not be read, in words that need no Python."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValueError | OSError | RuntimeError) and str(error).strip():
        return first_line(error)
    return "it holds other values than were written"


def used_up_below(error: BaseException) -> str | None:
    """`used_up` of an error and of those that led to it: a line that blames a file may rest on
    one."""
    below: BaseException | None = error
    while below is not None:
        if line := used_up(below):
            return line
        below = below.__cause__
    return None


def refuse_used_up(error: BaseException) -> None:
    """Raises UsedUp where that is the error. Call it before a file is blamed."""
    if line := used_up(error):
        raise UsedUp(line) from error


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the known word nearest to `word`. If none is near: the known words."""
    words = sorted(str(k) for k in known)
    if close := close_match(word, words):
        return f" Did you mean {close!r}?"
    return f" Known: {some(words)}." if words else ""


def some(names: Iterable[str]) -> str:
    """The first names of a file or a set, so that a line stays one: 'a, b, c ...'. Long ones are
    cut."""
    listed = list(names)
    shown = (n if len(n) <= MOST_LETTERS else f"{n[:MOST_LETTERS]}..." for n in listed[:MOST_NAMES])
    return ", ".join(shown) + " ..." * (len(listed) > MOST_NAMES)


def first_lines(mistakes: Sequence[str], what: str) -> list[str]:
    """The lines of the first mistakes in a table, and how many more there are. what: 'rows'."""
    more = len(mistakes) - MOST_LINES
    return [*mistakes[:MOST_LINES], *[f"... and {more} more {what}."] * (more > 0)]


def close_match(word: str, words: Iterable[str]) -> str:
    """The word of `words` that is most like `word`; '' where none is like it. Capital letters
    and underscores make no difference."""
    folded = {_folded(k): k for k in reversed(list(words))}  # of several the first one
    alike = difflib.get_close_matches(_folded(word), list(folded), n=1, cutoff=0.5)
    return folded[alike[0]] if alike else ""


def _folded(word: str) -> str:
    return word.casefold().replace("_", " ").strip()


def repeated(items: Iterable[Item]) -> Item | None:
    """The first item that was there before; None where all differ."""
    seen: set[Item] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
