"""Is the protocol honest? Studies with a planted truth: coverage, false 'helped', power; and
protocols that are broken.

A row is right when a latent normal score is above 0. The score is the sum of what the row's unit,
the row, the training resample, the generator run and the run of initialisation bring, all normal
with total variance known, so the true accuracy of each arm is a normal probability and the truth of
every study is exact. One line of a table is one `Cell`. A cell fails where the exact 99.9 %
binomial interval of its rate excludes what was promised. `python -m` this file for the tables. Real
training in the place of the latent score: benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from gobelin.evidence.comparison import Comparison, compare
from gobelin.evidence.intervals import Interval
from gobelin.evidence.verdict import ArmComparisons, verdicts

Floats = NDArray[np.float64]
Bounds = Callable[[Floats, Floats, "Study", np.random.Generator], tuple[float, float]]
STUDIES = 500


@dataclass(frozen=True)
class Cell:
    """One kind of study. sizes: test rows per class. gain: true points over the baseline. *_noise:
    latent standard deviations. own: share of the latent variance of a row that each model draws for
    itself (disagreement of models)."""

    name: str
    sizes: tuple[int, ...]
    accuracy: float = 0.8
    gain: float = 0.03
    rows_per_unit: int = 1
    mixed: bool = False
    resamples: int = 1
    generators: int = 1
    seeds: int = 1
    own: float = 0.4
    training_noise: float = 0.0
    generator_noise: float = 0.0
    seed_noise: float = 0.0
    two_sided: bool = False


@dataclass(frozen=True)
class Study:
    """What one study sees: the shared latent part [N], classes [N], units [N]."""

    shared: Floats
    classes: NDArray[np.int64]
    units: NDArray[np.int64]


COVERAGE = (
    Cell("one model, 2 x 200 rows", (200, 200), two_sided=True),
    Cell("one model, 2 x 200, chance level", (200, 200), accuracy=0.5, two_sided=True),
    Cell("5 seeds", (150, 150), seeds=5, seed_noise=0.1),
    Cell("3 generators, no effect of theirs", (100, 100), generators=3, seeds=3),
    Cell(
        "3 generators, small effect",
        (100, 100),
        generators=3,
        seeds=5,
        generator_noise=0.05,
        seed_noise=0.05,
    ),
    Cell("3 generators, strong, 2 x 600 rows", (600, 600), generators=3, generator_noise=0.25),
    Cell("2 generators, strong, 2 x 600 rows", (600, 600), generators=2, generator_noise=0.25),
    Cell(
        "5 generators, strong",
        (200, 200),
        generators=5,
        seeds=3,
        generator_noise=0.2,
        seed_noise=0.1,
    ),
    Cell(
        "5 training resamples", (100,) * 3, resamples=5, seeds=2, training_noise=0.2, seed_noise=0.1
    ),
    Cell(
        "8 resamples, 2 generators",
        (100,) * 2,
        resamples=8,
        generators=2,
        training_noise=0.1,
        generator_noise=0.1,
    ),
    Cell(
        "7 unequal classes, 5 to 200 rows",
        (200, 100, 50, 30, 20, 10, 5),
        0.75,
        generators=3,
        seeds=3,
    ),
    Cell("10 classes of 8 rows", (8,) * 10, 0.75, generators=3, seeds=3, generator_noise=0.1),
    Cell("2 classes, 5 and 200 rows", (5, 200), 0.75),
    Cell("2 classes of 10 rows", (10, 10), 0.75),
    Cell(
        "units of 10 rows, 20 a class",
        (200,) * 3,
        rows_per_unit=10,
        generators=3,
        seeds=3,
        generator_noise=0.1,
    ),
    Cell("units of 10 rows, 6 a class", (60,) * 3, rows_per_unit=10),
    Cell("units of 6 rows of several classes", (120, 60, 60), rows_per_unit=6, mixed=True, seeds=3),
    Cell("nearly perfect, 3 x 50", (50,) * 3, 0.99, 0.002, generators=3, seeds=3),
    Cell("nearly perfect, 5 x 10", (10,) * 5, 0.97, 0.01),
    Cell("ties: models hardly differ", (60,) * 3, gain=0.004, own=0.01, seeds=3),
)
NULLS = (
    Cell(
        "useless generator",
        (100, 100),
        gain=0.0,
        generators=3,
        seeds=5,
        generator_noise=0.1,
        seed_noise=0.05,
    ),
    Cell("useless, one run", (150, 150), gain=0.0),
    Cell(
        "useless, 6 small classes",
        (40, 20, 15, 10, 8, 5),
        gain=0.0,
        generators=3,
        seeds=3,
        generator_noise=0.1,
    ),
    Cell(
        "useless, units of 10 rows", (150, 150), gain=0.0, rows_per_unit=10, generators=2, seeds=3
    ),
    Cell(
        "useless, 5 resamples",
        (100, 100),
        gain=0.0,
        resamples=5,
        training_noise=0.2,
        generator_noise=0.1,
    ),
    Cell("useless, ties", (60, 60), gain=0.0, own=0.01, generators=3),
)
POWER = (
    Cell("one run", (250, 250)),
    Cell("5 seeds", (150, 150), seeds=5),
    Cell("3 generators, 5 seeds", (200, 200), generators=3, seeds=5, generator_noise=0.05),
    Cell("units of 10 rows", (300, 300), rows_per_unit=10, seeds=3),
    Cell("5 resamples", (200, 200), resamples=5, training_noise=0.1),
    Cell("unequal classes", (120, 40, 20), seeds=3),
)


def a_study(cell: Cell, rng: np.random.Generator) -> Study:
    classes = np.repeat(np.arange(len(cell.sizes)), cell.sizes)
    units = np.concatenate(
        [np.arange(size) // cell.rows_per_unit + 10_000 * c for c, size in enumerate(cell.sizes)]
    )
    classes = rng.permutation(classes) if cell.mixed else classes
    unit = np.unique(units, return_inverse=True)[1]
    alike = 0.7 if cell.rows_per_unit > 1 else 0.0
    of_units = np.sqrt(alike) * rng.standard_normal(unit.max() + 1)[unit]
    shared = of_units + np.sqrt(1 - alike) * rng.standard_normal(len(classes))
    return Study(np.sqrt(1 - cell.own) * shared, classes, units)


def train(
    cell: Cell, study: Study, gain: float, generators: int, rng: np.random.Generator
) -> Floats:
    """Hits [R, G, S, N] of an arm of true balanced accuracy cell.accuracy + gain. No generators: G
    = 1, no noise."""
    r, g, s, n = cell.resamples, max(1, generators), cell.seeds, len(study.classes)
    parts = (
        (cell.training_noise, (r, 1, 1, 1)),
        (cell.generator_noise if generators else 0.0, (r, g, 1, 1)),
        (cell.seed_noise, (r, 1, s, 1)),
        (cell.seed_noise / 2, (r, g, s, 1)),
        (np.sqrt(cell.own / 2), (r, g, 1, n)),
        (np.sqrt(cell.own / 2), (r, g, s, n)),
    )
    variance = 1 - cell.own + sum(scale**2 for scale, _ in parts)
    centre = special.ndtri(cell.accuracy + gain) * np.sqrt(variance)
    noise = sum(scale * rng.standard_normal(shape) for scale, shape in parts if scale)
    return ((centre + study.shared + noise) > 0).astype(np.float64)


def own_t(
    baseline: Floats, arm: Floats, study: Study, rng: np.random.Generator
) -> tuple[float, float]:
    """The toolkit's interval."""
    found = compare(baseline, arm, study.classes, study.units)
    return found.low, found.high


