"""Did generated images help? Arms (training sets) are tuned on validation rows, each with the same
effort, trained from several seeds, and compared on the test rows, which are opened once.

A study treats baseline methods and generators alike: its input is arms and a trainer.

What this cannot show: with one set of training rows and images, only whether *these images* helped.
Whether the method helps needs resamples of the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from gobelin.augmentation.arms import ADDS_TO, BASELINE, ArmRows, ArmSettings, Outcome
from gobelin.augmentation.settings import Augment
from gobelin.embedding.features import Embeddings
from gobelin.evidence.comparison import Comparison, Metric, compare
from gobelin.evidence.verdict import ArmComparisons, Verdict, verdicts
from gobelin.prediction.fusion import Predictor
from gobelin.prediction.heads.job import Job


@dataclass(frozen=True)
class FittedPredictor:
    """A trained predictor of one arm."""

    predictor: Predictor
    test: Embeddings | None = None  # test rows by its own encoders; None where it has none


class Trainer(Protocol):
    """Fits predictors on rows of the table that all arms share, and scores them."""

    def fit(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """A predictor for each job."""

    def fit_chosen(self, jobs: Sequence[Job]) -> Sequence[Any]:
        """The same with the chosen settings. Encoders of an arm's own are trained here only."""

    def weigh(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """float32 [n]: the weights with classes balanced."""

    def score(self, fitted: Any, part: str, fields: Sequence[str] | None) -> np.ndarray:  # noqa: ANN401
        """float [n]: 1 or 0 (right or wrong), or the error of a number, for each scored row.

        part: 'valid' or 'test'. fields: the fields that the predictor is given, None for all.
        """

    def summary(self, hits: np.ndarray) -> float:
        """The metric of validation rows, larger is better. hits: float [n], from `score`."""


def study(
    arms: Sequence[ArmRows],
    settings: Augment,
    trainer: Trainer,
    subsets: Sequence[tuple[str, ...]],
    seed: int,
) -> Outcome:
    """Tune every arm with the same effort, train it from several seeds, then open the test rows.

    subsets: of fields, for the scores with some fields alone.
    """
    names = list(dict.fromkeys(a.name for a in arms))
    trials = {n: _trials(settings, any(a.added.any() for a in arms if a.name == n)) for n in names}
    tried = [(a, t, s) for a in arms for t in trials[a.name] for s in range(settings.tuning_seeds)]
    tuned = trainer.fit([_job(a, t, seed + 1000 + s, settings, trainer) for a, t, s in tried])
    scores: dict[tuple[str, ArmSettings], list[float]] = {}
    for fitted, (arm, trial, _) in zip(tuned, tried, strict=True):
        hits = trainer.score(fitted, "valid", None)
        scores.setdefault((arm.name, trial), []).append(trainer.summary(hits))
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    chosen = {n: trials[n][int(np.argmax([means[n, t] for t in trials[n]]))] for n in names}
    curve = {
        n: {
            ratio: max(means[n, t] for t in trials[n] if t.ratio == ratio)
            for ratio in dict.fromkeys(t.ratio for t in trials[n])
        }
        for n in names
    }
    trained = [(a, s) for a in arms for s in range(settings.seeds)]
    final = trainer.fit_chosen(
        [_job(a, chosen[a.name], seed + s, settings, trainer) for a, s in trained]
    )

    def hits_of(fields: Sequence[str] | None) -> dict[str, np.ndarray]:
        """{arm: [1, G, S, N]}."""
        hits = [trainer.score(fitted, "test", fields) for fitted in final]
        out = {}
        for name in names:
            of_arm = [h for h, (a, _) in zip(hits, trained, strict=True) if a.name == name]
            out[name] = np.stack(of_arm).reshape(
                1, len(of_arm) // settings.seeds, settings.seeds, -1
            )
        return out

    return Outcome(
        hits=hits_of(None),
        chosen={n: (c,) for n, c in chosen.items()},
        by_subset={s: hits_of(s) for s in subsets},
        curve=(curve,),
        adds_to={a.name: ADDS_TO[a.kind] for a in arms if a.kind in ADDS_TO},
    )


def _trials(settings: Augment, has_added: bool) -> list[ArmSettings]:
    """The settings that tuning tries: equally many for every arm.

    An arm without added rows has only a weight decay to choose, so it gets a wider range.
    """
    if has_added:
        return [
            ArmSettings(*values)
            for values in product(settings.sweep, settings.mixes, settings.decays)
        ]
    low, high = min(settings.decays) / 3, max(settings.decays) * 3
    return [ArmSettings(0.0, 1.0, float(d)) for d in np.geomspace(low, high, settings.trials)]


def _job(arm: ArmRows, trial: ArmSettings, seed: int, settings: Augment, trainer: Trainer) -> Job:
    entered = arm.at(trial.ratio, max(settings.sweep))
    weights = (arm.weights * np.where(arm.added, trial.mix, 1.0))[entered]
    rows = arm.rows[entered]
    return Job(rows, trainer.weigh(rows, weights), seed, trial.decay)


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of a study."""

    verdicts: tuple[Verdict, ...]  # one for each arm with generated images
    trials: tuple[ArmComparisons, ...]  # the comparisons behind each verdict
    against_real: Mapping[str, Comparison]  # {arm: its comparison with the real rows}


def judge(
    outcome: Outcome,
    rivals: Sequence[str],
    settings: Augment,
    classes: np.ndarray | None,
    units: Sequence[str],
    metric: Metric,
) -> Comparisons:
    """Every arm against the real rows, and a verdict on each arm with generated images.

    rivals: names of the baseline methods. classes: int64 [N] of the test rows, None for a number.
    units: N names of independent test units.
    """
    hits = outcome.hits

    def against(arm: str, base: str) -> Comparison:
        return compare(
            hits[base], hits[arm], classes, np.asarray(units), metric, reuse=outcome.reuse
        )

    real = {name: against(name, BASELINE) for name in hits if name != BASELINE}
    trials = []
    for arm in outcome.generated:
        base = outcome.adds_to[arm]
        others = [r for r in rivals if r != base]
        trials.append(
            ArmComparisons(
                arm,
                against(arm, base),
                {r: against(arm, r) for r in others},
                {r: against(r, base) for r in others},
            )
        )
    return Comparisons(tuple(verdicts(trials, settings.smallest_effect)), tuple(trials), real)
