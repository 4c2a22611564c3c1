"""Inputs of strangers, for the ninth time: what was planted must be read, or told in a line."""

from __future__ import annotations

import datetime
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column
from gobelin.data.read import read
from gobelin.data.tables.frames import from_frame
from gobelin.data.values.dates import days
from gobelin.data.values.spelling import case_remark
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.series import Series
from gobelin.embedding.encoders.table import Table

ROWS = 60
DAYS = [datetime.date(2021, 1, 1) + datetime.timedelta(days=23 * k) for k in range(ROWS)]

FIRST = "oak elm ash fir yew bay box sal gum fig".split()
SECOND = "north south east west upper lower".split()
RUSSIAN = ("января", "февраля", "марта")


def labelled(**columns: list) -> Dataset:
    return from_frame(
        pd.DataFrame({**columns, "size": [0.5, 1.5, 2.25] * 20, "label": ["a", "b"] * 30})
    )


def column_of(data: Dataset, name: str) -> Column:
    return next(c for c in schema.infer(data, "label", Choices()).columns if c.name == name)


def nth(day: int) -> str:
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


@pytest.mark.parametrize(
    "written",
    [
        [f"{d:%B} {nth(d.day)}, {d.year}" for d in DAYS],
        [f"{nth(d.day)} {d:%b} {d.year}" for d in DAYS],
        [f"{nth(d.day)} of {d:%B} {d.year}" for d in DAYS],
        [f"{d:%A}, {nth(d.day)} {d:%B} {d.year}" for d in DAYS],
        [f"{d:%b} {d.day}, {d.year} at 12:00 AM" for d in DAYS],
    ],
)
def test_days_may_be_counted_and_may_have_a_time_behind_at(written: list[str]) -> None:
    assert column_of(labelled(x=written), "x").kind == "date"
    assert [days(text) for text in written] == [days(d) for d in DAYS]


@pytest.mark.parametrize(
    "written",
    [
        [f"{d.day} {RUSSIAN[d.month % 3]} {d.year}" for d in DAYS],
        [f"{d:%b-%y}" for d in DAYS],
        [f"{d:%b'%y}" for d in DAYS],
        [f"H{1 + d.month // 7} {d.year}" for d in DAYS],
        [f"{k} days ago" for k in range(ROWS)],
        [f"{1 + k // 20} hr {k % 20} min" for k in range(ROWS)],
        [f"{5 + k % 2} ft {k % 12} in" for k in range(ROWS)],
        [f"c. {1900 + k % 25}" if k % 3 else str(1900 + k % 25) for k in range(ROWS)],
    ],
)
def test_numbers_between_few_words_are_told(written: list[str]) -> None:
    column = column_of(labelled(x=written), "x")
    assert column.kind in ("text", "category")
    assert "not as numbers or dates" in column.remark


@pytest.mark.parametrize(
    "written",
    [
        [f"a film about {FIRST[k % 10]} and {SECOND[k // 10]} ({1950 + k})" for k in range(ROWS)],
        [f"user {k % 6}" for k in range(ROWS)],
        [f"{k} {FIRST[k % 10]} {SECOND[k // 10]} street in town" for k in range(ROWS)],
        ["red", "blue", "green"] * 20,
    ],
)
def test_of_other_names_nothing_is_told(written: list[str]) -> None:
    assert column_of(labelled(x=written), "x").remark == ""


@pytest.mark.parametrize(
    "spelled", [repr, lambda b: f"\\x{b.hex()}", bytes.hex, lambda b: f"0x{b.hex()}"]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_bytes_of_files_in_words_are_no_texts(spelled: Callable[[bytes], str], kind: str) -> None:
    def drawn(k: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), 4 * k, np.uint8)).save(out, kind)
        return out.getvalue()

    column = column_of(labelled(picture=[spelled(drawn(k)) for k in range(ROWS)]), "picture")
    assert column.role == "ignore"
    assert "the bytes of a file, written as a text" in column.remark
    read = column_of(labelled(picture=[drawn(k) for k in range(ROWS)]), "picture")
    assert (read.kind, read.role) == ("image", "cell")


