"""The parts of a run that a verb needs. An error names the command that makes a missing part."""

from __future__ import annotations

from gobelin.core.errors import GobelinError
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.encoders import stage_of
from gobelin.workbench.run.space import INDEX


def data(run: Run, verb: str) -> None:
    """Raises GobelinError for a run that was saved without its data."""
    if run.folder.saved:
        raise GobelinError(
            f"{run.folder.folder}: was saved without its data, which {verb} needs. Use the run"
            " that it was saved from."
        )


def predictor(run: Run) -> Run:
    """The run with its fusion chosen. Raises GobelinError for a run without a predictor or without
    one of its encoders.
    """
    folder = run.folder.folder
    if not run.folder.has("model"):
        raise GobelinError(f"{folder}: has no predictor yet. Run {fit_command(run)}.")
    lost = [f.name for f in run.data.schema.fields if not run.folder.has(stage_of(f))]
    if lost:
        raise GobelinError(
            f"{folder}: has lost the encoder of {', '.join(lost)}. Run {fit_command(run)}."
        )
    return run.with_fusion_chosen()


def index(run: Run, verb: str) -> Run:
    """The run with its fusion chosen. Raises GobelinError for a run that can't be searched."""
    if not (run.folder.folder / INDEX).is_dir():
        data(run, verb)
    return predictor(run)


def generator(run: Run) -> Run:
    """The run with its generator's steps decided; GobelinError without a trained generator."""
    run = predictor(run)
    _ = run.generator.field
    if not run.generator.trained:
        raise GobelinError(
            f"{run.folder.folder}: has no trained generator. Run {fit_command(run, True)}."
        )
    return run.with_steps_decided()
