"""The plan of `fit`, and a summary of a run folder."""

from __future__ import annotations

from gobelin.evidence.findings import Finding
from gobelin.generation.image_rows import refuse_medium
from gobelin.prediction import fusion_choice
from gobelin.privacy.terms import Terms
from gobelin.workbench.fit import cost
from gobelin.workbench.run import privacy_ledger, trainings
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import RunGenerator


def planned(run: Run, generator: bool) -> list[Finding]:
    """The work of `fit`: rows, cells to encode, heads and steps to train."""
    rows, settings = run.checked.rows, run.settings
    counts = {part: len(rows.part(part)) for part in ("train", "valid", "test")}
    findings = [
        Finding(name="rows", scope={"split": part}, value=float(n), n=n, source="plan")
        for part, n in counts.items()
    ]
    for field in rows.schema.fields:
        present = sum(c is not None for c in rows.dataset.cells(field))
        findings.append(
            Finding(
                name="cells_to_encode",
                scope={"field": field.name, "encoder": field.encoder},
                value=float(present),
                n=present,
                note="fewer where the cache holds their features",
                source="plan",
            )
        )
    heads, note = (settings.predict.folds + 1) * len(settings.predict.decays), ""
    if settings.fusion.name == fusion_choice.AUTO:
        note = "linear networks; --fusion auto compares other heads beside them"
    if settings.fusion.name == fusion_choice.BEST_OF_ALL:
        fusions = fusion_choice.able(rows.target)
        note = f"{heads} of each of {', '.join(fusions)}, then {heads} of the best"
        heads *= len(fusions) + 1
    heads += settings.predict.folds + 1 if run.delivered.refitted else 0
    findings.append(
        Finding(
            name="heads_to_train",
            scope={"verb": "fit"},
            value=float(heads),
            note=note,
            source="plan",
        )
    )
    if generator:
        # refuses data without images, and a generator that makes something else
        refuse_medium(settings.generator.name, rows.schema, settings.generator.source)
        findings += training_plan(run.generator, settings.generator.seeds)
    if settings.tune.fields and settings.tune.steps:
        findings.append(
            Finding(
                name="tuning_steps",
                scope={"fields": " + ".join(settings.tune.fields)},
                value=float(settings.tune.steps),
                source="plan",
            )
        )
    return [*findings, cost.minutes(run, generator, heads)]


def training_plan(generator: RunGenerator, trainings: int) -> list[Finding]:
    """The steps of each training of a generator, and the limit of time where there is one."""
    settings, steps = generator.settings, generator.planned_steps
    few = generator.few_steps(steps)
    findings = [
        Finding(
            name="generator_steps",
            scope={"generator": settings.name},
            value=float(steps),
            note="; ".join([f"trainings: {trainings}", *([few] if few else [])]),
            source="plan",
        )
    ]
    if terms := generator.terms:
        findings.append(_spending(generator, terms, trainings))
    if settings.minutes is not None and not settings.steps:
        note = f"at most, {settings.minutes:g} for each; fewer steps where they don't suffice"
        findings.append(
            Finding(
                name="generator_minutes",
                scope={"generator": settings.name},
                value=settings.minutes * trainings,
                unit="minutes",
                note=note,
                source="plan",
            )
        )
    return findings


def _spending(generator: RunGenerator, terms: Terms, trainings: int) -> Finding:
    """What private trainings are going to spend, before anything is spent."""
    many = f"{trainings} trainings, each epsilon {terms.epsilon:g}, " if trainings > 1 else ""
    notes = [
        f"to be spent: {many}delta {terms.delta:.3g}, for adding or removing one {terms.unit}",
        "a training that the run folder holds already spends nothing",
        privacy_ledger.spent(generator.folder),
        f"Not private: {'; '.join(terms.promise(0.0, '').not_private)}",
    ]
    return Finding(
        name="privacy_epsilon",
        scope={"generator": generator.settings.name},
        value=terms.epsilon * trainings,
        better="lower",
        n=terms.groups,
        note=". ".join(filter(None, notes)),
        source="plan",
    )


def summary(run: Run) -> list[str]:
    """The contents of a run folder, one line each."""
    settings, folder = run.settings, run.folder.folder
    stages = sorted(p.parent.relative_to(folder).as_posix() for p in folder.glob("**/stage.json"))
    fields = ", ".join(
        f"{f.name} ({f.encoder}: {', '.join(f.columns)})" for f in run.data.schema.fields
    )
    # fewer than set, where minutes ended the training
    made = trainings.trained_steps(run.generator)
    steps = made or settings.generator.steps or "no"
    return [
        f"data: {settings.data.path or 'not here'}, target {settings.data.target or 'none'}",
        f"fields: {fields}",
        f"fusion {settings.fusion.name}, generator {settings.generator.name} ({steps} steps), seed"
        f" {settings.runtime.seed}",
        f"made so far: {', '.join(stages)}",
    ]
