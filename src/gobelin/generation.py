"""From rows and queries to conditions, from a sampler to PNG files that say what they were made from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from gobelin import catalog
from gobelin.align import Shared
from gobelin.config import within
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.files import BadCell
from gobelin.data.images import Opening, fitted, open_image, squared
from gobelin.engine import in_order
from gobelin.errors import GobelinError, nearest
from gobelin.generators import Condition, Context, Controls, ImageRows, Sampler, check_condition
from gobelin.provenance import save_png
from gobelin.runtime import Progress, Runtime, silent
from gobelin.store import read_json, write_json, write_lines
from gobelin.watch import PATIENCE


@dataclass(frozen=True)
class Generation:
    """The run's generator. name: a component. minutes: training budget, turned into a count of steps once. steps: that
    count, 0 = measure it from the minutes. guidance: pull towards the condition when it samples. size: side of the images
    in pixels. seeds: how many times it is trained, each from another seed. patience: looks (of 12 at most) without a better
    held-out score after which training stops, 0 = never; the best weights are kept either way (the GANs' score, of colours in
    coarse cells, is only drawn). source: the image column that a made image starts from, '' = none; the generator learns to
    make the other image column from it. settings: the component's own."""

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
            raise ValueError(f"minutes = {self.minutes}, seeds = {self.seeds}, steps = {self.steps}: must be positive")
        within(self, {"guidance": (0, 100), "seeds": (1, 100), "patience": (0, 1000)})


def image_field(schema: Schema, source: str = "") -> str:
    """The field whose images are made: the first one that an image encoder reads and that isn't the source column."""
    images = [one for one in schema.fields if "image" in catalog.find("encoders", one.encoder).kinds]
    known = [column for one in images for column in one.columns]
    if source and source not in known:
        raise GobelinError(f"generator.source: no image column {source!r}.{nearest(source, known)}")
    if not images:
        raise GobelinError("generate: the data set has no image column. Add one, or name it with --set schema.COL=image.")
    other = next((one.name for one in images if source not in one.columns), None)
    if other is None:
        raise GobelinError(f"generator.source: {source!r} is the only image column, none is left to make. Add the other one.")
    return other


def image_rows(
    dataset: Dataset, rows: np.ndarray, schema: Schema, shared: Shared, target: Target, size: int, workers: int,
    source: str = "", parts: frozenset[str] = frozenset(), weights: np.ndarray | None = None,
) -> ImageRows:  # fmt: skip
    """The rows that have an image, squared to `size`, each with everything that is known of it as its condition.

    source: the column of images to start from. parts: 'text' adds the rows' captions to the condition, 'source' their source
    images (rows without one are left out then). weights: of all rows, how often training sees each; None = equally often.
    """
    column = schema.field(image_field(schema, source)).columns[0]
    columns = [column, source] if source and "source" in parts else [column]
    values = {name: dataset.values(name) for name in columns}
    kept = [int(r) for r in rows if all(values[name][r] is not None for name in columns)]
    if not kept:
        both = f" and one in {source!r}" if len(columns) > 1 else ""
        raise GobelinError(f"generate: no training row has an image{both}. Check the image column.")

    def pixels(name: str) -> np.ndarray:
        def of_row(row: int) -> np.ndarray:
            value = values[name][row]
            one = value[0] if isinstance(value, list) else value
            return squared(open_image(one, dataset.root, Opening())[0], size)

        return np.stack(list(in_order(of_row, kept, workers)))

    wanted = condition(shared, target, np.array(kept))
    if "text" in parts:
        wanted = replace(wanted, text=captions(dataset, schema, kept))
    if len(columns) > 1:
        wanted = replace(wanted, source=pixels(source))
    classes = target.classes if target.exclusive else ()
    return ImageRows(pixels(column), wanted, classes, None if weights is None else weights[kept])


def captions(dataset: Dataset, schema: Schema, rows: Sequence[int] | np.ndarray) -> list[str | None]:
    """The text of each row in the first field that a text encoder reads, there in the first column that has one."""
    field = next((f for f in schema.fields if "text" in catalog.find("encoders", f.encoder).kinds), None)
    columns = [dataset.values(c) for c in field.columns] if field else []
    found = [next((v for c in columns if (v := c[int(r)]) is not None), None) for r in rows]
    return [None if v is None else str(v[0] if isinstance(v, list) else v) for v in found]


def narrowed(condition: Condition, parts: frozenset[str]) -> Condition:
    """The condition without the parts that aren't named. For conditions that nobody asked for word by word."""
    gone: dict[str, Any] = {name: None for name in ("target", "text", "source", "mask") if name not in parts}
    if "vectors" not in parts:
        gone |= {"vectors": torch.zeros_like(condition.vectors), "present": torch.zeros_like(condition.present)}
    return replace(condition, **gone)


