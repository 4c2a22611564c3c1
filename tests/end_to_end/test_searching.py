"""Search in a run: mixes against their closed form, rows that come and go, and what a user is told.
Oracles: the shared vectors themselves, filters in Python, the run's own rows."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import processor
import pytest

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import main
from gobelin.workbench.run.row_index import INDEX

QUICK = {
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "fusion": {"settings": {"steps": 40, "components": 16}},
    "align": {"steps": 0, "width": 20},
    "runtime": processor.SETTINGS,
}
RED, GREEN = "a large red circle", "a small green cross"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return catalog.build("samples", "shapes", {"rows": 120}).write(
        tmp_path_factory.mktemp("shapes") / "data", 0
    )


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = Workbench(data, "shape", tmp_path_factory.mktemp("runs") / "run", QUICK)
    bench.fit()
    assert not (bench.folder / INDEX).exists()
    bench.search(1, "gobelin_row >= 0", text=RED)  # a filter makes the index
    return bench.folder


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted, tmp_path / "run")


def said(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict]:
    capsys.readouterr()
    main([str(w) for w in (*words, "--json")])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as caught:
        main([str(w) for w in words])
    assert caught.value.code == 2
    return capsys.readouterr().err


def vector(bench: Workbench, **cells: dict[str, str]) -> np.ndarray:
    """float64 [D], of unit length: the shared vector of one field's cell."""
    one = (
        bench.run.space.alignment.project(bench.run.features.embedder.embed_cells(cells))
        .vectors[0]
        .astype(np.float64)
        .sum(0)
    )
    return one / np.linalg.norm(one)


