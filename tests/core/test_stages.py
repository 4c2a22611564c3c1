"""Whole or not at all: errors in the middle, stages, damage, the ledger, a full and a read-only
disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    atomic_file,
    atomic_folder,
    file_name,
    fingerprint,
    read_json,
    read_lines,
    tree_hash,
    write_json,
    write_lines,
    write_text,
)
from gobelin.core.stages import LOCK, STAGE_FORMAT, RunFolder


def filled(run: RunFolder, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """A stage that `make` fills unless it is finished with this key."""
    with run.making(name, key) as temporary:
        if temporary is not None:
            make(temporary)
    return run.folder / name


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.name != LOCK)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(error), atomic_file(path) as temporary:
        temporary.write_text("half")
        assert (
            path.read_text() == "old"
            and temporary.parent == path.parent
            and temporary.suffix == ".txt"
        )
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["deep", "deep/a.txt"]
    write_text(path, "ä\u2028ö")
    assert path.read_bytes() == "ä\u2028ö".encode()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_folder(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "stage"
    with atomic_folder(path) as temporary:
        (temporary / "old").mkdir()
    with pytest.raises(error), atomic_folder(path) as temporary:
        (temporary / "half").write_text("")
        raise error
    assert names(tmp_path) == ["stage", "stage/old"]
    with atomic_folder(path) as temporary:
        (temporary / "new").write_text("")
    assert names(tmp_path) == ["stage", "stage/new"]


def test_lines_and_json_come_back(tmp_path: Path) -> None:
    rows = [{"a": 1, "text": "two\nlines, a \u2028 separator and \x85"}, {"b": [None, 0.1]}]
    write_lines(tmp_path / "x.jsonl", rows)
    write_json(tmp_path / "x.json", rows)
    assert read_lines(tmp_path / "x.jsonl") == read_json(tmp_path / "x.json") == rows
    assert read_lines(tmp_path / "none.jsonl") == []


def test_fingerprint_is_sha256_of_canonical_parts() -> None:
    parts = b"dict 16 " + '{"a":"ä","b":1}'.encode() + b"bytes 1 x"
    assert fingerprint({"b": 1, "a": "ä"}, b"x") == hashlib.sha256(parts).hexdigest()
    assert (
        len(
            {
                fingerprint(b"a\0b"),
                fingerprint(b"a", b"b"),
                fingerprint("a", "b"),
                fingerprint(b"ab"),
            }
        )
        == 4
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (
        fingerprint(x) == fingerprint(np.asfortranarray(x)) == fingerprint(np.repeat(x, 2, 0)[::2])
    )
    different = [
        x,
        x.T,
        x.reshape(3, 2),
        x.astype(np.float64),
        x + 1,
        x[:0],
        "x",
        b"x",
        1,
        None,
        [],
        {},
    ]
    assert len({fingerprint(d) for d in different}) == len(different)


def test_stage_is_made_once_a_key(tmp_path: Path) -> None:
    run, made = RunFolder(tmp_path / "run"), []

    def make(folder: Path) -> None:
        made.append(len(made))
        (folder / "x.txt").write_text(str(len(made)))

    assert not run.has("a/b")
    for key in ("k1", "k1", "k2", "k2", "k1"):
        folder = filled(run, "a/b", key, make)
        assert run.has("a/b", key) and run.has("a/b") and not run.has("a/b", "other")
    assert (
        made == [0, 1, 2] and (folder / "x.txt").read_text() == "3" and run.checked("a/b") == folder
    )

    def fails(folder: Path) -> None:
        (folder / "x.txt").write_text("half")
        raise ValueError

    with pytest.raises(ValueError):
        filled(run, "a/b", "k3", fails)
    assert run.has("a/b", "k1") and (run.checked("a/b") / "x.txt").read_text() == "3"


def test_kept_makes_once_and_loads_from_the_checked_folder(tmp_path: Path) -> None:
    run, made = RunFolder(tmp_path / "run"), []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "x.txt").write_text("made")

    def load(folder: Path) -> str:
        return (folder / "x.txt").read_text()

    assert [run.kept("a", "k", make, load) for _ in range(2)] == ["made"] * 2 and len(made) == 1
    (run.folder / "a" / "x.txt").write_text("edited")
    with pytest.raises(GobelinError, match="was changed or damaged"):
        run.kept("a", "k", make, load)


@pytest.fixture
def stage(tmp_path: Path) -> tuple[RunFolder, Path]:
    run = RunFolder(tmp_path / "run")

    def make(folder: Path) -> None:
        (folder / "w").mkdir()
        (folder / "w" / "weights").write_bytes(bytes(range(100)))

    return run, filled(run, "model", "key", make)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "w" / "weights").write_bytes(bytes(range(99))),
        lambda f: (f / "w" / "weights").write_bytes(b"\1" + bytes(range(1, 100))),
        lambda f: (f / "w" / "weights").unlink(),
        lambda f: (f / "w" / "weights").rename(f / "weights"),
        lambda f: (f / "more").write_text(""),
        lambda f: (f / "stage.json").write_text((f / "stage.json").read_text()[:20]),
        lambda f: (f / "stage.json").write_text("[]"),
        lambda f: (f / "stage.json").write_bytes(b"\xff"),
    ],
    ids=[
        "truncated",
        "edited",
        "deleted",
        "moved",
        "added",
        "note truncated",
        "note replaced",
        "note not text",
    ],
)
def test_damage_is_found(stage: tuple[RunFolder, Path], damage: object) -> None:
    run, folder = stage
    assert run.checked("model") == folder
    damage(folder)  # type: ignore[operator]
    with pytest.raises(GobelinError, match="was changed or damaged since it was written") as caught:
        run.checked("model")
    assert "\n" not in str(caught.value)


def test_a_damaged_note_makes_the_stage_anew(stage: tuple[RunFolder, Path]) -> None:
    run, folder = stage
    (folder / "stage.json").write_text("{")
    filled(run, "model", "key", lambda f: (f / "new").write_text("") and None)
    assert names(run.checked("model")) == ["new", "stage.json"]


def test_a_foreign_format_and_a_lacking_stage(stage: tuple[RunFolder, Path]) -> None:
    run, folder = stage
    write_json(
        folder / "stage.json", {**read_json(folder / "stage.json"), "format": STAGE_FORMAT + 1}
    )
    with pytest.raises(
        GobelinError, match=f"has format {STAGE_FORMAT + 1}, this version reads {STAGE_FORMAT}"
    ):
        run.checked("model")
    with pytest.raises(GobelinError, match="has no generators/vaegan-0. Run gobelin fit again"):
        run.checked("generators/vaegan-0")


def test_tree_hash_sees_names_and_bytes_alone(stage: tuple[RunFolder, Path]) -> None:
    _, folder = stage
    before = tree_hash(folder)
    os.utime(folder / "w" / "weights", (0, 0))
    assert tree_hash(folder) == before == read_json(folder / "stage.json")["hash"]


def test_ledger_counts_looks_and_not_repeats(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert [run.look("augment", k) for k in ("a", "a", "b", "a", "c")] == [1, 1, 2, 1, 3]
    assert RunFolder(tmp_path).look("augment", "b") == 2
    assert [json.loads(x)["key"] for x in (tmp_path / "ledger.jsonl").read_text().splitlines()] == [
        "a",
        "b",
        "c",
    ]


def test_a_lost_ledger_is_not_begun_anew(tmp_path: Path) -> None:
    """Where a study is there the test rows were opened."""
    run = RunFolder(tmp_path)
    assert run.look("augment", "a") == 1
    filled(run, "outcome", "k", lambda folder: write_text(folder / "hits", "1"))
    assert run.look("augment", "b") == 2
    for lost in (
        lambda: write_text(tmp_path / "ledger.jsonl", ""),
        (tmp_path / "ledger.jsonl").unlink,
    ):
        lost()
        with pytest.raises(GobelinError, match="counts the looks at the test rows"):
            run.look("augment", "c")


def test_clean_removes_what_killed_writers_left(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.clean()
    write_text(run.folder / "a" / "kept.txt", "")
    (run.folder / "a" / ".writing-1").mkdir()
    (run.folder / "a" / ".writing-1" / "x").write_text("")
    (run.folder / ".writing-2.json").write_text("")
    run.clean()
    assert names(run.folder) == ["a", "a/kept.txt"]


def test_a_new_stage_sweeps_what_killed_writers_left_and_not_the_stage_around_it(
    tmp_path: Path,
) -> None:
    run = RunFolder(tmp_path / "run")
    for left in (".writing-1", "verbs/.writing-2", "made/.writing-3"):
        (run.folder / left).mkdir(parents=True)
        (run.folder / left / "x").write_text("")

    def around(folder: Path) -> None:
        write_text(folder / "kept.txt", "")
        filled(run, "verbs/inner", "k", lambda inner: write_text(inner / "kept.txt", ""))
        assert (folder / "kept.txt").is_file()

    filled(run, "verbs/outer", "k", around)
    assert not list(run.folder.rglob(".writing-*"))
    assert {"verbs/inner/kept.txt", "verbs/outer/kept.txt"} < set(names(run.folder))


def test_a_short_write_of_numpy_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="the disk is full"), atomic_folder(tmp_path / "a"):
        raise OSError("16896 requested and 8064 written")
    assert names(tmp_path) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A real folder that this user can't write to; root can write nearly anywhere but there."""
    if os.geteuid() == 0:
        if not Path("/sys/kernel").is_dir():
            pytest.skip("root, and no /sys")
        yield Path("/sys")
    else:
        tmp_path.chmod(0o500)
        yield tmp_path
        tmp_path.chmod(0o700)


