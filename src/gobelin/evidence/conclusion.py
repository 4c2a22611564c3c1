"""One line for each arm of a study: did the generated images help, are copies among them, do they
tell who was trained on, how good are they.

The line joins findings of `augment` and `audit`, and says which of them are missing.

What this cannot show: more than its findings do. Of several trainings of one generator it reports
the worst quality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gobelin.evidence.findings import Finding, printed

BASELINE_WORDS = {"real": "the real rows alone", "classic": "classic augmentation"}
# reasons in `scope["why"]` of a finding 'screened_out'
COPY_OF_TRAINING = "copy of a training image"
NEAR_HELD_OUT = "near a validation or test image"
QUALITY_FINDING = "frechet_distance_corrected"
MOST_NAMED_ROWS = 3  # copied training rows that the line names
Say = Callable[[str], str]  # puts a sentence on images into the words of what is generated


def conclusions(findings: Sequence[Finding], say: Say = str) -> dict[str, str]:
    """{arm: its line}. {'': a line} if there is no verdict yet. {} if no finding is about
    generated images."""
    verdicts = [f for f in findings if f.name == "verdict" and f.source == "augment"]
    if verdicts:
        return {
            f.scope.get("arm", ""): _line(_help(f, findings), f.generator, findings, say)
            for f in verdicts
        }
    if any(f.source == "audit" for f in findings):
        unknown = "Whether it helps was not studied (gobelin augment)"
        return {"": _line(unknown, "", findings, say)}
    return {}


def conclusion_lines(findings: Sequence[Finding], say: Say = str) -> list[str]:
    """The lines of `conclusions`. Each starts with its arm's name if there are several."""
    lines = conclusions(findings, say)
    return [f"{arm}: {line}" if len(lines) > 1 else line for arm, line in lines.items()]


def _line(help_: str, generator: str, findings: Sequence[Finding], say: Say) -> str:
    parts = [
        help_ + _repeated_use(findings),
        _copies(generator, findings, say),
        _membership(generator, findings),
        say(_quality(generator, findings)),
    ]
    return "; ".join(parts) + "."


def _repeated_use(findings: Sequence[Finding]) -> str:
    """A warning if the test rows were used before."""
    uses = [f for f in findings if f.name == "look_at_test_rows" and f.source == "augment"]
    number = int(uses[0].value or 1) if uses else 1
    return f" (exploratory: look {number} at the test rows)" if number > 1 else ""


def _help(verdict: Finding, findings: Sequence[Finding]) -> str:
    """The first part of a line: did the images of this arm help."""
    arm = verdict.scope.get("arm", "")
    base = BASELINE_WORDS.get(verdict.comparator, verdict.comparator or "the baseline")
    rivals = [
        f
        for f in findings
        if f.comparator not in ("", verdict.comparator)
        and dict(f.scope) == {"arm": arm}
        and f.source == "augment"
        and f.value is not None
    ]
    best = min(rivals, key=lambda f: f.value or 0.0, default=None)
    word, over_base = verdict.verdict, f"Helped by {_change(verdict)} over {base}"
    if word == "helped" and best is not None:
        return f"Helped by {_change(best)} over the best baseline method ({best.comparator})"
    if word == "helped":
        return f"{over_base}; no baseline method was run"
    if word == "helped, and so does a rival":
        return f"{over_base}, and a cheaper baseline method does as well"
    if word == "helped, rivals undecided":
        undecided = "whether a cheaper baseline method does as well is undecided"
        if best is not None:
            undecided += f", {_change(best, True)} against the best one ({best.comparator})"
        return f"{over_base}; {undecided}"
    if word == "harmed":
        return f"Harmed by {_change(verdict, turned=True)} against {base}"
    meaning = {
        "no effect": "Changed nothing that matters",
        "no evidence": "No evidence of help or harm",
    }.get(word, word or "No verdict")
    return f"{meaning}, {_change(verdict, True)} against {base}{_detectable(arm, findings)}"


def _detectable(arm: str, findings: Sequence[Finding]) -> str:
    """The smallest effect that the study could detect."""
    for f in findings:
        if f.name == "smallest_detectable_effect" and f.scope.get("arm") == arm:
            if f.value is None:
                return ""
            if f.unit == "points" and f.value >= 1:  # no share differs by as much
                return " (this study is too small to see any difference)"
            return f" (this study could have seen {printed(f.value, f.unit)})"
    return ""


def _change(difference: Finding, signed: bool = False, turned: bool = False) -> str:
    """2.1 points (0.4 to 3.8). turned: a loss as a positive number."""
    if difference.value is None:
        return "no number"
    ends = (difference.low, difference.high)
    turn, sign = (-1 if turned else 1), "+" if signed else ""
    bounds = [
        printed(turn * end, difference.unit, sign).removesuffix(" points")
        for end in (reversed(ends) if turned else ends)
        if end is not None
    ]
    interval = f" ({bounds[0]} to {bounds[1]})" if len(bounds) == 2 else ""
    return printed(turn * difference.value, difference.unit, sign) + interval