@pytest.mark.parametrize(
    ("one", "other"), [(">50K", ">50K."), ("cat", "cat;"), ("left", "Left."), ("St", "St. ,")]
)
def test_values_that_differ_in_a_point_at_their_end_are_told(one: str, other: str) -> None:
    values = [one, "third", other] * 20
    assert "are read as two different values" in column_of(labelled(x=values), "x").remark
    frame = pd.DataFrame({"size": [0.5, 1.5, 2.25] * 20, "label": values})
    assert "are read as two different values" in column_of(from_frame(frame), "label").remark
    assert case_remark(["A+", "A", "A-", "C", "C#", "...", "?"]) == ""


@pytest.mark.parametrize("parts", [("",), ("train", "test")])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("images", "masks"), True),
        (("JPEGImages", "SegmentationClass"), True),
        (("input", "target", "cat"), True),
        (("image", "cat"), False),
        (("masked", "bare"), False),
    ],
)
def test_halves_of_rows_that_are_read_as_classes_are_told(
    names: tuple[str, ...],
    told: bool,
    parts: tuple[str, ...],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for k, (part, name) in enumerate(itertools.product(parts, names)):
        folder = tmp_path / part / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(folder / "1.png")
    data = read(tmp_path)
    assert set(data.values("class")) == set(names)
    assert ("are read as classes. If each row has a file in each of them" in caplog.text) == told


@pytest.mark.parametrize("name", ["sample_weight", "Case Weight", "fnlwgt", "survey.wt"])
@pytest.mark.parametrize("weights", [["1,5", "0,5", "1"], ["1", "0", "1"], [77516.0, 83311.0, 2.5]])
def test_weights_of_rows_that_are_read_as_a_feature_are_told(name: str, weights: list) -> None:
    column = column_of(labelled(**{name: weights * 20}), name)
    assert column.role == "cell"
    assert "how much each row counts, and is read as a feature" in column.remark
    assert column_of(labelled(weight=weights * 20), "weight").remark.count("row counts") == 0


@pytest.mark.parametrize(
    ("years", "told"),
    [(0, False), (1, False), (33, True), (-60, True), (-543, True), (543, True)],
)
@pytest.mark.parametrize("write", [str, lambda d: f"{d:%d.%m.%Y}", pd.Timestamp])
def test_dates_far_from_those_of_training_are_told(
    years: int, told: bool, write: Callable[[datetime.date], Any]
) -> None:
    data = labelled(x=[str(d) for d in DAYS])
    known = schema.infer(data, "label", Choices(schema={"size": "ignore"}))
    (field,) = known.fields
    table = Table().fit(TrainingCells(data.cells(field)), field, {"x": "date"}, Runtime())
    new = [None, *({"x": write(d.replace(year=d.year + years, day=1))} for d in DAYS)]
    if write is pd.Timestamp and abs(years) > 300:
        new = [{"x": datetime.datetime(2023 + years, 1, 1 + k)} for k in range(9)]
    far = table.far(new)
    assert set(far) == ({"x"} if told else set())
    if told:
        assert far["x"].low[:4] in ("2021", "2022") and far["x"].high[:4] in ("2023", "2024")


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((16, 20, 3), True),
        ((16, 20, 4), True),
        ((28, 28, 1), True),
        ((3, 16, 20), True),
        ((16, 3, 20), False),
        ((16, 16, 16), False),
        ((3, 4, 3), False),
        ((16, 16, 16, 3), False),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_arrays_of_images_that_are_read_as_volumes_are_told(
    shape: tuple[int, ...], told: bool, kind: type, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.ones(shape, kind))
    np.savez(tmp_path / "x.npz", x=np.ones(shape, kind))
    for name in ("x.npy", "x.npz"):
        volume, note = open_volume(name, tmp_path, VolumeOpening())
        assert volume.values.shape == (*shape, 1)[:4] and ("may be an image" in note) == told


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ([-999.0], "samples of -999, which may mean missing"),
        ([9999.0, 9999.0], "samples of 9999, which may mean missing"),
        (
            [0.25, None, 0.75, -99.0],
            "missing samples filled in, samples of -99, which may mean missing",
        ),
        ([0.0], ""),
        ([1.5], ""),
        ([-998.0], ""),
    ],
)
def test_samples_that_may_mean_missing_are_told(planted: list, told: str) -> None:
    waves = [[*np.sin(np.arange(30.0) + k), *planted, 0.5] for k in range(ROWS)]
    data = labelled(x=waves)
    known = schema.infer(data, "label", Choices(schema={"size": "ignore"}))
    (field,) = known.fields
    cells = data.cells(field)
    fitted = Series().fit(TrainingCells(cells), field, {"x": "series"}, Runtime())
    assert {fitted.decode(cell, data.root)[1] for cell in cells if cell} == {told}
    steps = {"x": [0, 99, 0, 99, 99, 0, 0, 1, 99]}
    assert fitted.decode(steps, data.root)[1] == ""