def pooled_t(
    baseline: Floats, arm: Floats, study: Study, rng: np.random.Generator
) -> tuple[float, float]:
    """The same parts under one t with Satterthwaite's degrees."""
    found = compare(baseline, arm, study.classes, study.units)
    sizes = np.array([part.variance - part.interaction for part in found.parts]).clip(0)
    degrees = sizes.sum() ** 2 / (sizes**2 / [part.degrees for part in found.parts]).sum()
    half = special.stdtrit(degrees, 0.975) * np.sqrt(sizes.sum())
    return found.value - half, found.value + half


def percentile(
    baseline: Floats, arm: Floats, study: Study, rng: np.random.Generator
) -> tuple[float, float]:
    """The crossed percentile bootstrap: units within their class, resamples and generator seeds
    (Owen 2007)."""
    draws, difference = 200, (arm - baseline).mean(2)
    r, g, n = difference.shape
    unit = np.unique(study.units, return_inverse=True)[1]
    shape = (unit.max() + 1, study.classes.max() + 1)
    size, sums = np.zeros(shape), np.zeros((r * g, *shape))
    np.add.at(size, (unit, study.classes), 1)
    np.add.at(sums, (slice(None), unit, study.classes), difference.reshape(r * g, n))
    weight = np.zeros((draws, shape[0]))
    for label in np.unique(size.argmax(1)):
        members = np.flatnonzero(size.argmax(1) == label)
        weight[:, members] = rng.multinomial(
            len(members), np.full(len(members), 1 / len(members)), draws
        )
    models = rng.multinomial(r, np.full(r, 1 / r), draws)[:, :, None] * rng.multinomial(
        g, np.full(g, 1 / g), (draws, r)
    )
    mean = np.einsum(
        "dm,du,muc->dc", models.reshape(draws, r * g) / (r * g), weight, sums, optimize=True
    )
    counted = weight @ size
    drawn = np.divide(mean, counted, out=np.zeros_like(mean), where=counted > 0).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def rows_only(
    baseline: Floats, arm: Floats, study: Study, rng: np.random.Generator
) -> tuple[float, float]:
    """Broken on purpose: percentile bootstrap of single rows, all models taken as given."""
    alone = replace(study, units=np.arange(len(study.units)))
    a, b = (side.mean((0, 1, 2), keepdims=True) for side in (arm, baseline))
    return percentile(b, a, alone, rng)


