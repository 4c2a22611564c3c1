"""The command line's own output: streams that are closed, full or cut off, and texts with markup.
Oracle: the exit code, and every byte that was written."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.files import disk_errors
from gobelin.core.printable import printable, shortened
from gobelin.interfaces import terminal

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "300"}
PYTHON = shlex.quote(sys.executable)


def program(line: str) -> str:
    """A command that does one thing as the command line does it, without loading torch."""
    code = f"from gobelin.interfaces.terminal import *\nwith mistakes_told(): {line}"
    return f"{PYTHON} -c {shlex.quote(code)}"


PRINTING = (
    f"{PYTHON} -m gobelin --version",
    f"{PYTHON} -m gobelin list rivals",
    program("say('a')"),
    program("say_fields([['a']])"),
    program("say_json(1)"),
    program("say_table(['a'], [['b']])"),
    program("click.echo('a')"),  # as click prints a help text
)


def at_once(*commands: str) -> list[subprocess.CompletedProcess[str]]:
    """Run the commands side by side."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    begun = [
        subprocess.Popen(["bash", "-o", "pipefail", "-c", words], env=ENVIRONMENT, **pipes)
        for words in commands
    ]
    told = [one.communicate(timeout=120) for one in begun]
    return [
        subprocess.CompletedProcess(one.args, one.returncode, *both)
        for one, both in zip(begun, told, strict=True)
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_or_closed_output_is_one_line() -> None:
    for ends in (">/dev/full", ">&-"):
        for done in at_once(*(f"{one} {ends}" for one in PRINTING)):
            assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
            assert "Traceback" not in done.stderr and "output: " in done.stderr


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    ours, theirs = os.pipe()
    os.close(ours)  # before the first byte comes
    begun = [
        subprocess.Popen(
            ["bash", "-c", f"exec {one}"], env=ENVIRONMENT, stdout=theirs, stderr=subprocess.PIPE
        )
        for one in PRINTING[:-1]
    ]
    os.close(theirs)
    for one in begun:
        assert one.communicate(timeout=120)[1] == b"" and one.returncode == 141, one.args


def test_errors_are_no_reason_to_fail_otherwise() -> None:
    """A mistake exits with 2 though nobody can read its line."""
    mistake = program("raise GobelinError('x')")
    ends = ("2>/dev/full", "2>&-", "2>&- >&-", "2> >(false)")
    for done in at_once(*(f"{mistake} {one}" for one in ends)):
        assert done.returncode == 2 and not done.stdout and not done.stderr, done


NASTY = "[red]x[/red] :smile: \x1b[31m\x9b\u202e\u200b\n\t\x07 https://a.b 123"
SHOWN = r"[red]x[/red] :smile: \x1b[31m\x9b\u202e\u200b\n\t\x07 https://a.b 123"


def test_every_way_of_printing_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(NASTY)
    terminal.tell(NASTY)
    terminal.say_fields([[NASTY, NASTY]])
    told = capsys.readouterr()
    assert told.err == SHOWN + "\n" and told.out == f"{SHOWN}\n{SHOWN}\t{SHOWN}\n"
    terminal.say_json({NASTY: NASTY})
    said = capsys.readouterr().out
    assert json.loads(said) == {NASTY: NASTY} and printable(said, lines=True) == said


def test_a_table_holds_its_cells_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    terminal.say_table(["[b]head[/b]"], [[NASTY]])
    said = capsys.readouterr().out
    assert "[b]head[/b]" in said and SHOWN in said and printable(said, lines=True) == said


def test_warnings_errors_and_tracebacks_escape(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, terminal.mistakes_told():
        logging.getLogger("gobelin.any").warning("a file %s", NASTY)
        raise GobelinError(f"{NASTY}: is odd.", "second line")
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.splitlines()[0] == f"a file {SHOWN}"
    assert said.splitlines()[2:] == ["second line"] and printable(said, lines=True) == said
    try:
        raise RuntimeError(NASTY)
    except RuntimeError as error:
        terminal.tell_traceback(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert "RuntimeError" in said and printable(said, lines=True) == said


def test_progress_escapes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", -1)
    terminal.ProgressBars()(NASTY, 1, 2)
    said = capsys.readouterr().err
    assert SHOWN in said and printable(said, lines=True) == said


def test_what_a_terminal_can_not_encode_is_escaped() -> None:
    code = "from gobelin.interfaces import terminal; terminal.say('Straße \U0001f34e')"
    command = f"PYTHONIOENCODING=ascii {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    (done,) = at_once(command)
    assert done.stdout == "Stra\\xdfe \\U0001f34e\n" and done.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "new", "keys", "--name", "LONG"],
        ["check", "LONG", "--target", "kind", "--run", "run"],
        ["lineage", "LONG", "somebody"],
        ["verify", "LONG"],
        ["check", "data.csv", "--target", "kind", "--run", "LONG"],
        ["LONG"],
        ["keys", "new", "keys", "--name", "some words " * 1_000],
    ],
    ids=["name", "data", "run", "image", "new run", "command", "words"],
)
def test_what_an_error_quotes_is_shortened(words: list[str], tmp_path: Path) -> None:
    long = "".join(f"{k:05d}" for k in range(1_000))
    given = shlex.join(long if word == "LONG" else word for word in words)
    (done,) = at_once(f"cd {shlex.quote(str(tmp_path))} && {PYTHON} -m gobelin {given}")
    assert done.returncode == 2 and max(map(len, done.stderr.splitlines())) < 4_100
    if "LONG" in words:
        assert "(50" in done.stderr and " letters) ..." in done.stderr and long not in done.stderr


