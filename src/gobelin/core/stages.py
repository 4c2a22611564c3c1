"""The stages of a run folder: finished folders with a key, and the ledger of uses of the test
rows."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    FORMAT,
    LOCK,
    LOG,
    MANIFEST,
    _stage,
    atomic_folder,
    disk_errors,
    read_json,
    read_lines,
    tree_hash,
    write_json,
    write_lines,
)

T = TypeVar("T")


class RunFolder:
    """A run folder. A stage is a folder in it with a key: what it was made from. Same key, already
    there: not made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, mode=0o666)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process makes anything in this folder meanwhile; one that tries waits and says
        so. Held again by its holder as often as it likes; freed by the system when the holder
        dies."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                LOG.warning(
                    "%s: another gobelin is at work in it; waiting until it is done.", self.folder
                )
                self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def exists(self) -> bool:
        return (self.folder / "settings.json").is_file()

    @property
    def saved(self) -> bool:
        """Whether this is what a run was saved to: finished, without the data, nothing is ever made
        in it."""
        with disk_errors(self.folder):  # a name that is too long
            return (self.folder / MANIFEST).is_file()

    def stored(self, name: str) -> Any:  # noqa: ANN401 - JSON is any
        """What settings.json or schema.json of this run says."""
        try:
            return read_json(self.folder / name)
        except ValueError as error:
            raise GobelinError(
                f"{self.folder / name}: is damaged ({error}). Delete it and run gobelin fit again."
            ) from error

    def clean(self) -> None:
        """Remove what killed writers left behind."""
        if self.folder.is_dir():
            with self.alone():
                for left in self.folder.rglob(".writing-*"):
                    (
                        shutil.rmtree(left, ignore_errors=True)
                        if left.is_dir()
                        else left.unlink(missing_ok=True)
                    )

    def has(self, name: str, key: str | None = None) -> bool:
        """Whether the stage is finished (with this key; a saved run has one of each, whatever later
        versions call it)."""
        path = self.folder / name / "stage.json"
        return path.is_file() and (key is None or self.saved or _stage(path).get("key") == key)

    def key(self, name: str) -> str:
        """The key of a finished stage, '' where there is none."""
        path = self.folder / name / "stage.json"
        return str(_stage(path).get("key", "")) if path.is_file() else ""

    def stage(self, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """The stage's folder; `make(temporary folder)` fills it unless it is finished with this
        very key."""
        folder = self.folder / name
        if self.has(name, key):  # a finished run can be read-only
            return folder
        if self.saved:
            raise GobelinError(
                f"{self.folder}: was saved without {name}. Use the run that it was saved from."
            )
        with self.alone():
            if not self.has(name, key):
                if (
                    self._lock.lock_counter == 1
                ):  # no stage of this run is being made around this one
                    self._sweep()
                with atomic_folder(folder) as temporary:
                    make(temporary)
                    write_json(
                        temporary / "stage.json",
                        {"key": key, "format": FORMAT, "hash": tree_hash(temporary)},
                    )
        return folder

    def kept(
        self, name: str, key: str, make: Callable[[Path], None], load: Callable[[Path], T]
    ) -> T:
        """What `load` reads from the stage's checked folder; the stage is made first if needed."""
        self.stage(name, key, make)
        return load(self.checked(name))

    def _sweep(self) -> None:
        """Remove the folders that killed writers left where stages are made; nobody writes to them
        while the lock is held."""
        for left in (*self.folder.glob(".writing-*"), *self.folder.glob("*/.writing-*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)

    def discard(self, *names: str) -> None:
        """Remove stages whose inputs have changed: what they say would be said of something
        else."""
        with self.alone():
            for name in names:
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def checked(self, name: str) -> Path:
        """The folder of a finished stage, its files unchanged since. An error for a damaged or
        edited one."""
        folder = self.folder / name
        if not self.has(name):
            raise GobelinError(f"{self.folder}: has no {name}. Run gobelin fit again.")
        said = _stage(folder / "stage.json")
        if said and said.get("format") != FORMAT:
            raise GobelinError(
                f"{folder}: has format {said.get('format')}, this version reads {FORMAT}. Run"
                " gobelin fit again."
            )
        if tree_hash(folder) != said.get("hash"):
            raise GobelinError(
                f"{folder}: was changed or damaged since it was written. Delete it and run the"
                " command again."
            )
        return folder

    def look(self, what: str, key: str) -> int:
        """Record a look at the test rows; its number. The same look (same key) again is not a new
        one."""
        ledger = self.folder / "ledger.jsonl"
        with self.alone():
            try:
                rows = read_lines(ledger)
            except GobelinError as error:
                raise GobelinError(
                    f"{ledger}: is damaged, and it counts the looks at the test rows. Restore it."
                ) from error
            if not rows and (self.has("outcome") or self.has("verbs/augment")):
                raise GobelinError(
                    f"{ledger}: is empty or gone, and it counts the looks at the test rows."
                    " Restore it."
                )
            for row in rows:
                if row["key"] == key:
                    return int(row["look"])
            rows.append({"look": len(rows) + 1, "what": what, "key": key})
            write_lines(ledger, rows)
            return len(rows)
