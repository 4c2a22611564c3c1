"""Where a run's shared space comes from: it is fitted on the run's own rows, or it is the space of
another run (`align.base`), to which fields are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gobelin.core.errors import GobelinError
from gobelin.core.files import file_name
from gobelin.core.machine import Progress, Runtime
from gobelin.core.stages import RunFolder
from gobelin.data.fields import Field
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.columns import schema
from gobelin.embedding.encoders import NamesClasses
from gobelin.embedding.features import Embedder, Embeddings

if TYPE_CHECKING:
    from gobelin.embedding.alignment.bridges import Bridge


def fit_or_bind(
    settings: Align,
    embedder: Embedder,
    train: Embeddings,
    groups: Sequence[str],
    runtime: Runtime,
    progress: Progress,
) -> Alignment:
    """The space of N training rows. With `align.base` it is exactly that run's space, and the
    fields that it lacks are added.

    groups: N names. Raises GobelinError where the base run has a field that these rows lack, or
    other encoders."""
    from gobelin.embedding.alignment.binding import bind  # these load torch
    from gobelin.embedding.alignment.fitting import fit_alignment

    base = base_run(settings)
    if base is None:
        return fit_alignment(settings, train, groups, runtime, progress, bridges_of(embedder))
    old = base.loaded("alignment", Alignment.load)
    if lost := [f for f in old.fields if f not in embedder.encoders]:
        raise GobelinError(
            f"align.base: {base.folder} has the field {lost[0]!r}, these rows have not. Give rows"
            " with all its fields."
        )
    old_embedder = replace(embedder, encoders={f: embedder.encoders[f] for f in old.fields})
    if old_embedder.space != old.space:
        raise GobelinError(
            f"align.base: {base.folder} reads its fields with other encoders. Give this run the"
            " same ones."
        )
    return bind(old, train, groups, runtime)


def base_run(settings: Align) -> RunFolder | None:
    """The run whose space is kept; None where `align.base` names none."""
    if not settings.base:
        return None
    run = RunFolder(Path(settings.base))
    if not run.has("alignment"):
        raise GobelinError(
            f"align.base: {settings.base} has no shared space. Name the folder of a run that was"
            " fitted."
        )
    return run


def base_with_encoder(settings: Align, field: Field) -> RunFolder | None:
    """The base run if it saved its encoder of the same field; None where it has no such field, or
    there is no base run."""
    run = base_run(settings)
    if run is None:
        return None
    stored = schema.restored(run.stored("schema.json"), run.folder / "schema.json")
    stage = f"encoders/{file_name(field.name)}"
    return run if field in stored.fields and run.has(stage) else None


def bridges_of(embedder: Embedder) -> list[Bridge]:
    """One bridge for each pair of a field whose encoder names classes and a text field. A name is
    read as a text in the text field's first column."""
    from gobelin.embedding.alignment.bridges import Bridge

    text_fields = [
        f
        for f in embedder.schema.fields
        if embedder.schema.kind(f.columns[0]) == "text" and f.name in embedder.encoders
    ]
    bridges: list[Bridge] = []
    if not text_fields:
        return bridges
    for name, encoder in embedder.encoders.items():
        classes = encoder.classes() if isinstance(encoder, NamesClasses) else None
        if classes is None:
            continue
        for field in text_fields:
            texts = embedder.embed_column(
                field.name, field.columns[0], list(classes.texts), Path(), cached=True
            )
            words = texts.features[field.name]
            bridges.append(Bridge(name, field.name, classes.weight, classes.bias, words))
    return bridges
