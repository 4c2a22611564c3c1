"""The verb `explain`: one row, the rows of another data set, or all of them in a summary."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import numpy_generator
from gobelin.data.dataset import Dataset
from gobelin.data.files import file_values
from gobelin.data.media import kinds as media
from gobelin.data.provenance.marks import read_lineage
from gobelin.data.tables.frames import TableLike
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.prediction.attribution.faithfulness import faithfulness
from gobelin.quality.data import Check
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.explain import exhibits as drawn
from gobelin.workbench.explain import files, generated, summary
from gobelin.workbench.explain.answers import (
    Explained,
    ExplainedAnswers,
    RowExplanation,
    answers_of_run,
    explain,
    gain_of,
    refuse_fields,
    told_whole,
)
from gobelin.workbench.explain.asked import AskedRow, named_row, of_data, of_query, of_run
from gobelin.workbench.explain.findings import Explanation, lines_of_row, of_row
from gobelin.workbench.export_folder import refuse_no_folder
from gobelin.workbench.predict.predict import other_rows
from gobelin.workbench.run import needs, verbs
from gobelin.workbench.run.chain import Run

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
FORMAT = 2  # of the summary; 1 counted rows of one part as no better than random
MOST_ROWS = 100  # of a data set that are explained one by one
# random orders that an explanation of one row is compared with; of what is slow to ask fewer
ORDERS = {"field": 100, "column": 20, "word": 20, "interval": 10, "pixel": 10, "gradient": 10}


@dataclass(frozen=True)
class Asked:
    """What a user wants to have explained."""

    query: Mapping[str, str]  # {flag or column: text}; 'row' may be an id
    label: str | None = None  # the class; None = the one that each row gets
    inside: tuple[str, ...] = ()  # the fields that are looked into; () = all
    out: str | Path | None = None  # folder for JSON and pictures
    summary: bool = False  # what many rows have in common
    generated: bool = False  # the images that are generated from the query


def explained(run: Run, asked: Asked, data: str | Path | Dataset | TableLike | None) -> Explanation:
    """The explanation that a user wants. data: another data set, whose rows are explained."""
    others = None if data is None else other_rows(run, data, None, None)
    answers = answers_of_run(run)
    refuse_fields(answers, asked.inside)
    _refuse_mixed(asked, others is not None)
    if asked.out is not None:  # before the work
        refuse_no_folder(Path(asked.out), "explain --out ")
    if asked.generated:
        out = None if asked.out is None else Path(asked.out)
        return generated.explained(run, answers, asked.label, asked.query, out)
    if asked.summary:
        return summarised(run) if others is None else data_summary(run, *others)
    if others is None:
        row = _row(run, asked.query)
        if asked.label is None and (requested := _requested(answers, row)):
            LOG.warning(
                "explain: the image was generated for %r, as its file says, so this class is"
                " explained. --label chooses another one.",
                requested,
            )
            asked = replace(asked, label=requested)
        return _explanation(answers, [row], asked, _kept(run, answers))
    return data_rows(run, answers, *others, asked)


def _requested(answers: ExplainedAnswers, row: AskedRow) -> str:
    """The class that an image of the row was generated for; '' where its file says none."""
    for field, cell in row.cells.items():
        if answers.predictor.features.data.schema.field(field).kind not in media():
            continue
        for data in file_values(cell):
            lineage = read_lineage(io.BytesIO(data)) if isinstance(data, bytes) else None
            condition = (lineage or {}).get("condition")
            label = condition.get("label") if isinstance(condition, dict) else None
            if label in answers.predictor.model.classes:
                return str(label)
    return ""


def _refuse_mixed(asked: Asked, others: bool) -> None:
    """Raises GobelinError where nothing is asked for, or two things that exclude each other."""
    name = next(iter(asked.query), "")
    if asked.generated:
        _refuse_beside_generated(asked, others)
        return
    if not (asked.query or others or asked.summary):
        raise GobelinError(
            "explain: nothing to explain. Give --row ID, --text, --image, --query COLUMN=VALUE,"
            " --data FILE or --summary; in Python row=, text=, image=, COLUMN=, data= or"
            " summary=True."
        )
    if name and (others or asked.summary):
        other = "--data" if others else "--summary"
        raise GobelinError(f"explain: found {name!r} and {other}. Give one of them.")
    if asked.summary and (asked.label is not None or asked.inside or asked.out is not None):
        given = "--label" if asked.label is not None else "--in" if asked.inside else "--out"
        raise GobelinError(
            f"explain --summary: takes no {given}, as it is about all classes and fields. Leave it"
            " out; the report has the pictures."
        )


def _refuse_beside_generated(asked: Asked, others: bool) -> None:
    """Raises GobelinError for what images of a request can't be explained with."""
    wrong = {
        "--data": others,
        "--summary": asked.summary,
        "--in": asked.inside,
    }
    if given := next((name for name, there in wrong.items() if there), None):
        raise GobelinError(f"explain --generated: takes no {given}. Leave it out.")


def _row(run: Run, query: Mapping[str, str]) -> AskedRow:
    """'row' is the id of a row of the run, or columns of numbers and categories."""
    place = named_row(run, query, "explain")
    return of_query(run, query) if place is None else of_run(run, [place])[0]


def data_rows(
    run: Run, answers: ExplainedAnswers, dataset: Dataset, settings: Check, asked: Asked
) -> Explanation:
    """The rows of another data set, one by one."""
    rows = of_data(answers.predictor.features, dataset, settings)
    if len(rows) > MOST_ROWS:
        LOG.warning(
            "explain: the first %d of %d rows are explained one by one. --summary explains what"
            " they have in common.",
            MOST_ROWS,
            len(rows),
        )
    return _explanation(answers, rows[:MOST_ROWS], asked, _kept(run, answers))


