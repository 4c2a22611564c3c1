"""What a study and an audit have to look at: forests by arm, class and fields, scores by ratio,
quality beside the floor."""

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
        "the same question, asked without assuming a bell curve",
    ),
    "precision": ("precision", "share of made images that lie among real ones"),
    "recall": ("recall", "share of real images that lie among made ones"),
    "density": ("density", "how crowded with real images the places of made ones are"),
    "coverage": ("coverage", "share of real images that have a made one near by"),
    "authenticity": (
        "authenticity",
        "share of made images that aren't nearer to a training image than its own neighbours are",
    ),
    "diversity": ("diversity (Vendi)", "how many clearly different images there are"),
    "train_on_made_test_on_real": (
        "trained on made images",
        "share of real images that a classifier reads right after seeing made ones alone",
    ),
}
DOUBLES = (
    "frechet_distance",
    "kernel_distance_of_subsets",
    "mean_discrepancy",
)  # said by another row, in another way

CAPTIONS = {
    "class": (
        "Exploratory: a look at where help or harm may lie, without a verdict. The bars are wide"
        " enough to hold all at once; one from -100 to +100 has too few rows to say anything."
    ),
    "fields": (
        "What the model answers when it is shown these fields alone. Exploratory: the bars are wide"
        " enough to hold all at once."
    ),
}


def study(found: Sequence[Finding], outcome: Outcome, how: Augment, exhibits: Exhibits) -> None:
    """The exhibits of `augment`."""
    verdicts = {(f.scope["arm"], f.comparator): f.verdict for f in found if f.name == "verdict"}
    drawn = [
        f
        for f in found
        if f.comparator and f.name != "verdict" and not {"class", "fields"} & set(f.scope)
    ]
    drawn.sort(
        key=lambda f: (f.scope["arm"], f.comparator) not in verdicts
    )  # what the verdicts are about comes first
    marked = [replace(f, verdict=verdicts.get((f.scope["arm"], f.comparator), "")) for f in drawn]
    axis, whole = (
        "difference on the test rows; right of zero = better",
        "A line is a comparison: the dot is the difference that ",
    )
    whole += (
        "was found, the bar where the true one probably lies (95 %). A bar that crosses zero may be"
        " luck."
    )
    exhibits.forest(
        "forest",
        whole,
        marked,
        how.smallest_effect,
        axis,
        title="Every training set against the others",
    )
    for key, by in (("class", "by class"), ("fields", "by fields")):
        for arm, _ in verdicts:
            own = [
                f for f in found if f.scope.get("arm") == arm and key in f.scope and f.comparator
            ]
            if len(own) > 1:
                title = f"{by}: {arm} against {own[0].comparator}"
                exhibits.forest(
                    _name(f"{by} {arm}"), CAPTIONS[key], own, how.smallest_effect, axis, key, title
                )
    if len(how.sweep) > 1:
        caption = (
            "Score on validation rows, by how many rows were added; the best setting at each, so a"
            " little too high. Arms "
        )
        caption += "without added rows are flat."
        x, y = "added rows over real rows", "score on validation rows"
        exhibits.curve(
            "ratio", caption, how.sweep, _over_ratio(outcome, how), x, y, "How many rows to add"
        )


def _name(words: str) -> str:
    return words.replace(" + ", " and ").replace(" ", "_")


def _over_ratio(outcome: Outcome, how: Augment) -> dict[str, list[float]]:
    """{arm: the score at each ratio}, the mean over resamples."""
    series = {}
    for arm in outcome.hits:
        each = [{float(r): v for r, v in one[arm].items()} for one in outcome.curve]
        flat = [next(iter(one.values())) if set(one) == {0.0} else None for one in each]
        series[arm] = [
            float(np.mean([one[r] if f is None else f for one, f in zip(each, flat, strict=True)]))
            for r in how.sweep
        ]
    return series


def quality(measured: Sequence[Finding], exhibits: Exhibits) -> None:
    """A row a measure and generator, its worst training, beside what unseen real images score.
    measured: by metrics."""
    worst: dict[tuple[str, str], Finding] = {}
    for one in measured:
        key = one.name, one.scope.get("generator", "")
        if one.name not in DOUBLES and "class" not in one.scope:
            worst[key] = max(worst.get(key, one), one, key=_badness)
    order = sorted(worst, key=lambda key: (key[1], [*MEASURES, key[0]].index(key[0])))
    rows = [_row(worst[key]) for key in order]
    columns = [
        "measure",
        "made images",
        "95 % interval",
        "real images",
        "better",
        "n",
        "what it asks",
    ]
    if len({generator for _, generator in worst}) > 1:
        columns.insert(1, "generator")
        rows = [
            [cells[0], generator, *cells[1:]]
            for (_, generator), cells in zip(order, rows, strict=True)
        ]
    caption = (
        "Made images beside real ones that were never trained on, whose score is the floor; some"
        " measures have none. Of "
    )
    caption += "several trainings of a generator the worst. " + _circumstances(list(worst.values()))
    if rows:
        exhibits.table("quality", caption, columns, rows, "Quality of the made images")


def _circumstances(measured: Sequence[Finding]) -> str:
    """Who looked at the images, at what size, and what guessing scores where there is such a
    thing."""
    seen = dict.fromkeys(
        f"Feature net{f.note.rpartition('feature net')[2]}."
        for f in measured
        if "feature net" in f.note
    )
    chance = [
        f"Chance of {MEASURES.get(f.name, (f.name,))[0]}: {printed(f.chance, f.unit)}."
        for f in measured
        if f.chance
    ]
    return " ".join([*seen, *dict.fromkeys(chance)]).rstrip()


def _badness(one: Finding) -> float:
    """Larger is worse; a measure without a number is the worst."""
    return inf if one.value is None else one.value if one.better == "lower" else -one.value


def _row(one: Finding) -> list[str]:
    name, what = MEASURES.get(one.name, (words(one.name), ""))
    if one.value is None:
        return [name, one.verdict or "not measured", "", "", one.better, str(one.n), what]
    low, high, floor = (
        printed(v, one.unit) if v is not None and isfinite(v) else ""
        for v in (one.low, one.high, one.floor)
    )
    return [
        name,
        printed(one.value, one.unit),
        f"{low} to {high}" if low and high else "",
        floor,
        one.better,
        str(one.n),
        what,
    ]
