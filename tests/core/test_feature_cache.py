"""Features by content, and what a file hashed to. Oracles: the arrays that were put in, an encoder
that counts what it hashes, and a file that is changed behind the cache's back in every way that its
times could hide."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def rewritten(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    arrays = {name: array.copy() for name, array in load_arrays(path).items()}
    change(arrays)
    save_arrays(path, arrays)


def header(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = path.read_bytes()
        assert data.count(old) == 1 and len(old) == len(new)
        path.write_bytes(data.replace(old, new))

    return change


def swapped(name: str) -> Callable[[Path], None]:
    """Two rows of an array change places."""

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][:2] = arrays[name][1::-1].copy()

    return lambda path: rewritten(path, change)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "other signs": lambda path: rewritten(path, lambda a: a["features"].__imul__(np.float32(-1))),
    "one last bit": lambda path: path.write_bytes(
        path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])
    ),
    "two keys swapped": swapped("keys"),
    "two rows swapped": swapped("features"),
    "another type": lambda path: rewritten(
        path, lambda a: a.update(features=a["features"].view(np.uint8))
    ),
    "another type in the header": header(b'"F32"', b'"I32"'),
    "another shape in the header": header(b'"shape":[3,2]', b'"shape":[2,3]'),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "a row is missing": lambda path: rewritten(
        path, lambda a: a.update(keys=a["keys"][:2], features=a["features"][:2])
    ),
    "empty": lambda path: path.write_bytes(b""),
    "no hash, as in earlier versions": lambda path: rewritten(path, lambda a: a.pop("hash")),
    "the block of another encoder": lambda path: path.write_bytes(
        (path.parent.parent / "other" / path.name).read_bytes()
    ),
    "another block of the encoder": lambda path: path.write_bytes(
        next(p for p in path.parent.glob("[!s.]*") if p != path).read_bytes()
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_block_is_encoded_again_and_said(
    kind: str, root: Path, settled: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted: each way in which a file of features can be another one than was written."""
    names, cache = files(root), root.parent / "cache"
    first = sums(root, names)[0]
    (path,) = (cache / Sums().fingerprint()[:32]).glob("[!s.]*")
    (root / "more.bin").write_bytes(b"x")
    sums(root, ["more.bin"])  # a second block
    keys = [content_key(name, root) for name in names]
    FeatureCache(cache / "other", 2).add(keys, -np.array(first))
    DAMAGE[kind](path)
    assert not caplog.records
    assert sums(root, names)[0] == first
    assert [record.getMessage() for record in caplog.records] == [
        "embed f: the cache of features had files that are damaged or of an earlier version: 1."
        " They are left out, and 3 cells are encoded now."
    ]
    caplog.clear()
    assert sums(root, [*names, "more.bin"])[0] == [*first, [120, 1]] and not caplog.records


@pytest.mark.parametrize("name", ["untouched", "keys"])
def test_a_damaged_table_of_files_is_not_believed(name: str, root: Path, settled: None) -> None:
    """Planted: two files have each other's features."""
    names = files(root)
    first = sums(root, names)[0]
    (path,) = (root.parent / "cache").rglob("seen-*")
    swapped(name)(path)
    assert sums(root, names) == (first, names)


def test_a_damaged_block_in_a_folder_that_cant_be_written(tmp_path: Path) -> None:
    keys, rows = [bytes([k]) * 16 for k in range(4)], np.arange(8, dtype=np.float32).reshape(4, 2)
    FeatureCache(tmp_path / "c", 2).add(keys[:2], rows[:2])
    FeatureCache(tmp_path / "c", 2).add(keys[2:], rows[2:])
    damaged = sorted((tmp_path / "c").iterdir())[0]
    DAMAGE["other signs"](damaged)
    cache = FeatureCache(tmp_path / "c", 2)
    found = [k for k in range(4) if keys[k] in cache]
    assert len(found) == 2 and cache.damaged == 1  # the other block is not touched
    assert np.array_equal(cache.read([keys[k] for k in found]), rows[found])


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
            again = FeatureCache(folder, 3)
            assert all(key in again for key in keys) and np.array_equal(again.read(keys), rows)
            assert keys[0] not in FeatureCache(folder, 4)  # of another width
            assert all(isinstance(block, Path) for block in cache.blocks)  # not in memory


@pytest.mark.skipif(os.name == "nt", reason="there is no list of open files")
@pytest.mark.parametrize("blocks", [1, 40])
def test_no_block_stays_open(blocks: int, tmp_path: Path) -> None:
    """A large data set has thousands of blocks, and a process 256 or 1,024 open files."""

    def opened() -> int:
        return len(os.listdir("/dev/fd"))

    keys, rows = [bytes([k]) * 16 for k in range(blocks)], np.eye(blocks, 3, dtype=np.float32)
    before, cache = opened(), FeatureCache(tmp_path, 3)
    for k, key in enumerate(keys):
        cache.add([key], rows[k : k + 1])
    assert opened() == before and np.array_equal(cache.read(keys), rows)
    again = FeatureCache(tmp_path, 3)
    assert all(key in again for key in keys) and np.array_equal(again.read(keys), rows)
    assert opened() == before


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
