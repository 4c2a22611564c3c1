"""Which fields of a row moved its answer: exact Shapley values, and interactions of two fields.

With F fields the predictor answers 2^F times, once for each subset. A hidden field is missing where
the predictor has learned to do without it. Where it has not, other rows' values take its place, a
few drawn training rows one after the other, and the answer is their mean (Lundberg & Lee 2017,
equation 11; Janzing et al. 2020 on why the values are drawn alone). With more than 12 fields orders
are drawn. MM-SHAP (Parcalabescu & Frank 2023) has the share of a modality, in sampled form.

What this cannot show: whether a field is a cause. Two fields that tell the same share what they
tell. It explains the predictor, not the world: a predictor that is wrong is explained as well as
one that is right. Drawn values can make pairs of fields that no row has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.embedding.features import Embeddings
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.shapley import shapley
from gobelin.prediction.explainers import Question

MOST_ASKED = 16_384  # rows that the predictor answers for one explanation, about
LEAST_OTHERS = 4
AT_ONCE = 1024  # rows, each with the features of all its fields, that are held together


@settings_class
class Modality:
    """Shapley values of fields."""

    most: int = setting(default=12, ge=1, le=16, description="Fields that are explained exactly.")
    orders: int = setting(
        default=200, ge=2, le=100_000, description="Drawn orders where there are more fields."
    )

    kinds: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = "field"

    def parts(self, question: Question, field: str = "") -> Parts | None:
        return FieldParts(question) if question.present else None

    def explain(self, parts: Parts, seed: int) -> Attribution:
        return shapley(parts, self.most, self.orders, seed)


@dataclass(frozen=True, eq=False)
class FieldParts:
    """A row in its fields."""

    question: Question

    @property
    def names(self) -> tuple[str, ...]:
        return self.question.present

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, K]."""
        others = self._others
        count = 1 if others is None else len(others)
        several = max(1, AT_ONCE // count)
        blocks = [kept[k : k + several] for k in range(0, len(kept), several)]
        return np.concatenate([self._answers(block, others, count) for block in blocks])

    def _answers(self, kept: np.ndarray, others: Embeddings | None, count: int) -> np.ndarray:
        row = self.question.rows
        shown = np.ones((len(kept), len(row.fields)), bool)  # what the row lacks stays missing
        for k, field in enumerate(self.names):
            shown[:, row.fields.index(field)] = kept[:, k] > 0.5
        shown = shown.repeat(count, 0)  # [k K, F]
        asked = row.rows(np.zeros(len(shown), np.int64))
        if others is None:
            asked = replace(asked, present=shown & asked.present)
        else:
            asked = _mixed(asked, others.rows(np.tile(np.arange(count), len(kept))), shown)
        return self.question.explained(asked).reshape(len(kept), count)

    @property
    def _others(self) -> Embeddings | None:
        """Of many fields fewer rows take the place of what is hidden."""
        others = self.question.others
        if others is None:
            return None
        count = max(LEAST_OTHERS, MOST_ASKED // 2 ** len(self.names))
        return others.rows(np.arange(min(count, len(others))))

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))


def _mixed(row: Embeddings, others: Embeddings, shown: np.ndarray) -> Embeddings:
    """The row's own fields where bool [n, F] says so, those of the others elsewhere."""
    features = {
        f: np.where(shown[:, [k]], row.features[f], others.features[f])
        for k, f in enumerate(row.fields)
    }
    words = {
        f: np.where(shown[:, [row.fields.index(f)]], v, others.words.get(f, np.zeros_like(v)))
        for f, v in row.words.items()
    }
    present = np.where(shown, row.present, others.present)
    return replace(row, features=features, present=present, words=words)
