"""Did it help? Arms are tuned in equal measure on validation rows, frozen, trained from several
seeds, and compared on the test rows, which are opened once.

The loop knows no difference between a rival and a generator: it is given arms, a way to fit and a
way to score.

What this cannot show: with one set of training rows and images, only whether *these images* helped.
Whether the method helps needs resamples of the training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from gobelin.augmentation.arms import BASELINE, ArmRows, Choice, Outcome, base_of
from gobelin.augmentation.settings import Augment
from gobelin.evidence.comparison import Comparison, Metric, compare
from gobelin.evidence.verdict import Trial, Verdict, verdicts
from gobelin.prediction.fusion import Predictor
from gobelin.prediction.heads.job import Job


def study(
    arms: Sequence[ArmRows],
    how: Augment,
    fit: Callable[[Sequence[Job]], list[Predictor]],
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray],
    score: Callable[[Predictor, str, Sequence[str] | None], np.ndarray],
    summary: Callable[[np.ndarray], float],
    subsets: Sequence[tuple[str, ...]],
    seed: int,
    last_fit: Callable[[Sequence[Job]], list[Predictor]] | None = None,
) -> Outcome:
    """Tune, freeze, train, open the test rows.

    fit: all jobs in one call; last_fit: the same for the frozen choices, where that is another.
    weigh(rows, weights): balances classes. score(predictor, part, fields): per row of 'valid' or
    'test', right or wrong (or the error). summary: the metric on validation rows, larger is better.
    """
    names = list(dict.fromkeys(a.name for a in arms))
    trials = {n: _trials(how, any(a.added.any() for a in arms if a.name == n)) for n in names}
    keys = [(a, t, s) for a in arms for t in trials[a.name] for s in range(how.tuning_seeds)]
    tuned = fit([_job(a, t, seed + 1000 + s, how, weigh) for a, t, s in keys])
    scores: dict[tuple[str, Choice], list[float]] = {}
    for predictor, (arm, trial, _) in zip(tuned, keys, strict=True):
        scores.setdefault((arm.name, trial), []).append(summary(score(predictor, "valid", None)))
    means = {key: float(np.mean(each)) for key, each in scores.items()}
    chosen = {n: trials[n][int(np.argmax([means[n, t] for t in trials[n]]))] for n in names}
    curve = {
        n: {
            r: max(means[n, t] for t in trials[n] if t.ratio == r)
            for r in dict.fromkeys(t.ratio for t in trials[n])
        }
        for n in names
    }
    last = [(a, s) for a in arms for s in range(how.seeds)]
    final = (last_fit or fit)([_job(a, chosen[a.name], seed + s, how, weigh) for a, s in last])

    def collected(fields: Sequence[str] | None) -> dict[str, np.ndarray]:
        each = [score(p, "test", fields) for p in final]
        out = {}
        for name in names:
            own = [h for h, (a, _) in zip(each, last, strict=True) if a.name == name]
            out[name] = np.stack(own).reshape(1, len(own) // how.seeds, how.seeds, -1)
        return out

    return Outcome(
        collected(None),
        {n: (c,) for n, c in chosen.items()},
        {s: collected(s) for s in subsets},
        (curve,),
    )


def _trials(how: Augment, has_added: bool) -> list[Choice]:
    """What to try: as many settings for an arm without added rows, over a wider range of decays."""
    if has_added:
        return [Choice(*one) for one in product(how.sweep, how.mixes, how.decays)]
    low, high = min(how.decays) / 3, max(how.decays) * 3
    return [Choice(0.0, 1.0, float(d)) for d in np.geomspace(low, high, how.trials)]


def _job(
    arm: ArmRows,
    trial: Choice,
    seed: int,
    how: Augment,
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Job:
    kept = arm.at(trial.ratio, max(how.sweep))
    weights = (arm.weights * np.where(arm.added, trial.mix, 1.0))[kept]
    return Job(arm.rows[kept], weigh(arm.rows[kept], weights), seed, trial.decay)


@dataclass(frozen=True)
class Comparisons:
    """verdicts: one a generator arm. against_real: every other arm against the real rows."""

    verdicts: tuple[Verdict, ...]
    trials: tuple[Trial, ...]
    against_real: Mapping[str, Comparison]


def judge(
    outcome: Outcome,
    generator_arms: Sequence[str],
    rivals: Sequence[str],
    how: Augment,
    classes: np.ndarray | None,
    units: Sequence[str],
    metric: Metric,
) -> Comparisons:
    """Every arm against the real rows, and a verdict for each generator arm against what it adds
    to."""
    hits = outcome.hits

    def against(arm: str, base: str) -> Comparison:
        return compare(
            hits[base], hits[arm], classes, np.asarray(units), metric, reuse=outcome.reuse
        )

    real = {name: against(name, BASELINE) for name in hits if name != BASELINE}
    trials = []
    for arm in generator_arms:
        base = base_of(arm, hits)
        others = [r for r in rivals if r != base]
        trials.append(
            Trial(
                arm,
                against(arm, base),
                {r: against(arm, r) for r in others},
                {r: against(r, base) for r in others},
            )
        )
    return Comparisons(tuple(verdicts(trials, how.smallest_effect)), tuple(trials), real)
