"""`evaluate` on validation rows and on other labelled rows. Oracle: what `predict` writes of the
same rows, counted and sorted by plain loops."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import processor
import pytest

from gobelin import Workbench, from_pretrained
from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import main

SETTINGS = [
    *processor.OPTIONS,
    "encoders.text.name=characters",
    "align.width=8",
    "align.steps=0",
    "fusion.settings.steps=40",
    "predict.folds=2",
    "predict.decays=0.01",
]
KINDS = ("bird", "cat", "dog")
BAD = "\x1b[31m\u202e"


def rows(count: int, seed: int, start: str) -> list[dict[str, object]]:
    """A note that names the kind in two thirds of the rows, and a size that tells a little."""
    rng, out = np.random.default_rng(seed), []
    for k in range(count):
        kind = int(rng.integers(0, 3))
        named = KINDS[kind] if rng.random() < 0.66 else "animal"
        out.append(
            {
                "id": f"{start}{k}",
                "note": f"a {named} seen on day {int(rng.integers(0, 30))}",
                "size": (size := round(float(kind + 2 * rng.normal()), 3)),
                "kind": KINDS[kind],
                "weight": round(3 * size + 2 * float(rng.normal()), 3),
            }
        )
    return out


def written(path: Path, table: Sequence[dict[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of a class and of a number, and labelled rows that are in neither."""
    place = tmp_path_factory.mktemp("evaluating")
    data = written(place / "records.csv", rows(150, 0, "r"))
    written(place / "new.csv", rows(60, 1, "n"))
    words = [word for one in SETTINGS for word in ("--set", one)]
    for target in ("kind", "weight"):
        main(["fit", str(data), "--target", target, "--run", str(place / target), *words])
    return place


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[list[str], list[str]]:
    capsys.readouterr()
    main([*map(str, words)])
    found = capsys.readouterr()
    return found.out.splitlines(), found.err.splitlines()


def predicted(run: Path, data: Path) -> list[dict[str, object]]:
    return Workbench.open(run).predict(data).rows()


