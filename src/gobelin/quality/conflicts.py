"""Equal files in rows of different classes: a wrong label, or a copy in the wrong class folder.

What this can't show: files that differ in a byte, such as one image that was saved twice.
"""

from __future__ import annotations

from gobelin.data.dataset import Dataset
from gobelin.data.fields import PATH_KINDS, Schema, Target
from gobelin.data.files import BadCell, cell_key
from gobelin.evidence.findings import Finding


def conflicts(dataset: Dataset, schema: Schema, target: Target) -> list[Finding]:
    """A finding for each field of files in which rows of different classes have equal files: how
    many rows these are, and the first two of them. None for other targets than classes."""
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
        if equal:
            findings.append(
                _finding(field.name, equal, sum(map(len, rows.values())), dataset, target)
            )
    return findings


def _finding(
    field: str, equal: list[list[int]], n: int, dataset: Dataset, target: Target
) -> Finding:
    first = equal[0][0]
    other = next(row for row in equal[0] if target.text(row) != target.text(first))
    named = " and ".join(f"{dataset.ids[row]} ({target.text(row)})" for row in (first, other))
    return Finding(
        name="conflicting_labels",
        scope={"field": field},
        value=float(sum(map(len, equal))),
        n=n,
        better="lower",
        note=f"rows whose {field} is equal to that of a row of another class, as in rows {named}."
        " One of the labels is wrong, or both are true and the class can't be told",
        source="check",
    )
