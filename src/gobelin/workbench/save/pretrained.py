"""Saved runs from a folder or from the hub, and back to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gobelin.core import hub
from gobelin.core.arguments import typed
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.workbench.bench import Workbench
from gobelin.workbench.save import saved_run


@typed()
def from_pretrained(
    name: str | Path,
    revision: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Workbench:
    """Open a saved run, to predict and generate with it.

    name: a folder, or OWNER/REPOSITORY on the hub, which is downloaded unless a folder has that
    name. revision: a branch, tag or commit on the hub. settings: replace saved ones. Raises
    GobelinError for a folder that does not exist, is no saved run, was changed, or holds code or
    pickles; MissingExtra for a repository without huggingface_hub.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir() and hub.is_id(str(name)):
        folder = hub.without_links(hub.snapshot(str(name), saved_run.PATTERNS, revision))
    elif not folder.is_dir():
        raise GobelinError(
            f"{name}: no such folder, and no OWNER/REPOSITORY. Give the folder of a saved run."
        )
    if not RunFolder(folder).saved:
        saved_run.check(folder)  # raises with what is missing; `open` checks a saved run
    return Workbench.open(folder, progress, settings)


@typed()
def push_to_hub(
    source: Workbench | str | Path, repo_id: str, private: bool = True, index: bool = False
) -> str:
    """Send a run, or the folder of a saved run, to OWNER/REPOSITORY on the hub; its address.

    index: with ids and shared vectors of the rows. Raises GobelinError for a saved run that has
    them where they are not asked for."""
    bench = source if isinstance(source, Workbench) else Workbench.open(source)
    return bench.push_to_hub(repo_id, private, index)
