"""What can happen to a command from outside: a signal, a removed run folder, a clock that is set
back, memory that is used up. One line, the exit code, and a run that goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest
import torch
from forking import server_with
from killed_commands import backwards, short_of_memory, work
from killed_demo import LESS
from presets import SETS, as_options

from gobelin.core.errors import outside_cause
from gobelin.data.samples.shapes import Shapes

STOPPED = "Stopped. The same command continues from what was finished."
SIGNALS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    return server_with(
        "gobelin.workbench.run.settings", "gobelin.interfaces.cli", "killed_commands"
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Shapes(rows=60).write(tmp_path_factory.mktemp("stopped") / "data", seed=0)


def fit(data: Path, run: Path) -> list[str]:
    sets = [*SETS, *LESS, "runtime.threads=2", "align.steps=5"]
    return ["fit", str(data), "--target", "shape", "--run", str(run), *as_options(sets)]


def ended(
    server: ForkServerContext, words: list[str], errors: Path, at: int = 0, event: str = "SIGKILL"
) -> tuple[int | None, str]:
    child = server.Process(target=work, args=(words, at, errors, event))
    child.start()
    child.join()
    return child.exitcode, errors.read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def alone(data: Path, server: ForkServerContext) -> str:
    run = data.parent / "alone"
    assert ended(server, fit(data, run), data.parent / "errors")[0] == 0
    return (run / "findings.jsonl").read_text(encoding="utf-8")


def test_a_signal_stops_and_the_same_command_continues(
    data: Path, alone: str, tmp_path: Path, server: ForkServerContext
) -> None:
    """At a file that becomes final, while worker threads decode, and near the end."""
    words = fit(data, tmp_path / "run")
    for name, at in zip(SIGNALS, (3, 40, 25), strict=False):
        code, said = ended(server, words, tmp_path / "errors", at, name)
        assert (code, said) == (128 + getattr(signal, name), STOPPED), at
        assert not list(tmp_path.rglob(".writing-*"))
    assert ended(server, words, tmp_path / "errors")[0] == 0
    assert (tmp_path / "run" / "findings.jsonl").read_text(encoding="utf-8") == alone


def test_a_removed_run_folder_is_one_line(
    data: Path, alone: str, tmp_path: Path, server: ForkServerContext
) -> None:
    """Before anything but cached features is in it, the run is made whole; later it is one line."""
    codes = set()
    for at in (70, 100, 130, 160):
        run = tmp_path / str(at)
        run.mkdir()
        code, said = ended(server, fit(data, run), tmp_path / "errors", at, str(run))
        codes.add(code)
        if code == 2:
            *before, line = said.splitlines()
            assert "was removed" in line or "No such file" in line, said
            assert all("fewer than 10 training rows" in warning for warning in before), said
        else:
            assert code == 0 and (run / "settings.json").is_file()
            assert (run / "findings.jsonl").read_text(encoding="utf-8") == alone
    assert 2 in codes


def test_no_finding_depends_on_the_clock(
    data: Path, alone: str, tmp_path: Path, server: ForkServerContext
) -> None:
    """Every look at the clock finds it an hour earlier, and all files come from the future."""
    copy = Path(shutil.copytree(data.parent, tmp_path / "data"))
    for path in copy.rglob("*"):
        os.utime(path, (4e9, 4e9))
    words = fit(copy / data.name, tmp_path / "run")
    child = server.Process(target=backwards, args=(words, tmp_path / "errors"))
    child.start(), child.join()
    assert child.exitcode == 0, (tmp_path / "errors").read_text()
    found = (tmp_path / "run" / "findings.jsonl").read_text(encoding="utf-8")
    assert found == alone


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is kept by Linux alone")
@pytest.mark.parametrize("megabytes", [0, 4])
def test_without_memory_it_is_one_line(
    megabytes: int, data: Path, tmp_path: Path, server: ForkServerContext
) -> None:
    """ulimit -v at what the loaded program has, and a little more: less than a buffer of OpenBLAS,
    which ends the process itself where it gets none."""
    words = fit(data, tmp_path / "run")
    child = server.Process(
        target=short_of_memory, args=(words, tmp_path / "errors", megabytes << 20)
    )
    child.start(), child.join()
    said = (tmp_path / "errors").read_text(encoding="utf-8").strip()
    assert child.exitcode in (0, 2), said
    if child.exitcode:
        assert "memory is used up" in said and "\n" not in said


def test_errors_that_come_from_outside_are_known() -> None:
    """As numpy, torch and the system raise them. Errors of Gobelin keep their tracebacks."""
    for use in (
        lambda: np.ones(1 << 50),
        lambda: torch.ones(1 << 50),
        lambda: bytearray(1 << 60),
        lambda: Path("/nowhere/x").read_bytes(),
        lambda: Path("/proc/self/mem").read_bytes(),
    ):
        try:
            use()
        except Exception as error:
            assert outside_cause(error), error
    for error in (
        KeyError("x"),
        ValueError("out of memory"),
        RuntimeError("shape"),
        OSError(9, "x"),
    ):
        assert outside_cause(error) is None


LOADING = """
import os, signal, sys
from importlib.abc import MetaPathFinder
class Sender(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == at:
            os.kill(os.getpid(), getattr(signal, event))
event, at, *sys.argv[1:] = sys.argv[1:]
sys.meta_path.insert(0, Sender())
from gobelin.__main__ import start
start()
"""
TWICE = """
import os, signal
from gobelin.interfaces.stopping import Stopped, signals_raise
with signals_raise():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Stopped:
        os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    ("at", "words"),
    {
        "click": ["--help"],
        "pyarrow": ["show", "nowhere"],
        "pydantic": ["augment", "nowhere", "--ratio", "1"],
        "gobelin.interfaces.demo": ["demo"],
    }.items(),
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_signal_while_the_program_loads_is_one_line(at: str, words: list[str], name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOADING, name, at, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 128 + getattr(signal, name)
    said = [line for line in run.stderr.splitlines() if ", at work for " not in line]
    assert said == ["Stopped. Nothing was begun."] and not run.stdout  # beside signs of life


def test_a_second_signal_ends_it_at_once() -> None:
    run = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)
    assert run.returncode == 143 and run.stderr.startswith("Stopped at once. ")


REPLACED = """
import os, signal, sys
import torch
from gobelin.core.errors import GobelinError
from gobelin.interfaces.stopping import Stopped, signals_raise
from gobelin.interfaces.terminal import mistakes_told
class Numbers:
    def __len__(self):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        return 1
    def __getitem__(self, at):
        return 1.0
with mistakes_told(), signals_raise():
    try:
        try:
            torch.tensor(Numbers())
        except Stopped:
            raise ValueError("as a library in C does")
    except ValueError as error:
        raise {}("model: can't be read. Delete it.") from error
"""


@pytest.mark.parametrize("error", ["GobelinError", "ValueError", "OSError"])
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_a_library_replaced_blames_no_file(name: str, error: str) -> None:
    """torch makes an error of its own of what the handler of a signal raises."""
    words = [sys.executable, "-c", REPLACED.format(error), name]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 128 + getattr(signal, name)
    assert run.stderr.strip() == STOPPED
