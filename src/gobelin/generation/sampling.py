"""From rows and queries to conditions, from a sampler to PNG files that say what they were made
from."""

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
    how: Generation,
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
    component = catalog.build("generators", how.name, how.settings)
    context = Context(runtime_with(runtime, seed), folder, steps, progress, how.patience)
    return component.fit(rows, valid, context)


def runtime_with(runtime: Runtime, seed: int) -> Runtime:
    return Runtime(seed, runtime.device, runtime.precision, runtime.threads)


def save(sampler: Sampler, how: Generation, space: str, folder: Path) -> None:
    sampler.save(folder)
    write_json(
        folder / "space.json",
        {"space": space, "generator": how.name, "settings": dict(how.settings)},
    )


def keep_samples(sampler: Sampler, work: Path, folder: Path) -> None:
    """What was seen while it trained in `work`, into folder/samples: grids of images, STEP.png, and
    scores, held_out.jsonl."""
    looks = [line for line in getattr(sampler, "history", ()) if "held_out" in line]
    if looks:
        (folder / "samples").mkdir()
        write_lines(folder / "samples" / "held_out.jsonl", looks)
        for path in sorted((work / "samples").glob("*.png")):
            shutil.copyfile(path, folder / "samples" / path.name)


def load(
    folder: Path, runtime: Runtime, over: Mapping[str, Any] | None = None
) -> tuple[Sampler, str, str]:
    """The sampler, its component's name, and the fingerprint of the space that it was trained in.
    over: settings that stand over the saved ones, for a component that asks where its files are
    now."""
    said = read_json(folder / "space.json")
    component = catalog.build("generators", said["generator"], {**said["settings"], **(over or {})})
    return component.load(folder, runtime), said["generator"], said["space"]


def sample(
    sampler: Sampler,
    name: str,
    space: str,
    wanted: Condition,
    seeds: Sequence[int],
    controls: Controls,
    progress: Progress = silent,
) -> Iterator[np.ndarray]:
    """Blocks of uint8 [n, H, W, C], after the one check of the condition."""
    check_condition(name, sampler, wanted, seeds, space)
    done = 0
    for block in sampler.sample(wanted, seeds, controls):
        done += len(block)
        progress("make images", done, len(seeds))
        yield block


def write(
    blocks: Iterator[np.ndarray],
    names: Iterable[str],
    lineage: Iterable[Mapping[str, Any]],
    folder: Path,
) -> list[str]:
    """PNG files with their provenance, written as they come; their file names."""
    written: list[str] = []
    pixels = (image for block in blocks for image in block)
    for image, name, said in zip(pixels, names, lineage, strict=True):
        save_png(folder / f"{name}.png", image, said)
        written.append(f"{name}.png")
    return written
