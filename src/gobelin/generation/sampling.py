"""From rows and queries to conditions, from a sampler to PNG files that say what they were made
from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import setting, settings_class
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


@settings_class
class Generation:
    """Settings of the run's generator."""

    name: str = setting(default="vaegan", description="Generator component.")
    minutes: float = setting(
        default=1.0, gt=0, description="Training time in minutes. It sets the number of steps once."
    )
    steps: int = setting(
        default=0, ge=0, description="Training steps. 0 measures how many fit into the minutes."
    )
    size: int = setting(
        default=32, ge=16, le=256, description="Side of the generated images in pixels."
    )
    seeds: int = setting(
        default=1, ge=1, le=100, description="Number of trainings, each from another seed."
    )
    patience: int = setting(
        default=PATIENCE,
        ge=0,
        le=1000,
        description="Evaluations without a better held-out score that end training. 0 never ends.",
    )
    guidance: float = setting(
        default=2.0, ge=0, le=100, description="Pull towards the condition. 1 is as learned."
    )
    source: str = setting(
        default="",
        description="Image column that a generated image starts from. Empty for none.",
    )
    settings: Mapping[str, Any] = setting(
        default_factory=dict, description="The generator component's own settings."
    )


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
