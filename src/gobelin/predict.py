"""Predictions with calibrated probabilities: a fusion, its weight decay and its temperature from cross-fitted training rows.

Nothing here sees validation or test rows. The decay is the one with the smallest cross-fitted loss; the temperature (Guo et
al. 2017) scales the logits so that cross-fitted probabilities are calibrated; a number gets an interval from the
cross-fitted residuals (Barber et al. 2021, the CV+ residuals at their quantile).

With `balance`, classes count equally, in training and in the probabilities: they are those of a world where every class is
equally common, which is what balanced accuracy asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from gobelin import catalog
from gobelin.align import Shared
from gobelin.config import within
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.errors import GobelinError
from gobelin.fusion import Fusion, Predictor
from gobelin.jobs import Job
from gobelin.runtime import Progress, Runtime, numpy_generator, silent
from gobelin.store import fingerprint, read_json, write_json

LEAST_ROWS = 30


@dataclass(frozen=True)
class Predict:
    """balance: classes count equally. folds: of the cross-fitting. decays: weight decays to choose from. features: what the
    fusion sees, the encoders' vectors or those of the shared space. level: coverage of a number's interval."""

    balance: bool = True
    folds: int = 4
    decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    features: Literal["encoder", "shared"] = "encoder"
    level: float = 0.9

    def __post_init__(self) -> None:
        within(self, {"folds": (2, 100), "decays": (0, 1e6), "level": (0.01, 0.999)})


@dataclass(frozen=True)
class Predictions:
    """probabilities: float [N, C] for classes; or values, low, high: float [N] for numbers. present: bool [N, F]."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fields: tuple[str, ...]
    present: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]: the class with the highest probability."""
        return self.probabilities.argmax(1)

    def rows(self) -> list[dict[str, object]]:
        """One mapping a row, as in pred.csv."""
        out = []
        for k, name in enumerate(self.ids):
            row: dict[str, object] = {"id": name}
            if self.classes:
                row["prediction"] = self.classes[int(self.labels[k])]
                row |= {f"p_{c}": round(float(p), 6) for c, p in zip(self.classes, self.probabilities[k], strict=True)}
            else:
                row |= {"prediction": float(self.values[k]), "low": float(self.low[k]), "high": float(self.high[k])}
            row["present"] = " ".join(f for f, there in zip(self.fields, self.present[k], strict=True) if there)
            out.append(row)
        return out


def as_features(shared: Shared) -> Embeddings:
    """Vectors of the shared space in the place of the encoders' features."""
    vectors = {f: np.ascontiguousarray(shared.of(f)) for f in shared.fields}
    return Embeddings(shared.fields, vectors, shared.present, shared.ids, shared.fingerprint)


def balanced(target: Target, rows: np.ndarray, weights: np.ndarray, balance: bool) -> np.ndarray:
    """float32 [n]: the rows' weights with every class's sum the same and their mean one; as they are without `balance`."""
    out = weights.astype(np.float64)
    if balance and target.kind == "class":
        label = target.values[rows]
        sums = np.bincount(label, weights=out)
        out = out / np.maximum(sums[label], 1e-12) * len(rows) / max(np.count_nonzero(sums), 1)
    return out.astype(np.float32)


