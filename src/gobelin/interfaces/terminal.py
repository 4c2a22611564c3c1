"""What the command line shows while it works: where it prints, and how far the work is."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

out, err = (
    Console(highlight=False, soft_wrap=True),
    Console(stderr=True, highlight=False, soft_wrap=True),
)


class Drawn:
    """Progress on the terminal, a bar a piece of work with the time left; without a terminal, a
    line every few seconds."""

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
        if now - last > 10 and 0 < done < total:
            left = (now - start) / done * (total - done)
            err.print(f"  {what}: {done}/{total}, about {left:.0f} s left")
            last = now
        self.began[what] = (start, last)
        if done >= total:
            self.began.pop(what)


drawn = Drawn()


def open_progress() -> contextlib.AbstractContextManager[object]:
    return drawn.bars if err.is_terminal else contextlib.nullcontext()
