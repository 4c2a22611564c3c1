"""What a verb would do, and what a run folder holds."""

from __future__ import annotations

from gobelin.evidence.findings import Finding
from gobelin.generation.image_rows import image_field
from gobelin.workbench.run.folder import Artefacts


def planned(made: Artefacts, generator: bool) -> list[Finding]:
    """The size of the work: rows, cells to encode, heads to train, the generator's minutes."""
    rows, s = made.rows, made.settings
    found = [
        Finding(
            name="rows",
            scope={"split": p},
            value=float((rows.parts == p).sum()),
            n=int((rows.parts == p).sum()),
            source="plan",
        )
        for p in ("train", "valid", "test")
    ]
    for field in rows.schema.fields:
        there = sum(c is not None for c in rows.dataset.cells(field))
        found.append(
            Finding(
                name="cells_to_encode",
                scope={"field": field.name, "encoder": field.encoder},
                value=float(there),
                n=there,
                note="fewer where the cache has them",
                source="plan",
            )
        )
    heads = (s.predict.folds + 1) * len(s.predict.decays)
    found.append(
        Finding(name="heads_to_train", scope={"verb": "fit"}, value=float(heads), source="plan")
    )
    if generator:
        image_field(rows.schema, s.generator.source)
        minutes = s.generator.minutes * s.generator.seeds
        found.append(
            Finding(name="generator_minutes", value=minutes, unit="minutes", source="plan")
        )
    return found


def summary(made: Artefacts) -> list[str]:
    """What a run folder holds."""
    s, run = made.settings, made.run
    stages = sorted(
        p.parent.relative_to(run.folder).as_posix() for p in run.folder.glob("**/stage.json")
    )
    fields = ", ".join(
        f"{f.name} ({f.encoder}: {', '.join(f.columns)})" for f in made.schema.fields
    )
    return [
        f"data: {s.data.path or 'not here'}, target {s.data.target or 'none'}",
        f"fields: {fields}",
        (
            f"fusion {s.fusion.name}, generator {s.generator.name} ({s.generator.steps or 'no'}"
            f" steps), seed {s.runtime.seed}"
        ),
        f"made so far: {', '.join(stages)}",
    ]
