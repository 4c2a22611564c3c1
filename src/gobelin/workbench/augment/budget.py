"""The plan of a study: what will be done and how large it is, whether the test rows suffice, and
seeds that fit the minutes.

Decided once, before the work, and written to the run's settings as counts, so that the same command
goes on with one study."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gobelin.augmentation import plan
from gobelin.augmentation.arms import BASELINE, CLASSIC
from gobelin.augmentation.plan import ALL, DISAGREE, LEAST_UNITS, Power
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import write_json
from gobelin.evidence.findings import Finding, printed
from gobelin.prediction import evaluation
from gobelin.prediction.heads.job import Job
from gobelin.workbench.augment import tuned_arms
from gobelin.workbench.augment.arms import Arms
from gobelin.workbench.augment.trainings import arm_names, generators
from gobelin.workbench.run.folder import Artefacts

ENCODED_ARMS = (
    "generator_size",
    "procedural_noise",
)  # rivals with as many new images as are made; classic has its views
PROBE = 16  # images whose encoding is timed
OUGHT = 0.05  # an effect that a study should be able to see, in points


def power(made: Artefacts) -> Power:
    target = made.rows.target
    rows = evaluation.scored_rows(target, made.rows.labelled("test"))
    return plan.power(target, rows, made.rows.groups, made.settings.augment.smallest_effect)


def check(made: Artefacts) -> None:
    """What can't be judged is refused before anything is trained."""
    if made.model.kind == "labels":
        raise GobelinError(
            f"augment: the verdict compares one answer a row, and {made.model.target!r} has several"
            " labels. Fit with --target on a column of classes or a number."
        )
    _ = made.image_field
    tuned_arms.check(made)
    if refused := refusal(power(made)):
        raise GobelinError(f"augment: {refused}")
    audits = made.settings.judge.audits
    if made.settings.augment.quarantine and audits and not Arms(made).exchangeable:
        raise GobelinError(
            f"augment: the audit for copies ({', '.join(audits)}) needs held-out rows that were"
            " drawn at random, and this split is by time or given by a column. Split at random by"
            " group, or go without it: --set judge.audits= (near copies of validation and test"
            " rows are left out all the same)."
        )
    _ = asked(made).parents


def asked(made: Artefacts) -> Arms:
    """The arms that are to be made. A class of --per-class that isn't there, or that nothing can be
    made of, is refused."""
    target, arms, wanted = made.rows.target, Arms(made), made.settings.augment.per_class
    if wanted and not target.exclusive:
        raise GobelinError(f"--per-class: {target.name!r} has no classes. Use --ratio.")
    for name in wanted:
        if name != ALL and name not in target.classes:
            raise GobelinError(
                f"--per-class {name[:40]!r}: no such class of"
                f" {target.name!r}.{nearest(name, target.classes)}"
            )
        if (
            wanted[name]
            and name != ALL
            and not (target.values[arms.usable] == target.classes.index(name)).any()
        ):
            raise GobelinError(
                f"--per-class {name[:40]!r}: no training row to make images from, it needs an"
                " image, and rows of its class in every part. Leave that class out."
            )
    return arms


def refusal(found: Power) -> str:
    """Why there can be no verdict, and the size needed; '' where there can."""
    if found.enough:
        return ""
    needed, seen = LEAST_UNITS, ""
    if found.detectable is not None:
        needed = max(needed, int(np.ceil(found.units * (found.detectable / OUGHT) ** 2)))
        seen = f", an effect under {printed(found.detectable, 'points')} could hardly be seen"
    return (
        f"{found.units} independent test rows are too few for a verdict{seen}. {LEAST_UNITS} are"
        f" the least, about {needed} are needed to see {printed(OUGHT, 'points')}; give more rows"
        " or a larger split.test."
    )


def scarce(arms: Arms, source: str) -> list[Finding]:
    """Which classes have few training rows, or that none has."""
    target, share = arms.made.rows.target, arms.made.settings.check.scarce
    if not target.exclusive:
        return []
    real = np.bincount(arms.label, minlength=len(target.classes))
    few = [
        c
        for c, n in zip(target.classes, real, strict=True)
        if 0 < n < share * float(np.median(real[real > 0]))
    ]
    note = (
        ", ".join(few)
        if few
        else "none is scarce: the images level the classes and are otherwise spread evenly"
    )
    return [
        Finding(
            name="scarce_classes",
            value=float(len(few)),
            n=len(target.classes),
            note=note,
            source=source,
        )
    ]


