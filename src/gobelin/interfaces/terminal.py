"""Output of the command line: findings, conclusions, and progress."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gobelin.evidence.findings import Finding

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
SECONDS_BETWEEN_LINES = 10  # of progress, without a terminal


def print_findings(findings: Iterable[Finding], as_json: bool) -> None:
    """Findings as JSON lines or as sentences."""
    for finding in findings:
        if as_json:
            click.echo(json.dumps(finding.to_dict(), ensure_ascii=False))
        else:
            out.print(finding.sentence(), markup=False)


def print_conclusions(bench: Any, as_json: bool) -> None:  # noqa: ANN401 - a Workbench
    """The conclusion of a study, one line for each arm: help, copies and quality."""
    for line in [] if as_json else bench.conclusions():
        out.print(f"\n{line}", markup=False)


def print_next(as_json: bool, verb: str, run: Path) -> None:
    """The command to run next."""
    if not as_json:
        err.print(f"Next: {shlex.join(['gobelin', verb, str(run)])}", markup=False)


class ProgressBars:
    """Progress: on a terminal a bar for each piece of work, with the time left. Without a terminal
    a line every ten seconds."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        )
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, tuple[float, float]] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if err.is_terminal:
            if what not in self.tasks:
                self.tasks[what] = self.bars.add_task(what, total=total)
            self.bars.update(self.tasks[what], completed=done, total=total)
            if done >= total:
                self.bars.remove_task(self.tasks.pop(what))
            return
        now = time.monotonic()
        start, last = self.began.get(what, (now, now))
        if now - last > SECONDS_BETWEEN_LINES and 0 < done < total:
            left = (now - start) / done * (total - done)
            err.print(f"  {what}: {done}/{total}, about {left:.0f} s left")
            last = now
        self.began[what] = (start, last)
        if done >= total:
            self.began.pop(what)


progress = ProgressBars()


def open_progress() -> contextlib.AbstractContextManager[object]:
    """The context in which bars are drawn."""
    return progress.bars if err.is_terminal else contextlib.nullcontext()
