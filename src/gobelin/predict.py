"""Predictions with calibrated probabilities, sets and intervals: a fusion, its weight decay and its `calibration` from
cross-fitted training rows.

Nothing here sees validation or test rows. The decay is the one with the smallest cross-fitted loss. What makes scores
probabilities, prediction sets and intervals is in `gobelin.calibration`.

With `balance`, classes count equally, in training and in the probabilities: they are those of a world where every class is
equally common, which is what balanced accuracy asks for; `weights` make that a world of other shares. The sets' coverage is
that of rows as common as they are. Labels, which hold side by side, are never balanced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import log_expit, log_softmax

from gobelin import calibration, catalog
from gobelin.align import Shared
from gobelin.calibration import Calibration, Wanted, counts_of
from gobelin.config import within
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.errors import GobelinError, nearest
from gobelin.fusion import Fusion, Predictor
from gobelin.jobs import Job
from gobelin.runtime import Progress, Runtime, numpy_generator, silent
from gobelin.store import fingerprint, read_json, write_json

LEAST_ROWS = 30


@dataclass(frozen=True)
class Predict:
    """balance: classes count equally. weights: {class: how much it counts}, 1 for those not named. folds: of the cross-fitting.
    decays: weight decays to choose from. features: what the fusion sees, the encoders' vectors or those of the shared space.
    level: coverage of prediction sets and intervals. sets: lac, the smallest, or aps, larger where a row is hard. by_class: the
    level holds within every class. local: a number's interval is wide where residuals are. threshold: from which probability a
    label is said to hold; 0 = the one with its best F1 on cross-fitted training rows."""

    balance: bool = True
    folds: int = 4
    decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    features: Literal["encoder", "shared"] = "encoder"
    level: float = 0.9
    weights: Mapping[str, float] = field(default_factory=dict)
    sets: Literal["lac", "aps"] = "lac"
    by_class: bool = False
    local: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        within(self, {"folds": (2, 100), "decays": (0, 1e6), "level": (0.01, 0.999), "threshold": (0, 1)})
        if wrong := [f"weights.{name} = {w}" for name, w in self.weights.items() if not 0 <= w < 1e9]:
            raise ValueError(f"{wrong[0]}, a number from 0 up was expected")


@dataclass(frozen=True)
class Predictions:
    """probabilities: float [N, C] for classes; or values, low, high: float [N] for numbers. present: bool [N, F]. kind: of the
    target. sets: bool [N, C], the classes that can't be ruled out, or of labels those said to hold; None where there are none.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fields: tuple[str, ...]
    present: np.ndarray
    kind: str = "class"
    sets: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]: the class with the highest probability; of ordered ones the median, which is off by the fewest levels."""
        if self.kind == "ordinal":
            return (self.probabilities.cumsum(1) < 0.5).sum(1).clip(max=len(self.classes) - 1)
        return self.probabilities.argmax(1)

    def rows(self) -> list[dict[str, object]]:
        """One mapping a row, as in pred.csv."""
        out, labels = [], self.labels if self.classes else np.zeros(0)
        for k, name in enumerate(self.ids):
            row: dict[str, object] = {"id": name}
            if self.classes:
                row["prediction"] = self._set(k) if self.kind == "labels" else self.classes[int(labels[k])]
                row |= {f"p_{c}": round(float(p), 6) for c, p in zip(self.classes, self.probabilities[k], strict=True)}
                if self.kind != "labels" and self.sets is not None:
                    row["set"] = self._set(k)
            else:
                row |= {"prediction": float(self.values[k]), "low": float(self.low[k]), "high": float(self.high[k])}
            row["present"] = " ".join(f for f, there in zip(self.fields, self.present[k], strict=True) if there)
            out.append(row)
        return out

    def _set(self, row: int) -> str:
        assert self.sets is not None
        return "|".join(c for c, there in zip(self.classes, self.sets[row], strict=True) if there)


def as_features(shared: Shared) -> Embeddings:
    """Vectors of the shared space in the place of the encoders' features."""
    vectors = {f: np.ascontiguousarray(shared.of(f)) for f in shared.fields}
    return Embeddings(shared.fields, vectors, shared.present, shared.ids, shared.fingerprint)


