"""Which heads a pool has, found on training rows by cross-fitting.

The candidates are a function of the fields and the target, never of time (`pool_candidates`).
Each is scored on rows that it was not fitted on. A linear head takes the strength with the smallest
loss. Then heads are added one at a time, the one whose average with those before has the smallest
loss (Caruana et al. 2004), on several resamples of the groups. The linear heads on all fields are
in it from the start, but for those that are clearly worse than the best head. A head's share is how
often it was taken.

What this cannot show: that the same heads stay the best on other rows. Shares are chosen by the
same scores that are compared, so the pool's own score here is a little too good.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.machine import numpy_generator
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import fusion_choice, scoring
from gobelin.prediction.cross_fit import Training, learned_rows
from gobelin.prediction.heads import members
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.linear import narrow
from gobelin.prediction.heads.members import BOOSTED, Fitted, Inputs, Member
from gobelin.prediction.heads.neural import mean_one, middle_and_spread
from gobelin.prediction.pool_candidates import candidates
from gobelin.prediction.predictor import own_mix
from gobelin.prediction.scoring import Answers

FORMAT = 2  # of what is chosen
MOST_ROWS = 3000  # that heads are compared on; more are drawn from, by group
STRENGTHS = (1e-2, 1e-1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FIRST = 5  # place of the strength that is tried first
BROAD = ("linear", "ordered", "dropout")  # heads that start the average
RESAMPLES, ADDED = 10, 10  # of the groups; heads that each adds
LEAST_SHARE = 0.05  # of a head that is kept
LEAST_BOOSTED_SHARE = 0.1  # of boosted trees, which take longer than all linear heads together
SILENT_SHARE = 0.001  # of the head with dropout where it is not kept
# Of a clearly worse head: standard errors, loss, and times the smallest loss
CLEARLY, MUCH, TWICE = 3.0, 0.05, 2.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A head, scored. answers: float64 [n, V], of rows that it was not fitted on. loss: the mean
    log loss, or of a number the squared error in variances, with the metric mae the error."""

    member: Member
    answers: np.ndarray
    heard: np.ndarray
    loss: float
    seconds: float = 0.0  # of processor time

    @property
    def broad(self) -> bool:
        """Whether it is a linear head on all fields."""
        return self.member.head in BROAD and not self.member.fields

    @property
    def reads(self) -> str:
        """The fields that it reads."""
        words = ", and their words" if self.member.words else ""
        return f"{' + '.join(self.member.fields) or 'all fields'}{words}"


