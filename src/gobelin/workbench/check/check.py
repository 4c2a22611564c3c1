"""The verb `check`: counts, the schema and the faults of the data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from gobelin.data.split.parts import groups_that_look_alike
from gobelin.data.texts import joined
from gobelin.embedding import lexicon
from gobelin.embedding.columns.schema import remarks
from gobelin.embedding.encoders import LeavesOut
from gobelin.evidence.findings import Finding
from gobelin.quality import data as data_quality
from gobelin.quality import shortcuts
from gobelin.quality.conflicts import conflicts
from gobelin.quality.data import NAMED_CELLS, NearDuplicate
from gobelin.quality.few_rows import few_rows, too_few
from gobelin.quality.named_labels import named_labels
from gobelin.report.exhibits import Exhibits
from gobelin.workbench import shown_rows
from gobelin.workbench.check import time_order
from gobelin.workbench.evaluate import rare_values
from gobelin.workbench.run.chain import Run
from gobelin.workbench.thumbnails import thumbnail

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
SHOWN_EXAMPLES = 6  # training rows
SHOWN_DUPLICATE_IMAGES = 12  # pairs of images, side by side
SHOWN_DUPLICATE_ROWS = 60  # pairs of other fields, in a table
SHOWN_CELLS = 200  # cells that were set aside, in a table


def checked(run: Run, exhibits: Exhibits) -> list[Finding]:
    """Counts, near-duplicates across the split, and fields whose presence gives the label away."""
    settings, rows = run.settings.check, run.checked.rows
    scan = run.checked.scan
    findings = data_quality.counts(
        rows.dataset, rows.schema, rows.target, rows.parts, scan, settings, rows.groups
    )
    duplicates, pairs = data_quality.duplicates(run.features.plain, rows.parts, settings)
    telling = run.features.giveaways[0]
    for finding in telling:
        LOG.warning("%s (%s %.3g).", finding.note, _named(finding), finding.value)
    naming = named_labels(
        rows.dataset, rows.schema, rows.target, rows.part("train"), run.settings.leave_out
    )
    for finding in naming:
        LOG.warning("%s.", finding.note)
    duplicates += conflicts(rows.dataset, rows.schema, rows.target)
    duplicates += run.checked.together
    findings += duplicates + telling + naming + _recorded(run, exhibits)
    findings += _rare(run) + _groups_alike(run) + time_order.checked(run, exhibits)
    _show_examples(run, exhibits)
    _show(run, findings, exhibits)
    _show_near_duplicates(run, pairs, exhibits)
    return findings


def _recorded(run: Run, exhibits: Exhibits) -> list[Finding]:
    """Columns that tell how rows were recorded and go with the target, and the fields that tell
    them."""
    rows, embeddings = run.checked.rows, run.features.plain
    columns = shortcuts.recordings(
        rows.dataset,
        rows.schema,
        rows.target,
        rows.groups,
        rows.part("train"),
        run.settings.data.least_groups,
    )
    pairs = shortcuts.associations(columns, rows.target)
    found = [one for one, _ in pairs]
    told = shortcuts.shortcuts(found, embeddings, rows.schema, rows.groups, rows.target)
    findings = [finding for _, finding in pairs] + told
    for finding in findings:
        LOG.warning("%s.", finding.note)
    if found:
        exhibits.table(
            "recording",
            "Groups of training rows by how they were recorded and by class.",
            ("column", "value", *rows.target.classes),
            [
                (one.column, name, *map(int, counts))
                for one in found
                for name, counts in zip(one.names, one.counts, strict=True)
            ],
        )
    return findings


def _named(finding: Finding) -> str:
    return "in this share of the rows" if "field" in finding.scope else "score"


def warn(run: Run) -> None:
    """Tell what to know of the columns and of the rows before anything is learned from them."""
    for line in (*remarks(run.data.schema), *_cautions(run)):
        LOG.warning("%s", line)


def _cautions(run: Run) -> list[str]:
    """What to know before anything is learned from these rows, one line each."""
    rows = run.checked.rows
    train = rows.dataset.rows(rows.part("train"))
    with_names = [
        field
        for field in rows.schema.fields
        if any(rows.schema.kind(column) == "category" for column in field.columns)
    ]
    cells = {field.name: train.cells(field) for field in with_names}
    least = run.settings.data.least_groups
    target, names = rows.target, (*rows.target.classes, "")  # -1, no answer: the last one
    answers = [names[k] for k in target.values[rows.part("train")]] if target.exclusive else []
    found = rare_values.warnings(run.encoders.embedder.encoders, cells, least, answers)
    few = filter(None, (f(rows.target, rows.parts) for f in (too_few, few_rows)))
    together = [f"column {f.scope['column']!r}: {f.note}." for f in run.checked.together]
    return [*few, *together, *found, *_long_texts(run)]


def _long_texts(run: Run) -> list[str]:
    """A line for each field of texts whose lexicon does not read all words."""
    rows, out = run.checked.rows, []
    for field in filter(lexicon.wanted, rows.schema.fields):
        texts = [joined(cell) for cell in rows.dataset.cells(field) if cell is not None]
        if long := sum(map(lexicon.cut, texts)):
            out.append(
                f"field {field.name}: of {long} of {len(texts)} texts the words after the first"
                f" {lexicon.MOST_WORDS} are not counted. The sentence vector reads them."
            )
    return out


def _rare(run: Run) -> list[Finding]:
    """What too few groups of training rows have: values that count as unknown, and whole fields."""
    least, findings = run.settings.data.least_groups, []
    group = "groups of training rows" if run.checked.rows.named.naming.group else "training rows"
    few = f"fewer than {least} {group}"
    for field, encoder in run.encoders.embedder.encoders.items():
        rare = encoder.rare() if isinstance(encoder, LeavesOut) else {}
        for column, (count, of, what) in rare.items():
            note = f"{what}, of {of}, that count as unknown: {few} have them"
            note += " (setting data.least_groups)"
            scope = {"column": column} if column else {"field": field}
            findings.append(_counted("rare_values", count, scope, note))
    for field in run.features.scarce_fields(run.checked):
        note = f"nothing is learned from it: {few} have it (setting data.least_groups)"
        findings.append(_counted("rare_field", 1, {"field": field}, note))
    return findings


def _groups_alike(run: Run) -> list[Finding]:
    """Groups that may be one group written in two ways: its rows could be in two parts."""
    rows = run.checked.rows
    if not (column := rows.named.naming.group):
        return []
    alike = groups_that_look_alike(set(rows.groups))
    if not alike:
        return []
    note = "they differ by letter case or blanks alone. If they are one group, write them alike:"
    note += " now its rows can be in training and in test"
    found = _counted("groups_alike", len(alike), {"column": column}, note)
    return [replace(found, cells=tuple(" and ".join(map(repr, a)) for a in alike[:NAMED_CELLS]))]


def _counted(name: str, count: int, scope: dict[str, str], note: str) -> Finding:
    return Finding(name=name, scope=scope, value=float(count), n=count, note=note, source="check")


def _show_examples(run: Run, exhibits: Exhibits) -> None:
    """Add some training rows, spread over the data, each with its target."""
    rows = run.checked.rows
    train = rows.labelled("train")
    places = [int(train[k * len(train) // SHOWN_EXAMPLES]) for k in range(SHOWN_EXAMPLES)]
    places = list(dict.fromkeys(places)) if len(train) else []
    field, name = shown_rows.picture_field(rows.schema), rows.schema.role("target")
    answers = rows.dataset.rows(places).values(name) if name else [None] * len(places)
    if rows.target.kind == "number":
        answers = [shown_rows.as_number(answer) for answer in answers]
    cells = shown_rows.shown_cells(rows.dataset, rows.schema, places)
    examples = [
        {
            "title": "" if answer is None else f"{name}: {shown_rows.cell_text(answer)}",
            **shown_rows.record(rows.dataset, place, texts, field, run.folder.folder),
        }
        for place, answer, texts in zip(places, answers, cells, strict=True)
    ]
    if examples:
        caption = f"{len(examples)} of {len(train)} training rows, spread over the data."
        exhibits.records("examples", caption, {"rows": examples}, "What the rows look like")


def _show(run: Run, findings: Sequence[Finding], exhibits: Exhibits) -> None:
    """Add the classes, the missing cells, the schema and the cells that were set aside."""
    classes = [f for f in findings if f.name == "training_rows"]
    exhibits.bars("classes", "Training rows of every class.", classes, "class")
    missing = [f for f in findings if f.name == "missing_cells" and "field" in f.scope]
    exhibits.bars("missing", "Share of missing cells in every field.", missing, "field")
    exhibits.table(
        "schema",
        "The kind and the role of every column, and why.",
        ("column", "kind", "role", "confidence", "reason"),
        [
            (c.name, c.kind, c.role, f"{c.confidence:.2f}", c.reason)
            for c in run.data.schema.columns
        ],
    )
    if bad := run.checked.scan.named()[:SHOWN_CELLS]:
        exhibits.table(
            "set_aside",
            "Cells that can't be used. They count as missing.",
            ("row", "column", "reason"),
            bad,
        )


def _show_near_duplicates(
    run: Run, duplicates: Sequence[NearDuplicate], exhibits: Exhibits
) -> None:
    """Add near-duplicate images side by side, and those of other fields as a table."""
    rows, field = run.checked.rows, run.generator.field_or_none
    pairs = []
    for pair in [d for d in duplicates if d.field == field][:SHOWN_DUPLICATE_IMAGES]:
        left, right = (
            thumbnail(run.folder.folder, rows, pair.field, r) for r in (pair.left, pair.right)
        )
        if left and right:
            names = rows.ids((pair.left, pair.right))
            caption = f"{names[0]} / {names[1]} (distance {pair.closeness:.2f} of the median)"
            pairs.append({"left": left, "right": right, "caption": caption})
    if pairs:
        exhibits.pairs(
            "look_alikes",
            "Near-duplicate images, one in training and one in validation or test.",
            "training",
            "validation or test",
            pairs,
        )
    others = [
        (d.field, *rows.ids((d.left, d.right)), f"{d.closeness:.2f}")
        for d in duplicates
        if d.field != field
    ]
    if others:
        exhibits.table(
            "twins",
            "Near-duplicates in the other fields.",
            ("field", "training row", "other row", "distance, of the median"),
            others[:SHOWN_DUPLICATE_ROWS],
        )
