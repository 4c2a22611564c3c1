"""How the values of a target are read: as a number, as classes, as ordered levels; and which other
reading there is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gobelin.core.printable import counted
from gobelin.core.shell import set_option
from gobelin.data.fields import NO_NUMBER, set_kind
from gobelin.data.values.numbers import Writing, is_code
from gobelin.data.values.scales import levels_by_word
from gobelin.data.values.spelling import case_remark, garbled_remark, spelled, typo_remark, usual

MAX_LEVELS = 50
FEW_NUMBERS = 20  # different whole numbers may also be classes
# never a class by themselves
MISSING_WORDS = {"nan", "-nan", "nat", "<na>", "n/a", "#n/a", "#na", "null", "(null)", "\\n"}
WHOLE = re.compile(r"[-+]?\d+")
PLAIN_PAIRS = ({"0", "1"}, {"1", "2"}, {"-1", "1"})  # two numbers that nobody measures
SEPARATORS = re.compile(r"[|;]")
LISTED = re.compile(r"\[(.*)\]", re.DOTALL)
IN_LEVEL = re.compile(r"(?<![\w.,])[-−]?\d+(?:[.,]\d+)?")
BELOW = re.compile(r"^\s*(?:<|≤|up to|under|below|less|fewer|unter|bis)", re.IGNORECASE)
ABOVE = re.compile(r"^\s*(?:>|≥|over|above|more|über)|\d\s*\+\s*$", re.IGNORECASE)
SHOWN_LEVELS = 4
Words = tuple[str, ...]


@dataclass(frozen=True)
class TargetReading:
    """How the values of a target are read. missing: words that say that nothing is known. remark:
    the reading and the other one, where there are two. levels: of an ordinal target with an order
    that is known, the lowest first.
    """

    kind: str
    missing: Words = ()
    remark: str = ""
    levels: Words = ()


def target_reading(
    name: str,
    values: Sequence[Any],
    bid: str,
    chosen: str,
    missing: Words,
    order: Words = (),
    declared: Words = (),
) -> TargetReading:
    """The reading of a target. values: present ones. bid: the kind that an encoder sees in them.
    chosen: the user's kind, '' for none. missing: the user's words for a missing answer. order: the
    user's order of the levels. declared: the order that the data declare.
    """
    kind, writing, words = _counted(values, bid, chosen or ("ordinal" if order else ""))
    declared = _present(declared, values)
    if declared and not chosen and not order:
        kind = "ordinal"
    levels = order or (declared if kind == "ordinal" else ())
    unknown = missing or tuple(sorted(w for w in MISSING_WORDS if words[w]))
    remarks = [] if chosen or order else [_other_reading(name, values, kind, writing)]
    if declared and not chosen and not order:
        remarks = [
            f"ordered levels {_listed(declared)}, as the data declare them; as classes without an"
            f" order with {set_kind(name, 'category')}"
        ]
    for word in sorted({*NO_NUMBER, writing.word} - {""}) if not missing else ():
        if not words[word]:
            continue
        say = counted(words[word], "row says", "rows say")
        written = _written(word, values)
        if word in unknown or kind == "number":
            other = "" if kind == "number" else "; where it is a class, give it another name"
            remarks.append(f"{say} {written!r}, read as missing{other}")
        else:
            remarks.append(
                f"{say} {written!r}, read as a class; as missing with"
                f" {set_option('data.missing', written)}"
            )
    if kind == "category":
        found = (case_remark(values), typo_remark(values), garbled_remark(values))
        remarks += [line.rstrip(".") for line in found]
    said = "; ".join(filter(None, remarks))
    return TargetReading(kind, unknown, f"the target: {said}." if said else "", levels)


def _counted(values: Sequence[Any], bid: str, chosen: str) -> tuple[str, Writing, Counter[str]]:
    """The kind of the target, how its numbers are written, and the counts of its words."""
    words = Counter(str(v).strip().lower() for v in values if isinstance(v, str))
    writing = Writing.of(values)
    kind = chosen or ("number" if bid == "number" else "category")
    numbers = _numeric(values, writing)
    odd = words["none"] or (writing.word and words[writing.word])
    if kind == "number" and not chosen:
        if any(map(is_code, numbers)) or (_few(numbers) and odd):
            kind = "category"
    return kind, writing, words


def _written(word: str, values: Sequence[Any]) -> str:
    """The word as most cells write it."""
    texts = (v.strip() for v in values if isinstance(v, str))
    return Counter(text for text in texts if text.lower() == word).most_common(1)[0][0]


def _numeric(values: Sequence[Any], writing: Writing) -> list[Any]:
    return [v for v in values if not writing.means_none(v)]


def _few(numbers: Sequence[Any]) -> bool:
    """Whether there are few different whole numbers."""
    different = {spelled(v) for v in numbers}
    return bool(numbers) and len(different) <= FEW_NUMBERS and all(map(WHOLE.fullmatch, different))


def _other_reading(name: str, values: Sequence[Any], kind: str, writing: Writing) -> str:
    """The reading of the values and the other one, where there are two; '' for one."""
    numbers = _numeric(values, writing)
    different = {spelled(v) for v in numbers}
    if kind == "number":
        return (
            f"{len(different)} different whole numbers, read as a number; as classes with"
            f" {set_kind(name, 'category')}, as ordered levels with =ordinal"
            if _few(numbers)
            else ""
        )
    codes = [v for v in numbers if is_code(v)]
    if codes and _all_numbers(numbers, writing):
        return (
            f"codes such as {codes[0][:40]!r}, read as {len(different)} classes; as numbers with"
            f" {set_kind(name, 'number')}"
        )
    if len(different) == 2 and different not in PLAIN_PAIRS and _all_numbers(numbers, writing):
        return f"two different numbers, read as classes; as numbers with {set_kind(name, 'number')}"
    if len(different) > 2 and (levels := levels_in_order(values)):
        return (
            f"{len(levels)} classes without an order; as ordered levels {_listed(levels)} with"
            f" {set_kind(name, 'ordinal')}"
        )
    texts = [v for v in values if isinstance(v, str)]
    several = [v for v in texts if len(labels_of(v)) > 1]
    parts = {part for v in set(texts) for part in labels_of(v)}
    if len(several) >= 0.1 * len(texts) > 0 and len(parts) <= len(set(texts)):
        return (
            f"{several[0][:40]!r} is read as one class; as several labels a row with"
            f" {set_kind(name, 'labels')}"
        )
    if joined := _joined_by_commas(texts, different):
        return (
            f"{joined[:40]!r} is read as one class, and its parts are in other classes too. If"
            f" they are several labels a row, write them as {joined.replace(',', '|')[:40]!r},"
            f" with {set_kind(name, 'labels')}"
        )
    return ""


def _joined_by_commas(texts: Sequence[str], different: set[str]) -> str:
    """A class whose parts between commas are classes, or parts of other ones, as those of most
    classes with commas are; '' for names with a comma in them."""
    joined = {v: [spelled(part) for part in v.split(",")] for v in texts if "," in v}
    alone = different - {spelled(v) for v in joined}
    classes = Counter(part for parts in joined.values() for part in set(parts))
    known = [v for v, parts in joined.items() if len(parts) > 1 and alone.issuperset(parts)]
    mixed = [v for v, parts in joined.items() if all(classes[p] > 1 or p in alone for p in parts)]
    rows = sum(v in joined for v in texts)
    if known and sum(v in known for v in texts) >= 0.5 * rows:
        return known[0]
    enough = len(classes.keys() | alone) <= len(different) and len(mixed) >= 0.5 * len(joined) > 1
    return mixed[0] if enough and rows >= 0.1 * len(texts) else ""


def _all_numbers(values: Sequence[Any], writing: Writing) -> bool:
    return not any(isinstance(v, bool) or writing.number(v) is None for v in values)


def labels_of(text: str) -> list[str]:
    """The labels in a text: with | or ; between them, or a list as Python and JSON write it."""
    listed = LISTED.fullmatch(text.strip())
    parts = listed[1].split(",") if listed else SEPARATORS.split(text)
    return [
        label for part in parts if (label := part.strip().strip("'\"" if listed else "").strip())
    ]


def levels_in_order(values: Sequence[Any]) -> Words:
    """Different levels in the order that they tell: of the numbers that they hold, as in '2 - mid',
    or of a scale of words, as S, M and L. None where they tell no order.
    """
    texts = sorted(usual(values).values())
    if not 1 < len(texts) <= MAX_LEVELS:
        return ()
    return _levels_by_number(texts) or levels_by_word(texts)


def _levels_by_number(texts: Sequence[str]) -> Words:
    """None where a level holds no number, or where two hold the same one."""
    keys: dict[tuple[float, int], str] = {}
    for text in texts:
        match = IN_LEVEL.search(text)
        if match is None or is_code(text):
            return ()
        number = float(match[0].replace("−", "-").replace(",", "."))
        side = -1 if BELOW.search(text) else 1 if ABOVE.search(text) else 0
        keys[number, side] = text
    plain = all(IN_LEVEL.fullmatch(text) for text in texts)  # numbers have their own way
    return () if plain or len(keys) < len(texts) else tuple(keys[key] for key in sorted(keys))


def _present(declared: Words, values: Sequence[Any]) -> Words:
    """Those of the declared levels that a row has."""
    known = {spelled(v) for v in values} if declared else set()
    levels = tuple(level for level in declared if spelled(level) in known)
    return levels if 1 < len(levels) <= MAX_LEVELS else ()


def _listed(levels: Words) -> str:
    """The levels, from the lowest; those in the middle left out where they are many."""
    if len(levels) > SHOWN_LEVELS:
        levels = (*levels[:2], "...", levels[-1])
    return " < ".join(levels)
