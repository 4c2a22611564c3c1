"""The one line of a verdict. Oracle: sentences written by hand for findings written by hand."""

from __future__ import annotations

import json

import pytest

from gobelin.evidence.conclusion import conclusion_lines, conclusions
from gobelin.evidence.findings import Finding

ARM = {"arm": "generated"}


def detectable(value: float) -> Finding:
    return Finding(
        name="smallest_detectable_effect", scope=ARM, value=value, unit="points", source="augment"
    )


def verdict(
    word: str,
    value: float,
    low: float,
    high: float,
    arm: str = "generated",
    base: str = "real",
    generator: str = "",
) -> Finding:
    return Finding(
        name="verdict",
        scope={"arm": arm},
        comparator=base,
        value=value,
        low=low,
        high=high,
        unit="points",
        verdict=word,
        generator=generator,
        source="augment",
    )


def against(rival: str, value: float, low: float, high: float, arm: str = "generated") -> Finding:
    return Finding(
        name="balanced_accuracy",
        scope={"arm": arm},
        comparator=rival,
        value=value,
        low=low,
        high=high,
        unit="points",
        source="augment",
    )


def screened(
    count: int,
    total: int,
    why: str = "copy of a training image",
    generator: str = "flow, training seed 0",
) -> Finding:
    return Finding(
        name="screened_out",
        scope={"generator": generator, "why": why},
        value=float(count),
        n=total,
        generator=generator.split(",")[0],
        source="augment",
    )


def frechet(value: float | None, floor: float | None, seed: str = "0", **scope: str) -> Finding:
    of = {"generator seed": seed, **scope}
    return Finding(
        name="frechet_distance_corrected",
        scope=of,
        value=value,
        floor=floor,
        generator=scope.get("generator", ""),
        n=30,
        needed_n=65,
        source="audit",
    )


def copies(share: float, n: int, word: str = "no evidence of copying") -> Finding:
    return Finding(
        name="copies",
        scope={"generator seed": "0"},
        value=share,
        n=n,
        unit="share",
        verdict=word,
        sure=not word.startswith("can't say"),
        source="audit",
    )


def membership(
    value: float | None, high: float | None, word: str = "not distinguishable", seed: str = "0"
) -> Finding:
    return Finding(
        name="membership",
        scope={"false alarms": "1 %", "generator seed": seed},
        value=value,
        low=None if value is None else value / 2,
        high=high,
        unit="share",
        verdict=word,
        sure=not word.startswith("can't say"),
        source="audit",
    )


HELPED = verdict("helped", 0.03, 0.01, 0.05)
RIVALS = [
    against("real", 0.03, 0.01, 0.05),
    against("weights", 0.025, 0.01, 0.04),
    against("classic", 0.021, 0.004, 0.038),
]
NO_AUDIT = (
    "copies were not looked for (gobelin audit); membership was not looked for (gobelin audit);"
    " quality was not measured (gobelin audit)."
)


