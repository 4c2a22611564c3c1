"""Cells that name a folder that can't be opened: the reason is said."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gobelin.data.files import BadCell
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_a_folder_that_cant_be_opened_is_no_folder_of_0_volumes(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan").mkdir()
    listed = Path.iterdir

    def closed(folder: Path) -> Iterator[Path]:
        if folder.name == "scan":
            raise OSError(number, os.strerror(number))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(BadCell) as error:
        open_volume("scan", tmp_path, VolumeOpening())
    assert str(error.value) == f"can't be opened ({os.strerror(number)})"