def balanced(
    target: Target, rows: np.ndarray, weights: np.ndarray, balance: bool, by_class: Mapping[str, float] | None = None
) -> np.ndarray:
    """float32 [n]: the rows' weights with every class's sum the same and their mean one; as they are without `balance`.
    by_class: then the classes' own weights come on top, the mean kept."""
    out = weights.astype(np.float64)
    if balance and target.exclusive:
        label = target.values[rows]
        sums = np.bincount(label, weights=out)
        out = out / np.maximum(sums[label], 1e-12) * len(rows) / max(np.count_nonzero(sums), 1)
    if by_class and target.exclusive:
        before, factor = out.sum(), np.array([by_class.get(c, 1.0) for c in target.classes])
        out = out * factor[target.values[rows]]
        out *= before / max(out.sum(), 1e-12)
    return out.astype(np.float32)


def check_weights(weights: Mapping[str, float], target: Target) -> None:
    """Every class that `predict.weights` names must be one."""
    if weights and not target.exclusive:
        what = "is a number" if target.kind == "number" else "has labels that hold side by side"
        raise GobelinError(f"predict.weights: weighs classes, and {target.name!r} {what}. Weigh rows: --set schema.COL=weight.")
    for name in weights:
        if name not in target.classes:
            raise GobelinError(f"predict.weights.{name}: no such class of {target.name!r}.{nearest(name, target.classes)}")
    if weights and sum(weights.get(c, 1.0) > 0 for c in target.classes) < 2:
        raise GobelinError("predict.weights: leave fewer than two classes a weight above 0. Raise one.")