def folds_of(target: Target, rows: np.ndarray, groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """int [n]: a fold for each of these rows, whole groups, classes spread evenly."""
    rng = numpy_generator(seed, "folds")
    label = np.zeros(len(rows), int) if target.kind == "number" else target.values[rows]
    first: dict[str, int] = {}
    for k, r in enumerate(rows):
        first.setdefault(groups[r], int(label[k]))
    names = sorted(first)
    order = sorted(rng.permutation(len(names)).tolist(), key=lambda k: first[names[k]])
    fold = {names[k]: place % folds for place, k in enumerate(order)}
    return np.array([fold[groups[r]] for r in rows])


@dataclass(frozen=True)
class CrossFit:
    """A fusion, its decay chosen. predictor: of all rows. scores: [n, C] or [n, 1] for the same rows, each by a predictor that
    was fitted without the row's fold. share: float32 [n], how much each row counts."""

    rows: np.ndarray
    share: np.ndarray
    decay: float
    predictor: Predictor
    scores: np.ndarray


@dataclass(frozen=True)
class Training:
    """What a predictor is fitted on. embeddings, target, groups, weights (float32): of all N rows. rows: the training rows
    among them; those without a label teach nothing."""

    settings: Predict
    embeddings: Embeddings
    target: Target
    rows: np.ndarray
    groups: Sequence[str]
    weights: np.ndarray
    runtime: Runtime
    progress: Progress = silent


def cross_fit(fusion: Fusion, training: Training) -> CrossFit:
    """The decay with the smallest cross-fitted loss; all decays and folds are one call to the fusion."""
    settings, target, weights, runtime = training.settings, training.target, training.weights, training.runtime
    rows = training.rows[target.present[training.rows]]
    if len(rows) < LEAST_ROWS:
        raise GobelinError(f"fit: {len(rows)} labelled training rows, at least {LEAST_ROWS} are needed. Add labels.")
    if target.kind == "class" and len(np.unique(target.values[rows])) < 2:
        raise GobelinError("fit: all training rows have one class. At least two are needed.")
    fold = folds_of(target, rows, training.groups, settings.folds, runtime.seed)
    jobs = [
        Job(rows[kept], balanced(target, rows[kept], weights[rows[kept]], settings.balance), runtime.seed, decay)
        for decay in settings.decays
        for kept in [fold != f for f in range(settings.folds)] + [np.ones(len(rows), bool)]
    ]
    predictors = fusion.fit(training.embeddings, target, jobs, rows, runtime, training.progress)
    step, share = settings.folds + 1, balanced(target, rows, weights[rows], settings.balance)
    crossed = []
    for d in range(len(settings.decays)):
        out = np.zeros((len(rows), max(1, len(target.classes)) if target.kind == "class" else 1))
        for f in range(settings.folds):
            out[fold == f] = predictors[d * step + f].scores(training.embeddings.rows(rows[fold == f]))
        crossed.append(out)
    best = int(np.argmin([_loss(s, target, rows, share, 1.0) for s in crossed]))
    return CrossFit(rows, share, settings.decays[best], predictors[best * step + settings.folds], crossed[best])


def fit(name: str, fusion: Fusion, training: Training) -> Model:
    """A predictor with calibrated probabilities. name: of the fusion."""
    crossed, target, settings = cross_fit(fusion, training), training.target, training.settings
    model = Model(name, crossed.predictor, target.name, target.kind, target.classes, settings)
    model = replace(model, fields=training.embeddings.fields, decay=crossed.decay)
    return replace(model, **_calibration(crossed.scores, target, crossed.rows, crossed.share, settings.level))


def _loss(scores: np.ndarray, target: Target, rows: np.ndarray, weights: np.ndarray, temperature: float) -> float:
    """Weighted log loss, or mean squared error."""
    if target.kind == "number":
        return float(((scores[:, 0] - target.values[rows]) ** 2).mean())
    logs = log_softmax(scores / temperature, axis=1)[np.arange(len(rows)), target.values[rows]]
    return float(-(logs * weights).sum() / weights.sum())


def _smoothed(scores: np.ndarray, label: np.ndarray, weights: np.ndarray, temperature: float) -> float:
    """Weighted log loss against targets that keep one imaginary row of every other class (Platt 1999, sec. 2.2): so perfectly
    separated rows don't make it certain of everything."""
    logs, n, c = log_softmax(scores / temperature, axis=1), *scores.shape
    own = logs[np.arange(n), label]
    smoothed = ((n + 1) * own + logs.sum(1) - own) / (n + c)
    return float(-(smoothed * weights).sum() / weights.sum())


def _calibration(scores: np.ndarray, target: Target, rows: np.ndarray, weights: np.ndarray, level: float) -> dict[str, Any]:
    if target.kind == "number":
        residuals = np.sort(np.abs(scores[:, 0] - target.values[rows]))
        place = min(int(np.ceil((len(rows) + 1) * level)), len(rows)) - 1
        return {"residual": float(residuals[place])}
    found = minimize_scalar(
        lambda t: _smoothed(scores, target.values[rows], weights, float(np.exp(t))), bounds=(-2.5, 2.5), method="bounded"
    )
    return {"temperature": float(np.exp(found.x))}


@dataclass(frozen=True)
class Model:
    """A fitted predictor with what makes its scores probabilities. fusion: the component's name. fields: those it uses."""

    fusion: str
    predictor: Predictor
    target: str
    kind: str
    classes: tuple[str, ...]
    settings: Predict
    decay: float = 0.0
    temperature: float = 1.0
    residual: float = 0.0
    fields: tuple[str, ...] = ()

    def predict(self, embeddings: Embeddings) -> Predictions:
        """Predictions for every row; a row with nothing present gets what is known of no row."""
        scores = self.predictor.scores(embeddings)
        none = np.zeros(0)
        if self.kind == "number":
            v = scores[:, 0]
            return Predictions(
                embeddings.ids, (), np.zeros((len(v), 0)), v, v - self.residual, v + self.residual,
                embeddings.fields, embeddings.present,
            )  # fmt: skip
        p = softmax(scores / self.temperature, axis=1)
        return Predictions(embeddings.ids, self.classes, p, none, none, none, embeddings.fields, embeddings.present)

    def fingerprint(self) -> str:
        return fingerprint(self.predictor.fingerprint(), self.temperature, self.residual, self.classes)

    def save(self, folder: Path) -> None:
        values = {k: v for k, v in vars(self).items() if k not in ("predictor", "settings")}
        write_json(folder / "model.json", {**values, "settings": asdict(self.settings)})
        self.predictor.save(folder)

    @staticmethod
    def load(folder: Path) -> Model:
        values = read_json(folder / "model.json")
        predictor = catalog.build("fusion", values["fusion"]).load(folder)
        settings = Predict(**{**values["settings"], "decays": tuple(values["settings"]["decays"])})
        rest = {k: v for k, v in values.items() if k not in ("settings", "classes", "fields")}
        fields = tuple(values.get("fields", ()))
        return Model(**rest, predictor=predictor, settings=settings, classes=tuple(values["classes"]), fields=fields)
