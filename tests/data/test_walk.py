"""Folders that can't be opened are told and counted. Oracle: the folders that were closed here."""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import slices, uid
from PIL import Image

from gobelin import GobelinError, verify
from gobelin.data.class_folders import files_of_kind
from gobelin.data.read import read
from gobelin.interfaces.cli import main

Close = Callable[..., None]


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Iterator[Close]:
    """Folders that the system refuses to open, as to a user without the permission."""
    closed: set[str] = set()
    opened = os.scandir

    def scandir(path: Any = ".") -> Any:  # noqa: ANN401 - as os.scandir
        if os.path.realpath(os.fspath(path)) in closed:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return opened(path)

    def close(*folders: Path) -> None:
        closed.update(os.path.realpath(folder) for folder in folders)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield close


def pictures(folder: Path, *places: str) -> Path:
    for k, place in enumerate(places):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), k, np.uint8)).save(path)
    return folder


CLASSES = ("cat/1.png", "cat/old/2.png", "dog/3.png", "emu/4.png", "emu/.tmp/5.png")


def test_a_class_folder_that_cannot_be_opened_is_told(
    tmp_path: Path, close: Close, caplog: pytest.LogCaptureFixture
) -> None:
    folder = pictures(tmp_path / "pets", *CLASSES)
    close(folder / "dog", folder / "cat" / "old", folder / "emu" / ".tmp")
    assert read(folder).values("image") == ["cat/1.png", "emu/4.png"]
    (told,) = [m for m in caplog.messages if "can't be opened" in m]
    assert "2 folders can't be opened and are left out (cat/old, dog): Permission denied" in told
    assert not [m for m in caplog.messages if "holds no" in m]  # which nobody knows
    caplog.clear()
    assert len(files_of_kind(folder, "image")[1]) == 2  # images for a generator
    assert "(cat/old, dog)" in caplog.text


def test_a_folder_of_shards_that_cannot_be_opened_is_told(
    tmp_path: Path, close: Close, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path, "1.png")
    for place in ("a.tar", "train/b.tar", "valid/c.tar"):
        (tmp_path / "shards" / place).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(tmp_path / "shards" / place, "w") as archive:
            archive.add(tmp_path / "1.png", "1.png")
    assert len(read(tmp_path / "shards")) == 3 and not caplog.messages
    close(tmp_path / "shards" / "valid")
    assert len(read(tmp_path / "shards")) == 2
    (told,) = caplog.messages
    assert "1 folder can't be opened and is left out (valid): Permission denied" in told
    caplog.clear()
    (tmp_path / "shards" / "dead.tar").symlink_to("nowhere.tar")
    os.mkfifo(tmp_path / "shards" / "train" / "pipe.tar")
    assert len(read(tmp_path / "shards")) == 2
    assert "2 names that are no files" in caplog.text and "(first: dead.tar)" in caplog.text


def test_a_folder_of_dicom_that_cannot_be_opened_is_counted_without_its_name(
    tmp_path: Path, close: Close, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(3):
        cube = np.random.default_rng(k).integers(0, 999, (4, 6, 8)).astype(np.int16)
        slices(tmp_path / f"Quorlene{k}", cube, SeriesInstanceUID=uid("ct", k), PatientID=str(k))
    close(tmp_path / "Quorlene1")
    assert len(read(tmp_path)) == 2
    assert "1 folder can't be opened and is left out: Permission denied" in caplog.text
    assert "Quorlene" not in caplog.text


def test_verify_does_not_pass_over_a_folder(
    tmp_path: Path, close: Close, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "made", "1.png", "more/2.png")
    close(folder / "more")
    told = {one.scope["image"]: (one.verdict, one.note) for one in verify(folder)}
    assert set(told) == {"1.png", "more/"}
    assert told["more/"] == ("unreadable", "is a folder that can't be opened (Permission denied)")
    with pytest.raises(SystemExit, match="^7$"):
        main(["verify", str(folder)])
    capsys.readouterr()


@pytest.mark.parametrize("work", [read, verify])
def test_a_folder_that_cannot_be_opened_itself_is_one_line(
    work: Callable[[Path], object], tmp_path: Path, close: Close, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folder = pictures(tmp_path / "pets", *CLASSES)
    close(folder)
    with pytest.raises(GobelinError, match=r"pets: can't be opened \(Permission denied\)"):
        work(folder)
    assert not caplog.messages


def strange(folder: Path) -> set[str]:
    """Puts names of no file into the folder; their names."""
    made = {
        "pipe.png": None,
        "dead.png": "nowhere",
        "circle.png": "circle.png",
        "long.png": "a" * 300,
        "below.png": "dead.png/b",
    }
    for name, target in made.items():
        if target is None:
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(target)
    return set(made)


def test_names_of_no_file_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = pictures(tmp_path / "pets", *CLASSES)
    strange(folder)
    strange(folder / "cat")
    (folder / "cat" / "linked.png").symlink_to("1.png")  # a file
    names = ["cat/1.png", "cat/linked.png", "cat/old/2.png", "dog/3.png", "emu/4.png"]
    assert read(folder).values("image") == names
    (told,) = [m for m in caplog.messages if "no files" in m]
    assert "10 names that are no files" in told and "(first: below.png)" in told
    caplog.clear()
    flat = pictures(tmp_path / "flat", "1.png", "2.png")
    strange(flat)
    assert len(read(flat)) == 2
    assert "5 names that are no files" in caplog.text


def test_names_of_no_file_among_dicom_are_counted_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(2):
        cube = np.random.default_rng(k).integers(0, 999, (4, 6, 8)).astype(np.int16)
        folder = tmp_path / "in" / f"Quorlene{k}"
        slices(folder, cube, SeriesInstanceUID=uid("ct", k), PatientID=str(k))
    strange(folder)
    (tmp_path / "in" / "linked").symlink_to(folder)
    (folder / "away.dcm").symlink_to(tmp_path)
    assert len(read(tmp_path / "in")) == 2
    assert "7 names that are no files" in caplog.text and "below.png" not in caplog.text


def test_verify_passes_over_nothing(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "made", "1.png", "more/2.png")
    names = strange(folder / "more")
    (tmp_path / "other").mkdir()
    (folder / "linked").symlink_to(tmp_path / "other")
    (folder / "export.parquet").write_bytes(b"cut short")
    told = {one.scope["image"]: one.verdict for one in verify(folder)}
    unread = {f"more/{name}" for name in names} | {"linked/", "export.parquet"}
    assert {name for name, verdict in told.items() if verdict == "unreadable"} == unread
    assert set(told) == unread | {"1.png", "more/2.png"}
    with pytest.raises(GobelinError, match="can't be read as Parquet"):
        verify(folder / "export.parquet")
