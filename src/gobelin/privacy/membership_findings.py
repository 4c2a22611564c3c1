"""The findings of the membership audit: its verdict, its controls, and what each attack finds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.evidence.findings import Finding, printed
from gobelin.evidence.intervals import Interval
from gobelin.privacy.attribute_attacks import Success
from gobelin.privacy.membership_attack import EPSILON_LEVEL, Attack

RATES = (0.01, 0.001)  # false alarms; the first decides
ALARM = 0.05  # p value, after Holm's adjustment for the number of attacks
CONTROL_FOUND = 0.30  # share of the rows of the over-fitted control that must be found
CONTROL_LEVEL = 0.99  # of the interval of the other control; it fails one good audit in a hundred
SINGLE, AS_A_SET = "distinguishable", "distinguishable as a set"
FROM_IMAGES = "distance"  # the attack that every audit has
NAMED_ROWS = 10  # training rows that stand out most


@dataclass(frozen=True)
class OverfittedControls:
    """The results of one attack on two generators that are over-fitted on purpose."""

    found: Interval | None  # share of training rows; None with too few held-out rows
    area: Interval | None  # None with too few held-out groups
    made: int  # images of each
    train: int  # rows that the first one learned: the training rows
    others: int  # rows that the second one learned: a half of the held-out rows
    held: int  # held-out rows that the limit is a rank of

    @property
    def caught(self) -> bool:
        """Whether the audit sees a leak where there is one."""
        return self.found is not None and self.found.value >= CONTROL_FOUND

    @property
    def differ(self) -> bool:
        """Whether training rows differ from held-out rows for a generator that learned neither."""
        return self.area is not None and not self.area.low <= 0.5 <= self.area.high

    @property
    def few(self) -> bool:
        """Whether so few images were made that they can't show enough rows."""
        shown = 1 - (1 - 1 / max(1, self.train)) ** self.made
        return shown < CONTROL_FOUND

    def findings(self, attack: str) -> list[Finding]:
        """attack: which one they control; the one from images alone is not named."""
        fitted = f"fitted in closed form, no steps; {self.made} images"
        must = f"at least {printed(CONTROL_FOUND, 'share')} must be found"
        note = f"learned {self.train} rows, {fitted}; {must}"
        named = {} if attack == FROM_IMAGES else {"attack": attack}
        scope = {"control": "over-fitted on the same rows", **named}
        out = [_found("members_found", self.found, RATES[0], scope, note, self.held)]
        if self.area is not None:
            note = f"learned {self.others} rows, {fitted}; the interval must hold 0.5"
            scope = {"control": "over-fitted on other rows", **named}
            out.append(_area(self.area, scope, note))
        return out


def verdict(
    attacks: Mapping[str, Attack],
    p_values: Mapping[str, float],
    controls: Mapping[str, OverfittedControls],
    ids: Sequence[str],
) -> Finding:
    """The finding about the attack that may find most. p_values: adjusted. controls: of every
    attack. ids: names of the N rows of every attack."""
    shares = {name: attack.found(RATES[0]) for name, attack in attacks.items()}
    name = max(shares, key=lambda key: getattr(shares[key], "high", -p_values[key]))
    p_value = min(p_values.values())
    single = any(share is not None and share.low > RATES[0] for share in shares.values())
    word, sure = _word(p_value <= ALARM, single, controls.values())
    blind = [attack for attack, both in controls.items() if not both.caught]
    note = f"share of training rows that the attack by {name} finds; p of the set {p_value:.2g}"
    rows: tuple[str, ...] = ()
    if word == SINGLE:
        rows = _outstanding(attacks[name], ids)
        note += "; single rows stand out"
    elif not sure and FROM_IMAGES in blind and controls[FROM_IMAGES].few:
        note += "; generate more images: so few can show few rows"
    if not sure and blind and len(controls) > 1:
        note += f"; the over-fitted control is not caught by {', '.join(blind)}"
    found = _found("membership", shares[name], RATES[0], {}, note, attacks[name].held)
    return replace(found, verdict=word, sure=sure, rows=rows)


