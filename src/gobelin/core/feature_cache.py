"""A cache of features, by the content of the cell. Each encoder has a folder of immutable block
files, which are read through the memory map.

A row is found by the hash of its cell's content. A second table stores the hash of each file under
its path, size, inode and both times in nanoseconds (as git's index does). A changed file is hashed
again. A file that changed a moment ago is not stored: a second change within the same tick of the
clock would go unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, fingerprint, load_arrays, mapped_arrays, save_arrays

HASHES = "seen-"  # start of the names of the second table's files


class FeatureCache:
    """folder: of one encoder; None keeps all in memory. width: D_f. A damaged file is deleted and
    computed again."""

    def __init__(self, folder: Path | None, width: int) -> None:
        self.folder, self.width = folder, width
        self.blocks: list[np.ndarray] = []  # float32 [n, D_f]
        self.places: dict[bytes, tuple[int, int]] = {}  # content key -> block, row
        self.hashes: dict[bytes, bytes] = {}  # key of an unchanged file -> its content key
        for path in sorted(folder.glob("*.safetensors")) if folder and folder.is_dir() else ():
            if path.name.startswith("."):
                continue
            try:
                if path.name.startswith(HASHES):
                    table = load_arrays(path)
                    self.hashes.update(
                        zip(_names(table["untouched"]), _names(table["keys"]), strict=True)
                    )
                else:
                    block = mapped_arrays(path)
                    self._place(_names(block["keys"]), block["features"])
            except (GobelinError, KeyError):
                path.unlink(missing_ok=True)

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def add(self, keys: Sequence[bytes], features: np.ndarray) -> None:
        """Store features [n, D_f] as float32 under n content keys of 16 bytes."""
        features = features.astype(np.float32)
        path = (
            self._write("", {"keys": _array(keys), "features": features}) if self.writable else None
        )
        self._place(keys, features if path is None else mapped_arrays(path)["features"])

    def read(self, keys: Sequence[bytes]) -> np.ndarray:
        """float32 [n, D_f] of n content keys, all of them in the cache."""
        out = np.empty((len(keys), self.width), np.float32)
        places = np.array([self.places[key] for key in keys], np.int64).reshape(-1, 2)
        for block in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == block)
            out[rows] = self.blocks[block][places[rows, 1]]
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

    def _place(self, keys: Sequence[bytes], features: np.ndarray) -> None:
        if features.ndim == 2 and features.shape[1] == self.width:
            self.places.update({key: (len(self.blocks), row) for row, key in enumerate(keys)})
            self.blocks.append(features)

    def _write(self, prefix: str, arrays: Mapping[str, np.ndarray]) -> Path:
        assert self.folder is not None
        name = fingerprint(arrays["keys"], arrays.get("untouched", b""))[:24]
        path = self.folder / f"{prefix}{name}.safetensors"
        with atomic_file(path) as temporary:
            save_arrays(temporary, arrays)
        return path


def _array(keys: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), 16)


def _names(keys: np.ndarray) -> list[bytes]:
    data = keys.tobytes()
    return [data[k : k + 16] for k in range(0, len(data), 16)]
