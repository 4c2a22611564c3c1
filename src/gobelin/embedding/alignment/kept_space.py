"""Where a run's shared space comes from: fitted on its own rows, with bridges of names, or kept
from another run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.files import file_name
from gobelin.core.machine import Progress, Runtime
from gobelin.core.stages import RunFolder
from gobelin.data.fields import Field
from gobelin.embedding import schema
from gobelin.embedding.alignment.align import Align, Alignment, Bridge
from gobelin.embedding.encoders import NamesClasses
from gobelin.embedding.features import Embeddings, Reader


def space(
    how: Align,
    reader: Reader,
    train: Embeddings,
    groups: Sequence[str],
    runtime: Runtime,
    progress: Progress,
) -> Alignment:
    """The space of training rows. With `align.base` it is that run's, to the bit, and the fields
    that it lacks are bound."""
    if not how.base:
        return how.fit(train, groups, runtime, progress, bridges_of(reader))
    run = base(how)
    assert run is not None
    old = Align.load(run.checked("alignment"))
    lost = [f for f in old.fields if f not in reader.encoders]
    if lost:
        raise GobelinError(
            f"align.base: {run.folder} has the field {lost[0]!r}, these rows have not. Give rows"
            " with all its fields."
        )
    known = replace(reader, encoders={f: reader.encoders[f] for f in old.fields})
    if known.space != old.space:
        raise GobelinError(
            f"align.base: {run.folder} reads its fields with other encoders. Give this run the same"
            " ones."
        )
    return old.bind(train, groups, runtime)


def base(how: Align) -> RunFolder | None:
    """The run whose space is kept; None for a space of one's own."""
    if not how.base:
        return None
    run = RunFolder(Path(how.base))
    if not run.has("alignment"):
        raise GobelinError(
            f"align.base: {how.base} has no shared space. Name the folder of a run that was fitted."
        )
    return run


def encoder_folder(how: Align, field: Field) -> Path | None:
    """Where the kept space's run saved its encoder of a field of the same columns; None for a field
    of one's own."""
    run = base(how)
    if run is None:
        return None
    same = any(
        f == field
        for f in schema.restored(run.stored("schema.json"), str(run.folder / "schema.json")).fields
    )
    stage = f"encoders/{file_name(field.name)}"
    return run.checked(stage) if same and run.has(stage) else None


def bridges_of(reader: Reader) -> list[Bridge]:
    """One for each field whose encoder names classes and each field of words; a name is read as if
    it stood in the first column of the field of words."""
    fields = reader.schema.fields
    words = [
        f
        for f in fields
        if reader.schema.kind(f.columns[0]) == "text" and f.name in reader.encoders
    ]
    out = []
    for name, encoder in reader.encoders.items():
        named = encoder.classes() if words and isinstance(encoder, NamesClasses) else None
        for field in words if named else ():
            assert named is not None
            read = reader.embed_column(
                field.name, field.columns[0], list(named.texts), Path(), keep=True
            )
            out.append(
                Bridge(name, field.name, named.weight, named.bias, read.features[field.name])
            )
    return out
