"""The folder of `--export`, looked at before the work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.files import disk_errors


def refuse_used_folder(folder: Path) -> None:
    """Refuse a folder that nothing can be exported to: a file, not empty, not writable.

    Raises GobelinError.
    """
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"--export {folder}: is a file. Choose a new folder.")
        if folder.exists() and any(folder.iterdir()):
            raise GobelinError(f"--export {folder}: is not empty. Choose another folder.")
        near = next(p for p in folder.absolute().parents if p.exists())
        reason = 0
        if not near.is_dir():
            reason = errno.ENOTDIR
        elif not os.access(near, os.W_OK):
            reason = errno.EACCES
        if reason:
            raise OSError(reason, os.strerror(reason))
