"""No open file is left (`ulimit -n`). Oracle: the same use with the limit as it was, before and
after: nothing is blamed, removed, or set aside."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from torch.nn import Linear

from gobelin.core.errors import GobelinError, UsedUp, outside_cause, used_up
from gobelin.core.feature_cache import FeatureCache
from gobelin.core.files import load_arrays, mapped_arrays, read_json, save_arrays, write_text
from gobelin.core.stages import RunFolder
from gobelin.core.weights import config_of, loaded, save
from gobelin.data.files import cell_bytes, content_key, file_head, visible_files
from gobelin.data.read import read
from gobelin.interfaces.terminal import mistakes_told
from gobelin.networks.training.checkpoint import read_checkpoint, write_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")

USES: dict[str, Callable[[Path], object]] = {
    "the cache of features": lambda at: FeatureCache(at / "cache", 2).damaged,
    "arrays": lambda at: sorted(load_arrays(at / "arrays")),
    "mapped arrays": lambda at: sorted(mapped_arrays(at / "arrays")),
    "a stage": lambda at: RunFolder(at / "run").loaded("s", lambda stage: read_json(stage / "a")),
    "settings": lambda at: RunFolder(at / "run").stored("settings.json"),
    "a network": lambda at: config_of(at / "run", 1),
    "its weights": lambda at: loaded(
        at / "net", config_of(at / "net", 1), lambda: Linear(2, 1)
    ).bias.tolist(),
    "a checkpoint": lambda at: read_checkpoint(at / "checkpoint", "one"),
    "a cell": lambda at: cell_bytes("cell", at),
    "the content of a cell": lambda at: content_key("cell", at),
    "the first bytes of a cell": lambda at: file_head("cell", at),
    "the files of a folder": visible_files,
    "a table": lambda at: len(read(at / "table.csv")),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    save_arrays(tmp_path / "arrays", {"a": np.ones(3, np.float32)})
    for k in range(3):
        FeatureCache(tmp_path / "cache", 2).add([bytes([k]) * 16], np.ones((1, 2)))
    (tmp_path / "cell").write_bytes(b"abc")
    (tmp_path / "table.csv").write_text("a,b\n1,x\n2,y\n")
    with RunFolder(tmp_path / "run").making("s", "key") as stage:
        assert stage is not None
        (stage / "a").write_text("1")
    write_checkpoint(tmp_path / "checkpoint", "one", {"step": 3})
    save(tmp_path / "net", {}, Linear(2, 1), 1)
    for name in ("settings", "config"):
        (tmp_path / "run" / f"{name}.json").write_text('{"format": 1}')
    return tmp_path


@contextmanager
def no_file_left() -> Iterator[None]:
    import resource

    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def files(place: Path) -> list[str]:
    return sorted(str(path) for path in place.rglob("*"))


@pytest.mark.parametrize("use", USES)
def test_what_can_not_be_opened_for_want_of_files_is_not_blamed(use: str, place: Path) -> None:
    before, there = USES[use](place), files(place)
    with no_file_left():
        try:
            said = f"no error, {USES[use](place)}"
        except Exception as error:
            said = outside_cause(error) or f"{type(error).__name__}: {error}"
            said = str(error) if isinstance(error, UsedUp) else said
    assert "too many files are open" in said and "ulimit -n" in said
    assert files(place) == there and USES[use](place) == before


def test_writing_tells_it_too(place: Path) -> None:
    with no_file_left():
        try:
            write_text(place / "new", "text")
            said: Exception | None = None
        except GobelinError as error:
            said = error
    assert isinstance(said, UsedUp) and "ulimit -n" in str(said)
    assert not (place / "new").exists()


def test_the_line_at_the_end_of_a_command() -> None:
    """As the system, Rust and safetensors say it. Others are told as before."""
    for number in (errno.EMFILE, errno.ENFILE):
        line = outside_cause(OSError(number, os.strerror(number), "x"))
        assert line and "ulimit -n" in line
        assert outside_cause(RuntimeError(f"lance: x (os error {number})")) == line
        panic = type("PanicException", (BaseException,), {})  # as pyo3's, which is no Exception
        assert (
            outside_cause(panic(f'x: Os {{ code: {number}, kind: Uncategorized, m: "y" }}')) == line
        )
    for error in (
        OSError(errno.EACCES, "x"),
        ValueError("(os error 24)"),
        RuntimeError("(os error 240)"),
        GobelinError("(os error 24)"),
    ):
        assert used_up(error) is None


@pytest.mark.parametrize(
    "cause",
    [OSError(errno.EMFILE, "Too many open files"), RuntimeError("Too many open files (24)")],
)
def test_a_line_that_blames_a_file_is_not_told_for_it(
    cause: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever the line comes from: other code may forget to ask first."""
    with pytest.raises(SystemExit, match="^2$"), mistakes_told():
        try:
            raise ValueError from cause
        except ValueError as error:
            raise GobelinError("a.csv: is damaged. Delete it.") from error
    said = capsys.readouterr().err
    assert "too many files are open" in said and "a.csv" not in said
