"""Long results in few lines. Oracle: planted findings, of which those that must stand there are
named."""

from __future__ import annotations

from gobelin.evidence.findings import Finding
from gobelin.interfaces.brief import MOST_LINES, lines, rivals_line

TAIL = "feature net convolution, resize 32 pixels (area average; bilinear where enlarged)"


def test_of_recall_each_pair_of_fields_is_one_line() -> None:
    names = ("image", "text", "sound", "table", "name")
    pairs = [(a, b) for a in names for b in names if a != b]
    found = [
        Finding(name=name, scope={"from": a, "to": b, **more}, value=0.5, unit="share", n=9)
        for a, b in pairs
        for name in ("recall@1", "recall@5", "recall@10", "median_rank")
        for more in ({}, {"by": "a baseline"})
    ]
    told = lines(found, "search")
    assert len(told) == len(pairs) + 1
    for (a, b), line in zip(pairs, told[:-1], strict=True):
        assert line.startswith(f"recall@5 (from {a}, to {b}): 50.0 %")
    assert told[-1].startswith(f"{len(found) - len(pairs)} more numbers: --all")


def test_words_of_many_notes_stand_once() -> None:
    found = [
        Finding(name=f"m{k}", value=0.5, note=f"k = {k}; noise scores high; {TAIL}")
        for k in range(6)
    ] + [Finding(name="m0", scope={"class": "cat"}, value=1.0, note=TAIL)]
    told = lines(found, "audit")
    assert len(told) == 7 and "\n".join(told).count(TAIL) == 1 and TAIL in told[0]
    assert all(f"k = {k}" in told[k] and told[k].endswith(".") for k in range(6))
    assert told[-1].startswith("1 more number")


def test_of_a_study_the_verdict_and_what_next_stand_first() -> None:
    arms, rivals = ("generated", "classic + generated"), ("classic", "weights", "copies")
    base = {"generated": "real", "classic + generated": "classic"}
    study = [
        Finding(name="protocol", note="long"),
        *(
            Finding(
                name="accuracy", scope={"arm": a}, comparator=c, value=0.1, unit="points", n=k + 3
            )
            for k, a in enumerate((*rivals, *arms))
            for c in ("real", *rivals)
        ),
        *(
            Finding(name="verdict", scope={"arm": a}, comparator=base[a], value=0.1, verdict="none")
            for a in arms
        ),
        *(Finding(name="accuracy", scope={"arm": a, "class": "cat"}, value=0.1) for a in arms),
        *(Finding(name="next", scope={"arm": a}, note="Go on") for a in arms),
    ]
    told = lines(study, "augment")
    assert [line.split(" (")[0] for line in told[:4]] == ["verdict"] * 2 + ["next"] * 2
    assert len(told) <= MOST_LINES + 1 and not any("(training set weights)" in t for t in told)
    for arm in arms:  # against each method, once
        assert sum(t.startswith(f"accuracy (training set {arm})") for t in told) == 3
    line = rivals_line(study)
    assert all(f"{rival}: " in line for rival in rivals) and "oversampling" not in line
    assert rivals_line([]) == ""
