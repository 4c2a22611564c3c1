"""How many images a study made, of which classes, and what screening left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gobelin.evidence.conclusion import COPY_OF_TRAINING
from gobelin.evidence.findings import Finding
from gobelin.workbench.augment.arms import StudySet


def image_findings(sets: Sequence[StudySet]) -> list[Finding]:
    """Counts over all sets of training rows."""
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
    """What screening left out of one training's images."""
    first, total = sets[0], len(sets[0].parents.places) * len(sets)
    target, settings = first.run.checked.rows.target, first.run.settings.augment
    scope = {"generator": first.images[number].training.label()}
    reasons = [one.screening.screens[number].reasons() for one in sets]
    copied = tuple(dict.fromkeys(row for one in sets for row in one.screening.copied(number)))
    unsure = ""
    if settings.quarantine:
        unsure = next((f.verdict for one in sets for f in one.screening.unsure(number)), "")
    findings = [
        Finding(
            name="screened_out",
            scope={**scope, "why": why},
            value=float(sum(r[why] for r in reasons)),
            n=total,
            source="augment",
            verdict=unsure if why == COPY_OF_TRAINING else "",
            sure=not (unsure and why == COPY_OF_TRAINING),
            rows=copied if why == COPY_OF_TRAINING else (),
            generator=first.images[number].training.name,
        )
        for why in reasons[0]
    ]
    selected = sum(int(one.screening.selected(number).sum()) for one in sets)
    note = "no image passed screening: nothing was added, and the verdict says nothing of the"
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
    for one in sets:
        out = one.screening.screens[number].failed
        if out is not None:
            failed |= set(one.parents.label[one.parents.places][out].tolist())
    findings += _summed([one.screening.matched[number].findings for one in sets])
    findings += [
        Finding(
            name="class_left_out",
            scope={**scope, "class": target.classes[c]},
            source="augment",
            note="the generator failed on it: its label is read from hardly any of its images",
        )
        for c in sorted(failed)
    ]
    if first.screening.reader is None and settings.agree and target.exclusive:
        why = (
            "labels of made images were not read: no image encoder is installed that the run"
            " doesn't use itself"
        )
        findings.append(Finding(name="label_not_screened", scope=scope, note=why, source="augment"))
    return findings


def _summed(each: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The findings of the first set of training rows, each with the counts of the same one in all
    sets."""
    out = []
    for first in each[0]:
        same = [f for own in each for f in own if (f.name, f.scope) == (first.name, first.scope)]
        total = None if first.value is None else float(sum(f.value or 0.0 for f in same))
        out.append(replace(first, value=total, n=sum(f.n for f in same)))
    return out