def truth(path: Path, column: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def test_classes_of_other_rows_are_those_that_predict_gives(folder: Path) -> None:
    new = folder / "new.csv"
    found = Workbench.open(folder / "kind").evaluate(new)
    answers, kinds = predicted(folder / "kind", new), truth(new, "kind")
    pairs = Counter((t, str(row["prediction"])) for t, row in zip(kinds, answers, strict=True))
    recalls = [pairs[c, c] / kinds.count(c) for c in KINDS]
    assert found[0].name == "balanced_accuracy" and found[0].chance == pytest.approx(1 / 3)
    assert found[0].value == pytest.approx(np.mean(recalls))
    counts = found.confusion["counts"]
    assert {(t, p): counts[a][b] for a, t in enumerate(KINDS) for b, p in enumerate(KINDS)} == {
        (t, p): pairs[t, p] for t in KINDS for p in KINDS
    }
    wrong = sorted(
        (row[f"p_{t}"], k)
        for k, (t, row) in enumerate(zip(kinds, answers, strict=True))
        if row["prediction"] != t
    )
    assert [m["id"] for m in found.mistakes] == [f"n{k}" for _, k in wrong[:10]]
    for mistake in found.mistakes:
        k = int(str(mistake["id"])[1:])
        cells = dict(mistake["cells"])
        assert cells["note"] == truth(new, "note")[k]
        assert float(cells["size"]) == pytest.approx(float(truth(new, "size")[k]), rel=1e-3)
        assert (mistake["truth"], mistake["predicted"]) == (kinds[k], answers[k]["prediction"])


def test_numbers_of_other_rows_are_those_that_predict_gives(folder: Path) -> None:
    new, run = folder / "new.csv", folder / "weight"
    found = Workbench.open(run).evaluate(new)
    said_, real = predicted(run, new), np.array(truth(new, "weight"), float)
    error = np.abs(np.array([row["prediction"] for row in said_], float) - real)
    assert found[0].name == "mean_absolute_error" and found[0].value == pytest.approx(error.mean())
    parts = json.loads((run / "parts.json").read_text(encoding="utf-8"))["parts"]
    known = dict(
        zip(
            truth(folder / "records.csv", "id"),
            truth(folder / "records.csv", "weight"),
            strict=True,
        )
    )
    middle = np.median([float(known[name]) for name, part in parts.items() if part == "train"])
    assert found[0].chance == pytest.approx(np.abs(real - middle).mean())
    assert [m["id"] for m in found.mistakes] == [f"n{k}" for k in np.argsort(-error)[:10]]
    assert found.confusion is None and "The worst errors" in "\n".join(found.lines())


@pytest.mark.parametrize("target", ["kind", "weight"])
@pytest.mark.parametrize("other", [False, True])
def test_at_most_fifteen_lines_and_every_number_with_all(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, other: bool
) -> None:
    words = ["evaluate", folder / target, *([folder / "new.csv"] if other else [])]
    out, err = said(capsys, *words)
    assert len(out) + len(err) <= 15
    assert target in out[0] and "; alone: " in out[1]
    findings = Workbench.open(folder / target).evaluate(*words[2:])
    every, _ = said(capsys, *words, "--all")
    assert every[: len(out)] == out and all(f.sentence() in every for f in findings)
    lines = [json.loads(line) for line in said(capsys, *words, "--json")[0]]
    assert [line["name"] for line in lines[: len(findings)]] == [f.name for f in findings]
    mistakes = [line for line in lines if line["name"] == "mistake"]
    assert [line["rows"][0] for line in mistakes] == [m["id"] for m in findings.mistakes]
    assert [line for line in out if line.startswith("  ")] == out[-len(mistakes) :]
    assert all("note: a " in line for line in out[-len(mistakes) :]) and len(mistakes) > 3


def test_validation_rows_are_read_from_the_run_folder_once_they_were_scored(folder: Path) -> None:
    first = Workbench.open(folder / "kind").evaluate()
    bench = Workbench.open(folder / "kind")
    again = bench.evaluate()
    assert again == first and again.lines() == first.lines()
    parts = json.loads((folder / "kind/parts.json").read_text(encoding="utf-8"))["parts"]
    assert {parts[m["id"]] for m in first.mistakes} == {"valid"}
    assert first.confusion["count"] == sum(part == "valid" for part in parts.values())


def test_a_frame_is_scored_as_its_file(folder: Path) -> None:
    bench = Workbench.open(folder / "kind")
    of_file, of_frame = (
        bench.evaluate(folder / "new.csv"),
        bench.evaluate(pd.read_csv(folder / "new.csv")),
    )
    assert of_file == of_frame
    assert [m["id"] for m in of_file.mistakes] == [m["id"] for m in of_frame.mistakes]
    assert "60 rows of data frame" in of_frame.lines()[0]


def test_rows_that_cannot_be_scored_are_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = rows(40, 2, "o")
    for k, kind in enumerate(["horse", "cow", ""]):
        table[k]["kind"] = kind
    with caplog.at_level(logging.WARNING):
        found = Workbench.open(folder / "kind").evaluate(written(tmp_path / "odd.csv", table))
    assert found.confusion["count"] == 37
    assert (
        "2 rows have a class that was not learned (first: 'horse'); 1 row has no kind"
        in caplog.text
    )
    assert "training rows" not in caplog.text


def test_rows_of_the_run_are_named_and_test_rows_are_looked_at(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = json.loads((folder / "kind/parts.json").read_text(encoding="utf-8"))["parts"]
    old = [row for row in rows(150, 0, "r") if parts[str(row["id"])] != "valid"]
    count = Counter(parts[str(row["id"])] for row in old)
    bench = Workbench.open(folder / "kind")
    with caplog.at_level(logging.WARNING):
        bench.evaluate(written(tmp_path / "old.csv", [*old, *rows(20, 3, "o")]))
    assert f"{count['train']} of {len(old) + 20} rows are training rows" in caplog.text
    assert f"{count['test']} rows are test rows of this run. This is look 1" in caplog.text
    ledger = (folder / "kind/ledger.jsonl").read_text(encoding="utf-8").splitlines()
    bench.evaluate(tmp_path / "old.csv")  # the same look
    assert (folder / "kind/ledger.jsonl").read_text(encoding="utf-8").splitlines() == ledger
    (folder / "kind/ledger.jsonl").unlink()


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (None, "has no column 'kind'"),
        ("", "no row can be scored"),
        ("horse", "no row can be scored"),
    ],
)
def test_rows_without_the_truth_are_refused(
    folder: Path, tmp_path: Path, column: str | None, words: str
) -> None:
    table = rows(20, 4, "o")
    for row in table:
        row["kind"] = column
        if column is None:
            row.pop("kind")
    with pytest.raises(GobelinError, match=words) as refused:
        Workbench.open(folder / "kind").evaluate(written(tmp_path / "none.csv", table))
    assert str(refused.value).count("\n") == 0


def test_cells_of_others_are_printed_escaped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows(30, 5, "o")
    for row in table:
        row["note"] = f"{BAD}{'x' * 200}"
    out, _ = said(capsys, "evaluate", folder / "kind", written(tmp_path / "bad.csv", table))
    assert any("note: \\x1b[31m" in line and line.count("x") < 80 for line in out)
    assert not set(BAD[:1] + BAD[-1:]) & set("".join(out))


def test_a_saved_run_scores_rows_that_its_receiver_has(folder: Path, tmp_path: Path) -> None:
    for target in ("kind", "weight"):
        Workbench.open(folder / target).save_pretrained(tmp_path / target)
        own = Workbench.open(folder / target).evaluate(folder / "new.csv")
        other = from_pretrained(tmp_path / target).evaluate(folder / "new.csv")
        assert other[0].value == pytest.approx(own[0].value)
        assert [m["id"] for m in other.mistakes] == [m["id"] for m in own.mistakes]
    assert other[0].chance is None and "median" not in other.lines()[0]
    with pytest.raises(GobelinError, match="was saved without its data"):
        from_pretrained(tmp_path / "kind").evaluate()


def test_the_report_begins_with_the_question_and_the_answer(folder: Path) -> None:
    bench = Workbench.open(folder / "kind")
    found = bench.evaluate()
    page = bench.report().read_text(encoding="utf-8")
    above = page[: page.index("<nav")]
    value = f"{100 * found[0].value:.1f} %"
    for words in ("Can kind be predicted?", "150 rows of records.csv", "asked for kind", value):
        assert words in above
    assert "Yes" in above and above.count("kind: ") == 6  # rows with their answers
    for words in ("augment", "generated", "verdict", "copies"):
        assert words not in body(page).lower(), words


def body(page: str) -> str:
    """The page without its style and its settings."""
    text = page[page.index("<body>") :]
    return text[: text.index("<summary>Settings")]
