"""Train a generator, save and load its sampler, sample from it, write its images.

The images are PNG files that carry their provenance: model, condition, seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import within
from gobelin.core.files import read_json, write_json, write_lines
from gobelin.core.machine import Progress, Runtime, silent
from gobelin.data.provenance import save_png
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    ImageRows,
    Sampler,
    check_condition,
)
from gobelin.networks.watching import PATIENCE


@dataclass(frozen=True)
class Generation:
    """The run's generator. name: a component. minutes: training budget, turned into a count of
    steps once. steps: that count, 0 = measure it from the minutes. guidance: pull towards the
    condition when it samples. size: side of the images in pixels. seeds: how many times it is
    trained, each from another seed. patience: looks (of 12 at most) without a better held-out score
    after which training stops, 0 = never; the best weights are kept either way (the GANs' score, of
    colours in coarse cells, is only drawn). source: the image column that a made image starts from,
    '' = none; the generator learns to make the other image column from it. settings: the
    component's own."""

    name: str = "vaegan"
    minutes: float = 1.0
    steps: int = 0
    size: int = 32
    seeds: int = 1
    patience: int = PATIENCE
    guidance: float = 2.0
    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 256:
            raise ValueError(f"size = {self.size}, from 16 to 256 was expected")
        if self.minutes <= 0 or self.seeds < 1 or self.steps < 0:
            raise ValueError(
                f"minutes = {self.minutes}, seeds = {self.seeds}, steps = {self.steps}: must be"
                " positive"
            )
        within(self, {"guidance": (0, 100), "seeds": (1, 100), "patience": (0, 1000)})


def train(
    settings: Generation,
    seed: int,
    rows: ImageRows,
    valid: ImageRows,
    folder: Path,
    runtime: Runtime,
    steps: int,
    progress: Progress = silent,
) -> Sampler:
    """Train a generator from one seed. `folder` holds its checkpoints and sample grids while it
    trains."""
    component = catalog.build("generators", settings.name, settings.settings)
    context = Context(runtime_with(runtime, seed), folder, steps, progress, settings.patience)
    return component.fit(rows, valid, context)


def runtime_with(runtime: Runtime, seed: int) -> Runtime:
    """The same with another seed."""
    return Runtime(seed, runtime.device, runtime.precision, runtime.threads)


def save(sampler: Sampler, settings: Generation, space: str, folder: Path) -> None:
    """The sampler into `folder`, with space.json: the fingerprint of its space, its component and
    the component's settings."""
    sampler.save(folder)
    write_json(
        folder / "space.json",
        {"space": space, "generator": settings.name, "settings": dict(settings.settings)},
    )


def keep_samples(sampler: Sampler, work: Path, folder: Path) -> None:
    """The grids of images and the held-out scores of a training in `work`, into folder/samples:
    STEP.png and held_out.jsonl."""
    scores = [line for line in getattr(sampler, "history", ()) if "held_out" in line]
    if scores:
        (folder / "samples").mkdir()
        write_lines(folder / "samples" / "held_out.jsonl", scores)
        for path in sorted((work / "samples").glob("*.png")):
            shutil.copyfile(path, folder / "samples" / path.name)


def load(
    folder: Path, runtime: Runtime, over: Mapping[str, Any] | None = None
) -> tuple[Sampler, str, str]:
    """The sampler, its component's name, and the fingerprint of the space that it was trained in.
    over: settings that replace saved ones, for a component whose files lie elsewhere now."""
    stored = read_json(folder / "space.json")
    settings = {**stored["settings"], **(over or {})}
    component = catalog.build("generators", stored["generator"], settings)
    return component.load(folder, runtime), stored["generator"], stored["space"]


def sample(
    sampler: Sampler,
    name: str,
    space: str,
    condition: Condition,
    seeds: Sequence[int],
    controls: Controls,
    progress: Progress = silent,
) -> Iterator[np.ndarray]:
    """Blocks of uint8 [n, H, W, C], after the one check of the condition."""
    check_condition(name, sampler, condition, seeds, space)
    done = 0
    for block in sampler.sample(condition, seeds, controls):
        done += len(block)
        progress("make images", done, len(seeds))
        yield block


def write(
    blocks: Iterator[np.ndarray],
    names: Iterable[str],
    lineage: Iterable[Mapping[str, Any]],
    folder: Path,
) -> list[str]:
    """Write PNG files with their provenance as they come. -> their file names."""
    written: list[str] = []
    pixels = (image for block in blocks for image in block)
    for image, name, origin in zip(pixels, names, lineage, strict=True):
        save_png(folder / f"{name}.png", image, origin)
        written.append(f"{name}.png")
    return written
