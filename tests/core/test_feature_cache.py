"""Features by content, and what a file hashed to. Oracles: the arrays that were put in, an encoder
that counts what it hashes, and a file that is changed behind the cache's back in every way that its
times could hide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.feature_cache import FeatureCache
from gobelin.core.files import load_arrays, mapped_arrays, save_arrays
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Column, Field, Schema
from gobelin.data.files import BadCell, cell_bytes, content_key, untouched
from gobelin.embedding import features
from gobelin.embedding.features import Embedder

SCHEMA = Schema((Column("file", "image"),), (Field("f", "sums", ("file",), "image"),))


class Sums:
    """A file -> the sum of its bytes and their count; it says which files it hashed."""

    width = 2
    module = None

    def __init__(self) -> None:
        self.hashed: list[str] = []

    def key(self, cell: Cell, root: Path) -> bytes:
        self.hashed.append(cell["file"])
        return content_key(cell["file"], root)

    def decode(self, cell: Cell, root: Path) -> tuple[Any, str]:
        data = cell_bytes(cell["file"], root)
        return np.array([sum(data), len(data)], np.float32), ""

    def embed(self, batch: list[Any]) -> np.ndarray:
        return np.stack(batch)

    def fingerprint(self) -> str:
        return "5" * 64

    def save(self, folder: Path) -> None: ...


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(features, "SETTLED_AFTER", -(10**18))


def files(root: Path, count: int = 3) -> list[str]:
    for k in range(count):
        (root / f"{k}.bin").write_bytes(bytes([k, 7]))
    return [f"{k}.bin" for k in range(count)]


def sums(root: Path, names: list[str]) -> tuple[list[list[float]], list[str]]:
    """Features by a fresh reader on the cache beside `root`, and the files that were hashed for
    them."""
    encoder = Sums()
    found = Embedder(SCHEMA, {"f": encoder}, root.parent / "cache").embed(
        Dataset(pa.table({"file": names}), root)
    )
    return found.features["f"].tolist(), encoder.hashed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_an_untouched_file_is_not_opened_again(root: Path, settled: None) -> None:
    names = files(root)
    assert sums(root, names) == ([[7, 2], [8, 2], [9, 2]], names)
    (root / "3.bin").write_bytes(b"\x09")
    assert sums(root, [*names[::-1], "3.bin"]) == ([[9, 2], [8, 2], [7, 2], [9, 1]], ["3.bin"])
    assert sums(root, [*names, "3.bin"])[1] == []


def test_contents_decide_whatever_the_times_say(root: Path, settled: None) -> None:
    names = files(root)
    sums(root, names)
    before = (root / "1.bin").stat()
    (root / "1.bin").write_bytes(bytes([100, 7]))  # as long as before, and put back in time
    os.utime(root / "1.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sums(root, names) == ([[7, 2], [107, 2], [9, 2]], ["1.bin"])
    os.replace(root / "2.bin", root / "0.bin")  # another file under an old name
    assert sums(root, names[:2]) == ([[9, 2], [107, 2]], ["0.bin"])
    (root / "0.bin").unlink()
    with pytest.raises(BadCell, match="no such file"):
        sums(root, names[:2])


def test_a_file_that_was_touched_a_moment_ago_is_hashed_again(root: Path) -> None:
    names = files(root)
    assert sums(root, names)[1] == sums(root, names)[1] == names


def test_a_link_to_another_file_is_seen_and_one_out_of_the_folder_refused(
    root: Path, settled: None
) -> None:
    names = files(root)
    (root / "link").symlink_to(root / "0.bin")
    assert sums(root, ["link"])[0] == [[7, 2]]
    (root / "link").unlink()
    (root / "link").symlink_to(root / "2.bin")
    assert sums(root, ["link", *names])[0][0] == [9, 2]
    (root / "link").unlink()
    (root.parent / "outside").write_bytes(b"secret")
    (root / "link").symlink_to(root.parent / "outside")
    with pytest.raises(BadCell, match="leaves the data folder"):
        sums(root, ["link"])


def test_cells_without_files_have_no_mark(root: Path) -> None:
    files(root)
    assert untouched({"a": "a red flower", "b": "x" * 5000, "c": "a\0b"}, str(root)) is None
    assert (
        untouched({"a": b"bytes"}, str(root)) is None
        and untouched({"a": 1.0, "b": "0.bin"}, str(root)) is None
    )
    one, both = (
        untouched({"a": "0.bin"}, str(root)),
        untouched({"a": ["0.bin", "1.bin"]}, str(root)),
    )
    assert one and both and one[0] != both[0] and one[1] <= both[1]


def test_damaged_files_are_made_anew(root: Path, settled: None) -> None:
    names = files(root)
    first = sums(root, names)[0]
    for path in (root.parent / "cache").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    assert sums(root, names) == (first, names)
    assert sums(root, names) == (first, [])


def test_rows_are_those_that_were_put_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in (None, tmp_path / "cache"):
        keys, rows = (
            [bytes([k]) * 16 for k in range(20)],
            rng.normal(size=(20, 3)).astype(np.float32),
        )
        cache = FeatureCache(folder, 3)
        for start in (0, 7, 14):
            cache.add(keys[start : start + 7], rows[start : start + 7])
        chosen = [13, 2, 2, 19, 7]
        assert (
            np.array_equal(cache.read([keys[k] for k in chosen]), rows[chosen])
            and bytes(16) + b"x" not in cache
        )
        if folder:
            assert np.array_equal(FeatureCache(folder, 3).read(keys), rows)
            assert keys[0] not in FeatureCache(folder, 4)  # of another width
            assert all(isinstance(block, np.memmap) for block in cache.blocks)


def test_mapped_arrays_are_the_loaded_ones(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.safetensors", np.random.default_rng(0)
    save_arrays(
        path,
        {
            "features": rng.normal(size=(5, 3)).astype(np.float32),
            "keys": rng.integers(0, 255, (5, 16), np.uint8),
        },
    )
    mapped, loaded = mapped_arrays(path), load_arrays(path)
    assert set(mapped) == set(loaded) and all(np.array_equal(mapped[n], loaded[n]) for n in loaded)
    for damaged in (path.read_bytes()[:-1], b"nothing", b""):
        path.write_bytes(damaged)
        with pytest.raises(GobelinError, match="can't be read"):
            mapped_arrays(path)


def test_blocks_are_cut_by_count_and_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "MOST_CELLS_AT_ONCE", 4)
    monkeypatch.setattr(features, "MOST_BYTES_AT_ONCE", 100)
    cells = [np.zeros(1)] * 6 + [[np.zeros(5), "a" * 40], np.zeros(1), np.zeros(90), np.zeros(1)]
    found = [
        len(keys) for keys, _ in features._blocks((bytes([k]), c) for k, c in enumerate(cells))
    ]
    assert found == [4, 4, 1, 1]
