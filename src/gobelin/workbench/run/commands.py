"""Commands that messages recommend."""

from __future__ import annotations

import shlex

from gobelin.workbench.run.folder import Artefacts


def fit_command(made: Artefacts, generator: bool = False) -> str:
    """The command that fits this run, ready for a shell."""
    data, name = made.settings.data, made.settings.generator.name
    folder = made.run.folder
    words = [
        "gobelin",
        "fit",
        data.path or "DATA",
        "--target",
        data.target or "COLUMN",
        "--run",
        str(folder),
    ]
    words += ["--recipe", str(folder / "settings.json")]  # with the run's own settings
    return shlex.join([*words, *(["--generator", name] if generator else [])])
