"""The process that draws SVG (`svg_drawer.py`), as this process sees it.

It ends where a drawing takes more than `reading.seconds` of the processor or `reading.cell_mb` of
memory, and is started again for the next one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from gobelin.core.errors import MissingExtra
from gobelin.data.budget import MEGABYTE, limits
from gobelin.data.files import BadCell

SIDE = 512  # pixels of the longer side
PATIENCE = 30  # seconds by the clock for one of the processor, as the machine may be busy


def library_folder() -> Path:
    """The folder that resvg is installed in; it is not imported. Raises MissingExtra."""
    found = find_spec("resvg_py")
    if found is None or found.origin is None:
        raise MissingExtra(
            "resvg, which reads SVG (or convert the files: rsvg-convert IN.svg -o OUT.png),", "svg"
        )
    return Path(found.origin).parents[1]


class Drawer:
    """The process that draws, started for the first drawing and again after one that ended it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._made: tuple[int, int, int] = (0, 0, 0)

    def png(self, text: str, library: Path) -> bytes:
        """The drawing as a PNG with a longer side of `SIDE` pixels. library: see `library_folder`.
        Raises BadCell where it takes too much, ValueError where it is damaged."""
        seconds, most = limits().seconds, limits().cell_mb * MEGABYTE
        with self._lock:
            try:
                process = self._running(library, seconds, most)
                answer = self._asked(process, text.encode(), seconds)
            except BaseException:  # Ctrl-C too: an answer that nobody read would be the next one's
                self._end()
                raise
            if answer is None:
                self._end()
                raise BadCell(
                    f"is a drawing (SVG) that takes more than {seconds} seconds of the processor"
                    f" (reading.seconds) or {limits().cell_mb} MB (reading.cell_mb)"
                )
        good, data = answer
        if not good:
            raise ValueError(data.decode("utf-8", "replace"))
        return data

    def _running(self, library: Path, seconds: int, most: int) -> subprocess.Popen[bytes]:
        made = (os.getpid(), seconds, most)  # after a fork the pipes are another process's
        if self._process is not None and self._made == made:
            return self._process
        self._end()
        program = Path(__file__).with_name("svg_drawer.py")
        self._process = subprocess.Popen(  # noqa: S603 - our own file, by the Python that runs
            [sys.executable, "-I", "-S", str(program), str(library), str(seconds), str(most)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._made = made
        return self._process

    def _asked(
        self, process: subprocess.Popen[bytes], text: bytes, seconds: int
    ) -> tuple[bool, bytes] | None:
        """Whether it could be drawn, and the PNG or the reason; None where the process ended."""
        assert process.stdin and process.stdout
        clock = threading.Timer(PATIENCE * seconds, process.kill)
        clock.daemon = True
        clock.start()
        try:
            process.stdin.write(SIDE.to_bytes(4, "big") + len(text).to_bytes(8, "big") + text)
            process.stdin.flush()
            head = process.stdout.read(9)
            size = int.from_bytes(head[1:], "big")
            data = process.stdout.read(size) if len(head) == 9 else b""
        except OSError:  # it ended while it was written to
            return None
        finally:
            clock.cancel()
        return (head[:1] == b"\1", data) if len(head) == 9 and len(data) == size else None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._made[0] == os.getpid():
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:  # what was not written yet has nobody to read it
                pass


DRAWER = Drawer()