@pytest.mark.parametrize(
    "show",
    [
        lambda name: terminal.say(f"recall (class {name}): 80 %"),
        lambda name: terminal.say(f"row {name}\nclass {name}", lines=True),
        lambda name: terminal.say(" ".join([name[:300]] * 90)),
        lambda name: terminal.say_table(["head"], [[f"class {name}"]]),
    ],
    ids=["word", "lines", "line", "table"],
)
def test_long_names_are_short_in_results(
    show: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids, classes and columns can have thousands of letters. A path that is a result stays whole,
    and so do rows for another program."""
    name = "x" * 5_000
    show(name)
    said = capsys.readouterr().out
    assert "letters)" in said and max(map(len, said.splitlines())) < 4_100
    terminal.say(name, whole=True)
    terminal.say_fields([[name]])
    terminal.say_json(name)
    assert capsys.readouterr().out == f'{name}\n{name}\n"{name}"\n'


def test_short_words_and_lines_stay() -> None:
    text = f"{'x' * 390}: {'a b ' * 800}\n{'y' * 390}"
    assert shortened(text) == text


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
@pytest.mark.parametrize("writing", [False, True])
def test_a_file_that_the_system_refuses_is_one_line(
    number: int, writing: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder without a right to it, too; while an output is written, the line blames the file
    that was read."""
    file = str(tmp_path / "data" / "images" / "a.png")
    out = tmp_path / "results" / "pred.csv"
    with pytest.raises(SystemExit) as left, terminal.mistakes_told():
        with disk_errors(out) if writing else contextlib.nullcontext():
            raise OSError(number, os.strerror(number), file)
    told = capsys.readouterr().err
    assert left.value.code == 2 and told.count("\n") == 1
    assert told.startswith(f"{file}: can't be opened ({os.strerror(number)})")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("tell('a warning')", 0),
        ("raise GobelinError('a warning')", 2),
        ("say_table(['head'], [['a warning']])", 0),
    ],
    ids=["warning", "error", "table"],
)
def test_a_terminal_of_no_width_shows_all(line: str, code: int) -> None:
    """As with COLUMNS=0 in the environment, where rich prints nothing."""
    environment = ENVIRONMENT | {"COLUMNS": "0", "FORCE_COLOR": "1"}
    done = subprocess.run(["sh", "-c", program(line)], env=environment, capture_output=True)
    assert done.returncode == code and b"a warning" in done.stdout + done.stderr
