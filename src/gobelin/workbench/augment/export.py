"""TODO docstring"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.files import disk_errors
from gobelin.data.files import cell_bytes


def free(folder: Path) -> None:
    """Refuse a folder that a training set can't be written to."""
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"--export {folder}: is a file. Choose a new folder.")
        if folder.exists() and any(folder.iterdir()):
            raise GobelinError(f"--export {folder}: is not empty. Choose another folder.")
        near = next(p for p in folder.absolute().parents if p.exists())
        reason = (
            errno.ENOTDIR if not near.is_dir() else 0 if os.access(near, os.W_OK) else errno.EACCES
        )
        if reason:
            raise OSError(reason, os.strerror(reason))


def _bytes(value: object, root: Path) -> bytes | None:
    return cell_bytes(value, root) if isinstance(value, str | bytes) else None
