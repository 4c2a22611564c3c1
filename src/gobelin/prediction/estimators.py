"""scikit-learn's estimators by name, one a field. `saved_estimators` writes fitted ones.

A late fusion joins the answers of each field's own estimator. A field that is absent in a row
abstains there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import parse
from gobelin.core.errors import GobelinError, first_line, nearest
from gobelin.core.files import write_json
from gobelin.core.machine import derived_seed, one_thread
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import saved_estimators

LEAST_PROBABILITY = 1e-3  # below it, probabilities are raised before their logarithm is used


@cache
def known(numeric: bool) -> dict[str, type[Any]]:
    """The estimators of a task by the names that a user may give: RandomForest for
    RandomForestClassifier or RandomForestRegressor; LogisticRegression, which has no such ending,
    as it is."""
    from sklearn.utils import all_estimators

    kind = "regressor" if numeric else "classifier"
    return {name.removesuffix(kind.capitalize()): cls for name, cls in all_estimators(kind)}


def build(name: str, numeric: bool, options: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - any estimator
    """A fresh estimator. options: its own settings; a text is read as JSON where it is JSON.
    Raises GobelinError for an unknown name or setting."""
    if name not in known(numeric):
        raise GobelinError(
            f"estimator: scikit-learn has no {name!r} for this"
            f" target.{nearest(name, known(numeric))}"
        )
    try:
        out = known(numeric)[name]()
    except TypeError as error:
        raise GobelinError(
            f"estimator: {name} is made of other estimators. Choose a plain one, for instance"
            " RandomForest."
        ) from error
    settings = out.get_params()
    for key, value in options.items():
        if key not in settings:
            raise GobelinError(f"estimator: {name} has no setting {key!r}.{nearest(key, settings)}")
        settings[key] = _read(value)
    if "random_state" in settings and "random_state" not in options:
        settings["random_state"] = seed % 2**32
    return out.set_params(**settings)


def _read(value: Any) -> Any:  # noqa: ANN401
    try:
        return parse.json_value(value) if isinstance(value, str) else value
    except ValueError:
        return value


@dataclass(frozen=True)
class Panel:
    """One fitted estimator a field. A field with fewer than two rows, or rows of one class alone,
    has none.

    members: {field: estimator}. outputs: C classes, or 1 for a number. numeric: the target is a
    number. resting: float64 [outputs], the answer for a row without any field: shares of the
    classes, or the mean."""

    members: Mapping[str, Any]
    outputs: int
    numeric: bool
    resting: np.ndarray

    @staticmethod
    def fit(
        name: str,
        options: Mapping[str, Any],
        rows: Embeddings,
        answers: np.ndarray,
        weights: np.ndarray,
        target: Target,
        seed: int,
    ) -> Panel:
        """answers: [N], class indices or numbers of these rows. weights: [N]. Raises GobelinError
        where an estimator refuses the data."""
        from sklearn.utils.validation import has_fit_parameter

        numeric, members = target.kind == "number", {}
        for k, field in enumerate(rows.fields):
            usable = rows.present[:, k] & (weights > 0)
            if usable.sum() < 2 or (not numeric and len(np.unique(answers[usable])) < 2):
                continue
            estimator = build(name, numeric, options, derived_seed(seed, "estimator", field))
            weighted = (
                {"sample_weight": weights[usable]}
                if has_fit_parameter(estimator, "sample_weight")
                else {}
            )
            try:
                with one_thread():
                    members[field] = estimator.fit(
                        rows.features[field][usable], answers[usable], **weighted
                    )
            except ValueError as error:
                raise GobelinError(
                    f"estimator: {name} can't learn from the field {field!r}: {first_line(error)}"
                ) from error
        if numeric:
            return Panel(members, 1, True, np.array([np.average(answers, weights=weights)]))
        share = np.bincount(answers, weights, len(target.classes))
        return Panel(members, len(target.classes), False, share / share.sum())

    def answers(self, rows: Embeddings) -> np.ndarray:
        """float64 [N, F, outputs]: each field's probabilities, or number; nan where it abstains."""
        out = np.full((len(rows), len(rows.fields), self.outputs), np.nan)
        for k, field in enumerate(rows.fields):
            present = rows.present[:, k]
            if field not in self.members or not present.any():
                continue
            estimator, x = self.members[field], rows.features[field][present]
            if self.numeric:
                out[present, k, 0] = estimator.predict(x)
            else:
                probabilities = np.zeros((len(x), self.outputs))
                probabilities[:, estimator.classes_] = _probabilities(estimator, x)
                out[present, k] = probabilities
        return out

    def state(self) -> dict[str, Any]:
        """The values to save; `Panel(**state)` is the inverse."""
        return vars(self) | {"members": dict(self.members)}


@dataclass(frozen=True, eq=False)
class LatePredictor:
    """The common part of fitted late fusions.

    settings: the fusion. space: fingerprint of the encoders. key: hash of the data and settings
    that it was fitted on; scikit-learn's estimators depend on nothing else."""

    settings: Any
    fields: tuple[str, ...]
    space: str
    panel: Panel
    key: str

    def answers(self, embeddings: Embeddings) -> np.ndarray:
        """float64 [N, F, outputs], as `Panel.answers`."""
        return self.panel.answers(embeddings.checked(self.fields, self.space))

    def fingerprint(self) -> str:
        return self.key

    def save(self, folder: Path) -> None:
        config = {
            "settings": asdict(self.settings),
            "fields": self.fields,
            "space": self.space,
            "key": self.key,
        }
        write_json(folder / "config.json", config)
        saved_estimators.save(folder / "panel.skops", self.state())

    def state(self) -> dict[str, Any]:
        """The fitted values to save."""
        return self.panel.state()


def _probabilities(estimator: Any, x: np.ndarray) -> np.ndarray:  # noqa: ANN401
    """[n, the estimator's classes]; an estimator without probabilities gives its class all."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(x)
    return (estimator.predict(x)[:, None] == estimator.classes_[None]).astype(float)
