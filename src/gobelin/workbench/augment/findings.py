"""How many images a study generated, of which classes, and how many screening left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gobelin.evidence.conclusion import COPY_OF_TRAINING
from gobelin.evidence.findings import Finding
from gobelin.workbench.augment.arms import StudySet


def image_findings(sets: Sequence[StudySet]) -> list[Finding]:
    """Counts over all sets of training rows of a study."""
    first = sets[0]
    target, places = first.run.checked.rows.target, first.parents.places
    note = f"{len(places) * len(first.images) * len(sets)} images in all"
    if target.exclusive:
        counts = np.bincount(first.parents.label[places], minlength=len(target.classes))
        by_class = [f"{c} {k}" for c, k in zip(target.classes, counts, strict=True) if k]
        note += "; " + ", ".join(by_class)
    n = len(places)
    findings = [Finding(name="made_rows", value=float(n), n=n, note=note, source="augment")]
    for number in range(len(first.images)):
        findings += _screened(sets, number)
    return findings


def _screened(sets: Sequence[StudySet], number: int) -> list[Finding]:
    """Counts of screening for the images of one training of a generator."""
    first, total = sets[0], len(sets[0].parents.places) * len(sets)
    target, settings = first.run.checked.rows.target, first.run.settings.augment
    scope = {"generator": first.images[number].training.label()}
    reasons = [s.screening.screens[number].reasons() for s in sets]
    copied = tuple(dict.fromkeys(row for s in sets for row in s.screening.copied(number)))
    unsure = ""
    if settings.quarantine:
        unsure = next((f.verdict for s in sets for f in s.screening.unsure(number)), "")
    findings = [
        Finding(
            name="screened_out",
            scope={**scope, "why": reason},
            value=float(sum(r[reason] for r in reasons)),
            n=total,
            source="augment",
            verdict=unsure if reason == COPY_OF_TRAINING else "",
            sure=not (unsure and reason == COPY_OF_TRAINING),
            rows=copied if reason == COPY_OF_TRAINING else (),
            generator=first.images[number].training.name,
        )
        for reason in reasons[0]
    ]
    selected = sum(int(s.screening.selected(number).sum()) for s in sets)
    note = "no image passed screening: nothing was added, and the verdict does not concern the"
    findings.append(
        Finding(
            name="made_rows_kept",
            scope=scope,
            value=float(selected),
            n=total,
            note="" if selected else f"{note} generator",
            source="augment",
        )
    )
    failed: set[int] = set()
    for study_set in sets:
        out = study_set.screening.screens[number].failed
        if out is not None:
            failed |= set(study_set.parents.label[study_set.parents.places][out].tolist())
    findings += _summed([s.screening.matched[number].findings for s in sets])
    findings += [
        Finding(
            name="class_left_out",
            scope={**scope, "class": target.classes[c]},
            source="augment",
            note="the generator failed on it: hardly any of its images shows the class",
        )
        for c in sorted(failed)
    ]
    if first.screening.reader is None and settings.agree and target.exclusive:
        note = (
            "labels of generated images were not read: no image encoder is installed that the run"
            " does not use"
        )
        findings.append(
            Finding(name="label_not_screened", scope=scope, note=note, source="augment")
        )
    return findings


def _summed(findings_of_sets: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The findings of the first set of training rows, with the counts of all sets added."""
    out = []
    for first in findings_of_sets[0]:
        same = [
            f
            for findings in findings_of_sets
            for f in findings
            if (f.name, f.scope) == (first.name, first.scope)
        ]
        total = None if first.value is None else float(sum(f.value or 0.0 for f in same))
        out.append(replace(first, value=total, n=sum(f.n for f in same)))
    return out
