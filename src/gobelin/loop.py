"""Did it help? Arms are tuned in equal measure on validation rows, frozen, trained from several seeds, and compared on the
test rows, which are opened once.

The loop knows no difference between a rival and a generator: it is given arms, a way to fit and a way to score.

What this cannot show: with one set of training rows and images, only whether *these images* helped. Whether the method helps
needs resamples of the training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from gobelin.comparison import RESAMPLES_OF_A_METHOD, Comparison, Metric, compare, compare_classes, simultaneous
from gobelin.config import once, within
from gobelin.evidence import Finding, printed, sign_flip
from gobelin.fusion import Predictor
from gobelin.jobs import Job
from gobelin.store import load_arrays, read_json, save_arrays, write_json
from gobelin.verdict import Trial, Verdict, verdicts

BASELINE, CLASSIC = "real", "classic"
LEAST_ROWS = 20  # of a subset of fields that is compared


@dataclass(frozen=True)
class Augment:
    """generators: components, each an arm of its own; none = the run's. study: 'images', what these images did, or 'method',
    with everything inside `resamples` resamples of the training rows. ratio: added rows to choose from, as shares of the real
    ones, the scarce classes first; images are made once, for the largest. per_class: images by class, * = every other class;
    then they are all used. rivals: components that always run. seeds: trainings of each arm that are averaged. tuning_seeds: of
    each trial. mixes: weights of an added row to choose from. decays: weight decays to choose from; the baseline chooses among
    as many settings. smallest_effect: what matters, of balanced accuracy, or of a number's standard deviation in training rows.
    minutes: for all of it; too few for the arms means fewer seeds, never fewer rivals. steps: of the other generators'
    training, written by the run. quarantine: leave out made images that look like copies of training images or like validation
    or test rows. agree: leave out those whose label isn't read from them. match: leave out those that match what else they were
    asked with worse than 95 % of real images. tune: train the encoders of `tune.fields` anew on every arm's rows."""

    generators: tuple[str, ...] = ()
    study: Literal["images", "method"] = "images"
    resamples: int = RESAMPLES_OF_A_METHOD
    ratio: tuple[float, ...] = (0.25, 1.0, 4.0)
    per_class: Mapping[str, int] = field(default_factory=dict)
    rivals: tuple[str, ...] = (
        "classic", "generator_size", "oversampling", "weights", "retrieved", "copies", "procedural_noise"
    )  # fmt: skip
    seeds: int = 8
    tuning_seeds: int = 2
    mixes: tuple[float, ...] = (0.05, 0.5)
    decays: tuple[float, ...] = (1e-3, 1e-2)
    smallest_effect: float = 0.01
    minutes: float | None = None
    steps: Mapping[str, int] = field(default_factory=dict)
    quarantine: bool = True
    agree: bool = True
    match: bool = True
    tune: bool = False

    def __post_init__(self) -> None:
        if wrong := [r for r in self.ratio if not 0 < r <= 20]:
            raise ValueError(f"ratio = {wrong[0]:g}, above 0 and up to 20 was expected")
        if not self.ratio:
            raise ValueError("ratio = nothing, a number above 0 was expected")
        if self.seeds < 2 or self.tuning_seeds < 1:
            raise ValueError(f"seeds = {self.seeds}, tuning_seeds = {self.tuning_seeds}: two and one at least were expected")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes = {self.minutes:g}: must be positive")
        if wrong_class := [f"per_class.{c} = {n}" for c, n in self.per_class.items() if not 0 <= n <= 1_000_000]:
            raise ValueError(f"{wrong_class[0]}, a number of images from 0 to 1000000 was expected")
        once(self, "generators", "rivals")
        within(self, {
            "mixes": (1e-6, 1e3), "decays": (0, 1e6), "smallest_effect": (0, 1e9),
            "resamples": (RESAMPLES_OF_A_METHOD, 1000),
        })  # fmt: skip

    @property
    def sweep(self) -> tuple[float, ...]:
        """The ratios that tuning chooses from; one where the user said how many images there are."""
        return (max(self.ratio),) if self.per_class else self.ratio

    @property
    def sets(self) -> int:
        """How many sets of training rows are studied."""
        return self.resamples if self.study == "method" else 1

    @property
    def trials(self) -> int:
        """Settings that every arm is tried with."""
        return len(self.sweep) * len(self.mixes) * len(self.decays)


