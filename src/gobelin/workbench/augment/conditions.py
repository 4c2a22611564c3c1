"""Generated images against the other fields that they were conditioned on: the images that don't
match, and the fields that can't be judged.

What this cannot show: see `screening`. An image passes where none of its fields can be judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.augmentation.screening import ACCEPTED_SHARE, LEAST_CONTRAST, MatchReader
from gobelin.evidence.findings import Finding, printed
from gobelin.quality.probes import folds
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.rows import Rows


@dataclass(frozen=True)
class Matched:
    """The result for M images."""

    wrong: np.ndarray | None  # bool [M], a field doesn't match; None where no field was judged
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Conditions:
    """A reader for every field but the image field."""

    features: RunFeatures
    readers: Mapping[str, MatchReader | str]  # {field: its reader, or the reason why there is none}
    fold: np.ndarray  # int64 [N], of every row; -1 outside training

    @staticmethod
    def fit(
        features: RunFeatures,
        rows: Rows,
        image_field: str,
        chosen: np.ndarray,
        image_features: np.ndarray,
    ) -> Conditions:
        """chosen: int64 [n], real training rows. image_features: float [n, D], of their images by
        an independent encoder.
        """
        train, x, runtime = rows.part("train"), features.embeddings, features.data.runtime
        fold = np.full(len(rows.parts), -1, np.int64)
        fold[train] = folds([rows.groups[k] for k in train], runtime.seed)
        readers: dict[str, MatchReader | str] = {}
        for field in x.fields:
            if field == image_field:
                continue
            has = _has(features, field, chosen)
            values = x.features[field][chosen[has]]
            readers[field] = MatchReader.fit(
                image_features[has], values, fold[chosen[has]], runtime
            )
        return Conditions(features, readers, fold)

    def matched(
        self,
        generator: str,
        accepts: frozenset[str],
        parents: np.ndarray,
        image_features: np.ndarray,
    ) -> Matched:
        """Which images of one generator don't match their conditions.

        parents: int64 [M], the rows whose fields the images were conditioned on. image_features:
        float [M, D], of the images by the independent encoder. All fields together reject at most
        5 % of images that match as well as real ones (Bonferroni).
        """
        fields = [f for f in self.readers if f in condition_fields(self.features, accepts)]
        wrong, findings = np.zeros(len(parents), bool), []
        for field in fields:
            scope, reader = {"generator": generator, "field": field}, self.readers[field]
            if isinstance(reader, str):
                findings.append(_not_screened(scope, reader))
                continue
            lost = (1 - ACCEPTED_SHARE) / len(fields)
            least, caught = reader.threshold(1 - lost)
            if caught < LEAST_CONTRAST * lost:
                reason = (
                    f"real images hardly show it: {printed(caught, 'share')} of wrong values would"
                    " be caught"
                )
                findings.append(_not_screened(scope, reason))
                continue
            has = _has(self.features, field, parents)
            values = self.features.embeddings.features[field][parents[has]]
            bad = reader.cosines(image_features[has], values, self.fold[parents[has]]) < least
            wrong[has] |= bad
            findings.append(
                Finding(
                    name="condition_unmatched",
                    scope=scope,
                    value=float(bad.sum()),
                    n=int(has.sum()),
                    source="augment",
                    note=f"a worse match than {printed(1 - lost, 'share')} of real images have;"
                    f" {printed(caught, 'share')} of real images with another row's value would be"
                    " caught",
                )
            )
        judged = any(f.name == "condition_unmatched" for f in findings)
        return Matched(wrong if judged else None, tuple(findings))


def condition_fields(features: RunFeatures, accepts: frozenset[str]) -> tuple[str, ...]:
    """The fields that a generator is conditioned on: all fields where it accepts vectors, the first
    text field where it accepts a text only.
    """
    if "vectors" in accepts:
        return features.embeddings.fields
    texts = [f.name for f in features.data.schema.fields if f.kind == "text"]
    return tuple(texts[:1]) if "text" in accepts else ()


def _has(features: RunFeatures, field: str, rows: np.ndarray) -> np.ndarray:
    """bool [n]: whether these rows have the field."""
    x = features.embeddings
    return x.present[rows, x.fields.index(field)]


def _not_screened(scope: Mapping[str, str], reason: str) -> Finding:
    return Finding(
        name="condition_not_screened",
        scope=scope,
        note=f"{reason}; all images pass",
        source="augment",
    )
