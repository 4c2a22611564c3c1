"""Pipes and sockets in the place of files. Oracle: one line comes back, while a pipe to which
nobody writes would keep its reader waiting."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from gobelin.core import parse
from gobelin.core.config import read as recipe
from gobelin.core.errors import GobelinError
from gobelin.core.special import special
from gobelin.data.fields import Field
from gobelin.data.files import BadCell, cell_path, file_bytes
from gobelin.data.image.images import image_query
from gobelin.data.mesh.meshes import mesh_query
from gobelin.data.read import read
from gobelin.data.sound.sounds import sound_query
from gobelin.data.volume.files import volume_query
from gobelin.generation.image_rows import mask_image, source_image

LONGEST = 5.0  # seconds before a reader counts as waiting


def refusal(path: Path, call: Callable[[], object]) -> str:
    """The line of the error. A reader that still waits is let go and fails the test."""
    said: list[str] = []

    def tried() -> None:
        try:
            call()
        except (GobelinError, BadCell) as error:
            said.append(str(error))

    thread = threading.Thread(target=tried, daemon=True)
    thread.start()
    thread.join(LONGEST)
    if thread.is_alive():
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    assert said, "it waited, or nothing was refused"
    assert "\n" not in said[0]
    return said[0]


def test_what_is_special(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").write_text("a")
    assert special(tmp_path / "pipe") == special(tmp_path / "link") == "a pipe"
    assert special(Path("/dev/null")) == "a device"
    assert [special(tmp_path / name) for name in ("", "file", "none", "a\0")] == [""] * 4


@pytest.mark.parametrize(
    "name", ["x.csv", "x.tsv", "x.parquet", "x.pq", "x.jsonl", "x.ndjson", "x"]
)
def test_data_that_is_a_pipe_is_one_line(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    line = refusal(tmp_path / name, lambda: read(tmp_path / name))
    assert line == f"{tmp_path / name}: is a pipe, no regular file. Write it to a file first."


def test_data_that_is_a_socket_or_a_device_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as place:
        place.bind("x.csv")
        assert "is a socket" in refusal(Path("x.csv"), lambda: read("x.csv"))
    Path("y.csv").symlink_to("/dev/zero")
    assert "is a device" in refusal(Path("y.csv"), lambda: read("y.csv"))


FIELD = Field("a", "image", ("a",), "image")
OPENERS: dict[str, Callable[[Path], object]] = {
    "cell": lambda path: cell_path(path.name, path.parent),
    "bytes": file_bytes,
    "json": parse.json_file,
    "toml": parse.toml_file,
    "recipe": recipe,
    "image query": lambda path: image_query(str(path), FIELD),
    "sound query": lambda path: sound_query(str(path), FIELD),
    "mesh query": lambda path: mesh_query(str(path), FIELD),
    "volume query": lambda path: volume_query(str(path), FIELD),
    "source": lambda path: source_image(path, (8, 8, 3)),
    "mask": lambda path: mask_image(path, (8, 8, 3), (8, 8)),
}


@pytest.mark.parametrize("name", sorted(OPENERS))
def test_a_pipe_in_the_place_of_another_file_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    os.mkfifo(path)
    line = refusal(path, lambda: OPENERS[name](path))
    assert "is a pipe" in line
    missing = tmp_path / "none.json"
    if name not in ("json", "toml"):  # their callers tell a missing file
        assert "no such" in refusal(missing, lambda: OPENERS[name](missing))


def test_a_table_that_names_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,y\na.png,1\n")
    assert read(tmp_path / "t.csv").table["image"] == pa.chunked_array([["a.png"]])
    with pytest.raises(BadCell, match="is a pipe"):
        cell_path("a.png", tmp_path)
