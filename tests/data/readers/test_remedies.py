"""The command that a refusal prints runs from the folder in which the user stands."""

from __future__ import annotations

import gzip
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

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


HOSTILE = (
    "a b",
    "it's",
    'a"b',
    "$(touch made)",
    "`touch made`",
    "a'); __import__('os').mknod('made')#",
    "-rf",
    "a;touch made",
    "back\\slash",
    "two\nlines",
    "right\u202eleft",
    "{path}",
    "100%s",
)


def obeyed(told: str, before: str, after: str) -> None:
    """What bash does with the command that a refusal prints."""
    line = told.split(before)[1].split(after)[0].removesuffix(".")
    place = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", line], env={**os.environ, "PATH": place}, check=True)  # noqa: S603, S607


@pytest.mark.parametrize("folder", ["", "data", "-d/$(touch made)"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_command_is_a_name(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / folder / f"{name}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"a,b\n1,2\n", mtime=0))
    with pytest.raises(GobelinError) as refusal:
        read(path)
    obeyed(str(refusal.value), "Unpack it: ", "\0")
    assert path.with_suffix("").read_bytes() == b"a,b\n1,2\n"
    table = tmp_path / folder / f"{name}.feather"
    feather.write_feather(pa.table({"a": [1]}), table)
    with pytest.raises(GobelinError) as refusal:
        read(table)
    obeyed(str(refusal.value), "convert it: ", "\0")
    assert pq.read_table(table.with_suffix(".parquet")).to_pydict() == {"a": [1]}
    assert not list(tmp_path.rglob("made"))


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
    command = str(refusal.value).split("convert it: ")[1].split(" (needs")[0].removesuffix(".")
    source, written = shlex.split(command)[3:]
    assert Path(source).samefile(path) and not Path(source).is_absolute()
    assert Path(written).parent.samefile(path.parent) and Path(written).stem == "a"
