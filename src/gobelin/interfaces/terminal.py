"""Output of the command line: lines, tables, findings, conclusions, and progress.

Nothing else writes to the terminal. Every text passes through `printable`, every JSON line through
`json_text`, and rich reads no markup and no emoji codes in them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from gobelin.core.errors import GobelinError, UnusableValue, outside_cause, used_up_below
from gobelin.core.printable import json_text, printable, shortened
from gobelin.core.progress import listened, present_step
from gobelin.core.shell import shell_line
from gobelin.interfaces.stopping import CONTINUES, Stopped

if TYPE_CHECKING:  # it loads numpy, which a help text needs not
    from gobelin.evidence.findings import Finding

# rich reads no markup, emoji codes or numbers in what it prints
PLAIN_TEXT: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
out = Console(soft_wrap=True, **PLAIN_TEXT)
err = Console(stderr=True, soft_wrap=True, **PLAIN_TEXT)
WIDEST = 1_000_000  # letters of a line of a table that is no terminal's
SECONDS_BETWEEN_LINES = 10  # of progress, without a terminal
FIRST_SIGN = 0.8  # seconds after the start until a command says that it is at work
SECONDS_WORTH_A_LINE = 0.5  # that a step took, to be told of with --verbose
IDLE = ""  # the bar of no step
CLOSED_PIPE = 128 + 13  # exit code of a program whose reader went away, as the shell shows it


def say(text: object, lines: bool = False, whole: bool = False) -> None:
    """Print a result. lines: the text has several lines; otherwise it is shown in one. whole: long
    words and lines are printed to their end, as of a path that is a result."""
    shown = printable(text, lines)
    _write(out, shown if whole else shortened(shown))


def say_json(value: object, indent: int | None = None) -> None:
    """Print JSON."""
    _write(out, json_text(value, indent))


def tell(text: object, lines: bool = False) -> None:
    """Print what is no result, on standard error: an error, a warning, what to do next."""
    line = shortened(printable(text, lines))
    if err.is_terminal and err.width:  # rich prints nothing in a width of 0
        err.print(line)  # above the bars
    else:
        _write(err, line)


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], whole: int = 0) -> None:
    """Print a table of cells. On a terminal it is as wide as that, and a longer cell goes on in the
    next line; elsewhere it is as wide as its cells. whole: columns at the left that are never
    wrapped."""
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for column in table.columns[:whole]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(shortened(printable(cell)) for cell in row))
    page = io.StringIO()
    width = (out.width if out.is_terminal else 0) or WIDEST
    Console(file=page, width=width, force_terminal=out.is_terminal, **PLAIN_TEXT).print(table)
    _write(out, page.getvalue().removesuffix("\n"))


def say_fields(rows: Iterable[Sequence[str]]) -> None:
    """Print rows for another program: a line each, tabs between the cells."""
    for row in rows:
        _write(out, "\t".join(map(printable, row)))


def _write(console: Console, text: str) -> None:
    """Write a line and flush it, so that a full disk or a closed pipe shows here and not at exit.
    What the stream can't encode is escaped."""
    stream = console.file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        _leave(stream)
        if console.stderr:
            return  # there is nowhere left to tell it
        if isinstance(error, BrokenPipeError):
            raise SystemExit(CLOSED_PIPE) from None
        reason = os.strerror(error.errno or errno.EIO)
        raise GobelinError(
            f"standard output: can't be written ({reason}). Send it elsewhere."
        ) from error


def _leave(stream: IO[str]) -> None:
    """Point a broken stream to nowhere: Python flushes it once more at exit."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _usage(error: click.ClickException) -> str:
    """What to do about a command line that Click refuses without a remedy."""
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        return f" gobelin {error.ctx.info_name} --help lists all options."
    if "unexpected extra argument" in error.message:
        return ". A value with blanks needs quotes: --target 'two words'."
    return ""


@contextlib.contextmanager
def mistakes_told() -> Iterator[None]:
    """Around a whole command. A user's mistake prints one line and exits with 2, Ctrl-C exits with
    130. A mistake of Gobelin keeps its traceback, and the cause of `UnusableValue` does with
    --verbose. Warnings that any module logs are told."""
    logs, shown = _Told(logging.WARNING), warnings.showwarning
    logging.getLogger().addHandler(logs)
    warnings.showwarning = _tell_warning
    try:
        _check_streams()
        yield
    except GobelinError as error:
        if isinstance(error, UnusableValue) and progress.verbose and (cause := error.__cause__):
            tell_traceback(type(cause), cause, cause.__traceback__)
        tell(used_up_below(error) or error, lines=True)
        sys.exit(2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        tell(f"gobelin: {error.format_message()}{_usage(error)}")
        sys.exit(2)
    except (Stopped, click.Abort, KeyboardInterrupt) as stop:
        tell(stop.told if isinstance(stop, Stopped) else CONTINUES)
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)
    except BaseException as error:  # a library in Rust raises one that is no Exception
        if (line := outside_cause(error)) is None:
            raise
        _leave(sys.stdout)  # it may be what can't be written
        tell(line)
        sys.exit(2)
    finally:
        logging.getLogger().removeHandler(logs)
        warnings.showwarning = shown


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of a library: for its programmers, so it is told with --verbose alone, and without
    the place in its sources. A filter of one thread can't hide it, as threads share the filters."""
    if progress.verbose:
        tell(f"  {category.__name__}: {message}")


