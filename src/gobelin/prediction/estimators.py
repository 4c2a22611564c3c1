"""scikit-learn's estimators by name, one for every field, and fitted ones on disk as data: through
skops, never as a pickle.

A late fusion asks each field's own estimator and joins the answers. A field that is absent in a row
abstains there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import write_json
from gobelin.core.machine import derived_seed
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings

TRUSTED = ("sklearn.", "numpy.", "scipy.")  # modules whose types a saved estimator may hold


@cache
def known(numeric: bool) -> dict[str, type[Any]]:
    """The estimators of a task by the names that a user may give: RandomForest for
    RandomForestClassifier or -Regressor, and names that have no such ending, as LogisticRegression,
    as they are."""
    from sklearn.utils import all_estimators

    kind = "regressor" if numeric else "classifier"
    return {name.removesuffix(kind.capitalize()): found for name, found in all_estimators(kind)}


def build(name: str, numeric: bool, options: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - any estimator
    """A fresh estimator. options: its own settings; words are read as JSON where they can be."""
    if name not in known(numeric):
        raise GobelinError(
            f"estimator: scikit-learn has no {name!r} for this"
            f" target.{nearest(name, known(numeric))}"
        )
    try:
        out = known(numeric)[name]()
    except TypeError as error:
        raise GobelinError(
            f"estimator: {name} is made of other estimators. Choose a plain one, as RandomForest."
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
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


@dataclass(frozen=True)
class Panel:
    """One fitted estimator a field; a field of which nothing could be learned has none. outputs:
    classes, or 1 for a number. resting: float64 [outputs], the answer where no field is there:
    shares of the classes, or the mean."""

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
        """answers [N]: class indices or numbers of these rows, weights [N]."""
        numeric, members = target.kind == "number", {}
        for k, field in enumerate(rows.fields):
            there = rows.present[:, k] & (weights > 0)
            if there.sum() < 2 or (not numeric and len(np.unique(answers[there])) < 2):
                continue
            estimator = build(name, numeric, options, derived_seed(seed, "estimator", field))
            weighted = (
                {"sample_weight": weights[there]}
                if has_fit_parameter(estimator, "sample_weight")
                else {}
            )
            try:
                members[field] = estimator.fit(
                    rows.features[field][there], answers[there], **weighted
                )
            except ValueError as error:
                raise GobelinError(
                    f"estimator: {name} can't learn from the field {field!r}: {_line(error)}"
                ) from error
        if numeric:
            return Panel(members, 1, True, np.array([np.average(answers, weights=weights)]))
        share = np.bincount(answers, weights, len(target.classes))
        return Panel(members, len(target.classes), False, share / share.sum())

    def answers(self, rows: Embeddings) -> np.ndarray:
        """float64 [N, F, outputs]: each field's probabilities, or number; nan where it abstains."""
        out = np.full((len(rows), len(rows.fields), self.outputs), np.nan)
        for k, field in enumerate(rows.fields):
            there = rows.present[:, k]
            if field not in self.members or not there.any():
                continue
            estimator, x = self.members[field], rows.features[field][there]
            if self.numeric:
                out[there, k, 0] = estimator.predict(x)
            else:
                said = np.zeros((len(x), self.outputs))
                said[:, estimator.classes_] = _probabilities(estimator, x)
                out[there, k] = said
        return out

    def state(self) -> dict[str, Any]:
        """`Panel(**state)` is the way back."""
        return vars(self) | {"members": dict(self.members)}


@dataclass(frozen=True, eq=False)
class LatePredictor:
    """What fitted late fusions have in common. settings: the fusion. key: names the data and
    settings that it was fitted on; scikit-learn's estimators are functions of them."""

    settings: Any
    fields: tuple[str, ...]
    space: str
    panel: Panel
    key: str

    def said(self, embeddings: Embeddings) -> np.ndarray:
        """float64 [N, F, outputs], as `Panel.answers`."""
        return self.panel.answers(embeddings.own(self.fields, self.space))

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
        save(folder / "panel.skops", self.state())

    def state(self) -> dict[str, Any]:
        """What is fitted."""
        return self.panel.state()


def _probabilities(estimator: Any, x: np.ndarray) -> np.ndarray:  # noqa: ANN401
    """[n, its classes]; an estimator that only names a class gives that class all."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(x)
    return (estimator.predict(x)[:, None] == estimator.classes_[None]).astype(float)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Numbers, arrays and fitted estimators by name."""
    import skops.io

    skops.io.dump(dict(state), path)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, if it holds nothing but scikit-learn's and numpy's own types."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(file=path)
    except Exception as error:
        raise GobelinError(f"{path}: missing or damaged ({_line(error)}). Fit again.") from error
    if strange := [t for t in types if not t.startswith(TRUSTED)]:
        raise GobelinError(
            f"{path}: holds {strange[0]}, which is no part of scikit-learn. It isn't opened."
        )
    return skops.io.load(path, trusted=types)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
