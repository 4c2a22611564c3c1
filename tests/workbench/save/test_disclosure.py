"""Every promise of `disclosure.PROMISES` on a saved run of planted rows, and the attack that once
succeeded: rows of a table rebuilt from the landmarks of the shared space.

Oracle: the planted rows themselves, and the folder of an earlier version (`tests/golden`), in which
the same attack finds them."""

from __future__ import annotations

import csv
import datetime
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pytest
from rows_in import arrays_of, numbers_found, rows_found, vectors_of
from safetensors.numpy import load_file
from scipy.special import ndtr

from gobelin import Workbench, from_pretrained
from gobelin.core.errors import GobelinError
from gobelin.core.files import file_hash, read_json, write_json
from gobelin.core.stages import tree_hash
from gobelin.data.image.images import png_bytes
from gobelin.data.values.dates import days
from gobelin.interfaces.cli import main
from gobelin.networks.text.ngrams import shares
from gobelin.prediction.heads.members import LEAVES_OF_GROUPS
from gobelin.workbench.save.disclosure import ALL_KEPT, PROMISES

GOLDEN = Path(__file__).parents[2] / "golden"
ROWS, K = 110, 5
SEEN = slice(0, 66)  # the training rows
RARE_CITY, RARE_WORD = "Qaanaaq", "zyxquartz"
WORDS = "red blue green old new tall wide warm cold house tree stone river cloud road".split()
NUMBERS = ("salary", "weight", "age")
SETTINGS: dict[str, Any] = {
    "schema": {"split": "split", "person": "group", "note": "text"},
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "fusion": {"settings": {"steps": 40}},
    "align": {"steps": 10},
    "generator": {"steps": 6, "size": 16, "settings": {"width": 8, "batch": 16}},
    "runtime": processor.SETTINGS,
}


