"""The verb `describe`: the classes of one record, the rows most like it, and its odd fields.

The findings: classes with their probabilities, the nearest rows, labels in words that nobody
trained on, the place of each field among the training rows, and whether an image is marked as
generated.

What this can't show: that a row is wrong. One training row in a hundred is among the oddest
hundredth, and a copy of a training row is perfectly typical. Labels in words are ranked among the
given ones: if none is right, one still wins.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.core.printable import counted
from gobelin.data.fields import Cell
from gobelin.data.files import file_values
from gobelin.data.media import kinds as media
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.data.values.numbers import Writing
from gobelin.data.values.spelling import spelled
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.encoders import declared
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction.predictor import Predictions
from gobelin.quality.typicality import NEIGHBOURS, Typicality, typicality
from gobelin.workbench.explain.asked import AskedRow, named_row, of_query, of_run
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.row_index import INDEX
from gobelin.workbench.search.hits import FILES, found, shown_cells, text_of
from gobelin.workbench.search.parts import parts_of_row, search_parts
from gobelin.workbench.zero_shot import text_field, unseen_rows, zero_shot

MOST_REFERENCE_ROWS = 2000  # training rows that a record is compared with
LEAST_REFERENCE_ROWS = 20  # training rows, or pairs of fields, that a finding needs
SHOWN_CELLS = 3  # of a near row that has no text and no file to name it
MOST_PAIRS = 10  # of fields that are listed: those that agree least
INNER = 0.98  # share of the training values that an ordinary number lies between


def described(
    run: Run, query: Mapping[str, str], k: int, labels: Sequence[str] = ()
) -> list[Finding]:
    """The findings on one record, given by a query.

    k: number of classes and of nearest rows. labels: words to choose from.
    """
    place = named_row(run, query, "describe")
    row = of_query(run, query) if place is None else of_run(run, [place])[0]
    cells, embeddings = row.cells, row.embeddings
    text = text_field(run, cells, labels) if labels else None
    query_shared = run.space.alignment.project(embeddings)
    findings, label = _generated_images(run, cells), None
    x = run.predictor.inputs(embeddings)
    if run.settings.data.target and x.present.any():
        guess = run.delivered.model.predict(x)
        findings += _predicted(run, guess, k, row.truth)
        label = int(guess.class_indices[0]) if run.predictor.model.exclusive else None
    if text is not None:
        findings += zero_shot(run, query_shared, text, labels)
    if run.folder.saved and not (run.folder.folder / INDEX).is_dir():
        return findings
    findings += _similar(run, query, k, row if place is not None else None)
    return (
        findings
        if run.folder.saved
        else findings
        + _typical(run, cells, embeddings, label, place)
        + _columns(run, cells)
        + _agreeing(run, query_shared)
    )


def _predicted(run: Run, guess: Predictions, k: int, truth: str = "") -> list[Finding]:
    """truth: the class that the data say of a row of the run, which the predictor learned from."""
    level = run.predictor.model.settings.level
    if not guess.classes:
        return [
            Finding(
                name="prediction",
                value=float(guess.values[0]),
                low=float(guess.low[0]),
                high=float(guess.high[0]),
                level=level,
                source="describe",
            )
        ]
    word = (
        "predicted to hold"
        if guess.kind == "labels"
        else f"in the set that holds the truth in {100 * level:g} % of cases"
    )
    return [
        Finding(
            name="probability",
            scope={"class": guess.classes[c]},
            value=float(guess.probabilities[0, c]),
            source="describe",
            note="; ".join(
                ([word] if guess.sets is not None and guess.sets[0, c] else [])
                + (["the data say so, and were learned from"] if guess.classes[c] == truth else [])
            ),
        )
        for c in np.argsort(-guess.probabilities[0], kind="stable")[:k]
    ]


def _similar(
    run: Run, query: Mapping[str, str], k: int, row: AskedRow | None = None
) -> list[Finding]:
    """The rows nearest to a query, or to a row of the run, which is none of them."""
    if row is None:
        parts = search_parts(run.space, [(key, text, 1.0) for key, text in query.items()])
        hits = found(run.space, parts, k)
    else:
        parts = parts_of_row(run.space, row.cells, row.embeddings)
        hits = found(run.space, parts, k + 1)
        hits[:] = [hit for hit in hits if hit.id != row.id][:k]
    schema, cells = run.data.schema, [c for c in run.data.schema.columns if c.role == "cell"]
    shown = [c.name for c in cells if c.kind == "text"]
    if schema.role("id") is None:  # a row number says nothing to a person
        shown += [c.name for c in cells if c.kind in FILES]
    first = hits.asked if row is None else ()  # of a whole row the target tells most
    notes = [
        next((text_of(v) for c in shown if (v := h.cells.get(c))), "")
        or ", ".join(f"{c} {v}" for c, v in shown_cells(h, schema, first)[:SHOWN_CELLS])
        for h in hits
    ]
    alone = [h.equal and hits.parts == 1 for h in hits]  # it has no score of its own
    notes = [f"equal; {n}".rstrip("; ") if a else n for a, n in zip(alone, notes, strict=True)]
    return [
        Finding(
            name="similarity",
            scope={"row": hit.id},
            value=None if equal else hit.score,
            note=note,
            source="describe",
        )
        for hit, note, equal in zip(hits, notes, alone, strict=True)
    ]


def _generated_images(run: Run, cells: Mapping[str, Cell]) -> list[Finding]:
    """The images of the query that are marked as generated."""
    findings = []
    for field in run.data.schema.fields:
        if field.name not in cells or field.kind not in media():
            continue
        for data in file_values(cells[field.name]):
            if not isinstance(data, bytes) or not is_marked(data):
                continue
            lineage = read_lineage(io.BytesIO(data)) or {}
            known = [f"{key} {lineage[key]}" for key in ("generator", "seed") if key in lineage]
            source = f" by Gobelin: {', '.join(known)}" if known else ", without a known generator"
            note = f"its file says that it was generated{source}"
            findings.append(
                Finding(
                    name="made_image",
                    scope={"field": field.name},
                    verdict="generated",
                    note=note,
                    source="describe",
                )
            )
    return findings


def _reference(run: Run, field: str, cell: Cell, rows: np.ndarray) -> np.ndarray:
    """float32 [n, D_f]: these rows in a field. Of a table only in the columns that the record has:
    what nobody asked is not odd."""
    known, own = run.features, run.data.schema.field(field)
    asked = [c for c in own.columns if c in cell]
    if not declared(own.encoder, "joined") or len(asked) == len(own.columns):
        return known.embeddings.features[field][rows]
    dataset, encoder = run.checked.rows.dataset.rows(rows), known.embedder.encoders[field]
    cells = [{c: v for c, v in (cell or {}).items() if c in asked} for cell in dataset.cells(own)]
    return encoder.embed([encoder.decode(cell, dataset.root)[0] for cell in cells if cell])


def _typical(
    run: Run,
    cells: Mapping[str, Cell],
    query: Embeddings,
    label: int | None,
    place: int | None = None,
) -> list[Finding]:
    """The distance of each field of the record from the training rows, and from those of its
    predicted class. place: of a row of the run, which is not compared with itself.
    """
    findings, train = [], run.checked.rows.part("train")
    train = train if place is None else train[train != place]
    for k, field in enumerate(query.fields):
        if not query.present[0, k]:
            continue
        with_field = train[run.features.embeddings.present[train, k]]
        scopes = [({"field": field}, with_field)]
        if label is not None:
            of_class = with_field[run.checked.rows.target.values[with_field] == label]
            scopes.append(({"field": field, "class": run.predictor.model.classes[label]}, of_class))
        for scope, rows in scopes:
            if len(rows) < LEAST_REFERENCE_ROWS:
                continue
            compared = numpy_generator(run.data.runtime.seed, "describe", field).permutation(rows)[
                :MOST_REFERENCE_ROWS
            ]
            reference = _reference(run, field, cells[field], compared)
            if len(reference) < LEAST_REFERENCE_ROWS:
                continue
            typical = typicality(reference, query.features[field][0])
            note = (
                f"share of {len(reference)} training rows that lie at least as far from their"
                f" {NEIGHBOURS} nearest"
            )
            findings.append(
                Finding(
                    name="typicality",
                    scope=scope,
                    value=typical.share,
                    unit="share",
                    verdict=typical.verdict,
                    n=len(reference),
                    note=note,
                    source="describe",
                )
            )
    return findings


def _columns(run: Run, cells: Mapping[str, Cell]) -> list[Finding]:
    """Numbers outside the range of nearly all training rows, and categories that none has."""
    findings, train = [], run.checked.rows.part("train")
    cells_of_columns = {
        c: v
        for cell in cells.values()
        for c, v in cell.items()
        if run.data.schema.kind(c) in ("number", "category")
    }
    for column, value in cells_of_columns.items():
        values = run.checked.rows.dataset.values(column)
        known = [values[r] for r in train if values[r] is not None]
        if run.data.schema.kind(column) == "category":
            if known and spelled(value) not in set(map(spelled, known)):
                note = f"{str(value)[:40]!r} is in no training row"
                findings.append(
                    Finding(
                        name="unseen_category",
                        scope={"column": column},
                        verdict="odd",
                        n=len(known),
                        note=note,
                        source="describe",
                    )
                )
            continue
        writing = Writing.of(known)  # a query need not write the unit that all cells have
        numbers = np.array([x for x in map(writing.number, known) if x is not None])
        number = writing.number(value)
        if len(numbers) < LEAST_REFERENCE_ROWS or number is None:
            continue
        low, high = (float(q) for q in np.quantile(numbers, [(1 - INNER) / 2, (1 + INNER) / 2]))
        if not low <= number <= high:
            findings.append(
                Finding(
                    name="out_of_range",
                    scope={"column": column},
                    value=number,
                    low=low,
                    high=high,
                    level=INNER,
                    verdict="odd",
                    n=len(numbers),
                    method="quantiles of the training rows",
                    source="describe",
                )
            )
    return findings


def _agreeing(run: Run, query: Shared) -> list[Finding]:
    """For each pair of the record's fields the share of training rows whose two fields agree as
    little; of many pairs those with the smallest shares, the smallest first. The cosines of
    training rows come from alignments fitted without them.
    """
    fields = [f for f, has in zip(query.fields, query.present[0], strict=True) if has]
    findings: list[Finding] = []
    for a, b in combinations(fields, 2):
        unseen = unseen_rows(run)
        both = unseen.has(a) & unseen.has(b)
        if both.sum() < LEAST_REFERENCE_ROWS:
            continue
        usual = (unseen.of(a)[both] * unseen.of(b)[both]).sum(1)
        cosine = float(query.of(a)[0] @ query.of(b)[0])
        typical = Typicality(-usual, -cosine)
        note = (
            f"share of {int(both.sum())} training rows whose fields agree as little (cosine"
            f" {cosine:.2f}, "
        )
        note += f"their median {np.median(usual):.2f})"
        findings.append(
            Finding(
                name="agreement",
                scope={"fields": f"{a} + {b}"},
                value=typical.share,
                unit="share",
                verdict=typical.verdict,
                n=int(both.sum()),
                note=note,
                source="describe",
            )
        )
    if (more := len(findings) - MOST_PAIRS) > 0:
        findings = sorted(findings, key=lambda f: f.value or 0.0)[:MOST_PAIRS]
        listed = f"{findings[-1].note}; {counted(more, 'pair', 'pairs')} agree better: not listed"
        findings[-1] = replace(findings[-1], note=listed)
    return findings
