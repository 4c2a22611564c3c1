"""From rows and queries to conditions, from a sampler to PNG files that say what they were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gobelin import catalog
from gobelin.align import Shared
from gobelin.config import within
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.images import Opening, open_image, squared
from gobelin.engine import in_order
from gobelin.errors import GobelinError
from gobelin.generators import Condition, Context, Controls, ImageRows, Sampler, check_condition
from gobelin.provenance import save_png
from gobelin.runtime import Progress, Runtime, silent
from gobelin.store import read_json, write_json


@dataclass(frozen=True)
class Generation:
    """The run's generator. name: a component. minutes: training budget, turned into a count of steps once. steps: that
    count, 0 = measure it from the minutes. guidance: pull towards the condition when it samples. size: side of the images
    in pixels. seeds: how many times it is trained, each from another seed. settings: the component's own."""

    name: str = "gan"
    minutes: float = 1.0
    steps: int = 0
    size: int = 32
    seeds: int = 1
    guidance: float = 2.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 256:
            raise ValueError(f"size = {self.size}, from 16 to 256 was expected")
        if self.minutes <= 0 or self.seeds < 1 or self.steps < 0:
            raise ValueError(f"minutes = {self.minutes}, seeds = {self.seeds}, steps = {self.steps}: must be positive")
        within(self, {"guidance": (0, 100), "seeds": (1, 100)})


def image_field(schema: Schema) -> str:
    """The field whose images are made: the first one that an image encoder reads."""
    for one in schema.fields:
        if "image" in catalog.find("encoders", one.encoder).kinds:
            return one.name
    raise GobelinError("generate: the data set has no image column. Add one, or name it with --set schema.COL=image.")


def image_rows(
    dataset: Dataset, rows: np.ndarray, schema: Schema, shared: Shared, target: Target, size: int, workers: int
) -> ImageRows:
    """The rows that have an image, squared to `size`, each with everything that is known of it as its condition."""
    name = image_field(schema)
    column = schema.field(name).columns[0]
    values = dataset.values(column)
    kept = [int(r) for r in rows if values[r] is not None]
    if not kept:
        raise GobelinError("generate: no training row has an image. Check the image column.")

    def pixels(row: int) -> np.ndarray:
        value = values[row]
        one = value[0] if isinstance(value, list) else value
        return squared(open_image(one, dataset.root, Opening())[0], size)

    images = np.stack(list(in_order(pixels, kept, workers)))
    return ImageRows(images, condition(shared, target, np.array(kept)), target.classes)


def condition(shared: Shared, target: Target | None, rows: np.ndarray, fields: Sequence[str] | None = None) -> Condition:
    """The condition of some rows: all their vectors, or those of `fields` alone, and their target."""
    present = shared.present[rows]
    if fields is not None:
        present = present & np.isin(shared.fields, list(fields))
    return Condition(
        fields=shared.fields,
        vectors=torch.from_numpy(shared.vectors[rows] * present[:, :, None]),
        present=torch.from_numpy(present),
        target=None if target is None else target_tensor(target.values[rows], target.kind),
        fingerprint=shared.fingerprint,
    )


def target_tensor(values: np.ndarray, kind: str) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32 if kind == "number" else np.int64))


def from_query(query: Shared | None, label: int | float | None, space: Shared, kind: str, n: int) -> Condition:
    """n times the same condition: a query's vectors (None: no field at all) and a label (None: none)."""
    fields, width = space.fields, space.vectors.shape[2]
    vectors = torch.zeros(1, len(fields), width) if query is None else torch.from_numpy(query.vectors)
    present = torch.zeros(1, len(fields), dtype=torch.bool) if query is None else torch.from_numpy(query.present)
    missing = float("nan") if kind == "number" else -1
    target = target_tensor(np.array([missing if label is None else label]), kind)
    one = Condition(fields, vectors, present, target, fingerprint=space.fingerprint)
    return one.rows([0] * n)


def train(
    how: Generation, seed: int, rows: ImageRows, valid: ImageRows, folder: Path, runtime: Runtime, steps: int,
    progress: Progress = silent,
) -> Sampler:  # fmt: skip
    """Train a generator from one seed. `folder` holds its checkpoints while it trains."""
    component = catalog.build("generators", how.name, how.settings)
    context = Context(runtime_with(runtime, seed), folder, steps, progress)
    return component.fit(rows, valid, context)


def runtime_with(runtime: Runtime, seed: int) -> Runtime:
    return Runtime(seed, runtime.device, runtime.precision, runtime.threads)


def save(sampler: Sampler, how: Generation, space: str, folder: Path) -> None:
    sampler.save(folder)
    write_json(folder / "space.json", {"space": space, "generator": how.name, "settings": dict(how.settings)})


def load(folder: Path, runtime: Runtime) -> tuple[Sampler, str, str]:
    """The sampler, its component's name, and the fingerprint of the space that it was trained in."""
    said = read_json(folder / "space.json")
    component = catalog.build("generators", said["generator"], said["settings"])
    return component.load(folder, runtime), said["generator"], said["space"]


def sample(
    sampler: Sampler, name: str, space: str, wanted: Condition, seeds: Sequence[int], controls: Controls,
    progress: Progress = silent,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Blocks of uint8 [n, H, W, C], after the one check of the condition."""
    check_condition(name, sampler, wanted, seeds, space)
    done = 0
    for block in sampler.sample(wanted, seeds, controls):
        done += len(block)
        progress("make images", done, len(seeds))
        yield block


def write(blocks: Iterator[np.ndarray], names: Sequence[str], lineage: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """PNG files with their provenance, written as they come; their file names."""
    written: list[str] = []
    for block in blocks:
        for pixels in block:
            k = len(written)
            save_png(folder / f"{names[k]}.png", pixels, lineage[k])
            written.append(f"{names[k]}.png")
    return written
