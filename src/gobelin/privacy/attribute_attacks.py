"""What do the other cells of generated rows give away? Three attacks on tables (Giomi et al. 2023,
"A unified framework for quantifying privacy risk in synthetic data").

Singling out: a generated row suggests a description that fits nobody else ("born before 1931, lives
in Ulm"); does it fit exactly one training row? Linkability: somebody has two halves of a row, from
two sources; do both lead to the same generated row? Inference: somebody knows a row but for one
cell; does the nearest generated row tell it? Each is tried on training rows, on held-out rows (the
control: what anybody can learn from the population), and by guessing. The risk is the success on
training rows beyond the control, (r_train - r_control) / (1 - r_control).

What this cannot show: what the images themselves tell, what cells of free text tell, and whether an
attribute is a secret. Equal training and control success is no guarantee: one rare row may still
stand out. An attack that does no better than guessing says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.evidence.intervals import Interval, exact

Columns = Mapping[str, np.ndarray]  # {column: float [n], nan = missing, or str [n], '' = missing}

MOST_ATTACKS = 500  # of each kind, on each kind of rows
DESCRIBED = 3  # columns of a description
NEAR = 0.05  # a number is told where it is wrong by this share of its own size at most


@dataclass(frozen=True)
class AttackedCells:
    """The cells of training, held-out and generated rows: the same columns of each."""

    train: Columns
    holdout: Columns
    generated: Columns


@dataclass(frozen=True)
class Success:
    """How often one attack succeeded."""

    attack: str
    column: str  # whose cell is inferred; '' for other attacks
    train: Interval
    control: Interval
    guessed: Interval  # on training rows

    @property
    def risk(self) -> Interval:
        """Success on training rows beyond the control (equation 4 of the paper). The interval
        takes the outer ends of both, so it covers more than it says."""
        one, other = self.train, self.control

        def beyond(a: float, b: float) -> float:
            return max(0.0, (a - b) / max(1 - b, 1e-12))

        return Interval(
            beyond(one.value, other.value),
            beyond(one.low, other.high),
            min(1.0, beyond(one.high, other.low)),
            one.level,
            f"outer ends of {one.method}",
            one.n,
        )

    @property
    def strong(self) -> bool:
        """Whether it does better than guessing."""
        return self.train.low > self.guessed.high


def attacked(cells: AttackedCells, rng: np.random.Generator) -> list[Success]:
    """All three attacks; inference for every column. [] with fewer than two columns or two rows."""
    made = _distinct(cells.generated)
    n = min(len(_any(cells.train)), len(_any(cells.holdout)), MOST_ATTACKS)
    if len(made) < 2 or n < 2 or len(_any(made)) < 2:
        return []
    train, control = (
        _rows(part, rng.permutation(len(_any(part)))[:n]) for part in (cells.train, cells.holdout)
    )
    out = [_singled_out(made, train, control, rng), _linked(made, train, control, rng)]
    return out + [_inferred(made, train, control, name, rng) for name in made]


def _singled_out(
    made: Columns, train: Columns, control: Columns, rng: np.random.Generator
) -> Success:
    """Descriptions that fit one generated row, in up to DESCRIBED columns; and random ones."""
    total = len(_any(made))
    middle = {name: _middle(values) for name, values in made.items() if _is_number(values)}

    def described(informed: bool) -> Callable[[Columns], np.ndarray]:
        names = rng.permutation(list(made))[: min(DESCRIBED, len(made))]
        row = int(rng.integers(total))
        tests: dict[str, tuple[object, int]] = {}
        for name in names:
            value = made[name][row if informed else int(rng.integers(total))]
            below = name in middle and value <= middle[name]
            side = -1 if (below if informed else rng.random() < 0.5) else 1
            tests[name] = value, side
        return lambda rows: np.all([_fits(rows[name], *tests[name]) for name in tests], axis=0)

    some: list[Callable[[Columns], np.ndarray]] = []
    random: list[Callable[[Columns], np.ndarray]] = []
    for _ in range(20 * MOST_ATTACKS):
        if len(some) == MOST_ATTACKS:
            break
        test = described(informed=True)
        if test(made).sum() == 1:
            some.append(test)
    while len(random) < max(1, len(some)):
        random.append(described(informed=False))

    def success(tests: list[Callable[[Columns], np.ndarray]], rows: Columns) -> Interval:
        return exact(sum(test(rows).sum() == 1 for test in tests), max(1, len(tests)))

    return Success(
        "singling out", "", success(some, train), success(some, control), success(random, train)
    )


def _fits(values: np.ndarray, value: object, side: int) -> np.ndarray:
    """Whether cells fit one condition: at most, or at least, a number; or equal."""
    if not _is_number(values):
        return values == value
    if np.isnan(value):  # type: ignore[call-overload]
        return np.isnan(values)
    return (values <= value) if side < 0 else (values >= value)


def _linked(made: Columns, train: Columns, control: Columns, rng: np.random.Generator) -> Success:
    """Two halves of the columns, each with its nearest generated row."""
    names = rng.permutation(list(made))
    halves = names[: len(names) // 2], names[len(names) // 2 :]

    def success(rows: Columns) -> Interval:
        one, other = (_nearest(rows, made, half) for half in halves)
        return exact(int((one == other).sum()), len(one))

    total, n = len(_any(made)), len(_any(train))
    same = rng.integers(total, size=n) == rng.integers(total, size=n)
    return Success("linkability", "", success(train), success(control), exact(int(same.sum()), n))


def _inferred(
    made: Columns, train: Columns, control: Columns, secret: str, rng: np.random.Generator
) -> Success:
    """The cell of the generated row that is nearest in all other columns."""
    known = [name for name in made if name != secret]

    def right(rows: Columns, told: np.ndarray) -> Interval:
        truth = rows[secret]
        if _is_number(truth):
            hits = np.abs(told - truth) <= NEAR * np.abs(truth)
            hits |= np.isnan(told) & np.isnan(truth)
        else:
            hits = told == truth
        return exact(int(hits.sum()), len(hits))

    guessed = made[secret][rng.integers(len(_any(made)), size=len(_any(train)))]
    told = [made[secret][_nearest(rows, made, known)] for rows in (train, control)]
    return Success(
        "inference", secret, right(train, told[0]), right(control, told[1]), right(train, guessed)
    )


def _nearest(rows: Columns, made: Columns, names: list[str] | np.ndarray) -> np.ndarray:
    """int [n]: the nearest generated row in these columns (Gower 1971): numbers by their
    difference over the range of the generated ones, other cells 1 where they differ, a missing cell
    1 from every other."""
    total = np.zeros((len(_any(rows)), len(_any(made))))
    for name in names:
        a, b = rows[name][:, None], made[name][None]
        if _is_number(made[name]):
            known = made[name][~np.isnan(made[name])]
            span = float(np.ptp(known)) if len(known) else 0.0
            apart = np.abs(a - b) / (span or 1.0)
            missing = np.isnan(a) | np.isnan(b)
            total += np.where(missing, (np.isnan(a) != np.isnan(b)).astype(float), apart)
        else:
            total += a != b
    return total.argmin(1)


def _middle(values: np.ndarray) -> float:
    """The median of the numbers that are not missing; 0 without any."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0


def _is_number(values: np.ndarray) -> bool:
    return values.dtype.kind == "f"


def _any(columns: Columns) -> np.ndarray:
    """One of the columns, whose length counts the rows; empty without columns."""
    return next(iter(columns.values()), np.zeros(0))


def _rows(columns: Columns, chosen: np.ndarray) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}


def _distinct(columns: Columns) -> Columns:
    """Rows with equal cells once: one parent may have several images."""
    if not len(_any(columns)):
        return columns
    codes = [np.unique(values, return_inverse=True)[1] for values in columns.values()]
    first = np.unique(np.stack(codes, 1), axis=0, return_index=True)[1]
    return _rows(columns, np.sort(first))
