"""The verb that makes: queries into conditions, images into a folder, and the contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import file_hash, fingerprint
from gobelin.data.fields import Field
from gobelin.embedding.alignment.align import Shared
from gobelin.generation import sampling
from gobelin.generation.conditions import from_query
from gobelin.generation.generators import Condition, Controls, Sampler
from gobelin.generation.image_rows import mask_image, source_image
from gobelin.workbench.generate.condition_match import Trained
from gobelin.workbench.query import label_index, query
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.folder import Artefacts

SHOWN = 8  # images a condition on the contact sheet


READ = 40  # images a class that are read for label agreement


VARIED = 0.6  # strength of a variation that nobody named


CHUNK = 1024  # images whose conditions lie in memory at once


def image_field_or_none(made: Artefacts) -> str | None:
    try:
        return made.image_field
    except GobelinError:
        return None


@dataclass(frozen=True)
class Start:
    """What images begin with, and how they are sampled. source, mask: image files. strength: 0
    keeps the source, 1 starts from noise alone; None = 1 where a mask says what to keep or pairs
    were learned, else 0.6. guidance: None = the run's. steps: 0 = the generator's own."""

    source: Path | None = None
    mask: Path | None = None
    strength: float | None = None
    guidance: float | None = None
    steps: int = 0

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
                    f"--{name} {given}: says nothing without an image to start from. Give --source"
                    " FILE too."
                )

    def controls(self, how: sampling.Generation) -> Controls:
        strength = self.strength
        if strength is None:
            strength = VARIED if self.source and not self.mask and not how.source else 1.0
        return Controls(
            how.guidance if self.guidance is None else self.guidance, strength, self.steps
        )

    def said(self, controls: Controls) -> dict[str, object]:
        """For the provenance: names of files, no paths."""
        if self.source is None:
            return {}
        mask = {"mask": self.mask.name} if self.mask else {}
        return {"source": self.source.name, **mask, "strength": controls.strength}


def generate(
    made: Artefacts,
    seeds: Sequence[int],
    label: str | None,
    asked: Mapping[str, str],
    out: Path | None,
    start: Start,
) -> list[Path]:
    """One PNG a seed, named by it, in `out` (or in the run's images folder)."""
    _ = made.image_field
    if not made.has_generator():
        raise GobelinError(
            f"{made.run.folder}: has no trained generator, and generate never trains. Run"
            f" {fit_command(made, True)}."
        )
    if len(set(seeds)) != len(seeds):
        twice = next(s for s in seeds if list(seeds).count(s) > 1)
        raise GobelinError(
            f"--seeds: {twice} stands there twice; the same seed makes the same image. Give each"
            " once."
        )
    if not seeds:
        raise GobelinError("generate: no image was asked for (0). Give -n 16 or --seeds 0-15.")
    trained = sampler, name, _ = made.sampler(0)
    wanted = _wanted(made, sampler, name, label, asked, start, 1)
    controls = start.controls(made.settings.generator)
    files = [file_hash(f) for f in (start.source, start.mask) if f]
    more = [files, asdict(controls)] if start != Start() else []
    base = Path() if made.run.saved else made.run.folder  # what was saved stays as it is
    folder = out or base / "images" / "generate" / fingerprint(dict(asked), label, *more)[:8]
    described = {
        **asked,
        **({"label": label} if label is not None else {}),
        **start.said(controls),
    } or {"nothing": ""}
    return [
        folder / name for name in _write(made, trained, wanted, seeds, described, folder, controls)
    ]


def _wanted(
    made: Artefacts,
    sampler: Sampler,
    name: str,
    label: str | None,
    asked: Mapping[str, str],
    start: Start,
    n: int,
) -> Condition:
    """n times what was asked for, in the parts that the sampler accepts. What it can't use at all
    is an error."""
    prompt, query_left = _prompt(made, asked) if "text" in sampler.accepts else (None, dict(asked))
    if prompt is not None and "vectors" in sampler.accepts and _reads_text(made):
        query_left = dict(asked)  # as a vector too
    if query_left and "text" in sampler.accepts and "vectors" not in sampler.accepts:
        raise GobelinError(
            f"generate: {name} can't be asked by {next(iter(query_left))!r}; it accepts"
            f" {', '.join(sorted(sampler.accepts))}. Leave it out or choose another generator."
        )
    shared = query(made, query_left) if query_left else None
    index = None if label is None else label_index(made, label)
    source, mask = None, None
    if start.source is not None:
        source, size = source_image(start.source, sampler.size)
        mask = None if start.mask is None else mask_image(start.mask, sampler.size, size)
    return from_query(
        shared, index, _space(made), made.model.kind, n, text=prompt, source=source, mask=mask
    )


def _prompt(made: Artefacts, asked: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """The texts of a query as one prompt, and the rest of the query."""
    texts = {
        k: v
        for k, v in asked.items()
        if k == "text"
        or (k in made.schema.field_names and _is_text(made.schema.field(k)))
        or any(k in f.columns and _is_text(f) for f in made.schema.fields)
    }
    if empty := next((k for k, v in texts.items() if not v.strip()), None):
        raise GobelinError(f"--{empty}: is empty. Give a text.")
    return ", ".join(texts.values()) or None, {k: v for k, v in asked.items() if k not in texts}


def _is_text(field: Field) -> bool:
    return field.kind == "text"


def _reads_text(made: Artefacts) -> bool:
    return any(_is_text(f) for f in made.schema.fields)


def _space(made: Artefacts) -> Shared:
    """An empty set of rows in this run's space, for its fields, width and fingerprint."""
    f = made.alignment.fields
    none = np.zeros((0, len(f), made.alignment.settings.width), np.float32)
    return Shared(f, none, np.zeros((0, len(f)), bool), (), made.alignment.fingerprint())


def _controls(made: Artefacts) -> Controls:
    return Controls(guidance=made.settings.generator.guidance)


def _write(
    made: Artefacts,
    trained: Trained,
    wanted: Condition,
    seeds: Sequence[int],
    described: Mapping[str, object],
    folder: Path,
    controls: Controls,
) -> list[str]:
    """An image a seed, all from the first row of `wanted`; made and written in chunks, however many
    they are."""
    sampler, name, space = trained
    said = {"generator": name, "weights": sampler.fingerprint()[:16], "condition": dict(described)}

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        for first in range(0, len(seeds), CHUNK):
            some = seeds[first : first + CHUNK]
            for block in sampling.sample(
                sampler, name, space, wanted.rows([0] * len(some)), some, controls
            ):
                done += len(block)
                made.progress("make images", done, len(seeds))
                yield block

    names, lineage = (f"seed-{s}" for s in seeds), ({**said, "seed": s} for s in seeds)
    return sampling.write(blocks(), names, lineage, folder)
