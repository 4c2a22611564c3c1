"""Archives of WebDataset as people pack them. Oracle: the rows that were packed.

Modelled on ray 65044 (files of a row apart), webdataset 157 (a name twice), webdataset 237 and
datasets 6880 (dots in names).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.files import cell_bytes
from gobelin.data.read import read

NAMES = [f"{k:03d}" for k in range(6)]


def packed(path: Path, files: Sequence[tuple[str, str]]) -> Dataset:
    """The rows of an archive of these files, in this order."""
    with tarfile.open(path, "w") as archive:
        for name, text in files:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return read(path)


def rows(found: Dataset) -> list[tuple[bytes, object]]:
    """The content of the picture and the class of each row."""
    pictures = [cell_bytes(cell, found.root) for cell in found.values("image")]
    return list(zip(pictures, found.values("class"), strict=True))


def test_files_of_a_row_may_stand_apart(tmp_path: Path) -> None:
    """As of `tar` over a list that is sorted by suffix: first all pictures, then all classes."""
    files = [(f"{n}.png", f"picture {n}") for n in NAMES]
    files += [(f"{n}.cls", str(k)) for k, n in enumerate(NAMES)]
    found = packed(tmp_path / "a.tar", files)
    assert rows(found) == [(f"picture {n}".encode(), k) for k, n in enumerate(NAMES)]


def test_rows_of_one_name_in_joined_archives_stay_two(tmp_path: Path) -> None:
    files = [(f"{n}.{s}", t) for t in "12" for n in NAMES for s in ("png", "cls")]
    found = packed(tmp_path / "a.tar", files)
    assert rows(found) == [(b"1", 1)] * 6 + [(b"2", 2)] * 6


def test_the_last_file_of_a_name_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [("0.png", "old"), ("0.cls", "1"), ("0.cls", "2"), ("0.png", "new"), ("1.png", "b")]
    found = packed(tmp_path / "a.tar", [*files, ("1.cls", "3")])
    assert rows(found) == [(b"new", 2), (b"b", 3)]
    assert set(found.column_names) == {"image", "class"}
    assert "2 files that a later one of the same name replaces are left out" in caplog.text


@pytest.mark.parametrize("name", ["22.0{k}.png", "a/Track 2.{k} (clean).mp3"])
def test_dots_in_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="names of files hold dots before the suffix"):
        packed(tmp_path / "a.tar", [(name.format(k=k), "x") for k in range(6)])


def test_names_of_several_pictures_of_a_row_are_columns(tmp_path: Path) -> None:
    found = packed(
        tmp_path / "a.tar", [(f"{n}.{s}.jpg", n) for n in NAMES for s in ("left", "2nd")]
    )
    assert set(found.column_names) == {"left", "2nd"} and len(found) == 6
