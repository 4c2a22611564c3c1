"""Draws SVG in a process of its own: `python svg_drawer.py FOLDER SECONDS BYTES`.

What a drawing costs can't be told from its text alone (filters, masks, pictures within it, the
edges of a path), so the process has limits, and ends where a drawing goes over one.

FOLDER: where resvg is installed. SECONDS: most processor time of one drawing. BYTES: most memory
beside that of the process itself. On its input: for each drawing the longer side in pixels and the
count of bytes (4 and 8 bytes, big endian), and the text. On its output: 1 or 0, a count, and the
bytes of a PNG or the reason why there is none. Only the standard library and resvg are imported.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO


def limit_memory(most: int) -> None:
    """Let the process take this many bytes more than it has; nothing where a system can't tell."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - starts sooner
            has = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (has + most, has + most))
    except (ImportError, OSError, ValueError):
        return


def limit_time(seconds: int) -> None:
    """Let the process take this many seconds of the processor from now on; nothing on Windows."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    end = int(sum(os.times()[:2])) + 1 + seconds
    soft = end if hard == resource.RLIM_INFINITY else min(end, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def serve(source: BinaryIO, sink: BinaryIO, folder: str, seconds: int, most: int) -> None:
    """Draw one drawing after the other until the input ends."""
    sys.path.append(folder)
    import resvg_py

    limit_memory(most)
    while len(head := source.read(12)) == 12:
        side, count = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        text = source.read(count).decode()
        limit_time(seconds)
        try:
            drawn, good = (
                resvg_py.svg_to_bytes(
                    svg_string=text, width=side, height=side, dpi=96, skip_system_fonts=True
                ),
                b"\1",
            )
        except ValueError as error:
            drawn, good = str(error)[:200].encode("utf-8", "replace"), b"\0"
        sink.write(good + len(drawn).to_bytes(8, "big") + bytes(drawn))
        sink.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