def folds_of(target: Target, rows: np.ndarray, groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """int [n]: a fold for each of these rows, whole groups, classes spread evenly."""
    rng = numpy_generator(seed, "folds")
    label = target.strata[rows]
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
    was fitted without the row's fold. share: float32 [n], how much each row counts. fold: int [n]; parts: the predictors, that
    of fold f fitted without it."""

    rows: np.ndarray
    share: np.ndarray
    decay: float
    predictor: Predictor
    scores: np.ndarray
    fold: np.ndarray
    parts: tuple[Predictor, ...]

    def shown(self, embeddings: Embeddings, places: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The scores of some of the rows as if they had these fields alone, each by the predictor that has not seen it.

        embeddings: of all rows. places: int [k] in 0 .. n - 1. present: bool [k, F]."""
        out = np.zeros((len(places), self.scores.shape[1]))
        for f, part in enumerate(self.parts):
            own = np.flatnonzero(self.fold[places] == f)
            if len(own):
                out[own] = part.scores(replace(embeddings.rows(self.rows[places[own]]), present=present[own]))
        return out


@dataclass(frozen=True)
class Training:
    """What a predictor is fitted on. embeddings, target, groups, weights (float32): of all N rows. rows: the training rows
    among them; those without a label teach nothing. least: labelled ones, fewer are refused. unseen: those of `rows` whose
    features were not trained on their labels, None = all: they alone choose the decay, calibrate and are compared."""

    settings: Predict
    embeddings: Embeddings
    target: Target
    rows: np.ndarray
    groups: Sequence[str]
    weights: np.ndarray
    runtime: Runtime
    progress: Progress = silent
    least: int = LEAST_ROWS
    unseen: np.ndarray | None = None


def cross_fit(fusion: Fusion, training: Training) -> CrossFit:
    """The decay with the smallest cross-fitted loss; all decays and folds are one call to the fusion."""
    settings, target, weights, runtime = training.settings, training.target, training.weights, training.runtime
    rows = training.rows[target.present[training.rows]]
    if len(rows) < training.least:
        raise GobelinError(f"fit: {len(rows)} labelled training rows, at least {training.least} are needed. Add labels.")
    if target.exclusive and len(np.unique(target.values[rows])) < 2:
        raise GobelinError("fit: all training rows have one class. At least two are needed.")
    if target.kind == "labels" and not fusion.several:
        raise GobelinError(
            f"fusion.name: {type(fusion).__name__.lower()} learns one answer a row, and {target.name!r} has several labels. "
            f"Choose --fusion {' or '.join(n for n in catalog.names('fusion') if catalog.find('fusion', n).several)}."
        )

    def weigh(some: np.ndarray) -> np.ndarray:
        return balanced(target, some, weights[some], settings.balance, settings.weights)

    fold = folds_of(target, rows, training.groups, settings.folds, runtime.seed)
    jobs = [
        Job(rows[kept], weigh(rows[kept]), runtime.seed, decay)
        for decay in settings.decays
        for kept in [fold != f for f in range(settings.folds)] + [np.ones(len(rows), bool)]
    ]
    predictors = fusion.fit(training.embeddings, target, jobs, rows, runtime, training.progress)
    step, share = settings.folds + 1, weigh(rows)
    crossed = []
    for d in range(len(settings.decays)):
        out = np.zeros((len(rows), 1 if target.kind == "number" else len(target.classes)))
        for f in range(settings.folds):
            out[fold == f] = predictors[d * step + f].scores(training.embeddings.rows(rows[fold == f]))
        crossed.append(out)
    told = np.ones(len(rows), bool) if training.unseen is None else np.isin(rows, training.unseen)
    best = int(np.argmin([_loss(s[told], target, rows[told], share[told]) for s in crossed]))
    *parts, whole = predictors[best * step : (best + 1) * step]
    return CrossFit(rows[told], share[told], settings.decays[best], whole, crossed[best][told], fold[told], tuple(parts))


def fit(name: str, fusion: Fusion, training: Training) -> Model:
    """A predictor with calibrated probabilities. name: of the fusion."""
    crossed, target, how = cross_fit(fusion, training), training.target, training.settings
    present, share = training.embeddings.present[crossed.rows], crossed.share
    if target.exclusive:  # a class of one row that weighs as much as all of another would decide how sure to be
        share = share * target.scored[target.values[crossed.rows]]
    found = calibration.calibrate(
        crossed.scores, target.values[crossed.rows], share, present,
        lambda places, there: crossed.shown(training.embeddings, places, there),
        Wanted(target.kind, how.level, how.sets, how.by_class, how.local, how.threshold), training.runtime.seed,
    )  # fmt: skip
    fields = training.embeddings.fields
    return Model(name, crossed.predictor, target.name, target.kind, target.classes, how, found, crossed.decay, fields)


def _loss(scores: np.ndarray, target: Target, rows: np.ndarray, weights: np.ndarray) -> float:
    """Weighted log loss, or mean squared error."""
    truth = target.values[rows]
    if target.kind == "number":
        return float(((scores[:, 0] - truth) ** 2).mean())
    if target.kind == "labels":
        each = -log_expit(np.where(truth == 1, scores, -scores)).sum(1)
    else:
        each = -log_softmax(scores, axis=1)[np.arange(len(rows)), truth]
    return float((each * weights).sum() / weights.sum())


@dataclass(frozen=True)
class Model:
    """A fitted predictor with what makes its scores probabilities. fusion: the component's name. fields: those it uses."""

    fusion: str
    predictor: Predictor
    target: str
    kind: str
    classes: tuple[str, ...]
    settings: Predict
    calibration: Calibration
    decay: float = 0.0
    fields: tuple[str, ...] = ()

    @property
    def exclusive(self) -> tuple[str, ...]:
        """The classes of which a row has exactly one: () of a number, and where labels hold side by side."""
        return () if self.kind == "labels" else self.classes

    @property
    def temperature(self) -> float:
        """Of rows with every field; 1 where there is none."""
        return self.calibration.temperature[-1] if self.calibration.temperature else 1.0

    def predict(self, embeddings: Embeddings) -> Predictions:
        """Predictions for every row; a row with nothing present gets what is known of no row."""
        scores, none = self.predictor.scores(embeddings).astype(np.float64), np.zeros(0)
        counts = counts_of(embeddings.keep(self.fields).present)
        rows = (embeddings.fields, embeddings.present, self.kind)
        if self.kind == "number":
            v, half = scores[:, 0], self.calibration.half_width(scores[:, 0], counts)
            return Predictions(embeddings.ids, (), np.zeros((len(v), 0)), v, v - half, v + half, *rows)
        p = self.calibration.probabilities(scores, counts)
        sets = p >= np.array(self.calibration.threshold) if self.kind == "labels" else self.calibration.likely(p, counts)
        return Predictions(embeddings.ids, self.classes, p, none, none, none, *rows, sets)

    def fingerprint(self) -> str:
        return fingerprint(self.predictor.fingerprint(), self.calibration.to_dict(), self.classes)

    def save(self, folder: Path) -> None:
        values = {k: v for k, v in vars(self).items() if k not in ("predictor", "settings", "calibration")}
        own = {"settings": asdict(self.settings), "calibration": self.calibration.to_dict()}
        write_json(folder / "model.json", {**values, **own})
        self.predictor.save(folder)

    @staticmethod
    def load(folder: Path) -> Model:
        values = read_json(folder / "model.json")
        predictor = catalog.build("fusion", values["fusion"]).load(folder)
        settings = Predict(**{**values["settings"], "decays": tuple(values["settings"]["decays"])})
        found = Calibration.from_dict(values["calibration"])
        names = {k: tuple(values[k]) for k in ("classes", "fields")}
        return Model(**{**values, **names, "settings": settings, "calibration": found, "predictor": predictor})