class Choice(NamedTuple):
    """What tuning chooses. ratio: added rows over real ones, 0 without any. mix: weight of an added row. decay: of weights."""

    ratio: float
    mix: float
    decay: float


@dataclass(frozen=True)
class ArmRows:
    """A training set as rows of shared features. rows: int64 [n]; added: bool [n], False for the real rows; weights
    float32 [n]; order: int64 [n], when an added row enters as the ratio grows, -1 for the real rows; None: as they stand.
    generator_seed: None for an arm without a generator."""

    name: str
    rows: np.ndarray
    added: np.ndarray
    weights: np.ndarray
    generator_seed: int | None = None
    order: np.ndarray | None = None

    def at(self, ratio: float, most: float) -> np.ndarray:
        """int64 [k]: places of the real rows and the first added ones, `ratio` times as many; at `most` all of them."""
        if ratio >= most or not self.added.any():
            return np.arange(len(self.rows))
        order = np.where(self.added, np.cumsum(self.added) - 1, -1) if self.order is None else self.order
        return np.flatnonzero(order < round(ratio * (~self.added).sum()))


@dataclass(frozen=True)
class Outcome:
    """hits: {arm: float [R, G, S, N]} per test row. chosen: {arm: a choice for each resample}. by_subset: the same hits when
    only these fields are shown. curve: {arm: {ratio: best score on validation rows}}, a list of one a resample. reuse: as
    `compare` takes it, 1 where resamples are bootstraps of one set of training rows."""

    hits: Mapping[str, np.ndarray]
    chosen: Mapping[str, tuple[Choice, ...]]
    by_subset: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]
    curve: tuple[Mapping[str, Mapping[float, float]], ...] = ()
    reuse: float = 1.0

    @staticmethod
    def joined(each: Sequence[Outcome]) -> Outcome:
        """The resamples of one study, [1, G, S, N] each, as [R, G, S, N]."""
        first = each[0]
        return Outcome(
            {n: np.concatenate([o.hits[n] for o in each]) for n in first.hits},
            {n: tuple(c for o in each for c in o.chosen[n]) for n in first.chosen},
            {s: {n: np.concatenate([o.by_subset[s][n] for o in each]) for n in h} for s, h in first.by_subset.items()},
            tuple(c for o in each for c in o.curve),
        )

    def save(self, folder: Path) -> None:
        """hits.safetensors: hits by arm, and by arm and fields after a tab; choices.json."""
        arrays = dict(self.hits) | {
            f"{arm}\t{' '.join(map(_quoted, s))}": h for s, hits in self.by_subset.items() for arm, h in hits.items()
        }
        save_arrays(folder / "hits.safetensors", {n: np.ascontiguousarray(h, np.float64) for n, h in arrays.items()})
        curve = [{a: [[r, v] for r, v in points.items()] for a, points in one.items()} for one in self.curve]
        write_json(folder / "choices.json", {"chosen": {a: [list(c) for c in cs] for a, cs in self.chosen.items()},
                                             "subsets": [list(s) for s in self.by_subset], "curve": curve})  # fmt: skip

    @staticmethod
    def load(folder: Path) -> Outcome:
        said, arrays = read_json(folder / "choices.json"), load_arrays(folder / "hits.safetensors")
        arms = list(said["chosen"])
        return Outcome(
            {a: arrays[a] for a in arms},
            {a: tuple(Choice(*c) for c in cs) for a, cs in said["chosen"].items()},
            {tuple(s): {a: arrays[f"{a}\t{' '.join(map(_quoted, s))}"] for a in arms} for s in said["subsets"]},
            tuple({a: {r: v for r, v in points} for a, points in one.items()} for one in said["curve"]),
        )


