"""Findings and exhibits of `curate`."""

from __future__ import annotations

import numpy as np

from gobelin.evidence.findings import Finding
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.curate.decisions import Decisions, caption_field, decisions
from gobelin.workbench.run.chain import Run
from gobelin.workbench.search.hits import FILES
from gobelin.workbench.thumbnails import thumbnail

SHOWN_SUSPECTS = 16  # images of suspects, each beside a sure row
NAMED_SUSPECTS = 10  # rows named one by one, the most doubtful first
SHOWN_CONFUSIONS = 20  # pairs of classes, in a table


def curated(run: Run, exhibits: Exhibits) -> list[Finding]:
    """The findings of `curate`: wrong, changed and new labels, new captions, weights."""
    decided = decisions(run)
    findings = [*_labels(run, decided), *_given(run, decided), *_captions(run, decided)]
    if run.settings.curate.alike:
        findings.append(_labelled_apart(decided))
    known = decided.label >= 0
    findings.append(
        Finding(
            name="mean_weight",
            value=float(decided.weight[known].mean()),
            n=int(known.sum()),
            note="the weight of a training row with a label is the probability of its label, shared"
            " among near-duplicates",
            source="curate",
        )
    )
    findings += _suspects(run, decided)
    _show(run, decided, exhibits)
    return findings


def _suspects(run: Run, decided: Decisions) -> list[Finding]:
    """The rows whose label looks wrong most, each with its label and the likelier one."""
    classes = run.predictor.model.classes
    order = _doubted(decided)[:NAMED_SUSPECTS]
    names, schema = run.checked.rows.ids(decided.rows), run.data.schema
    files = [c.name for c in schema.columns if c.role == "cell" and c.kind in FILES]
    # a row number says nothing to a person: its file does
    shown = [run.checked.rows.dataset.values(name) for name in files[:1]]
    shown = shown if schema.role("id") is None else []

    def file_of(k: int) -> str:
        cells = (values[int(decided.rows[k])] for values in shown)
        return "".join(f"{cell}: " for cell in cells if isinstance(cell, str))

    return [
        Finding(
            name="suspect",
            value=float(decided.likely[k]),
            scope={"row": names[k]},
            note=f"{file_of(k)}labelled {classes[decided.given[k]]}, looks like"
            f" {classes[decided.suggested[k]]}",
            source="curate",
        )
        for k in order
    ]


def _doubted(decided: Decisions) -> list[int]:
    """The places of the suspects, the most probable other label first."""
    order = np.argsort(-decided.likely, kind="stable")
    return [int(k) for k in order if decided.suggested[k] >= 0]


def _labels(run: Run, decided: Decisions) -> list[Finding]:
    labelled = decided.given >= 0
    n, changed = int(labelled.sum()), labelled & (decided.label != decided.given)
    value, low, high, groups = decided.wrong.tolist()
    sure = run.settings.curate.sure
    return [
        Finding(
            name="wrong_labels",
            value=value,
            low=low,
            high=high,
            unit="share",
            better="lower",
            n=n,
            note=f"about {value * n:.0f} of {n} training labels ({int(groups)} groups); classes"
            " that the predictor confuses count as wrong labels too",
            method="confident learning (Northcutt 2021), bootstrap over groups",
            source="curate",
        ),
        _count(
            "suspects",
            (decided.suggested >= 0).sum(),
            n,
            "training rows whose label looks wrong",
        ),
        _count(
            "labels_changed",
            changed.sum(),
            n,
            f"training rows whose other class has a probability of {sure:g} or more",
        ),
    ]


def _given(run: Run, decided: Decisions) -> list[Finding]:
    """The labels given to unlabelled rows, and how often such labels are right."""
    labelled = decided.given >= 0
    if labelled.all():
        return []
    confidence, right, low, high, agree, rows = decided.bar.tolist()
    percent = f"{100 * run.settings.curate.precision:g} %"
    note = f"unlabelled rows, predicted with a probability of {confidence:.3f} or more"
    if confidence == np.inf:
        note = f"unlabelled rows; no probability is high enough to be right {percent} of the time"
    given = ((decided.label >= 0) & ~labelled).sum()
    return [
        _count("labels_given", given, int((~labelled).sum()), note),
        Finding(
            name="given_labels_right",
            value=right,
            low=low,
            high=high,
            level=0.9,
            unit="share",
            better="higher",
            n=int(rows),
            note=f"share of labelled rows predicted as surely, corrected for wrong labels;"
            f" {100 * agree:.1f} % agree with their label; the lower bound must reach {percent}",
            source="curate",
        ),
    ]


