"""The exhibits of a study and of an audit.

A study has forest plots by arm, class and fields, and a curve of scores by ratio. An audit has a
table of quality beside the floor: the score of unseen real images. And bars of the training rows
that its attacks find, beside the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.settings import Augment
from gobelin.evidence.findings import Finding, printed
from gobelin.report.drawing import words
from gobelin.report.exhibits import Exhibits

MEASURES = {
    "frechet_distance_corrected": (
        "Fréchet distance",
        "how far their average and spread lie from those of real images",
    ),
    "kernel_distance": (
        "kernel distance (KID)",
        "the same question, without the assumption of a normal distribution",
    ),
    "precision": ("precision", "share of generated images that lie among real ones"),
    "recall": ("recall", "share of real images that lie among generated ones"),
    "density": ("density", "how many real images lie around each generated one"),
    "coverage": ("coverage", "share of real images that have a generated one near by"),
    "authenticity": (
        "authenticity",
        "share of generated images that are no nearer to a training image than its own neighbours"
        " are",
    ),
    "diversity": ("diversity (Vendi)", "how many clearly different images there are"),
    "train_on_made_test_on_real": (
        "trained on generated images",
        "share of real images that a classifier trained on generated images alone reads right",
    ),
}
DOUBLES = (
    "frechet_distance",
    "kernel_distance_of_subsets",
    "mean_discrepancy",
)  # another row of the table shows the same

CAPTIONS = {
    "class": (
        "Exploratory: where help or harm may lie, without a verdict. The bars are wide enough to"
        " hold all at once. A bar from -100 to +100 has too few rows to show anything."
    ),
    "fields": (
        "The answers of the model where it is given these fields alone. Exploratory: the bars are"
        " wide enough to hold all at once."
    ),
}


def study(
    findings: Sequence[Finding], outcome: Outcome, settings: Augment, exhibits: Exhibits
) -> None:
    """Add the exhibits of `augment`."""
    verdicts = {(f.scope["arm"], f.comparator): f.verdict for f in findings if f.name == "verdict"}
    drawn = [
        f
        for f in findings
        if f.comparator and f.name != "verdict" and not {"class", "fields"} & set(f.scope)
    ]
    drawn.sort(
        key=lambda f: (f.scope["arm"], f.comparator) not in verdicts
    )  # the comparisons behind a verdict come first
    marked = [replace(f, verdict=verdicts.get((f.scope["arm"], f.comparator), "")) for f in drawn]
    axis = "difference on the test rows; right of zero = better"
    caption = (
        "Each line is a comparison: the dot is the measured difference, the bar shows where the"
        " true difference probably lies (95 %). A bar that crosses zero may be luck."
    )
    exhibits.forest(
        "forest",
        caption,
        marked,
        settings.smallest_effect,
        axis,
        title="Every training set against the others",
    )
    for key, by in (("class", "by class"), ("fields", "by fields")):
        for arm, _ in verdicts:
            compared = [
                f for f in findings if f.scope.get("arm") == arm and key in f.scope and f.comparator
            ]
            if len(compared) > 1:
                title = f"{by}: {arm} against {compared[0].comparator}"
                exhibits.forest(
                    _name(f"{by} {arm}"),
                    CAPTIONS[key],
                    compared,
                    settings.smallest_effect,
                    axis,
                    key,
                    title,
                )
    if len(settings.sweep) > 1:
        caption = (
            "Score on validation rows by the number of added rows. It is the score of the best"
            " settings at each number, so a little too high. Training sets without added"
            " rows are flat."
        )
        x, y = "added rows over real rows", "score on validation rows"
        exhibits.curve(
            "ratio",
            caption,
            settings.sweep,
            _over_ratio(outcome, settings),
            x,
            y,
            "How many rows to add",
        )


def _name(words: str) -> str:
    return words.replace(" + ", " and ").replace(" ", "_")


def _over_ratio(outcome: Outcome, settings: Augment) -> dict[str, list[float]]:
    """{arm: its score at each ratio, the mean over resamples}."""
    series = {}
    for arm in outcome.hits:
        curves = [{float(r): v for r, v in curve[arm].items()} for curve in outcome.curve]
        # an arm without added rows has one score, at ratio 0
        flat = [next(iter(c.values())) if set(c) == {0.0} else None for c in curves]
        series[arm] = [
            float(np.mean([c[r] if f is None else f for c, f in zip(curves, flat, strict=True)]))
            for r in settings.sweep
        ]
    return series


def membership(findings: Sequence[Finding], exhibits: Exhibits) -> None:
    """Add bars of the training rows that attacks find at the first rate of false alarms, and of
    those of the over-fitted control."""
    shares = [f for f in findings if f.name == "members_found" and f.value is not None]
    if not shares:
        return
    rate = shares[0].scope["false alarms"]
    several = len({f.scope.get("generator seed") for f in shares}) > 1
    bars = []
    for share in (f for f in shares if f.scope["false alarms"] == rate):
        label = f"attack by {share.scope['attack']}" if "attack" in share.scope else "control"
        if several:
            label += ", " + ", ".join(
                f"{key} {share.scope[key]}"
                for key in ("generator", "generator seed")
                if key in share.scope
            )
        bars.append(replace(share, scope={"attack": label}))
    exhibits.bars(
        "membership",
        f"Training rows that an attacker finds at {rate} false alarms. The line is guessing. The"
        " control is a generator that was over-fitted on purpose: its bar shows how much the audit"
        " can see.",
        bars,
        "attack",
        chance=shares[0].chance,
    )


def quality(measured: Sequence[Finding], exhibits: Exhibits) -> None:
    """Add the table of quality: a row for each measure and generator, beside the floor.

    measured: findings of metrics. Of several trainings of a generator the worst is shown.
    """
    worst: dict[tuple[str, str], Finding] = {}
    for finding in measured:
        key = finding.name, finding.scope.get("generator", "")
        if finding.name not in DOUBLES and "class" not in finding.scope:
            worst[key] = max(worst.get(key, finding), finding, key=_badness)
    order = sorted(worst, key=lambda key: (key[1], [*MEASURES, key[0]].index(key[0])))
    rows = [[*map(exhibits.say, _row(worst[key]))] for key in order]
    columns = [
        "measure",
        "generated images",
        "95 % interval",
        "real images",
        "better",
        "n",
        "what it measures",
    ]
    if len({generator for _, generator in worst}) > 1:
        columns.insert(1, "generator")
        rows = [
            [cells[0], generator, *cells[1:]]
            for (_, generator), cells in zip(order, rows, strict=True)
        ]
    caption = (
        "Generated images beside real images that were never trained on. The score of those is the"
        " floor; some measures have none. Of several trainings of a generator the worst is shown. "
    )
    caption += _circumstances(list(worst.values()))
    if rows:
        exhibits.table("quality", caption, columns, rows, "Quality of the generated images")


def _circumstances(measured: Sequence[Finding]) -> str:
    """The feature networks of the metrics with their image sizes, and the scores of chance."""
    networks = dict.fromkeys(
        f"Feature net{f.note.rpartition('feature net')[2]}."
        for f in measured
        if "feature net" in f.note
    )
    chance = [
        f"Chance of {MEASURES.get(f.name, (f.name,))[0]}: {printed(f.chance, f.unit)}."
        for f in measured
        if f.chance
    ]
    return " ".join([*networks, *dict.fromkeys(chance)]).rstrip()


def _badness(finding: Finding) -> float:
    """Larger is worse; a measure without a number is the worst."""
    if finding.value is None:
        return inf
    return finding.value if finding.better == "lower" else -finding.value


def _row(finding: Finding) -> list[str]:
    name, meaning = MEASURES.get(finding.name, (words(finding.name), ""))
    if finding.value is None:
        return [
            name,
            finding.verdict or "not measured",
            "",
            "",
            finding.better,
            str(finding.n),
            meaning,
        ]
    low, high, floor = (
        printed(v, finding.unit) if v is not None and isfinite(v) else ""
        for v in (finding.low, finding.high, finding.floor)
    )
    return [
        name,
        printed(finding.value, finding.unit),
        f"{low} to {high}" if low and high else "",
        floor,
        finding.better,
        str(finding.n),
        meaning,
    ]
