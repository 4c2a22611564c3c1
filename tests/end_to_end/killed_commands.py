"""Commands that `test_planted_kills` and `test_stopping` stop, in a module that a child process can
import."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def work(words: list[str], at: int | str, errors: Path, event: str = "SIGKILL") -> None:
    """In a child: the command `gobelin WORDS`, to which something happens at its at-th point.

    Points lie before and after whatever makes a file or a version of the index final, and before an
    image is decoded, in whatever thread. at: a number, 0 for nothing, or the name of the function
    after which it happens. event: the name of a signal, or the folder that is removed."""
    from gobelin.data.image.images import Squares
    from gobelin.interfaces.cli import main
    from gobelin.quality.probes import IndependentEncoder

    with errors.open("wb") as file:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1), os.dup2(file.fileno(), 2)
    passed = 0

    def point(after: str = "") -> None:
        nonlocal passed
        passed += 1
        if at not in (passed, after or None):
            return
        if event.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, event))
        else:
            shutil.rmtree(event)

    def planted(final: Callable[..., Any], twice: bool = True) -> Callable[..., Any]:
        def around(*arguments: Any, **named: Any) -> Any:
            point()
            result = final(*arguments, **named)
            if twice:
                point(final.__name__)
            return result

        return around

    os.replace = planted(os.replace)
    if words[0] == "index":
        from lancedb.table import LanceTable  # it starts a thread, so it can't be loaded before

        for name in ("add", "delete", "optimize", "_do_merge"):
            setattr(LanceTable, name, planted(getattr(LanceTable, name)))
    Squares.decode = planted(Squares.decode, False)  # type: ignore[method-assign]
    IndependentEncoder.choose = staticmethod(quick)  # type: ignore[method-assign]
    main(words)
    sys.exit(0)


def quick(schema: object, runtime: object, kind: str) -> Any:
    """A judge without training."""
    from gobelin.core import catalog
    from gobelin.quality.probes import IndependentEncoder

    fitted = catalog.build("encoders", "pixels").fit([], None, {}, runtime)
    return IndependentEncoder("pixels", fitted)


def backwards(words: list[str], errors: Path) -> None:
    """In a child: the command, with a clock that goes back an hour at every look."""
    import time

    now = time.time_ns()

    def earlier() -> int:
        nonlocal now
        now -= 3_600 * 10**9
        return now

    time.time_ns = earlier
    time.time = lambda: earlier() / 1e9
    work(words, 0, errors)


def short_of_memory(words: list[str], errors: Path, more: int) -> None:
    """In a child: the command, with no more address space than it has and `more` bytes."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    work(words, 0, errors)
