"""What images are generated from: a query, a label and a source image, as one condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError, nearest
from gobelin.data.fields import Field
from gobelin.generation.conditions import from_query
from gobelin.generation.generators import Condition, Controls
from gobelin.generation.image_rows import mask_image, source_image
from gobelin.generation.sampling import Generation
from gobelin.prediction.predictor import Model
from gobelin.workbench.query import query_cells
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

VARIATION_STRENGTH = 0.6  # default strength for variations of a source image


@dataclass(frozen=True)
class Start:
    """The source image of generated images, and the settings of sampling.

    Raises GobelinError for values out of range, and for a mask or strength without a source.
    """

    source: Path | None = None  # an image file
    mask: Path | None = None  # an image file, white where pixels are generated
    # 0 keeps the source, 1 starts from noise alone; None = 0.6 for variations, else 1
    strength: float | None = None
    guidance: float | None = None  # None = as in the run's settings
    steps: int = 0  # 0 = the generator's default

    def __post_init__(self) -> None:
        for name, value, most in (
            ("strength", self.strength, 1),
            ("guidance", self.guidance, 100),
            ("steps", self.steps, 10000),
        ):
            if value is not None and not 0 <= value <= most:
                raise GobelinError(f"--{name} {value}: from 0 to {most} was expected.")
        for name, given in (("mask", self.mask), ("strength", self.strength)):
            if given is not None and self.source is None:
                raise GobelinError(
                    f"--{name} {given}: needs an image to start from. Give --source FILE too."
                )

    def controls(self, generator: Generation) -> Controls:
        strength = self.strength
        if strength is None:
            varied = self.source and not self.mask and not generator.source
            strength = VARIATION_STRENGTH if varied else 1.0
        guidance = generator.guidance if self.guidance is None else self.guidance
        return Controls(guidance, strength, self.steps)

    def described(self, controls: Controls) -> dict[str, object]:
        """For the provenance of images: names of files, no paths."""
        if self.source is None:
            return {}
        mask = {"mask": self.mask.name} if self.mask else {}
        return {"source": self.source.name, **mask, "strength": controls.strength}


def condition_of(
    run: Run, trained: Trained, label: str | None, query: Mapping[str, str], start: Start, n: int
) -> Condition:
    """The condition of a query, a label and a source image, n times.

    It has the parts that the sampler accepts. Raises GobelinError for a query that the sampler
    can't use at all.
    """
    accepts, size = trained.sampler.accepts, trained.sampler.size
    prompt, rest = split_prompt(run, query) if "text" in accepts else (None, dict(query))
    if prompt is not None and "vectors" in accepts and any(map(_is_text, run.data.schema.fields)):
        rest = dict(query)  # the prompt is a vector of the condition too
    if rest and "text" in accepts and "vectors" not in accepts:
        raise GobelinError(
            f"generate: {trained.name} does not accept {next(iter(rest))!r}; it accepts"
            f" {', '.join(sorted(accepts))}. Leave it out or choose another generator."
        )
    space, model = run.space, run.predictor.model
    vectors = None
    if rest:
        cells = query_cells(run.data, rest)
        vectors = space.alignment.project(space.features.embedder.embed_cells(cells))
    target = None if label is None else _class_index(model, label)
    source, mask = None, None
    if start.source is not None:
        source, whole = _opened_source(run, start.source, size)
        mask = None if start.mask is None else mask_image(start.mask, size, whole)
    return from_query(
        vectors, target, space.empty(), model.kind, n, text=prompt, source=source, mask=mask
    )


def _opened_source(
    run: Run, path: Path, size: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """As `source_image`, opened as the rows of its column were."""
    column = run.settings.generator.source or run.generator.column
    opening = run.space.features.embedder.openings([column]).get(column)
    return source_image(path, size, run.generator.medium.kind, opening)


def split_prompt(run: Run, query: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """The texts of a query as one prompt (None without texts), and the rest of the query."""
    schema = run.data.schema
    names = {"text"}
    for field in schema.fields:
        if _is_text(field):
            names |= {field.name, *field.columns}
    texts = {key: text for key, text in query.items() if key in names}
    if empty := next((key for key, text in texts.items() if not text.strip()), None):
        raise GobelinError(f"--{empty}: is empty. Give a text.")
    return ", ".join(texts.values()) or None, {k: v for k, v in query.items() if k not in texts}


def _is_text(field: Field) -> bool:
    return field.kind == "text"


def _class_index(model: Model, label: str) -> int | float:
    """The class index of a label, or its number. Raises GobelinError for an unknown label."""
    if model.kind == "number":
        try:
            number = float(label)
        except ValueError as error:
            raise GobelinError(
                f"--label {label!r}: {model.target} is a number, found a word. Give a number."
            ) from error
        if not math.isfinite(number):
            raise GobelinError(
                f"--label {label!r}: {model.target} is a finite number. Give a number."
            )
        return number
    if model.kind == "labels":
        raise GobelinError(
            f"--label {label!r}: {model.target!r} has several labels a row, and a condition has"
            " one class. Use --text, --row or another field."
        )
    if label not in model.classes:
        raise GobelinError(
            f"--label {label!r}: no such class of {model.target!r}.{nearest(label, model.classes)}"
        )
    return model.classes.index(label)
