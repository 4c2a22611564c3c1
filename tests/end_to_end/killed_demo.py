"""The demo that `test_kill` kills, in a module that a child process can import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from presets import SETS, as_options

LESS = [
    "generator.steps=20",
    "generator.settings.prior_width=64",
    "augment.seeds=2",
    "align.steps=20",
    "fusion.settings.steps=60",
    "encoders.image.name=pixels",
    "encoders.text.name=characters",
    "judge.planted=28",
]


def work(folder: Path, errors: Path) -> None:
    """In a child: the command `gobelin demo` on fewer shapes; the images made are judged by the
    closed form."""
    from gobelin.core import catalog
    from gobelin.interfaces.cli import main
    from gobelin.quality.probes import IndependentEncoder

    os.setsid()
    with errors.open("wb") as file:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1), os.dup2(file.fileno(), 2)
    build = catalog.build

    def fewer(slot: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:
        return build(slot, name, {"rows": 160} if slot == "samples" else settings)

    def beside(schema: object, runtime: object, kind: str) -> IndependentEncoder:
        return IndependentEncoder("pixels", build("encoders", "pixels").fit([], None, {}, runtime))

    catalog.build, IndependentEncoder.choose = fewer, staticmethod(beside)  # type: ignore[assignment, method-assign]
    main(["demo", "--sample", "shapes", "--run", str(folder), *as_options(SETS + LESS)])
