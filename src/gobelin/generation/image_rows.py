"""Rows with images or volumes, decoded to one size, for training a generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL.Image import Image

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.workers import in_order
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image.images import Opening, fitted, open_image
from gobelin.data.media import AnyOpening, Medium, kinds, medium
from gobelin.embedding.alignment.align import Shared
from gobelin.generation.conditions import captions, condition
from gobelin.generation.generators import ImageRows


def image_field(schema: Schema, source: str = "") -> str:
    """The field whose images or volumes are generated: the first field with a medium; with a source
    column, the first other one of its kind. Raises a GobelinError where there is none."""
    fields = [field for field in schema.fields if field.kind in kinds()]
    known = [column for field in fields for column in field.columns]
    if source and source not in known:
        raise GobelinError(f"generator.source: no image column {source!r}.{nearest(source, known)}")
    if not fields:
        raise GobelinError(
            "The data set has no image column, and only images are generated. Add one, or name it"
            " with --set schema.COL=image (or volume)."
        )
    others = [field for field in fields if source not in field.columns]
    if not others:
        raise GobelinError(
            f"generator.source: {source!r} is the only image column, none is left to make. Add the"
            " other one."
        )
    alike = [field for field in others if not source or field.kind == _kind(schema, source)]
    if not alike:
        found = ", ".join(f"{field.name!r} {medium(field.kind).plural}" for field in others)
        given = medium(_kind(schema, source)).plural
        raise GobelinError(
            f"generator.source: {source!r} holds {given}, the columns to make hold others"
            f" ({found}). Name a source of their kind."
        )
    return alike[0].name


def refuse_medium(generator: str, schema: Schema, source: str = "") -> None:
    """Raises a GobelinError where this generator does not make what the generated field holds."""
    field = schema.field(image_field(schema, source))
    made = catalog.declared("generators", generator, "media", frozenset({"image"}))
    if field.kind in made:
        return
    able = [
        name
        for name in catalog.names("generators")
        if field.kind in catalog.declared("generators", name, "media", frozenset({"image"}))
    ]
    raise GobelinError(
        f"generator.name: {generator} makes {' and '.join(medium(k).plural for k in sorted(made))},"
        f" the column {field.columns[0]!r} holds {medium(field.kind).plural}. Use"
        f" {' or '.join(able)}."
    )


def image_rows(
    dataset: Dataset,
    rows: np.ndarray,
    schema: Schema,
    shared: Shared,
    target: Target,
    size: int,
    workers: int,
    source: str = "",
    parts: frozenset[str] = frozenset(),
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    least_groups: int = LEAST_GROUPS,
) -> ImageRows:
    """Those of `rows` that have an image or a volume, squared to `size`. The condition of a row is
    all that is known of it. Raises a GobelinError where no row has one.

    source: the column of images to start from. parts: 'text' adds the rows' captions to the
    condition, 'source' their source images (then rows without one are left out). weights: of all
    rows of the dataset, how often training uses each; None = equally often. groups: int, of all
    rows of the dataset; None = each row is one of its own."""
    columns = _columns(schema, source, parts)
    column, values = columns[0], {name: dataset.values(name) for name in columns}
    complete = with_images(dataset, rows, schema, source, parts)
    if not complete:
        both = f" and one in {source!r}" if len(columns) > 1 else ""
        raise GobelinError(f"generate: no training row has an image{both}. Check the image column.")

    def pixels(name: str) -> np.ndarray:
        of_kind, opening = medium(_kind(schema, name)), dataset.opening(name)

        def of_row(row: int) -> np.ndarray:
            value = values[name][row]
            first = value[0] if isinstance(value, list) else value
            return of_kind.opened(first, dataset.root, opening, size)

        return _stacked(list(in_order(of_row, complete, workers)), name, of_kind)

    known = condition(shared, target, np.array(complete))
    if "text" in parts:
        known = replace(known, text=captions(dataset, schema, complete))
    if len(columns) > 1:
        known = replace(known, source=pixels(source))
    classes = target.classes if target.exclusive else ()
    chosen = None if weights is None else weights[complete]
    of_group = None if groups is None else groups[complete]
    return ImageRows(pixels(column), known, classes, chosen, of_group, least_groups)


def with_images(
    dataset: Dataset,
    rows: np.ndarray,
    schema: Schema,
    source: str = "",
    parts: frozenset[str] = frozenset(),
) -> list[int]:
    """Those of `rows` that `image_rows` takes: nothing is opened."""
    values = [dataset.values(name) for name in _columns(schema, source, parts)]
    return [int(r) for r in rows if all(column[r] is not None for column in values)]


def _columns(schema: Schema, source: str, parts: frozenset[str]) -> list[str]:
    """The column of images, and that of the images to start from where there is one."""
    column = schema.field(image_field(schema, source)).columns[0]
    return [column, source] if source and "source" in parts else [column]


def _kind(schema: Schema, column: str) -> str:
    """The kind of the field that a column is in."""
    return next(field.kind for field in schema.fields if column in field.columns)


def _stacked(arrays: list[np.ndarray], column: str, of_kind: Medium) -> np.ndarray:
    """uint8 [n, ...]. Raises a GobelinError for arrays of different numbers of channels."""
    counts = sorted({array.shape[-1] for array in arrays})
    if len(counts) > 1:
        raise GobelinError(
            f"generate: column {column!r} holds {of_kind.plural} of {counts[0]} and of {counts[-1]}"
            " channels. Give all of them the same channels."
        )
    return np.stack(arrays)


def source_image(
    path: Path, size: tuple[int, ...], kind: str = "image", opening: AnyOpening | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The file as an array of this size, padded and resized as the training rows were, and the
    sides of the file: width and height of an image. kind: of its column. opening: how the rows of
    that column were opened. Raises a GobelinError where it is no file of this kind."""
    what = f"{'an' if kind == 'image' else 'a'} {kind}"
    try:
        return medium(kind).source(file_bytes(path), size, opening, path.name)
    except BadCell as error:
        raise GobelinError(f"--source {path}: {error}. Give the path of {what}.") from error


def mask_image(path: Path, size: tuple[int, ...], source: tuple[int, ...]) -> np.ndarray:
    """The mask file as bool [H, W], True where it is light: there the image is painted anew.
    Raises a GobelinError where it hasn't the width and height of `source`, or marks nothing."""
    if len(size) > 3:
        raise GobelinError(
            f"--mask {path}: masks are for images, the generator makes volumes. Leave it out."
        )
    image = _opened(path, "--mask")
    if image.size != source:
        (w, h), (width, height) = image.size, source
        raise GobelinError(
            f"--mask {path}: is {w} x {h} pixels, the source {width} x {height}. Give one of the"
            " same size."
        )
    light = image.convert("L").point(lambda level: 255 * (level >= 128))
    mask = fitted(light, (size[0], size[1], 1), (0, 0, 0))[..., 0] > 0
    if not mask.any():
        raise GobelinError(
            f"--mask {path}: marks nothing. Paint white where the image is painted anew, and black"
            " elsewhere."
        )
    return mask


def _opened(path: Path, option: str) -> Image:
    try:
        return open_image(file_bytes(path), path.parent, Opening())[0]
    except BadCell as error:
        raise GobelinError(f"{option} {path}: {error}. Give the path of an image.") from error
