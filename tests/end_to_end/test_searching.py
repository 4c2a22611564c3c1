"""Search in a run: mixes against their closed form, rows that come and go, and what a user is told.
Oracles: the shared vectors themselves, filters in Python, the run's own rows."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import special, stats

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import main
from gobelin.workbench.run import row_index
from gobelin.workbench.run.row_index import INDEX

QUICK = {
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "fusion": {"name": "gated", "settings": {"steps": 40, "components": 16}},
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


def scores(bench: Workbench, part: dict[str, dict[str, str]]) -> np.ndarray:
    """float64 [N]: of one part of a query, {field: cell}, in plain Python: a second implementation
    of the scale, of equal cells and of facts."""
    space = bench.run.space
    rows, fields = space.shared, space.shared.fields
    ((field, cell),) = part.items()
    a = fields.index(field)
    embedded = space.alignment.project(bench.run.features.embedder.embed_cells(part))
    one = embedded.vectors[0, a].astype(np.float64)
    scale = bench.run.space.stored_rows().description.scale
    data = records(Path(bench.run.checked.rows.dataset.source))
    out = []
    for k in range(len(rows.ids)):
        terms = [
            normal_score(float(rows.vectors[k, b] @ one), scale.mean[a, b], scale.deviation[a, b])
            for b in range(len(fields))
            if rows.present[k, b]
        ]
        out.append(math.log(np.mean(np.exp(np.array(terms)))))
    if field == "table":
        near = np.ones((len(cell), len(data)))
        for j, (column, text) in enumerate(cell.items()):
            known = {k: float(r[column]) for k, r in enumerate(data.values()) if r[column]}
            quarter, three_quarters = np.percentile(list(known.values()), [25, 75])
            for k in range(len(data)):
                far = abs(known[k] - float(text)) if k in known else math.inf
                near[j, k] = 1 / (1 + far / ((three_quarters - quarter) / 1.349))
        mean = near.mean(0)
        some = np.array([any(r[c] for c in cell) for r in data.values()])
        for k in np.flatnonzero(some):
            out[k] = -NormalDist().inv_cdf((mean[some] >= mean[k]).sum() / (some.sum() + 1))
        equal = {k for k in range(len(data)) if (near[:, k] == 1).all()}
        lift = {k: max(out) + 1 for k in equal}
    else:
        equal = {k for k, r in enumerate(data.values()) if r["caption"] == cell["caption"]}
        lift = {k: max(out) for k in equal}
    return np.array([lift.get(k, value) for k, value in enumerate(out)])


def normal_score(cosine: float, mean: float, deviation: float) -> float:
    """Of the share of a Beta distribution, with the mean and the deviation of the cosines of
    unrelated rows, that is nearer than this cosine; 1 - 1e-5 counts as the same vector."""
    middle = (1 - mean) / 2
    total = middle * (1 - middle) / (deviation**2 / 4) - 1
    far = (1 - np.clip(cosine, -1, 1 - 1e-5)) / 2
    beta = stats.beta(middle * total, (1 - middle) * total)
    nearer, farther = beta.logcdf(far), beta.logsf(far)
    return float(-special.ndtri_exp(nearer) if nearer < farther else special.ndtri_exp(farther))


def records(data: Path) -> dict[str, dict[str, str]]:
    with data.open(encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


RED_PART, GREEN_PART = {"caption": {"caption": RED}}, {"caption": {"caption": GREEN}}
ROW = {"table": {"side": "20", "hue": "0.1"}}
# options, and (part, weight) that they mean
MIXES: dict[str, tuple[list[str], list[tuple[dict, float]]]] = {
    "one": (["--text", RED], [(RED_PART, 1)]),
    "a text of no row": (
        ["--text", "a crimson ring"],
        [({"caption": {"caption": "a crimson ring"}}, 1)],
    ),
    "twice": (["--text", RED, "--text", GREEN], [(RED_PART, 1), (GREEN_PART, 1)]),
    "weighted": (
        ["--text", f"{RED}^2", "--text", f"{GREEN}^0.25"],
        [(RED_PART, 2), (GREEN_PART, 0.25)],
    ),
    "without": (["--text", RED, "--without", f"text={GREEN}"], [(RED_PART, 1), (GREEN_PART, -1)]),
    "half without": (
        ["--text", RED, "--without", f"caption={GREEN}^0.5"],
        [(RED_PART, 1), (GREEN_PART, -0.5)],
    ),
    "negative": (
        ["--text", RED, "--query", f"caption={GREEN}^-0.5"],
        [(RED_PART, 1), (GREEN_PART, -0.5)],
    ),
    "row and text": (
        ["--row", "side=20,hue=0.1", "--text", f"{RED}^3"],
        [(ROW, 1), (RED_PART, 3)],
    ),
    "columns of a row": (["--query", "side=20", "--query", "hue=0.1"], [(ROW, 1)]),
    "columns apart": (
        ["--query", "side=20", "--query", "hue=0.1", "--without", "side=20"],
        [(ROW, 1), ({"table": {"side": "20"}}, -1)],
    ),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_is_the_weighted_sum_of_its_parts(
    name: str, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, parts = MIXES[name]
    bench = Workbench.open(fitted)
    wanted = sum(weight * scores(bench, part) for part, weight in parts)
    hits = said(capsys, "search", fitted, *flags, "-k", 120)
    assert [h["score"] for h in hits] == pytest.approx(sorted(wanted, reverse=True), abs=1e-4)
    for h in hits:
        assert h["score"] == pytest.approx(wanted[h["row"]], abs=1e-4)


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
    assert (hit.id, hit.row, hit.equal) == ("n1", 120, True)
    assert hit.cells["caption"] == "a purple hexagon" and hit.cells["side"] == 77
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
    assert said(capsys, "index", run, "--add", tmp_path / "new.csv") == [told]  # is there already
    other = (tmp_path / "new.csv").read_text().replace("77", "78")
    (tmp_path / "other.csv").write_text(other)
    assert "'n1' already" in refused(capsys, "index", run, "--add", tmp_path / "other.csv")
    gone = bench.search(1, text=RED)[0].id
    assert said(capsys, "index", run, "--delete", f"{gone},n2")[0]["value"] == 120
    assert gone not in {h.id for h in Workbench.open(run).search(500, text=RED)}
    assert said(capsys, "index", run, "--delete", f"{gone},n2")[0]["value"] == 120  # are gone
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
        lost = [m for m in caplog.messages if "gobelin index" in m]  # a fit may warn of more
        assert len(lost) == len(told) and all(a in b for a, b in zip(told, lost, strict=True))
        caplog.clear()


def test_a_saved_index_is_searched_and_not_changed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Workbench.open(run).save_pretrained(tmp_path / "out", index=True)
    bare = Workbench.open(run).save_pretrained(tmp_path / "bare")
    saved, own = (Workbench.open(place).search(9, text=RED) for place in (out, run))
    assert [hit.id for hit in saved] == [hit.id for hit in own]
    assert [h.score for h in saved] == pytest.approx([h.score for h in own], abs=1e-6)
    assert not any(h.cells for h in saved) and all(h.cells["shape"] for h in own)
    main(["search", str(out), "--text", RED])
    assert "saved without the cells of its rows" in capsys.readouterr().err
    main(["search", str(out), "--row", "side=20"])
    assert "compared by their vectors" in capsys.readouterr().err
    stored = b"".join(p.read_bytes() for p in (out / INDEX).rglob("*") if p.is_file())
    assert RED.encode() not in stored and b"images/" not in stored
    assert str(run.parent).encode() not in stored
    assert "which can't be changed" in refused(capsys, "index", out, "--delete", "00001")
    assert "Known columns: gobelin_id, gobelin_row." in refused(
        capsys, "search", out, "--text", RED, "--where", "side > 3"
    )
    assert "saved without its data, which search needs" in refused(
        capsys, "search", bare, "--text", RED
    )


def test_rows_are_shown_with_their_own_cells(
    fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the file of the data, read by Python's csv."""
    rows = records(data)
    hits = Workbench.open(fitted).search(30, text=RED)
    for hit in hits:
        for column, text in rows[hit.id].items():
            value = hit.cells[column]
            if not text:
                assert value is None
            else:
                assert value == (float(text) if isinstance(value, float) else text), column
    frame = hits.to_frame()
    assert frame["id"].tolist() == [hit.id for hit in hits] and len(frame) == 30
    assert frame["caption"].fillna("").tolist() == [hit.cells["caption"] or "" for hit in hits]
    main(["search", str(fitted), "--text", RED, "-k", "30"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30 and all(hit.id in line for hit, line in zip(hits, lines, strict=True))
    for hit, line in zip(hits, lines, strict=True):
        assert f"shape: {rows[hit.id]['shape']}" in line
        assert (f" equal  {hit.id}" in line) == (rows[hit.id]["caption"] == RED)
    shown = said(capsys, "search", fitted, "--text", RED, "-k", 30)
    assert [h["cells"] for h in shown] == [hit.cells for hit in hits]


@pytest.mark.parametrize("field", ["caption", "table", "image"])
def test_a_rows_own_cell_finds_a_row_with_that_cell_first(
    field: str, fitted: Path, data: Path
) -> None:
    bench, rows = Workbench.open(fitted), records(data)
    for row in list(rows.values())[::7]:
        if field == "table":
            asked = {c: row[c] for c in ("side", "hue", "noise") if row[c]}
            hit = bench.search(1, row=",".join(f"{c}={v}" for c, v in asked.items()))[0]
            assert all(rows[hit.id][c] == v for c, v in asked.items()) and hit.equal
        elif row[field]:
            query = row[field] if field == "caption" else str(data.parent / row[field])
            hit = bench.search(1, query={field: query})[0]
            same = rows[hit.id][field] == row[field]
            if not same and field == "image":  # two drawings may have the same pixels
                one, other = (data.parent / r["image"] for r in (row, rows[hit.id]))
                same = one.read_bytes() == other.read_bytes()
            assert same and hit.equal and hit.found_by == field


def test_columns_with_odd_names_can_be_filtered_by(tmp_path: Path) -> None:
    """Names with a space, a parenthesis, a dot, a hyphen, a digit: with quotes, and without them.
    Oracle: the same filter in Python."""
    rng = np.random.default_rng(0)
    names = ("weight (kg)", "a.b", "c-d", "e f", "2nd")
    lines = [",".join(("id", "group", "note", *names))]
    lines += [
        ",".join(
            (f"r{k}", "xy"[k % 2], f"a note of row {k}", *(f"{x:.3f}" for x in rng.normal(size=5)))
        )
        for k in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {**QUICK, "encoders": {"text": {"name": "characters"}}}
    bench = Workbench(tmp_path / "t.csv", "group", tmp_path / "run", settings)
    bench.fit()
    table = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    for name in names:
        wanted = {r["id"] for r in table if float(r[name]) > 0}
        for written in (f"`{name}`", f'"{name}"', name):
            hits = bench.search(60, f"{written} > 0 AND note != '{name} > 0'", text="note")
            assert {h.id for h in hits} == wanted, written
            assert all(h.cells[name] > 0 for h in hits)
    with pytest.raises(GobelinError, match=r"no column 'weight'.*weight \(kg\)"):
        bench.search(1, "weight > 0", text="note")


@pytest.mark.parametrize("suffix", ["html", "png"])
def test_a_sheet_shows_the_rows_and_says_what_it_does_not(
    suffix: str, run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = ("--image", data.parent / "images" / "00003.png", "-k", "4")
    sheet = tmp_path / f"sheet.{suffix}"
    hits = said(capsys, "search", run, *query, "--sheet", sheet)
    whole = sheet.read_bytes()
    if suffix == "html":
        page = whole.decode()
        assert page.count("<article>") == 5 and page.count("<img ") == 5  # the query too
        assert all(h["id"] in page and h["cells"]["shape"] in page for h in hits)
    gone = next(h["cells"]["image"] for h in hits if h["id"] != "00003")
    away = (data.parent / gone).rename(tmp_path / "away.png")
    try:
        main(["search", str(run), *map(str, query), "--sheet", str(sheet)])
    finally:
        away.rename(data.parent / gone)
    told = capsys.readouterr().err
    assert "column 'image': no such file (1 of the rows found)" in told
    assert sheet.read_bytes() != whole
    assert ".html or .png was expected" in refused(
        capsys, "search", run, *query, "--sheet", tmp_path / "sheet.pdf"
    )


def test_pictures_and_lists_in_the_cells_are_shown(tmp_path: Path, data: Path) -> None:
    """A Parquet file that holds its images, with lists of texts. Oracle: its own pixels."""
    rows = list(records(data).values())[:80]
    table = {
        "picture": [{"bytes": (data.parent / r["image"]).read_bytes(), "path": None} for r in rows],
        "words": [[r["shape"], f"word {k}"] for k, r in enumerate(rows)],
        "shape": [r["shape"] for r in rows],
    }
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), path)
    bench = Workbench(path, "shape", tmp_path / "run", QUICK)
    bench.fit()
    bench = Workbench.open(tmp_path / "run")
    hits = bench.search(3, text="word 7", sheet=tmp_path / "sheet.html")
    assert hits[0].row == 7 and hits[0].equal and hits[0].cells["words"] == table["words"][7]
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    shown = [base64.b64decode(t) for t in re.findall(r'src="data:image/png;base64,([^"]*)"', page)]
    assert len(shown) == 3
    for hit, png in zip(hits, shown, strict=True):
        own = Image.open(io.BytesIO(table["picture"][hit.row]["bytes"])).convert("RGB")
        found = Image.open(io.BytesIO(png)).convert("RGB")
        assert np.array_equal(np.asarray(found), np.asarray(own))
    path.rename(tmp_path / "away.parquet")
    assert len(bench.search(3, text="word 7", sheet=tmp_path / "sheet.html")) == 3
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "data:image" not in page and "word 7" in page


def test_more_rows_than_one_product_are_chosen_first(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same search of all rows, where the rows that are chosen hold its answer."""
    wanted = Workbench.open(fitted).search(3, text=RED)
    monkeypatch.setattr(row_index, "MOST_PRODUCT_ROWS", 50)
    monkeypatch.setattr(row_index, "CHOSEN", 40)
    found = Workbench.open(fitted).search(3, text=RED)
    assert [h.id for h in found] == [h.id for h in wanted] and all(h.cells for h in found)
    some = Workbench.open(fitted).search(60, "shape = 'circle'", text=RED)
    assert {h.cells["shape"] for h in some} == {"circle"}