def test_the_line_of_the_issue() -> None:
    found = [
        HELPED,
        *RIVALS,
        screened(3, 400),
        screened(0, 400, "near a validation or test image"),
        membership(0.006, 0.031),
        frechet(3.8, 2.5),
    ]
    assert conclusion_lines(found) == [
        "Helped by 2.1 points (0.4 to 3.8) over the best baseline method (classic); 3 of 400"
        " images are copies and were removed; membership: not distinguishable, up to 3.1 % at 1 %;"
        " image quality: Fréchet distance 3.8, that of unseen real images 2.5 (lower is better)."
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [HELPED],
            (
                "Helped by 3.0 points (1.0 to 5.0) over the real rows alone; no baseline method was"
                " run"
            ),
        ),
        (
            [verdict("helped, and so does a rival", 0.03, 0.01, 0.05), *RIVALS],
            (
                "Helped by 3.0 points (1.0 to 5.0) over the real rows alone, and a cheaper"
                " baseline method does as well"
            ),
        ),
        (
            [
                verdict("helped, rivals undecided", 0.03, 0.01, 0.05),
                *RIVALS[:1],
                against("classic", -0.002, -0.02, 0.016),
            ],
            (
                "Helped by 3.0 points (1.0 to 5.0) over the real rows alone; whether a cheaper"
                " baseline method does as well is undecided, -0.2 points (-2.0 to +1.6) against"
                " the best one"
                " (classic)"
            ),
        ),
        (
            [verdict("harmed", -0.031, -0.05, -0.012, base="classic")],
            "Harmed by 3.1 points (1.2 to 5.0) against classic augmentation",
        ),
        (
            [verdict("no effect", 0.001, -0.006, 0.008), *RIVALS],
            "Changed nothing that matters, +0.1 points (-0.6 to +0.8) against the real rows alone",
        ),
        (
            [
                verdict("no evidence", -0.003, -0.368, 0.362),
                detectable(1.157),
            ],
            (
                "No evidence of help or harm, -0.3 points (-36.8 to +36.2) against the real rows"
                " alone (this study is too small to see any difference)"
            ),
        ),
        (
            [
                verdict("no evidence", -0.004, -0.03, 0.022),
                detectable(0.037),
            ],
            (
                "No evidence of help or harm, -0.4 points (-3.0 to +2.2) against the real rows"
                " alone (this study could have seen 3.7 points)"
            ),
        ),
        (
            [
                Finding(
                    name="verdict",
                    scope=ARM,
                    comparator="real",
                    value=0.5,
                    low=0.1,
                    high=0.9,
                    verdict="helped",
                    source="augment",
                ),
                Finding(
                    name="rmse",
                    scope=ARM,
                    comparator="copies",
                    value=0.25,
                    low=0.125,
                    high=0.375,
                    source="augment",
                ),
            ],
            "Helped by 0.25 (0.125 to 0.375) over the best baseline method (copies)",
        ),
    ],
)
def test_every_verdict_has_its_words(found: list[Finding], said: str) -> None:
    assert conclusion_lines(found) == [f"{said}; {NO_AUDIT}"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([screened(0, 400)], "none of 400 images is a near copy of a training image"),
        ([screened(1, 400)], "1 of 400 images is a copy and was removed"),
        (
            [screened(3, 400), screened(2, 400, "near a validation or test image")],
            "3 of 400 images are copies and were removed, and 2 near a validation or test image",
        ),
        (
            [screened(3, 400), screened(4, 400, generator="flow, training seed 1")],
            "7 of 800 images are copies and were removed",
        ),
        ([copies(0.05, 400)], "20 of 400 images are copies and were not removed"),
        (
            [
                screened(3, 400),
                copies(0.0075, 400, "can't say: the planted copies were not caught"),
            ],
            "whether images were copied can't be said, as planted copies were not caught",
        ),
    ],
)
def test_every_end_of_the_hunt_for_copies(found: list[Finding], said: str) -> None:
    assert conclusion_lines([HELPED, *found])[0].split("; ")[2] == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [frechet(2.25, 2.5)],
            "image quality: Fréchet distance 2.25, no worse than that of unseen real images (2.5).",
        ),
        ([frechet(None, None)], "too few images to say how good they are (30, 65 needed)."),
        (
            [frechet(4.0, None)],
            "image quality: Fréchet distance 4 (too few unseen real images to compare with).",
        ),
        (
            [frechet(3.0, 2.5), frechet(9.0, 2.5, "1"), frechet(99.0, 2.5, **{"class": "a"})],
            "image quality: Fréchet distance 9, that of unseen real images 2.5 (lower is better).",
        ),
    ],
)
def test_every_end_of_the_look_at_quality(found: list[Finding], said: str) -> None:
    assert conclusion_lines([HELPED, *found])[0].split("; ")[4] == said


BLIND = "can't say: this audit could not have seen a leak"
LEAKS, AS_SET = "distinguishable", "distinguishable as a set"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "membership was not looked for (gobelin audit)"),
        (
            [copies(0.0, 400)],
            "membership was not looked for (--set judge.audits=copying,membership)",
        ),
        ([membership(0.006, 0.031)], "membership: not distinguishable, up to 3.1 % at 1 %"),
        (
            [membership(0.4, 0.5, LEAKS), membership(0.006, 0.9, seed="1")],
            "membership: distinguishable, 40.0 % (20.0 to 50.0) of training rows found at 1 %"
            " false alarms",
        ),
        ([membership(None, None, AS_SET)], f"membership: {AS_SET}"),
        (
            [membership(0.006, 0.018, AS_SET), membership(0.006, 0.9, seed="1")],
            "membership: distinguishable as a set, up to 1.8 % at 1 %",
        ),
        ([membership(0.0, 0.03, BLIND), membership(0.006, 0.9)], f"membership: {BLIND}"),
        (
            [membership(0.006, 0.031), membership(0.006, 0.042, seed="1")],
            "membership: not distinguishable, up to 4.2 % at 1 %",
        ),
    ],
)
def test_every_end_of_the_look_at_membership(found: list[Finding], said: str) -> None:
    assert conclusion_lines([HELPED, *found])[0].rstrip(".").split("; ")[3] == said


