"""One line an arm that joins the three: did the made images help, are there copies among them, how
good are they.

It is put together from findings of `augment` and `audit`, and says what is missing.

What this cannot show: more than its findings do. Of several trainings of a generator it tells the
worst quality."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.evidence.findings import Finding, printed

BASELINES = {"real": "the real rows alone", "classic": "classic augmentation"}
COPY, NEAR = "copy of a training image", "near a validation or test image"
UNSURE = "can't say"  # how the verdict of an audit begins that missed the planted copies
QUALITY = "frechet_distance_corrected"
OF, NAMED = "copies of training rows ", 3  # how a note on copies begins; rows that the line names


def conclusions(findings: Sequence[Finding]) -> dict[str, str]:
    """{arm: its line}; {'': a line} where there is no verdict yet; nothing where nothing was found
    of made images."""
    verdicts = [f for f in findings if f.name == "verdict" and f.source == "augment"]
    if verdicts:
        return {
            f.scope.get("arm", ""): _line(_helped(f, findings), f.scope.get("arm", ""), findings)
            for f in verdicts
        }
    audited = any(f.source == "audit" for f in findings)
    return (
        {"": _line("Whether it helps was not studied (gobelin augment)", "", findings)}
        if audited
        else {}
    )


def told(findings: Sequence[Finding]) -> list[str]:
    """The lines, each with its arm's name before it where there are several."""
    lines = conclusions(findings)
    return [f"{arm}: {line}" if len(lines) > 1 else line for arm, line in lines.items()]


def _line(helped: str, arm: str, findings: Sequence[Finding]) -> str:
    generator = arm.partition(" by ")[2]
    return (
        "; ".join(
            [helped + _looked(findings), _copied(generator, findings), _good(generator, findings)]
        )
        + "."
    )


def _looked(findings: Sequence[Finding]) -> str:
    """A word of warning where the test rows were opened before."""
    look = next(
        (
            int(f.value or 1)
            for f in findings
            if f.name == "look_at_test_rows" and f.source == "augment"
        ),
        1,
    )
    return f" (exploratory: look {look} at the test rows)" if look > 1 else ""


def _helped(verdict: Finding, findings: Sequence[Finding]) -> str:
    arm, base = (
        verdict.scope.get("arm", ""),
        BASELINES.get(verdict.comparator, verdict.comparator or "the baseline"),
    )
    rivals = [
        f
        for f in findings
        if f.comparator not in ("", verdict.comparator)
        and dict(f.scope) == {"arm": arm}
        and f.source == "augment"
        and f.value is not None
    ]
    best = min(rivals, key=lambda f: f.value or 0.0, default=None)
    word = verdict.verdict
    if word == "helped" and best is not None:
        return f"Helped by {_change(best)} over the best rival ({best.comparator})"
    if word == "helped":
        return f"Helped by {_change(verdict)} over {base}; no rival was run"
    if word == "helped, and so does a rival":
        return f"Helped by {_change(verdict)} over {base}, and a cheaper rival does as well"
    if word.startswith("helped"):
        against = (
            f", {_change(best, True)} against the best one ({best.comparator})" if best else ""
        )
        return (
            f"Helped by {_change(verdict)} over {base}; whether a cheaper rival does as well is"
            f" undecided{against}"
        )
    if word == "harmed":
        return f"Harmed by {_change(verdict, turned=True)} against {base}"
    said = {
        "no effect": "Changed nothing that matters",
        "no evidence": "No evidence of help or harm",
    }
    return (
        f"{said.get(word, word or 'No verdict')}, {_change(verdict, True)} against"
        f" {base}{_seen(arm, findings)}"
    )


def _seen(arm: str, findings: Sequence[Finding]) -> str:
    found = next(
        (
            f
            for f in findings
            if f.name == "smallest_detectable_effect" and f.scope.get("arm") == arm
        ),
        None,
    )
    if found is None or found.value is None:
        return ""
    return f" (this study could have seen {printed(found.value, found.unit)})"


def _change(one: Finding, signed: bool = False, turned: bool = False) -> str:
    """2.1 points (0.4 to 3.8). turned: a loss as a positive number."""
    if one.value is None:
        return "no number"
    ends = (one.high, one.low) if turned else (one.low, one.high)
    turn, sign = (-1 if turned else 1), "+" if signed else ""
    bounds = [
        printed(turn * end, one.unit, sign).removesuffix(" points")
        for end in ends
        if end is not None
    ]
    interval = f" ({bounds[0]} to {bounds[1]})" if len(bounds) == 2 else ""
    return printed(turn * one.value, one.unit, sign) + interval


def _of(generator: str, findings: Sequence[Finding], name: str) -> list[Finding]:
    """The findings of this name about a generator as a whole; '' = the only one."""
    found = [f for f in findings if f.name == name and "class" not in f.scope]
    return [
        f for f in found if not generator or f.scope.get("generator", "").split(",")[0] == generator
    ]


def _copied(generator: str, findings: Sequence[Finding]) -> str:
    audited = [
        f for f in _of(generator, findings, "copies") if f.source == "audit" and f.value is not None
    ]
    screened = _of(generator, findings, "screened_out")
    removed = [f for f in screened if f.scope.get("why") == COPY]
    if any(f.verdict.startswith(UNSURE) for f in (*audited, *removed)):
        return "whether images were copied can't be said, as planted copies were not caught"
    if removed:
        near = sum(int(f.value or 0) for f in screened if f.scope.get("why") == NEAR)
        also = f", and {near} near a validation or test image" if near else ""
        return (
            _counted(sum(int(f.value or 0) for f in removed), sum(f.n for f in removed), "removed")
            + _whose(removed)
            + also
        )
    if audited:
        return _counted(
            sum(round((f.value or 0) * f.n) for f in audited),
            sum(f.n for f in audited),
            "not removed",
        )
    return "copies were not looked for (gobelin audit)"


def _counted(count: int, of: int, then: str) -> str:
    if not count:
        return f"none of {of} images is a near copy of a training image"
    return (
        f"{count} of {of} images {'is a copy and was' if count == 1 else 'are copies and were'}"
        f" {then}"
    )


def _whose(removed: Sequence[Finding]) -> str:
    """The first training rows that were copied, by id."""
    rows = [
        i for f in removed if f.note.startswith(OF) for i in f.note.removeprefix(OF).split(", ")
    ]
    rows = list(dict.fromkeys(rows))
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f" (of training rows {', '.join(rows[:NAMED])}{more})" if rows else ""


def _good(generator: str, findings: Sequence[Finding]) -> str:
    found = _of(generator, findings, QUALITY)
    known = [f for f in found if f.value is not None]
    if not found:
        return "quality was not measured (gobelin audit)"
    if not known:
        return f"too few images to say how good they are ({found[0].n}, {found[0].needed_n} needed)"
    worst = max(known, key=lambda f: (f.value or 0.0) - (f.floor or 0.0))
    value, floor = worst.value or 0.0, worst.floor
    if floor is None:
        return (
            f"quality: a Fréchet distance of {value:.3g}, with too few unseen real images for a"
            " floor"
        )
    both = f"(Fréchet distance {value:.3g}, unseen real images {floor:.3g})"
    return (
        f"quality within {value - floor:.3g} of the real floor {both}"
        if value > floor
        else f"quality at the real floor {both}"
    )
