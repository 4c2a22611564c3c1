"""The exhibits of explanations, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.data.images import png_bytes
from gobelin.evidence.findings import Finding, number
from gobelin.report import waterfall
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.explain import summary
from gobelin.workbench.explain.answers import Explained, ExplainedAnswers, RowExplanation
from gobelin.workbench.explain.files import picture
from gobelin.workbench.explain.findings import PLACE, Faithful, faithful_text, plural
from gobelin.workbench.explain.summary import SHARE
from gobelin.workbench.run.chain import Run

FOLDER = "images/explain"  # in the run folder
CONFIDENT = ("A right answer", "A wrong answer")


def show(
    run: Run,
    answers: ExplainedAnswers,
    told: Sequence[RowExplanation],
    faithful: Faithful,
    found: Sequence[Finding],
    exhibits: Exhibits,
) -> None:
    """The shares of fields and columns, then a right and a wrong answer: a waterfall of fields and
    pictures under the colours of their pixels."""
    shares = [
        f for f in found if f.name == SHARE and not any(key.startswith(PLACE) for key in f.scope)
    ]
    for field in dict.fromkeys(summary.inside(f) for f in shares):
        some = [f for f in shares if summary.inside(f) == field]
        part = next((key for key in some[0].scope if key != "field"), "field")
        exhibits.bars(
            f"shares-{field or 'fields'}",
            f"How much of the answers' effects each {part} has, on average over {some[0].n}"
            " validation rows, without signs.",
            some,
            part,
        )
    for heading, row in zip(CONFIDENT, examples(told), strict=True):
        if row is not None:
            _row(run, answers, row, faithful, heading, exhibits)


def examples(
    told: Sequence[RowExplanation],
) -> tuple[RowExplanation | None, RowExplanation | None]:
    """The surest right and the surest wrong answer among rows that were looked into."""
    known = [r for r in told if r.row.truth and r.inside]
    right = [r for r in known if r.row.truth == r.predicted]
    wrong = [r for r in known if r.row.truth != r.predicted]
    best = [max(some, key=lambda r: r.probability or 0.0, default=None) for some in (right, wrong)]
    return best[0], best[1]


def _row(
    run: Run,
    answers: ExplainedAnswers,
    told: RowExplanation,
    faithful: Faithful,
    heading: str,
    exhibits: Exhibits,
) -> None:
    stem = heading.split()[1]
    head = (
        f"row {told.row.id}: predicted {told.predicted}, {number(told.probability, 'share')}; the"
        f" data say {told.row.truth}."
    )
    for one in told.all:
        how = faithful.get((one.explainer, one.field))
        caption = f"{head} {faithful_text(how, answers.unit) if how else ''}".strip()
        name = f"{stem}-{one.field or 'fields'}"
        title = f"{heading}: {plural(one.unit)}" + (f" of {one.field}" if one.field else "")
        if one.attribution.shape:
            _pixels(
                run,
                answers,
                told,
                one,
                faithful,
                f"{name}-{plural(one.unit)}",
                caption,
                title,
                exhibits,
            )
            continue
        found = one.attribution
        parts = list(zip(found.parts, found.values.tolist(), strict=True))
        rows = waterfall.steps(parts, found.base, found.whole, f"without {plural(one.unit)}")
        exhibits.waterfall(name, caption, rows, answers.unit, title)


def _pixels(
    run: Run,
    answers: ExplainedAnswers,
    told: RowExplanation,
    one: Explained,
    faithful: Faithful,
    name: str,
    caption: str,
    title: str,
    exhibits: Exhibits,
) -> None:
    folder = run.folder.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    left, right = f"{FOLDER}/{name}-image.png", f"{FOLDER}/{name}.png"
    image: np.ndarray = one.parts.image  # type: ignore[attr-defined]
    (run.folder.folder / left).write_bytes(png_bytes(image.round().astype(np.uint8)))
    picture(answers, told, one, faithful).save(run.folder.folder / right, "PNG")
    exhibits.pairs(
        name,
        f"{caption} Red pixels raise the {answers.unit or 'answer'} of {told.answer or 'it'} when"
        f" they are shown, blue ones lower it; the bar has the numbers. {one.attribution.method}.",
        "as the encoder reads it",
        "what moves the answer",
        [{"left": left, "right": right, "caption": one.field}],
        title,
    )