@dataclass(frozen=True, eq=False)
class Choice:
    """The candidates, the rows that they were compared on, and the best with their shares."""

    trial: Trial
    candidates: tuple[Candidate, ...]
    members: tuple[Member, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the fusion `pool`."""
        return {"members": [resolved(member) for member in self.members]}


def choose(training: Training) -> Choice:
    """The pool for these training rows. Raises what `learned_rows` raises."""
    learned_rows(training)
    trial = Trial(training, _compared(training))
    planned = candidates(trial.embeddings, trial.target, training.settings.preset)
    found = []
    for k, member in enumerate(planned):
        start = time.process_time()
        one = trial.scored(member)
        found.append(replace(one, seconds=round(time.process_time() - start, 2)))
        training.progress("compare heads", k + 1, len(planned))
    # the one that knows rows without some of the fields is always there: where others abstain, it
    # answers alone, however small its share
    least = [SILENT_SHARE if one.member.head == "dropout" else 0.0 for one in found]
    shares = np.maximum(trial.shares(found), least)
    kept = [
        replace(one.member, share=round(float(share), 3))
        for one, share in zip(found, shares, strict=True)
        if share > 0
    ]
    return Choice(trial, tuple(found), tuple(kept))


def board(choice: Choice) -> list[dict[str, Any]]:
    """A row for each candidate, the best first: what it is, its score by `predict.metric` with an
    interval on the rows that `evaluate` would score, each by a head that was not fitted on it, its
    loss, its share of the pool, and the processor time of comparing it in seconds. Where no metric
    is named, the smallest loss is the best."""
    trial, training = choice.trial, choice.trial.training
    metric, scored = training.settings.metric, trial.target.scored_rows(trial.scored_rows)
    target, units = trial.target.rows(scored), [training.groups[r] for r in trial.rows[scored]]
    shares = {replace(m, share=1.0): m.share for m in choice.members}
    total, out = sum(shares.values()), []
    for one in choice.candidates:
        interval = scoring.interval(metric, trial.told(one.answers[scored]), target, units)
        out.append(
            {
                "head": one.member.head,
                "reads": one.reads,
                "metric": scoring.finding_name(metric, target.kind),
                "score": interval.value,
                "low": interval.low,
                "high": interval.high,
                "n": len(scored),
                "loss": one.loss,
                "share": shares.get(one.member, 0.0) / total,
                "seconds": one.seconds,
            }
        )
    if metric == scoring.AUTO:
        return sorted(out, key=lambda row: row["loss"])
    sign = 1 if scoring.better(metric, target.kind) == "lower" else -1
    return sorted(out, key=lambda row: (sign * row["score"], row["loss"]))


def _compared(training: Training) -> np.ndarray:
    """int64 [n]: labelled rows, whole groups of them, about `MOST_ROWS` at most."""
    rows = training.rows if training.unseen is None else training.unseen
    rows = rows[training.target.present[rows]]
    if len(rows) <= MOST_ROWS:
        return rows
    names, of = np.unique([training.groups[r] for r in rows], return_inverse=True)
    order = numpy_generator(training.runtime.seed, "compared").permutation(len(names))
    sizes = np.bincount(of)[order].cumsum()
    chosen = order[: int(np.searchsorted(sizes, MOST_ROWS)) + 1]
    return rows[np.isin(of, chosen)]


@dataclass(frozen=True, eq=False)
class Trial:
    """The rows on which heads are compared."""

    training: Training
    rows: np.ndarray  # int64 [n]

    @cached_property
    def embeddings(self) -> Embeddings:
        return self.training.embeddings.rows(self.rows)

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs.fit(self.embeddings, catalog.find("fusion", "pool").components)

    @cached_property
    def target(self) -> Target:
        """Of the n rows."""
        return self.training.target.rows(self.rows)

    @cached_property
    def answers(self) -> np.ndarray:
        """int64 [n] of classes, [n, C] of labels, or numbers [n] about their mean in standard
        deviations."""
        target = self.training.target
        values = target.values[self.rows]
        return (values - self.unit[0]) / self.unit[1] if target.kind == "number" else values

    @cached_property
    def unit(self) -> np.ndarray:
        """float32 [2]: about the mean and the standard deviation of a number."""
        return middle_and_spread(self.training.target, self.embeddings, self.rows)

    @property
    def zero(self) -> float:
        """What the number 0 is among `answers`; 0 for classes."""
        return float(-self.unit[0] / self.unit[1]) if self.target.kind == "number" else 0.0

    @cached_property
    def mix(self) -> np.ndarray:
        """float64 [C]: what logits in the rows' own mix lie above those that decide the class."""
        return np.array(own_mix(self.training) or np.zeros(self.outputs))

    @cached_property
    def weights(self) -> np.ndarray:
        """float32 [n], with a mean of one."""
        return mean_one(self.training.weights[self.rows])

    @property
    def outputs(self) -> int:
        return max(len(self.training.target.classes), 1)

    def scored(self, member: Member) -> Candidate:
        """A candidate; a linear head with the strength of the smallest loss."""
        heard = self.inputs.heard(member, self.embeddings)
        if member.head == "dropout":
            return self._with_dropout(member, heard)
        x = self.inputs.of(member, self.embeddings)
        if member.head not in members.LINEAR:
            answers = self._crossed(member, x)
            return Candidate(member, answers, heard, self.loss(answers))
        x = narrow(x)[0]
        tried: dict[int, tuple[float, np.ndarray]] = {}

        def loss_at(place: int) -> float:
            if place not in tried:
                answers = self._crossed(replace(member, strength=STRENGTHS[place]), x)
                tried[place] = self.loss(answers), answers
            return tried[place][0]

        best = FIRST
        for step in (1, -1):  # up while the loss falls; down only where up was no better
            while 0 <= best + step < len(STRENGTHS) and loss_at(best + step) < loss_at(best):
                best += step
            if best != FIRST:
                break
        return Candidate(
            replace(member, strength=STRENGTHS[best]), tried[best][1], heard, tried[best][0]
        )

    @cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(places to fit on, places held out) of each fold."""
        fold, subsets = self.training.folds(self.rows)
        pairs = [(learned, fold == f) for f, learned in enumerate(subsets)]
        return [
            (np.flatnonzero(learned), np.flatnonzero(held))
            for learned, held in pairs
            if held.any() and learned.any()
        ]

    @cached_property
    def scored_rows(self) -> np.ndarray:
        """int64: the places in 0 .. n - 1 that a fold scores."""
        return np.sort(np.concatenate([held for _, held in self.folds]))

    def _unscored(self) -> np.ndarray:
        """float64 [n, V]: what is answered for a row before any fold has scored it, the shares of
        the classes, or the mean of a number: the same for every head, so it chooses none."""
        if self.target.kind == "number":
            return np.zeros((len(self.rows), 1))
        share = np.clip(self.target.counts(np.arange(len(self.rows))) / len(self.rows), 1e-6, 1)
        if self.target.kind != "labels":
            share = share / share.sum()
        return np.tile(share, (len(self.rows), 1))

    def _crossed(self, member: Member, x: np.ndarray) -> np.ndarray:
        """float64 [n, V]: answers for each fold by a head that was fitted on the others. x: [n,
        K]."""
        out, seed = self._unscored(), self.training.runtime.seed
        group, least = self.embeddings.group_numbers, self.embeddings.least_groups
        for others, held in self.folds:
            fitted = members.fit(
                member,
                x[others],
                self.answers[others],
                self.weights[others],
                self.outputs,
                seed,
                group[others],
                least,
                self.zero,
            )
            out[held] = fitted.of(x[held])
        return out

    def _with_dropout(self, member: Member, heard: np.ndarray) -> Candidate:
        """The head with its own weight decay: that of its smallest loss is no better in the average
        (docs/design.md). Decays that the user named are compared. All of them and all folds are one
        computation."""
        t = self.training
        named = t.settings.decays != type(t.settings)().decays
        decays = t.settings.decays if named else (member.decay,)
        jobs = [
            Job(others, self.weights[others], t.runtime.seed, decay)
            for decay in decays
            for others, _ in self.folds
        ]
        every = np.arange(len(self.rows))
        target = t.target.rows(self.rows)
        heads = members.dropout_heads(member, self.embeddings, target, jobs, every, t.runtime)
        best = None
        for k, decay in enumerate(decays):
            out = self._unscored()
            for head, (_, held) in zip(heads[k * len(self.folds) :], self.folds, strict=False):
                one = Fitted(member, head, several=target.kind == "labels")
                out[held] = one.answers(self.inputs, self.embeddings.rows(held))
            found = Candidate(replace(member, decay=decay), out, heard, self.loss(out))
            best = found if best is None or found.loss < best.loss else best
        assert best is not None
        return best

    def losses(self, answers: np.ndarray) -> np.ndarray:
        """float64 [n]: of each row. answers: [n, V]."""
        if self.target.kind == "number":
            off = np.abs(answers[:, 0] - self.answers)
            return off if self.training.settings.metric == "mae" else off**2
        if self.target.kind == "labels":
            return -np.log(np.where(self.answers == 1, answers, 1 - answers)).mean(1)
        return -np.log(np.clip(answers[np.arange(len(answers)), self.answers], 1e-12, None))

    def loss(self, answers: np.ndarray) -> float:
        return float(np.average(self.losses(answers), weights=self.weights))

    def told(self, answers: np.ndarray) -> Answers:
        """The answers [n, V] of a head as they are scored."""
        settings, kind = self.training.settings, self.target.kind
        if kind == "number":
            scores = answers * self.unit[1] + self.unit[0]
        else:
            scores = np.log(answers) - (np.log1p(-answers) if kind == "labels" else 0.0)
        return fusion_choice.answers_of(scores - self.mix, self.target, settings, self.mix)

    def shares(self, found: Sequence[Candidate]) -> np.ndarray:
        """float64 [M]: the share of each candidate in the pool; they sum to one."""
        groups = np.unique([self.training.groups[r] for r in self.rows], return_inverse=True)[1]
        rng = numpy_generator(self.training.runtime.seed, "pool")
        counted = np.zeros(len(found))
        for _ in range(RESAMPLES):
            times = np.bincount(rng.integers(groups.max() + 1, size=groups.max() + 1))
            times = np.pad(times, (0, groups.max() + 1 - len(times)))[groups]
            counted += self._added(found, self.weights * times)
        slow = np.array([one.member.head in BOOSTED for one in found])
        least = np.where(slow, LEAST_BOOSTED_SHARE, LEAST_SHARE)
        kept = np.where(counted / counted.sum() < least, 0.0, counted)
        return kept / kept.sum()

    def clearly_worse(self, found: Sequence[Candidate], weights: np.ndarray) -> list[bool]:
        """Of each candidate, whether its loss is `TWICE` the smallest, and above it by more than
        `CLEARLY` standard errors of their difference, row by row, and by `MUCH`: where all heads
        are nearly right, a standard error tells nothing. A head that is a little worse may still
        make the average better. weights: [n]."""
        losses = np.array([self.losses(one.answers) for one in found])  # [M, n]
        share = weights / weights.sum()
        best = losses[int((losses @ share).argmin())]
        mean = (losses - best) @ share
        error = np.sqrt((losses - best - mean[:, None]) ** 2 @ share**2)
        least = np.maximum(CLEARLY * error, max(MUCH, (TWICE - 1) * float(best @ share)))
        return [bool(one) for one in mean > least]

    def _added(self, found: Sequence[Candidate], weights: np.ndarray) -> np.ndarray:
        """float64 [M]: how often each candidate is added. weights: [n]. A head that abstains on a
        row adds nothing there (`members.mixed`)."""
        answers = np.array([one.answers for one in found])  # [M, n, V]
        heard = np.array([one.heard for one in found], np.float64)[..., None]  # [M, n, 1]
        # linear heads on all fields are in the average from the start: few rows choose badly
        worse = self.clearly_worse(found, weights)
        counts = np.array(
            [float(one.broad and not bad) for one, bad in zip(found, worse, strict=True)]
        )
        total = np.einsum("m,mnv->nv", counts, answers * heard)
        spoken = np.einsum("m,mnv->nv", counts, heard)
        for _ in range(ADDED):
            sums = total + answers * heard
            mean = np.where(spoken + heard > 0, sums / np.maximum(spoken + heard, 1), answers)
            best = int(np.argmin([float(weights @ self.losses(one)) for one in mean]))
            counts[best] += 1
            total, spoken = sums[best], spoken + heard[best]
        return counts
