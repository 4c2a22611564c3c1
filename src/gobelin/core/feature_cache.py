"""A cache of features, by the content of the cell. Each encoder has a folder of immutable block
files, which are read through the memory map.

A row is found by the hash of its cell's content. A second table stores the hash of each file under
its path, size, inode and both times in nanoseconds (as git's index does). A changed file is hashed
again. A file that changed a moment ago is not stored: a second change within the same tick of the
clock would go unnoticed.

Every file holds a hash of its content and of its place. A block is compared with its hash when one
of its rows is first asked for; a damaged file is removed, counted, and its cells are encoded again.
The hash shows damage, not intent: who can write to the folder can also write a hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError, UsedUp
from gobelin.core.files import atomic_file, fingerprint, load_arrays, mapped_arrays, save_arrays

HASHES = "seen-"  # start of the names of the second table's files
HASH = "hash"  # of a file's content, an array beside the others


class FeatureCache:
    """folder: of one encoder; None keeps all in memory. width: D_f."""

    def __init__(self, folder: Path | None, width: int) -> None:
        self.folder, self.width = folder, width
        self.damaged = 0  # files that were not what was written; their content is not used
        # float32 [n, D_f], or its file: a mapped file stays open, and a system has few open files
        self.blocks: list[np.ndarray | Path] = []
        self.unchecked: dict[int, Path] = {}  # block -> its file, until its hash was compared
        self.places: dict[bytes, tuple[int, int]] = {}  # content key -> block, row
        self.hashes: dict[bytes, bytes] = {}  # key of an unchanged file -> its content key
        for path in sorted(folder.glob("*.safetensors")) if folder and folder.is_dir() else ():
            if path.name.startswith("."):
                continue
            try:
                if path.name.startswith(HASHES):
                    self._load_hashes(path)
                else:
                    self._load_block(path)
            except UsedUp:
                raise
            except (GobelinError, KeyError, ValueError):
                self._remove(path)

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a row of this key, in a block that is as it was written."""
        place = self.places.get(key)
        if place is None:
            return False
        path = self.unchecked.pop(place[0], None)
        if path is None or self._as_written(path, mapped_arrays(path)):
            return True
        self.places = {k: other for k, other in self.places.items() if other[0] != place[0]}
        self._remove(path)
        return False

    def add(self, keys: Sequence[bytes], features: np.ndarray) -> None:
        """Store features [n, D_f] as float32 under n content keys of 16 bytes."""
        features = features.astype(np.float32)
        path = (
            self._write("", {"keys": _array(keys), "features": features}) if self.writable else None
        )
        self._place(keys, features if path is None else path)

    def read(self, keys: Sequence[bytes]) -> np.ndarray:
        """float32 [n, D_f] of n content keys, each of which was found to be `in` the cache, or
        added."""
        out = np.empty((len(keys), self.width), np.float32)
        places = np.array([self.places[key] for key in keys], np.int64).reshape(-1, 2)
        for block in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == block)
            stored = self.blocks[block]
            features = mapped_arrays(stored)["features"] if isinstance(stored, Path) else stored
            out[rows] = features[places[rows, 1]]
        return out

    def remember(self, untouched: Mapping[bytes, bytes]) -> None:
        """Store {key of an unchanged file: its content key}."""
        self.hashes.update(untouched)
        if untouched and self.writable:
            self._write(
                HASHES,
                {"untouched": _array(list(untouched)), "keys": _array(list(untouched.values()))},
            )

    @property
    def writable(self) -> bool:
        """Whether the folder can be written to. A read-only run still predicts, without storing."""
        if self.folder is None:
            return False
        existing = next((p for p in (self.folder, *self.folder.parents) if p.exists()), None)
        return existing is not None and os.access(existing, os.W_OK)

    def _load_block(self, path: Path) -> None:
        """The keys of a block. Raises GobelinError, KeyError or ValueError for another content."""
        block = mapped_arrays(path)
        keys, features = _names(block["keys"]), block["features"]
        _ = block[HASH]
        shaped = features.ndim == 2 and len(keys) == len(features)
        if not shaped or features.dtype != np.float32 or path.name != _file_of(block):
            raise ValueError
        if features.shape[1] == self.width:
            self.unchecked[len(self.blocks)] = path
            self._place(keys, path)

    def _load_hashes(self, path: Path) -> None:
        """The content keys of unchanged files. Raises as `_load_block` does."""
        table = load_arrays(path)
        if not self._as_written(path, table):
            raise ValueError
        self.hashes.update(zip(_names(table["untouched"]), _names(table["keys"]), strict=True))

    def _remove(self, path: Path) -> None:
        """Count a damaged file, and delete it where the folder can be written to."""
        self.damaged += 1
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def _place(self, keys: Sequence[bytes], features: np.ndarray | Path) -> None:
        self.places.update({key: (len(self.blocks), row) for row, key in enumerate(keys)})
        self.blocks.append(features)

    def _write(self, prefix: str, arrays: Mapping[str, np.ndarray]) -> Path:
        assert self.folder is not None
        path = self.folder / f"{prefix}{_file_of(arrays)}"
        with atomic_file(path) as temporary:
            save_arrays(temporary, {**arrays, HASH: self._hash(path, arrays)})
        return path

    def _as_written(self, path: Path, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether a file holds what was written to this place."""
        content = {name: array for name, array in arrays.items() if name != HASH}
        return np.array_equal(arrays[HASH], self._hash(path, content))

    def _hash(self, path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """uint8 [32]: of the encoder's folder, the file's name, and the arrays with their shapes.
        sha256 reads a gigabyte in about a second on a processor of today."""
        assert self.folder is not None
        digest = hashlib.sha256(f"{self.folder.name}/{path.name}".encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return np.frombuffer(digest.digest(), np.uint8)


def _file_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of the file that holds these keys."""
    return f"{fingerprint(arrays['keys'], arrays.get('untouched', b''))[:24]}.safetensors"


def _array(keys: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 16)


def _names(keys: np.ndarray) -> list[bytes]:
    data = keys.tobytes()
    return [data[k : k + 16] for k in range(0, len(data), 16)]
