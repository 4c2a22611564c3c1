"""Gobelin's predictors as scikit-learn estimators: they can be cloned, cross-validated, tuned by a
grid search, and used in pipelines.

X is a data frame whose columns hold images (paths, PIL images, bytes, uint8 arrays), texts, sounds,
numbers, categories, dates or lists, any of them missing, or a plain array of numbers. The kind of
each column is inferred as for a file, or given with `schema`. Nothing is written to disk but a
cache of encoded cells, where a folder is given.

As everywhere in scikit-learn, a fitted estimator is saved by pickle. Never load a pickle from
somebody you don't trust.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from gobelin.core import catalog, config
from gobelin.core.config import settings_class
from gobelin.core.errors import nearest
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.embedding import lexicon
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.embedding.fitting import fit_encoder
from gobelin.embedding.lexicon import Lexicon
from gobelin.interfaces.estimator_inputs import (
    LEAST_WEIGHTED_ROWS,
    dataset_of,
    known_classes,
    labels_of,
    tell_remarks,
    weights_of,
)
from gobelin.interfaces.estimator_parameters import NestedFusion
from gobelin.prediction import abstention, fusion_choice, pool_choice, predictor, scoring
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, scan
from gobelin.quality.giveaways import giveaways


@settings_class
class _Given:
    """The arguments that are no numbers, checked when rows are fitted: making an estimator checks
    nothing, as everywhere in scikit-learn."""

    encoders: Mapping[str, Mapping[str, Any]]
    schema: Mapping[str, str]
    fields: Mapping[str, tuple[str, ...]]
    leave_out: tuple[str, ...]


class _Multimodal(NestedFusion):
    """The common part of classifier and regressor."""

    def __init__(
        self,
        *,
        fusion: str | Fusion = "auto",
        encoders: Mapping[str, Mapping[str, Any]] | None = None,
        schema: Mapping[str, str] | None = None,
        fields: Mapping[str, tuple[str, ...]] | None = None,
        leave_out: tuple[str, ...] = (),
        metric: str = "auto",
        balance: bool | None = None,
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
        """The settings of both estimators.

        fusion: 'auto' for an average of the heads that suit the training rows, 'all' for the best
            component, a component's name, or a fusion object with its own settings, for instance
            Concat(hidden=32).
        encoders: {kind: settings}, for instance {'image': {'name': 'pixels'}}.
        schema: {column: kind or role}; of the roles, group, weight and ignore have an effect.
        fields: {field: columns that it joins}.
        leave_out: fields that are not used; 'auto' are those whose presence alone tells the label.
        metric: what predictions and `score` aim for, by the names of `predict.metric`. 'auto':
            accuracy, or of a number R^2, as `score` of scikit-learn. Of errors and losses, `score`
            is minus the value, so that higher is better.
        balance: whether classes count equally; None as the metric asks.
        decays: weight decays to choose from.
        folds: of the cross-fitting.
        level: coverage of prediction sets and intervals, in 0 .. 1.
        features: 'encoder' features, or those of the 'shared' space.
        max_bad: share of a column's cells that may be unreadable.
        root: the folder in which relative paths start; no path may leave it.
        cache: a folder for encoded cells; None for no cache.
        device: where networks run.
        random_state: seed of everything that is drawn."""
        self.fusion = fusion
        self.encoders = encoders
        self.schema = schema
        self.fields = fields
        self.leave_out = leave_out
        self.metric = metric
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
        """The steps of a run, without its folder. weights: float [N]. numbers: all columns hold
        numbers."""
        own = type(self).__name__
        given = config.build(
            _Given,
            {
                "encoders": self.encoders or {},
                "schema": self.schema or {},
                "fields": self.fields or {},
                "leave_out": self.leave_out,
            },
            own,
        )
        predict = {
            name: getattr(self, name)
            for name in ("metric", "balance", "folds", "decays", "features", "level")
        }
        if self.metric == scoring.AUTO and target.exclusive:
            predict["metric"] = "accuracy"
        settings = config.build(Predict, predict, own)
        scoring.check_metric(settings.metric, target)
        abstention.check_limit(settings.max_error, target)
        check = config.build(Check, {"max_bad": self.max_bad}, own)
        kinds = {name: "number" for name in dataset.column_names} if numbers else {}
        choices = Choices(
            {**kinds, **given.schema}, given.fields, given.encoders, left_out=given.leave_out
        )
        inferred = schema.infer(dataset, None, choices)
        tell_remarks(inferred)
        fields = inferred.field_names
        known = (*fields, *dataset.column_names, "auto")
        if unknown := [name for name in given.leave_out if name not in known]:
            raise ValueError(f"leave_out: no field {unknown[0]!r}.{nearest(unknown[0], fields)}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        runtime = Runtime(seed, self.device, "float32", torch.get_num_threads()).resolved()
        train = np.flatnonzero(weights > 0)
        groups = _groups(dataset, inferred.role("group"), dataset.ids)
        self.embedder_ = self._fit_encoders(
            inferred, choices, dataset.rows(train), [groups[int(r)] for r in train], runtime
        )
        scanned = scan(self.embedder_, dataset, check)
        self.bad_cells_ = scanned.lines()
        rows = train[~np.isin(np.array(dataset.ids)[train], scanned.marked)]
        embeddings = replace(self.embedder_.embed(scanned.dataset), least_groups=1)
        self.alignment_: Alignment | None = None
        if self.features == "shared":
            self.alignment_ = fit_alignment(
                Align(), embeddings.rows(rows), [groups[r] for r in rows], runtime
            )
        left_out = set(given.leave_out)
        if "auto" in left_out:
            _, telling = giveaways(
                scanned.dataset,
                inferred,
                target,
                embeddings.present,
                embeddings.fields,
                rows,
                check,
            )
            left_out |= set(telling)
        used = tuple(name for name in fields if name not in left_out)
        if not used:
            raise ValueError(
                "fit: every field is left out of prediction. Keep one with leave_out=()."
            )
        weights = (weights * schema.weights_of(dataset, inferred)).astype(np.float32)
        training = Training(
            settings,
            self._features(embeddings, used),
            target,
            rows,
            groups,
            weights,
            runtime,
            least=LEAST_WEIGHTED_ROWS,
        )
        name, fusion = self._fusion(training)
        self.model_ = predictor.fit(name, fusion, training)
        return self

    def _fit_encoders(
        self,
        inferred: Schema,
        choices: Choices,
        train: Dataset,
        groups: Sequence[str],
        runtime: Runtime,
    ) -> Embedder:
        """The encoders of all fields and the words of texts, fitted on training rows."""
        encoders, lexicons = {}, {}
        for field in inferred.fields:
            kinds = {c: inferred.kind(c) for c in field.columns}
            encoder = schema.build_encoder(field.encoder, choices)
            # it writes no folder that others open, so rare values may stay
            cells = TrainingCells(train.cells(field), groups, least_groups=1, root=train.root)
            encoders[field.name] = fit_encoder(encoder, cells, field, kinds, runtime)
            if lexicon.wanted(field) and (made := Lexicon.fit(cells)) is not None:
                lexicons[field.name] = made
        cache = Path(self.cache) if self.cache else None
        return Embedder(inferred, encoders, cache, runtime.threads, lexicons)

    def _fusion(self, training: Training) -> tuple[str, Fusion]:
        """The fusion and its name."""
        if not isinstance(self.fusion, str):
            if isinstance(self.fusion, type) or not isinstance(self.fusion, Fusion):
                raise ValueError(
                    f"fusion: a name or a fusion was expected, found {self.fusion!r}. Use"
                    " fusion='concat', or an object such as Concat(steps=100)."
                )
            return type(self.fusion).__name__.lower(), self.fusion
        if self.fusion == fusion_choice.AUTO:
            return "pool", catalog.build("fusion", "pool", pool_choice.choose(training).settings)
        if self.fusion != fusion_choice.BEST_OF_ALL:
            return self.fusion, catalog.build("fusion", self.fusion)
        fusions = {name: catalog.build("fusion", name) for name in catalog.names("fusion")}
        best, _, _ = fusion_choice.choose_fusion(fusions, training)
        return best, fusions[best]

    def _features(self, embeddings: Embeddings, fields: tuple[str, ...]) -> Embeddings:
        """The features of these fields that the fusion is given."""
        if self.alignment_:
            embeddings = predictor.as_features(self.alignment_.project(embeddings), embeddings)
        return embeddings.keep(fields)

    def _predictions(self, X: Any) -> Predictions:  # noqa: ANN401, N803 - as scikit-learn names it
        check_is_fitted(self)
        dataset, _ = dataset_of(self, X, self.root, reset=False)
        check = config.build(Check, {"max_bad": self.max_bad}, type(self).__name__)
        scanned = scan(self.embedder_, dataset, check)
        embeddings = self.embedder_.embed(scanned.dataset)
        return self.model_.predict(self._features(embeddings, self.model_.fields))

    def _score(self, X: Any, target: Target, sample_weight: Any) -> float:  # noqa: ANN401, N803
        """The score of these rows by `metric`; higher is better."""
        weights = np.ones(len(target)) if sample_weight is None else np.asarray(sample_weight)
        found = scoring.weighted(self.metric, self._predictions(X).answers, target)(weights)
        return -found if scoring.better(self.metric, target.kind) == "lower" else found

    def __getstate__(self) -> dict[str, Any]:
        """Encoders are pickled as the files that they save: a network's session can't be
        pickled."""
        state = dict(super().__getstate__())
        if "embedder_" in state:
            embedder, files = state.pop("embedder_"), {}
            for name, encoder in embedder.encoders.items():
                with tempfile.TemporaryDirectory() as folder:
                    encoder.save(Path(folder))
                    files[name] = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
            state["_travelling"] = (
                embedder.schema,
                files,
                embedder.cache,
                embedder.workers,
                embedder.lexicons,
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored, files, cache, workers, lexicons = state.get("_travelling", (None, {}, None, 1, {}))
        super().__setstate__(
            {name: value for name, value in state.items() if name != "_travelling"}
        )
        if stored is not None:
            runtime, encoders = Runtime(0, self.device, "float32", workers).here(), {}
            for name, contents in files.items():
                with tempfile.TemporaryDirectory() as folder:
                    for file, data in contents.items():
                        (Path(folder) / file).write_bytes(data)
                    component = catalog.build("encoders", stored.field(name).encoder)
                    encoders[name] = component.load(Path(folder), runtime)
            self.embedder_ = Embedder(stored, encoders, cache, workers, lexicons)


class MultimodalClassifier(ClassifierMixin, _Multimodal):
    """Predicts classes from images, texts, sounds and numbers together.

    >>> MultimodalClassifier(root="photos").fit(frame, labels).predict_proba(others)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803
        """X: a data frame, or float [N, columns]. y: N classes. sample_weight: N weights from 0 up;
        rows of weight 0 are not used. Raises ValueError and GobelinError for data that can't be
        learned."""
        dataset, numbers = dataset_of(self, X, self.root, reset=True)
        y = labels_of(self, y, len(dataset))
        check_classification_targets(y)
        self.classes_, values = np.unique(y, return_inverse=True)
        weights = weights_of(X, sample_weight)
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
        """[N]: the class that `metric` asks for; the most probable one if none is named."""
        labels = self._predictions(X).class_indices
        return self.classes_[labels]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: ANN401, N803
        """Of `metric`, accuracy if none is named. y: N classes."""
        if self.metric == scoring.AUTO:
            return float(super().score(X, y, sample_weight))
        target = known_classes(labels_of(self, y, len(X)), self.classes_)
        return self._score(X, target, sample_weight)


