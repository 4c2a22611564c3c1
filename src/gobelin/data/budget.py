"""The budget of reading: what data may take of the machine, looked up before anything is decoded.

A small file can claim to be large: a header with 10^13 numbers, a table of a thousand million empty
rows. Every reader and every opener of cells asks here first, with what a header, the metadata or
the file's size promises. A cell over the budget is set aside and counted, a file over the budget is
refused; the line names the setting.

Memory belongs to the process, so there is one budget a process: that of the run that was opened
last (`Reading.use`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError

MEGABYTE = 1_000_000


@settings_class
class Reading:
    """What may be read."""

    rows: int = setting(default=5_000_000, ge=1, le=10**9, description="Most rows of a data set.")
    columns: int = setting(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Most columns of a data set. Every key of JSON lines is one.",
    )
    cells: int = setting(
        default=100_000_000, ge=1, le=10**11, description="Most cells: rows times columns."
    )
    keys: int = setting(
        default=256,
        ge=1,
        le=100_000,
        description="Most different keys of the objects within the cells of a column.",
    )
    items: int = setting(
        default=256, ge=1, le=1_000_000, description="Most images or sounds in one cell."
    )
    letters: int = setting(
        default=10_000_000, ge=1, le=10**9, description="Most letters of a text in one cell."
    )
    samples: int = setting(
        default=2**24,
        ge=2,
        le=10**10,
        description="Most samples of a series, all channels together.",
    )
    channels: int = setting(
        default=256, ge=1, le=65_536, description="Most channels of a series or a sound."
    )
    table_mb: int = setting(
        default=4_000,
        ge=1,
        le=10**7,
        description="Most memory of a data file, decoded, in megabytes.",
    )
    file_mb: int = setting(
        default=16_000, ge=1, le=10**7, description="Largest file named in a cell, in megabytes."
    )
    cell_mb: int = setting(
        default=1_000,
        ge=1,
        le=10**7,
        description="Most memory that decoding one cell may take, in megabytes.",
    )
    block_mb: int = setting(
        default=2_000,
        ge=1,
        le=10**7,
        description="Most memory of all cells that are decoded at once, in megabytes.",
    )

    seconds: int = setting(
        default=10,
        ge=1,
        le=3600,
        description="Most processor time of drawing one SVG, in seconds.",
    )
    later: ClassVar[tuple[str, ...]] = ("seconds",)

    def use(self) -> None:
        """Make this the budget of the process."""
        _process.reading = self


class _Process:
    """The budget in use, and the bytes that are being decoded now."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.bytes = 0
        self.changed = threading.Condition()


_process = _Process()
# of a setting: what it counts
COUNTED = {
    "rows": "rows",
    "columns": "columns",
    "cells": "cells",
    "keys": "different keys in its objects",
    "items": "items",
    "letters": "letters",
    "samples": "samples",
    "channels": "channels",
    "table_mb": "MB of decoded cells",
    "file_mb": "MB",
    "cell_mb": "MB to decode",
}

NAME = 1000  # letters of a name that are always allowed
NAMES_MB = 256  # that an array of longer names may take
LETTER = 4  # bytes in an array


def limits() -> Reading:
    """The budget in use."""
    return _process.reading


def excess(name: str, needed: float) -> str:
    """Why `needed` is over the limit `name`, in a few words; '' where it is within. needed: a
    count, or bytes where the limit is in megabytes.
    """
    limit = getattr(_process.reading, name)
    unit = MEGABYTE if name.endswith("_mb") else 1
    if needed <= limit * unit:
        return ""
    return f"has {-(-int(needed) // unit)} {COUNTED[name]}; reading.{name} allows {limit}"


def refuse(where: str, name: str, needed: float) -> None:
    """GobelinError where `needed` is over the limit `name`. where: the data set."""
    if reason := excess(name, needed):
        raise GobelinError(f"{where}: {reason}. Raise it with --set reading.{name}=N.")


def refuse_names(where: str, names: Sequence[str]) -> None:
    """GobelinError for long names of rows or groups: an array of them takes as much for each as for
    the longest.
    """
    longest, most = max(map(len, names), default=0), NAMES_MB * MEGABYTE // LETTER
    if longest > NAME and longest * len(names) > most:
        raise GobelinError(
            f"{where}: a row or a group has a name of {longest} letters; of {len(names)} rows,"
            f" names may have {max(NAME, most // len(names))}. Shorten it."
        )


def refuse_table(where: str, rows: int, columns: int) -> None:
    """GobelinError for a table of more rows, columns or cells than may be read."""
    refuse(where, "rows", rows)
    refuse(where, "columns", columns)
    refuse(where, "cells", rows * columns)


@contextmanager
def decoding(needed: float) -> Iterator[None]:
    """Inside, a cell is decoded that takes this many bytes. Waits while other threads decode so
    much that the sum would exceed `block_mb`; a cell alone never waits. Not to be nested.
    """
    size = int(needed)
    with _process.changed:
        _process.changed.wait_for(
            lambda: (
                not _process.bytes or _process.bytes + size <= _process.reading.block_mb * MEGABYTE
            )
        )
        _process.bytes += size
    try:
        yield
    finally:
        with _process.changed:
            _process.bytes -= size
            _process.changed.notify_all()
