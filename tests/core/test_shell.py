"""Commands to paste. Oracle: bash itself, which prints the arguments that it understood."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

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
