"""Saved runs from a folder or from the hub, and back to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gobelin.core import hub
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.workbench import save
from gobelin.workbench.bench import Workbench


def from_pretrained(
    name: str | Path,
    revision: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Workbench:
    """A saved run to predict and generate with: a folder, or OWNER/REPOSITORY on the hub, which is
    downloaded unless there is a folder of that name. revision: a branch, tag or commit there.
    settings: over the saved ones.

    Raises a GobelinError of one line for a folder that isn't there, isn't a saved run, was changed,
    or holds code or pickles, and MissingExtra for a repository without huggingface_hub."""
    folder = Path(name).expanduser()
    if not folder.is_dir() and hub.is_id(str(name)):
        folder = hub.snapshot(str(name), save.PATTERNS, revision)
    elif not folder.is_dir():
        raise GobelinError(
            f"{name}: no such folder, and no OWNER/REPOSITORY. Give the folder of a saved run."
        )
    if not RunFolder(folder).saved:
        save.check(folder)  # says what is missing; a saved run is looked over when it is opened
    return Workbench.open(folder, progress, settings)


def push_to_hub(source: Workbench | str | Path, repo_id: str, private: bool = True) -> str:
    """Send a saved run's folder, or a run, to OWNER/REPOSITORY on the hub, made if it isn't there;
    its address."""
    bench = source if isinstance(source, Workbench) else Workbench.open(source)
    return bench.push_to_hub(repo_id, private)
