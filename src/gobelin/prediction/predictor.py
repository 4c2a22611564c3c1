"""Predictions with calibrated probabilities, prediction sets and intervals: a fitted fusion and its
`calibration` on cross-fitted training rows.

Nothing here uses validation or test rows. The weight decay is that of the smallest cross-fitted
loss (`cross_fit`).

Probabilities are those of the mix of classes that the training rows have. The class that a row is
given is what the metric asks for (`scoring`): for balanced accuracy, the one with the highest
probability relative to how common the class is; `weights` favour classes further. Targets with
several labels a row are never balanced.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.lazy import torch
from gobelin.data.coarse import rows_of_groups
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.features import Embeddings
from gobelin.prediction import abstention, scoring
from gobelin.prediction.calibration import (
    Calibration,
    CalibrationSettings,
    calibrate,
    field_counts,
)
from gobelin.prediction.cross_fit import CrossFit, Predict, Training, balanced, cross_fit
from gobelin.prediction.fusion import Differentiable, Fusion, Predictor
from gobelin.prediction.scoring import Answers


@dataclass(frozen=True)
class Predictions:
    """Predictions of N rows. Classes and labels have probabilities; numbers have values and
    intervals; the others are empty."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray  # float64 [N, C]
    values: np.ndarray  # float [N], predicted numbers
    low: np.ndarray  # float [N], the lower end of the interval
    high: np.ndarray  # float [N], the upper end
    fields: tuple[str, ...]
    present: np.ndarray  # bool [N, F]
    kind: str = "class"  # of the target
    # bool [N, C]: the classes of the prediction set, or the labels above their thresholds
    sets: np.ndarray | None = None
    id_column: str = "id"  # the name of the column that the ids come from
    # float64 [N, C]: the probabilities in the mix of classes that decides the class; None:
    # `probabilities`
    weighed: np.ndarray | None = None
    metric: scoring.Name = "auto"  # what the class is chosen for
    cover: np.ndarray | None = None  # bool [N, C]: the labels that can't be ruled out
    refer: np.ndarray | None = None  # bool [N]: left to a person; None without `predict.max_error`

    def __repr__(self) -> str:
        return f"Predictions({len(self.ids)} rows; to_frame() shows them)"

    @property
    def labels(self) -> list[Any]:
        """N names: the class that `predict.metric` asks for. Of several labels a row: a tuple of
        those above their thresholds. Raises GobelinError for a number, which has `values`."""
        if not self.classes:
            raise GobelinError(
                "labels: the target is a number and has no classes. Use values, low and high."
            )
        if self.kind == "labels":
            return [tuple(compress(self.classes, held)) for held in self._held()]
        return [self.classes[k] for k in self.class_indices]

    @property
    def class_indices(self) -> np.ndarray:
        """int64 [N]: the places of `labels` in `classes`, where a row has one class."""
        p = self.probabilities if self.weighed is None else self.weighed
        return scoring.chosen_classes(self.metric, self.kind, p)

    @property
    def answers(self) -> Answers:
        """What is compared with the truth."""
        if not self.classes:
            return Answers(self.probabilities, self.values)
        chosen = self._held() if self.kind == "labels" else self.class_indices
        return Answers(self.probabilities, chosen)

    def to_frame(self) -> Any:  # noqa: ANN401 - a pandas.DataFrame, where pandas is installed
        """A pandas frame with the columns of pred.csv, a row for each row that was predicted, in
        the same order. Raises MissingExtra without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra("pandas", command="pip install pandas") from error
        return pandas.DataFrame(self.rows())

    def rows(self) -> list[dict[str, object]]:
        """One mapping {column of pred.csv: value} a row."""
        out, labels = [], self.labels if self.classes else []
        for k, name in enumerate(self.ids):
            row: dict[str, object] = {}
            if self.classes:
                row["prediction"] = "|".join(labels[k]) if self.kind == "labels" else labels[k]
                row |= {
                    f"p_{c}": round(float(p), 6)
                    for c, p in zip(self.classes, self.probabilities[k], strict=True)
                }
                likely = self.cover if self.kind == "labels" else self.sets
                if likely is not None:
                    row["set"] = "|".join(compress(self.classes, likely[k]))
            else:
                row |= {
                    "prediction": float(self.values[k]),
                    "low": float(self.low[k]),
                    "high": float(self.high[k]),
                }
            if self.refer is not None:
                row["refer"] = bool(self.refer[k])
            row["present"] = " ".join(compress(self.fields, self.present[k]))
            called = "id" if self.id_column in row else self.id_column
            out.append({called: name, **row})
        return out

    def referred(self, least: float) -> Predictions:
        """The same, with the rows of a confidence below `least` referred to a person."""
        sure = abstention.confidence(self.kind, self.answers)
        return replace(self, refer=sure < least - 1e-12)

    def _held(self) -> np.ndarray:
        """bool [N, C]: the labels above their thresholds."""
        assert self.sets is not None
        return self.sets


def as_features(shared: Shared, embeddings: Embeddings) -> Embeddings:
    """Vectors of the shared space as features, in place of those of the encoders. embeddings: the
    features of the same rows."""
    vectors = {f: np.ascontiguousarray(shared.of(f)) for f in shared.fields}
    return replace(
        embeddings, fields=shared.fields, features=vectors, space=shared.fingerprint, words={}
    )


def told(stored: dict[str, Any]) -> dict[str, Any]:
    """The content of model.json as a saved run tells it: the calibration is coarse."""
    calibration = Calibration.from_dict(stored["calibration"])
    chosen = stored["settings"]["threshold"] == 0
    return stored | {"calibration": calibration.coarse(chosen).to_dict()}


def fit(name: str, fusion: Fusion, training: Training) -> Model:
    """A predictor with calibrated probabilities. name: of the fusion's component. Raises what
    `cross_fit` raises."""
    return calibrated(name, cross_fit(fusion, training), training)


def calibrated(name: str, crossed: CrossFit, training: Training) -> Model:
    """The predictor of a cross-fitted fusion, with calibrated probabilities."""
    target, settings = training.target, training.settings
    calibration = calibrate(
        crossed.scores,
        target.values[crossed.rows],
        training.weights[crossed.rows].astype(np.float64),
        training.embeddings.present[crossed.rows],
        partial(crossed.scores_with_fields, training.embeddings),
        CalibrationSettings(
            target.kind,
            settings.level,
            settings.sets,
            settings.by_class,
            settings.local,
            settings.held_from,
            settings.metric in scoring.MEDIAN,
        ),
        training.runtime.seed,
        own_mix(training),
        rows_of_groups(
            training.embeddings.group_numbers[crossed.rows], training.embeddings.least_groups
        ),
    )
    counts = field_counts(training.embeddings.present[crossed.rows])

    def decided(lean: float) -> np.ndarray:
        return replace(calibration, lean=lean).deciding(crossed.scores, counts)

    lean = scoring.best_lean(settings.metric, target.rows(crossed.rows), decided)
    model = Model(
        name,
        crossed.predictor,
        target.name,
        target.kind,
        target.classes,
        settings,
        replace(calibration, lean=lean),
        crossed.decay,
        training.embeddings.fields,
    )
    abstention.check_limit(settings.max_error, target)
    if settings.max_error is None:
        return model
    return model.referring(crossed, counts, training)


def own_mix(training: Training) -> tuple[float, ...]:
    """C numbers that turn scores into logits in the mix of classes that the training rows have:
    log of a class's share less log of its share in training, where classes are weighed; () where
    none is (Saerens et al. 2002). A class without rows has 0."""
    target, settings = training.target, training.settings
    if not target.exclusive or not (settings.balanced or settings.weights):
        return ()
    rows = training.rows[target.present[training.rows]]
    plain = training.told_weights(rows)
    weighed = balanced(target, rows, plain, settings.balanced, settings.weights)
    shares = [
        np.bincount(target.values[rows], w, len(target.classes)) / max(float(w.sum()), 1e-300)
        for w in (plain, weighed.astype(np.float64))
    ]
    known = (shares[0] > 0) & (shares[1] > 0)
    logs = np.log(np.where(known, shares[0], 1.0)) - np.log(np.where(known, shares[1], 1.0))
    return tuple(map(float, logs))


@dataclass(frozen=True)
class Model:
    """A fitted predictor with its calibration."""

    fusion: str  # the component's name
    predictor: Predictor
    target: str  # name of the column
    kind: str  # of the target
    classes: tuple[str, ...]  # () for a number
    settings: Predict
    calibration: Calibration
    decay: float = 0.0  # the chosen weight decay
    fields: tuple[str, ...] = ()  # those that it uses

    @property
    def exclusive(self) -> tuple[str, ...]:
        """The classes, where a row has exactly one of them; () for a number and for several labels
        a row."""
        return () if self.kind == "labels" else self.classes

    @property
    def temperature(self) -> float:
        """The temperature of rows with every field; 1 where the kind of target has none."""
        return self.calibration.temperature[-1] if self.calibration.temperature else 1.0

    def predict(self, embeddings: Embeddings) -> Predictions:
        """Predictions for every row. A row without any field gets the prediction that the fusion
        gives without features. Raises GobelinError for rows of other encoders."""
        scores = self.predictor.scores(embeddings).astype(np.float64)
        if scores.shape[1] != max(len(self.classes), 1):
            raise ValueError(f"{scores.shape[1]} scores and {len(self.classes)} classes")
        counts = field_counts(embeddings.keep(self.fields).present)
        rows = (embeddings.fields, embeddings.present, self.kind)
        metric = self.settings.metric
        if self.kind == "number":
            values = self.calibration.numbers(scores)[:, 0]
            low, high = self.calibration.interval(values, counts)
            no_classes = np.zeros((len(values), 0))
            return Predictions(
                embeddings.ids,
                (),
                no_classes,
                values,
                low,
                high,
                *rows,
                metric=metric,
            )
        p = self.calibration.probabilities(scores, counts)
        if self.kind == "labels":
            sets = p >= np.array(self.calibration.threshold)
        else:
            sets = self.calibration.prediction_sets(p, counts)
        none = np.zeros(0)
        weighed = self.calibration.deciding(scores, counts)
        predictions = Predictions(
            embeddings.ids,
            self.classes,
            p,
            none,
            none,
            none,
            *rows,
            sets,
            weighed=weighed,
            metric=metric,
            cover=self.calibration.covering(p, counts) if self.kind == "labels" else None,
        )
        least = self.calibration.refer
        return predictions if self.settings.max_error is None else predictions.referred(least)

    @property
    def has_gradient(self) -> bool:
        """Whether `answers_of` can be asked."""
        return isinstance(self.predictor, Differentiable) and self.predictor.has_gradient

    def answers_of(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        """float64 [n, V]: the log odds of the V classes or labels, or the number, of one row with
        other features of a field that it has, float [n, D_f]. Differentiable in them."""
        assert isinstance(self.predictor, Differentiable)
        scores = self.predictor.scores_of(row, field, features)
        count = int(field_counts(row.keep(self.fields).present)[0])
        known = self.calibration
        if self.kind == "number":
            return known.numbers(scores)
        if self.kind == "labels":
            slope, shift = (torch.tensor(x[count]) for x in (known.slope, known.shift))
            return scores * slope + shift
        logs = known.logits(scores.double(), known.temperature[count]).log_softmax(1)
        return logs - torch.log(-torch.expm1(logs))

    def referring(self, crossed: CrossFit, counts: np.ndarray, training: Training) -> Model:
        """The model with the confidence below which it refers a row to a person, learned from the
        n cross-fitted rows. counts: int [n], how many fields each has."""
        target = training.target.rows(crossed.rows)
        p = self.calibration.probabilities(crossed.scores, counts)
        if target.kind == "labels":
            chosen = p >= np.array(self.calibration.threshold)
        else:
            weighed = self.calibration.deciding(crossed.scores, counts)
            chosen = scoring.chosen_classes(self.settings.metric, target.kind, weighed)
        sure, loss = abstention.scored(Answers(p, chosen), target)
        units = training.embeddings.group_numbers[crossed.rows].astype(str).tolist()
        least = abstention.bound(sure, loss, units, self.settings.max_error or 0.0)
        return replace(self, calibration=replace(self.calibration, refer=least))

    def fingerprint(self) -> str:
        return fingerprint(self.predictor.fingerprint(), self.calibration.to_dict(), self.classes)

    def save(self, folder: Path) -> None:
        values = {
            k: v for k, v in vars(self).items() if k not in ("predictor", "settings", "calibration")
        }
        values |= {"settings": asdict(self.settings), "calibration": self.calibration.to_dict()}
        write_json(folder / "model.json", values)
        self.predictor.save(folder)

    @staticmethod
    def load(folder: Path) -> Model:
        """The inverse of `save`. Raises ValueError for values that don't belong together: a model
        can be a stranger's."""
        values = read_json(folder / "model.json")
        settings = {**values["settings"], "decays": tuple(values["settings"]["decays"])}
        values |= {
            "predictor": catalog.build("fusion", values["fusion"]).load(folder),
            "settings": Predict(**settings),
            "calibration": Calibration.from_dict(values["calibration"]),
            "classes": tuple(values["classes"]),
            "fields": tuple(values["fields"]),
        }
        if not all(isinstance(name, str) for name in (*values["classes"], *values["fields"])):
            raise ValueError("a name of a class or of a field is not a text")
        if str(values["kind"]) not in scoring.METRICS:
            raise ValueError(f"the kind of its target is {str(values['kind'])[:40]!r}")
        model = Model(**values)
        model.calibration.check(len(model.classes), len(model.fields))
        return model
