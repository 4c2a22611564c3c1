"""Commands that error messages recommend."""

from __future__ import annotations

from gobelin.core.shell import shell_line
from gobelin.workbench.run.chain import Run


def fit_command(run: Run, generator: bool = False) -> str:
    """The command that fits this run, ready for a shell."""
    data, folder = run.settings.data, run.folder.folder
    words = ["gobelin", "fit", data.path or "DATA"]
    words += ["--target", data.target or "COLUMN", "--run", str(folder)]
    words += ["--recipe", str(folder / "settings.json")]  # the settings of the run
    words += ["--generator", run.settings.generator.name] if generator else []
    return shell_line(words)
