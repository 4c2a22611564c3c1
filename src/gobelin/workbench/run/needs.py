"""What a verb needs of a run, and the command that makes it."""

from __future__ import annotations

from gobelin.core.errors import GobelinError
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.encoders import stage_of
from gobelin.workbench.run.space import INDEX


def data(run: Run, verb: str) -> None:
    """Refuses a run that was saved without its data."""
    if run.folder.saved:
        raise GobelinError(
            f"{run.folder.folder}: was saved without its data, which {verb} needs. Use the run it"
            " was saved from."
        )


def predictor(run: Run) -> Run:
    """Refuses a run without a predictor or with an encoder lost. The run with its fusion chosen,
    where 'all' was asked for."""
    folder = run.folder.folder
    if not run.folder.has("model"):
        raise GobelinError(f"{folder}: has no predictor yet. Run {fit_command(run)}.")
    lost = [f.name for f in run.data.schema.fields if not run.folder.has(stage_of(f))]
    if lost:
        raise GobelinError(
            f"{folder}: has no encoder of {', '.join(lost)} any more. Run {fit_command(run)}."
        )
    return run.with_fusion_chosen()


def index(run: Run, verb: str) -> Run:
    """Refuses a run that can't be searched."""
    if not (run.folder.folder / INDEX).is_dir():
        data(run, verb)
    return predictor(run)


def generator(run: Run) -> Run:
    """Refuses a run without a trained generator. The run with the generator's steps decided."""
    run = predictor(run)
    _ = run.generator.field
    if not run.generator.trained:
        raise GobelinError(
            f"{run.folder.folder}: has no trained generator. Run {fit_command(run, True)}."
        )
    return run.with_steps_decided()