def _word(alarm: bool, single: bool, controls: Collection[OverfittedControls]) -> tuple[str, bool]:
    """The verdict, and whether it claims anything. alarm: the set of training rows can be told.
    single: so can single rows, at few false alarms. controls: of every attack."""
    if any(both.differ for both in controls):
        return "can't say: training and held-out rows differ without the generator", False
    if alarm:
        return SINGLE if single else AS_A_SET, True
    if not all(both.caught for both in controls):
        return "can't say: this audit could not have seen a leak", False
    return "not distinguishable", True


def _outstanding(attack: Attack, ids: Sequence[str]) -> tuple[str, ...]:
    """The training rows with the highest scores above the limit."""
    limit = attack.limit(RATES[0])
    order = np.argsort(-attack.scores, kind="stable")
    high = [k for k in order if limit is not None and attack.scores[k] > limit]
    return tuple(ids[k] for k in high if attack.member[k])[:NAMED_ROWS]


def measured(name: str, attack: Attack, p_value: float, rng: np.random.Generator) -> list[Finding]:
    """What one attack finds. p_value: adjusted for the number of attacks."""
    scope, groups = {"attack": name}, len(np.unique(attack.groups[attack.compared]))
    out = [_area(attack.area(), scope, "share of pairs in which the training row looks trained on")]
    found = ((attack.found(rate), rate) for rate in RATES)
    out += [_found("members_found", *one, scope, "", attack.held) for one in found]
    note = "of the whole set, by exchanges of training and held-out groups"
    out.append(
        Finding(
            name="membership_p_value",
            scope=scope,
            value=p_value,
            n=groups,
            note=note,
            source="audit",
        )
    )
    needed = attack.groups_needed()
    told = "of each kind that four of five such tests at 5 % would need"
    if needed is None:
        told = "no number: training rows do not look more trained on than held-out rows"
    out.append(
        Finding(
            name="groups_needed",
            scope=scope,
            value=needed,
            n=groups,
            note=told,
            source="audit",
        )
    )
    bound, pairs = attack.epsilon(rng)
    out.append(
        Finding(
            name="epsilon_at_least",
            scope=scope,
            value=bound,
            level=EPSILON_LEVEL,
            method="Steinke, Nasr & Jagielski 2023",
            n=pairs,
            note=f"lower bound with {printed(EPSILON_LEVEL, 'share')} confidence, for the exchange"
            " of a group",
            source="audit",
        )
    )
    return out


def of_space(name: str, space: str, attack: Attack) -> Finding:
    """The area of one space alone."""
    return _area(attack.area(), {"attack": name, "space": space}, "")


def attributes(successes: Sequence[Success]) -> list[Finding]:
    """The risk of every attack on the cells of generated rows."""
    out = []
    for success in successes:
        shares = [
            f"{printed(share.value, 'share')} {of}"
            for share, of in (
                (success.train, "of training rows"),
                (success.control, "of held-out rows"),
                (success.guessed, "by guessing"),
            )
        ]
        weak = [] if success.strong else ["no better than guessing, so it says nothing"]
        scope = {"attack": success.attack}
        scope |= {"column": success.column} if success.column else {}
        risk = success.risk.finding(
            "attribute_risk",
            scope=scope,
            unit="share",
            better="lower",
            source="audit",
            note="; ".join(["the cells that generated rows keep", ", ".join(shares), *weak]),
        )
        out.append(replace(risk, sure=success.strong))
    return out


def _area(area: Interval, scope: Mapping[str, str], note: str) -> Finding:
    return area.finding(
        "membership_auc", scope=scope, better="lower", chance=0.5, source="audit", note=note
    )


def _found(
    name: str,
    share: Interval | None,
    rate: float,
    scope: Mapping[str, str],
    note: str,
    held: int,
) -> Finding:
    """A share of training rows at this rate of false alarms; without one, how many held-out rows it
    takes."""
    at = {**scope, "false alarms": f"{100 * rate:g} %"}
    if share is None:
        few = f"too few held-out rows for {at['false alarms']} false alarms"
        return Finding(
            name=name,
            scope=at,
            unit="share",
            n=held,
            needed_n=round(1 / rate),
            note="; ".join(part for part in (note, few) if part),
            source="audit",
        )
    return share.finding(
        name, scope=at, unit="share", better="lower", chance=rate, source="audit", note=note
    )
