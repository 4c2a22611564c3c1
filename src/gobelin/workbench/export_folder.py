"""A new folder that a command fills: that of `--export`, and a saved run.

A command that was killed after it filled the folder is simply run again: a folder that holds the
same files is taken as finished.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.files import disk_errors, tree_hash
from gobelin.core.output import output_folder


def refuse_used_folder(chosen: str | Path | None, last: str, option: str = "--export ") -> None:
    """Refuse a folder that nothing can be written to: a file, not empty, not writable.

    chosen: the folder; None = nothing is written. last: a file that a finished folder has;
    `new_folder` compares the rest of such a folder.
    option: before the folder's name in messages. Raises GobelinError."""
    if chosen is None:
        return
    folder = Path(chosen)
    refuse_no_folder(folder, option)
    with disk_errors(folder):
        if folder.exists() and any(folder.iterdir()) and not (folder / last).is_file():
            raise _not_empty(folder, option)


def refuse_no_folder(folder: Path, option: str) -> None:
    """Refuse a place that can be no folder to write to: a file, below a file, not writable.

    Raises GobelinError."""
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"{option}{folder}: is a file. Choose a new folder.")
        near = next(p for p in folder.absolute().parents if p.exists())
        reason = 0
        if not near.is_dir():
            reason = errno.ENOTDIR
        elif not os.access(near, os.W_OK):
            reason = errno.EACCES
        if reason:
            raise OSError(reason, os.strerror(reason))


@contextlib.contextmanager
def new_folder(folder: Path, last: str, option: str = "--export ") -> Iterator[Path]:
    """A temporary folder to fill, which becomes `folder` at the end.

    Raises GobelinError where the folder holds anything else than these files; it stays as it is."""
    refuse_used_folder(folder, last, option)
    with output_folder(folder) as temporary:
        yield temporary
        if folder.exists() and any(folder.iterdir()) and tree_hash(folder) != tree_hash(temporary):
            raise _not_empty(folder, option)


def _not_empty(folder: Path, option: str) -> GobelinError:
    return GobelinError(f"{option}{folder}: is not empty. Choose another folder.")
