"""The run folder: atomic writes, finished stages, the cache by content.

A file or folder under its final name is complete: everything is written beside it under a temporary name and renamed.
So a run that is killed at any moment continues from what was finished, and nothing half-written is ever read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from gobelin.errors import GobelinError

FORMAT = 1
LOCK = ".lock"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program says otherwise
MANIFEST = "manifest.json"  # of a folder that a run was saved to


def fingerprint(*parts: object) -> str:
    """sha256 over the parts: bytes and arrays as they are, everything else as canonical JSON."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(repr((part.dtype.str, part.shape)).encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            data = part if isinstance(part, bytes) else canonical_json(part).encode()
            digest.update(f"{type(part).__name__} {len(data)} ".encode())
            digest.update(data)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_name(name: str) -> str:
    """`name` as one part of a path, whatever it holds: other characters than letters, digits, '-' and '_' are replaced, and
    a hash tells apart what would then be the same."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:60]
    return plain if plain == name and plain else f"{plain}-{fingerprint(name)[:8]}"


def canonical_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one clear line."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors hands on the system's refusal as words: "... (os error 28)"
        inside = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, SafetensorError) else None
        number = error.errno if isinstance(error, OSError) else int(inside[1]) if inside else None
        if number is None and re.search(r"\d+ requested and \d+ written", str(error)):
            number = errno.ENOSPC  # how numpy says it
        reason = os.strerror(number) if number is not None else ""
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise GobelinError(f"{where}: the disk is full. Free some space and run the same command again.") from error
        if number in (errno.EACCES, errno.EROFS, errno.EPERM, errno.EBUSY, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO):
            raise GobelinError(f"{where}: can't be written ({reason}). Choose another folder.") from error
        if number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            file = next((p for p in (where, *where.parents) if p.exists() and not p.is_dir()), where)
            raise GobelinError(f"{file}: is in the way ({reason}). Choose another folder.") from error
        raise


def _umask() -> int:
    """The process's mask: temporary files are private, finished ones have the permissions that any new file has."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` at the end, removed on an error."""
    with disk_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; renamed to `path` at the end. An older folder there is replaced."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
                os.replace(path, old / path.name)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_text(path: Path, text: str) -> None:
    """The file with this text; one that has it already is left alone, so a finished run can be read-only."""
    if path.is_file() and path.read_bytes() == text.encode("utf-8"):
        return
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    return json.loads(path.read_text(encoding="utf-8"))


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))


def read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except ValueError as error:
        raise GobelinError(f"{path}: is damaged ({error}). Delete it and run the command again.") from error


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A safetensors file. Arrays are laid out row by row first: the format would write another layout's bytes as they lie."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise GobelinError(f"{path}: can't be read as safetensors ({error}). Make it again.") from error


def mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """The same of float32 and bytes, read from the disk only where they are looked at. The file must not change meanwhile."""
    kinds = {"F32": np.float32, "U8": np.uint8}
    try:
        with safe_open(path, framework="np"):  # looks over the header and the file's length
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            said = {name: about for name, about in json.loads(file.read(length)).items() if name != "__metadata__"}
        return {
            name: np.memmap(path, kinds[about["dtype"]], "r", 8 + length + about["data_offsets"][0], tuple(about["shape"]))
            for name, about in said.items()
        }
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise GobelinError(f"{path}: can't be read as safetensors ({error}). Make it again.") from error


def tree_hash(folder: Path) -> str:
    """A hash of every file's name and bytes below a folder."""
    parts: list[object] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "stage.json"):
        parts += [path.relative_to(folder).as_posix(), path.read_bytes()]
    return fingerprint(*parts)


def _stage(path: Path) -> dict[str, Any]:
    """What a stage.json says; nothing when it is damaged."""
    try:
        said = read_json(path)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


