"""Printed texts. Oracle: the classes of Unicode, and JSON read back."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gobelin.core.files import read_json, read_lines, write_json, write_lines
from gobelin.core.printable import (
    ESCAPED_CATEGORIES,
    encodable_json,
    in_digits,
    json_text,
    printable,
)
from gobelin.workbench.predict.prediction_file import write

UNSAFE = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "\x9b31m": r"\x9b31m",
    "a\x7fb\x00c\x08": r"a\x7fb\x00c\x08",
    "one\r\ntwo\tthree": r"one\r\ntwo\tthree",
    "user\u202egnp.exe": r"user\u202egnp.exe",
    "\u2066a\u2069\u200fb\u061c": r"\u2066a\u2069\u200fb\u061c",
    "zero\u200bwidth\ufeff\u2060\u00ad": r"zero\u200bwidth\ufeff\u2060\xad",
    "line\u2028par\u2029": r"line\u2028par\u2029",
    "lone\udcff\ud800": r"lone\udcff\ud800",
    "tag\U000e0041\U000e0101": r"tag\U000e0041\U000e0101",
    "blank\u3164\u2800": r"blank\u3164\u2800",
}


@pytest.mark.parametrize("text", UNSAFE)
def test_unsafe_characters_are_escaped(text: str) -> None:
    assert printable(text) == UNSAFE[text]
    assert json.loads(json_text(text)) == text
    assert printable(json_text(text)) == json_text(text)


def test_letters_of_all_scripts_stay() -> None:
    for text in (
        "naïve Straße",
        "Жанр",
        "日本語",
        "مرحبا",
        "שלום",
        "ไทย",
        "🍎❤️",
        "[red]\\n:smile:",
    ):
        assert printable(text) == text and json_text(text) == f'"{text}"'.replace("\\", "\\\\")


def test_several_lines_keep_their_line_feeds_alone() -> None:
    assert printable("a\nb\r\u2028c", lines=True) == "a\nb\\r\\u2028c"
    assert json_text({"a": "\n"}, indent=1) == '{\n "a": "\\n"\n}'


@given(text=st.text(st.characters(), max_size=30))
@settings(max_examples=200, derandomize=True)
def test_nothing_unsafe_is_left_and_json_reads_back(text: str) -> None:
    for shown in (printable(text), json_text({text: [text]})):
        assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        shown.encode()
    assert json.loads(json_text({text: [text]})) == {text: [text]}
    assert json.loads(encodable_json(json.dumps(text, ensure_ascii=False)).encode()) == text


@pytest.mark.parametrize("where", ["write_json", "write_lines", "predictions"])
def test_files_of_json_hold_nothing_that_a_terminal_obeys(where: str, tmp_path: Path) -> None:
    """Somebody may print such a file with `cat`. Half a character is not read back."""
    texts = [text for text in UNSAFE if text.encode("utf-8", "ignore").decode() == text]
    rows = [{"a": text, text: [text]} for text in texts]
    path = tmp_path / "x.jsonl"
    if where == "write_lines":
        write_lines(path, rows)
        read_back = read_lines(path)
    elif where == "write_json":
        write_json(path, rows)
        read_back = read_json(path)
    else:
        table = pa.table({"a": texts})
        write(table, path, ".jsonl")
        rows, read_back = table.to_pylist(), read_lines(path)
    text = path.read_bytes().decode()
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ESCAPED_CATEGORIES]
    assert read_back == rows and len(texts) > 5


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (11530.4, 4, "11530"),
        (-1_234_567.0, 4, "-1235000"),
        (99_999.6, 4, "100000"),
        (1234567.5, 6, "1234570"),
        (0.00012345, 4, "0.0001234"),
        (1.5, 4, "1.5"),
        (0.0, 4, "0"),
        (3e14, 4, "300000000000000"),
        (3e15, 4, "3e+15"),
        (1e300, 4, "1e+300"),
    ],
)
def test_a_large_number_is_written_out(value: float, digits: int, text: str) -> None:
    assert in_digits(value, digits) == text
    assert float(text) == float(f"{value:.{digits}g}")
    assert in_digits(abs(value), digits, "+") == "+" + text.lstrip("-")
