"""What the trainings of a run's generator left in the run folder. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.files import read_json, read_lines
from gobelin.core.stages import right_values
from gobelin.privacy.guarantee import Guarantee
from gobelin.workbench.run.generator import RunGenerator


def trained_steps(generator: RunGenerator) -> int:
    """The number of steps of the training of seed 0; 0 where there is none, or one of a version
    that did not record it with the training.
    """
    with right_values(_stage(generator)):
        return int(_stored(generator).get("steps", 0))


def promise(generator: RunGenerator) -> Guarantee | None:
    """What the training of seed 0 promises of the training rows; None where it is not private,
    or where there is none.
    """
    with right_values(_stage(generator)):
        stored = _stored(generator).get("promise")
        return Guarantee.from_dict(stored) if stored else None


def _stored(generator: RunGenerator) -> Mapping[str, Any]:
    """What the training of seed 0 recorded; nothing where there is none."""
    return read_json(_stage(generator) / "space.json") if generator.trained else {}


def _stage(generator: RunGenerator, seed: int = 0) -> Path:
    return generator.folder.folder / generator.stage(seed)


def grids(generator: RunGenerator, most: int = 4) -> list[tuple[int, str]]:
    """[(step, path in the run folder)] of grids of images that the training of seed 0 painted:
    at most `most`, spread over the training, the last one among them.
    """
    folder = f"{generator.stage(0)}/samples"
    names = [p.stem for p in (generator.folder.folder / folder).glob("*.png")]
    steps = sorted(int(name) for name in names if name.isdecimal())
    places = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
    return [(steps[k], f"{folder}/{steps[k]}.png") for k in places] if steps else []


def curves(generator: RunGenerator) -> dict[int, dict[int, float | None]]:
    """{seed: {step: held-out score}} of the trained generators; lower is better."""
    out: dict[int, dict[int, float | None]] = {}
    for seed in range(generator.settings.seeds):
        stage = _stage(generator, seed)
        rows = read_lines(stage / "samples/held_out.jsonl")
        with right_values(stage):
            out |= {seed: {int(row["step"]): row["held_out"] for row in rows}} if rows else {}
    return out
