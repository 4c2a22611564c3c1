"""Ctrl-C, `kill` and a closed terminal: each stops a command in the same way.

The first signal raises `Stopped` where the command is, so that temporary files are removed on the
way out. A second one ends the process at once, which a run folder survives like `kill -9`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
CONTINUES = "Stopped. The same command continues from what was finished."
NOTHING_BEGUN = "Stopped. Nothing was begun."
AT_ONCE = b"Stopped at once. The same command continues from what was finished.\n"
SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it


class Stopped(BaseException):
    """A signal came. Neither click nor a library catches it on its way. code: of the exit, as a
    shell gives it: 130 after Ctrl-C, 143 after `kill`. told: the line about it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code, self.told = 128 + number, CONTINUES


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around imports that take seconds, before any work."""
    try:
        yield
    except Stopped as stop:
        stop.told = NOTHING_BEGUN
        raise


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Let signals raise `Stopped`. One that the parent process ignores (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + AT_ONCE)
            os._exit(128 + number)
        raise Stopped(number)

    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, stop)
    try:
        yield
    except Exception as error:  # a library in C puts an error of its own in the place of `Stopped`
        if came:
            raise Stopped(came[0]) from error
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