def _captions(run: Run, decided: Decisions) -> list[Finding]:
    field = caption_field(run.data.schema)
    if not field:
        return []
    without = int((~run.space.shared.has(field)[run.checked.rows.part("train")]).sum())
    note = f"training rows without {field}, from the nearest row that has one"
    return [_count("captions_given", len(decided.borrowed), without, note)] if without else []


def _labelled_apart(decided: Decisions) -> Finding:
    """The number of rows with a near-duplicate that has another label."""
    labelled = decided.given >= 0
    pairs = np.unique(np.stack([decided.alike, decided.given])[:, labelled], axis=1)
    several = np.flatnonzero(np.bincount(pairs[0]) > 1)  # near-duplicates with more than one label
    count = np.isin(decided.alike[labelled], several).sum()
    note = "training rows with a near-duplicate that has another label"
    return _count("look_alikes_labelled_apart", count, int(labelled.sum()), note)


def _show(run: Run, decided: Decisions, exhibits: Exhibits) -> None:
    """Add the suspects, the confused classes, and images of suspects."""
    classes = run.predictor.model.classes
    order = _doubted(decided)
    ids = run.checked.rows.ids(decided.rows)

    def outcome(k: int) -> str:
        changed = decided.label[k] != decided.given[k]
        return "changed" if changed else f"unchanged, weight {decided.weight[k]:.2f}"

    listed = [
        (
            ids[k],
            classes[decided.given[k]],
            classes[decided.suggested[k]],
            f"{decided.likely[k]:.3f}",
            outcome(k),
        )
        for k in order[: run.settings.curate.shown]
    ]
    if listed:
        titles = ("row", "label", "looks like", "probability", "result")
        exhibits.table("suspects", "Training rows whose label looks wrong.", titles, listed)
    if confused := _confused(decided, classes):
        exhibits.table(
            "confused",
            "Pairs of classes whose labels are confused, and the estimated number of rows.",
            ("label", "looks like", "rows"),
            confused,
        )
    pairs = [pair for k in order[:SHOWN_SUSPECTS] if (pair := _pair(run, decided, k, ids[k]))]
    if pairs:
        exhibits.pairs(
            "mislabelled",
            "Labels that look wrong.",
            "the row",
            "a sure row of the other class",
            pairs,
        )


def _confused(decided: Decisions, classes: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """The most common confusions: label, class that it looks like, estimated rows."""
    n = (decided.given >= 0).sum()
    rows = np.where(np.eye(len(classes), dtype=bool), 0, decided.together) * n
    commonest = np.argsort(-rows, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
    cells = [divmod(int(c), len(classes)) for c in commonest if rows.flat[c] >= 0.5]
    return [(classes[i], classes[j], f"{rows[i, j]:.0f}") for i, j in cells]


def _pair(run: Run, decided: Decisions, k: int, name: str) -> dict[str, str] | None:
    """The image of a suspect beside the most certain row of the class that it looks like; None
    where one of them has no file.
    """
    field = run.generator.field_or_none
    if field is None:
        return None
    classes = run.predictor.model.classes
    sure = np.flatnonzero((decided.given == decided.suggested[k]) & (decided.suggested < 0))
    if not len(sure):
        return None
    example = sure[decided.chance[sure].argmax()]
    left, right = (
        thumbnail(run.folder.folder, run.checked.rows, field, int(decided.rows[n]))
        for n in (k, example)
    )
    caption = (
        f"{name}: labelled {classes[decided.given[k]]}, looks like"
        f" {classes[decided.suggested[k]]} ({decided.likely[k]:.2f})"
    )
    return {"left": left, "right": right, "caption": caption} if left and right else None


def _count(name: str, count: int | np.integer, of: int, note: str) -> Finding:
    return Finding(
        name=name, value=float(count), n=of, note=f"{note}, out of {of}", source="curate"
    )
