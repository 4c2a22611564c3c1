"""Made rows take all but their image from a training row, and stay out of validation and test
whoever tries to bring them in. Oracle: the files of a small run, read back by other means."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.augmentation.arms import BASELINE
from gobelin.augmentation.screening import Screen
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import LINEAGE_COLUMN, ORIGIN_COLUMN, Dataset
from gobelin.data.image.images import Opening, open_image, squared
from gobelin.data.provenance.marks import is_marked
from gobelin.data.read import read
from gobelin.data.samples.shapes import Shapes
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.audit import audited
from gobelin.workbench.augment.arms import StudySet, table_of
from gobelin.workbench.augment.cells import cells_of
from gobelin.workbench.augment.export import exported as export_of
from gobelin.workbench.augment.export import without_ids
from gobelin.workbench.augment.generated_images import GeneratedImages
from gobelin.workbench.augment.selection import Screening
from gobelin.workbench.augment.study import Study
from gobelin.workbench.run.chain import Run

GENERATED, BOTH = "generated", "classic + generated"

SETTINGS = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 16, "steps": 20},
    "fusion": {"settings": {"steps": 40, "components": 24}},
    "generator": {"steps": 8, "size": 16, "settings": {"width": 8, "batch": 16}},
    "augment": {
        "seeds": 2,
        "tuning_seeds": 1,
        "ratio": (0.25, 0.5),
        "decays": (1e-2,),
        "agree": False,
        "match": False,
    },
    "judge": {"planted": 40},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Shapes(rows=160).write(tmp_path_factory.mktemp("augment") / "data", seed=3)


@pytest.fixture(scope="module")
def bench(source: Path) -> Workbench:
    """A fitted run with a generator, augmented once and exported."""
    made = Workbench(source, target="shape", run=source.parent.parent / "run", settings=SETTINGS)
    made.fit(generator=True)
    made.augment(export=source.parent.parent / "export")
    return made


@pytest.fixture(scope="module")
def exported(bench: Workbench) -> Path:
    return bench.folder.parent / "export" / "train.parquet"


@pytest.fixture(scope="module")
def study(bench: Workbench) -> StudySet:
    return StudySet(bench.run)


def fresh(data: Path | Dataset, folder: Path) -> Workbench:
    return Workbench(data, target="shape", run=folder / "run", settings=SETTINGS)


def real_rows(table: pa.Table, which: str) -> pa.Table:
    return table.filter(pa.array([o == which for o in table[ORIGIN_COLUMN].to_pylist()]))


# what a made row is


def test_arms_hold_training_rows_and_what_was_made_of_them(
    bench: Workbench, study: StudySet
) -> None:
    rows = bench.run.checked.rows
    names = {
        part: {rows.dataset.ids[k] for k in rows.part(part)} for part in ("train", "valid", "test")
    }
    assert [a.name for a in study.arms] == [
        BASELINE,
        "classic",
        "generator_size",
        "oversampling",
        "weights",
        "copies",
        "procedural_noise",
        GENERATED,
        BOTH,
    ]
    for arm in study.arms:
        real = {i for i, o in zip(arm.dataset.ids, arm.dataset.origins, strict=True) if o == "real"}
        assert real == names["train"]
        for text, origin in zip(
            arm.dataset.with_origin().table[LINEAGE_COLUMN].to_pylist(),
            arm.dataset.origins,
            strict=True,
        ):
            if origin != "real":
                parents = set(json.loads(text)["parents"])
                assert parents and parents <= names["train"]
    assert set(rows.dataset.origins) == {"real"} and not (
        names["train"] & names["valid"] | names["train"] & names["test"]
    )


def test_a_made_row_has_its_parents_other_cells_and_lacks_what_it_lacks(
    bench: Workbench, study: StudySet
) -> None:
    kept = study.screening.selected(0)
    made = study.images[0].dataset(kept)
    original = bench.run.checked.rows.dataset
    place = {i: k for k, i in enumerate(original.ids)}
    lineage = [json.loads(x) for x in made.table[LINEAGE_COLUMN].to_pylist()]
    assert len(made) == kept.sum() > 20 and set(made.origins) == {"generated"}
    assert [one["parents"][0] for one in lineage] == [
        study.parents.real.ids[p] for p in study.parents.places[kept]
    ]
    for column in set(original.column_names) - {"image"}:
        values, theirs = made.values(column), original.values(column)
        assert values == [theirs[place[one["parents"][0]]] for one in lineage]
    assert any(v is None for v in made.values("caption")) and any(
        v is not None for v in made.values("caption")
    )
    for k, value in enumerate(made.values("image")):
        pixels = np.asarray(Image.open(io.BytesIO(value)))
        assert np.array_equal(pixels, study.images[0].pixels[kept][k]) and is_marked(value)
    trained = bench.run.generator.sampler(0)
    assert {one["generator"] for one in lineage} == {trained.name}
    assert {one["weights"] for one in lineage} == {trained.sampler.fingerprint()[:16]}
    assert len({one["seed"] for one in lineage}) == len(made)


def test_scarce_classes_get_the_made_rows(bench: Workbench, study: StudySet) -> None:
    target = bench.run.checked.rows.target
    real = np.bincount(target.values[study.parents.train], minlength=4)
    made = np.bincount(target.values[study.parents.rows], minlength=4)
    assert len(study.parents.places) == pytest.approx(0.5 * real.sum(), abs=2)
    assert made[real.argmin()] == made.max() and made[real.argmax()] == made.min()


def test_an_image_depends_on_its_own_seed_alone(study: StudySet) -> None:
    first = study.images[0]
    fewer = replace(study.parents)
    object.__setattr__(fewer, "places", study.parents.places[:5])
    one = replace(first, parents=fewer)._sampled().astype(int)
    other = first.pixels[:5].astype(int)
    assert np.abs(one - other).max() <= 2  # the batch's size may change the last digit


def with_study(run: Run, **settings: object) -> Run:
    """The run with other settings of its study."""
    augment = replace(run.settings.augment, **settings)
    return run.with_settings(replace(run.settings, augment=augment))


def test_quarantine_takes_the_flagged_rows_and_no_other(
    bench: Workbench, study: StudySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: every third made image is its parent's own."""
    d, copied = bench.run.checked.rows.dataset, np.arange(len(study.parents.places)) % 3 == 0
    values, images = d.values("image"), study.images[0].pixels.copy()
    for k in np.flatnonzero(copied):
        images[k] = squared(open_image(values[study.parents.rows[k]], d.root, Opening())[0], 16)
    monkeypatch.setattr(GeneratedImages, "pixels", images)
    planted = StudySet(bench.run)
    screening = planted.screening
    kept = screening.selected(0)
    assert kept[~copied].all() and (~kept[copied]).mean() > 0.8
    flagged = {
        r["made"] for result in screening.audits[0].values() for r in result.rows if r["flagged"]
    }
    for arm in planted.arms:
        ids = {
            i for i, o in zip(arm.dataset.ids, arm.dataset.origins, strict=True) if o == "generated"
        }
        assert ids == (
            (set(planted.images[0].ids) - flagged) if arm.name in (GENERATED, BOTH) else set()
        )
    assert (
        screening.screens[0].reasons()["copy of a training image"]
        == len(flagged)
        == (~kept & screening.screens[0].copies).sum()
    )
    audited(Study(bench.run, "key"), Exhibits("audit", tmp_path, "verbs/audit", ""))
    listed = json.loads((tmp_path / "copies.json").read_text(encoding="utf-8"))["rows"]
    assert {row[0] for row in listed} == flagged and {row[1] for row in listed} == set(
        screening.copied(0)
    )
    pairs = json.loads((tmp_path / "nearest.json").read_text(encoding="utf-8"))["pairs"]
    assert len(pairs) == max(12, min(60, len(flagged))) and all(
        (bench.folder / p[s]).is_file() for p in pairs for s in p if s != "caption"
    )
    parents = {study.parents.real.ids[p] for p in study.parents.places[copied]}
    assert set(screening.copied(0)) >= {
        r["nearest"] for one in screening.audits[0].values() for r in one.rows if r["flagged"]
    }
    assert len(set(screening.copied(0)) & parents) > 0.8 * len(screening.copied(0))
    nothing = StudySet(with_study(bench.run, quarantine=False))
    assert nothing.screening.selected(0).all()


