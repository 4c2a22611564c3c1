"""Commands that a user can paste into a shell, whatever the names in them.

A line break or a bidirectional character within quotes would break the line, or make it read
differently from what it is. Such a word is written as bash and zsh read escapes: $'a\\x0ab'.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from gobelin.core.printable import printable


def shell_word(text: str) -> str:
    """One argument of a command, quoted where it needs to be, in characters that are printed as
    they are."""
    if printable(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def shell_line(words: Iterable[str]) -> str:
    """A command in one line."""
    return " ".join(map(shell_word, words))


def set_option(setting: str, value: str) -> str:
    """The option that changes a setting, as a shell takes it."""
    return f"--set {shell_word(f'{setting}={value}')}"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if printable(character) == character:
        return character
    file_byte = "\udc80" <= character <= "\udcff"  # of a name that is not UTF-8
    data = character.encode("utf-8", "surrogateescape" if file_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)
