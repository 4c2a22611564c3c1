"""kill -9 at random moments, the same command again: it continues, and ends with the findings of a
run that was left alone."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from forking import server_with
from killed_demo import work


def findings(folder: Path) -> str:
    return (folder / "findings.jsonl").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """A process that has loaded everything and does nothing but fork: a child begins at once."""
    return server_with(
        "gobelin.interfaces.cli", "gobelin.workbench.generate.condition_match", "killed_demo"
    )


@pytest.mark.parametrize("most", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_change_nothing(most: int, tmp_path: Path, server: ForkServerContext) -> None:
    def start(folder: str) -> BaseProcess:
        child = server.Process(target=work, args=(tmp_path / folder, tmp_path / "errors"))
        child.start()
        return child

    def finished(child: BaseProcess) -> BaseProcess:
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL), (tmp_path / "errors").read_text()
        return child

    begun = time.monotonic()
    assert finished(start("alone")).exitcode == 0
    whole, rng, kills, stages, patience = time.monotonic() - begun, random.Random(7), 0, 0, 1
    while kills < most:
        child = start("killed")
        child.join(rng.uniform(0.02, 0.12) * whole * patience)
        if child.exitcode is None:
            os.kill(child.pid or 0, signal.SIGKILL)
            kills += 1
        if (
            finished(child).exitcode == 0
        ):  # finished before the kill: the rest of the kills hit a run that starts anew
            assert findings(tmp_path / "killed") == findings(tmp_path / "alone")
            (tmp_path / "killed").rename(tmp_path / f"finished-{kills}")
        before, stages = stages, len(list((tmp_path / "killed").rglob("stage.json")))
        patience = (
            patience + 1 if stages == before else 1
        )  # a stage that is longer than this gets further the next time
    assert finished(start("killed")).exitcode == 0
    assert findings(tmp_path / "killed") == findings(tmp_path / "alone")
    assert not list((tmp_path / "killed").glob("**/.writing-*"))