def test_a_read_only_folder_is_one_line(read_only: Path) -> None:
    for name in ("a.json", "new/a.json"):
        with pytest.raises(
            GobelinError, match=r"can't be written .*Choose another folder"
        ) as caught:
            write_json(read_only / name, {})
        assert "\n" not in str(caught.value)
    with pytest.raises(GobelinError, match="can't be written"), atomic_folder(read_only / "x"):
        pass


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(GobelinError, match="is in the way"):
        write_json(tmp_path / "run" / "a.json", {})
    (tmp_path / "b.json").mkdir()
    with pytest.raises(GobelinError, match="is in the way"):
        write_json(tmp_path / "b.json", {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line_and_leaves_the_old(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        with open("/dev/full", "wb") as full:  # the system's own ENOSPC
            full.write(bytes(1 << 16))

    write_text(tmp_path / "a", "old")
    with (
        pytest.raises(GobelinError, match=r"a: the disk is full\. Free some space") as caught,
        atomic_file(tmp_path / "a") as t,
    ):
        write(t)
    assert "\n" not in str(caught.value)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(GobelinError, match="the disk is full"):
        filled(run, "model", "key", write)
    assert (
        names(tmp_path) == ["a", "run"]
        and (tmp_path / "a").read_text() == "old"
        and not run.has("model")
    )


def test_a_name_becomes_one_part_of_a_path() -> None:
    assert file_name("image_1") == "image_1"
    for odd in ("../../x", "a/b", "a\\b", "", ".", "..", "é", "a b", "x" * 300):
        assert (
            "/" not in file_name(odd) and "." not in file_name(odd) and 0 < len(file_name(odd)) < 80
        )
    assert file_name("a/b") != file_name("a_b") != file_name("a b")
