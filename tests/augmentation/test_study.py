"""Water filling against brute force, equal trials, planted arms that help, harm and do nothing, and
the planted trap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from gobelin.augmentation.advice import next_steps
from gobelin.augmentation.arms import BASELINE, CLASSIC, ArmRows, ArmSettings, Outcome
from gobelin.augmentation.findings import by_class, by_subset, cross_checks, findings
from gobelin.augmentation.plan import plan
from gobelin.augmentation.rivals import Kind
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import Comparisons, _trials, judge, study
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json, write_json
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence.comparison import compare
from gobelin.evidence.intervals import sign_flip
from gobelin.prediction.cross_fit import balanced
from gobelin.prediction.evaluation import subsets
from gobelin.prediction.fusion import Predictor
from gobelin.prediction.heads.job import Job

BOTH = f"{CLASSIC} + generated"
CLASSES = ("a", "b", "c")
QUICK = Augment(mixes=(0.25, 1.0), ratio=(1.0,), seeds=3, tuning_seeds=1, rivals=())

BOTH = f"{CLASSIC} + generated"  # the name of an arm


# plan


def levelled(counts: Sequence[int], wanted: int) -> list[int]:
    """One drop at a time, always into the class that has the fewest."""
    total = list(counts)
    for _ in range(wanted):
        total[min((t, k) for k, t in enumerate(total) if counts[k])[1]] += 1
    return [t - c for t, c in zip(total, counts, strict=True)]


@pytest.mark.parametrize("seed", range(25))
def test_scarce_classes_are_filled_as_water_fills_a_vessel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, rng.integers(2, 7))
    counts[rng.integers(len(counts))] *= (
        rng.integers(0, 2) if len(counts) > 2 else 1
    )  # a class without rows, at times
    label = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    label[rng.random(len(label)) < 0.1] = -1
    target = Target(
        "y", "class", label, tuple(map(str, range(len(counts)))), np.ones(len(counts), bool)
    )
    used = np.flatnonzero(rng.random(len(label)) < 0.8)
    real = np.bincount(label[used][label[used] >= 0], minlength=len(counts))
    ratio = float(rng.choice([0.1, 0.5, 1.0, 3.0]))
    if real.sum() == 0:
        return
    parents = plan(target, used, ratio, seed)
    assert set(parents) <= set(used) and (label[parents] >= 0).all()
    made = np.bincount(label[parents], minlength=len(counts))
    wanted = levelled(real.tolist(), round(ratio * int(real.sum())))
    assert np.abs(made - wanted).max() <= 1, (made, wanted)
    assert abs(len(parents) - round(ratio * real.sum())) <= len(counts) / 2
    for c in range(len(counts)):  # every parent once before any again
        turns = np.bincount(parents[label[parents] == c], minlength=len(label))[
            used[label[used] == c]
        ]
        assert not len(turns) or turns.max() - turns.min() <= 1
    assert np.array_equal(parents, plan(target, used, ratio, seed))


def test_numbers_are_drawn_from_the_labelled_rows() -> None:
    values = np.where(np.arange(50) % 4 == 0, np.nan, np.arange(50.0))
    parents = plan(Target("y", "number", values), np.arange(40), 1.5, 0)
    assert len(parents) == 45 and set(parents) <= {k for k in range(40) if k % 4}


@pytest.mark.parametrize("seed", range(5))
def test_the_plan_of_a_smaller_ratio_is_the_first_part_of_a_larger_one(seed: int) -> None:
    """And stays level: what brute force pours, drop by drop."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, 5)
    label = rng.permutation(np.repeat(np.arange(5), counts))
    target = Target("y", "class", label, tuple("abcde"), np.ones(5, bool))
    whole = plan(target, np.arange(len(label)), 4.0, seed)
    for ratio in (0.1, 0.25, 1.0, 2.0):
        first = whole[: round(ratio * len(label))]
        made = np.bincount(label[first], minlength=5)
        assert np.abs(made - levelled(counts.tolist(), len(first))).max() <= 1


def test_the_user_tells_how_many_images_of_each_class() -> None:
    target = Target("y", "class", np.repeat([0, 1, 2], [30, 10, 5]), CLASSES, np.ones(3, bool))
    parents = plan(target, np.arange(45), 1.0, 0, {"a": 7, "*": 20})
    assert np.bincount(target.values[parents]).tolist() == [7, 20, 20]