class Run:
    """A run folder. A stage is a folder in it with a key: what it was made from. Same key, already there: not made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, mode=0o666)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process makes anything in this folder meanwhile; one that tries waits and says so. Held again by its
        holder as often as it likes; freed by the system when the holder dies."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                LOG.warning("%s: another gobelin is at work in it; waiting until it is done.", self.folder)
                self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def exists(self) -> bool:
        return (self.folder / "settings.json").is_file()

    @property
    def saved(self) -> bool:
        """Whether this is what a run was saved to: finished, without the data, nothing is ever made in it."""
        with disk_errors(self.folder):  # a name that is too long
            return (self.folder / MANIFEST).is_file()

    def said(self, name: str) -> Any:  # noqa: ANN401 - JSON is any
        """What settings.json or schema.json of this run says."""
        try:
            return read_json(self.folder / name)
        except ValueError as error:
            raise GobelinError(f"{self.folder / name}: is damaged ({error}). Delete it and run gobelin fit again.") from error

    def clean(self) -> None:
        """Remove what killed writers left behind."""
        if self.folder.is_dir():
            with self.alone():
                for left in self.folder.rglob(".writing-*"):
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)

    def has(self, name: str, key: str | None = None) -> bool:
        """Whether the stage is finished (with this key; a saved run has one of each, whatever later versions call it)."""
        path = self.folder / name / "stage.json"
        return path.is_file() and (key is None or self.saved or _stage(path).get("key") == key)

    def key(self, name: str) -> str:
        """The key of a finished stage, '' where there is none."""
        path = self.folder / name / "stage.json"
        return str(_stage(path).get("key", "")) if path.is_file() else ""

    def stage(self, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """The stage's folder; `make(temporary folder)` fills it unless it is finished with this very key."""
        folder = self.folder / name
        if self.has(name, key):  # a finished run can be read-only
            return folder
        if self.saved:
            raise GobelinError(f"{self.folder}: was saved without {name}. Use the run that it was saved from.")
        with self.alone():
            if not self.has(name, key):
                if self._lock.lock_counter == 1:  # no stage of this run is being made around this one
                    self._sweep()
                with atomic_folder(folder) as temporary:
                    make(temporary)
                    write_json(temporary / "stage.json", {"key": key, "format": FORMAT, "hash": tree_hash(temporary)})
        return folder

    def _sweep(self) -> None:
        """Remove the folders that killed writers left where stages are made; nobody writes to them while the lock is held."""
        for left in (*self.folder.glob(".writing-*"), *self.folder.glob("*/.writing-*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)

    def forget(self, *names: str) -> None:
        """Remove stages whose inputs have changed: what they say would be said of something else."""
        with self.alone():
            for name in names:
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def checked(self, name: str) -> Path:
        """The folder of a finished stage, its files unchanged since. An error for a damaged or edited one."""
        folder = self.folder / name
        if not self.has(name):
            raise GobelinError(f"{self.folder}: has no {name}. Run gobelin fit again.")
        said = _stage(folder / "stage.json")
        if said and said.get("format") != FORMAT:
            raise GobelinError(
                f"{folder}: has format {said.get('format')}, this version reads {FORMAT}. Run gobelin fit again."
            )
        if tree_hash(folder) != said.get("hash"):
            raise GobelinError(f"{folder}: was changed or damaged since it was written. Delete it and run the command again.")
        return folder

    def look(self, what: str, key: str) -> int:
        """Record a look at the test rows; its number. The same look (same key) again is not a new one."""
        ledger = self.folder / "ledger.jsonl"
        with self.alone():
            try:
                rows = read_lines(ledger)
            except GobelinError as error:
                raise GobelinError(f"{ledger}: is damaged, and it counts the looks at the test rows. Restore it.") from error
            if not rows and (self.has("outcome") or self.has("verbs/augment")):
                raise GobelinError(f"{ledger}: is empty or gone, and it counts the looks at the test rows. Restore it.")
            for row in rows:
                if row["key"] == key:
                    return int(row["look"])
            rows.append({"look": len(rows) + 1, "what": what, "key": key})
            write_lines(ledger, rows)
            return len(rows)
