"""Temporary names beside a final one, which a killed process leaves behind and the next one takes
over.

A name follows from the final name. Whoever writes holds a lock on it (flock), which the system
frees when the process dies. So the same command again leaves nothing behind, and two processes that
write one file at the same time get different names.

What this cannot do: take over on systems without such locks. There every name is new.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".writing-"
MOST_WRITERS = 16  # of one file at once, before names become random


@contextlib.contextmanager
def temporary_beside(path: Path, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder in the folder of `path`, private to this process. The caller renames
    or removes it."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    for number in range(MOST_WRITERS if fcntl else 0):
        suffix = "" if folder else path.suffix
        temporary = path.parent / f"{PREFIX}{digest}-{number}{suffix}"
        handle = _taken(temporary, folder)
        if handle is not None:
            try:
                yield temporary
            finally:
                os.close(handle)
            return
    if folder:
        yield Path(tempfile.mkdtemp(prefix=PREFIX, dir=path.parent))
        return
    handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    yield Path(name)


def _taken(temporary: Path, folder: bool) -> int | None:
    """The open and locked file or folder of this name, emptied; None where it is another's."""
    try:
        if folder:
            with contextlib.suppress(FileExistsError):
                temporary.mkdir(mode=0o700)
            handle = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(temporary, flags, 0o600)
    except (PermissionError, NotADirectoryError, IsADirectoryError, FileNotFoundError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(handle)
        ours = found.st_uid == os.geteuid() and os.path.samestat(found, os.lstat(temporary))
        if ours and folder:
            _empty(temporary)
            os.fchmod(handle, 0o700)
            return handle
        if ours and stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            os.ftruncate(handle, 0)
            os.fchmod(handle, 0o600)
            return handle
    except OSError:  # locked by a living process, renamed by it a moment ago, or no such locks
        pass
    os.close(handle)
    return None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
