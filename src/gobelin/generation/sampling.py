"""Train a generator, save and load its sampler, sample from it, write its images or volumes.

The files carry their provenance: model, condition, seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import setting, settings_class
from gobelin.core.files import read_json, write_json, write_lines
from gobelin.core.machine import Progress, Runtime, silent
from gobelin.core.output import output_file
from gobelin.core.stored_settings import as_stored
from gobelin.data.media import Medium, medium_of
from gobelin.data.provenance.marks import marked_png
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    ImageRows,
    Sampler,
    check_condition,
)
from gobelin.networks.training.limit import Guard, Pilot
from gobelin.networks.training.watching import PATIENCE
from gobelin.privacy.guarantee import Guarantee, kept_private


@settings_class
class Generation:
    """Settings of the run's generator."""

    name: str = setting(default="vaegan", description="Generator component.")
    minutes: Annotated[float, setting(gt=0)] | None = setting(
        default=None,
        description="Limit of a training in minutes. It lowers the number of steps.",
    )
    steps: int = setting(
        default=0,
        ge=0,
        description="Training steps. 0 decides by the number and the size of the images.",
    )
    ended: int = setting(
        default=0,
        ge=0,
        description="Step after which a passed limit of time ended training. The run writes it.",
    )
    size: int = setting(
        default=32,
        ge=16,
        le=256,
        description="Side of generated images in pixels, of volumes in voxels.",
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
        default="", description="Image column that a generated image starts from. Empty for none."
    )
    settings: Mapping[str, Any] = setting(
        default_factory=dict, description="The generator component's own settings."
    )

    later: ClassVar[tuple[str, ...]] = ("ended",)  # `core.later`

    @property
    def made_steps(self) -> int:
        """The number of steps that a training makes; 0 where it is not decided."""
        return min(self.ended or self.steps, self.steps)


def train(
    settings: Generation,
    seed: int,
    rows: ImageRows,
    valid: ImageRows,
    folder: Path,
    runtime: Runtime,
    steps: int,
    progress: Progress = silent,
    pilot: Pilot | Guard | None = None,
    spend: Callable[[Guarantee], None] = kept_private,
) -> Sampler:
    """Train a generator from one seed. `folder` holds its checkpoints and sample grids while it
    trains. pilot: ends the training where a limit of time says so. spend: told what a private
    generator promises, before it takes anything from the rows."""
    component = catalog.build("generators", settings.name, settings.settings)
    runtime = runtime_with(runtime, seed)
    limits = (settings.patience, pilot, settings.ended)
    return component.fit(rows, valid, Context(runtime, folder, steps, progress, *limits, spend))


def runtime_with(runtime: Runtime, seed: int) -> Runtime:
    """The same with another seed."""
    return Runtime(seed, runtime.device, runtime.precision, runtime.threads)


def save(sampler: Sampler, settings: Generation, space: str, folder: Path) -> None:
    """The sampler into `folder`, with space.json: the fingerprint of its space, its component, the
    component's settings, the count of steps, and the promise of a private one."""
    sampler.save(folder)
    promise = getattr(sampler, "promise", None)
    write_json(
        folder / "space.json",
        {
            "space": space,
            "generator": settings.name,
            "settings": dict(settings.settings),
            "steps": settings.made_steps,
            **({"promise": promise.to_dict()} if promise else {}),
        },
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
    settings = {**as_stored(stored["settings"], folder), **(over or {})}
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
        progress("generate", done, len(seeds))
        yield block


def write(
    blocks: Iterator[np.ndarray],
    names: Iterable[str],
    lineage: Iterable[Mapping[str, Any]],
    folder: Path,
    marked: Callable[[np.ndarray, Mapping[str, Any]], bytes] | None = None,
    pictures: bool = False,
    of_kind: Medium | None = None,
) -> list[str]:
    """Write files with their provenance as they come: PNG of images, NIfTI of volumes, PLY of
    meshes. -> their names.

    marked: the bytes of a file, from its pixels and its lineage; None = as the medium has it.
    pictures: whether what is no image also gets its picture beside it. of_kind: the medium; None =
    by the shape of the arrays."""
    written: list[str] = []
    arrays = ((array, of_kind or medium_of(block)) for block in blocks for array in block)
    for (array, medium), name, origin in zip(arrays, names, lineage, strict=True):
        data = medium.marked(array, origin) if marked is None else marked(array, origin)
        with output_file(folder / f"{name}{medium.suffix}") as temporary:
            temporary.write_bytes(data)
        if pictures and medium.dimensions > 2:
            with output_file(folder / f"{name}.png") as temporary:
                temporary.write_bytes(marked_png(medium.picture(array), origin))
        written.append(f"{name}{medium.suffix}")
    return written
