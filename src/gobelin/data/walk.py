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
    """A walk below `folder`. unopened: {folder that can't be opened: why}. no_files: names of no
    file (`is_file`)."""

    folder: Path
    unopened: dict[Path, str] = field(default_factory=dict)
    no_files: list[Path] = field(default_factory=list)

    def places(self, start: Path | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
        """As os.walk from `start` (default: `folder`): each place, its folders and its files. A
        hidden folder that can't be opened is not told. Raises GobelinError where `folder` itself
        can't be opened."""
        for place, folders, files in os.walk(start or self.folder, onerror=self._note):
            yield Path(place), folders, files

    def is_file(self, path: Path, inside: bool = False) -> bool:
        """Whether this is a file, or a link to one. What is none is kept for `tell`. inside: a link
        that leads out of the folder is none."""
        out = inside and path.is_symlink() and leads_out(path, self.folder)
        if out or not os.path.isfile(path):  # Path.is_file raises for links to closed names
            self.no_files.append(path)
            return False
        return True

    def tell(self, named: bool = True) -> None:
        """Warn of the folders that could not be opened, and of names of no file. named: with their
        names."""
        if self.no_files:
            first = min(self.no_files).relative_to(self.folder).as_posix()
            LOG.warning(
                "%s: %s left out%s.",
                self.folder,
                counted(
                    len(self.no_files),
                    "name that is no file (a pipe, a socket, a device, or a link that is not"
                    " followed) is",
                    "names that are no files (pipes, sockets, devices, or links that are not"
                    " followed) are",
                ),
                f" (first: {first})" if named else "",
            )
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
    """Whether a path below a folder leads out of it, through a link; one that can't be followed
    may."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # too long a name, or a circle of links
        return True