@pytest.mark.parametrize(
    "cell",
    [
        [1.0, None, 3.0, 4.0],
        [1, 2, float("nan"), 4],
        [[1.0, 2.0, None, 0.5], [3.0, None, 5.0, 7.0]],
        [None, 2.5, 3.5],
        ["a red apple", None, "a green one"],
        [None, None],
        [],
    ],
)
@pytest.mark.parametrize("held", [list, tuple, np.array, pd.array])
def test_a_hole_in_a_list_of_a_frame_is_that_of_a_file(
    cell: list, held: Callable[[list], Any], tmp_path: Path
) -> None:
    if (held is np.array and any(isinstance(v, list) for v in cell)) or (
        held is pd.array and not all(isinstance(v, int | float) for v in cell)
    ):
        held = list
    line = json.dumps({"x": cell, "y": 1}).replace("NaN", "null")
    (tmp_path / "a.jsonl").write_text(f"{line}\n{line}\n")
    frame = pd.DataFrame({"x": [held(cell), held(cell)], "y": [1, 1]})
    assert from_frame(frame).values("x") == read(tmp_path / "a.jsonl").values("x")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["79E6", "12E3", "45E1"], "'79E6' is read as 79000000; as the name of something"),
        (["1234", "12e4", "9981"], "'12e4' is read as 120000; as the name of something"),
        (["1E5", "7", "2"], "'1E5' is read as 100000; as the name of something"),
        (["1.5e3", "2.5e3", "7.25e1"], ""),
        (["1e-05", "2e-05", "1e+20"], ""),
        (["1", "2.5", "4e2"], ""),
    ],
)
def test_codes_that_are_powers_of_ten_are_told(written: list[str], said: str) -> None:
    column = column_of(labelled(x=written * 20), "x")
    assert column.kind == "number"
    assert column.remark.startswith(said) if said else column.remark == ""


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([f"<{k}.5" if k % 3 == 0 else f"{k}.25" for k in range(ROWS)], "Cells such as '<0.5'"),
        ([f"{k}.7M" if k % 2 else f"{900 - k}K" for k in range(ROWS)], "Cells such as '900K'"),
        ([f"{k}h {k % 7}m" for k in range(ROWS)], "Cells such as '0h 0m'"),
        ([f"{'Ab'[k % 2]}{k // 2}" for k in range(ROWS)], ""),
    ],
)
def test_a_target_of_numbers_that_are_none_is_refused_for_that(
    answers: list[str], said: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"size": [0.5, 1.5, 2.25] * 20, "label": answers})
    with pytest.raises(GobelinError) as refused:
        Workbench(frame, target="label", run=tmp_path / "run").check()
    assert "0 classes stand in training, validation and test" in str(refused.value)
    assert ("are no numbers, so all are classes" in str(refused.value)) == bool(said)
    assert said in str(refused.value)


def test_a_lack_of_classes_is_told_with_the_remark_on_the_target(tmp_path: Path) -> None:
    part = ["train", "valid", "test"]
    for names in (["Cat", "cat", "cAt"], [">50K", ">50K.", ">50K"], ["yes", "y", "Yes"]):
        frame = pd.DataFrame(
            {
                "size": [0.5, 1.5, 2.25] * 20,
                "split": part * 20,
                "label": [names[k % 3] if k < 40 else f"other {k % 3}" for k in range(ROWS)],
            }
        )
        with pytest.raises(GobelinError, match="classes stand in training.* different values"):
            Workbench(frame, target="label", run=tmp_path / "run").check()


@pytest.mark.parametrize(
    "cell", [{"x": 1.5, "z": "b"}, {"x": {"w": 2}, "z": None}, {"x": [1.5, 2.5], "z": True}]
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_objects_in_cells_are_told_with_a_remedy_that_works(
    cell: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    rows = [{"p": {**cell, "n": k}, "size": k % 7 + 0.5, "label": "ab"[k % 2]} for k in range(ROWS)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    column = column_of(read(path), "p")
    assert column.role == "ignore" and "are objects (x, z, n)" in column.remark
    flat = from_frame(pd.json_normalize(rows))
    assert {"p.z", "size"} <= set(flat.column_names) and "p" not in flat.column_names
