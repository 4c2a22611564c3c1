"""The plan of a study: what it will do and how large that is, and whether the test rows suffice."""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.arms import BASELINE, CLASSIC
from gobelin.augmentation.plan import ALL, DISAGREE, LEAST_UNITS, Power
from gobelin.augmentation.plan import power as power_of
from gobelin.core.errors import GobelinError, nearest
from gobelin.evidence.findings import Finding, printed
from gobelin.prediction import evaluation
from gobelin.workbench.augment import tuned_arms
from gobelin.workbench.augment.generators import arm_names, names, trainings_of
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.screens import exchangeable
from gobelin.workbench.run.chain import Run

VISIBLE = 0.05  # an effect that a study should be able to see, in points


def check(run: Run) -> None:
    """What can't be judged is refused before anything is trained."""
    model = run.predictor.model
    if model.kind == "labels":
        raise GobelinError(
            f"augment: the verdict compares one answer a row, and {model.target!r} has several"
            " labels. Fit with --target on a column of classes or a number."
        )
    _ = run.generator.field  # refuses a run without images
    tuned_arms.check(run.settings)
    if refused := refusal(power(run)):
        raise GobelinError(f"augment: {refused}")
    audits = run.settings.judge.audits
    if run.settings.augment.quarantine and audits and not exchangeable(run):
        raise GobelinError(
            f"augment: the audit for copies ({', '.join(audits)}) needs held-out rows that were"
            " drawn at random, and this split is by time or given by a column. Split at random by"
            " group, or go without it: --set judge.audits= (near copies of validation and test"
            " rows are left out all the same)."
        )
    _ = requested(run).places


def requested(run: Run) -> Parents:
    """The images that are to be made. A class of --per-class that isn't there, or that nothing can
    be made of, is refused."""
    target, parents = run.checked.rows.target, Parents.of(run)
    per_class = run.settings.augment.per_class
    if per_class and not target.exclusive:
        raise GobelinError(f"--per-class: {target.name!r} has no classes. Use --ratio.")
    for name, count in per_class.items():
        if name == ALL:
            continue
        if name not in target.classes:
            raise GobelinError(
                f"--per-class {name[:40]!r}: no such class of"
                f" {target.name!r}.{nearest(name, target.classes)}"
            )
        able = target.values[parents.usable] == target.classes.index(name)
        if count and not able.any():
            raise GobelinError(
                f"--per-class {name[:40]!r}: no training row to make images from, it needs an"
                " image, and rows of its class in every part. Leave that class out."
            )
    return parents


def power(run: Run) -> Power:
    """What the test rows let a study see."""
    rows = run.checked.rows
    scored = evaluation.scored_rows(rows.target, rows.labelled("test"))
    return power_of(rows.target, scored, rows.groups, run.settings.augment.smallest_effect)


def refusal(found: Power) -> str:
    """Why there can be no verdict, and the size needed; '' where there can."""
    if found.enough:
        return ""
    needed, seen = LEAST_UNITS, ""
    if found.detectable is not None:
        needed = max(needed, int(np.ceil(found.units * (found.detectable / VISIBLE) ** 2)))
        seen = f", an effect under {printed(found.detectable, 'points')} could hardly be seen"
    return (
        f"{found.units} independent test rows are too few for a verdict{seen}. {LEAST_UNITS} are"
        f" the least, about {needed} are needed to see {printed(VISIBLE, 'points')}; give more rows"
        " or a larger split.test."
    )


def scarce(run: Run, parents: Parents, source: str) -> list[Finding]:
    """Which classes have few training rows, or that none has."""
    target, share = run.checked.rows.target, run.settings.check.scarce
    if not target.exclusive:
        return []
    counts = np.bincount(parents.label, minlength=len(target.classes))
    limit = share * float(np.median(counts[counts > 0]))
    few = [c for c, n in zip(target.classes, counts, strict=True) if 0 < n < limit]
    none = "none is scarce: the images level the classes and are otherwise spread evenly"
    return [
        Finding(
            name="scarce_classes",
            value=float(len(few)),
            n=len(target.classes),
            note=", ".join(few) if few else none,
            source=source,
        )
    ]