def records(data: Path) -> dict[str, dict[str, str]]:
    with data.open(encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


MIXES: dict[str, tuple[list[str], Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]]] = {
    "one": (["--text", RED], lambda red, green, row: red),
    "twice": (["--text", RED, "--text", GREEN], lambda red, green, row: red + green),
    "weighted": (
        ["--text", f"{RED}^2", "--text", f"{GREEN}^0.25"],
        lambda red, green, row: 2 * red + 0.25 * green,
    ),
    "without": (["--text", RED, "--without", f"text={GREEN}"], lambda red, green, row: red - green),
    "half without": (
        ["--text", RED, "--without", f"caption={GREEN}^0.5"],
        lambda red, green, row: red - 0.5 * green,
    ),
    "negative": (
        ["--text", RED, "--query", f"caption={GREEN}^-0.5"],
        lambda red, green, row: red - 0.5 * green,
    ),
    "row and text": (
        ["--row", "side=20,hue=0.1", "--text", f"{RED}^3"],
        lambda red, green, row: row + 3 * red,
    ),
    "columns of a row": (["--query", "side=20", "--query", "hue=0.1"], lambda red, green, row: row),
    "columns apart": (
        ["--query", "side=20", "--query", "hue=0.1", "--without", "side=20"],
        lambda red, green, row: row,
    ),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_is_the_normalised_weighted_sum(
    name: str, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, formula = MIXES[name]
    bench = Workbench.open(fitted)
    red, green, row = (
        vector(bench, caption={"caption": RED}),
        vector(bench, caption={"caption": GREEN}),
        vector(bench, table={"side": "20", "hue": "0.1"}),
    )
    wanted = formula(red, green, row)
    if name == "columns apart":
        wanted = row - vector(bench, table={"side": "20"})
    scores = bench.run.space.shared.pooled() @ (wanted / np.linalg.norm(wanted))
    hits = said(capsys, "search", fitted, *flags, "-k", 120)
    assert [h["score"] for h in hits] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    for h in hits:
        assert h["score"] == pytest.approx(
            scores[bench.run.space.shared.ids.index(h["id"])], abs=1e-5
        )


def test_python_says_the_same(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Workbench.open(fitted)
    one = bench.search(
        7,
        text=[RED, GREEN],
        row="side=20",
        weights={"text": [2, 0.5]},
        without={"text": "a blue square"},
    )
    other = bench.search(
        7,
        query={"row": "side=20", "text": [GREEN, RED]},
        weights={"text": [0.5, 2]},
        without={"caption": ["a blue square"]},
    )
    flags = [
        "--text",
        f"{RED}^2",
        "--text",
        f"{GREEN}^0.5",
        "--row",
        "side=20",
        "--without",
        "text=a blue square",
    ]
    line = said(capsys, "search", fitted, *flags, "-k", 7)
    assert [h.id for h in one] == [h.id for h in other] == [h["id"] for h in line]
    assert [h.score for h in one] == pytest.approx([h["score"] for h in line], abs=1e-6)
    assert [h.id for h in bench.search(7, text=RED, weights={"text": 5})] == [
        h.id for h in bench.search(7, text=RED)
    ]


def test_a_text_that_ends_like_a_weight_can_be_asked_for(
    fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Workbench.open(fitted)
    for flags, text in (
        ("x^2^1", "x^2"),
        ("x^y", "x^y"),
        ("2^", "2^"),
        ("a^2b", "a^2b"),
        ("x^2", "x"),
    ):
        line = said(capsys, "search", fitted, "--text", flags, "-k", 5)
        assert [h["id"] for h in line] == [h.id for h in bench.search(5, text=text)]


def test_filters_are_those_of_python(
    fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = records(data)
    filters: dict[str, Callable[[dict[str, str]], bool]] = {
        "side > 14 AND shape = 'circle'": lambda r: (
            float(r["side"]) > 14 and r["shape"] == "circle"
        ),
        "shape IN ('cross', 'circle')": lambda r: r["shape"] in ("cross", "circle"),
        "caption LIKE '%red%' OR hue < 0.1": lambda r: (
            "red" in r["caption"] or float(r["hue"]) < 0.1
        ),
    }
    for where, keep in filters.items():
        hits = said(capsys, "search", fitted, "--text", RED, "-k", 500, "--where", where)
        assert {h["id"] for h in hits} == {i for i, r in rows.items() if keep(r)} and hits
    parts = Workbench.open(fitted).run.checked.rows
    hits = Workbench.open(fitted).search(
        500, "gobelin_split = 'valid' AND gobelin_origin = 'real'", text=RED
    )
    assert {h.row for h in hits} == set(parts.part("valid").tolist())


def test_a_filter_that_nothing_meets_is_one_line(
    fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["search", str(fitted), "--text", RED, "--where", "side > 1000"])
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines() == ["No row found: none has side > 1000."]


REFUSED = {
    "a bad filter": (
        ["--text", RED, "--where", "sied > 3"],
        "at character 1, no column 'sied'. Did you mean 'side'? Known columns: gobelin_id",
    ),
    "an unknown flag": (
        ["--text", RED, "--without", "txt=green"],
        "no field, column or flag 'txt' in this run. Did you mean 'text'?",
    ),
    "no value": (
        ["--text", RED, "--without", "green"],
        "--without 'green': FLAG=VALUE was expected",
    ),
    "nothing left": (["--text", RED, "--without", f"text={RED}"], "its parts cancel each other"),
    "a weight alone": (["--text", "^2"], "empty"),
    "an endless weight": (["--text", f"a^{'9' * 400}"], "finite number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_query_that_cannot_be_is_one_line(
    name: str, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, wanted = REFUSED[name]
    told = refused(capsys, "search", fitted, *words)
    assert wanted in told and len(told.strip().splitlines()) == 1


def test_weights_must_fit_their_texts(fitted: Path) -> None:
    bench = Workbench.open(fitted)
    for weights, wanted in (
        ({"text": [1, 2]}, "1 texts"),
        ({"image": 1}, "'image', which is not in the query"),
    ):
        with pytest.raises(GobelinError, match=wanted):
            bench.search(3, text=RED, weights=weights)


def test_rows_are_added_and_deleted_later(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: an added row is its own nearest one, in a run that was opened anew, and stands in no
    part of the data."""
    (tmp_path / "new.csv").write_text(
        "id,caption,side,shape\nn1,a purple hexagon,77,new\nn2,,5,\n", encoding="utf-8"
    )
    before = (run / "settings.json").read_bytes(), (run / "findings.jsonl").read_bytes()
    (told,) = said(capsys, "index", run, "--add", tmp_path / "new.csv")
    assert told["name"] == "rows_searched" and told["value"] == 122
    bench = Workbench.open(run)
    asked = {"caption": "a purple hexagon", "side": "77", "shape": "new"}
    hit = bench.search(1, text="a purple hexagon", row="side=77")[0]
    assert (hit.id, hit.row) == ("n1", 120) and hit.score == pytest.approx(1, abs=1e-5)
    assert [h.id for h in bench.search(9, "gobelin_split = 'added'", text="x")] and not set(
        asked
    ) - set(bench.run.space.index.known)
    assert bench.search(9, "shape = 'new'", text=RED)[0].id == "n1"
    assert {
        h.scope["row"]: h.note
        for h in bench.describe(1, text="a purple hexagon", row="side=77")
        if h.name == "similarity"
    } == {"n1": "a purple hexagon"}
    assert (
        not {"n1", "n2"} & set(bench.run.checked.rows.dataset.ids)
        and len(bench.run.checked.rows.parts) == 120
    )
    assert "'n1' already" in refused(capsys, "index", run, "--add", tmp_path / "new.csv")
    gone = bench.search(1, text=RED)[0].id
    assert said(capsys, "index", run, "--delete", f"{gone},n2")[0]["value"] == 120
    assert gone not in {h.id for h in Workbench.open(run).search(500, text=RED)}
    assert "no row 'n2' to delete" in refused(capsys, "index", run, "--delete", "n1,n2")
    assert len(Workbench.open(run).search(500, text=RED)) == 120
    assert before == ((run / "settings.json").read_bytes(), (run / "findings.jsonl").read_bytes())


def test_added_rows_without_ids_are_named_by_their_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.csv").write_text("caption\na purple hexagon\n", encoding="utf-8")
    main(["index", str(run), "--add", str(tmp_path / "more.csv")])
    assert Workbench.open(run).search(1, text="a purple hexagon")[0].id == "more-0"
    (tmp_path / "other.csv").write_text("kind\nx\n", encoding="utf-8")
    assert "index: " in refused(capsys, "index", run, "--add", tmp_path / "other.csv")


def test_a_kept_index_needs_no_data(run: Path) -> None:
    wanted = Workbench.open(run).search(9, text=RED)
    text = (run / "settings.json").read_text(encoding="utf-8").replace("records.csv", "gone.csv")
    (run / "settings.json").write_text(text, encoding="utf-8")
    assert Workbench.open(run).search(9, text=RED) == wanted


def test_a_damaged_index_is_made_anew_once_it_is_deleted(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Workbench.open(run).search(9, "gobelin_row >= 0", text=RED)
    (file,) = (run / INDEX).glob("rows.lance/data/*.lance")
    file.write_bytes(file.read_bytes()[:-40])
    told = refused(capsys, "search", run, "--text", RED, "--where", "gobelin_row >= 0")
    assert (
        "was changed or cut short" in told
        and "Delete it" in told
        and len(told.strip().splitlines()) == 1
    )
    shutil.rmtree(run / INDEX)
    assert Workbench.open(run).search(9, "gobelin_row >= 0", text=RED) == wanted


def test_another_space_is_another_index(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fitted again with another width the old vectors are of no use; a table that was carried over
    is refused."""
    shutil.copytree(run / INDEX, tmp_path / "old")
    other = Workbench(data, "shape", run, {**QUICK, "align": {"steps": 0, "width": 12}})
    other.fit()
    assert len(other.search(500, text=RED)) == 120
    assert len(other.search(500, "gobelin_row >= 0", text=RED)) == 120
    for path in sorted((tmp_path / "old").iterdir()):
        if path.name != "stage.json":
            (
                shutil.rmtree(run / INDEX / path.name)
                if path.is_dir()
                else (run / INDEX / path.name).unlink()
            )
            (
                shutil.copytree(path, run / INDEX / path.name)
                if path.is_dir()
                else shutil.copy(path, run / INDEX / path.name)
            )
    assert "another space than this index" in refused(
        capsys, "search", run, "--text", RED, "--where", "gobelin_row >= 0"
    )


def test_rows_that_a_new_fit_loses_are_told(
    run: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line at the first search, with their counts; a run whose rows were left alone is made
    anew without a word."""
    (tmp_path / "new.csv").write_text(
        "id,caption\nn1,a purple hexagon\nn2,a mauve knot\nn3,a disc\n", encoding="utf-8"
    )
    said(capsys, "index", run, "--add", tmp_path / "new.csv", "--delete", "00001,00002")
    (added,) = caplog.messages
    assert "4 columns are missing" in added
    caplog.clear()
    assert len(Workbench.open(run).search(500, text=RED)) == 121 and not caplog.messages
    for width, told in (
        (12, ["3 that were added are gone, 2 that were deleted are back"]),
        (16, []),
    ):
        other = Workbench(data, "shape", run, {**QUICK, "align": {"steps": 0, "width": width}})
        other.fit()
        assert len(other.search(500, text=RED)) == 120
        assert len(caplog.messages) == len(told) and all(
            one in m for one, m in zip(told, caplog.messages, strict=True)
        )
        caplog.clear()


def test_a_saved_index_is_searched_and_not_changed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Workbench.open(run).save_pretrained(tmp_path / "out", index=True)
    bare = Workbench.open(run).save_pretrained(tmp_path / "bare")
    saved, own = (Workbench.open(place).search(9, text=RED) for place in (out, run))
    assert [hit.id for hit in saved] == [hit.id for hit in own]
    assert [h.score for h in saved] == pytest.approx([h.score for h in own], abs=1e-6)
    assert "which can't be changed" in refused(capsys, "index", out, "--delete", "00001")
    assert "Known columns: gobelin_id, gobelin_row." in refused(
        capsys, "search", out, "--text", RED, "--where", "side > 3"
    )
    assert "saved without its data, which search needs" in refused(
        capsys, "search", bare, "--text", RED
    )
