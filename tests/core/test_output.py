"""Files that a user names, as a shell's `>` leaves them. Oracle: what was there before, and what a
reader of the pipe or terminal gets."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.output import is_standard_output, output_file, output_folder


def written(path: Path, text: str = "new") -> None:
    with output_file(path) as temporary:
        temporary.write_text(text)


def refused(path: Path, wanted: str) -> None:
    with pytest.raises(GobelinError, match=wanted) as caught:
        written(path)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        got: list[str] = []
        take = lambda: got.append((tmp_path / "pipe").read_text())  # noqa: B023, E731
        reader = threading.Thread(target=take, daemon=True)
        reader.start()
        written(tmp_path / name)
        reader.join(20)
        assert got == ["new"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "link").is_symlink() and len(list(tmp_path.iterdir())) == 2


def test_a_device_is_written_into() -> None:
    """A pseudo terminal in the place of /dev/null."""
    ours, theirs = os.openpty()
    path = Path(os.ttyname(theirs))
    before = path.stat()
    written(path)
    assert os.read(ours, 10) == b"new" and path.stat().st_rdev == before.st_rdev
    os.close(ours), os.close(theirs)


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("old")
    links = {"to_file": "real/file", "to_missing": "real/later", "folder": "real"}
    for name, place in links.items():
        (tmp_path / name).symlink_to(place)
    (tmp_path / "to_link").symlink_to(tmp_path / "to_file")
    for name in ("to_file", "to_missing", "to_link", "folder/third"):
        written(tmp_path / name, name)
    assert {p.name: p.read_text() for p in (tmp_path / "real").iterdir()} == {
        "file": "to_link",
        "later": "to_missing",
        "third": "folder/third",
    }
    assert all((tmp_path / name).is_symlink() for name in (*links, "to_link"))


def test_other_names_and_permissions_stay(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("older and longer")
    os.link(file, other)
    file.chmod(0o604)
    written(file)
    assert other.read_text() == "new" and file.samefile(other)
    other.unlink()
    written(file, "alone")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604 and file.read_text() == "alone"
    if hasattr(os, "setxattr"):
        try:
            os.setxattr(file, "user.note", b"kept")
        except OSError:
            return  # this disk has none
        written(file)
        assert os.getxattr(file, "user.note") == b"kept"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_owner_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    os.chown(tmp_path / "file", 12345, 12345)
    written(tmp_path / "file")
    found = (tmp_path / "file").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12345)
    assert (tmp_path / "file").read_text() == "new"


def test_what_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone/file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_folder").symlink_to("folder")
    refused(tmp_path / "folder", "is in the way")
    refused(tmp_path / "to_folder", "is in the way")
    refused(tmp_path / "loop", "can't be written")
    refused(tmp_path / "nowhere", "leads to a folder that isn't there")
    refused(Path("/dev/fd/987"), "can't be written")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        refused(tmp_path / "socket", "can't be written")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "folder",
        "loop",
        "nowhere",
        "socket",
        "to_folder",
    ]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o444)
    refused(tmp_path / "file", "can't be written")
    assert (tmp_path / "file").read_text() == "old"


def test_after_an_error_nothing_was_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    os.link(tmp_path / "file", tmp_path / "hard")
    for name in ("file", "link", "hard", "later"):
        with pytest.raises(ZeroDivisionError), output_file(tmp_path / name) as temporary:
            temporary.write_text("half")
            _ = 1 / 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "hard", "link"]
    assert (tmp_path / "file").read_text() == "old"


def test_an_export_fills_the_folder_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o750)
    (tmp_path / "link").symlink_to("real")
    with output_folder(tmp_path / "link") as temporary:
        (temporary / "file").write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "file").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o750


PROGRAM = """
import sys
from pathlib import Path
from gobelin.core.output import is_standard_output, output_file
for name in sys.argv[1:]:
    with output_file(Path(name)) as temporary:
        temporary.write_text(name + chr(10))
    print(is_standard_output(Path(name)), file=sys.stderr)
"""


def test_the_standard_output_is_written_on(tmp_path: Path) -> None:
    """A file that the shell opened keeps what stands before and takes what comes after."""
    names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "other")]
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before\n"), file.flush()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *names], stdout=file, stderr=subprocess.PIPE, text=True
        )
        file.write(b"after\n")
    assert done.stderr.split() == ["True", "True", "True", "False"]
    assert (tmp_path / "file").read_text().split() == ["before", *names[:3], "after"]
    assert not is_standard_output(tmp_path / "file")


LIMITED = """
import resource
from pathlib import Path
from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.core.output import output_file
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for name, write in (("one", output_file), ("two", None)):
    try:
        if write is None:
            write_json(Path(name), "x" * 9000)
        else:
            with write(Path(name)) as temporary:
                temporary.write_bytes(bytes(9000))
    except GobelinError as error:
        print(error)
"""


def test_a_limit_of_file_sizes_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True
    )
    wanted = (
        "can't be written (File too large). Raise the limit (ulimit -f), or choose another disk."
    )
    assert done.stdout.splitlines() == [f"one: {wanted}", f"two: {wanted}"] and not done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_one_line() -> None:
    refused(Path("/dev/full"), "/dev/full: the disk is full")


def test_a_reader_of_a_pipe_that_goes_away_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(
        target=lambda: os.close(os.open(tmp_path / "pipe", os.O_RDONLY)), daemon=True
    )
    reader.start()
    with (
        pytest.raises(GobelinError, match="can't be written"),
        output_file(tmp_path / "pipe") as temporary,
    ):
        temporary.write_bytes(bytes(10**7))
