"""What the predictor's answers rest on, over many rows: `explain --summary`.

The rows are validation rows, at most 48; test rows are never opened. What is inside a field is
looked at in 16 of them. The delivered predictor has learned from them too: an explanation says what
it does, not how good it is.

What this cannot show: what decides in other rows. A share of effects is a share of the predictor's
reasons, not of causes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gobelin.core import catalog
from gobelin.evidence import intervals
from gobelin.evidence.findings import Finding, finite, number
from gobelin.evidence.intervals import Interval
from gobelin.prediction.attribution.faithfulness import Gain, agreement, faithfulness
from gobelin.report.heat import by_place
from gobelin.workbench.explain.answers import (
    Explained,
    ExplainedAnswers,
    RowExplanation,
    explain,
    gain_of,
)
from gobelin.workbench.explain.asked import AskedRow
from gobelin.workbench.explain.findings import (
    FAITHFULNESS,
    Faithful,
    faithful_finding,
    faithful_text,
    place_key,
    plural,
    scope_of,
)

ROWS, INSIDE = 48, 16  # that are explained: their fields, and what is inside a field
ORDERS = 100  # random orders of each explainer, over all rows
LEAST_ORDERS = 4  # of a row
AGAIN = 8  # rows that are explained twice, with other draws
DECIDES = 1 / 3  # share of all effects from which one part decides
MOST_TOLD = 6  # shares in a line
USUAL = 0.75  # share of rows in which it is the first
SHARE, DECISIVE, STABILITY = "share_of_effects", "decisive", "stability"  # names of findings


def explained(answers: ExplainedAnswers, rows: Sequence[AskedRow]) -> list[RowExplanation]:
    """The rows, with what is inside the fields of the first ones."""
    progress, out = answers.predictor.features.data.progress, []
    for k, row in enumerate(rows):
        out.append(explain(answers, row, None, None if k < INSIDE else ()))
        progress("explain rows", k + 1, len(rows))
    return out


def by_explainer(told: Sequence[RowExplanation]) -> dict[tuple[str, str], list[Explained]]:
    """{(explainer, field): its explanations}, those of the fields themselves first."""
    out: dict[tuple[str, str], list[Explained]] = {}
    for row in told:
        for one in row.all:
            out.setdefault((one.explainer, one.field), []).append(one)
    return out


def faithful_of(
    answers: ExplainedAnswers, told: Sequence[RowExplanation]
) -> dict[tuple[str, str], tuple[Interval, str]]:
    """How faithful each explainer is on those of these rows that have several parts."""
    all_of, progress = by_explainer(told), answers.predictor.features.data.progress
    some = {key: [one for one in ones if one.several] for key, ones in all_of.items()}
    found = {key: ones for key, ones in some.items() if ones}
    out: dict[tuple[str, str], tuple[Interval, str]] = {}
    done, total = 0, sum(map(len, found.values()))
    for key, ones in found.items():
        orders = max(LEAST_ORDERS, -(-ORDERS // len(ones)))
        gains: list[Gain] = []
        for k, one in enumerate(ones):
            gains.append(gain_of(one, orders, answers.seed + k))
            done += 1
            progress("compare with random orders", done, total)
        out[key] = faithfulness(gains)
    return out


def findings(
    answers: ExplainedAnswers,
    another: ExplainedAnswers,
    told: Sequence[RowExplanation],
    faithful: Faithful,
) -> list[Finding]:
    """What decides, in every kind of part, how faithful and how stable the explanations are.
    another: the same predictor with other draws."""
    out: list[Finding] = []
    for key, ones in by_explainer(told).items():
        names, shares = shares_of(ones)
        if names:
            shared = _shares(ones[0], names, shares)
            out += [*decisive(ones[0], names, shares), *shared]
        if key in faithful:
            out.append(faithful_finding(ones[0], faithful[key], answers.unit))
    return out + _stability(another, told)


def shares_of(ones: Sequence[Explained]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of P parts and float64 [n, P], each row's share of all effects. Of pixels the
    parts are places. Rows that lack a part have 0 there. Words have no shares: each text has
    its own."""
    if ones[0].unit == "word":
        return (), np.zeros((len(ones), 0))
    rows = []
    for one in ones:
        found = one.attribution
        if found.shape:
            rows.append(by_place(found.values.reshape(found.shape)))
        else:
            rows.append(dict(zip(found.parts, found.shares.tolist(), strict=True)))
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    if one.unit == "interval" and any(len(row) != len(names) for row in rows):
        return (), np.zeros((len(ones), 0))  # of sounds with other lengths
    return names, np.array([[row.get(name, 0.0) for name in names] for row in rows])


def _part(one: Explained) -> str:
    """What a part is called in a scope."""
    return place_key(one) if one.attribution.shape else one.unit


