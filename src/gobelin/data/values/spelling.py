"""One value written in several ways: 1, 1.0, True and "1 " are one category."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from gobelin.core.printable import counted

TRUTH = {"true": "1", "false": "0"}
# what is cut from both ends: spaces of all kinds, and signs without a width
BLANK = "".join(map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0xAD, 0x1680, *range(0x2000, 0x2010)]))
BLANK += "".join(map(chr, [0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]))
# what chooses between an emoji and a letter, and signs without a width
UNSEEN = re.compile("[\ufe00-\ufe0f\u00ad\u200b-\u200f\u2060\ufeff]")
# letters with an accent, and signs, whose two or three bytes of UTF-8 were read one by one
GARBLED = re.compile("[\u00c2-\u00c5][\u0080-\u00bf\u0152-\u02dc\u2013-\u2122]|\u00e2\u20ac")
HTML_CODE = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|[a-zA-Z]uml|szlig|eacute|#x?[0-9a-fA-F]+);")
SHORTENED = {"y": "yes", "n": "no", "m": "male", "f": "female"}
MOST_ALIKE = 4  # groups of values that differ in this way and are told
LEAST_LETTERS = 4  # of a word that may be another one, mistyped
MISTYPED_ROWS = 2  # that a mistyped value has, at most
MOST_VALUES = 1000  # that are compared with each other
MORE_ROWS = 10  # times as many has the value that was meant, at least
DECIMALS = re.compile(r"([-+]?(?:0|[1-9]\d*))\.(\d*?)0*")


def named(value: Any) -> str:  # noqa: ANN401 - a cell is any
    """A value as text. 2.0 is '2': a column of whole numbers with an empty cell is read as
    floats.
    """
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return str(int(value)) if whole else str(value)


def spelled(value: Any) -> str:  # noqa: ANN401
    """The same text for every way to write a value. Digits that start with a zero are a code, and
    stay as they are.
    """
    text = unicodedata.normalize("NFC", named(value)).strip(BLANK)
    if match := DECIMALS.fullmatch(text):
        text = match[1] + (f".{match[2]}" if match[2] else "")
    return TRUTH.get(text.lower(), text)


def one_value(values: Iterable[Any]) -> bool:
    """Whether there is one value alone, in one or several spellings; the first other one ends it,
    as a text of each takes time and memory."""
    first = None
    for value in values:
        text = spelled(value)
        if first not in (None, text):
            return False
        first = text
    return first is not None


def usual(values: Iterable[Any]) -> dict[str, str]:
    """{`spelled` value: how it is mostly written} of the present values."""
    counts: dict[str, Counter[str]] = {}
    for value in values:
        counts.setdefault(spelled(value), Counter())[named(value).strip()] += 1
    return {
        s: min(written, key=lambda text: (-written[text], text)) for s, written in counts.items()
    }


def case_remark(values: Iterable[Any]) -> str:
    """What a user should know of values that differ in case, in spaces, in the width of letters, in
    a point at their end or in signs that are not seen alone, or of which one shortens the other, as
    y and yes; '' for others."""
    alike: dict[str, list[str]] = {}
    for one in dict.fromkeys(map(spelled, values)):
        plain = UNSEEN.sub("", unicodedata.normalize("NFKC", one))
        key = " ".join(plain.casefold().split())
        alike.setdefault(key.rstrip(" .,;:!") or key, []).append(one)
    for short, word in SHORTENED.items():
        if short in alike and word in alike:
            alike[word] += alike.pop(short)
    groups = [sorted(group) for group in alike.values() if len(group) > 1]
    if not groups:
        return ""
    shown = [[repr(one[:40]) for one in group] for group in groups[:MOST_ALIKE]]
    said = "; ".join(f"{', '.join(group[:-1])} and {group[-1]}" for group in shown)
    more = f"; and so on, {len(groups)} such" if len(groups) > MOST_ALIKE else ""
    count = sum(map(len, groups))
    return f"{said}{more} are read as {'two' if count == 2 else count} different values."


def garbled_remark(values: Iterable[Any]) -> str:
    """What a user should know of texts that another program has garbled: UTF-8 that was read in
    the encoding of Western Windows, and codes of HTML; '' for other texts."""
    for value in values:
        if isinstance(value, str) and (meant := _repaired(value)) != value:
            return f"{value[:40]!r} may stand for {meant[:40]!r}, garbled by another program."
    return ""


def _repaired(text: str) -> str:
    if GARBLED.search(text):
        try:
            return text.encode("cp1252").decode("utf-8")
        except UnicodeError:  # it is what stands there
            return text
    return html.unescape(text) if HTML_CODE.search(text) else text


def typo_remark(values: Iterable[Any]) -> str:
    """What a user should know of a rare value that may be a frequent one, mistyped: one letter is
    other, added, left out, or has changed its place; '' for other values."""
    counts = Counter(map(spelled, values))
    if len(counts) > MOST_VALUES:
        return ""
    frequent = [v for v, n in counts.items() if n >= MORE_ROWS]
    for rare, few in counts.items():
        for meant in frequent if few <= MISTYPED_ROWS else ():
            if counts[meant] >= MORE_ROWS * few and _mistyped(rare, meant):
                rows = counted(few, "row", "rows")
                return (
                    f"{rare[:40]!r} ({rows}) is read as a value of its own; it may be"
                    f" {meant[:40]!r} ({counts[meant]} rows), mistyped."
                )
    return ""


def _mistyped(text: str, meant: str) -> bool:
    """Whether two texts of as many words differ in one word, of letters, by one mistake."""
    words = zip(text.casefold().split(), meant.casefold().split(), strict=False)
    pairs = [pair for pair in words if pair[0] != pair[1]]
    if len(text.split()) != len(meant.split()) or len(pairs) != 1:
        return False
    a, b = pairs[0]
    if min(len(a), len(b)) < LEAST_LETTERS or not (a + b).isalpha():
        return False
    same = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    a, b = a[same:], b[same:]
    return a[1:] == b[1:] or a == b[1:] or a[1:] == b or (a[1::-1] + a[2:]) == b
