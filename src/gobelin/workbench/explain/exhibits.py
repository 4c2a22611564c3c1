"""The exhibits of explanations, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from gobelin.evidence.findings import Finding, number
from gobelin.report import waterfall
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.explain import summary
from gobelin.workbench.explain.answers import Explained, ExplainedAnswers, RowExplanation
from gobelin.workbench.explain.files import overlay_of, save_picture
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
            title=f"Shares of {plural(part)}{f' of {field}' if field else ''}",
        )
    for heading, row in zip(CONFIDENT, examples(told), strict=True):
        if row is not None:
            _row(run, answers, row, faithful, heading, exhibits)


def examples(
    told: Sequence[RowExplanation],
) -> tuple[RowExplanation | None, RowExplanation | None]:
    """The surest right and the surest wrong answer among rows that were looked into."""
    known = [r for r in told if r.row.truth and r.predicted and r.inside]
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
            pair = _pair(run, told, one, f"{name}-{plural(one.unit)}")
            _pixels(
                answers, told, one, [pair], f"{name}-{plural(one.unit)}", caption, title, exhibits
            )
        else:
            _waterfall(answers, one, name, caption, title, exhibits)


def show_generated(
    run: Run,
    answers: ExplainedAnswers,
    request: RowExplanation,
    images: Sequence[RowExplanation],
    faithful: Faithful,
    exhibits: Exhibits,
) -> None:
    """What moved generated images: a waterfall of the parts of their request, and images under the
    colours of the pixels that make the predictor read the class."""

    def faith(row: RowExplanation, one: Explained) -> str:
        how = faithful.get((one.explainer, one.field))
        return f" {faithful_text(how, answers.unit, row.asked_of)}" if how else ""

    for old in (run.folder.folder / FOLDER).glob("generated-*.png"):  # of another request
        old.unlink()
    one, what = request.fields, request.answer or answers.predictor.model.target
    told = (
        f"How each part of the request moves what the predictor reads in generated images: {what}."
    )
    title = f"Generated images, {what}: what was asked for"
    _waterfall(answers, one, "generated-request", told + faith(request, one), title, exhibits)
    for column in zip(*(row.all for row in images), strict=True):
        one, way = column[0], plural(column[0].unit)
        pairs = [
            _pair(run, row, one, f"generated-{way}-{row.row.id.split()[-1]}", row.called)
            for row, one in zip(images, column, strict=True)
        ]
        told = f"Why the predictor reads {what} in generated images.{faith(images[0], one)}"
        title = f"Generated images, {what}: {way} of {one.field}"
        _pixels(answers, images[0], one, pairs, f"generated-{way}", told, title, exhibits)


def _waterfall(
    answers: ExplainedAnswers,
    one: Explained,
    name: str,
    caption: str,
    title: str,
    exhibits: Exhibits,
) -> None:
    found = one.attribution
    parts = list(zip(found.parts, found.values.tolist(), strict=True))
    rows = waterfall.steps(parts, found.base, found.whole, f"without {plural(one.unit)}")
    exhibits.waterfall(name, caption, rows, answers.unit, title)


def _pair(
    run: Run, told: RowExplanation, one: Explained, name: str, caption: str = ""
) -> dict[str, str]:
    """Write an image as the encoder reads it, and the colours of its pixels over it. caption: of
    both, '' = the field."""
    folder = run.folder.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    left, right = f"{FOLDER}/{name}-image.png", f"{FOLDER}/{name}.png"
    image: np.ndarray = one.parts.image  # type: ignore[attr-defined]
    plain = Image.fromarray(image.round().astype(np.uint8))
    save_picture(run.folder.folder / left, plain, told, one)
    save_picture(run.folder.folder / right, overlay_of(one)[0], told, one)
    return {"left": left, "right": right, "caption": caption or one.field}


def _pixels(
    answers: ExplainedAnswers,
    told: RowExplanation,
    one: Explained,
    pairs: Sequence[Mapping[str, str]],
    name: str,
    caption: str,
    title: str,
    exhibits: Exhibits,
) -> None:
    method = one.attribution.method
    of = f" of {told.answer}" if told.answer else ""
    exhibits.pairs(
        name,
        f"{caption} Red pixels raise the {answers.unit or 'answer'}{of} when they are shown, blue"
        f" ones lower it; the bar has the numbers. {method[:1].upper()}{method[1:]}.",
        "as the encoder reads it",
        "what moves the answer",
        pairs,
        title,
        wide=True,
    )