def _shares(one: Explained, names: Sequence[str], shares: np.ndarray) -> list[Finding]:
    """The mean share of each part, the largest first."""
    scope = {"field": one.field} if one.field else {}
    out = []
    for k in np.argsort(-shares.mean(0), kind="stable"):
        interval = intervals.mean(shares[:, k])
        # of one row there are no ends, and nan stays nan
        ends = np.clip([interval.low, interval.high], 0.0, 1.0)
        bounded = replace(interval, low=float(ends[0]), high=float(ends[1]))
        out.append(
            bounded.finding(
                SHARE,
                scope={**scope, _part(one): names[k]},
                unit="share",
                note=f"share of the effects of all {plural(_part(one))}, without their signs",
                source="explain",
            )
        )
    return out


def decisive(one: Explained, names: Sequence[str], shares: np.ndarray) -> list[Finding]:
    """One sentence where one part decides: it has a third of all effects or more, and is the
    first in three of four rows."""
    if len(names) < 2:
        return []
    best = int(shares.mean(0).argmax())
    mean, first = float(shares[:, best].mean()), float((shares.argmax(1) == best).mean())
    if mean < max(DECIDES, 1.5 / len(names)) or first < USUAL:
        return []
    name = f"the {names[best]}" if one.attribution.shape else names[best]
    scope = {"field": one.field} if one.field else {}
    return [
        Finding(
            name=DECISIVE,
            scope={**scope, _part(one): names[best]},
            value=mean,
            unit="share",
            verdict=f"{name} decides",
            n=len(shares),
            note=f"it has {number(mean, 'share')} of all effects and is the first in"
            f" {number(first, 'share')} of the rows",
            source="explain",
        )
    ]


def _stability(another: ExplainedAnswers, told: Sequence[RowExplanation]) -> list[Finding]:
    """The rank correlation of explanations with those of other draws."""
    found: dict[tuple[str, str], list[float]] = {}
    first: dict[tuple[str, str], Explained] = {}
    progress = another.predictor.features.data.progress
    for k, row in enumerate(told[:AGAIN]):
        label = row.answer or None
        inside = tuple(dict.fromkeys(one.field for one in row.inside))
        twin = explain(another, row.row, label, inside)
        for one, two in zip(row.all, twin.all, strict=True):
            if one.several:
                found.setdefault((one.explainer, one.field), []).append(
                    agreement(one.attribution, two.attribution)
                )
                first.setdefault((one.explainer, one.field), one)
        progress("explain again, with other draws", k + 1, min(AGAIN, len(told)))
    return [
        intervals.mean(values).finding(
            STABILITY,
            scope=scope_of(first[key]),
            better="higher",
            note="rank correlation with an explanation by other draws, 1 = the same order",
            source="explain",
        )
        for key, values in found.items()
    ]


def faithful_from(found: Sequence[Finding]) -> dict[tuple[str, str], tuple[Interval, str]]:
    """How faithful each explainer is, from the findings of a summary."""
    out: dict[tuple[str, str], tuple[Interval, str]] = {}
    units = {
        plural(str(catalog.declared("explainers", name, "unit"))): name
        for name in catalog.names("explainers")
    }
    for f in found:
        if f.name == FAITHFULNESS and f.value is not None:
            low, high = (math.nan if end is None else end for end in (f.low, f.high))
            interval = Interval(f.value, low, high, f.level, f.method, f.n)
            out[units[f.scope["parts"]], f.scope.get("field", "")] = (interval, f.verdict)
    return out


def lines(found: Sequence[Finding], unit: str) -> list[str]:
    """The summary as text: what decides, the shares, how faithful."""
    out = [
        f"{inside(f) + ': ' if inside(f) else ''}{f.verdict} ({f.note})."
        for f in found
        if f.name == DECISIVE
    ]
    shares = [f for f in found if f.name == SHARE]
    for key in dict.fromkeys((inside(f), _key(f)) for f in shares):
        some = [f for f in shares if (inside(f), _key(f)) == key][:MOST_TOLD]
        part = key[1]
        where = f" of {key[0]}" if key[0] else ""
        name, _, way = part.partition(" by ")
        told = [
            f"{f.scope[part]} {number(f.value, 'share')}"
            + (f" ({bounds(f)})" if finite(f.low) else "")
            for f in some
        ]
        way = f", by {way}" if way else ""
        out.append(f"Shares of effects, {plural(name)}{where}{way}: {', '.join(told)}.")
    for (explainer, field), how in faithful_from(found).items():
        parts = plural(str(catalog.declared("explainers", explainer, "unit")))
        where = f"{parts} of {field}" if field else parts
        out.append(f"{where.capitalize()}: {faithful_text(how, unit)}")
    return out


def _key(f: Finding) -> str:
    """What its parts are called."""
    return next((key for key in f.scope if key != "field"), "field")


def inside(f: Finding) -> str:
    """The field that a share is inside of; '' for the share of a field itself."""
    return f.scope.get("field", "") if len(f.scope) > 1 else ""


def bounds(f: Finding) -> str:
    """The interval of a share."""
    return f"{number(f.low, 'share').removesuffix(' %')} to {number(f.high, 'share')}"