CONTENDERS: tuple[Bounds, ...] = (own_t, pooled_t, percentile, rows_only)


def coverage(
    cell: Cell, bounds: Sequence[Bounds], studies: int = STUDIES
) -> list[tuple[Interval, float]]:
    """For each way of making bounds: the rate at which they hold the truth, and their mean width in
    points."""
    rng = np.random.default_rng(20_240_101)
    held, width = np.zeros(len(bounds)), np.zeros(len(bounds))
    for _ in range(studies):
        study = a_study(cell, rng)
        arm, baseline = (
            train(cell, study, cell.gain, cell.generators, rng),
            train(cell, study, 0.0, 0, rng),
        )
        for k, way in enumerate(bounds):
            low, high = way(baseline, arm, study, rng)
            held[k] += low <= cell.gain <= high
            width[k] += 100 * (high - low) / studies
    return [(_rate(int(h), studies), float(w)) for h, w in zip(held, width, strict=True)]


def false_helped(cell: Cell, studies: int = STUDIES) -> Interval:
    """How often a useless generator is said to help, in any wording."""
    rng = np.random.default_rng(7)
    return _rate(
        sum(_verdicts(cell, [0.0], [], rng)[0].startswith("helped") for _ in range(studies)),
        studies,
    )


def false_best(cell: Cell, rivals: Sequence[float], studies: int = STUDIES) -> Interval:
    """How often a generator that gains as much as the best rival is said to have 'helped': better
    than every rival."""
    rng = np.random.default_rng(8)
    return _rate(
        sum(_verdicts(cell, [max(rivals)], rivals, rng)[0] == "helped" for _ in range(studies)),
        studies,
    )


def false_helped_of_many(cell: Cell, arms: int, studies: int = STUDIES) -> Interval:
    """How often any of several useless generators is said to help."""
    rng = np.random.default_rng(9)
    found = (_verdicts(cell, [0.0] * arms, [], rng) for _ in range(studies))
    return _rate(sum(any(word.startswith("helped") for word in words) for words in found), studies)


def power(cell: Cell, studies: int = STUDIES) -> tuple[Interval, float]:
    """How often the gain that the studies declare detectable is found when it is there, and that
    gain."""
    rng = np.random.default_rng(10)
    for _ in range(3):  # the gain changes the accuracy, and that the gain that can be seen
        cell = replace(
            cell, gain=float(np.mean([_compared(cell, rng).detectable() for _ in range(60)]))
        )
    return (
        _rate(sum(_compared(cell, rng).p_above() <= 0.025 for _ in range(studies)), studies),
        cell.gain,
    )


def _compared(cell: Cell, rng: np.random.Generator) -> Comparison:
    study = a_study(cell, rng)
    arm, baseline = (
        train(cell, study, cell.gain, cell.generators, rng),
        train(cell, study, 0.0, 0, rng),
    )
    return compare(baseline, arm, study.classes, study.units)


def _verdicts(
    cell: Cell, gains: Sequence[float], rival_gains: Sequence[float], rng: np.random.Generator
) -> list[str]:
    """The words about arms of these true gains, among rivals of those, in one study."""
    study = a_study(cell, rng)
    baseline = train(cell, study, 0.0, 0, rng)
    rivals = {f"rival {k}": train(cell, study, gain, 0, rng) for k, gain in enumerate(rival_gains)}
    trials = []
    for k, gain in enumerate(gains):
        arm = train(cell, study, gain, cell.generators, rng)
        against = {
            name: compare(rival, arm, study.classes, study.units) for name, rival in rivals.items()
        }
        trials.append(
            ArmComparisons(f"arm {k}", compare(baseline, arm, study.classes, study.units), against)
        )
    return [one.word for one in verdicts(trials)]