@pytest.mark.parametrize("mixes", [(1.0,), (0.25, 1.0), (0.1, 0.3, 1.0)])
def test_every_arm_has_as_many_trials(mixes: tuple[float, ...]) -> None:
    settings = Augment(ratio=(0.25, 1.0, 4.0), mixes=mixes, decays=(1e-3, 1e-2))
    with_added, without = _trials(settings, True), _trials(settings, False)
    assert (
        len(with_added)
        == len(set(with_added))
        == len(without)
        == len(set(without))
        == 6 * len(mixes)
        == settings.trials
    )
    assert set(with_added) == {
        (r, m, d) for r in settings.ratio for m in mixes for d in settings.decays
    }
    assert {t.mix for t in without} == {1.0} and {t.ratio for t in without} == {0.0}
    assert min(t.decay for t in without) <= 1e-3 and max(t.decay for t in without) >= 1e-2


def test_a_ratio_takes_the_first_added_rows_and_the_largest_takes_all() -> None:
    rows, added = np.arange(100, 117), np.arange(17) >= 8
    plain = ArmRows("x", rows, added, np.ones(17, np.float32))
    assert (
        plain.at(0.5, 4.0).tolist() == [*range(8), 8, 9, 10, 11] and len(plain.at(4.0, 4.0)) == 17
    )
    order = np.array([-1] * 8 + [0, 5, 1, 9, 2, 30, 3, 40, 50])
    mixed = replace(plain, order=order)
    assert (
        mixed.at(0.5, 4.0).tolist() == [*range(8), 8, 10, 12, 14]
        and len(mixed.at(1.0, 4.0)) == 8 + 5
    )
    assert len(mixed.at(4.0, 4.0)) == 17


def test_the_ratio_with_the_best_validation_score_is_trained(runtime: Runtime) -> None:
    """Planted: the first added rows are right, the later ones lie, so a small ratio must win; the
    curve says so."""
    world = World(train=40, gap=0.5, opened=300)
    label, *rest = world.fresh(160)
    world.add("generated", np.where(np.arange(160) < 40, label, (label + 1) % 3), *rest)
    settings = Augment(
        ratio=(1.0, 4.0), seeds=2, tuning_seeds=2, mixes=(1.0,), decays=(1e-2,), rivals=()
    )
    outcome = world.run(runtime, settings)
    assert outcome.chosen["generated"][0].ratio == 1.0
    curve = outcome.curve[0]["generated"]
    assert set(curve) == {1.0, 4.0} and curve[1.0] > curve[4.0] + 0.05
    assert outcome.hits["generated"].mean() > outcome.hits[BASELINE].mean()