def planned(made: Artefacts) -> list[Finding]:
    """What a study would do here, without doing it."""
    s, how, arms, target = made.settings, made.settings.augment, asked(made), made.rows.target
    tuned_arms.check(made)
    found, label, batches = (
        scarce(arms, "plan"),
        arms.label,
        len(generators(made)) * s.generator.seeds,
    )
    if target.exclusive:
        real, more = (
            np.bincount(label, minlength=len(target.classes)),
            np.bincount(label[arms.parents], minlength=len(target.classes)),
        )
        found += [
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
    many = len(arms.parents) * batches * how.sets
    ratios = ", ".join(f"{r:g}" for r in how.sweep)
    note = (
        f"ratios that are tried: {ratios}; study of {how.study}, {how.sets} sets of training rows"
    )
    found.append(Finding(name="images_to_make", value=float(many), note=note, source="plan"))
    rivals = [
        r
        for r in how.rivals
        if r != "retrieved" or (~target.present[made.rows.part("train")]).any()
    ]
    opponents = f"{BASELINE}, {', '.join(rivals)}"
    found += [
        Finding(
            name="opponents",
            scope={"arm": arm},
            value=float(len(rivals) + 1),
            note=opponents,
            source="plan",
        )
        for g in generators(made)
        for arm in arm_names(made, g)[: 2 if CLASSIC in rivals else 1]
    ]
    lacking = _lacking(made)
    found.append(
        Finding(
            name="generator_minutes",
            value=s.generator.minutes * lacking,
            unit="minutes",
            source="plan",
            note=f"{lacking} trainings that are lacking, at most",
        )
    )
    each = 1 + len(rivals) + (2 if CLASSIC in rivals else 1) * batches
    heads = each * (how.trials * how.tuning_seeds + how.seeds) * how.sets
    note = f"{each} arms, {how.trials} settings each, {how.seeds} seeds"
    found.append(
        Finding(
            name="heads_to_train",
            scope={"verb": "augment"},
            value=float(heads),
            note=note,
            source="plan",
        )
    )
    if how.tune:
        limit = (
            f"at most {s.tune.minutes:g} minutes each"
            if not s.tune.steps
            else f"{s.tune.steps} steps each"
        )
        found.append(
            Finding(
                name="encoders_to_train", value=float(each * how.seeds), note=limit, source="plan"
            )
        )
    expected = power(made)
    guess = (
        f"a guess from {expected.units} independent test rows, two arms answering"
        f" {100 * DISAGREE:g} % of them differently"
    )
    if expected.detectable is not None:
        found.append(
            Finding(
                name="smallest_detectable_effect",
                value=expected.detectable,
                unit="points",
                n=expected.units,
                needed_n=expected.needed,
                note=guess,
                source="plan",
            )
        )
    if why := refusal(expected):
        found.append(
            Finding(name="verdict", verdict="refused", note=why, n=expected.units, source="plan")
        )
    return found


def _lacking(made: Artefacts) -> int:
    """Trainings of generators that are to come; resamples of the training rows count as
    untrained."""
    seeds, sets = range(made.settings.generator.seeds), made.settings.augment.sets
    return (
        sum(
            sets > 1 or not made.run.has(f"generators/{g}-{k}")
            for g in generators(made)
            for k in seeds
        )
        * sets
    )


def decide(made: Artefacts) -> None:
    """Seeds that fit into the minutes, every arm running; written to the settings with all else
    that was asked."""
    how = made.settings.augment
    before = made.run.stored("settings.json").get("augment", {})
    if how.minutes is None or before.get("minutes") == how.minutes:
        made.record(made.settings)
        return
    s, lack = made.settings, _lacking(made)
    seconds = 60 * how.minutes
    each = min(60 * s.generator.minutes, seconds / 2 / max(lack, 1))
    s = replace(s, generator=replace(s.generator, minutes=each / 60))
    made.settings, arms = s, Arms(made)
    batches = len(generators(made)) * s.generator.seeds
    many = 1 + len(how.rivals) + 2 * batches
    head, image = _seconds(made, arms, many)
    images = len(arms.parents) * (3 * batches + sum(r in how.rivals for r in ENCODED_ARMS) + 1)
    fixed = lack * each + how.sets * (head * how.trials * how.tuning_seeds + image * images)
    most = max(how.seeds, Augment().seeds)
    seeds = plan.affordable(seconds, fixed, head * how.sets, most)
    made.record(replace(s, augment=replace(how, seeds=seeds)))


@contextlib.contextmanager
def undone(made: Artefacts) -> Iterator[None]:
    """Where a generator of the study can't be trained, the run's settings are what they were
    before."""
    before = made.run.stored("settings.json")
    try:
        yield
    except GobelinError:
        trained = [g for g in generators(made) if made.run.has(f"generators/{g}-0")]
        if len(trained) < len(generators(made)):
            steps = made.settings.augment.steps
            before.setdefault("augment", {})["steps"] = {
                g: n for g, n in steps.items() if g in trained
            }
            write_json(made.run.folder / "settings.json", before)
        raise


def _seconds(made: Artefacts, arms: Arms, many: int) -> tuple[float, float]:
    """Of one head of every arm together, and of encoding one image; measured."""
    fusion = catalog.build("fusion", made.settings.fusion.name, made.settings.fusion.settings)
    rows = made.rows.labelled("train")
    x, target = (
        made.inputs(made.embeddings.rows(rows)).keep(made.predict_fields),
        made.rows.target.rows(rows),
    )
    jobs = [Job(np.arange(len(rows)), np.ones(len(rows), np.float32), k, 1e-2) for k in range(many)]
    start = time.monotonic()
    fusion.fit(x, target, jobs, np.arange(len(rows)), made.runtime, made.progress)
    head, start = time.monotonic() - start, time.monotonic()
    size = made.settings.generator.size
    made.encode_images(np.zeros((PROBE, size, size, 3), np.uint8))
    return head, (time.monotonic() - start) / PROBE


def said(made: Artefacts) -> list[Finding]:
    """How many seeds there are, where a budget decided it."""
    how = made.settings.augment
    if how.minutes is None:
        return []
    note = f"decided before the work so that it fits {how.minutes:g} minutes; every rival runs"
    if how.seeds < Augment().seeds:
        note += f"; {Augment().seeds} are usual, so the interval is wider"
    return [
        Finding(
            name="seeds_of_each_arm",
            value=float(how.seeds),
            n=how.seeds,
            note=note,
            source="augment",
        )
    ]
