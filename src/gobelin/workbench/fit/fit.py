"""The verb `fit`: its steps, and the findings on what was fitted, from training rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.embedding.alignment.align import Alignment
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Controls
from gobelin.prediction.fusion_choice import POOL
from gobelin.privacy.guarantee import Guarantee
from gobelin.quality.few_rows import too_few
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.run import privacy_ledger, trainings
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import RunGenerator

SHOWN_SHARE = 0.005  # of the pool, from which a head is named: a smaller one reads as 0%
FIT_SEEDS, FIT_CLASSES = 8, 3  # whose images are compared after a training


def fitted(run: Run, exhibits: Exhibits) -> list[Finding]:
    """The fields, the fusion, tuned encoders, the shared space, the training of the generator."""
    delivered, generator, predictor = run.delivered, run.generator, run.predictor
    model, features = predictor.model, predictor.features
    parts = [f"fusion {model.fusion}"]
    parts += [f"weight decay {model.decay:g}"] * (model.fusion != POOL)
    parts += [f"temperature {model.temperature:.2f}"] * bool(model.calibration.temperature)
    findings = [
        Finding(
            name="fields_used",
            scope={"fields": " + ".join(predictor.fields)},
            value=float(len(predictor.fields)),
            note=", ".join(parts),
            source="fit",
        )
    ]
    findings += [f for f in delivered.findings() if f.source == "fit"]
    present = dict(
        zip(features.embeddings.fields, features.embeddings.present.mean(0), strict=True)
    )
    findings += [
        Finding(
            name="field_left_out",
            scope={"field": field},
            value=float(present[field]),
            unit="share",
            source="fit",
            note="share of rows that have it; named in leave_out, or gives the label away",
        )
        for field in features.data.schema.field_names
        if field not in predictor.fields
    ]
    if heads := predictor.heads():
        findings.append(_pooled(heads))
    if fusions := predictor.fusion_findings():
        findings += fusions
        scores = [f for f in fusions if not f.comparator]
        exhibits.bars(
            "fusions",
            "Every fusion, scored on training rows that it was not fitted on.",
            scores,
            "fusion",
        )
    findings += features.tuning_findings()
    if trainings.trained_steps(generator) or predictor.space.settings.base:
        findings.append(_space(predictor.space.alignment))
    if steps := trainings.trained_steps(generator):
        findings.append(_generator(generator, steps))
        if promise := trainings.promise(generator):
            findings.append(_promise(generator, promise))
        if grids := trainings.grids(generator):
            exhibits.sheet(
                "generator_images",
                f"Images of {generator.settings.name} during training, made from the conditions of"
                " validation rows.",
                [{"label": f"after {step} steps", "images": [path]} for step, path in grids],
                "Images during training",
            )
    if curves := trainings.curves(generator):
        looks = sorted({step for curve in curves.values() for step in curve})
        exhibits.curve(
            "generator",
            f"Score of {generator.settings.name} on validation rows during training. Lower is"
            " better; the best weights are used.",
            looks,
            {f"seed {seed}": [curve.get(step) for step in looks] for seed, curve in curves.items()},
            "training steps",
            "held-out score",
        )
    return findings


def _pooled(heads: list[dict[str, Any]]) -> Finding:
    """How many heads were compared, and those that are in the pool."""
    kept = sorted((h for h in heads if h["share"] >= SHOWN_SHARE), key=lambda h: -h["share"])
    names = [f"{h['head']} of {h['reads']} ({h['share']:.0%})" for h in kept]
    several = "an average of" if len(names) > 1 else "that of"
    return Finding(
        name="heads_compared",
        value=float(len(heads)),
        unit="heads",
        n=heads[0]["n"],
        source="fit",
        note=(
            "on training rows that they were not fitted on. The prediction is"
            f" {several}"
            f" {'; '.join(names)}. gobelin leaderboard lists all"
        ),
    )


def _space(alignment: Alignment) -> Finding:
    """The width of the shared space, and the form that was chosen, among which."""
    scores = [f"{form} {score:.3f}" for form, score in alignment.compared]
    among = f" (mean reciprocal rank: {', '.join(scores)})" if scores else ""
    return Finding(
        name="shared_space",
        value=float(alignment.settings.width),
        unit="dimensions",
        source="fit",
        note=f"{alignment.form} was chosen on training rows held back{among}",
    )


def refuse(run: Run, generator: bool) -> None:
    """Raise GobelinError, before any work, for a run without a target, for too few labelled
    training rows, and for data without images where a generator is asked for."""
    if not run.settings.data.target:
        raise GobelinError("fit: a target was expected, found none. Name a column with --target.")
    rows = None if run.folder.has("model") else run.data.rows  # a fitted run reads them if need be
    if rows is not None and (few := too_few(rows.target, rows.parts)):
        raise GobelinError(f"fit: {few}")
    if generator:
        _ = run.generator.field


def fit(run: Run, generator: bool) -> Run:
    """The run with all that `fit` makes, and its decisions recorded."""
    run = run.with_tuning_decided()
    if run.settings.align.base:  # tells mistakes now; a space of its own is made when first needed
        _ = run.space.alignment
    run = run.with_fusion_chosen()
    _ = run.delivered.model
    run.keep()  # so that later verbs read no data
    if generator:
        run = run.with_steps_decided()
        train_generators(run)
    return run


def train_generators(run: Run) -> None:
    """Train the run's generator from each seed. After the first training, warn where its images of
    different seeds hardly differ."""
    already = run.generator.trained
    for seed in range(run.settings.generator.seeds):
        run.generator.sampler(seed)
    if not already:
        _tell_likeness(run)


def _tell_likeness(run: Run) -> None:
    """Warn where images of one of the most frequent classes hardly differ, once. Nothing for other
    targets."""
    from gobelin.workbench.generate import likeness, request  # they load Pillow

    target, train = run.checked.rows.target, run.checked.rows.part("train")
    if not target.exclusive or not len(train):
        return
    model = run.predictor.model
    values = np.asarray(target.values[train])
    classes, counts = np.unique(values[values >= 0], return_counts=True)
    trained, start = run.generator.sampler(0), request.Start()
    if not {"target", "text"} & trained.sampler.accepts or "source" in trained.sampler.accepts:
        return
    controls = Controls(run.settings.generator.guidance)
    for k in np.argsort(-counts, kind="stable")[:FIT_CLASSES]:
        label = str(model.classes[int(classes[k])])
        condition = request.condition_of(run, trained, label, {}, start, 1)
        repeated = condition.rows([0] * FIT_SEEDS)
        made = np.concatenate(list(trained.sample(repeated, range(FIT_SEEDS), controls)))
        if likeness.tell(run, condition, made, f"for {label!r}"):
            return


def _generator(generator: RunGenerator, steps: int) -> Finding:
    """The name, the size and the training of the generator, and where its images are."""
    settings, sides = generator.settings, generator.medium.dimensions
    notes = [
        f"{generator.medium.plural} of {' x '.join([str(settings.size)] * sides)}"
        f" {generator.medium.unit} in the column {generator.column}",
        f"trained from {settings.seeds} random starts" if settings.seeds > 1 else "",
        f"{generator.medium.plural} during training: {generator.stage(0)}/samples in the run folder"
        if trainings.grids(generator)
        else "",
        generator.few_steps(steps) or f"gobelin generate makes {generator.medium.plural}",
    ]
    return Finding(
        name="generator_steps",
        scope={"generator": settings.name},
        value=float(steps),
        unit="steps",
        note="; ".join(note for note in notes if note),
        source="fit",
    )


def _promise(generator: RunGenerator, promise: Guarantee) -> Finding:
    """The epsilon of the generator, and what it doesn't cover."""
    covered, not_covered = promise.sentences()
    spent = privacy_ledger.spent(generator.features.data.folder)
    return Finding(
        name="privacy_epsilon",
        scope={"generator": generator.settings.name},
        value=promise.epsilon,
        better="lower",
        source="fit",
        note=". ".join(filter(None, [covered, spent, not_covered])),
    )


def key_of_curves(run: Run) -> str:
    """Hash of what the findings show beside the predictor; '' where there is nothing."""
    tuning = [f.to_dict() for f in run.features.tuning_findings()]
    spent = privacy_ledger.spent(run.folder)
    parts = (
        trainings.curves(run.generator),
        tuning,
        trainings.trained_steps(run.generator),
        run.delivered.key,
        spent,
    )
    shown = [part for part in parts if part]
    return fingerprint(*shown) if shown else ""
