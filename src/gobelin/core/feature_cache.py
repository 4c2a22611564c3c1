"""Features by content, kept as immutable block files in one folder an encoder, and read through the
memory map.

Content decides: a row is found by the hash of its cell's contents. A second table remembers what a
file hashed to, by its place, size, inode and both times in nanoseconds (as git's index does). A
file that was touched in any way is hashed anew; who remembers one that was touched a moment ago
would miss a second touch within the same tick of the clock."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, fingerprint, load_arrays, mapped_arrays, save_arrays

SEEN = "seen-"  # how the files of the second table are called


class FeatureCache:
    """folder: None keeps all in memory. width: D_f."""

    def __init__(self, folder: Path | None, width: int) -> None:
        self.folder, self.width = folder, width
        self.blocks: list[np.ndarray] = []  # float32 [n, D_f]
        self.places: dict[bytes, tuple[int, int]] = {}  # content -> block, row
        self.seen: dict[bytes, bytes] = {}  # an untouched file -> its content
        for path in sorted(folder.glob("*.safetensors")) if folder and folder.is_dir() else ():
            if path.name.startswith("."):
                continue
            try:
                if path.name.startswith(SEEN):
                    table = load_arrays(path)
                    self.seen.update(
                        zip(_names(table["untouched"]), _names(table["keys"]), strict=True)
                    )
                else:
                    block = mapped_arrays(path)
                    self._place(_names(block["keys"]), block["features"])
            except (GobelinError, KeyError):  # a damaged file is only something to do anew
                path.unlink(missing_ok=True)

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def add(self, keys: Sequence[bytes], features: np.ndarray) -> None:
        """float32 [n, D_f] under n keys of 16 bytes."""
        features = features.astype(np.float32)
        path = (
            self._write("", {"keys": _array(keys), "features": features}) if self.writable else None
        )
        self._place(keys, features if path is None else mapped_arrays(path)["features"])

    def read(self, keys: Sequence[bytes]) -> np.ndarray:
        """float32 [n, D_f]."""
        out = np.empty((len(keys), self.width), np.float32)
        places = np.array([self.places[key] for key in keys], np.int64).reshape(-1, 2)
        for block in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == block)
            out[rows] = self.blocks[block][places[rows, 1]]
        return out

    def remember(self, untouched: Mapping[bytes, bytes]) -> None:
        """Which content untouched files have."""
        self.seen.update(untouched)
        if untouched and self.writable:
            self._write(
                SEEN,
                {"untouched": _array(list(untouched)), "keys": _array(list(untouched.values()))},
            )

    @property
    def writable(self) -> bool:
        """A run that may only be read still predicts."""
        there = (
            next((p for p in (self.folder, *self.folder.parents) if p.exists()), None)
            if self.folder
            else None
        )
        return there is not None and os.access(there, os.W_OK)

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