def test_whose_images_were_copied_and_a_second_look_are_told() -> None:
    rows = Finding(
        name="screened_out",
        scope={"generator": "flow", "why": "copy of a training image"},
        value=9.0,
        n=400,
        rows=("a7", "b1", "c3", "d4", "e5"),
        source="augment",
    )
    look = Finding(
        name="look_at_test_rows",
        value=2.0,
        n=90,
        note="use 2 of the test rows: exploratory",
        source="augment",
    )
    (line,) = conclusion_lines([HELPED, rows, look])
    assert (
        "9 of 400 images are copies and were removed (of training rows a7, b1, c3 and 2 more); "
        in line
    )
    assert line.startswith(
        "Helped by 3.0 points (1.0 to 5.0) over the real rows alone; no baseline method was run"
        " (exploratory:"
        " look 2 at"
    )
    first = Finding(
        name="look_at_test_rows",
        value=1.0,
        n=90,
        note="the first use of the test rows",
        source="augment",
    )
    (line,) = conclusion_lines([HELPED, screened(0, 400), first])
    assert (
        "exploratory" not in line
        and "none of 400 images is a near copy of a training image; " in line
    )


def test_several_generators_each_have_their_own() -> None:
    by = [
        screened(3, 400, generator="flow, training seed 0"),
        screened(9, 400, generator="gan, training seed 0"),
    ]
    names = ["generated by flow", "classic + generated by gan"]
    found = [
        verdict("harmed", -0.03, -0.05, -0.01, arm, generator=generator)
        for arm, generator in zip(names, ("flow", "gan"), strict=True)
    ] + by
    found += [frechet(3.5, 2.5, generator="flow"), frechet(7.5, 2.5, generator="gan")]
    first, second = conclusion_lines(found)
    assert (
        first.startswith("generated by flow: Harmed by 3.0 points (1.0 to 5.0)")
        and "3 of 400" in first
    )
    assert second.startswith("classic + generated by gan: Harmed") and "9 of 400" in second
    assert "distance 3.5," in first and "distance 7.5," in second
    assert list(conclusions(found)) == names


def test_without_a_study_or_without_anything() -> None:
    found = [copies(0.0, 64), frechet(3.8, 2.5)]
    assert conclusion_lines(found) == [
        "Whether it helps was not studied (gobelin augment); none of 64 images is a near copy of a"
        " training image; membership was not looked for (--set judge.audits=copying,membership);"
        " image quality: Fréchet distance 3.8, that of unseen real images 2.5 (lower is better)."
    ]
    assert conclusion_lines([]) == [] and conclusions([Finding(name="rows", source="check")]) == {}


def test_findings_of_an_earlier_version_give_the_same_lines() -> None:
    """They lack `rows`, `generator` and `sure`: these stood in the note, the scope and the verdict
    alone."""
    of_flow = {"generator": "flow, training seed 0", "why": "copy of a training image"}
    of_gan = {"generator": "gan, training seed 0", "why": "copy of a training image"}
    stored = [
        {
            "name": "verdict",
            "scope": {"arm": f"generated by {name}"},
            "comparator": "real",
            "value": -0.03,
            "low": -0.05,
            "high": -0.01,
            "unit": "points",
            "verdict": "harmed",
            "note": "",
            "source": "augment",
        }
        for name in ("flow", "gan")
    ]
    copied = {"name": "screened_out", "value": 4.0, "n": 400, "source": "augment"}
    stored += [
        copied | {"scope": of_flow, "note": "copies of training rows a7, b1, c3, d4"},
        copied | {"scope": of_gan, "verdict": "can't say: the planted copies were not caught"},
    ]
    found = [Finding.from_dict(row) for row in stored]
    assert found[2].rows == ("a7", "b1", "c3", "d4") and found[2].note == ""
    assert [f.generator for f in found] == ["flow", "gan", "flow", "gan"]
    assert [f.sure for f in found] == [True, True, True, False]
    first, second = conclusion_lines(found)
    assert "4 of 400 images are copies and were removed (of training rows a7, b1, c3 and 1" in first
    assert "whether images were copied can't be said" in second


def test_rows_are_printed_and_survive_the_file() -> None:
    one = Finding(name="screened_out", value=2.0, rows=("a7", "b1"), note="a note", sure=False)
    assert Finding.from_dict(one.to_dict()) == one
    assert Finding.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert one.sentence().endswith("a note: rows a7, b1.")
