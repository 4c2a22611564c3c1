"""Files and folders that a user names: `--out` and `--export`.

They are written as a shell's `>` would write them, but all at once. A link is followed and stays. A
pipe, a device or the standard output is written into. An existing file keeps its permissions, its
owner and its other names (hard links). Whatever can't be kept while a new file takes its place is
kept by writing into the old file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, atomic_folder, disk_errors

MOST_LINKS = 40  # that lead from one to the next, as in Linux
OPEN_FILE = re.compile(r"/(?:dev|proc/self|proc/thread-self)/fd/(\d+)")  # of this process


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to. At the end its bytes go where `path` leads; after an error
    nothing does. GobelinError for a folder, and for a place that can't be written."""
    with disk_errors(path):
        place = _followed(path)
        if OPEN_FILE.fullmatch(str(place)) or (place.exists() and not _replaceable(place)):
            _refuse_unwritable(place)
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder) / f"output{path.suffix}"
                _write_into(place, Path(folder) / f"output{path.suffix}")
        else:
            with atomic_file(place) as temporary:
                yield temporary
                if place.exists():
                    shutil.copystat(place, temporary)  # its access list too
                    os.utime(temporary)


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill. At the end it is the folder to which `path` leads, which was
    missing or empty before and keeps its permissions."""
    with disk_errors(path):
        place = _followed(path)
        mode = stat.S_IMODE(place.stat().st_mode) if place.is_dir() else None
        with atomic_folder(place) as temporary:
            yield temporary
        if mode is not None:
            place.chmod(mode)


def is_standard_output(path: Path) -> bool:
    """Whether what is written to the path arrives where results are printed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # none, or no file of the system
        return False


def _followed(path: Path) -> Path:
    """The place that a link leads to, which may be missing. An open file of this process, such as
    /dev/stdout, stays named by its number."""
    for _ in range(MOST_LINKS):
        if OPEN_FILE.fullmatch(str(path)) or not path.is_symlink():
            return path
        further = Path(os.path.normpath(path.parent.resolve() / os.readlink(path)))
        if path.exists() and not further.exists():
            return path  # an open file of another process, which has no name
        if not further.parent.is_dir():
            raise GobelinError(
                f"{path}: leads to a folder that isn't there, {further.parent}. Make it, or choose"
                " another file."
            )
        path = further
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _replaceable(place: Path) -> bool:
    """Whether a new file can take the place of this one without a loss."""
    found = place.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    own = not hasattr(os, "getuid") or (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    alone = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and not place.is_symlink()
    return alone and own and os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)


def _refuse_unwritable(place: Path) -> None:
    """Before the work, as far as it can be known then."""
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _write_into(place: Path, source: Path) -> None:
    named = OPEN_FILE.fullmatch(str(place))
    # An open file is written on from where it stands; opened anew, it would be from its start.
    target = os.dup(int(named[1])) if named else os.open(place, os.O_WRONLY | _truncated(place))
    with source.open("rb") as file, os.fdopen(target, "wb") as to:
        shutil.copyfileobj(file, to)


def _truncated(place: Path) -> int:
    return os.O_TRUNC if place.is_file() else 0