class MultimodalRegressor(RegressorMixin, _Multimodal):
    """Predicts a number from images, texts, sounds and numbers together."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803
        """X: a data frame, or float [N, columns]. y: N numbers. sample_weight: N weights from 0 up;
        rows of weight 0 are not used. Raises ValueError and GobelinError for data that can't be
        learned."""
        dataset, numbers = dataset_of(self, X, self.root, reset=True)
        column = labels_of(self, y, len(dataset))
        if column.dtype.kind in "USMm" or isinstance(column[0], str):
            raise ValueError(
                f"y: numbers were expected, found {column[0]!s}. Convert them; for classes, use"
                " MultimodalClassifier."
            )
        values = check_array(column, ensure_2d=False, dtype=np.float64, input_name="y")
        return self._fit(
            dataset, Target("y", "number", values), weights_of(X, sample_weight), numbers
        )

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """float64 [N], the predicted numbers."""
        return self._predictions(X).values.astype(np.float64)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: ANN401, N803
        """Of `metric`, R^2 if none is named. y: N numbers."""
        if self.metric == scoring.AUTO:
            return float(super().score(X, y, sample_weight))
        values = labels_of(self, y, len(X)).astype(np.float64)
        return self._score(X, Target("y", "number", values), sample_weight)

    def predict_interval(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803
        """float64 [N, 2]: the ends of an interval that holds the number in a share `level` of
        cases, from the residuals of cross-fitted rows."""
        predictions = self._predictions(X)
        return np.stack([predictions.low, predictions.high], 1)


def _groups(dataset: Dataset, column: str | None, ids: Sequence[str]) -> Sequence[str]:
    """N names of groups: the values of the column with the role group; a row without one is a group
    of its own."""
    if column is None:
        return ids
    values = dataset.values(column)
    return [str(v) if v is not None else f"row {k}" for k, v in enumerate(values)]
