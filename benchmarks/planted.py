"""Studies with a planted truth and real training: who generates what, heads trained in closed form,
the loop's own verdict.

A row has three fields, an image, a caption and a table, Gaussian about its class's mean; captions
and tables are missing at a rate that may depend on the class. A head is a ridge regression of the
classes' indicators on the shown fields, on which are shown and on a constant; or a pool of heads
(`planted_pools`). What a seed of
initialisation brings is a random weight of every row, Gamma(4)/4: so seeds matter, and arms of one
seed share what they share. Everything else, tuning, freezing, comparing, wording, is
`gobelin.augmentation.study`.

What is true. "This set of images": training rows are fixed, and where there is one generator run
its images too; the truth is the mean, over seeds that the study never saw (and over generator runs
that it never saw, where it has several), of the metric's difference on fresh rows. The truth of the
very same heads is kept beside it; it hides what the seeds brought. "This method": the mean of the
heads' difference over all studies, that is over training rows drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from gobelin.augmentation.arms import BASELINE, ArmRows, Outcome
from gobelin.augmentation.plan import plan
from gobelin.augmentation.rivals import Kind
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import judge, study
from gobelin.core.machine import derived_seed, numpy_generator
from gobelin.data.fields import Target
from gobelin.prediction.heads.job import Job

WIDTHS = (8, 6, 4)
FIELD = np.repeat(np.arange(3), WIDTHS)
IMAGE = FIELD == 0
ALIKE = 0.8  # share of the variance that the rows of a unit have in common


@dataclass(frozen=True)
class Cell:
    """One kind of study."""

    name: str
    train: tuple[int, ...] = (40, 20, 12)  # rows a class
    test: tuple[int, ...] = (70, 70, 70)  # rows a class, of validation too
    generators: tuple[str, ...] = ("fresh",)  # kinds of `generated`
    rivals: tuple[str, ...] = ("classic",)  # kinds of `generated`
    ratios: tuple[float, ...] = (1.0,)  # generated rows over real ones; each study draws one
    runs: int = 1  # trainings of each generator
    seeds: int = 8  # of each arm
    resamples: int = 1  # of the training rows
    pool: bool = False  # resamples are bootstraps of one set of training rows, not drawn anew
    reuse: float = 0.0  # as `compare` takes it
    rows_per_unit: int = 1
    apart: float = 0.55  # spread of the classes' means
    missing: tuple[float, ...] = (0.3,)  # share of captions and tables, by class in turn
    useless: bool = False  # the images say nothing, so no `helped` is right
    naive: bool = False  # broken on purpose: generated rows lack all but their image
    rows_alone: bool = False  # broken on purpose: rows of a unit as if independent
    power: bool = False  # whether power is read
    pools: bool = False  # heads are those of `fusion.pool`, not ridge regressions (`planted_pools`)
    unseen: int = 32  # seeds, or generator runs, that a study never saw: its truth is their mean

    @property
    def broken(self) -> bool:
        return self.naive or self.rows_alone or (self.pool and not self.reuse)

    @property
    def settings(self) -> Augment:
        return Augment(
            ratio=(1.0,), seeds=self.seeds, tuning_seeds=2, mixes=(0.25, 1.0), decays=(0.2, 2.0)
        )


@dataclass(frozen=True)
class Rows:
    """x [n, 18], shown bool [n, 3], label [n], unit [n]."""

    x: np.ndarray
    shown: np.ndarray
    label: np.ndarray
    unit: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        return Rows(self.x[rows], self.shown[rows], self.label[rows], self.unit[rows])

    def inputs(self) -> np.ndarray:
        """[n, 22]: the shown fields, which are shown, a constant."""
        return np.concatenate(
            [self.x * self.shown[:, FIELD], self.shown, np.ones((len(self.x), 1))], 1
        )


def joined(parts: list[Rows]) -> Rows:
    return Rows(
        *(
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("x", "shown", "label", "unit")
        )
    )


def means(cell: Cell) -> np.ndarray:
    """[C, 18], the same for all studies of a cell."""
    return cell.apart * np.random.default_rng(len(cell.train)).standard_normal(
        (len(cell.train), len(FIELD))
    )


def draw(
    cell: Cell, sizes: tuple[int, ...], rng: np.random.Generator, rows_per_unit: int = 1
) -> Rows:
    """Rows of these classes' sizes; those of a unit are alike."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    unit = np.concatenate([np.arange(n) // rows_per_unit + 10_000 * c for c, n in enumerate(sizes)])
    noise = rng.standard_normal((len(label), len(FIELD)))
    if rows_per_unit > 1:
        of = np.unique(unit, return_inverse=True)[1]
        noise = (
            np.sqrt(1 - ALIKE) * noise
            + np.sqrt(ALIKE) * rng.standard_normal((of.max() + 1, len(FIELD)))[of]
        )
    there = rng.random((len(label), 3)) >= np.resize(cell.missing, len(sizes))[label][:, None]
    there[:, 0] = True
    return Rows(means(cell)[label] + noise, there, label, unit)


