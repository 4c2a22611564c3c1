"""kill -9 at random moments, the same command again: it continues, and ends with the findings of a run that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from presets import SETS, as_options  # noqa: E402

KILLS = 20


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gobelin", "demo", "--sample", "shapes", "--run", str(folder), *as_options(SETS)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def findings(folder: Path) -> str:
    return (folder / "findings.jsonl").read_text(encoding="utf-8")


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    left_alone = start(tmp_path / "alone")
    assert left_alone.communicate()[1] is not None and left_alone.returncode == 0
    rng, kills = random.Random(7), 0
    while kills < KILLS:
        work = start(tmp_path / "killed")
        try:
            work.wait(timeout=rng.uniform(1.5, 7.0))
        except subprocess.TimeoutExpired:
            os.killpg(work.pid, signal.SIGKILL)
            kills += 1
        errors = work.communicate()[1].decode()
        assert work.returncode in (0, -signal.SIGKILL), errors
        if work.returncode == 0:  # finished before the kill: the rest of the kills hit a run that starts anew
            assert findings(tmp_path / "killed") == findings(tmp_path / "alone")
            (tmp_path / "killed").rename(tmp_path / f"finished-{kills}")
    last = start(tmp_path / "killed")
    errors = last.communicate()[1].decode()
    assert last.returncode == 0, errors
    assert findings(tmp_path / "killed") == findings(tmp_path / "alone")
    assert not list((tmp_path / "killed").glob("**/.writing-*"))
