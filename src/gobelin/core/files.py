"""Files: atomic writes, JSON, arrays, and hashes of content.

Every file or folder is written under a temporary name beside its final name, then renamed. So a
file under its final name is complete, and a run that is killed at any moment continues from its
finished files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from gobelin.core import parse
from gobelin.core.errors import GobelinError, refuse_used_up
from gobelin.core.printable import encodable_json, safe_json
from gobelin.core.temporary import temporary_beside

STAGE_RECORD = "stage.json"  # in the folder of each stage of a run (`core.stages`)
MANIFEST = "manifest.json"  # of run folders only one that `gobelin save` wrote has it
KEPT = 2**26  # bytes of JSON that are kept between two passes over them
# Errors of writing that a user can mend by choosing another place.
UNWRITABLE = {
    errno.EACCES,
    errno.EBADF,
    errno.EBUSY,
    errno.EINVAL,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOTEMPTY,
    errno.ENOTSUP,
    errno.ENXIO,
    errno.EPERM,
    errno.EPIPE,
    errno.EROFS,
    errno.ESTALE,
    errno.ETXTBSY,
}


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


def fingerprint_of_columns(columns: Mapping[str, Iterable[list[Any]]]) -> str:
    """The `fingerprint` of {name: values}, whose values come in parts, so that all of them are
    never in memory as texts. columns: each can be gone through twice, as the length is hashed
    first.
    """

    def pieces() -> Iterator[bytes]:
        yield b"{"
        for k, name in enumerate(sorted(columns)):
            yield f"{',' if k else ''}{canonical_json(name)}:[".encode()
            comma = ""
            for part in columns[name]:
                if part:
                    yield f"{comma}{canonical_json(part)[1:-1]}".encode()
                    comma = ","
            yield b"]"
        yield b"}"

    length, kept = 0, list[bytes]()
    for piece in pieces():
        length += len(piece)
        if length <= KEPT:
            kept.append(piece)
        else:
            kept.clear()
    digest = hashlib.sha256(f"dict {length} ".encode())
    for piece in kept if length <= KEPT else pieces():
        digest.update(piece)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_and_times(status: os.stat_result) -> list[int]:
    """Size, and the times of the last changes of content and entry in nanoseconds: a file for which
    all three stay is taken for unchanged."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def file_name(name: str) -> str:
    """`name` as one part of a path. Characters other than letters, digits, '-' and '_' are
    replaced, and a hash is added so that different names stay different."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:60]
    return plain if plain == name and plain else f"{plain}-{fingerprint(name)[:8]}"


def canonical_json(value: object) -> str:
    return encodable_json(
        json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    )


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's errors while writing into a GobelinError of one line."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        refuse_used_up(error)
        # safetensors and lance pass on the system's error as text: "... (os error 28)"
        inside = (
            re.search(r"\(os error (\d+)\)", str(error))
            if isinstance(error, SafetensorError | RuntimeError)
            else None
        )
        number = error.errno if isinstance(error, OSError) else int(inside[1]) if inside else None
        if number is None and re.search(r"\d+ requested and \d+ written", str(error)):
            number = errno.ENOSPC  # numpy's message for a short write
        reason = os.strerror(number) if number is not None else ""
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise GobelinError(
                f"{where}: the disk is full. Free some space and run the same command again."
            ) from error
        if number == errno.EFBIG:
            raise GobelinError(
                f"{where}: can't be written ({reason}). Raise the limit (ulimit -f), or choose"
                " another disk."
            ) from error
        if number in UNWRITABLE and _elsewhere(error, where):
            raise  # a file that was read meanwhile
        if number in UNWRITABLE:
            raise GobelinError(
                f"{where}: can't be written ({reason}). Choose another folder."
            ) from error
        if number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            file = next(
                (p for p in (where, *where.parents) if p.exists() and not p.is_dir()), where
            )
            raise GobelinError(
                f"{file}: is in the way ({reason}). Choose another folder."
            ) from error
        if number == errno.ENOENT:
            gone = (error.filename if isinstance(error, OSError) else None) or where
            raise GobelinError(
                f"{gone}: was removed while the command ran. Put it back, or run the same command"
                " again."
            ) from error
        raise


def _elsewhere(error: Exception, where: Path) -> bool:
    """Whether an error names a file that is not above, beside or below the place that is
    written."""
    name, place = getattr(error, "filename", None), where.absolute()
    named = Path(name).absolute() if isinstance(name, str) else place
    return named not in place.parents and place.parent not in named.parents


def _umask() -> int:
    """The process's file mask. Temporary files are private; finished files get the permissions of
    any new file."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to. It is renamed to `path` at the end, with the
    permissions of an earlier file, and removed after an error. GobelinError if the disk is full or
    the file can't be written."""
    with disk_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            try:
                yield temporary
                mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
                temporary.chmod(mode)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill. It is renamed to `path` at the end and replaces an
    older folder. GobelinError if the disk is full or the folder can't be written."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path, folder=True) as temporary:
            try:
                yield temporary
                temporary.chmod(0o777 & ~_umask())
                if path.exists():
                    with temporary_beside(Path(f"{path}.old"), folder=True) as old:
                        os.replace(path, old / path.name)
                        os.replace(temporary, path)
                        shutil.rmtree(old)
                else:
                    os.replace(temporary, path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise


def write_text(path: Path, text: str) -> None:
    """Write a file. A file with this text already is left alone, so a finished run can be
    read-only."""
    if path.is_file() and path.read_bytes() == text.encode("utf-8"):
        return
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    write_text(path, safe_json(text) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """The value of a JSON file, see `core.parse`. Raises OSError, and Unreadable, which is a
    GobelinError."""
    return parse.json_file(path)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    lines = (safe_json(json.dumps(row, ensure_ascii=False, default=str)) + "\n" for row in rows)
    write_text(path, "".join(lines))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; [] if it is missing. GobelinError if it is
    damaged."""
    if not path.exists():
        return []
    try:
        if path.stat().st_size > parse.MOST_BYTES:
            raise ValueError(f"it has more than {parse.MOST_BYTES} bytes")
        with path.open("rb") as file:
            rows = [parse.json_value(line) for line in file if line.strip()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line holds no object")
        return rows
    except ValueError as error:
        raise GobelinError(f"{path}: is damaged ({error}). {made_anew(path)}") from error


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file. Arrays are made contiguous first: the library would write the bytes
    of another memory layout as they are."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def in_saved_run(path: Path) -> bool:
    """Whether a file or folder lies in a saved run: one whose manifest lists settings.json, as each
    does. Other programs have files of these names too. A damaged manifest is taken for one."""
    for folder in path.parents:
        if all(os.path.isfile(folder / name) for name in (MANIFEST, "settings.json")):
            try:
                if "settings.json" in read_json(folder / MANIFEST)["files"]:
                    return True
            except (OSError, ValueError):
                return True
            except (KeyError, TypeError):
                continue
    return False


def made_anew(path: Path, command: str = "the command") -> str:
    """What to do about a damaged file of a run. No command makes a file of a saved run again."""
    if in_saved_run(path):
        return "Use another copy of the saved run, or save the run again."
    return f"Delete it and run {command} again."


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file. GobelinError if it can't be read."""
    try:
        # opened first: safetensors says of any file that it can't open that it isn't there
        with path.open("rb"):
            return load_file(path)
    except (SafetensorError, OSError) as error:
        refuse_used_up(error)
        raise GobelinError(
            f"{path}: can't be read as safetensors ({error}). {made_anew(path)}"
        ) from error


def mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """The float32 and uint8 arrays of a safetensors file, memory-mapped: only accessed parts are
    read from the disk. The file must not change meanwhile. GobelinError if it can't be read."""
    kinds = {"F32": np.float32, "U8": np.uint8}
    try:
        with path.open("rb") as file:  # first, as in `load_arrays`
            with safe_open(path, framework="np"):  # checks the header and the file's length
                pass
            length = int.from_bytes(file.read(8), "little")
            header = parse.json_value(file.read(length))
        return {
            name: np.memmap(
                path,
                kinds[entry["dtype"]],
                "r",
                8 + length + entry["data_offsets"][0],
                tuple(entry["shape"]),
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        refuse_used_up(error)
        raise GobelinError(
            f"{path}: can't be read as safetensors ({error}). {made_anew(path)}"
        ) from error


def refuse_links(folder: Path) -> None:
    """Raises GobelinError where anything below the folder is a link or a special file.

    Through a link, a folder of somebody else could make Gobelin read, write or remove files that
    are not in it; a special file (a pipe, a socket, a device) could keep it waiting. The folder
    itself may be reached through a link. Not seen: hard links, mounts, and links that are made
    later."""
    folders = [os.fspath(folder)]
    while folders:
        place = folders.pop()
        try:
            with os.scandir(place) as entries:
                found = [
                    (
                        e.path,
                        e.is_symlink(),
                        e.is_dir(follow_symlinks=False),
                        e.is_file(follow_symlinks=False),
                    )
                    for e in entries
                ]
        except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
            continue
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            refuse_used_up(error)
            reason = error.strerror if isinstance(error, OSError) else error
            raise GobelinError(f"{place}: can't be read ({reason}). Use another folder.") from error
        for path, link, is_folder, file in found:
            if link or not (is_folder or file):
                what = "a link" if link else "a special file"
                raise GobelinError(
                    f"{path}: is {what}, and Gobelin opens no folder that holds one. Copy the"
                    " folder without it (cp -rL follows links that you trust)."
                )
            if is_folder:
                folders.append(path)


def tree_hash(folder: Path) -> str:
    """A hash of the names and bytes of all files below a folder, but of the stage's record."""
    parts: list[object] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != STAGE_RECORD):
        parts += [path.relative_to(folder).as_posix(), path.read_bytes()]
    return fingerprint(*parts)