def generated(
    kind: str, cell: Cell, parents: Rows, rng: np.random.Generator, naive: bool = False
) -> Rows:
    """Rows with a generated image. The other cells, and which of them are missing, are the parent's
    (naive: all missing)."""
    x, shown, n = parents.x.copy(), parents.shown.copy(), len(parents.label)
    noise = rng.standard_normal((n, int(IMAGE.sum())))
    if (
        kind == "fresh"
    ):  # the class's own distribution: as good as any generator or retrieval can be
        x[:, IMAGE] = means(cell)[parents.label][:, IMAGE] + noise
    elif kind == "noise":
        x[:, IMAGE] = noise
    elif kind == "classic":
        x[:, IMAGE] += 0.5 * noise
    elif kind == "mislabelled":
        other = (parents.label + rng.integers(1, len(cell.train), n)) % len(cell.train)
        x[:, IMAGE] = means(cell)[other][:, IMAGE] + noise
    elif kind != "copies":
        raise ValueError(kind)
    if naive:
        shown[:, 1:] = False
    return Rows(x, shown, parents.label, parents.unit)


class Heads:
    """All heads of one call, trained together. coefficients [J, 22, C]."""

    def __init__(self, bench: Bench, jobs: list[Job]) -> None:
        self.bench, self._hits = bench, {}
        weights = np.zeros((len(jobs), len(bench.inputs)))
        for row, job in zip(weights, jobs, strict=True):
            row[job.rows] = job.weights * bench.luck(job.seed)[job.rows]
        weights /= weights.sum(1, keepdims=True)
        width = bench.inputs.shape[1]
        left = (weights @ bench.squares).reshape(-1, width, width)
        penalty = np.array([job.decay for job in jobs])[:, None] * np.r_[np.ones(width - 1), 1e-6]
        left[:, np.arange(width), np.arange(width)] += penalty
        self.coefficients = np.linalg.solve(
            left, (weights @ bench.products).reshape(len(jobs), width, -1)
        )

    def hits(self, part: str) -> np.ndarray:
        """[J, n] right or wrong."""
        if part not in self._hits:
            x, label = self.bench.parts[part]
            many, width, classes = self.coefficients.shape
            out = x @ self.coefficients.transpose(1, 0, 2).reshape(width, -1)
            self._hits[part] = (
                out.reshape(len(x), many, classes).argmax(2) == label[:, None]
            ).T.astype(np.float64)
        return self._hits[part]

    def right(self, cell: Cell, points: int) -> np.ndarray:
        """[J] their balanced accuracy on fresh rows."""
        return truth(cell, self.coefficients, points)


