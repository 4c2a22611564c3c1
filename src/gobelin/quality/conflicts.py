"""Equal files in rows of different classes: a wrong label, or a copy in the wrong class folder.

What this can't show: files that differ in a byte, such as one image that was saved twice.
"""

from __future__ import annotations

from gobelin.data.dataset import Dataset
from gobelin.data.fields import PATH_KINDS, Schema, Target
from gobelin.data.files import BadCell, cell_key
from gobelin.evidence.findings import Finding
from gobelin.quality.data import REPEATED


def conflicts(dataset: Dataset, schema: Schema, target: Target) -> list[Finding]:
    """A finding for each field of files in which rows of different classes have equal files: how
    many rows these are, and the first two of them. Not counted where a field holds few different
    files: many rows share each, whatever their class. None for other targets than classes."""
    findings = []
    for field in schema.fields if target.kind == "class" else ():
        if schema.kind(field.columns[0]) not in PATH_KINDS:
            continue
        rows: dict[bytes, list[int]] = {}
        for row, cell in enumerate(dataset.cells(field)):
            if cell is not None and target.present[row]:
                try:
                    rows.setdefault(cell_key(cell, dataset.root), []).append(row)
                except BadCell:  # set aside, with its reason
                    continue
        equal = [same for same in rows.values() if len({target.text(row) for row in same}) > 1]
        n = sum(map(len, rows.values()))
        if not equal:
            continue
        value: float | None = sum(map(len, equal))
        first, other = _two(equal[0], target)
        note = (
            f"rows whose {field.name} is equal to that of a row of another class, as in one of"
            f" {target.text(first)} and one of {target.text(other)}. One of the labels is wrong, or"
            " both are true and the class can't be told"
        )
        if shared := n >= REPEATED * len(rows):
            value, note = None, f"not counted: {n} rows hold {len(rows)} different files"
        findings.append(
            Finding(
                name="conflicting_labels",
                scope={"field": field.name},
                value=value,
                n=n,
                better="lower",
                rows=() if shared else (dataset.ids[first], dataset.ids[other]),
                note=note,
                source="check",
            )
        )
    return findings


def _two(equal: list[int], target: Target) -> tuple[int, int]:
    """The first of these rows, and the first one of another class."""
    first = equal[0]
    return first, next(row for row in equal if target.text(row) != target.text(first))
