"""Folders that a command fills. Oracle: the bytes and names of the files, before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.workbench.export_folder import new_folder, refuse_used_folder

LAST = "train.parquet"


def fill(folder: Path, data: bytes = b"rows", more: str = "README.md") -> None:
    with new_folder(folder, LAST) as temporary:
        (temporary / LAST).write_bytes(data)
        (temporary / more).write_text("how")


def everything(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_a_finished_folder_is_taken_as_finished(tmp_path: Path) -> None:
    for _ in range(3):
        refuse_used_folder(tmp_path / "out", LAST)
        fill(tmp_path / "out")
    assert everything(tmp_path / "out") == {LAST: b"rows", "README.md": b"how"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    "change",
    [
        lambda out: (out / LAST).write_bytes(b"other rows"),
        lambda out: (out / "notes.txt").write_text("mine"),
        lambda out: (out / "README.md").unlink(),
        lambda out: (out / "README.md").write_text("mine"),
        lambda out: (out / LAST).unlink(),
        lambda out: (out / LAST).rename(out / "x.parquet"),
    ],
)
def test_a_folder_with_anything_else_stays_as_it_is(change, tmp_path: Path) -> None:  # noqa: ANN001
    out = tmp_path / "out"
    fill(out)
    change(out)
    before = everything(out)
    with pytest.raises(GobelinError, match=r"--export .*: is not empty\. Choose another folder\."):
        fill(out)
    assert everything(out) == before and [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_and_a_folder_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GobelinError, match="is a file"):
        fill(tmp_path / "file")
    with pytest.raises(GobelinError, match="is in the way"):
        fill(tmp_path / "file" / "out")
    assert everything(tmp_path) == {"file": b"mine"}