class Bench:
    """The study's trainer: what its heads see. rows: every row that an arm may train on."""

    def __init__(self, rows: Rows, parts: dict[str, Rows], seed: int) -> None:
        self.inputs, self.seed = rows.inputs(), seed
        flat = len(self.inputs)
        indicators = np.eye(rows.label.max() + 1)[rows.label]
        self.squares = (self.inputs[:, :, None] * self.inputs[:, None]).reshape(flat, -1)
        self.products = (self.inputs[:, :, None] * indicators[:, None]).reshape(flat, -1)
        self.parts = {name: (part.inputs(), part.label) for name, part in parts.items()}
        self.label, self._luck = rows.label, {}
        self.calls: list[Heads] = []

    def luck(self, seed: int) -> np.ndarray:
        if seed not in self._luck:
            self._luck[seed] = (
                np.random.default_rng((self.seed, seed)).standard_gamma(4.0, len(self.inputs)) / 4
            )
        return self._luck[seed]

    def fit(self, jobs: list[Job]) -> list[tuple[Heads, int]]:
        self.calls.append(self.heads(list(jobs)))
        return [(self.calls[-1], k) for k in range(len(jobs))]

    def heads(self, jobs: list[Job]) -> Heads:
        return Heads(self, jobs)

    def fit_chosen(self, jobs: list[Job]) -> list[tuple[Heads, int]]:
        return self.fit(jobs)

    def weigh(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Every class weighs as much."""
        label = self.label[rows]
        return weights / np.bincount(label, weights)[label]

    @staticmethod
    def score(head: tuple[Heads, int], part: str, fields: object) -> np.ndarray:
        return head[0].hits(part)[head[1]]

    def summary(self, hits: np.ndarray) -> float:
        label = self.parts["valid"][1]
        return float((np.bincount(label, hits) / np.bincount(label)).mean())


@lru_cache(maxsize=2)
def fresh(cell: Cell, points: int) -> list[np.ndarray]:
    """The rows that the truth is read from: float32 [points / C, 22] of every class."""
    classes = len(cell.train)
    rows = draw(cell, (points // classes,) * classes, np.random.default_rng(1))
    return np.split(rows.inputs().astype(np.float32), classes)


def truth(cell: Cell, coefficients: np.ndarray, points: int) -> np.ndarray:
    """The balanced accuracy [J] of heads [J, 22, C] on fresh rows: a row is right where its class
    beats every other."""
    many, width, classes = coefficients.shape
    right = np.zeros(many)
    for label, rows in enumerate(fresh(cell, points)):
        ahead = [
            coefficients[:, :, label] - coefficients[:, :, other]
            for other in range(classes)
            if other != label
        ]
        columns = np.stack(ahead).transpose(2, 0, 1).reshape(width, -1).astype(np.float32)
        count = np.zeros(many)
        for block in np.array_split(rows, -(-len(rows) // 2048)):
            beaten = ((block @ columns) > 0).reshape(len(block), classes - 1, many)
            beats_all = np.logical_and.reduce([beaten[:, k] for k in range(classes - 1)])
            count += np.ones(len(block), np.float32) @ beats_all.astype(np.float32)
        right += count / len(rows)
    return right / classes


@dataclass
class Material:
    """The arms of one study as rows of one table; `again` makes the images of a generator run that
    nobody saw."""

    cell: Cell
    real: Rows
    parents: np.ndarray
    rng: np.random.Generator
    tables: list[Rows] = field(default_factory=list)
    arms: list[ArmRows] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables.append(self.real)
        self.arms.append(self._arm(BASELINE, np.zeros(0, np.int64), "real", None))

    def add(self, name: str, kind: str, run: int | None) -> None:
        start = sum(len(t.label) for t in self.tables)
        naive = self.cell.naive and run is not None
        parents = self.real.take(self.parents)
        self.tables.append(generated(kind, self.cell, parents, self.rng, naive))
        of_arm: Kind = "rival" if run is None else "generated"
        self.arms.append(self._arm(name, start + np.arange(len(self.parents)), of_arm, run))

    def _arm(self, name: str, extra: np.ndarray, kind: Kind, run: int | None) -> ArmRows:
        count = len(self.real.label)
        rows = np.concatenate([np.arange(count), extra])
        return ArmRows(name, rows, rows >= count, np.ones(len(rows), np.float32), kind, run)


def material(cell: Cell, real: Rows, ratio: float, runs: int, seed: int) -> Material:
    names = tuple(f"class {c}" for c in range(len(cell.train)))
    parents = plan(
        Target("class", "class", real.label, names), np.arange(len(real.label)), ratio, seed
    )
    out = Material(cell, real, parents, numpy_generator(seed, "made"))
    for name in cell.rivals:
        out.add(name, "fresh" if name == "retrieved" else name, None)
    for k, kind in enumerate(cell.generators):
        for run in range(runs):
            out.add(f"generator {k}", kind, run)
    return out


@dataclass(frozen=True)
class Seen:
    """What one study said and what is so, of its generator arms [A]. truth, same: [A, 1 + rivals],
    against the real rows and every rival; `same` of the very same heads. The rest is of the first
    arm against the real rows."""

    words: tuple[str, ...]
    truth: np.ndarray
    same: np.ndarray
    low: float
    high: float
    detectable: float


def one_study(cell: Cell, seed: int, points: int = 100_000) -> Seen:
    """Draw rows and images, tune, train, judge, and look up the truth."""
    rng = numpy_generator(seed, "rows")
    test = draw(cell, cell.test, rng, cell.rows_per_unit)
    ratio = float(rng.choice(cell.ratios))
    whole = draw(cell, cell.train, rng, cell.rows_per_unit)
    hits, same, unseen = [], [], {}
    for r in range(cell.resamples):
        real = whole if r == 0 and not cell.pool else _again(cell, whole, rng)
        valid = draw(cell, cell.test, rng, cell.rows_per_unit)
        own = material(cell, real, ratio, cell.runs, derived_seed(seed, "images", r))
        parts = {"valid": valid, "test": test}
        bench = bench_of(cell)(joined(own.tables), parts, derived_seed(seed, "heads", r))
        found = study(own.arms, cell.settings, bench, (), seed % 10_000)
        hits.append(found.hits)
        right = bench.calls[-1].right(cell, points)
        by_arm = {
            a: [
                right[k * cell.seeds : (k + 1) * cell.seeds]
                for k, b in enumerate(own.arms)
                if b.name == a
            ]
            for a in found.hits
        }
        same.append({name: float(np.mean(each)) for name, each in by_arm.items()})
        if cell.resamples == 1:
            unseen = _unseen(cell, own, found, ratio, seed, points)
    arms = [f"generator {k}" for k in range(len(cell.generators))]
    outcome = Outcome(
        {name: np.concatenate([h[name] for h in hits]) for name in hits[0]},
        {},
        {},
        adds_to=found.adds_to,
        reuse=cell.reuse,
    )
    units = np.arange(len(test.unit)) if cell.rows_alone else test.unit
    said = judge(outcome, cell.rivals, cell.settings, test.label, units, "balanced_accuracy")
    against = said.trials[0].against_baseline
    mean_same = {name: float(np.mean([s[name] for s in same])) for name in same[0]}
    return Seen(
        tuple(v.word for v in said.verdicts),
        _gains(cell, arms, unseen or mean_same),
        _gains(cell, arms, mean_same),
        against.low,
        against.high,
        against.detectable(),
    )


def bench_of(cell: Cell) -> type[Bench]:
    """The trainer of a cell's studies."""
    if not cell.pools:
        return Bench
    from planted_pools import PoolBench

    return PoolBench


def _again(cell: Cell, whole: Rows, rng: np.random.Generator) -> Rows:
    """Training rows drawn anew, or a bootstrap of those that there are, class by class."""
    if not cell.pool:
        return draw(cell, cell.train, rng, cell.rows_per_unit)
    places = [np.flatnonzero(whole.label == c) for c in range(len(cell.train))]
    return whole.take(np.concatenate([rng.choice(p, len(p)) for p in places]))


def _unseen(
    cell: Cell, own: Material, found: Outcome, ratio: float, seed: int, points: int
) -> dict[str, float]:
    """Balanced accuracy of every arm, mean over UNSEEN seeds, with new images where a generator ran
    several times."""
    if cell.runs > 1:
        own = material(cell, own.real, ratio, cell.unseen, derived_seed(seed, "unseen"))
    bench = bench_of(cell)(joined(own.tables), {}, derived_seed(seed, "heads", 0))
    jobs, names = [], []
    for arm in own.arms:
        ((_, mix, decay),) = found.chosen[arm.name]
        weights = bench.weigh(arm.rows, arm.weights * np.where(arm.added, mix, 1.0))
        several = arm.generator_seed is not None and cell.runs > 1
        for k in [arm.generator_seed] if several else range(cell.unseen):
            jobs.append(Job(arm.rows, weights, 1_000_000 + k, decay))
            names.append(arm.name)
    right = bench.heads(jobs).right(cell, points)
    return {name: float(right[[n == name for n in names]].mean()) for name in found.hits}


def _gains(cell: Cell, arms: list[str], score: dict[str, float]) -> np.ndarray:
    return np.array([[score[a] - score[b] for b in (BASELINE, *cell.rivals)] for a in arms])
