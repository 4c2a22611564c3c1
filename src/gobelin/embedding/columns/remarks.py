"""What a user should know of a column before anything is learned from it, and columns that are no
features: names of files, copies of the target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, set_kind
from gobelin.data.values.dates import days, is_month
from gobelin.data.values.numbers import is_code, looks_written, means_none, number, numbers_of
from gobelin.data.values.path_spelling import without_suffix
from gobelin.data.values.spelling import case_remark, garbled_remark, spelled

NAMED = 50  # values of a column that may name files without a suffix
LEAST_COPIES = 10  # rows that a copy of the target has
ADDRESS = re.compile(r"<[^<>]*\bat 0x[0-9a-fA-F]{4,}>")  # an object as Python prints it
NUMBERS = re.compile(r"\d+(?:[.,:]\d+)*")
BEGINS = re.compile(r"\W*\d")
YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)|'\d\d(?!\d)")
# a value as Python prints it
PRINTED = re.compile(
    r"(?:\w+\.)*(?:tensor|array|Timestamp|Timedelta|Period|Decimal|Fraction|date|datetime|time"
    r"|timedelta|(?:Posix|Windows)?Path|(?:float|int|uint)\d+|bool_|str_)\(.*\)",
    re.DOTALL,
)

LONG = 64  # letters, of a file's bytes at least
# bytes of a file, as Python prints them or as a database writes them
FILE_BYTES = re.compile(
    r"b'.*\\x.*'|b\".*\\x.*\""
    r"|(?:\\{0,2}x|0x)?(?:89504e47|ffd8ff|47494638|52494646|424d|49492a00|4d4d002a|664c6143)[0-9a-f]+",
    re.IGNORECASE | re.DOTALL,
)


def of_objects(values: Sequence[Any]) -> str:
    """A line for a column of addresses, as Python prints an object without what is in it, or of the
    bytes of files, in the words of Python or as hexadecimal digits; '' for another column."""
    texts = [v for v in values if isinstance(v, str)]
    printed = [v for v in texts if ADDRESS.fullmatch(v)]
    if 2 * len(printed) > len(values):
        return (
            f"not used: {printed[0][:40]!r} is what Python prints of an object, without what is in"
            " it. Write that: images as files, numbers as numbers."
        )
    held = [v for v in texts if len(v) >= LONG and FILE_BYTES.fullmatch(v)]
    if 2 * len(held) > len(values):
        return (
            f"not used: {held[0][:20]!r} begins the bytes of a file, written as a text. Write them"
            " as base64, or as files that the cells name, or save the table as Parquet."
        )
    return ""


def printed_remark(values: Sequence[Any], kind: str) -> str:
    """A line for a column of values in the words of Python, as tensor(0), or of objects of JSON
    that no encoder reads; '' for another column."""
    if kind == "unknown" and all(isinstance(v, dict) for v in values):
        parts = ", ".join(map(str, dict.fromkeys(key for v in values for key in v)))
        return (
            f"not used: its cells are objects ({parts[:40]}). Write each part as a column, as"
            " pandas.json_normalize does."
        )
    printed = [v for v in values if isinstance(v, str) and PRINTED.fullmatch(v)]
    if kind not in ("text", "category", "unknown") or 2 * len(printed) <= len(values):
        return ""
    read = f"read as {kind}" if kind != "unknown" else "not used"
    return (
        f"{printed[0][:40]!r} is how Python prints a value, {read}. Write the value alone, as 1.5"
        " or 2026-12-24."
    )


def names_remark(name: str, values: Sequence[Any], kind: str) -> str:
    """What a user should know of texts and categories: texts that are garbled, values that look
    like numbers or dates and are not read so, and values that differ in their letters' case alone.
    """
    if kind not in ("text", "category"):
        return ""
    if garbled := garbled_remark(values):
        return garbled
    if len({spelled(v) for v in values}) < 3:
        return ""
    texts = [v for v in values if isinstance(v, str)]
    first = looks_written(values) if np.mean([len(v.split()) for v in texts] or 0) < 3 else ""
    if first := first or _numbers_in_words(texts):
        odd = odd_one(texts)
        read = (
            f"{(odd or first)[:40]!r} and the like are read as"
            f" {'names' if kind == 'category' else 'texts'}"
        )
        if any(map(is_code, texts)) and not odd:
            return f"{read}, for the zeros before them; as numbers with {set_kind(name, 'number')}."
        return (
            f"{read}, not as numbers or dates. Those are written as 1.5, in one unit, and as"
            " 2026-12-24."
        )
    return case_remark(values) if kind == "category" else ""


def _numbers_in_words(texts: Sequence[str]) -> str:
    """The first of the texts, where nearly all hold numbers between few different words, and begin
    with a number or name a year or a month, as 6 ft 3 in and 12 Ocak 2021; '' for other texts."""
    held = [v for v in texts if BEGINS.match(v) or YEAR.search(v) or _names_month(v)]
    frames = {NUMBERS.sub("0", v.lower()) for v in held}
    many = held and len(held) >= 0.9 * len(texts) and 2 * len(frames) <= len(set(held))
    return held[0] if many else ""


def _names_month(text: str) -> bool:
    words = re.match(r"([^\W\d_]+)\W{1,2}\d", text)
    return words is not None and is_month(words[1])


def without_target(names: Sequence[str]) -> str:
    """Why the columns of these names may lack the target; '' where nothing tells."""
    if list(names) in (["image"], ["sound"], ["mesh"], ["volume"]):  # a folder's files
        return " Put the files of each class into a folder of their own."
    if any(number(name) is not None for name in names):
        return " Does the first line name the columns? It must."
    return ""


def odd_one(values: Sequence[Any]) -> Any:  # noqa: ANN401
    """The first value that is neither a number nor a date, by which a column is no column of such;
    '' where there is none."""
    others = (v for v in values if not means_none(v))
    return next((v for v in others if number(v) is None and days(v) is None), "")


def unless_files(dataset: Dataset, column: Column) -> Column:
    """The column; no feature where it names files without their suffix, of a dataset that names
    files in no other column.
    """
    if column.role not in ("cell", "id"):
        return column
    values = [v for v in dataset.values(column.name)[:NAMED] if v is not None]
    file = without_suffix(column.name, values, dataset.root)
    if not file:
        return column
    remark = f"names files without their suffix, as {file!r}. Write such paths, to use the files."
    role = "id" if column.role == "id" else "ignore"
    return replace(column, kind="file", role=role, reason="names of files", remark=remark)


def unless_copy(dataset: Dataset, column: Column, target: str) -> Column:
    """The column; no feature where it is a number that is different in every row and stands in the
    order of the target, or in the opposite one: the target in another unit.
    """
    if column.role != "cell" or column.kind != "number":
        return column
    pairs = [
        (x, y)
        for x, y in zip(
            *(numbers_of(dataset.values(c)) for c in (column.name, target)), strict=True
        )
        if x is not None and y is not None
    ]
    if len(pairs) < max(LEAST_COPIES, 0.5 * len(dataset)):
        return column
    x, y = np.array(sorted(pairs)).T
    steps = np.diff(y)
    if not (np.diff(x) > 0).all() or not ((steps > 0).all() or (steps < 0).all()):
        return column
    remark = (
        "different in every row and in the order of the target, as a copy of it: not used. As a"
        f" feature: {set_kind(column.name, 'number')}."
    )
    return replace(column, role="ignore", reason="a copy of the target", remark=remark)
