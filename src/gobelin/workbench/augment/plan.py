"""The plan of a study: the amount of its work, and whether the test rows suffice for a verdict."""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.arms import BASELINE, CLASSIC
from gobelin.augmentation.plan import ALL, DISAGREE, LEAST_UNITS, Power
from gobelin.augmentation.plan import power as power_of
from gobelin.core.errors import GobelinError, nearest
from gobelin.evidence.findings import Finding, printed
from gobelin.workbench.augment import tuned_arms
from gobelin.workbench.augment.generators import arm_names, names, trainings_of
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.row_losses import planned as planned_references
from gobelin.workbench.augment.selection import exchangeable
from gobelin.workbench.fit.plan import training_plan
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import RunGenerator

VISIBLE_EFFECT = 0.05  # an effect that a study should be able to show


def check(run: Run) -> None:
    """Refuse a study that can give no verdict, before anything is trained. Raises GobelinError."""
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
            f"augment: the audits ({', '.join(audits)}) need held-out rows that were"
            " drawn at random, and this split is by time or given by a column. Split at random by"
            " group, or leave the audits out: --set judge.audits= (near copies of validation and"
            " test rows are left out all the same)."
        )
    _ = requested(run).places


def requested(run: Run) -> Parents:
    """The parents of the images to generate.

    Raises GobelinError for a class of --per-class that the target does not have, or that has no
    parent row.
    """
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
        usable = target.values[parents.usable] == target.classes.index(name)
        if count and not usable.any():
            raise GobelinError(
                f"--per-class {name[:40]!r}: has no training row to generate images from. Such"
                " a row has an image, and its class has rows in every part. Leave that class out."
            )
    return parents


def power(run: Run) -> Power:
    """The effects that the test rows can show."""
    rows = run.checked.rows
    scored = rows.target.scored_rows(rows.labelled("test"))
    return power_of(rows.target, scored, rows.groups, run.settings.augment.smallest_effect)


def refusal(expected: Power) -> str:
    """Why there can be no verdict, and the number of rows needed; empty where there can be one."""
    if expected.enough:
        return ""
    needed, hidden = LEAST_UNITS, ""
    if expected.detectable is not None:
        needed = max(
            needed, int(np.ceil(expected.units * (expected.detectable / VISIBLE_EFFECT) ** 2))
        )
        hidden = f", an effect under {printed(expected.detectable, 'points')} would stay hidden"
    return (
        f"{expected.units} independent test rows are too few for a verdict{hidden}. {LEAST_UNITS}"
        f" are the least, about {needed} are needed to show {printed(VISIBLE_EFFECT, 'points')};"
        " give more rows or a larger split.test."
    )


def scarce(run: Run, parents: Parents, source: str) -> list[Finding]:
    """The classes with few training rows."""
    target, share = run.checked.rows.target, run.settings.check.scarce
    if not target.exclusive:
        return []
    counts = np.bincount(parents.label, minlength=len(target.classes))
    limit = share * float(np.median(counts[counts > 0]))
    few = [c for c, n in zip(target.classes, counts, strict=True) if 0 < n < limit]
    none = "no class is scarce: images fill the smaller classes up, then all classes evenly"
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
    """The findings of `plan --augment`: the images, the work and the power of a study."""
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
                note=f"a guess from {expected.units} independent test rows, if two arms answer"
                f" {100 * DISAGREE:g} % of them differently",
                source="plan",
            )
        )
    if reason := refusal(expected):
        findings.append(
            Finding(name="verdict", verdict="refused", note=reason, n=expected.units, source="plan")
        )
    return findings


def _images(run: Run, parents: Parents) -> list[Finding]:
    """The number of images to generate, by class and in all."""
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
                note="n: real training rows of the class",
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
            note=f"ratios to choose from: {ratios}; study of {settings.study}, {settings.sets} sets"
            " of"
            " training rows",
            source="plan",
        )
    )
    return findings


def _work(run: Run) -> list[Finding]:
    """The arms that each arm is compared with; generators, heads and encoders to train."""
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
    for generator, missing in missing_of(run):
        findings += training_plan(generator, missing) if missing else []
    if count := run.settings.judge.references:
        findings.append(
            Finding(
                name="references_to_train",
                value=float(count * _trainings(run)),
                note=planned_references(count, _trainings(run)),
                source="plan",
            )
        )
    arms = 1 + len(rivals) + kinds * _trainings(run)
    heads = arms * (settings.trials * settings.tuning_seeds + settings.seeds) * settings.sets
    findings += [
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
        findings.append(
            Finding(
                name="encoders_to_train",
                value=float(arms * settings.seeds),
                note=f"{tune.steps} steps each" if tune.steps else "",
                source="plan",
            )
        )
    return findings


def _trainings(run: Run) -> int:
    """The number of generator trainings in a study."""
    return len(names(run)) * run.settings.generator.seeds


def missing_trainings(run: Run) -> int:
    """The number of generator trainings that are still to do. A resample has none done."""
    return sum(missing for _, missing in missing_of(run))


def missing_of(run: Run) -> list[tuple[RunGenerator, int]]:
    """Every generator of the study with the number of its trainings that are still to do."""
    sets, out = run.settings.augment.sets, dict[str, tuple[RunGenerator, int]]()
    for one in trainings_of(run):
        stage = one.generator.stage(one.seed)
        missing = sets if sets > 1 or not run.folder.has(stage) else 0
        out[one.name] = (one.generator, out.get(one.name, (None, 0))[1] + missing)
    return list(out.values())
