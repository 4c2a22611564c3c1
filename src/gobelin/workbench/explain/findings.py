"""Explanations as findings, and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from gobelin.evidence.findings import Finding, number
from gobelin.evidence.intervals import Interval
from gobelin.prediction.attribution.faithfulness import BETTER
from gobelin.report import heat, waterfall
from gobelin.workbench.explain.answers import Explained, ExplainedAnswers, RowExplanation

FAITHFULNESS = "faithfulness"  # name of the finding
Z = 1.959964  # of an interval of 95 %
MOST_PAIRS = 3  # of interactions that are told
PLACE = "place"  # of an image, in a scope
MOST_PLACES = 3  # of an image that are told
LEAST_PAIR = 0.1  # of the largest effect: a smaller interaction is not told in a text
Faithful = Mapping[tuple[str, str], tuple[Interval, str]]  # (explainer, field) -> how faithful


class Explanation(list[Finding]):
    """The findings of explanations, and the rows behind them."""

    def __init__(
        self,
        findings: Iterable[Finding],
        lines: Sequence[str],
        rows: Sequence[RowExplanation] = (),
    ) -> None:
        super().__init__(findings)
        self.rows = tuple(rows)
        self._lines = list(lines)

    def lines(self) -> list[str]:
        """The explanations as text: a waterfall for each row."""
        return list(self._lines)


def plural(unit: str) -> str:
    head, of, rest = unit.partition(" of ")
    return f"{head}s{of}{rest}"


def scope_of(one: Explained) -> dict[str, str]:
    """{field, parts} of an explanation."""
    return {**({"field": one.field} if one.field else {}), "parts": plural(one.unit)}


def place_key(one: Explained) -> str:
    """What a place of an image is called in a scope: of occlusion, or of another way."""
    return PLACE if one.unit == "pixel" else f"{PLACE} by {plural(one.unit)}"


def faithful_finding(
    one: Explained, found: tuple[Interval, str], unit: str, rows: tuple[str, ...] = ()
) -> Finding:
    """How faithful an explanation is. rows: the one row that it was measured on."""
    interval, verdict = found
    return Finding(
        name=FAITHFULNESS,
        scope=scope_of(one),
        comparator="random orders",
        value=interval.value,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        method=interval.method,
        unit=unit,
        better="higher",
        verdict=verdict,
        sure=verdict == BETTER,
        n=interval.n,
        rows=rows,
        note="symmetric relevance gain: the answer when the least relevant parts are hidden first,"
        " less that when the most relevant ones are",
        source="explain",
    )


def of_row(answers: ExplainedAnswers, told: RowExplanation, faithful: Faithful) -> list[Finding]:
    """The findings on one row."""
    rows, unit = (told.row.id,), answers.unit
    scope = {"class": told.answer} if told.answer else {}
    fields = told.fields.attribution
    findings = [
        Finding(
            name="explained_answer",
            scope=scope,
            value=fields.whole,
            unit=unit,
            rows=rows,
            note="; ".join(filter(None, [_probability(told), _base(answers, fields.base)])),
            source="explain",
        )
    ]
    for one in told.all:
        findings += [*effects(one, unit, rows), *_interactions(one, unit, rows)]
        if (found := faithful.get((one.explainer, one.field))) is not None:
            findings.append(faithful_finding(one, found, unit, rows))
    return findings


def _probability(told: RowExplanation) -> str:
    return "" if told.probability is None else f"probability {number(told.probability, 'share')}"


def _base(answers: ExplainedAnswers, base: float) -> str:
    """What the answer is without any field, in words."""
    count = 0 if answers.others is None else len(answers.others)
    where = f"on average over {count} training rows" if count else "with every field missing"
    return f"{number(base)} {where}"


def effects(one: Explained, unit: str, rows: tuple[str, ...]) -> list[Finding]:
    """A finding for each part, the largest first; of pixels the places that count most."""
    found, shares = one.attribution, one.attribution.shares
    if found.shape:
        places = heat.by_place(found.values.reshape(found.shape))
        return [
            Finding(
                name="place",
                scope={"field": one.field, place_key(one): place},
                value=share,
                unit="share",
                rows=rows,
                note=f"share of what all pixels count; {found.method}",
                source="explain",
            )
            for place, share in sorted(places.items(), key=lambda p: -p[1])[:MOST_PLACES]
        ]
    out = []
    for k in np.argsort(-np.abs(found.values), kind="stable"):
        error = float(found.error[k]) if len(found.error) else 0.0
        value, name = float(found.values[k]), found.parts[k]
        word = one.unit == "word"  # a person's own: it stands in `cells`
        scope = {"field": one.field} if one.field else {}
        out.append(
            Finding(
                name="effect",
                scope={**scope, one.unit: str(k + 1) if word else name},
                value=value,
                low=value - Z * error if error else None,
                high=value + Z * error if error else None,
                method=f"{found.method}; the interval is that of the draws" if error else "",
                unit=unit,
                rows=rows,
                cells=(name,) if word else (),
                note=f"{number(float(shares[k]), 'share')} of all effects"
                + ("" if error else f"; {found.method}"),
                source="explain",
            )
        )
    return out


def _interactions(one: Explained, unit: str, rows: tuple[str, ...]) -> list[Finding]:
    """The largest interactions of two parts."""
    pairs = one.attribution.pairs
    if pairs is None or one.unit not in ("field", "column"):
        return []
    both = sorted(combinations(range(len(pairs)), 2), key=lambda ij: -abs(pairs[ij]))
    scope = {"field": one.field} if one.field else {}
    names = one.attribution.parts
    return [
        Finding(
            name="interaction",
            scope={**scope, plural(one.unit): f"{names[i]} + {names[j]}"},
            value=float(pairs[i, j]),
            unit=unit,
            rows=rows,
            note="what the two do together beyond what each does; each effect holds half of it",
            source="explain",
        )
        for i, j in both[:MOST_PAIRS]
    ]


def lines_of_row(answers: ExplainedAnswers, told: RowExplanation, faithful: Faithful) -> list[str]:
    """One row as text."""
    model = answers.predictor.model
    whole = told.fields.attribution.whole
    if told.answer:
        share = number(told.probability, "share")
        sure = f"{share} ({answers.unit} {number(whole)})"
        if told.answer == told.predicted:
            head = f"{told.answer}: predicted, {sure}"
        elif told.predicted:
            head = f"predicted {told.predicted}; explained here: {told.answer}, {sure}"
        else:
            head = f"{told.answer}: probability, {sure}"
    else:
        head = f"{model.target}: {number(whole)}"
    truth = f"; the data say {told.row.truth}" if told.row.truth else ""
    lines = [f"row {told.row.id}: {head}{truth}"]
    for one in told.all:
        lines += ["", *lines_of(answers, one), *faithful_lines(told, one, faithful, answers.unit)]
    return lines


def lines_of(answers: ExplainedAnswers, one: Explained) -> list[str]:
    """One explanation as text."""
    found = one.attribution
    where = f"{plural(one.unit)} of {one.field}" if one.field else plural(one.unit)
    if found.shape:
        places = heat.by_place(found.values.reshape(found.shape))
        best = sorted(places.items(), key=lambda p: -p[1])[:MOST_PLACES]
        told = ", ".join(f"{place} {share:.0%}" for place, share in best)
        return [f"{where}, {found.method}: {told} of what all pixels count. --out draws them."]
    parts = list(zip(found.parts, found.values.tolist(), strict=True))
    start = f"without {plural(one.unit)}"
    unit = f", in {answers.unit}" if answers.unit else ""
    lines = [f"{where}{unit}, {found.method}:"]
    lines += waterfall.lines(waterfall.steps(parts, found.base, found.whole, start))
    largest = max(map(abs, found.values.tolist()), default=0.0)
    for pair in _interactions(one, "", ()):
        if pair.value is not None and abs(pair.value) > LEAST_PAIR * largest:
            both = pair.scope[plural(one.unit)]
            lines.append(f"  {both} together: {number(pair.value, '', True)}, in halves above")
    return lines


def faithful_lines(
    told: RowExplanation, one: Explained, faithful: Faithful, unit: str
) -> list[str]:
    """How faithful an explanation of a row is, as a line; none where it is not known."""
    found = faithful.get((one.explainer, one.field))
    return [] if found is None else [f"  {faithful_text(found, unit, told.asked_of)}"]


def faithful_text(
    found: tuple[Interval, str], unit: str, of: tuple[str, str] = ("this row", "held-out rows")
) -> str:
    """How faithful an explanation is, in one sentence. of: what one and several rows are called."""
    interval, verdict = found
    ends = f"{number(interval.low)} to {number(interval.high)}"
    where = of[0] if interval.n == 1 else f"{interval.n} {of[1]}"
    gained = f"gain over random orders {number(interval.value, unit)}, {ends}"
    return f"Faithful to the predictor: {verdict} ({where}: {gained})."
