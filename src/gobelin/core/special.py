"""Files that are no files: opening a pipe waits until somebody writes to it, maybe for ever."""

from __future__ import annotations

import stat
from pathlib import Path

KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def special(path: Path) -> str:
    """'a pipe', 'a socket' or 'a device' where `path` is one, directly or through a link; '' for a
    file, a folder, and a path that can't be looked at. Nothing is opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    return next((words for fits, words in KINDS if fits(mode)), "")
