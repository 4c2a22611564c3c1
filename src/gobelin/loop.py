"""Did it help? Arms are tuned in equal measure on validation rows, frozen, trained from several seeds, and compared on the
test rows, which are opened once.

The loop knows no difference between a rival and a generator: it is given arms, a way to fit and a way to score.

What this cannot show: with one set of training rows and images, only whether *these images* helped. Whether the method helps
needs resamples of the training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from gobelin.comparison import Comparison, Metric, compare, compare_classes, simultaneous
from gobelin.config import within
from gobelin.data.fields import Target
from gobelin.evidence import Finding
from gobelin.fusion import Predictor
from gobelin.jobs import Job
from gobelin.runtime import numpy_generator
from gobelin.verdict import Trial, Verdict, verdicts

BASELINE, CLASSIC = "real", "classic"
LEAST_ROWS = 20  # of a subset of fields that is compared


@dataclass(frozen=True)
class Augment:
    """ratio: made rows, as a share of the real training rows, the scarce classes first. rivals: components that always run.
    seeds: trainings of each arm that are averaged. tuning_seeds: of each trial. mixes: weights of an added row to choose
    from. decays: weight decays to choose from; the baseline chooses among as many. smallest_effect: what matters, in the
    metric's unit. quarantine: leave out made images that look like copies of training images."""

    ratio: float = 1.0
    rivals: tuple[str, ...] = ("classic", "generator_size")
    seeds: int = 8
    tuning_seeds: int = 2
    mixes: tuple[float, ...] = (0.25, 1.0)
    decays: tuple[float, ...] = (1e-3, 1e-2)
    smallest_effect: float = 0.01
    quarantine: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 20 or self.seeds < 2 or self.tuning_seeds < 1:
            raise ValueError(f"ratio = {self.ratio}, seeds = {self.seeds}: ratio up to 20 and two seeds were expected")
        within(self, {"mixes": (1e-6, 1e3), "decays": (0, 1e6), "smallest_effect": (0, 1e9)})


@dataclass(frozen=True)
class ArmRows:
    """A training set as rows of shared features. rows: int64 [n]; added: bool [n], False for the real rows; weights
    float32 [n]; generator_seed: None for an arm without a generator."""

    name: str
    rows: np.ndarray
    added: np.ndarray
    weights: np.ndarray
    generator_seed: int | None = None


@dataclass(frozen=True)
class Outcome:
    """hits: {arm: float [1, G, S, N]} per test row. chosen: {arm: (mix, decay)}. by_subset: the same hits when only these
    fields are shown."""

    hits: Mapping[str, np.ndarray]
    chosen: Mapping[str, tuple[float, float]]
    by_subset: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]


