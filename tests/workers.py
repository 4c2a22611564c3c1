"""The suite on several processes (pytest-xdist): all tests of a module go to one, so that its
fitted run is made once; what several modules use is made once behind a file lock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

LONGEST = ("end_to_end", "docs", "workbench", "generation", "prediction", "contracts")
"""Folders whose modules take minutes. They begin first, so that no process waits for the last."""


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, once for all processes. Tests read it, or change a copy of it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{name}.done")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts by LONGEST, otherwise leaves the order as it is."""
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(root).parts[0] if root in item.path.parents else ""
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=rank)


def scheduler(config: pytest.Config, log: object) -> object:
    """A module is one piece of work. A page of the docs is one too: it shares no fixture with
    another page but the data, which are `shared`."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.split("::", 1)[0]
            return nodeid if module.endswith("docs/test_blocks.py") else module

    config.option.loadscopereorder = False  # the order is that of `longest_first`
    return ByModule(config, log)
