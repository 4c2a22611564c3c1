"""Made images against the other fields that they were asked with: which of them don't match, what
can't be judged.

What this cannot show: see `screening`. An image of which no field can be judged is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.augmentation.screening import KEPT, TELLS, MatchReader
from gobelin.evidence.findings import Finding, printed
from gobelin.quality.probes import folds
from gobelin.workbench.run.folder import Artefacts


@dataclass(frozen=True)
class Matched:
    """wrong: bool [M], doesn't match one of the fields; None where nobody could look. found: what
    was judged, what wasn't."""

    wrong: np.ndarray | None
    found: tuple[Finding, ...]


@dataclass(frozen=True)
class Conditions:
    """Readers of every field but the image's own. readers: {field: reader, or why there is none};
    fold: int64 [N] of every row, -1 outside training."""

    made: Artefacts
    readers: Mapping[str, MatchReader | str]
    fold: np.ndarray

    @staticmethod
    def fit(made: Artefacts, image_field: str, rows: np.ndarray, seen: np.ndarray) -> Conditions:
        """rows: int64 [n], real training rows; seen: float [n, D], what independent eyes see of
        their images."""
        train = made.rows.part("train")
        fold = np.full(len(made.rows.parts), -1, np.int64)
        fold[train] = folds([made.rows.groups[r] for r in train], made.runtime.seed)
        readers: dict[str, MatchReader | str] = {}
        for field in made.embeddings.fields:
            if field != image_field:
                has = _has(made, field, rows)
                readers[field] = MatchReader.fit(
                    seen[has],
                    made.embeddings.features[field][rows[has]],
                    fold[rows[has]],
                    made.runtime,
                )
        return Conditions(made, readers, fold)

    def matched(
        self, generator: str, accepts: frozenset[str], parents: np.ndarray, seen: np.ndarray
    ) -> Matched:
        """parents: int64 [M], the rows whose fields the images were asked with; seen: float [M, D]
        of the images. All fields together leave out 5 % of images that match as real ones do, at
        most (Bonferroni)."""
        fields = [f for f in self.readers if f in asked_fields(self.made, accepts)]
        wrong, found = np.zeros(len(parents), bool), []
        for field in fields:
            scope, reader = {"generator": generator, "field": field}, self.readers[field]
            if isinstance(reader, str):
                found.append(_silent(scope, reader))
                continue
            lost = (1 - KEPT) / len(fields)
            least, caught = reader.cut(1 - lost)
            if caught < TELLS * lost:
                found.append(
                    _silent(
                        scope,
                        f"real images hardly tell it: {printed(caught, 'share')} of wrong ones"
                        " would be caught",
                    )
                )
                continue
            has = _has(self.made, field, parents)
            values = self.made.embeddings.features[field][parents[has]]
            bad = reader.cosines(seen[has], values, self.fold[parents[has]]) < least
            wrong[has] |= bad
            note = (
                f"match worse than {printed(1 - lost, 'share')} of real images do;"
                f" {printed(caught, 'share')} of real images "
            )
            found.append(
                Finding(
                    "condition_unmatched",
                    scope,
                    value=float(bad.sum()),
                    n=int(has.sum()),
                    source="augment",
                    note=f"{note}with another row's value would be caught",
                )
            )
        judged = any(f.name == "condition_unmatched" for f in found)
        return Matched(wrong if judged else None, tuple(found))


def asked_fields(made: Artefacts, accepts: frozenset[str]) -> tuple[str, ...]:
    """The fields that a generator is asked with: all where it takes vectors, the first of text
    where it takes a text alone."""
    if "vectors" in accepts:
        return made.embeddings.fields
    texts = [f.name for f in made.schema.fields if f.kind == "text"]
    return tuple(texts[:1]) if "text" in accepts else ()


def _has(made: Artefacts, field: str, rows: np.ndarray) -> np.ndarray:
    """bool [n]"""
    return made.embeddings.present[rows, made.embeddings.fields.index(field)]


def _silent(scope: Mapping[str, str], why: str) -> Finding:
    return Finding("condition_not_screened", scope, note=f"{why}; all were kept", source="augment")
