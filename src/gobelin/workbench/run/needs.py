"""The parts of a run that a verb needs. An error names the command that makes a missing part."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gobelin.core.errors import GobelinError, UnusableValue, outside_cause
from gobelin.core.stages import WRONG_VALUES, RunFolder
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.encoders import stage_of
from gobelin.workbench.run.row_index import INDEX

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Class = TypeVar("Class")
FROM_DATA = ("check", "fit")  # verbs that make a run: what they meet is data, not the run's files


def usable_values(cls: type[Class]) -> type[Class]:
    """The class of verbs, each of which but `FROM_DATA` ends in one line where it meets a value
    that it can't use: the files of the run may be a stranger's. --verbose prints the traceback.
    """
    for name, verb in list(vars(cls).items()):
        if inspect.isfunction(verb) and not name.startswith("_") and name not in FROM_DATA:
            setattr(cls, name, _one_line(verb))
    return cls


def _one_line(verb: Callable[Given, Answer]) -> Callable[Given, Answer]:
    @functools.wraps(verb)
    def answer(*args: Given.args, **options: Given.kwargs) -> Answer:
        try:
            return verb(*args, **options)
        except GobelinError:
            raise
        except WRONG_VALUES as error:
            if outside_cause(error):
                raise
            folder: RunFolder = args[0].run.folder  # type: ignore[attr-defined]
            again = "Save the run" if folder.saved else "Run gobelin fit"
            raise UnusableValue(
                f"{folder.folder}: {verb.__name__} ended in {type(error).__name__} ({error}). A"
                " file of this folder holds a value that Gobelin doesn't write, or this is a"
                f" mistake of Gobelin. {again} again, or report what --verbose prints."
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