def source_image(path: Path, size: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The image file as uint8 [H, W, C], padded and resized as the training images were, and its own width and height."""
    image = _opened(path, "--source")
    return fitted(image, size), image.size


def mask_image(path: Path, size: tuple[int, int, int], source: tuple[int, int]) -> np.ndarray:
    """The mask file as bool [H, W], True where it is light: what is made anew. It must have the source's width and height."""
    image = _opened(path, "--mask")
    if image.size != source:
        (w, h), (width, height) = image.size, source
        raise GobelinError(f"--mask {path}: is {w} x {h} pixels, the source {width} x {height}. Give one of the same size.")
    light = image.convert("L").point(lambda level: 255 * (level >= 128))
    mask = fitted(light, (*size[:2], 1), (0, 0, 0))[..., 0] > 0
    if not mask.any():
        raise GobelinError(f"--mask {path}: marks nothing. Make white what is to be made anew, and black the rest.")
    return mask


def _opened(path: Path, option: str) -> Image:
    if not path.is_file():
        raise GobelinError(f"{option} {path}: no such file. Give the path of an image.")
    try:
        return open_image(path.read_bytes(), path.parent, Opening())[0]
    except (BadCell, OSError) as error:
        raise GobelinError(f"{option} {path}: {error}. Give the path of an image.") from error


def condition(shared: Shared, target: Target | None, rows: np.ndarray, fields: Sequence[str] | None = None) -> Condition:
    """The condition of some rows: all their vectors, or those of `fields` alone, and their target."""
    present = shared.present[rows]
    if fields is not None:
        present = present & np.isin(shared.fields, list(fields))
    return Condition(
        fields=shared.fields,
        vectors=torch.from_numpy(shared.vectors[rows] * present[:, :, None]),
        present=torch.from_numpy(present),
        target=None if target is None else target_tensor(_asked(target)[rows], target.kind),
        fingerprint=shared.fingerprint,
    )


def _asked(target: Target) -> np.ndarray:
    """What a generator is told of the target: nothing of labels that hold side by side."""
    return np.full(len(target), -1) if target.kind == "labels" else target.values


def target_tensor(values: np.ndarray, kind: str) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32 if kind == "number" else np.int64))


def from_query(
    query: Shared | None, label: int | float | None, space: Shared, kind: str, n: int, *, text: str | None = None,
    source: np.ndarray | None = None, mask: np.ndarray | None = None,
) -> Condition:  # fmt: skip
    """n times the same condition: a query's vectors (None: no field at all), a label, a prompt, a source image uint8 [H, W, C]
    and a mask bool [H, W] (None: none). However many, image and mask are in memory once."""
    fields, width = space.fields, space.vectors.shape[2]
    vectors = torch.zeros(1, len(fields), width) if query is None else torch.from_numpy(query.vectors)
    present = torch.zeros(1, len(fields), dtype=torch.bool) if query is None else torch.from_numpy(query.present)
    missing = float("nan") if kind == "number" else -1
    target = target_tensor(np.array([missing if label is None else label]), kind)
    one = Condition(fields, vectors, present, target, fingerprint=space.fingerprint)
    return replace(
        one.rows([0] * n),
        text=None if text is None else [text] * n,
        source=None if source is None else np.broadcast_to(source, (n, *source.shape)),
        mask=None if mask is None else np.broadcast_to(mask, (n, *mask.shape)),
    )


def train(
    how: Generation, seed: int, rows: ImageRows, valid: ImageRows, folder: Path, runtime: Runtime, steps: int,
    progress: Progress = silent,
) -> Sampler:  # fmt: skip
    """Train a generator from one seed. `folder` holds its checkpoints and sample grids while it trains."""
    component = catalog.build("generators", how.name, how.settings)
    context = Context(runtime_with(runtime, seed), folder, steps, progress, how.patience)
    return component.fit(rows, valid, context)


def runtime_with(runtime: Runtime, seed: int) -> Runtime:
    return Runtime(seed, runtime.device, runtime.precision, runtime.threads)


def save(sampler: Sampler, how: Generation, space: str, folder: Path) -> None:
    sampler.save(folder)
    write_json(folder / "space.json", {"space": space, "generator": how.name, "settings": dict(how.settings)})


def keep_samples(sampler: Sampler, work: Path, folder: Path) -> None:
    """What was seen while it trained in `work`, into folder/samples: grids of images, STEP.png, and scores, held_out.jsonl."""
    looks = [line for line in getattr(sampler, "history", ()) if "held_out" in line]
    if looks:
        (folder / "samples").mkdir()
        write_lines(folder / "samples" / "held_out.jsonl", looks)
        for path in sorted((work / "samples").glob("*.png")):
            shutil.copyfile(path, folder / "samples" / path.name)


def load(folder: Path, runtime: Runtime, over: Mapping[str, Any] | None = None) -> tuple[Sampler, str, str]:
    """The sampler, its component's name, and the fingerprint of the space that it was trained in. over: settings that stand
    over the saved ones, for a component that asks where its files are now."""
    said = read_json(folder / "space.json")
    component = catalog.build("generators", said["generator"], {**said["settings"], **(over or {})})
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


def write(blocks: Iterator[np.ndarray], names: Iterable[str], lineage: Iterable[Mapping[str, Any]], folder: Path) -> list[str]:
    """PNG files with their provenance, written as they come; their file names."""
    written: list[str] = []
    pixels = (image for block in blocks for image in block)
    for image, name, said in zip(pixels, names, lineage, strict=True):
        save_png(folder / f"{name}.png", image, said)
        written.append(f"{name}.png")
    return written