def planned(run: Run) -> list[Finding]:
    """What a study would do here, without doing it."""
    parents = requested(run)
    tuned_arms.check(run.settings)
    findings = [*scarce(run, parents, "plan"), *_images(run, parents), *_work(run)]
    expected = power(run)
    if expected.detectable is not None:
        findings.append(
            Finding(
                name="smallest_detectable_effect",
                value=expected.detectable,
                unit="points",
                n=expected.units,
                needed_n=expected.needed,
                note=f"a guess from {expected.units} independent test rows, two arms answering"
                f" {100 * DISAGREE:g} % of them differently",
                source="plan",
            )
        )
    if why := refusal(expected):
        findings.append(
            Finding(name="verdict", verdict="refused", note=why, n=expected.units, source="plan")
        )
    return findings


def _images(run: Run, parents: Parents) -> list[Finding]:
    """Images to make, by class and in all."""
    settings, target, findings = run.settings.augment, run.checked.rows.target, []
    if target.exclusive:
        real, more = (
            np.bincount(label, minlength=len(target.classes))
            for label in (parents.label, parents.label[parents.places])
        )
        findings += [
            Finding(
                name="images_to_make",
                scope={"class": c},
                value=float(k),
                n=int(n),
                note="n: its real training rows",
                source="plan",
            )
            for c, k, n in zip(target.classes, more, real, strict=True)
            if n
        ]
    ratios = ", ".join(f"{r:g}" for r in settings.sweep)
    findings.append(
        Finding(
            name="images_to_make",
            value=float(len(parents.places) * _trainings(run) * settings.sets),
            note=f"ratios that are tried: {ratios}; study of {settings.study}, {settings.sets} sets"
            " of training rows",
            source="plan",
        )
    )
    return findings


def _work(run: Run) -> list[Finding]:
    """Opponents of each arm, generators and heads to train."""
    settings, rows = run.settings.augment, run.checked.rows
    unlabelled = (~rows.target.present[rows.part("train")]).any()
    rivals = [r for r in settings.rivals if r != "retrieved" or unlabelled]
    kinds = 2 if CLASSIC in rivals else 1  # generated, and classic + generated
    findings = [
        Finding(
            name="opponents",
            scope={"arm": arm},
            value=float(len(rivals) + 1),
            note=f"{BASELINE}, {', '.join(rivals)}",
            source="plan",
        )
        for generator in names(run)
        for arm in arm_names(run, generator)[:kinds]
    ]
    lacking = missing_trainings(run)
    arms = 1 + len(rivals) + kinds * _trainings(run)
    heads = arms * (settings.trials * settings.tuning_seeds + settings.seeds) * settings.sets
    findings += [
        Finding(
            name="generator_minutes",
            value=run.settings.generator.minutes * lacking,
            unit="minutes",
            source="plan",
            note=f"{lacking} trainings that are lacking, at most",
        ),
        Finding(
            name="heads_to_train",
            scope={"verb": "augment"},
            value=float(heads),
            note=f"{arms} arms, {settings.trials} settings each, {settings.seeds} seeds",
            source="plan",
        ),
    ]
    if settings.tune:
        tune = run.settings.tune
        limit = f"{tune.steps} steps each" if tune.steps else f"at most {tune.minutes:g} minutes"
        findings.append(
            Finding(
                name="encoders_to_train",
                value=float(arms * settings.seeds),
                note=limit if tune.steps else f"{limit} each",
                source="plan",
            )
        )
    return findings


def _trainings(run: Run) -> int:
    """Trainings of generators whose images a study compares."""
    return len(names(run)) * run.settings.generator.seeds


def missing_trainings(run: Run) -> int:
    """Trainings of generators that are to come; resamples of the training rows count as
    untrained."""
    sets = run.settings.augment.sets
    stages = [t.generator.stage(t.seed) for t in trainings_of(run)]
    return sum(sets > 1 or not run.folder.has(stage) for stage in stages) * sets
