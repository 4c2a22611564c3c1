"""Predictions with calibrated probabilities, sets and intervals: a fusion, its weight decay and its
`calibration` from cross-fitted training rows.

Nothing here sees validation or test rows. The decay is the one with the smallest cross-fitted loss.
What makes scores probabilities, prediction sets and intervals is in
`gobelin.prediction.calibration`.

With `balance`, classes count equally, in training and in the probabilities: they are those of a
world where every class is equally common, which is what balanced accuracy asks for; `weights` make
that a world of other shares. The sets' coverage is that of rows as common as they are. Labels,
which hold side by side, are never balanced."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.features import Embeddings
from gobelin.prediction import calibration
from gobelin.prediction.calibration import Calibration, Wanted, counts_of
from gobelin.prediction.cross_fit import Predict, Training, cross_fit
from gobelin.prediction.fusion import Fusion, Predictor


@dataclass(frozen=True)
class Predictions:
    """probabilities: float [N, C] for classes; or values, low, high: float [N] for numbers.
    present: bool [N, F]. kind: of the target. sets: bool [N, C], the classes that can't be ruled
    out, or of labels those said to hold; None where there are none."""

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
        """int64 [N]: the class with the highest probability; of ordered ones the median, which is
        off by the fewest levels."""
        if self.kind == "ordinal":
            return (self.probabilities.cumsum(1) < 0.5).sum(1).clip(max=len(self.classes) - 1)
        return self.probabilities.argmax(1)

    def rows(self) -> list[dict[str, object]]:
        """One mapping a row, as in pred.csv."""
        out, labels = [], self.labels if self.classes else np.zeros(0)
        for k, name in enumerate(self.ids):
            row: dict[str, object] = {"id": name}
            if self.classes:
                row["prediction"] = (
                    self._set(k) if self.kind == "labels" else self.classes[int(labels[k])]
                )
                row |= {
                    f"p_{c}": round(float(p), 6)
                    for c, p in zip(self.classes, self.probabilities[k], strict=True)
                }
                if self.kind != "labels" and self.sets is not None:
                    row["set"] = self._set(k)
            else:
                row |= {
                    "prediction": float(self.values[k]),
                    "low": float(self.low[k]),
                    "high": float(self.high[k]),
                }
            row["present"] = " ".join(
                f for f, there in zip(self.fields, self.present[k], strict=True) if there
            )
            out.append(row)
        return out

    def _set(self, row: int) -> str:
        assert self.sets is not None
        return "|".join(c for c, there in zip(self.classes, self.sets[row], strict=True) if there)


def as_features(shared: Shared) -> Embeddings:
    """Vectors of the shared space in the place of the encoders' features."""
    vectors = {f: np.ascontiguousarray(shared.of(f)) for f in shared.fields}
    return Embeddings(shared.fields, vectors, shared.present, shared.ids, shared.fingerprint)


def fit(name: str, fusion: Fusion, training: Training) -> Model:
    """A predictor with calibrated probabilities. name: of the fusion."""
    crossed, target, how = cross_fit(fusion, training), training.target, training.settings
    present, share = training.embeddings.present[crossed.rows], crossed.share
    if (
        target.exclusive
    ):  # a class of one row that weighs as much as all of another would decide how sure to be
        share = share * target.scored[target.values[crossed.rows]]
    found = calibration.calibrate(
        crossed.scores,
        target.values[crossed.rows],
        share,
        present,
        lambda places, there: crossed.shown(training.embeddings, places, there),
        Wanted(target.kind, how.level, how.sets, how.by_class, how.local, how.threshold),
        training.runtime.seed,
    )
    fields = training.embeddings.fields
    return Model(
        name,
        crossed.predictor,
        target.name,
        target.kind,
        target.classes,
        how,
        found,
        crossed.decay,
        fields,
    )


@dataclass(frozen=True)
class Model:
    """A fitted predictor with what makes its scores probabilities. fusion: the component's name.
    fields: those it uses."""

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
        """The classes of which a row has exactly one: () of a number, and where labels hold side by
        side."""
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
            return Predictions(
                embeddings.ids, (), np.zeros((len(v), 0)), v, v - half, v + half, *rows
            )
        p = self.calibration.probabilities(scores, counts)
        sets = (
            p >= np.array(self.calibration.threshold)
            if self.kind == "labels"
            else self.calibration.likely(p, counts)
        )
        return Predictions(embeddings.ids, self.classes, p, none, none, none, *rows, sets)

    def fingerprint(self) -> str:
        return fingerprint(self.predictor.fingerprint(), self.calibration.to_dict(), self.classes)

    def save(self, folder: Path) -> None:
        values = {
            k: v for k, v in vars(self).items() if k not in ("predictor", "settings", "calibration")
        }
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
        return Model(
            **{
                **values,
                **names,
                "settings": settings,
                "calibration": found,
                "predictor": predictor,
            }
        )
