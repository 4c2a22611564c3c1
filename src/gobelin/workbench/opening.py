"""A run as a workbench begins or opens it: the settings of a start beside those of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress
from gobelin.core.shell import shell_word
from gobelin.core.stages import RunFolder
from gobelin.core.stored_settings import portable
from gobelin.data.dataset import Dataset
from gobelin.data.read import read, refuse_missing
from gobelin.data.tables.frames import TableLike
from gobelin.data.tables.hub_datasets import hub_name
from gobelin.embedding.columns.schema import restored
from gobelin.workbench.run import replay
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.settings import Settings, reopened, upgraded
from gobelin.workbench.save import disclosure, saved_run
from gobelin.workbench.save.places import names_of


def begun(
    data: str | Path | Dataset | TableLike,
    target: str | None,
    run: str | Path,
    settings: Mapping[str, Any] | None,
    progress: Progress,
) -> Run:
    """The run of a data set in a new folder, or in that of an earlier start, whose decisions stay.
    The arguments are those of `Workbench`.
    """
    folder, values = RunFolder(Path(run)), upgraded(config.nested(settings or {}))
    if not isinstance(data, str | Path | Dataset):
        data = read(data, values.get("data", {}).get("root") or None)
    given = data if isinstance(data, Dataset) else None
    if given is None and not hub_name(str(data)):
        refuse_missing(Path(str(data)))  # before anything that takes long is loaded
    path = given.source if given is not None else str(Path(str(data)).resolve())
    named = {"path": path, **({"target": target} if target else {})}
    values = config.merge(values, {"data": {**named, "fingerprint": "", "parts": ""}})
    if folder.saved:
        raise GobelinError(f"{run}: is a saved run, which can't be fitted. Choose another --run.")
    if folder.exists():
        values = replay.replayed(replay.stored(folder), values)
    built = config.build(Settings, values)
    complete = replace(built.completed(), runtime=built.runtime.resolved())
    return Run.of(folder, complete, progress, given)


def opened(run: str | Path, progress: Progress, settings: Mapping[str, Any] | None) -> Run:
    """A finished run, or a saved one. settings: replace stored ones. GobelinError for a folder that
    is no run.
    """
    folder = RunFolder(Path(run))
    if folder.saved:
        saved_run.check(folder.folder)
    if not folder.exists():
        raise GobelinError(
            f"{run}: is not a run folder (no settings.json). Make one with gobelin fit DATA"
            f" --run {shell_word(str(run))}."
        )
    settings = upgraded(config.nested(settings or {}))
    stored = replay.stored(folder)
    if folder.saved:
        known = restored(folder.stored("schema.json"), folder.folder / "schema.json")
        stored = portable(stored, names_of(known))
    if settings:
        values = config.merge(replay.without_replaced(stored, settings), settings)
        built = config.build(Settings, values, "settings").completed()
    else:
        built = reopened(folder.folder, stored, f"{run}/settings.json")
    if folder.saved:
        built = replace(built, runtime=built.runtime.here())
        disclosure.warn(folder)
    return Run.of(folder, built, progress)


def make_base_space(run: Run) -> None:
    """Make the space of the run that `align.base` names, where that run has not needed it yet."""
    if not run.settings.align.base:
        return
    base = RunFolder(Path(run.settings.align.base))
    if base.has("model") and not base.has("alignment"):
        _ = opened(base.folder, run.data.progress, None).space.alignment
