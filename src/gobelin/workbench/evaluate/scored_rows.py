"""Rows that `evaluate` has scored, as the data of two exhibits: the confusion, the mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.prediction import mistakes
from gobelin.prediction.predictor import Predictions
from gobelin.workbench import shown_rows

MOST_MISTAKES = 10
LARGEST_MATRIX = 25  # classes; of more, the pairs that are mistaken most often are listed
MOST_PAIRS = 40  # in that list


@dataclass(frozen=True)
class ScoredRows:
    """Rows that were scored, with what is known of them."""

    dataset: Dataset  # all rows
    schema: Schema
    rows: np.ndarray  # int64 [n], of the dataset: those that were scored
    target: Target  # of the scored rows
    predictions: Predictions  # of the scored rows

    def mistakes(self, folder: Path | None = None) -> dict[str, Any]:
        """The data of the exhibit of the worst mistakes. folder: the run's, for small pictures."""
        worst = mistakes.worst(self.predictions, self.target, MOST_MISTAKES)
        places = [int(self.rows[m.row]) for m in worst]
        cells = shown_rows.shown_cells(self.dataset, self.schema, places)
        field = shown_rows.picture_field(self.schema)
        before = "true value " if self.target.kind == "number" else ""
        return {
            "count": len(self.target),
            "rows": [
                {
                    "truth": m.truth,
                    "predicted": m.predicted,
                    "title": f"{before}{m.truth}, predicted {m.predicted}",
                    "note": m.detail,
                    **shown_rows.record(self.dataset, place, texts, field, folder),
                }
                for m, place, texts in zip(worst, places, cells, strict=True)
            ],
        }

    def shown(self) -> dict[str, dict[str, Any]]:
        """The data of both exhibits, without pictures."""
        confusion = {} if self.target.kind == "number" else {"confusion": self.confusion()}
        return {"mistakes": self.mistakes(), **confusion}

    def confusion(self) -> dict[str, Any]:
        """The data of the exhibit of the confusion; for numbers there is none."""
        target, n = self.target, len(self.target)
        right = int(mistakes.right_rows(self.predictions, target).sum())
        names = target.classes
        if target.kind == "labels":
            table = mistakes.label_errors(self.predictions, target)
            return {
                "right": right,
                "count": n,
                "pairs": [],
                "columns": ["label", "rows with it", "missed", "rows without it", "added"],
                "rows": [[names[c], *map(int, row)] for c, row in enumerate(table)],
            }
        counts = mistakes.confusion(self.predictions, target)
        pairs: list[dict[str, Any]] = [
            {
                "class": names[t],
                "taken_for": names[p],
                "count": int(counts[t, p]),
                "rows": int(counts[t].sum()),
            }
            for t, p in zip(*np.nonzero(counts), strict=True)
            if t != p
        ]
        pairs.sort(key=lambda one: -int(one["count"]))
        shown: dict[str, Any] = {"right": right, "count": n, "pairs": pairs[:MOST_PAIRS]}
        if len(names) <= LARGEST_MATRIX:
            return shown | {"labels": list(names), "counts": counts.tolist()}
        heads = ("class", "taken for", "rows", "of")
        listed = [[p["class"], p["taken_for"], p["count"], p["rows"]] for p in shown["pairs"]]
        return shown | {"columns": list(heads), "rows": listed}
