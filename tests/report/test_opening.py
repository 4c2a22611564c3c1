"""The top of the report, rows of the data, the confusion and bands: read back from the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from html_pages import NASTY, UGLY, Page
from PIL import Image

from gobelin.core import files
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.report import answer, drawing, opening
from gobelin.report import page as report

ROWS = [
    Finding(name="rows", scope={"split": part}, value=float(n), n=n, source="check")
    for part, n in (("train", 70), ("valid", 20), ("test", 10))
]
SCORE = Finding(
    name="balanced_accuracy",
    value=0.8125,
    low=0.75,
    high=0.875,
    unit="share",
    better="higher",
    chance=0.25,
    source="evaluate",
)
ALONE = [
    Finding(
        name="balanced_accuracy",
        scope={"fields": fields},
        value=value,
        unit="share",
        better="higher",
        source="evaluate",
    )
    for fields, value in (("image", 0.5), ("text", 0.75), ("image + text", 0.9))
]
VERDICTS = [
    Finding(
        name="verdict",
        scope={"arm": arm},
        comparator="real",
        value=0.01,
        low=-0.01,
        high=0.03,
        unit="points",
        verdict=word,
        source="augment",
    )
    for arm, word in (("generated", "no evidence"), ("classic + generated", "harmed"))
]


def folder(
    place: Path, findings: list[Finding], exhibits: dict[str, tuple[str, dict[str, Any]]]
) -> Path:
    files.write_lines(place / "findings.jsonl", [one.to_dict() for one in findings])
    kept = []
    for k, (name, (kind, data)) in enumerate(exhibits.items()):
        files.write_json(place / f"exhibits/{k}.json", data)
        kept.append(Exhibit(name, kind, f"exhibits/{k}.json", "A caption.").to_dict())
    files.write_lines(place / "exhibits.jsonl", kept)
    files.write_json(
        place / "settings.json", {"data": {"target": "kind", "path": "/home/me/secret/a b.csv"}}
    )
    named = [{"name": n, "encoder": "x", "columns": [n]} for n in ("image", "text")]
    files.write_json(place / "schema.json", {"columns": [], "fields": named, "unread": []})
    files.write_json(place / "environment.json", {})
    return place


def top(place: Path) -> tuple[str, str]:
    """The page up to its contents, as text and as HTML."""
    html = report.render(place)[0].read_text(encoding="utf-8")
    above = html[: html.index("<nav")]
    return " ".join(Page(above + "</body></html>").text.split()), html


def records(image: str | None) -> tuple[str, dict[str, Any]]:
    cells = [["text", UGLY], ["image", "images/one.png"], ["size", 3.5]]
    row = {"id": "r1", "title": "kind: cat", "note": NASTY[0], "cells": cells, "image": image}
    return "records", {"rows": [row | {"pictured": "image"}], "title": "What the rows look like"}


def test_a_run_without_generator_asks_and_answers_and_shows_rows(tmp_path: Path) -> None:
    place = folder(tmp_path, [*ROWS, SCORE, *ALONE], {"check/examples": records(None)})
    text, html = top(place)
    for words in (
        "Can kind be predicted? Yes.",
        "100 rows of a b.csv with image and text, and asked for kind",
        "70 to learn from, 20 to evaluate, 10 kept for the test",
        "right in 81.2 % of the validation rows",
        "95 % interval 75.0 % to 87.5 %; guessing: 25.0 %",
        "All fields together 81.2 %; alone: text 75.0 %, image 50.0 %.",
        "kind: cat",
        UGLY,
    ):
        assert words in text, words
    assert "secret" not in text and "image + text" not in text
    whole = Page(html).text.lower()
    for word in ("generat", "verdict", "arm", "rival", "copies", "augment"):
        assert not re.search(rf"\b{word}", whole), word


def crossed(value: float, low: float, high: float, better: str = "higher") -> Finding:
    """The cross-fitted score of the predictor that `predict` uses."""
    unit = "share" if better == "higher" else ""
    return Finding(
        name="cross_fitted_score",
        scope={"predictor": "delivered"},
        value=value,
        low=low,
        high=high,
        unit=unit,
        better=better,
        source="evaluate",
    )


def guessed(low: float, high: float) -> Finding:
    """A main score that may be guessing, 0.25."""
    values = {"value": 0.3, "low": low, "high": high, "verdict": "not above chance"}
    return Finding.from_dict({**SCORE.to_dict(), **values})


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        ([SCORE], "Yes"),
        # an interval around guessing that reaches no further than a tenth of the way to 100 %
        ([guessed(0.2, 0.3)], "Not above chance"),
        # the interval holds guessing and a good score too
        ([guessed(0.2, 0.675)], "Too few rows to say"),
        ([guessed(0.2, 0.675), crossed(0.626, 0.5, 0.726)], "Yes"),
        ([guessed(0.2, 0.675), crossed(0.4, 0.24, 0.726)], "Too few rows to say"),
        # another measure: it is not compared with this guess
        ([guessed(0.2, 0.3), crossed(0.1, 0.05, 0.15, "lower")], "Not above chance"),
    ],
)
def test_the_word_is_that_of_the_judged_and_of_the_delivered_predictor(
    tmp_path: Path, findings: list[Finding], word: str
) -> None:
    text, _ = top(folder(tmp_path, findings, {}))
    assert f"Can kind be predicted? {word}." in text
    told = [f for f in findings if f.name == "cross_fitted_score"]
    assert ("cross-fitted" in text) == bool(told)
    for score in told:
        assert answer.delivered(findings) in text
        assert f"{answer.number(score.value, score.unit)}, cross-fitted" in text


def test_an_error_may_be_guessing_too(tmp_path: Path) -> None:
    error = {"name": "mean_absolute_error", "unit": "", "better": "lower", "chance": 10.0}
    values = {"value": 9.0, "low": 4.0, "high": 11.0, "verdict": "not below chance"}
    wide = Finding.from_dict({**SCORE.to_dict(), **error, **values})
    narrow = Finding.from_dict({**wide.to_dict(), "low": 9.5})
    assert answer.verdict([wide]) == "Too few rows to say"
    assert answer.verdict([narrow]) == "Not below chance"
    assert answer.verdict([wide, crossed(8.0, 7.0, 9.0, "lower")]) == "Yes"
    assert "too few to tell that from guessing" in answer.headline("kind", wide, "9 rows")
    assert "This is not below chance." in answer.headline("kind", narrow, "9 rows")


def test_generated_images_stand_at_the_top_with_their_words_and_one_verdict(
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    names = []
    for k in range(6):
        Image.new("RGB", (8, 8), (40 * k, 0, 0)).save(tmp_path / f"images/{k}.png")
        names.append(f"images/{k}.png")
    labels = [
        "class: cat",
        "class: dog",
        "nothing",
        "image: r7 (unseen)",
        "text: a red <b>",
        "row: a=1,b=2",
    ]
    groups = [{"label": label, "images": names} for label in labels]
    groups[3]["source"] = names[0]
    agreement = [
        Finding(
            name="label_agreement", scope={"class": c}, value=v, unit="share", source="generate"
        )
        for c, v in (("cat", 0.2), ("dog", 0.9))
    ]
    shown = {
        "generate/contact_sheet": ("sheet", {"groups": groups}),
        "check/examples": records(None),
    }
    place = folder(tmp_path, [*ROWS, SCORE, *ALONE, *agreement, *VERDICTS], shown)
    text, html = top(place)
    assert text.index("a red <b>") < text.index("a=1, b=2") < text.index("dog") < text.index("cat")
    hero = re.search(r'<ul class="hero">.*?</ul>', html, re.S)[0]
    assert hero.count("<img") == opening.IMAGES_EACH * len(labels)
    assert text.count("No evidence") == 1 and "harmed" not in text
    assert "harmed" in Page(html).text and "What the rows look like" in Page(html).text
    assert "it gives the right kind 81.2 % of the time" in text
    markdown = (place / "report.md").read_text(encoding="utf-8")
    assert markdown.count("harmed") >= 1 and "a red &lt;b&gt;" in markdown


def test_a_row_is_shown_with_its_picture_or_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/one.png")
    for image in (None, "images/one.png"):
        place = folder(tmp_path, [SCORE], {"evaluate/mistakes": records(image)})
        html = report.render(place)[0].read_text(encoding="utf-8")
        page = Page(html)
        assert ("images/one.png" in page.text) == (image is None)
        assert len(page.all("img")) == (image is not None)
        assert NASTY[0] in page.text and UGLY in page.text and "<script" not in html


def test_the_confusion_has_every_count_and_shades_by_the_share_of_the_class(
    tmp_path: Path,
) -> None:
    counts = [[3, 1, 0], [0, 0, 5], [0, 0, 0]]
    data = {"labels": ["a", UGLY, "c"], "counts": counts, "right": 3, "count": 9}
    place = folder(tmp_path, [SCORE], {"evaluate/confusion": ("matrix", data)})
    html = report.render(place)[0].read_text(encoding="utf-8")
    page = Page(html)
    lines = [[cell or "0" for cell in row] for row in page.rows if len(row) == 5][:4]
    assert [line[0] for line in lines] == ["class", "a", UGLY, "c"]
    assert [[int(cell) for cell in line[1:-1]] for line in lines[1:]] == counts
    assert [int(line[-1]) for line in lines[1:]] == [sum(row) for row in counts]
    shades = [float(s) for s in re.findall(r"--shade: ([\d.]+)", html)]
    expected = [count / sum(row) if sum(row) else 0 for row in counts for count in row]
    assert shades == pytest.approx([0.75 * share for share in expected], abs=1e-3)
    assert "3 of 9 rows are right" in page.text
    cells = [row for row in page.all("td") if "style" in row]
    assert [c["class"] for c in cells] == ["right" if k % 4 == 0 else "wrong" for k in range(9)]


def test_a_band_reads_back_as_its_ends(tmp_path: Path) -> None:
    low, high = [0.2, 0.35, 0.8], [0.6, 0.75, 1.0]
    data = {
        "x": [0.5, 0.75, 1.0],
        "series": {"share right": [0.4, 0.5, 0.9]},
        "bands": {"share right": {"low": low, "high": high}},
    }
    drawn = drawing.curve(data, tmp_path)
    scale = drawing.AxisScale.around([*low, *high, 0.4, 0.5, 0.9])
    (corners,) = drawn["bands"]
    ends = [scale.low + (100 - y) / 100 * (scale.high - scale.low) for _, y in corners]
    assert ends == pytest.approx([*low, *reversed(high)], abs=1e-4)
    assert [x for x, _ in corners] == [0, 50, 100, 100, 50, 0]
    assert [row[-1] for row in drawn["table"].rows] == ["0.2 to 0.6", "0.35 to 0.75", "0.8 to 1"]
    place = folder(tmp_path, [SCORE], {"evaluate/reliability": ("curve", data)})
    html = report.render(place)[0].read_text(encoding="utf-8")
    assert html.count('<polygon class="spread"') == 1


@pytest.mark.parametrize(
    ("name", "unit", "value", "words"),
    [
        ("mean_absolute_error", "", 3.25, "The predicted kind is off by 3.25 on average"),
        ("mean_level_error", "", 0.5, "off by 0.5 levels on average"),
        ("macro_auroc", "", 0.83, "ranked first in 83.0 % of the cases"),
        ("balanced_accuracy", "share", 0.7, "is right in 70.0 % of 9 rows"),
    ],
)
def test_every_kind_of_target_has_a_headline(
    name: str, unit: str, value: float, words: str
) -> None:
    score = Finding(name=name, value=value, unit=unit, source="evaluate")
    assert words in answer.headline("kind", score, "9 rows")
    assert answer.main_score([score]) is score and answer.verdict([score]) == ""
    assert "no number" not in answer.short("kind", score)
