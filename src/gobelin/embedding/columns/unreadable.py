"""Cells that can't be opened, found before anything is encoded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gobelin.core.machine import Progress, silent
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell
from gobelin.data.files import BadCell
from gobelin.embedding.encoders import FittedEncoder
from gobelin.embedding.features import Embedder


def unreadable(
    embedder: Embedder, dataset: Dataset, progress: Progress = silent
) -> tuple[list[tuple[str, str, str]], dict[str, list[str]]]:
    """Every cell that can't be opened as (row id, column, reason), and {"field: conversion": ids of
    the rows}."""
    bad: list[tuple[str, str, str]] = []
    converted: dict[str, list[str]] = {}
    for name in embedder.encoders:
        cells = dataset.cells(embedder.schema.field(name))
        if all(cell is None for cell in cells):
            continue  # its encoder needs not be loaded
        encoder = embedder.encoders[name]
        attempt = partial(_attempt, encoder, root=dataset.root)
        progress(f"check {name}", 0, len(cells))
        for k, (reasons, conversion) in enumerate(in_order(attempt, cells, embedder.workers)):
            bad += [(dataset.ids[k], column, reason) for column, reason in reasons]
            if conversion:
                converted.setdefault(f"{name}: {conversion}", []).append(dataset.ids[k])
            if k % 200 == 199 or k + 1 == len(cells):
                progress(f"check {name}", k + 1, len(cells))
    return bad, converted


def _attempt(
    encoder: FittedEncoder, cell: Cell | None, root: Path
) -> tuple[list[tuple[str, str]], str]:
    """Decode a cell without those columns that can't be opened: these columns with their reasons,
    and the conversion of the rest ("" for none)."""
    reasons: list[tuple[str, str]] = []
    while cell:
        try:
            return reasons, encoder.decode(cell, root)[1]
        except BadCell as error:
            blamed = [error.column] if error.column in cell else list(cell)
            reasons += [(column, str(error)) for column in blamed]
            cell = {c: v for c, v in cell.items() if c not in blamed}
    return reasons, ""