def _quoted(field: str) -> str:
    return repr(field)


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

    fit: all jobs in one call; last_fit: the same for the frozen choices, where that is another. weigh(rows, weights): balances
    classes. score(predictor, part, fields): per row of 'valid' or 'test', right or wrong (or the error). summary: the metric on
    validation rows, larger is better.
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
    curve = {n: {r: max(means[n, t] for t in trials[n] if t.ratio == r) for r in dict.fromkeys(t.ratio for t in trials[n])}
             for n in names}  # fmt: skip
    last = [(a, s) for a in arms for s in range(how.seeds)]
    final = (last_fit or fit)([_job(a, chosen[a.name], seed + s, how, weigh) for a, s in last])

    def collected(fields: Sequence[str] | None) -> dict[str, np.ndarray]:
        each = [score(p, "test", fields) for p in final]
        out = {}
        for name in names:
            own = [h for h, (a, _) in zip(each, last, strict=True) if a.name == name]
            out[name] = np.stack(own).reshape(1, len(own) // how.seeds, how.seeds, -1)
        return out

    return Outcome(collected(None), {n: (c,) for n, c in chosen.items()}, {s: collected(s) for s in subsets}, (curve,))


def _trials(how: Augment, has_added: bool) -> list[Choice]:
    """What to try: as many settings for an arm without added rows, over a wider range of decays."""
    if has_added:
        return [Choice(*one) for one in product(how.sweep, how.mixes, how.decays)]
    low, high = min(how.decays) / 3, max(how.decays) * 3
    return [Choice(0.0, 1.0, float(d)) for d in np.geomspace(low, high, how.trials)]


def _job(
    arm: ArmRows, trial: Choice, seed: int, how: Augment, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Job:  # fmt: skip
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
    outcome: Outcome, generator_arms: Sequence[str], rivals: Sequence[str], how: Augment, classes: np.ndarray | None,
    units: Sequence[str], metric: Metric,
) -> Comparisons:  # fmt: skip
    """Every arm against the real rows, and a verdict for each generator arm against what it adds to."""
    hits = outcome.hits

    def against(arm: str, base: str) -> Comparison:
        return compare(hits[base], hits[arm], classes, np.asarray(units), metric, reuse=outcome.reuse)

    real = {name: against(name, BASELINE) for name in hits if name != BASELINE}
    trials = []
    for arm in generator_arms:
        base = base_of(arm, hits)
        others = [r for r in rivals if r != base]
        trials.append(
            Trial(arm, against(arm, base), {r: against(arm, r) for r in others}, {r: against(r, base) for r in others})
        )
    return Comparisons(tuple(verdicts(trials, how.smallest_effect)), tuple(trials), real)


def base_of(arm: str, arms: Collection[str]) -> str:
    """What a generator arm adds to: the real rows, or the classic views where it holds them and they are an arm."""
    return CLASSIC if arm.startswith(f"{CLASSIC} + ") and CLASSIC in arms else BASELINE


def findings(found: Comparisons, outcome: Outcome, how: Augment, metric: str) -> list[Finding]:
    """The verdicts first, then every comparison and what each arm scored."""
    out = []
    for one, trial in zip(found.verdicts, found.trials, strict=True):
        base = base_of(trial.arm, outcome.hits)
        main = trial.against_baseline
        out.append(
            Finding(
                "verdict", {"arm": trial.arm}, base, main.value, main.low, main.high, main.level, "see the comparisons",
                "" if metric == "rmse" else "points", "higher", None, None, one.word, main.units,
                main.needed_units(how.smallest_effect), one.sentence, "augment",
            )
        )  # fmt: skip
        out.append(
            Finding(
                "smallest_detectable_effect", {"arm": trial.arm}, value=one.detectable,
                unit="" if metric == "rmse" else "points",
                note=f"against {base}: four of five such studies find a true difference of this size{_beside(one, metric)}",
                n=main.units, source="augment",
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
    for name, choices in outcome.chosen.items():
        note = "chosen on validation rows: " + "; ".join(dict.fromkeys(_said(c) for c in choices))
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


def _beside(one: Verdict, metric: str) -> str:
    """What the study could have seen over the rival that is hardest to tell from the arm."""
    seen = one.detectable_against_rivals
    return "" if seen is None else f"; over every rival {printed(seen, '' if metric == 'rmse' else 'points')}"


def cross_checks(outcome: Outcome, arms: Sequence[str], classes: np.ndarray | None, units: Sequence[str]) -> list[Finding]:
    """For each generator arm the p value of a permutation of signs over test units. classes: of balanced accuracy, or None."""
    own = np.unique(np.asarray(units), return_inverse=True)[1]
    share = np.full(len(units), 1 / len(units))
    if classes is not None:
        _, label, count = np.unique(classes, return_inverse=True, return_counts=True)
        share = 1 / (len(count) * count[label])
    out = []
    for arm in arms:
        base = base_of(arm, outcome.hits)
        mine, other = (outcome.hits[n] if classes is not None else -(outcome.hits[n] ** 2) for n in (arm, base))
        gained = np.bincount(own, share * (mine.mean((0, 1, 2)) - other.mean((0, 1, 2))))
        note = f"against {base}, by permuted signs of test units (Fisher 1935): a cross-check alone, it decides nothing"
        out.append(Finding("sign_flip_p", {"arm": arm}, value=sign_flip(gained), n=len(gained), note=note, source="augment"))
    return out


def _said(one: Choice) -> str:
    added = f"added rows {one.ratio:g} times the real ones, each with the weight {one.mix:g}, " if one.ratio else ""
    return f"{added}weight decay {one.decay:.2g}"


def by_class(
    outcome: Outcome, arms: Sequence[str], classes: np.ndarray, units: Sequence[str], names: Sequence[str]
) -> list[Finding]:
    """Each generator arm against what it adds to in every class: simultaneous intervals, exploratory, no verdict."""
    out = []
    for arm in arms:
        base = base_of(arm, outcome.hits)
        found = compare_classes(outcome.hits[base], outcome.hits[arm], classes, np.asarray(units), reuse=outcome.reuse)
        note = f"simultaneous over {len(found)} classes"
        out += [_exploratory(c, arm, base, {"class": names[k]}, note) for k, c in found.items()]
    return out


def by_subset(
    outcome: Outcome,
    arms: Sequence[str],
    classes: np.ndarray | None,
    units: Sequence[str],
    has: Callable[[Sequence[str]], np.ndarray],
) -> list[Finding]:
    """Each generator arm against what it adds to, shown these fields alone: simultaneous, exploratory.

    classes: [N], None for a number. has(fields): bool [N], the test rows that have them all; only these count.
    """
    label = np.zeros(len(units), np.int64) if classes is None else classes
    metric: Metric = "rmse" if classes is None else "balanced_accuracy"
    out = []
    for arm in arms:
        pairs: dict[str, Comparison] = {}
        base = base_of(arm, outcome.hits)
        for fields, hits in outcome.by_subset.items():
            rows = np.flatnonzero(has(fields))
            pair = [np.asarray(units)[rows], label[rows]]
            if len(rows) >= LEAST_ROWS and max(len(np.unique(pair[0][pair[1] == c])) for c in np.unique(pair[1])) > 1:
                without, mine = hits[base][..., rows], hits[arm][..., rows]
                pairs[" + ".join(fields)] = compare(without, mine, pair[1], pair[0], metric, reuse=outcome.reuse)
        note = f"simultaneous over {len(pairs)} subsets; the rows that have these fields, shown them alone"
        joint = simultaneous(list(pairs.values())) if pairs else []
        out += [_exploratory(c, arm, base, {"fields": f}, note) for f, c in zip(pairs, joint, strict=True)]
    return out


def _exploratory(one: Comparison, arm: str, base: str, scope: dict[str, str], note: str) -> Finding:
    found = one.finding(arm, base, scope=scope, source="augment", note=f"exploratory; {note}")
    return replace(found, needed_n=None)
