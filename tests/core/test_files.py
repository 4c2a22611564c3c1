"""Links and special files in a folder. Oracles: the system's own links, pipes and sockets, and
files outside that must stay as they are."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gobelin import Workbench, from_pretrained
from gobelin.core import hub
from gobelin.core.errors import GobelinError
from gobelin.core.files import refuse_links
from gobelin.core.stages import RunFolder
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.kept_space import base_run

GOLDEN = Path(__file__).parents[1] / "golden"


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def wire(path: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "file": lambda path, outside: path.symlink_to(outside / "private.txt"),
    "folder": lambda path, outside: path.symlink_to(outside, target_is_directory=True),
    "relative": lambda path, outside: path.symlink_to(os.path.relpath(outside, path.parent)),
    "nowhere": lambda path, outside: path.symlink_to(outside / "none"),
    "itself": lambda path, _: path.symlink_to(path.name),
    "inside": lambda path, _: path.symlink_to("settings.json"),
    "pipe": pipe,
    "socket": wire,
}
PLACES = (
    "README.md",
    "verbs/augment",
    ".lock",
    "index/rows.lance/x",
    "method/0/outcome",
    ".hidden",
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside" / "augment").mkdir(parents=True)
    (tmp_path / "outside" / "private.txt").write_text("mine")
    return tmp_path / "outside"


def everything(folder: Path) -> dict[str, bytes | None]:
    paths = sorted(folder.rglob("*"))
    return {str(p): p.read_bytes() if p.is_file() else None for p in paths}


def refused(work: Callable[[], object], path: Path) -> None:
    with pytest.raises(GobelinError) as caught:
        work()
    assert str(caught.value).startswith(f"{path}: is a ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_a_link_or_a_special_file_is_refused(
    kind: str, place: str, outside: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run" / place
    path.parent.mkdir(parents=True)
    (tmp_path / "run" / "settings.json").write_text("{}")
    refuse_links(tmp_path / "run")
    before = everything(outside)
    KINDS[kind](path, outside)
    refused(lambda: refuse_links(tmp_path / "run"), path)
    refused(lambda: RunFolder(tmp_path / "run"), path)
    assert everything(outside) == before


def test_the_folder_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "run").mkdir(parents=True)
    (tmp_path / "disk" / "run" / "x").write_text("1")
    os.link(tmp_path / "disk" / "run" / "x", tmp_path / "disk" / "run" / "y")  # not seen, and said
    (tmp_path / "runs").symlink_to("disk")
    refuse_links(tmp_path / "runs" / "run")
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    refuse_links(tmp_path / "run")
    refuse_links(tmp_path / "none")
    (tmp_path / "disk" / "run" / "y").unlink()
    (tmp_path / "disk" / "run" / "y").symlink_to("x")  # one below it is seen through both
    for place in ("run", "runs/run"):
        with pytest.raises(GobelinError, match="is a link"):
            refuse_links(tmp_path / place)


def test_every_way_to_open_a_run_looks(outside: Path, tmp_path: Path) -> None:
    """The two attacks that were seen: a folder of findings that is a link, and a card that is."""
    run = shutil.copytree(GOLDEN / "run_folder", tmp_path / "run")
    data = shutil.copytree(GOLDEN / "data", tmp_path / "data")
    shutil.rmtree(run / "verbs")
    (run / "verbs").symlink_to(outside)
    saved = shutil.copytree(GOLDEN / "saved_run", tmp_path / "saved")
    (saved / "README.md").unlink()
    (saved / "README.md").symlink_to(outside / "private.txt")
    before = everything(outside)
    refused(lambda: Workbench.open(run), run / "verbs")
    refused(lambda: Workbench(data / "records.csv", "label", run), run / "verbs")
    refused(lambda: base_run(Align(base=str(run))), run / "verbs")
    refused(lambda: from_pretrained(saved), saved / "README.md")
    refused(lambda: Workbench.open(saved), saved / "README.md")
    refused(lambda: hub_push(saved), saved / "README.md")
    assert everything(outside) == before


def hub_push(folder: Path) -> object:
    import gobelin

    return gobelin.push_to_hub(folder, "somebody/model")


def test_a_snapshot_of_the_hub_becomes_files(outside: Path, tmp_path: Path) -> None:
    """The library keeps a snapshot as links to its blobs: those are copied, others refused."""
    repository = tmp_path / "models--somebody--model"
    snapshot = repository / "snapshots" / "0123abcd"
    (snapshot / "model").mkdir(parents=True)
    (repository / "blobs").mkdir()
    for name in ("settings.json", "model/config.json"):
        blob = repository / "blobs" / name.replace("/", "-")
        blob.write_text(name)
        (snapshot / name).symlink_to(os.path.relpath(blob, (snapshot / name).parent))
    plain = hub.without_links(snapshot)
    refuse_links(plain)
    assert (plain / "model" / "config.json").read_text() == "model/config.json"
    assert hub.without_links(snapshot) == plain and hub.without_links(plain) == plain
    (snapshot / "README.md").symlink_to(outside / "private.txt")
    shutil.rmtree(plain)
    with pytest.raises(GobelinError, match="leads out of the cache"):
        hub.without_links(snapshot)
    assert not plain.exists()