def test_the_attacked_cells_are_those_of_the_table(
    bench: Workbench, study: StudySet, source: Path
) -> None:
    """Read back by pandas; a generated row has its parent's cells. They give rows away."""
    cells = cells_of(bench.run, study.images[0])()
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    ids = bench.run.checked.rows.dataset.ids
    assert {"shape", "side"} <= set(cells.train)
    parts = {"train": bench.run.generator.with_image("train"), "generated": study.parents.rows}
    place = {str(name): k for k, name in enumerate(table["id"])}
    for part, rows in parts.items():
        told = table.iloc[[place[ids[r]] for r in rows]]
        columns = getattr(cells, part)
        assert list(columns["shape"]) == list(told["shape"])
        sides = pd.to_numeric(told["side"], errors="coerce").to_numpy()
        assert np.array_equal(columns["side"], sides, equal_nan=True)
    risks = [
        f
        for f in study.screening.audits[0]["membership"].findings
        if f.name == "attribute_risk" and f.scope["attack"] != "inference"
    ]
    assert [f.scope["attack"] for f in risks] == ["singling out", "linkability"]
    assert all("of held-out rows" in f.note for f in risks)


def test_where_screening_keeps_no_image_the_arm_is_the_real_rows(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = StudySet(bench.run)
    every = np.ones(len(none.parents.places), bool)
    monkeypatch.setattr(Screening, "screens", [Screen(every, None, None, None, None)])
    arms = {a.name: a for a in none.arms}
    assert arms[GENERATED].dataset.ids == arms[BASELINE].dataset.ids and set(
        arms[GENERATED].dataset.origins
    ) == {"real"}
    assert arms[BOTH].dataset.ids == arms["classic"].dataset.ids
    table = table_of(bench.run, none.arms)
    assert not next(a for a in table.arms if a.name == GENERATED).added.any()
    assert len(table.features) > len(none.parents.real)
    assert table.dataset.ids == table.features.ids


def test_images_of_another_rows_fields_are_left_out_and_told(
    bench: Workbench, study: StudySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the parents' own images match what was asked; those of other rows don't."""
    d = bench.run.checked.rows.dataset
    values, rows = d.values("image"), study.parents.rows
    own = np.stack([squared(open_image(values[r], d.root, Opening())[0], 16) for r in rows])
    kept = {}
    for word, images in (
        ("own", own),
        ("another's", own[np.random.default_rng(0).permutation(len(own))]),
    ):
        monkeypatch.setattr(GeneratedImages, "pixels", images)
        planted = StudySet(with_study(bench.run, match=True, quarantine=False)).screening
        kept[word] = planted.selected(0).mean()
        found = {f.scope["field"]: f for f in planted.matched[0].findings}
        assert set(found) == {"caption", "table"} and {f.name for f in found.values()} <= {
            "condition_unmatched",
            "condition_not_screened",
        }
        judged = [f for f in found.values() if f.name == "condition_unmatched"]
        assert judged and max(f.value for f in judged) <= (~planted.selected(0)).sum() <= sum(
            f.value for f in judged
        )
        assert planted.screens[0].reasons() == {
            "does not match what was asked": (~planted.selected(0)).sum()
        }
        assert all("would be caught" in f.note for f in judged)
    # of few colours and shapes some fit by luck; a share of 45 images strays by .07
    assert kept["own"] > 0.85 and kept["another's"] < kept["own"] - 0.15
    monkeypatch.setattr(GeneratedImages, "pixels", own)
    off = StudySet(with_study(bench.run, quarantine=False)).screening
    assert off.selected(0).all() and off.screens[0].reasons() == {}
    assert off.matched[0].findings == ()


def test_the_export_is_the_generated_arm_with_its_lineage(
    bench: Workbench, exported: Path, study: StudySet
) -> None:
    table = pq.read_table(exported)
    arm = next(a for a in study.arms if a.name == GENERATED)
    told = json.loads((bench.folder / "outcome" / "choices.json").read_text(encoding="utf-8"))
    ratio, mix, _ = told["chosen"][GENERATED][0]
    planned = round(ratio * len(study.parents.real)) if ratio < 0.5 else len(study.parents.places)
    made = [
        i
        for i, k in zip(study.images[0].ids, study.screening.selected(0), strict=True)
        if k and int(i.rsplit("-", 1)[1]) < planned
    ]
    assert table["gobelin_id"].to_pylist() == [*study.parents.real.ids, *made]
    assert table[ORIGIN_COLUMN].to_pylist() == list(arm.dataset.origins)[: len(table)]
    originals = {
        i: v
        for i, v in zip(
            bench.run.checked.rows.dataset.ids,
            bench.run.checked.rows.dataset.values("image"),
            strict=True,
        )
    }
    for row in table.to_pylist():
        if row[ORIGIN_COLUMN] == "real":
            assert (
                row["image"]
                == (bench.run.checked.rows.dataset.root / originals[row["gobelin_id"]]).read_bytes()
            )
            assert row[LINEAGE_COLUMN] == "" and not is_marked(row["image"])
        else:
            told = json.loads(row[LINEAGE_COLUMN])
            assert {"generator", "weights", "seed", "parents", "condition"} <= set(
                told
            ) and is_marked(row["image"])
            with Image.open(io.BytesIO(row["image"])) as image:
                assert json.loads(image.text["gobelin"]) == told
    said = (exported.parent / "README.md").read_text()
    made = sum(o == "generated" for o in table[ORIGIN_COLUMN].to_pylist())
    assert f"{len(table)} rows, {made} of them generated" in said
    assert (
        f"chose {ratio:g} generated rows for each real row" in said
        and f"had the weight {mix:g}" in said
    )
    before = exported.read_bytes()
    export_of(Study(study.run, "key"), exported.parent)  # a finished export is taken as finished
    assert exported.read_bytes() == before
    (exported.parent / "mine").touch()
    with pytest.raises(GobelinError, match="is not empty"):
        export_of(Study(study.run, "key"), exported.parent)
    (exported.parent / "mine").unlink()


def test_every_new_look_at_the_test_rows_is_counted(bench: Workbench) -> None:
    def ledger() -> list[int]:
        return [
            json.loads(line)["look"]
            for line in (bench.folder / "ledger.jsonl").read_text().splitlines()
        ]

    assert ledger() == [1]
    first = next(f for f in bench.augment() if f.name == "look_at_test_rows")
    assert ledger() == [1] and first.value == 1 and "first use" in first.note
    copy = bench.folder.parent / "looked"
    shutil.copytree(bench.folder, copy)
    again = Workbench.open(copy, settings={"augment": {"smallest_effect": 0.02}})
    second = next(f for f in again.augment() if f.name == "look_at_test_rows")
    assert second.value == 2 and second.note == "use 2 of the test rows: exploratory"
    assert len((copy / "ledger.jsonl").read_text().splitlines()) == 2 and ledger() == [1]


# ways to bring a made row into validation or test


def with_made(
    source: Path, bench: Workbench, folder: Path, count: int = 6
) -> tuple[Path, list[Path]]:
    """A copy of the data and `count` made PNGs inside its folder."""
    shutil.copytree(source.parent, folder / "data")
    made = bench.generate(
        seeds=range(count), label="cross", out=folder / "data" / "images" / "made"
    )
    return folder / "data" / "records.csv", made


def test_1_marked_files_as_new_rows_are_set_aside(
    source: Path, bench: Workbench, tmp_path: Path
) -> None:
    path, made = with_made(source, bench, tmp_path)
    with path.open("a", encoding="utf-8") as file:
        for k, one in enumerate(made):
            print(f'"new{k}","images/made/{one.name}","cross",12,0.5,0.1,', file=file)
    smuggled = fresh(path, tmp_path)
    scanned = smuggled.run.checked.scan
    assert {i for i, _, _ in scanned.bad} == {f"new{k}" for k in range(6)}
    assert all("marked as generated" in why for _, _, why in scanned.bad)
    rows = smuggled.run.checked.rows
    image = dict(zip(rows.dataset.ids, rows.dataset.values("image"), strict=True))
    assert (
        all(image[f"new{k}"] is None for k in range(6))
        and sum(v is not None for v in image.values()) == 160
    )
    new = np.array([i.startswith("new") for i in rows.dataset.ids])
    assert (
        new.sum() == 6 and not rows.target.present[new].any() and set(rows.parts[new]) == {"train"}
    )  # the whole row is out
    assert all(
        v is None
        for c in ("side", "hue", "noise")
        for v in np.array(rows.dataset.values(c), object)[new]
    )
    shown = next(f for f in smuggled.check() if f.name == "cells_set_aside")
    assert shown.value == 6 and "new0" in " ".join(shown.cells)


def test_1b_many_marked_files_are_refused(source: Path, bench: Workbench, tmp_path: Path) -> None:
    path, made = with_made(source, bench, tmp_path, count=30)
    with path.open("a", encoding="utf-8") as file:
        for k, one in enumerate(made):
            print(f'"new{k}","images/made/{one.name}","cross",12,0.5,0.1,', file=file)
    with pytest.raises(GobelinError, match="30 of 190 cells can't be used .*marked as generated"):
        fresh(path, tmp_path).check()
    assert not (tmp_path / "run" / "settings.json").exists()


def test_2_the_export_is_not_taken_for_real(
    exported: Path, bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(GobelinError, match="not real"):
        fresh(exported, tmp_path).check()
    assert not (tmp_path / "run").exists()
    pq.write_table(real_rows(pq.read_table(exported), "real"), tmp_path / "real.parquet")
    kept = fresh(tmp_path / "real.parquet", tmp_path).run.checked.rows.dataset
    assert set(kept.ids) == set(
        bench.run.checked.rows.ids(bench.run.checked.rows.part("train"))
    ) and set(kept.origins) == {"real"}


@pytest.mark.parametrize("part", ["test", "valid", "train"])
def test_3_no_split_column_lets_them_in(part: str, exported: Path, tmp_path: Path) -> None:
    table = pq.read_table(exported)
    split = [
        part if o == "generated" else ("train", "valid", "test")[k % 3]
        for k, o in enumerate(table[ORIGIN_COLUMN].to_pylist())
    ]
    pq.write_table(table.append_column("split", pa.array(split)), tmp_path / "split.parquet")
    with pytest.raises(GobelinError, match="not real"):
        fresh(tmp_path / "split.parquet", tmp_path).check()


def test_4_no_group_of_test_rows_lets_them_in(
    bench: Workbench, study: StudySet, tmp_path: Path
) -> None:
    """As a Dataset in memory: the made rows say that they belong to a group that is tested."""
    rows = bench.run.checked.rows
    made = study.images[0].dataset(study.screening.selected(0))
    group = [f"g{k}" for k in range(len(rows.dataset))]
    real = Dataset(
        rows.dataset.table.append_column("patient", pa.array(group)), rows.dataset.root, "memory"
    )
    tested = group[int(rows.part("test")[0])]
    joined = real.join(
        Dataset(
            made.table.append_column("patient", pa.array([tested] * len(made))), made.root, "memory"
        )
    )
    smuggled = Workbench(
        joined,
        target="shape",
        run=tmp_path / "run",
        settings={**SETTINGS, "schema": {"patient": "group"}},
    )
    with pytest.raises(GobelinError, match="not real"):
        smuggled.check()


@pytest.mark.parametrize("left", ["lineage", "marks", "few marks"])
def test_5_a_stripped_origin_is_not_enough(left: str, exported: Path, tmp_path: Path) -> None:
    table = pq.read_table(exported)
    made = real_rows(table, "generated")
    if left == "few marks":
        made = made.slice(0, 5)
    table = pa.concat_tables([real_rows(table, "real"), made])
    table = table.drop_columns(
        [ORIGIN_COLUMN] if left == "lineage" else [ORIGIN_COLUMN, LINEAGE_COLUMN]
    )
    ids = [f"row{k}" for k in range(len(table))]
    table = table.drop_columns(["id", "gobelin_id"]).append_column("id", pa.array(ids))
    pq.write_table(table, tmp_path / "stripped.parquet")
    smuggled = fresh(tmp_path / "stripped.parquet", tmp_path)
    if left == "few marks":
        assert {i for i, _, _ in smuggled.run.checked.scan.bad} == set(ids[-5:])
        assert not any(
            v is not None for v in smuggled.run.checked.rows.dataset.values("image")[-5:]
        )
        return
    with pytest.raises(
        GobelinError, match="not real" if left == "lineage" else "marked as generated"
    ):
        smuggled.check()


def test_5b_rows_that_call_themselves_real_and_tell_their_lineage_are_not(
    exported: Path, tmp_path: Path
) -> None:
    table = pq.read_table(exported)
    where = table.column_names.index(ORIGIN_COLUMN)
    for said in (["real"] * len(table), [None] * len(table), [""] * len(table)):
        pq.write_table(
            table.set_column(where, ORIGIN_COLUMN, pa.array(said, pa.string())),
            tmp_path / "said.parquet",
        )
        with pytest.raises(GobelinError, match="not real"):
            fresh(tmp_path / "said.parquet", tmp_path).check()


@pytest.mark.parametrize(
    "form", [lambda name: name, lambda name: [name], lambda name: ["images/00000.png", name]]
)
def test_6_no_form_of_a_json_line_lets_them_in(
    form: Callable[[str], object], source: Path, bench: Workbench, tmp_path: Path
) -> None:
    path, made = with_made(source, bench, tmp_path, count=4)
    with path.open(encoding="utf-8") as file:
        rows = [{k: v for k, v in r.items() if v} for r in csv.DictReader(file)]
    rows += [
        {"id": f"new{k}", "image": form(f"images/made/{p.name}"), "shape": "cross"}
        for k, p in enumerate(made)
    ]
    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert {i for i, _, _ in fresh(lines, tmp_path).run.checked.scan.bad} == {
        f"new{k}" for k in range(4)
    }


def test_7_a_finished_run_is_not_judged_on_made_rows(
    bench: Workbench, exported: Path, tmp_path: Path
) -> None:
    """`evaluate` takes no other rows; another data set in the run's place is refused; `predict`
    judges nothing."""
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    before = {p: p.read_bytes() for p in copy.glob("*.jsonl")}
    with pytest.raises(GobelinError, match="not real"):
        Workbench(exported, target="shape", run=copy, settings=SETTINGS).evaluate()
    opened = Workbench.open(copy, settings={"data": {"path": str(exported)}})
    with pytest.raises(GobelinError, match="not real|other data"):
        opened.augment()
    table = pq.read_table(exported).drop_columns(["id"])
    pq.write_table(table, tmp_path / "without_id.parquet")
    found = Workbench.open(copy).predict(tmp_path / "without_id.parquet")
    assert len(found.ids) == len(table)
    assert {p: p.read_bytes() for p in copy.glob("*.jsonl")} == before


@pytest.mark.parametrize(
    "stage", ["alignment", "model", "generators/vaegan-0", "encoders/table", "verbs/augment"]
)
def test_8_an_edited_run_folder_is_refused(stage: str, bench: Workbench, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    victim = next(
        p for p in sorted((copy / stage).rglob("*")) if p.is_file() and p.name != "stage.json"
    )
    data = bytearray(victim.read_bytes())
    data[-2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(GobelinError, match="was changed or damaged"):
        opened = Workbench.open(copy)
        encoders = opened.run.encoders.embedder.encoders
        _ = (
            opened.run.features.embeddings,
            [encoders[name] for name in encoders],  # each is loaded when it is first used
            opened.run.space.alignment,
            opened.run.predictor.model,
            opened.run.generator.sampler(0),
        )
        opened.augment()


def test_8b_another_split_is_another_run(bench: Workbench, tmp_path: Path) -> None:
    """Editing the seed in settings.json moves rows between the parts: nothing that was trained
    before is used again."""
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    said = json.loads((copy / "settings.json").read_text())
    said["split"]["test"] = 0.3
    (copy / "settings.json").write_text(json.dumps(said))
    opened = Workbench.open(copy)
    assert not np.array_equal(opened.run.checked.rows.parts, bench.run.checked.rows.parts)
    assert opened.run.data.key != bench.run.data.key
    for stage in ("encoders/table", "encoders/image"):
        assert opened.run.folder.has(stage, bench.run.data.key) and not opened.run.folder.has(
            stage, opened.run.data.key
        )


def unmarked(data: bytes) -> bytes:
    """The same pixels, saved by a program that knows nothing of marks."""
    out = io.BytesIO()
    Image.fromarray(np.asarray(Image.open(io.BytesIO(data)))).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("split", [True, False])
def test_9_renamed_columns_don_t_hide_a_lineage(
    marks: bool, split: bool, exported: Path, tmp_path: Path
) -> None:
    """Not even with the marks gone from the images, whether the split is drawn anew or says that
    made rows are tested."""
    table = pq.read_table(exported)
    images = table["image"].to_pylist()
    table = table.drop_columns(["image"]).append_column(
        "image", pa.array(images if marks else [unmarked(i) for i in images])
    )
    if split:
        parts = [
            "test" if o == "generated" else ("train", "valid")[k % 2]
            for k, o in enumerate(table[ORIGIN_COLUMN].to_pylist())
        ]
        table = table.append_column("split", pa.array(parts))
    names = {ORIGIN_COLUMN: "source", LINEAGE_COLUMN: "remark", "gobelin_id": "number"}
    pq.write_table(
        table.rename_columns([names.get(n, n) for n in table.column_names]),
        tmp_path / "renamed.parquet",
    )
    with pytest.raises(
        GobelinError, match=r"\d+ of \d+ rows are not real, their origin or lineage says so"
    ):
        fresh(tmp_path / "renamed.parquet", tmp_path).check()


def test_10_no_copied_id_lets_them_in(exported: Path, bench: Workbench, tmp_path: Path) -> None:
    """A made row that takes a real row's id and place, with every column of its own gone; and one
    that only shares the id."""
    table = pq.read_table(exported)
    real, made = real_rows(table, "real"), real_rows(table, "generated").slice(0, 3)
    own = [ORIGIN_COLUMN, LINEAGE_COLUMN, "gobelin_id", "id"]
    ids = pa.array([str(i) for i in real["gobelin_id"].to_pylist()])
    twice = pa.concat_tables(
        [
            real.drop_columns(own).append_column("id", ids),
            made.drop_columns(own).append_column("id", ids.slice(0, 3)),
        ]
    )
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(GobelinError, match="the id .* appears twice"):
        Workbench(
            tmp_path / "twice.parquet",
            target="shape",
            run=tmp_path / "a",
            settings={**SETTINGS, "schema": {"id": "id"}},
        ).check()
    kept = real.slice(3).drop_columns(own).append_column("id", ids.slice(3))
    instead = pa.concat_tables([kept, made.drop_columns(own).append_column("id", ids.slice(0, 3))])
    pq.write_table(instead, tmp_path / "instead.parquet")
    made_in = Workbench(
        tmp_path / "instead.parquet", target="shape", run=tmp_path / "b", settings=SETTINGS
    ).run
    assert {i for i, _, _ in made_in.checked.scan.bad} == set(ids.slice(0, 3).to_pylist())
    assert not made_in.checked.rows.target.present[-3:].any()


def test_11_opened_as_pictures_in_a_frame_they_stay_marked(
    source: Path, bench: Workbench, tmp_path: Path
) -> None:
    path, made = with_made(source, bench, tmp_path, count=4)
    columns = read(path).table.select(["image", "shape", "side"]).to_pydict()
    columns["image"] = [Image.open(path.parent / p) for p in columns["image"]] + [
        Image.open(p).convert("RGB") for p in made
    ]
    columns["shape"] += ["cross"] * 4
    columns["side"] += [12] * 4
    frame = pd.DataFrame(columns)
    smuggled = Workbench(frame, target="shape", run=tmp_path / "run", settings=SETTINGS)
    assert [i for i, _, why in smuggled.run.checked.scan.bad if "marked as generated" in why] == [
        "160",
        "161",
        "162",
        "163",
    ]


def test_12_made_images_in_a_class_folder_are_set_aside(
    source: Path, bench: Workbench, tmp_path: Path
) -> None:
    rows = read(source).table.to_pylist()
    for row in rows:
        place = tmp_path / "folder" / row["shape"] / Path(row["image"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.parent / row["image"], place)
    bench.generate(seeds=range(5), label="cross", out=tmp_path / "folder" / "cross")
    found = Workbench(tmp_path / "folder", run=tmp_path / "run", settings=SETTINGS).run.checked.scan
    assert len(found.bad) == 5 and all("marked as generated" in why for _, _, why in found.bad)


def test_13_joined_to_other_rows_by_what_both_have(
    source: Path, exported: Path, tmp_path: Path
) -> None:
    """An inner join drops the lineage; the pictures, written to files, keep their marks."""
    shutil.copytree(source.parent, tmp_path / "data")
    path, made = (
        tmp_path / "data" / "records.csv",
        real_rows(pq.read_table(exported), "generated").to_pylist()[:8],
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].replace('"', "").startswith("id,image,shape")
    for k, row in enumerate(made):
        (tmp_path / "data" / "images" / f"extra{k}.png").write_bytes(row["image"])
        lines.append(f'"extra{k}","images/extra{k}.png","{row["shape"]}",,,,')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert {i for i, _, _ in fresh(path, tmp_path).run.checked.scan.bad} == {
        f"extra{k}" for k in range(8)
    }


def test_14_what_nothing_tells_any_more_is_admitted(
    source: Path, bench: Workbench, tmp_path: Path
) -> None:
    """Saved anew and without a lineage a generated image is an image like any other. Where it is
    nearly one of another part, `check` counts it; where it isn't, nothing does, and the
    documentation says so."""
    path, made = with_made(source, bench, tmp_path, count=2)
    for one in made:
        one.write_bytes(unmarked(one.read_bytes()))
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{line},{('train', 'valid', 'test')[k % 3]}" for k, line in enumerate(lines)]
    for k in range(2):  # the same made image among the training rows and among the test rows
        lines += [
            f'"new{k}{part}","images/made/{made[k].name}","cross",12,0.5,0.1,,{part}'
            for part in ("train", "test")
        ]
    path.write_text("\n".join([f"{header},part", *lines]) + "\n", encoding="utf-8")
    settings = {**SETTINGS, "schema": {"part": "split"}}
    smuggled = Workbench(path, target="shape", run=tmp_path / "run", settings=settings)
    twins = next(
        f for f in smuggled.check() if f.name == "near_duplicates" and f.scope == {"field": "image"}
    )
    assert not smuggled.run.checked.scan.bad and twins.value >= 2
    said = " ".join(
        (Path(__file__).parents[3] / "docs" / "design.md").read_text(encoding="utf-8").split()
    )
    assert (
        "A generated image that was saved anew without its marks and its lineage is an image like"
        " any other" in said
    )


def test_several_images_in_a_cell_are_refused(source: Path, tmp_path: Path) -> None:
    rows = read(source).table.to_pylist()
    lines = tmp_path / "data.jsonl"
    lines.write_text(
        "".join(json.dumps({**r, "image": [r["image"]] * 2}) + "\n" for r in rows), encoding="utf-8"
    )
    run = Workbench(
        lines,
        target="shape",
        run=tmp_path / "run",
        settings={**SETTINGS, "data": {"root": str(source.parent)}},
    ).run
    with pytest.raises(GobelinError, match="several images a cell"):
        _ = StudySet(run).parents


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a1", "a2", "a1", None]),
        pa.array([1, 2, 1, 9]),
        pa.array([1.5, 2.5, 1.5, None]),
        pa.array(["a1", "a2", "a1", "a9"], pa.string()).dictionary_encode(),
        pa.array(["a1", "a2", "a1", "a9"], pa.large_string()),
    ],
    ids=["texts", "whole numbers", "numbers", "dictionary", "large texts"],
)
def test_an_exported_row_does_not_name_its_parent_by_its_id(ids: pa.Array) -> None:
    """The other rows and columns stay, and so does the kind of the column."""
    table = pa.table({"x": [1, 2, 3, 4], "code": ids})
    found = without_ids(table, "code", [False, False, True, False])
    assert found.schema == table.schema and found["x"].equals(table["x"])
    before = table["code"].to_pylist()
    assert found["code"].to_pylist() == [*before[:2], None, before[3]]


def test_an_export_is_made_without_ids(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any column of the run in the place of its ids."""
    column = next(c.name for c in bench.run.data.schema.columns if c.kind == "text")
    kept = bench.run.data.schema.role
    monkeypatch.setattr(
        type(bench.run.data.schema), "role", lambda self, r: column if r == "id" else kept(r)
    )
    table = pq.read_table(export_of(Study(bench.run, "key"), tmp_path / "out"))
    told = list(zip(table[ORIGIN_COLUMN].to_pylist(), table[column].to_pylist(), strict=True))
    assert {cell for origin, cell in told if origin == "generated"} == {None}
    assert sum(cell is not None for origin, cell in told if origin == "real") > 50