def planted(folder: Path) -> Path:
    """110 rows of as many people, the first 66 of them for training; in each an image, a text and a
    table of single values. Four people live in a rare city, one of whom wrote a rare word, and one
    image is unlike all others."""
    rng, rows = np.random.default_rng(0), []
    for k in range(ROWS):
        label = k % 2
        image = np.clip(rng.normal(90 + 70 * label, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
        if k == 7:
            image = rng.choice([0, 255], (16, 16, 3)).astype(np.uint8)
        (folder / f"{k}.png").write_bytes(png_bytes(image))
        rows.append(
            {
                "picture": f"{k}.png",
                "note": " ".join(rng.choice(WORDS, 4)) + (f" {RARE_WORD}" if k == 4 else ""),
                "city": RARE_CITY if k < K - 1 else ("Lyon", "Bonn", "Turku")[k % 3],
                "salary": round(float(rng.lognormal(10, 0.6)), 2),
                "weight": round(float(rng.normal(70 + 5 * label, 9)), 3),
                "age": round(float(rng.uniform(18, 90)), 4),
                "born": str(datetime.date(1950, 1, 1) + datetime.timedelta(days=137 * k + k % 11)),
                "label": ("no", "yes")[label],
                "person": f"p{k}",
                "split": "train" if k < SEEN.stop else "valid" if k < 88 else "test",
            }
        )
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "rows.csv"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bench(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    made = Workbench(source, "label", tmp_path_factory.mktemp("runs") / "run", SETTINGS)
    made.fit(generator=True)
    return made


@pytest.fixture(scope="module")
def kept(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench.save_pretrained(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def table(source: Path) -> dict[str, list[str]]:
    """{column: values of the training rows}."""
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[SEEN]
    return {name: [row[name] for row in rows] for name in rows[0]}


def columns_of(folder: Path) -> dict[str, Any]:
    text = (folder / "encoders" / "table" / "config.json").read_text(encoding="utf-8")
    return json.loads(text)["columns"]


def rebuilt(folder: Path) -> dict[str, np.ndarray]:
    """The attack: every vector of the folder that is as long as the features of the table is read
    as features, {column: the number that its z-score and quantiles say} for each."""
    columns, vectors, start = columns_of(folder), [], 0
    widths = {
        n: {"category": len(c.get("values", ())) + 1, "number": 3, "date": 7}[c["kind"]]
        for n, c in columns.items()
    }
    for _, array in arrays_of(folder / "alignment"):
        vectors.append(vectors_of(array, sum(widths.values())))
    x, found = np.concatenate(vectors), {}
    for name, column in columns.items():
        if column["kind"] == "number":
            z = x[:, start + 1]
            by_rank = np.quantile(column["quantiles"], ndtr(x[:, start]))
            found[name] = np.where(
                np.abs(z) < 3.99, z * column["scale"] + column["middle"], by_rank
            )
        start += widths[name]
    return found


def people_found(folder: Path, rows: dict[str, np.ndarray]) -> int:
    """How many rows the attack rebuilds, every number to a thousandth of its spread."""
    attack = rebuilt(folder)
    near = [np.abs(attack[n][:, None] - values) < 1e-3 * values.std() for n, values in rows.items()]
    return int(np.all(near, axis=0).any(0).sum())


def test_the_attack_finds_rows_in_a_folder_of_before_and_none_now(
    kept: Path, table: dict[str, list[str]]
) -> None:
    with (GOLDEN / "data" / "records.csv").open(encoding="utf-8") as file:
        old = list(csv.DictReader(file))
    old_rows = {n: np.array([float(r[n]) for r in old]) for n in ("side", "hue", "noise")}
    landmarks = load_file(GOLDEN / "saved_run" / "alignment" / "weights.safetensors")
    assert people_found(GOLDEN / "saved_run", old_rows) >= len(landmarks["table/landmarks"]) == 12
    rows = {n: np.array(table[n], float) for n in NUMBERS}
    assert people_found(kept, rows) == 0


def check_arrays(bench: Workbench, folder: Path, table: dict[str, list[str]]) -> None:
    features = bench.run.features.embeddings
    for field, x in features.features.items():
        assert rows_found(folder, x[SEEN]) == [], field
    made_of = bench.run.generator.image_rows[0]
    images = made_of.images
    people = set(table["person"])
    assert len(np.unique(made_of.group_numbers)) == len(people) and made_of.least_groups == K
    assert rows_found(folder, images.reshape(len(images), -1)) == []
    columns = np.array([table[n] for n in NUMBERS], float)  # [3, 66]: a column is no row, but tells
    assert rows_found(folder, columns) == []
    old = GOLDEN / "run_folder"
    landmarks = load_file(old / "alignment" / "weights.safetensors")["image/landmarks"]
    assert rows_found(old, landmarks)  # the look finds them where they are


def check_quantiles(bench: Workbench, folder: Path, table: dict[str, list[str]]) -> None:
    single = np.concatenate([np.array(table[n], float) for n in NUMBERS])
    assert numbers_found(folder, single) == []
    assert len(numbers_found(GOLDEN / "saved_run", np.array([0.001, -1.192, 2.552]))) == 3
    for name, column in columns_of(folder).items():
        if column["kind"] == "category":
            continue
        values = np.sort([float(v) if name != "born" else days(v) for v in table[name]])
        parts = np.split(values, np.arange(1, 13) * 66 // 13)
        assert min(map(len, parts)) >= K
        off = np.abs(column["quantiles"] - np.array([part.mean() for part in parts]))
        assert (off <= np.maximum.accumulate([2 * part.std() for part in parts]) + 1e-9).all()


def check_levels(bench: Workbench, folder: Path, table: dict[str, list[str]]) -> None:
    for path in (p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert RARE_CITY.encode() not in data and RARE_WORD.encode() not in data, path
    assert sorted(columns_of(folder)["city"]["values"]) == ["Bonn", "Lyon", "Turku"]
    texts = [set(shares([text], 4096).indices) for text in table["note"]]
    counts = np.bincount([bucket for text in texts for bucket in text], minlength=4096)
    stored = load_file(folder / "encoders" / "note" / "weights.safetensors")["components"]
    assert not stored[:, counts < K].any() and stored[:, counts >= K].any(0).mean() > 0.9
    said = {tuple(f.scope.values()): f for f in bench.check() if f.name == "rare_values"}
    assert said["city",].value == 1 and "values, of 4," in said["city",].note
    assert said["note",].value == (counts[counts > 0] < K).sum()


def check_directions(bench: Workbench, folder: Path, table: dict[str, list[str]]) -> None:
    """Of the maps into the shared space and of the fusion: their rank, and the image of row 7,
    which lies alone in a direction of its own."""
    x = bench.run.features.embeddings.features["picture"][SEEN].astype(np.float64)
    alone = x[7] - x.mean(0)
    for stage, names in (
        ("alignment", ["projection", "lifted_projection"]),
        ("model", ["projection"]),
    ):
        held = load_file(folder / stage / "weights.safetensors")
        for name in names:
            found = held[f"picture/{name}"].astype(np.float64)
            assert np.linalg.matrix_rank(found, tol=1e-4 * np.linalg.norm(found, 2)) <= 3 * 66 // 4
            if len(found) == len(alone):
                within = np.linalg.lstsq(found, alone, rcond=1e-6)[0]
                assert np.linalg.norm(found @ within) < 0.98 * np.linalg.norm(alone)


CHECKS: dict[str, Callable[[Workbench, Path, dict[str, list[str]]], None]] = {
    "arrays": check_arrays,
    "quantiles": check_quantiles,
    "levels": check_levels,
    "directions": check_directions,
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_kept(
    promise: str, bench: Workbench, kept: Path, table: dict[str, list[str]]
) -> None:
    CHECKS[promise](bench, kept, table)


def test_a_predictor_that_was_fitted_on_all_rows_holds_none_of_them(
    source: Path, tmp_path: Path
) -> None:
    """Without a split column the delivered predictor learns from all 110 rows."""
    schema = {**SETTINGS["schema"], "split": "ignore"}
    made = Workbench(source, "label", tmp_path / "run", {**SETTINGS, "schema": schema})
    made.fit()
    assert made.run.delivered.refitted
    out = made.save_pretrained(tmp_path / "out")
    for field, x in made.run.features.embeddings.features.items():
        assert rows_found(out, x) == [], field


def test_the_card_says_what_was_tested_and_no_more(kept: Path) -> None:
    assert set(CHECKS) == set(PROMISES)
    page = (kept / "README.md").read_text(encoding="utf-8")
    assert all(text.format(k=K) in page for text in PROMISES.values()) and ALL_KEPT not in page


def test_a_least_count_of_one_keeps_all_and_says_so(source: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": {"least_groups": 1}}
    made = Workbench(source, "label", tmp_path / "run", settings)
    made.fit()
    out = made.save_pretrained(tmp_path / "out")
    page = (out / "README.md").read_text(encoding="utf-8")
    assert ALL_KEPT in page and not any(t.format(k=1) in page for t in PROMISES.values())
    assert RARE_CITY in columns_of(out)["city"]["values"]


def test_a_folder_of_before_opens_with_one_warning_and_is_not_saved_anew(
    kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        from_pretrained(kept)
        assert not caplog.records
        from_pretrained(GOLDEN / "saved_run")
    (record,) = caplog.records
    assert "stored training rows" in record.getMessage() and "\n" not in record.getMessage()
    with pytest.raises(GobelinError, match="stored training rows in it. Fit anew"):
        Workbench.open(GOLDEN / "run_folder").save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("head", ["boosted", "forest", "linear", "classes", "all rows"])
def test_trees_of_a_number_that_an_earlier_version_grew_are_told_and_not_saved(
    head: str, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder of an earlier version lacks the mark. It is told only where it matters: leaves of
    classes are shares, a linear head has none, and with `data.least_groups` 1 nothing is hidden."""
    trees = head if head in ("boosted", "forest", "linear") else "boosted"
    member = [{"head": trees, "trees": 5}]
    settings = {
        **SETTINGS,
        "fusion": {"name": "pool", "settings": {"members": member}},
        "data": {"least_groups": 1 if head == "all rows" else K},
    }
    target = "label" if head == "classes" else "salary"
    made = Workbench(source, target, tmp_path / "run", settings)
    made.fit()
    out = made.save_pretrained(tmp_path / "out")
    for stage in ("model", "delivered"):
        forget_mark(tmp_path / "run" / stage)
    forget_mark(out / "model")
    remark(out)
    told = head in ("boosted", "forest")
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        from_pretrained(out)
        said = [r.getMessage() for r in caplog.records if "earlier version" in r.getMessage()]
    assert len(said) == told
    again = Workbench.open(tmp_path / "run")
    if not told:
        again.save_pretrained(tmp_path / "again")
        return
    with pytest.raises(GobelinError, match="they can tell the number of one row. Fit anew"):
        again.save_pretrained(tmp_path / "again")


def forget_mark(stage: Path) -> None:
    """The stage as an earlier version wrote it."""
    if (stage / "config.json").is_file():
        config = read_json(stage / "config.json")
        assert config.pop(LEAVES_OF_GROUPS) is True
        write_json(stage / "config.json", config)
        record = read_json(stage / "stage.json")
        write_json(stage / "stage.json", record | {"hash": tree_hash(stage)})


def remark(saved: Path) -> None:
    """The manifest of changed files."""
    manifest = read_json(saved / "manifest.json")
    for name in ("model/config.json", "model/stage.json"):
        file = saved / name
        listed = {"sha256": file_hash(file), "bytes": file.stat().st_size}
        manifest["files"][name] = listed
    write_json(saved / "manifest.json", manifest)


def test_check_prints_what_was_too_rare(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["show", str(bench.folder)])
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "rare values (column city): 1. values, of 4, that count as unknown: fewer than 5 groups"
        in said
    )