def _rate(count: int, studies: int) -> Interval:
    """The exact interval of a proportion (Clopper & Pearson 1934) at 99.9 %."""
    found = stats.binomtest(count, studies).proportion_ci(0.999, "exact")
    return Interval(
        count / studies, found.low, found.high, 0.999, "Clopper & Pearson 1934", studies
    )


@pytest.mark.parametrize("cell", COVERAGE, ids=lambda cell: cell.name)
def test_the_interval_holds_the_truth_as_often_as_it_says(cell: Cell) -> None:
    """Never too short; exactly right where there is one model and classes are large, too long
    allowed elsewhere."""
    [(rate, _)] = coverage(cell, [own_t])
    assert rate.high >= 0.95, f"covers {rate.value:.1%}"
    assert not cell.two_sided or rate.low <= 0.95, f"covers {rate.value:.1%}, too long"


@pytest.mark.parametrize("cell", NULLS, ids=lambda cell: cell.name)
def test_a_useless_generator_is_rarely_said_to_help(cell: Cell) -> None:
    assert false_helped(cell).low <= 0.05


@pytest.mark.parametrize("rivals", [(0.06,), (0.0, 0.06), (0.06, 0.06, 0.06)], ids=str)
def test_a_generator_equal_to_the_best_rival_is_rarely_said_to_beat_it(
    rivals: tuple[float, ...],
) -> None:
    cell = Cell("equal to the best rival", (150, 150), generators=3, seeds=3, generator_noise=0.05)
    assert false_best(cell, rivals, 300).low <= 0.05


def test_one_of_four_useless_generators_is_rarely_said_to_help() -> None:
    assert (
        false_helped_of_many(Cell("four arms", (100, 100), gain=0.0, seeds=3), 4, 300).low <= 0.05
    )


@pytest.mark.parametrize("cell", POWER, ids=lambda cell: cell.name)
def test_the_gain_declared_detectable_is_found_four_times_in_five(cell: Cell) -> None:
    rate, gain = power(cell, 300)
    assert rate.high >= 0.80, f"finds {gain:.3f} in {rate.value:.1%}"


def test_the_check_can_fail() -> None:
    """Rows of one patient taken as independent, and two generator seeds in a percentile bootstrap:
    both are caught."""
    clustered, two = COVERAGE[14], COVERAGE[6]
    assert clustered.rows_per_unit == 10 and two.generators == 2
    assert coverage(clustered, [rows_only], 300)[0][0].high < 0.95
    assert coverage(two, [percentile], 300)[0][0].high < 0.95
    assert coverage(two, [pooled_t], 300)[0][0].high < 0.95


def tables(studies: int = 1000) -> str:
    """The tables of the protocol, Markdown."""
    names = [way.__name__ for way in CONTENDERS]
    lines = [
        "| coverage of 95 %, mean width in points | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for cell in COVERAGE:
        rates = " | ".join(
            f"{100 * rate.value:.1f} % ({width:.1f})"
            for rate, width in coverage(cell, CONTENDERS, studies)
        )
        lines.append(f"| {cell.name} | {rates} |")
    lines += ["", "| false 'helped' | rate |", "|---|---|"]
    lines += [
        f"| {cell.name} | {100 * false_helped(cell, studies).value:.1f} % |" for cell in NULLS
    ]
    equal = Cell("equal to the best rival", (150, 150), generators=3, seeds=3, generator_noise=0.05)
    for rivals in ((0.06,), (0.0, 0.06), (0.06, 0.06, 0.06)):
        lines.append(
            f"| equal to the best of rivals gaining {rivals} |"
            f" {100 * false_best(equal, rivals, studies).value:.1f} % |"
        )
    four = false_helped_of_many(Cell("four arms", (100, 100), gain=0.0, seeds=3), 4, studies)
    lines += [
        f"| any of four useless arms | {100 * four.value:.1f} % |",
        "",
        "| power at the declared gain | gain | rate |",
        "|---|---|---|",
    ]
    for cell in POWER:
        rate, gain = power(cell, studies)
        lines.append(f"| {cell.name} | {100 * gain:.1f} points | {100 * rate.value:.1f} % |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(tables())
