"""The command that a refusal prints runs from the folder in which the user stands."""

from __future__ import annotations

import gzip
import shlex
import subprocess
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.read import read


@pytest.mark.parametrize("folder", ["", "data", "my data", "data/deep", "../beside"])
@pytest.mark.parametrize("name", ["a.csv.gz", "a b.csv.gz"])
def test_the_command_that_unpacks_runs_where_the_user_stands(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path = here / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"a,b\n1,2\n", mtime=0))
    with pytest.raises(GobelinError) as refusal:
        read(path)
    command = shlex.split(str(refusal.value).split("Unpack it: ")[1].removesuffix("."))
    assert subprocess.run(command, check=False).returncode == 0  # noqa: S603
    assert path.with_suffix("").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.parametrize("folder", ["", "data", "data/deep"])
@pytest.mark.parametrize("name", ["a.xlsx", "a.ods", "a.feather", "a.orc", "a.h5"])
def test_the_command_that_converts_names_the_file_from_where_the_user_stands(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(GobelinError) as refusal:
        read(path)
    named = str(refusal.value).split("('")[1].split("'")[0]
    assert Path(named).samefile(path) and not Path(named).is_absolute()
    assert Path(str(refusal.value).split("('")[2].split("'")[0]).parent.samefile(path.parent)
