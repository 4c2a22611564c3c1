"""Tests whether generated images give away which rows were trained on.

An attacker has the generated images and a row, and asks whether it was trained on. His score
(`membership_attack`) compares how near the row lies to the generated images with how near it lies
to other real rows, in pixels and in a feature space. Where the generator knows the loss of a
row, a second attacker has that loss. Where reference generators are asked for, a third one
compares it with their losses (`reference_attack`): RMIA with fewer than 16, else LiRA. Held-out
rows are the rows that were not trained on. They set the limit that a stated share of such rows
exceeds; the result is the share of training rows that exceed it (true positives at few false
positives, Carlini et al. 2022).

Training and held-out groups are exchanged at random for a p value over the whole set. A generator
that leaks nothing is called distinguishable in 5 % of audits at most, whatever the number of
attacks (Holm). A reference learns a random half of all groups, training and held-out alike, so that
its losses don't tell one kind from the other. With one reference, only the rows that it did not
learn are compared. Where generated rows keep other cells of their parents, `attribute_attacks` asks
what those give away.

Every attack has two controls, with as many images as the generator made. Both are over-fitted on
purpose (`memorising`). One learns the same training rows: at least 30 % of them must be found at
1 % false alarms, else there is no all-clear. The other learns a half of the held-out rows: training
rows may not be told from the other half, else the rows themselves differ, and an alarm means
nothing. The attack by loss is given their losses; the attack with references also those of
references that are over-fitted on the rows that the trained ones learned.

What this cannot show: that nobody can be found. Without reference generators a stronger attacker
who has some finds more, and so does one who knows a person's other images. The controls have a loss
of their own: they show that the attack works, not how much the loss of this generator tells.
With groups, the limit counts rows: a patient with many images weighs more. Training sees classes in
fixed shares, which makes the p value and the bound of epsilon a little cautious. Where the same
image stands in training and held-out rows under two names, the audit sees less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.machine import numpy_generator
from gobelin.evidence.intervals import holm
from gobelin.privacy import membership_findings
from gobelin.privacy.attribute_attacks import attacked
from gobelin.privacy.audits import AuditInput, References, Result
from gobelin.privacy.candidates import reduced
from gobelin.privacy.membership_attack import Attack, RealRows, joined
from gobelin.privacy.membership_findings import (
    CONTROL_LEVEL,
    FROM_IMAGES,
    RATES,
    OverfittedControls,
)
from gobelin.privacy.memorising import Memorised
from gobelin.privacy.reference_attack import (
    FOR_LIRA,
    halves,
    likelihood_ratio,
    relative_likelihood,
)

MOST_ROWS = 4096  # training rows, and held-out rows, that are attacked at most
LEAST_HELD = 4  # held-out groups: two to learn from, two to compare with
# groups of each kind that references learn halves of: fewer may leave nothing to compare
LEAST_SHARED = 10
BY_LOSS, RMIA, LIRA = "loss", "RMIA", "LiRA"


@settings_class
class Membership:
    """Settings of the audit."""

    exchanges: int = setting(
        default=4000,
        ge=100,
        le=1_000_000,
        description="Random exchanges of training and held-out groups behind the p value.",
    )

    def run(self, images: AuditInput) -> Result:
        """Raises GobelinError if training and held-out images are not exchangeable."""
        images.check("membership")
        if not len(images.generated):
            return Result((), ())
        rows = _Rows.of(images)
        by_space = rows.real.scores(rows.space(images.generated))
        attacks = {FROM_IMAGES: rows.attack(joined(by_space))}
        references = None
        if images.row_losses is not None:
            losses = np.concatenate([np.asarray(part, np.float64) for part in images.row_losses()])
            attacks[BY_LOSS] = rows.attack(-losses[rows.chosen])
            if images.references is not None:
                references = _Compared.of(images.references, rows)
                attacks[references.name] = references.attack(losses[rows.chosen])
        rng = numpy_generator(images.seed, "exchanges of groups")
        raw = [attack.p_value(self.exchanges, rng) for attack in attacks.values()]
        p_values = dict(zip(attacks, holm(raw), strict=True))
        controls = _controls(rows, references, len(attacks))
        findings = [membership_findings.verdict(attacks, p_values, controls, rows.ids)]
        findings += [f for name, both in controls.items() for f in both.findings(name)]
        for name, attack in attacks.items():
            rng = numpy_generator(images.seed, "pairs of groups")
            findings += membership_findings.measured(name, attack, p_values[name], rng)
        findings += [
            membership_findings.of_space(FROM_IMAGES, space, rows.attack(scores))
            for space, scores in by_space.items()
        ]
        if images.cells is not None:
            rng = numpy_generator(images.seed, "attacks on cells")
            findings += membership_findings.attributes(attacked(images.cells(), rng))
        return Result(tuple(findings), ())


@dataclass(frozen=True, eq=False)
class _Rows:
    """The N rows that are attacked: training and held-out rows."""

    images: AuditInput
    chosen: np.ndarray  # int [N], rows of the training images followed by the held-out images
    member: np.ndarray  # bool [N]
    every: np.ndarray  # int [n + m]: the group of every training and held-out row
    real: RealRows

    @staticmethod
    def of(images: AuditInput) -> _Rows:
        n, m = len(images.train), len(images.holdout)
        train, holdout = _numbers(images.train_groups, n), _numbers(images.groups, m)
        groups = np.concatenate([train, holdout + train.max(initial=-1) + 1])
        rng = numpy_generator(images.seed, "rows of the membership audit")
        parts = _some(groups[:n], rng), n + _some(groups[n:], rng)
        chosen = np.concatenate(parts)
        features = {
            name: np.concatenate([space(images.train), space(images.holdout)])[chosen]
            for name, space in _spaces(images).items()
        }
        real = RealRows.of(features, groups[chosen])
        return _Rows(images, chosen, chosen < n, groups, real)

    @property
    def groups(self) -> np.ndarray:
        """int [N]"""
        return self.every[self.chosen]

    @property
    def ids(self) -> Sequence[str]:
        """N names of training rows, '' of others."""
        images = self.images
        return [images.train_ids[k] if k < len(images.train) else "" for k in self.chosen]

    @property
    def pixels(self) -> np.ndarray:
        """uint8 [n + m, H, W, C]"""
        return np.concatenate([self.images.train, self.images.holdout])

    def space(self, generated: np.ndarray) -> dict[str, np.ndarray]:
        """{space: features of generated images}."""
        return {name: space(generated) for name, space in _spaces(self.images).items()}

    def attack(self, scores: np.ndarray) -> Attack:
        return Attack(scores, self.member, self.groups)


@dataclass(frozen=True, eq=False)
class _Compared:
    """The losses of all rows under reference generators."""

    rows: _Rows
    name: str  # RMIA or LiRA
    learned: np.ndarray  # bool [K, n + m]: the rows that each reference learned
    losses: np.ndarray  # float [K, n + m]

    @staticmethod
    def of(references: References, rows: _Rows) -> _Compared:
        """Trains the references. Raises GobelinError with fewer than ten groups of a kind."""
        kinds = [len(np.unique(rows.groups[kind])) for kind in (rows.member, ~rows.member)]
        if min(kinds) < LEAST_SHARED:
            raise GobelinError(
                f"audit membership: {kinds[0]} training and {kinds[1]} held-out groups are too few"
                f" for reference generators, {LEAST_SHARED} of each are needed. Set"
                " judge.references to 0."
            )
        rng = numpy_generator(rows.images.seed, "rows of the reference generators")
        learned = halves(rows.every, references.count, rng)
        losses = np.asarray(references.losses(learned), np.float64)
        return _Compared(rows, _name_of(references.count), learned, losses)

    def over_fitted(self, rng: np.random.Generator) -> _Compared:
        """The same with references that are over-fitted on the rows that each one learned."""
        pixels = self.rows.pixels
        losses = [Memorised.of(pixels[own], rng).row_loss(pixels) for own in self.learned]
        return _Compared(self.rows, self.name, self.learned, np.stack(losses))

    def scores(self, loss: np.ndarray) -> np.ndarray:
        """float [N], nan where no reference did without the row. loss: float [N], of the attacked
        rows under the generator."""
        score = likelihood_ratio if self.name == LIRA else relative_likelihood
        chosen = self.rows.chosen
        return score(loss, self.losses[:, chosen], self.learned[:, chosen])

    def attack(self, loss: np.ndarray) -> Attack:
        return self.rows.attack(self.scores(loss))


def _name_of(references: int) -> str:
    return LIRA if references >= FOR_LIRA else RMIA


def _controls(
    rows: _Rows, references: _Compared | None, attacks: int
) -> Mapping[str, OverfittedControls]:
    """{attack: its two controls}, each with as many images as the generator made. references: of
    the attack that compares with them. attacks: how many there are."""
    images, n = rows.images, len(rows.images.train)
    rng = numpy_generator(images.seed, "controls of the membership audit")
    leaking = Memorised.of(images.train, rng)
    drawn = [leaking.drawn(len(images.generated), rng)]
    held = np.unique(rows.groups[~rows.member])
    learned = np.isin(rows.groups, rng.permutation(held)[: len(held) // 2])
    others, models = images.holdout[rows.chosen[learned] - n], [leaking]
    if len(held) >= LEAST_HELD:
        models.append(Memorised.of(others, rng))
        drawn.append(models[1].drawn(len(images.generated), rng))
    by_attack = {FROM_IMAGES: [joined(rows.real.scores(rows.space(made))) for made in drawn]}
    if images.row_losses is not None:
        losses = [model.row_loss(rows.pixels[rows.chosen]) for model in models]
        by_attack[BY_LOSS] = [-loss for loss in losses]
        if references is not None:
            same = references.over_fitted(rng)
            by_attack[same.name] = [same.scores(loss) for loss in losses]
    level = 1 - (1 - CONTROL_LEVEL) / attacks
    out = {}
    for name, scores in by_attack.items():
        area = None
        if len(scores) > 1:
            apart = Attack(scores[1][~learned], rows.member[~learned], rows.groups[~learned])
            area = apart.area(level)
        attack = rows.attack(scores[0])
        out[name] = OverfittedControls(
            attack.found(RATES[0]), area, len(images.generated), n, len(others), attack.held
        )
    return out


def _spaces(images: AuditInput) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Pixels and the last feature space. Encoding the images of both controls is most of the
    audit's time, so there is one encoder."""
    return {"pixels": _pixels, **dict(list(images.spaces.items())[-1:])}


def _pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] -> float32 [n, C * S * S], S = 32."""
    return reduced(images).flatten(1).numpy()


def _numbers(groups: Sequence[str], rows: int) -> np.ndarray:
    """int [rows]: a number for every group; each row has its own where there are no groups."""
    return np.unique(groups, return_inverse=True)[1] if len(groups) else np.arange(rows)


def _some(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int [k]: all rows, or the rows of random groups, at most MOST_ROWS."""
    if len(groups) <= MOST_ROWS:
        return np.arange(len(groups))
    names, sizes = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    kept = order[np.cumsum(sizes[order]) <= MOST_ROWS]
    return np.flatnonzero(np.isin(groups, names[kept]))