def _about(generator: str, findings: Sequence[Finding], name: str) -> list[Finding]:
    """The findings of this name about a generator as a whole, not about one class."""
    return [
        f
        for f in findings
        if f.name == name
        and "class" not in f.scope
        and (not generator or f.generator in ("", generator))
    ]


def _copies(generator: str, findings: Sequence[Finding], say: Say) -> str:
    """The second part of a line: how many generated images are copies of training images."""
    audited = [
        f
        for f in _about(generator, findings, "copies")
        if f.source == "audit" and f.value is not None
    ]
    screened = _about(generator, findings, "screened_out")
    # findings of an earlier version say "image" of every kind of generated data
    removed = [
        f for f in screened if f.scope.get("why") in (COPY_OF_TRAINING, say(COPY_OF_TRAINING))
    ]
    if not all(f.sure for f in (*audited, *removed)):
        return say("whether images were copied can't be said, as planted copies were not caught")
    if removed:
        held_out = (NEAR_HELD_OUT, say(NEAR_HELD_OUT))
        near = sum(int(f.value or 0) for f in screened if f.scope.get("why") in held_out)
        also = f", and {near} near a validation or test image" if near else ""
        count = sum(int(f.value or 0) for f in removed)
        told = say(_counted(count, sum(f.n for f in removed), "removed"))
        return told + _copied_rows(removed) + say(also)
    if audited:
        count = sum(round((f.value or 0) * f.n) for f in audited)
        return say(_counted(count, sum(f.n for f in audited), "not removed"))
    return "copies were not looked for (gobelin audit)"


def _counted(count: int, total: int, then: str) -> str:
    if not count:
        return f"none of {total} images is a near copy of a training image"
    verb = "is a copy and was" if count == 1 else "are copies and were"
    return f"{count} of {total} images {verb} {then}"


def _copied_rows(removed: Sequence[Finding]) -> str:
    """The first training rows that were copied, by id."""
    rows = list(dict.fromkeys(row for f in removed for row in f.rows))
    more = f" and {len(rows) - MOST_NAMED_ROWS} more" if len(rows) > MOST_NAMED_ROWS else ""
    return f" (of training rows {', '.join(rows[:MOST_NAMED_ROWS])}{more})" if rows else ""


def _membership(generator: str, findings: Sequence[Finding]) -> str:
    """The third part of a line: can training rows be told from others by the generated images.

    Of several trainings of one generator it reports the one that may show most.
    """
    audited = _about(generator, findings, "membership")
    if not audited:
        asked = any(f.source == "audit" for f in findings)
        how = "--set judge.audits=copying,membership" if asked else "gobelin audit"
        return f"membership was not looked for ({how})"
    single = [f for f in audited if f.verdict == "distinguishable"]
    alarms = single or [f for f in audited if f.verdict.startswith("distinguishable")]
    worst = max(
        alarms or [f for f in audited if not f.sure] or audited,
        key=lambda f: -1.0 if f.high is None else f.high,
    )
    word, rate = f"membership: {worst.verdict}", worst.scope.get("false alarms", "")
    if not worst.sure or worst.value is None or worst.low is None or worst.high is None:
        return word
    highest = printed(worst.high, worst.unit)
    if single:
        low = printed(worst.low, worst.unit).removesuffix(" %")
        share = f"{printed(worst.value, worst.unit)} ({low} to {highest.removesuffix(' %')})"
        return f"{word}, {share} of training rows found at {rate} false alarms"
    return f"{word}, up to {highest} at {rate}"


def _quality(generator: str, findings: Sequence[Finding]) -> str:
    """The last part of a line: how far the images are from real ones."""
    measured = _about(generator, findings, QUALITY_FINDING)
    known = [f for f in measured if f.value is not None]
    if not measured:
        return "quality was not measured (gobelin audit)"
    if not known:
        counts = f"{measured[0].n}, {measured[0].needed_n} needed"
        return f"too few images to say how good they are ({counts})"
    worst = max(known, key=lambda f: (f.value or 0.0) - (f.floor or 0.0))
    value, floor = worst.value or 0.0, worst.floor
    told = f"image quality: Fréchet distance {value:.3g}"
    if floor is None:
        return f"{told} (too few unseen real images to compare with)"
    if value > floor:
        return f"{told}, that of unseen real images {floor:.3g} (lower is better)"
    return f"{told}, no worse than that of unseen real images ({floor:.3g})"
