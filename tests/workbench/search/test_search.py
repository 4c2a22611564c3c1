"""The index of a run that is only looked at. Oracle: names, bytes and times of all files, which
must stay, as they do on a disk that can't be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from gobelin import Workbench

GOLDEN = Path(__file__).parents[2] / "golden"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        p.relative_to(folder).as_posix(): (
            p.stat().st_mtime_ns,
            p.read_bytes() if p.is_file() else b"",
        )
        for p in folder.rglob("*")
    }


def test_counting_the_rows_of_an_index_writes_nothing(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    run = shutil.copytree(GOLDEN / "run_folder", tmp_path / "run")
    (run / ".lock").unlink(missing_ok=True)
    before = state(run)
    (found,) = Workbench.open(run).index()
    saved = Workbench.open(GOLDEN / "saved_run").index()
    assert found.name == "rows_searched" and found.value == saved[0].value == 60
    assert state(run) == before
