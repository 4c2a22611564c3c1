"""The files below a folder of the user, the folders there that can't be opened, and links.

Python's own walks leave a folder out that they may not open, without a word. Then a class, or a
patient, would be missing and nobody would know.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gobelin.core.errors import GobelinError, some
from gobelin.core.printable import counted

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@dataclass
class Walk:
    """A walk below `folder`. unopened: {folder that can't be opened: why}."""

    folder: Path
    unopened: dict[Path, str] = field(default_factory=dict)

    def places(self, start: Path | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
        """As os.walk from `start` (default: `folder`): each place, its folders and its files. A
        hidden folder that can't be opened is not told. Raises GobelinError where `folder` itself
        can't be opened."""
        for place, folders, files in os.walk(start or self.folder, onerror=self._note):
            yield Path(place), folders, files

    def tell(self, named: bool = True) -> None:
        """Warn of the folders that could not be opened. named: with their names."""
        names = [path.relative_to(self.folder).as_posix() for path in sorted(self.unopened)]
        if names:
            reasons = ", ".join(sorted(set(self.unopened.values())))
            LOG.warning(
                "%s: %s and %s left out%s: %s. Allow yourself to read them (chmod u+rx), or"
                " move them away.",
                self.folder,
                counted(len(names), "folder can't be opened", "folders can't be opened"),
                "is" if len(names) == 1 else "are",
                f" ({some(names)})" if named else "",
                reasons,
            )

    def _note(self, error: OSError) -> None:
        path, reason = Path(error.filename), error.strerror or str(error)
        if path == self.folder:
            raise GobelinError(
                f"{path}: can't be opened ({reason}). Give a readable file or folder."
            ) from error
        if not any(part.startswith(".") for part in path.relative_to(self.folder).parts):
            self.unopened[path] = reason


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path below a folder leads out of it, through a link."""
    return not path.resolve().is_relative_to(folder.resolve())