def test_an_outcome_is_read_back_and_resamples_are_joined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [
        Outcome(
            {"real": rng.random((1, 1, 2, 9)), "generated": rng.random((1, 2, 2, 9))},
            {
                "real": (ArmSettings(0.0, 1.0, 0.01),),
                "generated": (ArmSettings(0.5, 0.25, k / 10),),
            },
            {
                ("a", "b c"): {
                    "real": rng.random((1, 1, 2, 9)),
                    "generated": rng.random((1, 2, 2, 9)),
                }
            },
            ({"real": {0.0: 0.5}, "generated": {0.25: 0.4, 1.0: 0.6}},),
            {"generated": "real"},
        )
        for k in range(3)
    ]
    whole = Outcome.joined(parts)
    assert whole.hits["generated"].shape == (3, 2, 2, 9) and [
        c.decay for c in whole.chosen["generated"]
    ] == [0.0, 0.1, 0.2]
    whole.save(tmp_path)
    again = Outcome.load(tmp_path)
    assert (
        again.chosen == whole.chosen
        and again.curve == whole.curve
        and again.adds_to == whole.adds_to == {"generated": "real"}
        and list(again.by_subset) == [("a", "b c")]
    )
    assert all(
        np.array_equal(again.hits[n], np.concatenate([p.hits[n] for p in parts]))
        for n in whole.hits
    )
    assert np.array_equal(
        again.by_subset["a", "b c"]["generated"], whole.by_subset["a", "b c"]["generated"]
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": (0.0,)},
        {"ratio": (1.0, 21.0)},
        {"ratio": ()},
        {"seeds": 1},
        {"tuning_seeds": 0},
        {"minutes": 0.0},
        {"resamples": 4},
        {"per_class": {"a": -1}},
        {"generators": ("gan", "gan")},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(GobelinError, match=f"Augment.{next(iter(wrong))}"):
        Augment(**wrong)


# study


@dataclass
class World:
    """Rows of two fields: real training rows first, then validation and test rows, then whatever
    the arms add."""

    train: int = 60
    opened: int = 600
    gap: float = 0.55
    balance: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    missing: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.means = self.rng.normal(size=(2, 3, 12)) * self.gap
        n = self.train + 2 * self.opened
        label = self.rng.choice(3, n, p=self.balance)
        label[:9] = np.arange(9) % 3
        self.label, self.present = label, self.rng.random((n, 2)) >= self.missing
        self.present[~self.present.any(1), 0] = True
        self.x = [self.means[f][label] + self.rng.normal(size=(n, 12)) for f in range(2)]
        self.arms = [self.arm(BASELINE, np.zeros(0, int), "real")]

    def arm(self, name: str, added: np.ndarray, kind: Kind) -> ArmRows:
        rows = np.concatenate([np.arange(self.train), added])
        return ArmRows(
            name,
            rows,
            rows >= self.train,
            np.ones(len(rows), np.float32),
            kind,
            0 if len(added) else None,
        )

    def add(
        self,
        name: str,
        label: np.ndarray,
        image: np.ndarray,
        text: np.ndarray,
        present: np.ndarray,
        *,
        kind: Kind = "generated",
    ) -> None:
        """Rows with this label and these features, as a further arm."""
        start = len(self.label)
        self.label = np.concatenate([self.label, label])
        self.x = [
            np.concatenate([old, new]) for old, new in zip(self.x, (image, text), strict=True)
        ]
        self.present = np.concatenate([self.present, present])
        self.arms.append(self.arm(name, np.arange(start, start + len(label)), kind))

    def fresh(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """More real rows."""
        label = self.rng.choice(3, n, p=self.balance)
        image, text = (self.means[f][label] + self.rng.normal(size=(n, 12)) for f in range(2))
        present = self.rng.random((n, 2)) >= self.missing
        present[~present.any(1), 0] = True
        return label, image, text, present

    def run(
        self, runtime: Runtime, settings: Augment = QUICK, shown: Sequence[tuple[str, ...]] = ()
    ) -> Outcome:
        target = Target("y", "class", self.label, CLASSES, np.ones(3, bool))
        features = {
            f: np.where(self.present[:, k, None], self.x[k], 0).astype(np.float32)
            for k, f in enumerate(("image", "text"))
        }
        every = Embeddings(
            ("image", "text"), features, self.present, tuple(map(str, range(len(self.label)))), "s"
        )
        start = self.train
        opened = {"valid": np.arange(start, start + self.opened)}
        opened["test"] = opened["valid"] + self.opened
        self.test, self.units = self.label[opened["test"]], [str(k) for k in range(self.opened)]
        self.there = self.present[opened["test"]]
        trainer = WorldTrainer(every, target, opened, self.train, runtime)
        return study(self.arms, settings, trainer, shown, 0)

    def judged(self, runtime: Runtime, settings: Augment = QUICK) -> Comparisons:
        return self.verdicts_of(self.run(runtime, settings), settings)

    def verdicts_of(self, outcome: Outcome, settings: Augment = QUICK) -> Comparisons:
        rivals = settings.rivals
        return judge(outcome, rivals, settings, self.test, self.units, "balanced_accuracy")


@dataclass(frozen=True)
class WorldTrainer:
    """Real training of small heads. rows: every row of the world, its training rows first."""

    rows: Embeddings
    target: Target
    opened: Mapping[str, np.ndarray]  # {'valid', 'test': int64 [n]}
    train: int
    runtime: Runtime

    def fit(self, jobs: Sequence[Job]) -> list[Predictor]:
        fusion = catalog.build("fusion", "concat", {"steps": 80, "batch": 128})
        basis = np.arange(self.train)
        return fusion.fit(self.rows, self.target, jobs, basis, self.runtime, silent)

    def fit_chosen(self, jobs: Sequence[Job]) -> list[Predictor]:
        return self.fit(jobs)

    def weigh(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return balanced(self.target, rows, weights, True)

    def score(self, fitted: Predictor, part: str, fields: Sequence[str] | None) -> np.ndarray:
        x, truth = self.rows.rows(self.opened[part]), self.target.values[self.opened[part]]
        shown = x if fields is None else x.only(fields)
        return (fitted.scores(shown).argmax(1) == truth) * 1.0

    def summary(self, hits: np.ndarray) -> float:
        truth = self.target.values[self.opened["valid"]]
        return float(np.mean([hits[truth == c].mean() for c in range(3)]))


@dataclass
class CountingTrainer:
    """Its predictors are their jobs; it counts what it is asked. hits: of a job on all rows."""

    hits: Callable[[Job], np.ndarray]
    calls: list[tuple[str, list[Job]]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def fit(self, jobs: Sequence[Job]) -> list[Job]:
        self.calls.append(("fit", list(jobs)))
        return list(jobs)

    def fit_chosen(self, jobs: Sequence[Job]) -> list[Job]:
        self.calls.append(("fit_chosen", list(jobs)))
        return list(jobs)

    def weigh(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return weights

    def score(self, fitted: Job, part: str, fields: Sequence[str] | None) -> np.ndarray:
        self.parts.append(part)
        return self.hits(fitted)

    def summary(self, hits: np.ndarray) -> float:
        return float(hits.mean())


@pytest.mark.parametrize("seed", range(2))
def test_fresh_rows_help_label_noise_does_not_and_nothing_is_nothing(
    seed: int, runtime: Runtime
) -> None:
    world = World(train=30, gap=0.4, seed=seed)
    world.add("good", *world.fresh(500))
    label, *rest = world.fresh(240)
    world.add("lies", (label + 1) % 3, *rest)
    world.arms.append(replace(world.arms[0], name="same", kind="generated"))
    found = world.judged(runtime, replace(QUICK, mixes=(1.0,)))
    by = {v.arm: v for v in found.verdicts}
    against = {t.arm: t.against_baseline for t in found.trials}
    assert by["good"].word == "helped" and against["good"].low > 0
    assert by["lies"].word == "harmed" and against["lies"].high < 0
    assert by["same"].word == "no effect" and against["same"].value == 0


def test_a_rival_that_does_the_same_takes_the_claim_away(runtime: Runtime) -> None:
    world = World(train=30, gap=0.4, seed=5)
    given = world.fresh(500)
    world.add("generated", *given)
    world.add("cheap", *given, kind="rival")
    settings = replace(QUICK, rivals=("cheap",))
    outcome = world.run(runtime, settings)
    assert outcome.generated == ["generated"] and outcome.adds_to == {"generated": BASELINE}
    found = world.verdicts_of(outcome, settings)
    assert found.verdicts[0].word == "helped, and so does a rival" and set(found.against_real) == {
        "generated",
        "cheap",
    }
    trial = found.trials[0].against_rivals["cheap"]
    assert trial.value == 0
    said = findings(found, outcome, settings, "balanced_accuracy", {"generated": "flow"})
    assert [(f.verdict, f.generator) for f in said if f.name == "verdict"] == [
        ("helped, and so does a rival", "flow")
    ]
    assert [f.generator for f in said if f.name != "verdict"] == [""] * (len(said) - 1)
    scores = {f.scope["arm"]: f.value for f in said if f.name == "test_balanced_accuracy"}
    for name, hits in outcome.hits.items():
        wanted = np.mean([hits[0, 0][:, world.test == c].mean() for c in range(3)])
        assert scores[name] == pytest.approx(wanted)


def test_an_arm_with_the_classic_views_is_judged_against_them() -> None:
    rng = np.random.default_rng(0)
    truth, units = rng.integers(0, 3, 200), [str(k) for k in range(200)]
    hits = {
        n: (rng.random((1, 1, 3, 200)) < p) * 1.0
        for n, p in (
            (BASELINE, 0.5),
            (CLASSIC, 0.7),
            (BOTH, 0.7),
            ("generated", 0.6),
        )
    }
    adds_to = {"generated": BASELINE, BOTH: CLASSIC}
    outcome = Outcome(hits, {n: (ArmSettings(0.0, 1.0, 0.1),) for n in hits}, {}, adds_to=adds_to)
    settings = Augment(rivals=(CLASSIC,))
    found = judge(outcome, settings.rivals, settings, truth, units, "balanced_accuracy")
    assert [v.arm for v in found.verdicts] == [t.arm for t in found.trials] == [BOTH, "generated"]
    bases = {BASELINE: found.trials[1], CLASSIC: found.trials[0]}
    for base, trial in bases.items():
        wanted = compare(hits[base], hits[trial.arm], truth, np.array(units), "balanced_accuracy")
        assert (
            trial.against_baseline.value == wanted.value
            and trial.against_baseline.low == wanted.low
        )
    assert (
        set(bases[BASELINE].against_rivals) == {CLASSIC}
        and set(bases[CLASSIC].against_rivals) == set()
    )


def test_arms_are_tuned_equally_on_validation_rows_and_test_is_scored_last(
    runtime: Runtime,
) -> None:
    """Counted: jobs of each call, parts that are scored, and seeds that tuning and the last
    training don't share."""
    world = World(train=30, opened=60)
    world.add("generated", *world.fresh(30))
    settings = Augment(
        ratio=(1.0,), seeds=3, tuning_seeds=2, mixes=(0.25, 1.0), decays=(1e-3, 1e-2)
    )
    # validation likes a large decay
    trainer = CountingTrainer(lambda job: np.full(4, job.decay))
    outcome = study(world.arms, settings, trainer, (), 7)
    jobs = [given for _, given in trainer.calls]
    assert [name for name, _ in trainer.calls] == ["fit", "fit_chosen"]
    assert [len(j) for j in jobs] == [2 * 4 * 2, 2 * 3]
    assert trainer.parts == ["valid"] * 16 + ["test"] * 6
    assert {j.seed for j in jobs[0]}.isdisjoint({j.seed for j in jobs[1]})
    assert outcome.chosen[BASELINE][0].decay == pytest.approx(
        max(t.decay for t in _trials(settings, False))
    )
    assert outcome.chosen["generated"][0].decay == 1e-2
    for arm, hits in outcome.hits.items():
        assert hits.shape == (1, 1, 3, 4) and np.allclose(hits, outcome.chosen[arm][0].decay)
    for job in jobs[1]:  # an added row has the chosen weight, a real one has its own
        mix = outcome.chosen["generated"][0].mix
        assert np.allclose(job.weights, np.where(job.rows >= 30, mix, 1.0))


def test_generator_seeds_stand_on_their_own_axis() -> None:
    kinds: list[tuple[str, Kind, int | None]] = [
        (BASELINE, "real", None),
        ("generated", "generated", 0),
        ("generated", "generated", 1),
    ]
    arms = [
        ArmRows(name, np.array([k]), np.array([k > 0]), np.ones(1, np.float32), kind, seed)
        for k, (name, kind, seed) in enumerate(kinds)
    ]
    settings = Augment(ratio=(1.0,), seeds=2, tuning_seeds=1)
    trainer = CountingTrainer(lambda job: np.array([10.0 * job.rows[0] + job.seed]))
    outcome = study(arms, settings, trainer, (), 0)
    assert outcome.hits[BASELINE].tolist() == [[[[0.0], [1.0]]]]
    assert outcome.hits["generated"].tolist() == [[[[10.0], [11.0]], [[20.0], [21.0]]]]


def test_the_kind_of_an_arm_says_what_it_adds_to() -> None:
    """Its name says nothing."""
    kinds: list[tuple[str, Kind]] = [
        (BASELINE, "real"),
        (CLASSIC, "rival"),
        ("a", "generated"),
        ("b", "both"),
        (BOTH, "rival"),
    ]
    arms = [
        ArmRows(name, np.array([k]), np.array([k > 0]), np.ones(1, np.float32), kind)
        for k, (name, kind) in enumerate(kinds)
    ]
    trainer = CountingTrainer(lambda job: np.ones(2))
    outcome = study(arms, Augment(ratio=(1.0,), seeds=2), trainer, (), 0)
    assert outcome.adds_to == {"a": BASELINE, "b": CLASSIC} and outcome.generated == ["a", "b"]


def test_an_outcome_of_an_earlier_version_knows_its_arms_by_name(tmp_path: Path) -> None:
    names = (BASELINE, CLASSIC, "generated by flow", f"{BOTH} by flow", "copies")
    hits = {name: np.ones((1, 1, 2, 3)) for name in names}
    Outcome(hits, {name: (ArmSettings(0.0, 1.0, 0.1),) for name in names}, {}).save(tmp_path)
    stored = read_json(tmp_path / "choices.json")
    write_json(tmp_path / "choices.json", {k: v for k, v in stored.items() if k != "adds_to"})
    expected = {"generated by flow": BASELINE, f"{BOTH} by flow": CLASSIC}
    assert Outcome.load(tmp_path).adds_to == expected


# the planted trap of the design, section 5.4


@pytest.mark.parametrize("missing", [0.1, 0.4])
def test_the_trap_of_the_missing_text(missing: float, runtime: Runtime) -> None:
    """Useless made images, all of the scarce class, their text missing as it is missing in no real
    row by class."""
    gains, low, tempted = [], [], []
    for seed in range(5):
        world = World(
            train=150, balance=(0.5, 0.4, 0.1), gap=0.35, missing=missing, seed=100 + seed
        )
        n = 120
        noise = world.rng.normal(size=(n, 12)) * world.x[0].std(0) + world.x[0].mean(0)
        world.add(
            "generated", np.full(n, 2), noise, np.zeros((n, 12)), np.tile([True, False], (n, 1))
        )
        outcome = world.run(runtime)
        (trial,) = world.verdicts_of(outcome).trials
        gains.append(trial.against_baseline.value)
        low.append(trial.against_baseline.low)
        image_alone = (world.test == 2) & ~world.there[:, 1]
        tempted.append(
            (outcome.hits["generated"] - outcome.hits[BASELINE])[..., image_alone].mean()
        )
    assert (
        np.mean(tempted) > 0.1
    )  # the bait is taken: without text it says the scarce class more often
    assert max(low) <= 0 and np.mean(gains) < 0.01


# exploratory findings


def test_by_subset_counts_the_rows_that_have_the_fields(runtime: Runtime) -> None:
    world = World(seed=3, opened=200)
    world.add("generated", *world.fresh(200))
    shown = subsets(("image", "text"))
    outcome = world.run(runtime, shown=shown)
    fields = ("image", "text")

    def has(names: Sequence[str]) -> np.ndarray:
        return world.there[:, [fields.index(n) for n in names]].all(1)

    found = by_subset(outcome, world.test, world.units, has)
    assert [f.scope["fields"] for f in found] == ["image", "text", "image + text"]
    for f, names in zip(found, shown, strict=True):
        rows = np.flatnonzero(has(names))
        base, arm = (
            outcome.by_subset[names][a][0, 0][:, rows].mean(0) for a in (BASELINE, "generated")
        )
        wanted = np.mean([(arm - base)[world.test[rows] == c].mean() for c in range(3)])
        assert f.value == pytest.approx(wanted) and f.n == len(rows)
        assert (
            f.level == pytest.approx(1 - 0.05 / 3)
            and "exploratory; simultaneous over 3 subsets" in f.note
            and f.needed_n is None
        )
    wrong = replace(
        outcome,
        by_subset={s: {n: 1 + h for n, h in hits.items()} for s, hits in outcome.by_subset.items()},
    )
    for f, names in zip(by_subset(wrong, None, world.units, has), shown, strict=True):
        own = [
            1 + outcome.by_subset[names][a][0, 0][:, has(names)] for a in (BASELINE, "generated")
        ]
        base, arm = (np.sqrt((one**2).mean(1)).mean() for one in own)
        assert f.name == "rmse" and f.value == pytest.approx(base - arm)
    nobody = by_subset(
        outcome, world.test, world.units, lambda names: has(names) & (np.arange(200) < 19)
    )
    assert nobody == []


def test_by_class_is_the_difference_of_recalls() -> None:
    """From what the arm adds to: real rows, or the classic views."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 150)
    hits = {
        n: (rng.random((1, 1, 4, 150)) < 0.6) * 1.0 for n in (BASELINE, CLASSIC, "generated", BOTH)
    }
    units = [str(k) for k in range(150)]
    outcome = Outcome(hits, {}, {}, adds_to={"generated": BASELINE, BOTH: CLASSIC})
    found = by_class(outcome, truth, units, CLASSES)
    asked = [
        (arm, base, k) for arm, base in (("generated", BASELINE), (BOTH, CLASSIC)) for k in range(3)
    ]
    for (arm, base, k), f in zip(asked, found, strict=True):
        own = truth == k
        assert (
            f.scope == {"arm": arm, "class": CLASSES[k]}
            and f.comparator == base
            and f.verdict == ""
        )
        assert f.value == pytest.approx(hits[arm][..., own].mean() - hits[base][..., own].mean())
        assert f.low < f.value < f.high and "simultaneous over 3 classes" in f.note
    del hits[CLASSIC]
    outcome = Outcome(hits, {}, {}, adds_to={BOTH: BASELINE})
    assert {f.comparator for f in by_class(outcome, truth, units, CLASSES)} == {BASELINE}


def test_the_cross_check_permutes_what_the_interval_is_about() -> None:
    """Its units' parts add up to the compared difference; an arm like its base has p = 1, one that
    always gains the least."""
    rng, truth = np.random.default_rng(1), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    units = [str(k // 2) for k in range(10)]
    base = (rng.random((1, 1, 3, 10)) < 0.5) * 1.0
    hits = {
        BASELINE: base * 0,
        "generated": base,
        "generated by none": base * 0,
        "generated by luck": base * 0 + 1,
    }
    adds_to = dict.fromkeys(list(hits)[1:], BASELINE)
    outcome = Outcome(hits, {}, {}, adds_to=adds_to)
    some, none, all_of_them = cross_checks(outcome, truth, units)
    each = base.mean((0, 1, 2)) / np.where(truth == 0, 8, 12)
    gained = [each[2 * k : 2 * k + 2].sum() for k in range(5)]
    assert sum(gained) == pytest.approx(compare(hits[BASELINE], base, truth, np.array(units)).value)
    assert (
        some.value == sign_flip(gained)
        and none.value == 1
        and all_of_them.value == pytest.approx(2 / 32)
    )
    assert some.n == 5 and not some.comparator and "no part of the verdict" in some.note
    numbers = {BASELINE: base * 0 - 3, "generated": base * 0 + 1}
    outcome = Outcome(numbers, {}, {}, adds_to={"generated": BASELINE})
    (errors,) = cross_checks(outcome, None, units)
    assert errors.value == pytest.approx(2 / 32)  # every unit's squared error shrinks


def test_the_plan_after_a_study_knows_what_was_claimed() -> None:
    """And beside what could be seen over the baseline stands what could be seen over every
    rival."""
    said = {}
    for resamples in (1, 5):
        rng = np.random.default_rng(resamples)
        truth = np.repeat([0, 1], 200)
        hits = {
            n: (rng.random((resamples, 1, 3, 400)) < p) * 1.0
            for n, p in ((BASELINE, 0.5), ("copies", 0.5), ("generated", 0.9))
        }
        choices = {n: (ArmSettings(1.0, 1.0, 0.01),) for n in hits}
        outcome = Outcome(hits, choices, {}, adds_to={"generated": BASELINE})
        units = [str(k) for k in range(400)]
        compared = judge(outcome, ["copies"], QUICK, truth, units, "balanced_accuracy")
        found = findings(compared, outcome, QUICK, "balanced_accuracy", {"generated": "flow"})
        (seen,) = [f for f in found if f.name == "smallest_detectable_effect"]
        (verdict,) = compared.verdicts
        assert (
            verdict.word == "helped"
            and f"over every baseline method {100 * verdict.detectable_against_rivals:.1f} points"
            in seen.note
        )
        (step,) = next_steps(compared, outcome, found, QUICK)
        said[resamples] = step.note
    assert "--study method" in said[1] and "--study method" not in said[5]
