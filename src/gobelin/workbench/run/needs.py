"""The parts of a run that a verb needs. An error names the command that makes a missing part."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from gobelin.core.errors import GobelinError
from gobelin.core.stages import WRONG_VALUES
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.encoders import stage_of
from gobelin.workbench.run.row_index import INDEX

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class OnARun(Protocol):
    """What has verbs on a run."""

    run: Run


Bench = TypeVar("Bench", bound=OnARun)


def usable_values(
    verb: Callable[Concatenate[Bench, Given], Answer],
) -> Callable[Concatenate[Bench, Given], Answer]:
    """The verb, which ends in one line where a saved run holds values that load and can't be used:
    they may be a stranger's. In a run of one's own such an error keeps its traceback.
    """

    @functools.wraps(verb)
    def answer(bench: Bench, /, *args: Given.args, **options: Given.kwargs) -> Answer:
        try:
            return verb(bench, *args, **options)
        except GobelinError:
            raise
        except WRONG_VALUES as error:
            folder = bench.run.folder
            if not folder.saved:
                raise
            raise GobelinError(
                f"{folder.folder}: holds values that can't be used"
                f" ({type(error).__name__}: {error}). Save the run again."
            ) from error

    return answer


def data(run: Run, verb: str, other: str = "") -> None:
    """Raises GobelinError for a run that was saved without its data. other: what else helps."""
    if run.folder.saved:
        raise GobelinError(
            f"{run.folder.folder}: was saved without its data, which {verb} needs. Use the run"
            f" that it was saved from{other}."
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
        data(run, verb, ", or save that with --index")
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
