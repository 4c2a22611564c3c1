"""The stages of a run folder, and its ledger: the count of uses of the test rows.

A stage is a finished subfolder with a key: the hash of its inputs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from gobelin.core import parse
from gobelin.core.errors import GobelinError, UnusableValue, refuse_used_up, why_damaged
from gobelin.core.files import (
    MANIFEST,
    STAGE_RECORD,
    atomic_folder,
    disk_errors,
    made_anew,
    read_json,
    read_lines,
    refuse_links,
    size_and_times,
    tree_hash,
    write_json,
    write_lines,
)
from gobelin.core.progress import step

STAGE_FORMAT = 1  # version of a stage's layout on disk
LOCK = ".lock"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
Loaded = TypeVar("Loaded")
# what reading raises where a file holds other values than were written
WRONG_VALUES = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)


# what a user is told while a stage is made, by the first part of its name
STEPS = {
    "checked": "keep the checked rows",
    "encoders": "save the encoder of {}",
    "features": "keep the features",
    "tuned": "tune the encoders",
    "alignment": "align the fields",
    "fusions": "compare the heads",
    "model": "fit the predictor",
    "delivered": "fit the predictor on all labelled rows",
    "rows": "keep the rows for search",
    "index": "write the index of search",
    "crossed": "compare the fields of rows that no alignment saw",
    "generators": "train the generator {}",
    "made": "generate by {}",
    "references": "train the reference generator {}",
    "audited": "audit what {} generated",
    "outcome": "compare the training sets",
    "curated": "score the training rows",
    "verbs": "{}: collect the findings",
}


def step_of(stage: str) -> str:
    """The step that makes a stage, in the words of a user."""
    first, _, rest = stage.partition("/")
    return STEPS.get(first, f"make {stage}").format(rest)


@contextlib.contextmanager
def right_values(stage: Path) -> Iterator[None]:
    """Raises GobelinError where a file of the stage holds other values than Gobelin writes."""
    try:
        yield
    except GobelinError:
        raise
    except (*WRONG_VALUES, OSError) as error:
        refuse_used_up(error)
        raise UnusableValue(
            f"{stage}: can't be read ({why_damaged(error)}). {made_anew(stage)}"
        ) from error


def holds_run(folder: Path) -> bool:
    """Whether a folder is a run. Nothing else in it is looked at."""
    return (folder / "settings.json").is_file()


class RunFolder:
    """A run folder on disk: its lock, stages, records and ledger.

    A stage that is finished with the requested key is never made again. Raises GobelinError for a
    folder that holds a link or a special file.
    """

    def __init__(self, folder: Path) -> None:
        refuse_links(folder)
        self.folder = folder
        self._lock = FileLock(folder / LOCK, mode=0o666)
        self._opened: int | None = None  # the folder's file descriptor, once it was worked in

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder's lock, so that no other process makes a stage meanwhile.

        A process that needs the lock waits and logs a warning. The holder can take the lock
        several times. The system frees the lock when the holder dies.
        """
        with disk_errors(self.folder):
            if self._opened is None:
                self.folder.mkdir(parents=True, exist_ok=True)
            self.hold()
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                LOG.warning(
                    "%s: another gobelin is at work in it; waiting until it is done.", self.folder
                )
                with step("wait for the other gobelin"):
                    self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def hold(self) -> None:
        """Remember which folder this is. Raises GobelinError where it was removed or replaced since
        it was first held: what is written now would make a run that lacks the rest."""
        if os.name == "nt":  # an open folder can't be removed there, nor opened as a file
            return
        if self._opened is None:  # while it is open, no other folder gets its number
            self._opened = os.open(self.folder, os.O_RDONLY)
            weakref.finalize(self, os.close, self._opened)
        if not self.folder.is_dir() or not os.path.samestat(
            self.folder.stat(), os.fstat(self._opened)
        ):
            raise GobelinError(
                f"{self.folder}: was removed or replaced while the command ran. Run the same"
                " command again."
            )

    def exists(self) -> bool:
        return holds_run(self.folder)

    @property
    def saved(self) -> bool:
        """Whether `gobelin save` wrote this folder: it has no data, and stages are never added."""
        with disk_errors(self.folder):  # a name that is too long
            return (self.folder / MANIFEST).is_file()

    def stored(self, name: str) -> Any:  # noqa: ANN401 - JSON is any
        """The content of settings.json or schema.json. GobelinError for a damaged file."""
        try:
            return parse.json_file(self.folder / name, parse.MOST_SETTINGS_BYTES)
        except (OSError, parse.Unreadable) as error:
            refuse_used_up(error)
            reason = error.reason if isinstance(error, parse.Unreadable) else error.strerror
            what = made_anew(self.folder / name, "gobelin fit")
            raise GobelinError(f"{self.folder / name}: is damaged ({reason}). {what}") from error

    def clean(self) -> None:
        """Remove the temporary files and folders that killed writers left behind.

        Call it only while no other process works on the folder: single files are written without
        the lock.
        """
        if self.folder.is_dir():
            with self.alone():
                _remove(self.folder.rglob(".writing-*"))

    def has(self, name: str, key: str | None = None) -> bool:
        """Whether the stage is finished, with this key if one is given.

        In a saved run every key matches: it holds one of each stage, and a later version may
        compute its key differently.
        """
        path = self.folder / name / STAGE_RECORD
        return path.is_file() and (key is None or self.saved or _record(path).get("key") == key)

    def stages(self) -> list[str]:
        """The names of all finished stages."""
        found = sorted(self.folder.rglob(STAGE_RECORD))
        return [path.parent.relative_to(self.folder).as_posix() for path in found]

    def key(self, name: str) -> str:
        """The key of a finished stage, '' if there is none."""
        path = self.folder / name / STAGE_RECORD
        return str(_record(path).get("key", "")) if path.is_file() else ""

    def kept(
        self,
        name: str,
        key: str,
        make: Callable[[Path], None],
        load: Callable[[Path], Loaded],
    ) -> Loaded:
        """`load(the stage's folder)`. `make(temporary folder)` fills it first if it is missing.

        Raises GobelinError if the stage is missing in a saved run, if its files changed since they
        were written, and if they can't be read.
        """
        with self.making(name, key) as temporary:
            if temporary is not None:
                make(temporary)
        return self.loaded(name, load)

    def loaded(self, name: str, load: Callable[[Path], Loaded]) -> Loaded:
        """`load(the folder of a finished stage)`. Raises GobelinError as `checked`, and where the
        files hold values that `load` can't use: they may be a stranger's."""
        folder = self.checked(name)
        with right_values(folder):
            return load(folder)

    @contextlib.contextmanager
    def making(self, name: str, key: str) -> Iterator[Path | None]:
        """The temporary folder of a stage to fill; None if the stage is finished with this key.

        The folder becomes the stage at the end. Raises GobelinError if the stage is missing in a
        saved run.
        """
        folder = self.folder / name
        if self.has(name, key):  # before the lock, because a finished run can be read-only
            yield None
            return
        if self.saved:
            raise GobelinError(
                f"{self.folder}: was saved without {name}. Use the run that it was saved from."
            )
        with self.alone():
            if self.has(name, key):  # another process made it meanwhile
                yield None
                return
            # The count is above 1 only if this stage is made while another one is being made.
            # At 1 nobody makes a stage, so any temporary folder is left from a killed writer.
            if self._lock.lock_counter == 1:
                left = (*self.folder.glob(".writing-*"), *self.folder.glob("*/.writing-*"))
                _remove(path for path in left if path.is_dir())
            with atomic_folder(folder) as temporary, step(step_of(name)):
                yield temporary
                self.hold()
                record = {"key": key, "format": STAGE_FORMAT, "hash": tree_hash(temporary)}
                write_json(temporary / STAGE_RECORD, record | {"files": _stats(temporary)})

    def discard(self, *names: str) -> None:
        """Remove stages that no longer match their inputs."""
        with self.alone():
            for name in names:
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def checked(self, name: str) -> Path:
        """The folder of a finished stage. Its files are hashed only where the size or a time of one
        differs from when it was written: a change that restores all three is not seen.

        Raises GobelinError if the stage is missing, has another format, or its files changed since
        they were written.
        """
        folder = self.folder / name
        if not self.has(name):
            raise GobelinError(f"{self.folder}: has no {name}. Run gobelin fit again.")
        record = _record(folder / STAGE_RECORD)
        if record and record.get("format") != STAGE_FORMAT:
            raise GobelinError(
                f"{folder}: has format {record.get('format')}, this version reads {STAGE_FORMAT}."
                " Run gobelin fit again."
            )
        if record.get("files") == _stats(folder):
            return folder
        if tree_hash(folder) != record.get("hash"):
            raise GobelinError(
                f"{folder}: was changed or damaged since it was written. {made_anew(folder)}"
            )
        return folder

    def look(self, verb: str, key: str) -> int:
        """Record a use of the test rows in the ledger. Returns its number, from 1.

        A repeated use (same key) keeps its number. Raises GobelinError if the ledger is
        damaged, or lost although a study was made.
        """
        ledger = self.folder / "ledger.jsonl"
        with self.alone():
            try:
                rows = read_lines(ledger)
                looks = {str(row["key"]): int(row["look"]) for row in rows}
            except (GobelinError, *WRONG_VALUES) as error:
                raise GobelinError(
                    f"{ledger}: is damaged, and it counts the looks at the test rows. Restore it."
                ) from error
            if not rows and (self.has("outcome") or self.has("verbs/augment")):
                raise GobelinError(
                    f"{ledger}: is empty or gone, and it counts the looks at the test rows."
                    " Restore it."
                )
            if key in looks:
                return looks[key]
            rows.append({"look": len(rows) + 1, "what": verb, "key": key})
            write_lines(ledger, rows)
            return len(rows)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _record(path: Path) -> dict[str, Any]:
    """The content of a stage.json, {} if it is damaged."""
    try:
        record = read_json(path)
    except parse.Unreadable:
        return {}
    return record if isinstance(record, dict) else {}


def own_files(stage: Path) -> set[str] | None:
    """The names of the files that a finished stage was written with; None where its record is
    damaged."""
    files = _record(stage / STAGE_RECORD).get("files")
    return {*files, STAGE_RECORD} if isinstance(files, dict) else None


def _stats(folder: Path) -> dict[str, list[int]]:
    """{name: [size, both times in nanoseconds]} of the files that `tree_hash` reads."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.name != STAGE_RECORD):
        status = path.stat()
        if not path.is_dir():
            name = path.relative_to(folder).as_posix()
            found[name] = size_and_times(status)
    return found