def _explanation(
    answers: ExplainedAnswers, rows: Sequence[AskedRow], asked: Asked, kept: _Kept
) -> Explanation:
    """Findings, text and files of rows. Rows without a field of prediction are named."""
    inside = asked.inside or None
    findings: list[Finding] = []
    lines: list[str] = []
    told: list[RowExplanation] = []
    letters = ""  # that no font has
    progress = answers.predictor.features.data.progress
    for k, row in enumerate(rows):
        if len(rows) > 1 and not row.embeddings.only(answers.fields).present.any():
            LOG.warning("explain: row %s has none of the fields that prediction uses.", row.id)
            continue
        one = explain(answers, row, asked.label, inside)
        faithful = {key: kept[key] if key in kept else _alone(part) for key, part in _parts(one)}
        findings += of_row(answers, one, faithful)
        lines += [*([""] if lines else []), *lines_of_row(answers, one, faithful)]
        told.append(one)
        if asked.out is not None:
            letters += files.write(Path(asked.out), answers, one, faithful, k)
        if len(rows) > 1:
            progress("explain rows", k + 1, len(rows))
    lines += ["", _hidden(answers)]
    if asked.out is not None:
        lines += files.where(asked.out, letters)
    return Explanation(findings, lines, told)


_Kept = Mapping[tuple[str, str], tuple[Interval, str]]


def _parts(told: RowExplanation) -> list[tuple[tuple[str, str], Explained]]:
    """What has several parts: one alone has no order that could be right."""
    return [((one.explainer, one.field), one) for one in told.all if one.several]


def _alone(one: Explained) -> tuple[Interval, str]:
    """How faithful an explanation is on its own row."""
    return faithfulness([gain_of(one, ORDERS[one.unit], 0)])


def _hidden(answers: ExplainedAnswers) -> str:
    """What hidden fields are, which pixels no gradient explains, and which fields are explained as
    wholes, in sentences."""
    if answers.others is None:
        hidden = (
            "What is hidden is missing, as this run was saved without its data. A predictor answers"
            " less surely with fewer fields, and each field gets a part of that."
        )
    else:
        kinds = {answers.predictor.features.data.schema.field(f).kind for f in answers.fields}
        places = [
            f"In the place of hidden fields and columns stand those of {len(answers.others)}"
            " training rows, one after the other",
            *["hidden words are left out"] * ("text" in kinds),
            *["hidden pixels have the mean colour of the image"] * ("image" in kinds),
        ]
        hidden = f"{'; '.join(places)}."
    return " ".join([hidden, *answers.without_gradients(), *told_whole(answers)])


def summarised(run: Run) -> Explanation:
    """What the answers for validation rows rest on. It is kept in the run, for the report."""
    needs.data(run, "explain --summary")
    answers = answers_of_run(run)
    places = run.checked.rows.part("valid")
    chosen = numpy_generator(answers.seed, "summary").permutation(places)[: summary.ROWS]

    def find(exhibits: Exhibits) -> list[Finding]:
        told, faithful, found = _summed(run, answers, of_run(run, np.sort(chosen)))
        drawn.show(run, answers, told, faithful, found, exhibits)
        return found

    keep = partial(verbs.keep, run.folder, run.settings.data.cited, "explain")
    found = keep(_key(run, answers), find)
    return Explanation(found, _summary_lines(answers, found))


def data_summary(run: Run, dataset: Dataset, settings: Check) -> Explanation:
    """What the answers for the rows of another data set rest on. Nothing is kept."""
    answers = answers_of_run(run)
    rows = of_data(answers.predictor.features, dataset, settings)
    some = [r for r in rows if r.embeddings.only(answers.fields).present.any()]
    if not some:
        raise GobelinError(
            f"explain: no row of {dataset.source} has a field that prediction uses:"
            f" {', '.join(answers.fields)}. Give other rows."
        )
    chosen = numpy_generator(answers.seed, "summary").permutation(len(some))[: summary.ROWS]
    told, _, found = _summed(run, answers, [some[k] for k in np.sort(chosen)])
    return Explanation(found, _summary_lines(answers, found), told)


def _summed(
    run: Run, answers: ExplainedAnswers, rows: Sequence[AskedRow]
) -> tuple[list[RowExplanation], _Kept, list[Finding]]:
    told = summary.explained(answers, rows)
    faithful = summary.faithful_of(answers, told)
    return told, faithful, summary.findings(answers, answers_of_run(run, 1), told, faithful)


def _key(run: Run, answers: ExplainedAnswers) -> str:
    """Cache key of the summary."""
    return fingerprint(run.predictor.model.fingerprint(), answers.predictor.key, FORMAT)


def _kept(run: Run, answers: ExplainedAnswers) -> _Kept:
    """How faithful explanations are on held-out rows, as a summary has found it; nothing without
    one."""
    if run.folder.saved or not run.folder.has("verbs/explain", _key(run, answers)):
        return {}
    found = verbs.findings_of(run.folder.checked("verbs/explain"))
    return summary.faithful_from(found)


def _summary_lines(answers: ExplainedAnswers, found: Sequence[Finding]) -> list[str]:
    """What decides, the shares, and how faithful the explanations are."""
    return [*summary.lines(found, answers.unit), "", _hidden(answers)]
