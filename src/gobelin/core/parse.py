"""JSON and TOML from text, within limits. No other file calls a parser of either.

A text can take more than its size: nested brackets use up the stack, 1e400 becomes infinite, a
whole number of a thousand digits fits no array, and of two equal keys one is lost. Such a text is
refused as text that can't be read.

What this cannot show: whether the values are those that the reader needs. The reader checks them.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.special import special

MOST_DEPTH = 100  # mappings and lists inside each other; files that Gobelin writes have up to 50
MOST_BITS = 1023  # of a whole number: a longer one is larger than every finite float
MOST_BYTES = 1 << 30  # of a JSON file that a run or a model holds
MOST_SETTINGS_BYTES = 1 << 26  # of a recipe, settings.json or schema.json
MOST_TOML_BYTES = 1 << 22
# Texts and comments of TOML, to its end where one is not closed
ASIDE = re.compile(
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+(?:"""+|\Z)|'{3}(?:[^']++|'(?!'{2}))*+(?:'{3,}|\Z)'''
    r"""|"(?:[^"\\\n]++|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+""",
    re.DOTALL,
)
LONG_KEY = re.compile(rf"(?:\.[ \t]*+[\w-]++[ \t]*+){{{MOST_DEPTH}}}")
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may stand for one


class Unreadable(GobelinError, ValueError):
    """A file that is no JSON or TOML within the limits. reason: why, without the file's name."""

    def __init__(self, where: object, kind: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{where}: can't be read as {kind} ({reason}). Correct or restore it.")


def json_value(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is any
    """The value of a JSON text. NaN and Infinity, which Python writes, are allowed.

    Raises ValueError, with the reason as its message."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    check(value)
    if HALF_CHARACTER.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("it holds half a character, which no file can hold") from error
    return value


def json_file(path: Path, most: int = MOST_BYTES) -> Any:  # noqa: ANN401 - JSON is any
    """The value of a JSON file of at most `most` bytes. Raises OSError where it can't be opened,
    and Unreadable."""
    try:
        return json_value(_bytes(path, most))
    except ValueError as error:
        raise Unreadable(path, "JSON", str(error)) from error


def toml_file(path: Path, most: int = MOST_TOML_BYTES) -> dict[str, Any]:
    """The table of a TOML file of at most `most` bytes. Raises OSError where it can't be opened,
    and Unreadable."""
    try:
        text = _bytes(path, most).decode("utf-8")
        if LONG_KEY.search(ASIDE.sub("s", text)):  # tomllib takes the square of a key's parts
            raise ValueError(_too_deep())
        values = tomllib.loads(text, parse_float=_finite)
        check(values)
    except RecursionError as error:
        raise Unreadable(path, "TOML", _too_deep()) from error
    except UnicodeDecodeError as error:
        raise Unreadable(path, "TOML", f"byte {error.start} is not UTF-8") from error
    except ValueError as error:
        raise Unreadable(path, "TOML", str(error)) from error
    return values


def check(value: object) -> None:
    """Raises ValueError where mappings and lists are nested too deeply, or a whole number is too
    large."""
    level, depth = [value], 0
    while level:
        if any(isinstance(v, int) and v.bit_length() > MOST_BITS for v in level):
            raise ValueError(f"it holds a whole number of more than {MOST_BITS} bits")
        groups = [v for v in level if isinstance(v, Mapping | list | tuple)]
        if groups and depth == MOST_DEPTH:
            raise ValueError(_too_deep())
        level = [inner for v in groups for inner in (v.values() if isinstance(v, Mapping) else v)]
        depth += 1


def _bytes(path: Path, most: int) -> bytes:
    if kind := special(path):
        raise ValueError(f"it is {kind}, no regular file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most} bytes")
    return data


def _too_deep() -> str:
    return f"it is nested more than {MOST_DEPTH} levels deep"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:40]!r} appears twice")
    return out


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number) and "inf" not in text:
        raise ValueError(f"{text[:40]} is too large for a number")
    return number
