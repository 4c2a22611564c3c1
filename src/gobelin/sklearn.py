"""Gobelin's predictors as citizens of scikit-learn: they clone, cross-validate, search grids and
stand in pipelines.

X is a data frame whose columns hold pictures (paths, PIL images, bytes, uint8 arrays), texts,
sounds, numbers, categories, dates or lists, any of them missing, or a plain array of numbers.
Nothing is written but a cache of encoded cells, where a folder is given. Who reads which column is
found as for a file, or said with `schema`.

As everywhere in scikit-learn, a fitted estimator travels by pickle: load none that a stranger sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (  # type: ignore[attr-defined]
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from gobelin.core import catalog
from gobelin.core.errors import nearest
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.frames import Frame, from_frame
from gobelin.embedding import schema
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.features import Embeddings, Reader
from gobelin.embedding.schema import Choices
from gobelin.prediction import fusion_choice
from gobelin.prediction import predictor as predict
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.predictor import Predictions
from gobelin.quality import data as check
from gobelin.quality.data import Check

LEAST = 2  # labelled rows: a small data set is the user's own choice here


class _Multimodal(BaseEstimator):
    """What both have in common."""

    def __init__(
        self,
        *,
        fusion: str | Fusion = "concat",
        encoders: Mapping[str, Mapping[str, Any]] | None = None,
        schema: Mapping[str, str] | None = None,
        fields: Mapping[str, tuple[str, ...]] | None = None,
        leave_out: tuple[str, ...] = ("auto",),
        balance: bool = False,
        decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1),
        folds: int = 4,
        level: float = 0.9,
        features: Literal["encoder", "shared"] = "encoder",
        max_bad: float = 0.1,
        root: str | Path = ".",
        cache: str | Path | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        """fusion: a component's name, 'all' for the best of them on cross-fitted rows, or a fusion
        with settings of its own, as Concat(hidden=32). encoders: {kind: settings}, as {'image':
        {'name': 'pixels'}}. schema: {column: kind or role}; of the roles group, weight and ignore
        are heard. fields: {field: columns that it joins}. leave_out: fields that aren't used;
        'auto' are those whose presence gives the label away. balance: classes count equally.
        decays, folds, level, features: see `predict.Predict`. max_bad: share of a column's cells
        that may be unreadable. root: paths start there, none may leave it. cache: a folder for
        encoded cells. device: where networks run. random_state: of everything drawn."""
        self.fusion = fusion
        self.encoders = encoders
        self.schema = schema
        self.fields = fields
        self.leave_out = leave_out
        self.balance = balance
        self.decays = decays
        self.folds = folds
        self.level = level
        self.features = features
        self.max_bad = max_bad
        self.root = root
        self.cache = cache
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit(self, dataset: Dataset, target: Target, weights: np.ndarray, numbers: bool) -> Self:
        """The chain of a run without its folder. numbers: every column is known to hold numbers."""
        said = {name: "number" for name in dataset.column_names} if numbers else {}
        choices = Choices({**said, **(self.schema or {})}, self.fields or {}, self.encoders or {})
        found, how = schema.infer(dataset, None, choices), Check(max_bad=self.max_bad)
        known = found.field_names
        if lost := [name for name in self.leave_out if name not in (*known, "auto")]:
            raise ValueError(f"leave_out: no field {lost[0]!r}.{nearest(lost[0], known)}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        runtime = Runtime(seed, self.device, "float32", torch.get_num_threads()).resolved()
        taught = np.flatnonzero(weights > 0)
        encoders = {}
        for field in found.fields:
            kinds = {c: found.kind(c) for c in field.columns}
            cells = dataset.rows(taught).cells(field)
            encoders[field.name] = schema.build_encoder(field.encoder, choices).fit(
                cells, field, kinds, runtime
            )
        self.reader_ = Reader(
            found, encoders, Path(self.cache) if self.cache else None, runtime.threads
        )
        scanned = check.scan(self.reader_, dataset, how)
        self.bad_cells_ = scanned.lines()
        rows = taught[~np.isin(np.array(dataset.ids)[taught], scanned.marked)]
        x = self.reader_.embed(scanned.dataset)
        group = found.role("group")
        groups = (
            [str(v) if v is not None else f"row {k}" for k, v in enumerate(dataset.values(group))]
            if group
            else x.ids
        )
        self.alignment_: Alignment | None = None
        if self.features == "shared":
            self.alignment_ = Align().fit(x.rows(rows), [groups[r] for r in rows], runtime)
        out = set(self.leave_out)
        if "auto" in out:
            out |= set(
                check.giveaways(scanned.dataset, found, target, x.present, x.fields, rows, how)[1]
            )
        kept = tuple(name for name in known if name not in out)
        if not kept:
            raise ValueError(
                "fit: every field is left out of prediction. Keep one with leave_out=()."
            )
        settings = Predict(
            balance=self.balance,
            folds=self.folds,
            decays=tuple(self.decays),
            features=self.features,
            level=self.level,
        )
        weights = (weights * schema.weights_of(dataset, found)).astype(np.float32)
        training = Training(
            settings, self._seen(x, kept), target, rows, groups, weights, runtime, least=LEAST
        )
        name, fusion = self._fusion(training)
        self.model_ = predict.fit(name, fusion, training)
        return self

    def _fusion(self, training: Training) -> tuple[str, Fusion]:
        if not isinstance(self.fusion, str):
            return type(self.fusion).__name__.lower(), self.fusion
        if self.fusion != fusion_choice.ALL:
            return self.fusion, catalog.build("fusion", self.fusion)
        fusions = {name: catalog.build("fusion", name) for name in catalog.names("fusion")}
        best, _ = fusion_choice.contest(fusions, training)
        return best, fusions[best]

    def _seen(self, x: Embeddings, kept: tuple[str, ...]) -> Embeddings:
        """What the fusion sees."""
        return (predict.as_features(self.alignment_.project(x)) if self.alignment_ else x).keep(
            kept
        )

    def _predictions(self, X: Any) -> Predictions:  # noqa: ANN401, N803 - as scikit-learn names it
        check_is_fitted(self)
        dataset, _ = self._dataset(X, reset=False)
        scanned = check.scan(self.reader_, dataset, Check(max_bad=self.max_bad))
        return self.model_.predict(
            self._seen(self.reader_.embed(scanned.dataset), self.model_.fields)
        )

    def _dataset(self, X: Any, reset: bool) -> tuple[Dataset, bool]:  # noqa: ANN401, N803
        """X as rows, and whether it is a plain array of numbers."""
        if isinstance(X, Frame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return from_frame(X, self.root, "X").with_ids(), False
        array = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan", dtype=np.float64)
        columns = {f"x{k}": pa.array(array[:, k]) for k in range(array.shape[1])}
        return Dataset(pa.table(columns), Path(self.root), "X").with_ids(), True

    def _weights(self, X: Any, sample_weight: Any) -> np.ndarray:  # noqa: ANN401, N803
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if (there := int((weights > 0).sum())) < LEAST:
            raise ValueError(
                f"fit: n_samples={there} with a weight above 0, at least {LEAST} are needed. Add"
                " rows."
            )
        return weights

    def __getstate__(self) -> dict[str, Any]:
        """Encoders travel as the files that they save: a network's session can't be pickled."""
        state = dict(super().__getstate__())
        if "reader_" in state:
            reader, files = state.pop("reader_"), {}
            for name, encoder in reader.encoders.items():
                with tempfile.TemporaryDirectory() as folder:
                    encoder.save(Path(folder))
                    files[name] = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
            state["_travelling"] = (reader.schema, files, reader.cache, reader.workers)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        known, files, cache, workers = state.get("_travelling", (None, {}, None, 1))
        super().__setstate__(
            {name: value for name, value in state.items() if name != "_travelling"}
        )
        if known is not None:
            runtime, encoders = Runtime(0, self.device, "float32", workers).here(), {}
            for name, kept in files.items():
                with tempfile.TemporaryDirectory() as folder:
                    for file, data in kept.items():
                        (Path(folder) / file).write_bytes(data)
                    encoders[name] = catalog.build("encoders", known.field(name).encoder).load(
                        Path(folder), runtime
                    )
            self.reader_ = Reader(known, encoders, cache, workers)


class MultimodalClassifier(ClassifierMixin, _Multimodal):
    """Classes from pictures, words, sounds and numbers together.

    >>> MultimodalClassifier(root="photos").fit(frame, labels).predict_proba(others)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803
        dataset, numbers = self._dataset(X, reset=True)
        y = _column(self, y, len(dataset))
        check_classification_targets(y)
        self.classes_, values = np.unique(y, return_inverse=True)
        weights = self._weights(X, sample_weight)
        if len(np.unique(values[weights > 0])) < 2:
            raise ValueError(
                f"fit: all rows have one class, found {self.classes_[:1].tolist()}. At least two"
                " are needed."
            )
        names = tuple(map(str, self.classes_))
        target = Target("y", "class", values.astype(np.int64), names, np.ones(len(names), bool))
        return self._fit(dataset, target, weights, numbers)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """float64 [N, C] in the order of `classes_`, calibrated on cross-fitted rows."""
        return self._predictions(X).probabilities

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """[N]: the class with the highest probability."""
        labels = self._predictions(X).labels
        return self.classes_[labels]


class MultimodalRegressor(RegressorMixin, _Multimodal):
    """A number from pictures, words, sounds and numbers together."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803
        dataset, numbers = self._dataset(X, reset=True)
        values = check_array(
            _column(self, y, len(dataset)), ensure_2d=False, dtype=np.float64, input_name="y"
        )
        return self._fit(
            dataset, Target("y", "number", values), self._weights(X, sample_weight), numbers
        )

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """float64 [N]."""
        return self._predictions(X).values.astype(np.float64)

    def predict_interval(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """float64 [N, 2]: where the number lies in a share `level` of cases, by the residuals of
        cross-fitted rows."""
        found = self._predictions(X)
        return np.stack([found.low, found.high], 1)


def _column(estimator: BaseEstimator, y: Any, rows: int) -> np.ndarray:  # noqa: ANN401
    """y as [N], finite."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__}.fit requires y to be passed, but the target y is None."
        )
    out = column_or_1d(y, warn=True)
    if out.dtype.kind == "f":
        check_array(out, ensure_2d=False, input_name="y")
    if len(out) != rows:
        raise ValueError(f"fit: X has {rows} rows, found {len(out)} labels in y. Give one a row.")
    return out