def _check_streams() -> None:
    """Refuse a closed standard output before any work: the next file that is opened would get its
    number, and be written into. A closed standard error is opened on nothing."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    if sys.stdout is None:
        raise GobelinError("standard output: is closed. Send it to a file or to /dev/null.")


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


def tell_traceback(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Python's traceback of a mistake of Gobelin, printable: its message may hold anything."""
    tell("".join(traceback.format_exception(kind, error, where)).rstrip("\n"), lines=True)


def print_findings(findings: Iterable[Finding], as_json: bool) -> None:
    """Findings as JSON lines or as sentences."""
    for finding in findings:
        if as_json:
            say_json(finding.to_dict())
        else:
            say(finding.sentence())


def print_exported(folder: Path | None, as_json: bool) -> None:
    """Where an export lies. Its README.md says what it holds."""
    if folder is not None and not as_json:
        say(f"exported to {folder}: its README.md says what it holds", whole=True)


def print_conclusions(bench: Any, as_json: bool) -> None:  # noqa: ANN401 - a Workbench
    """The conclusion of a study, one line for each arm: help, copies and quality."""
    for line in [] if as_json else bench.conclusions():
        say("")
        say(line)


def print_next(as_json: bool, verb: str, run: Path) -> None:
    """The command to run next."""
    if not (as_json or progress.quiet):
        tell(f"Next: {shell_line(['gobelin', verb, str(run)])}")


LOADING = "load the program"


class ProgressBars:
    """Progress: on a terminal a bar for each piece of work, with the time left. Without a terminal
    a line every ten seconds.

    In a process that is nothing but a command (`alive`), a thread of its own says within a second
    of the start that the command is at work, and every ten seconds where, also during work that
    tells nothing of itself. quiet: nothing of all this. verbose: a line at the end of each piece of
    work that took time."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        )
        self.alive = self.quiet = self.verbose = False
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, tuple[float, int]] = {}  # time and count of a step's first call
        self.step: tuple[str, int, int] | None = None  # of the last call, while it isn't done
        self.command = ""
        self.working = False  # whether a step was seen
        self.started = self.last = time.monotonic()  # the process; the last line
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.quiet:
            return
        self.working = True
        now = time.monotonic()
        start, _ = self.began.setdefault(what, (now, done))
        self.step = (what, done, total) if done < total else None
        if err.is_terminal:
            self._draw(what, done, total)
        elif self.thread is None and now - max(self.last, start) > SECONDS_BETWEEN_LINES:
            self._tell_step()
        if done >= total:
            self.began.pop(what)
            if self.verbose and now - start > SECONDS_WORTH_A_LINE:
                tell(f"  {what}: {total} in {now - start:.1f} s")

    def begin(self, command: str) -> None:
        """The command starts to load and to work."""
        self.command = command
        if self.alive and not self.quiet and self.thread is None:
            self.over.clear()
            self.thread = threading.Thread(target=self._live, daemon=True)
            self.thread.start()

    def end(self) -> None:
        """No line from now on."""
        self.over.set()
        if self.thread is not None:
            self.thread.join(1)
            self.thread = None

    def _live(self) -> None:
        wait = self.started + FIRST_SIGN - time.monotonic()
        while not self.over.wait(max(wait, 0)):
            if err.is_terminal:
                self._draw_idle()
                wait = FIRST_SIGN
            else:
                self._tell_step()
                wait = SECONDS_BETWEEN_LINES

    def _tell_step(self) -> None:
        """A line: the step, done of total, and the time left where that is known."""
        self.last = now = time.monotonic()
        if (step := self.step) is None:
            named = f"{name}, " if (name := self._present()) else ""
            return tell(f"  {self.command}: {named}at work for {now - self.started:.0f} s")
        what, done, total = step
        start, first = self.began.get(what, (now, done))
        left = (now - start) / (done - first) * (total - done) if done > first else None
        time_told = f"at it for {now - start:.0f} s" if left is None else f"about {left:.0f} s left"
        tell(f"  {what}: {done}/{total}, {time_told}")

    def _present(self) -> str:
        """The step at work, without the name of the command before it. Before the first one the
        program is loaded."""
        name = present_step()
        self.working = self.working or bool(name)
        return name.removeprefix(f"{self.command}: ") if self.working else LOADING

    def _draw(self, what: str, done: int, total: int) -> None:
        self._draw_idle(done >= total)
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(printable(what), total=total)
        self.bars.update(self.tasks[what], completed=done, total=total)
        if done >= total:
            self.bars.remove_task(self.tasks.pop(what))

    def _draw_idle(self, shown: bool = True) -> None:
        """A bar that moves without an end, as long as no step has one of its own."""
        if shown and not self.tasks:
            name = ": ".join(filter(None, (self.command, self._present())))
            self.tasks[IDLE] = self.bars.add_task(printable(name), total=None)
        elif IDLE in self.tasks and (not shown or len(self.tasks) > 1):
            self.bars.remove_task(self.tasks.pop(IDLE))


progress = ProgressBars()


@contextlib.contextmanager
def open_progress() -> Iterator[None]:
    """The context in which bars are drawn, and what long loops tell is shown."""
    progress.quiet = progress.verbose = False
    with listened(progress), progress.bars if err.is_terminal else contextlib.nullcontext():
        try:
            yield
        finally:
            progress.end()
