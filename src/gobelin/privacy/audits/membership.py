"""Tests whether generated images give away which rows were trained on.

An attacker has the generated images and a row, and asks whether it was trained on. His score
(`membership_attack`) compares how near the row lies to the generated images with how near it lies
to other real rows, in pixels and in a feature space. Where the generator knows the loss of a
row, a second attacker has that loss. Held-out rows are the rows that were not trained on. They set
the limit that a stated share of such rows exceeds; the result is the share of training rows that
exceed it (true positives at few false positives, Carlini et al. 2022).

Training and held-out groups are exchanged at random for a p value over the whole set. A generator
that leaks nothing is called distinguishable in 5 % of audits at most. Where generated rows
keep other cells of their parents, `attribute_attacks` asks what those give away.

Two controls are always run, with as many images as the generator made. Both are over-fitted on
purpose (`memorising`). One learns the same training rows: at least 30 % of them must be found at
1 % false alarms, else there is no all-clear. The other learns a half of the held-out rows: training
rows may not be told from the other half, else the rows themselves differ, and an alarm means
nothing.

What this cannot show: that nobody can be found. A stronger attacker with reference models, or one
who knows a person's other images, finds more. The controls concern the attack from images alone;
the attack by loss can raise an alarm and gives no all-clear. With groups, the limit counts rows:
a patient with many images weighs more. Training sees classes in fixed shares, which makes the p
value and the bound of epsilon a little cautious. Where the same image stands in training and
held-out rows under two names, the audit sees less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import numpy_generator
from gobelin.evidence.intervals import holm
from gobelin.privacy import membership_findings
from gobelin.privacy.attribute_attacks import attacked
from gobelin.privacy.audits import AuditInput, Result
from gobelin.privacy.candidates import reduced
from gobelin.privacy.membership_attack import Attack, RealRows, joined
from gobelin.privacy.membership_findings import CONTROL_LEVEL, RATES, Controls
from gobelin.privacy.memorising import memorised

MOST_ROWS = 4096  # training rows, and held-out rows, that are attacked at most
LEAST_HELD = 4  # held-out groups: two to learn from, two to compare with
BY_DISTANCE, BY_LOSS = "distance", "loss"


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
        attacks = {BY_DISTANCE: rows.attack(joined(by_space))}
        if images.row_losses is not None:
            losses = [np.asarray(part, np.float64) for part in images.row_losses()]
            attacks[BY_LOSS] = rows.attack(-np.concatenate(losses)[rows.chosen])
        rng = numpy_generator(images.seed, "exchanges of groups")
        raw = [attack.p_value(self.exchanges, rng) for attack in attacks.values()]
        p_values = dict(zip(attacks, holm(raw), strict=True))
        ids = [images.train_ids[k] if k < len(images.train) else "" for k in rows.chosen]
        controls = _controls(images, rows)
        findings = [membership_findings.verdict(attacks, p_values, controls, ids)]
        findings += controls.findings()
        for name, attack in attacks.items():
            rng = numpy_generator(images.seed, "pairs of groups")
            findings += membership_findings.measured(name, attack, p_values[name], rng)
        findings += [
            membership_findings.of_space(BY_DISTANCE, space, rows.attack(scores))
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
    groups: np.ndarray  # int [N]
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
        return _Rows(images, chosen, chosen < n, groups[chosen], real)

    def space(self, generated: np.ndarray) -> dict[str, np.ndarray]:
        """{space: features of generated images}."""
        return {name: space(generated) for name, space in _spaces(self.images).items()}

    def attack(self, scores: np.ndarray) -> Attack:
        return Attack(scores, self.member, self.groups)


def _controls(images: AuditInput, rows: _Rows) -> Controls:
    """Both controls, each with as many images as the generator made."""
    made, n = len(images.generated), len(images.train)
    rng = numpy_generator(images.seed, "controls of the membership audit")
    leaking = rows.real.scores(rows.space(memorised(images.train, made, rng)))
    found = rows.attack(joined(leaking)).found(RATES[0])
    held = np.unique(rows.groups[~rows.member])
    learned = np.isin(rows.groups, rng.permutation(held)[: len(held) // 2])
    others = images.holdout[rows.chosen[learned] - n]
    area = None
    if len(held) >= LEAST_HELD:
        innocent = rows.real.scores(rows.space(memorised(others, made, rng)))
        apart = joined({space: scores[~learned] for space, scores in innocent.items()})
        attack = Attack(apart, rows.member[~learned], rows.groups[~learned])
        area = attack.area(CONTROL_LEVEL)
    return Controls(found, area, made, n, len(others), int((~rows.member).sum()))


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
