"""Bounded JSON and TOML. Oracles: Python's own parsers for texts within the limits, and texts built
to a depth, a size or a number just inside and just outside a limit."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gobelin
from gobelin.core import config, parse
from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json, read_lines
from gobelin.core.parse import MOST_DEPTH, Unreadable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
DEEP = 100_000
BAD_JSON = {
    "lists": "[" * DEEP,
    "closed lists": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP,
    "closed objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "both": '[{"a":' * DEEP,
    "just too deep": "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
    "equal keys": '{"a": 1, "b": 2, "a": 3}',
    "equal keys, deeper": '[{"x": {"": 1, "": 2}}]',
    "equal keys, escaped": '{"a": 1, "\\u0061": 2}',
    "too large": "1e400",
    "too small": '{"bytes": -1e999}',
    "long number": "9" * 5000,
    "number of 400 digits": "[" + "9" * 400 + "]",
    "cut": '{"a": ',
    "nothing": "",
    "two values": "1 2",
    "half a character": '{"a": ["\\ud800"]}',
    "half a character as a key": '{"\\uDFFF": 1}',
    "surrogate bytes": b'"\xed\xa0\x80"',
    "not UTF-8": b'{"a": "\xff"}',
    "zero byte": b'{"a": \x00}',
}
BAD_TOML = {
    "lists": "a = " + "[" * DEEP,
    "tables in a line": "a = " + "{a = " * DEEP,
    "dots": ".".join(["a"] * 5000) + " = 1",
    "dots in a heading": "[" + ".".join(["a"] * 5000) + "]",
    "just too deep": "a = " + "[" * MOST_DEPTH + "]" * MOST_DEPTH,
    "long hexadecimal": "a = 0x" + "f" * 5000,
    "too large": "a = 1e400",
    "equal keys": "a = 1\na = 2",
    "cut": "a = [",
    "not UTF-8": b'a = "\xff"',
}


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(VALUES)
def test_what_is_within_the_limits_is_what_python_reads(value: object) -> None:
    text = json.dumps(value)
    assert parse.json_value(text) == json.loads(text) == parse.json_value(text.encode())


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_json_beyond_a_limit_is_one_line_with_the_file(text: str | bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", text)
    for read in (parse.json_file, read_json, config.read):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: can't be read as JSON (")
        assert "\n" not in str(caught.value) and len(caught.value.reason) < 200
    lines = written(tmp_path / "x.jsonl", text) if text else written(tmp_path / "x.jsonl", "[]")
    with pytest.raises(GobelinError, match="is damaged") as damaged:
        read_lines(lines)
    assert "\n" not in str(damaged.value)


@pytest.mark.parametrize("text", BAD_TOML.values(), ids=BAD_TOML)
def test_toml_beyond_a_limit_is_one_line_with_the_file(text: str | bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "x.toml", text)
    for read in (parse.toml_file, config.read):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: can't be read as TOML (")
        assert "\n" not in str(caught.value)


def test_the_limits_are_where_they_are_said(tmp_path: Path) -> None:
    nested = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert parse.json_value(nested) == json.loads(nested)
    path = written(tmp_path / "x.json", b"[" + b" " * 98 + b"]")
    assert parse.json_file(path, most=100) == []
    with pytest.raises(Unreadable, match="more than 99 bytes"):
        parse.json_file(path, most=99)
    assert parse.json_value(f"[{2**1023 - 1}, 1e308, -1e308]")[1] == 1e308
    assert parse.json_value('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
    assert parse.json_value("[NaN, -Infinity]")[1] == float("-inf")
    table = written(tmp_path / "x.toml", 'a = [1, {b = 2.5}]\n[c."d.e"]\nf = true\n')
    assert parse.toml_file(table) == tomllib.loads(table.read_text())


@pytest.mark.parametrize(
    "pairs",
    [
        [".".join(["a"] * 5000) + "=1"],
        [".".join(["schema"] * 200) + "=text"],
        ["a" + "." * 999 + "=1"],
    ],
)
def test_settings_on_the_command_line_are_bounded(pairs: list[str]) -> None:
    with pytest.raises(GobelinError, match="levels deep") as caught:
        config.assignments(pairs)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    name = pairs[0].partition("=")[0]
    with pytest.raises(GobelinError, match="levels deep"):
        config.nested({name: 1})


def test_settings_of_a_program_are_bounded() -> None:
    deep: dict = {}
    for _ in range(5000):
        deep = {"a": deep}
    for settings in (deep, {"fusion": deep}, {"a": [deep]}, {"a": 1 << 5000}):
        with pytest.raises(GobelinError, match="can't be used"):
            config.nested(settings)


def test_no_other_file_parses_json_or_toml() -> None:
    """The door: whoever reads a text goes through `core.parse`."""
    source = Path(gobelin.__file__).parent
    found = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in ("json", "tomllib") and node.attr in ("load", "loads"):
                    found.add(path.relative_to(source).as_posix())
            if isinstance(node, ast.ImportFrom) and node.module in ("json", "tomllib"):
                found.add(path.relative_to(source).as_posix())
    assert found == {"core/parse.py"}


LONG = 2_000_000  # parts; tomllib takes their square
LONG_KEYS = {
    "bare": "a." * LONG + "b = 1",
    "spaced": "a . " * (LONG // 2) + "b = 1",
    "quoted": '"a\\"".' * (LONG // 4) + "b = 1",
    "of a table": "[" + "a." * LONG + "b]",
    "in an inline table": "x = {" + "a." * LONG + "b = 1}",
    "after texts": '# don\'t\nx = "#"\ny = \'\'\'\n"\'\'\'\nz = """\\""""\n' + "a." * LONG + "b=1",
    "in a text that is not closed": 'x = """' + '\\"""' * (LONG // 4),
}


@pytest.mark.parametrize("name", LONG_KEYS)
def test_a_key_of_very_many_parts_is_refused_before_it_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(LONG_KEYS[name])
    with pytest.raises(Unreadable, match="TOML"):
        parse.toml_file(path)


DOTS = ".".join("a" * 300)


@pytest.mark.parametrize(
    "text",
    [
        f'x = "{DOTS}"',
        f"x = '{DOTS}'  # {DOTS}",
        f'x = """\n{DOTS} "" \\""" {DOTS}"""\ny = 1',
        f"x = '''{DOTS}''{DOTS}'''\ny = '{DOTS}'",
        f'"{DOTS}" = 1\n["b.{DOTS}"]\ny = 1.5',
        f"# don't {DOTS}\nx = [{', '.join(['1.5'] * 300)}]",
        ".".join(["a"] * MOST_DEPTH) + " = 1",
    ],
)
def test_dots_that_part_no_key_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert parse.toml_file(path) == tomllib.loads(text)
