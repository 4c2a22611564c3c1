"""Commands to paste. Oracle: bash itself, which prints the arguments that it understood."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import gobelin
from gobelin.core.printable import printable
from gobelin.core.shell import shell_line

BASH = shutil.which("bash")
NAMES = [
    "group",
    "a b; rm -rf $HOME `id` \"x\" 'y' \\n",
    "two\nlines",
    "it's\r\n\ttabs \\ and 'quotes'\n",
    "\x1b[2Jcleared\x7f",
    "left\u202eright\u200b1f",
    "\u0085nel \u2028 \U000e0041",
    os.fsdecode(b"name\xff\xfe.csv"),
    "ä 漢 🙂",
    "",
]


@pytest.mark.skipif(BASH is None, reason="no bash")
def test_bash_reads_the_words_that_were_written() -> None:
    line = shell_line(["printf", "%s\\0", *NAMES])
    assert printable(line) == line and "\n" not in line
    told = subprocess.run([str(BASH), "-c", line], capture_output=True, check=True).stdout
    assert told == b"".join(os.fsencode(name) + b"\0" for name in NAMES)


COMMAND = re.compile(r"(--(set|run|parts-from|root)|gobelin [a-z]+( DATA| RUN)?)[ =]\S*$")
QUOTED = {"shell_word", "shell_line", "set_option"}
OWN = {  # numbers, and words of Gobelin's own
    "core/hub.py: option",
    "data/budget.py: name",
    "embedding/pictured.py: encoder",
    "networks/hub_model.py: self.where",
    "quality/few_rows.py: share",
    "workbench/run/generator.py: kind",
}


def unquoted(source: str) -> list[str]:
    """The values that a printed command takes as they are. What comes before a colon is the name of
    a mistake: --set NAME: no such setting."""
    out = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        after = [*node.values[1:], ast.Constant("")]
        for text, value, end in zip(node.values, after, after[1:], strict=False):
            if not isinstance(text, ast.Constant) or not isinstance(value, ast.FormattedValue):
                continue
            ending = str(end.value) if isinstance(end, ast.Constant) else ""
            called = ast.unparse(value.value).split("(")[0]
            if COMMAND.search(str(text.value)) and not ending.startswith(":"):
                out += [ast.unparse(value.value)] if called not in QUOTED else []
    return out


def test_each_printed_command_quotes_what_it_names() -> None:
    hole = 'f"Mend it: --set schema.{column}=text"'
    assert unquoted(hole) == ["column"]
    assert not unquoted('f"Mend it: --set {shell_word(column)}. --set {pair!r}: no setting."')
    root = Path(gobelin.__file__).parent
    found = {
        f"{path.relative_to(root).as_posix()}: {value}"
        for path in root.rglob("*.py")
        for value in unquoted(path.read_text(encoding="utf-8"))
    }
    assert found == OWN