def plan(target: Target, rows: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """int64 [M]: the parent rows of the made images, M about `ratio` times the labelled rows.

    The scarcest classes are filled up to one level, as water fills a vessel; within a class parents are taken in turn.
    """
    rows = rows[target.present[rows]]
    wanted = round(ratio * len(rows))
    rng = numpy_generator(seed, "plan")
    if not target.exclusive:
        return np.sort(rng.choice(rows, wanted))
    label = target.values[rows]
    counts = np.bincount(label, minlength=len(target.classes)).astype(float)
    counts[counts == 0] = np.inf
    levels = np.sort(counts)
    held = 0.0
    for k in range(1, len(levels) + 1):
        top = (wanted + levels[:k].sum()) / k
        held = top
        if k == len(levels) or top <= levels[k]:
            break
    parents = []
    for c in np.flatnonzero(np.isfinite(counts)):
        own = rows[label == c]
        count = max(0, round(held - counts[c]))
        turns = [rng.permutation(own) for _ in range(-(-count // len(own)))]
        parents.append(np.concatenate(turns)[:count] if turns else np.zeros(0, np.int64))
    return np.concatenate(parents).astype(np.int64)


def study(
    arms: Sequence[ArmRows],
    how: Augment,
    fit: Callable[[Sequence[Job]], list[Predictor]],
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray],
    score: Callable[[Predictor, str, Sequence[str] | None], np.ndarray],
    summary: Callable[[np.ndarray], float],
    subsets: Sequence[tuple[str, ...]],
    seed: int,
) -> Outcome:
    """Tune, freeze, train, open the test rows.

    fit: all jobs in one call. weigh(rows, weights): balances classes. score(predictor, part, fields): per row of 'valid' or
    'test', right or wrong (or the error). summary: the metric on validation rows, larger is better.
    """
    names = list(dict.fromkeys(a.name for a in arms))
    trials = {n: _trials(how, any(a.added.any() for a in arms if a.name == n)) for n in names}
    keys = [(a, t, s) for a in arms for t in trials[a.name] for s in range(how.tuning_seeds)]
    tuned = fit([_job(a, t, seed + 1000 + s, weigh) for a, t, s in keys])
    chosen = {}
    for name in names:
        scores = [
            np.mean([summary(score(p, "valid", None)) for p, (a, t, _) in zip(tuned, keys, strict=True)
                     if a.name == name and t == trial])
            for trial in trials[name]
        ]  # fmt: skip
        chosen[name] = trials[name][int(np.argmax(scores))]
    last = [(a, s) for a in arms for s in range(how.seeds)]
    final = fit([_job(a, chosen[a.name], seed + s, weigh) for a, s in last])

    def collected(fields: Sequence[str] | None) -> dict[str, np.ndarray]:
        each = [score(p, "test", fields) for p in final]
        out = {}
        for name in names:
            own = [h for h, (a, _) in zip(each, last, strict=True) if a.name == name]
            out[name] = np.stack(own).reshape(1, len(own) // how.seeds, how.seeds, -1)
        return out

    return Outcome(collected(None), chosen, {s: collected(s) for s in subsets})


def _trials(how: Augment, has_added: bool) -> list[tuple[float, float]]:
    """(mix, decay) to try: as many for an arm without added rows, over a wider range of decays."""
    if has_added:
        return list(product(how.mixes, how.decays))
    count = len(how.mixes) * len(how.decays)
    low, high = min(how.decays) / 3, max(how.decays) * 3
    return [(1.0, float(d)) for d in np.geomspace(low, high, count)]


def _job(arm: ArmRows, trial: tuple[float, float], seed: int, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Job:
    mix, decay = trial
    return Job(arm.rows, weigh(arm.rows, arm.weights * np.where(arm.added, mix, 1.0)), seed, decay)


@dataclass(frozen=True)
class Comparisons:
    """verdicts: one a generator arm. against_real: every other arm against the real rows."""

    verdicts: tuple[Verdict, ...]
    trials: tuple[Trial, ...]
    against_real: Mapping[str, Comparison]


def judge(
    outcome: Outcome, generator_arms: Sequence[str], rivals: Sequence[str], how: Augment, classes: np.ndarray | None,
    units: Sequence[str], metric: Metric,
) -> Comparisons:  # fmt: skip
    """Every arm against the real rows, and a verdict for each generator arm; one that holds the classic views is judged
    against them."""
    hits = outcome.hits

    def against(arm: str, base: str) -> Comparison:
        return compare(hits[base], hits[arm], classes, np.asarray(units), metric)

    real = {name: against(name, BASELINE) for name in hits if name != BASELINE}
    trials = []
    for arm in generator_arms:
        base = CLASSIC if arm.startswith(f"{CLASSIC} + ") and CLASSIC in hits else BASELINE
        others = [r for r in rivals if r != base]
        trials.append(
            Trial(arm, against(arm, base), {r: against(arm, r) for r in others}, {r: against(r, base) for r in others})
        )
    return Comparisons(tuple(verdicts(trials, how.smallest_effect)), tuple(trials), real)


def findings(found: Comparisons, outcome: Outcome, how: Augment, metric: str) -> list[Finding]:
    """The verdicts first, then every comparison and what each arm scored."""
    out = []
    for one, trial in zip(found.verdicts, found.trials, strict=True):
        base = CLASSIC if trial.arm.startswith(f"{CLASSIC} + ") else BASELINE
        main = trial.against_baseline
        out.append(
            Finding(
                "verdict", {"arm": trial.arm}, base, main.value, main.low, main.high, main.level, "see the comparisons",
                "" if metric == "rmse" else "points", "higher", None, None, one.word, main.units,
                main.needed_units(how.smallest_effect), one.sentence, "augment",
            )
        )  # fmt: skip
        out.append(main.finding(trial.arm, base, smallest_effect=how.smallest_effect, source="augment"))
        out += [
            c.finding(trial.arm, rival, smallest_effect=how.smallest_effect, source="augment")
            for rival, c in trial.against_rivals.items()
        ]
    told = {(f.scope.get("arm"), f.comparator) for f in out}
    out += [
        c.finding(name, BASELINE, smallest_effect=how.smallest_effect, source="augment")
        for name, c in found.against_real.items()
        if (name, BASELINE) not in told
    ]
    for name, (mix, decay) in outcome.chosen.items():
        note = f"chosen on validation rows: weight of an added row {mix:g}, weight decay {decay:.2g}"
        against = found.against_real.get(name)
        first = next(iter(found.against_real.values()))
        value = abs(against.arm_score if against else first.baseline_score)
        unit = "" if metric == "rmse" else "share"
        out.append(
            Finding(
                f"test_{metric}", {"arm": name}, value=value, unit=unit, n=first.units, note=note, source="augment",
                better="lower" if metric == "rmse" else "higher",
            )
        )  # fmt: skip
    return out


def by_class(
    outcome: Outcome, arms: Sequence[str], classes: np.ndarray, units: Sequence[str], names: Sequence[str]
) -> list[Finding]:
    """Each generator arm against the real rows in every class: simultaneous intervals, exploratory, no verdict."""
    out = []
    for arm in arms:
        found = compare_classes(outcome.hits[BASELINE], outcome.hits[arm], classes, np.asarray(units))
        out += [_exploratory(c, arm, {"class": names[k]}, f"simultaneous over {len(found)} classes") for k, c in found.items()]
    return out


def by_subset(
    outcome: Outcome,
    arms: Sequence[str],
    classes: np.ndarray,
    units: Sequence[str],
    has: Callable[[Sequence[str]], np.ndarray],
) -> list[Finding]:
    """Each generator arm against the real rows, shown these fields alone: simultaneous, exploratory.

    has(fields): bool [N], the test rows that have them all; only these count.
    """
    out = []
    for arm in arms:
        pairs: dict[str, Comparison] = {}
        for fields, hits in outcome.by_subset.items():
            rows = np.flatnonzero(has(fields))
            pair = [np.asarray(units)[rows], classes[rows]]
            if len(rows) >= LEAST_ROWS and max(len(np.unique(pair[0][pair[1] == c])) for c in np.unique(pair[1])) > 1:
                base, mine = hits[BASELINE][..., rows], hits[arm][..., rows]
                pairs[" + ".join(fields)] = compare(base, mine, pair[1], pair[0])
        note = f"simultaneous over {len(pairs)} subsets; the rows that have these fields, shown them alone"
        joint = simultaneous(list(pairs.values())) if pairs else []
        out += [_exploratory(c, arm, {"fields": f}, note) for f, c in zip(pairs, joint, strict=True)]
    return out


def _exploratory(one: Comparison, arm: str, scope: dict[str, str], note: str) -> Finding:
    found = one.finding(arm, BASELINE, scope=scope, source="augment", note=f"exploratory; {note}")
    return replace(found, needed_n=None)
