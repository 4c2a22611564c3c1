"""The file of predictions. Oracle: the columns that were put in, read back by other readers."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.prediction.predictor import Predictions
from gobelin.workbench.predict.predict import _without_classes
from gobelin.workbench.predict.prediction_file import SUFFIXES, alone, format_of, joined, write

NONE = np.zeros(0)
PREDICTIONS = Predictions(
    ids=("s-1", "s-2", "s-3"),
    classes=("cup", "jug"),
    probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]),
    values=NONE,
    low=NONE,
    high=NONE,
    fields=("photo", "table"),
    present=np.array([[True, True], [False, True], [False, False]]),
    sets=np.array([[True, False], [False, True], [True, True]]),
    id_column="sku",
)
OURS = ["prediction", "p_cup", "p_jug", "set", "present"]
DATA = {
    "sku": ["s-1", "s-2", "s-3"],
    "price": ["1,50", "007", None],
    "=odd name": ["a\nb", "tab\there", 'quo"te'],
}


def read_back(path: Path) -> list[dict[str, Any]]:
    if path.suffix in (".parquet", ".pq"):
        return pq.read_table(path).to_pylist()
    if path.suffix in (".jsonl", ".ndjson"):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_has_the_users_columns_first(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"pred{suffix}"
    table = joined(pa.table(DATA), PREDICTIONS)
    assert write(table, path, format_of(path), raw=True) == 0
    rows = read_back(path)
    assert list(rows[0]) == [*DATA, *OURS] and len(rows) == 3
    for name, values in DATA.items():
        assert [row[name] or None for row in rows] == values
    assert [row["prediction"] for row in rows] == ["cup", "jug", "cup"]
    assert [float(row["p_jug"]) for row in rows] == [0.1, 0.8, 0.5]
    assert rows[2]["set"] == "cup|jug" and rows[1]["present"] == "table"


def test_predictions_alone_have_the_ids_by_their_name(tmp_path: Path) -> None:
    write(alone(PREDICTIONS), tmp_path / "p.csv", ".csv")
    rows = read_back(tmp_path / "p.csv")
    assert list(rows[0]) == ["sku", *OURS] and [r["sku"] for r in rows] == DATA["sku"]


def test_a_name_that_is_taken_gets_a_number(caplog: pytest.LogCaptureFixture) -> None:
    taken = {"set": [1, 2, 3], "prediction": ["x"] * 3, "prediction_2": ["y"] * 3}
    names = joined(pa.table(taken), PREDICTIONS).column_names
    assert names == [*taken, "prediction_3", "p_cup", "p_jug", "set_2", "present"]
    assert [r.getMessage().count("already") for r in caplog.records] == [1, 1]


def test_an_id_column_called_as_one_of_ours_keeps_its_place() -> None:
    predictions = Predictions(**{**vars(PREDICTIONS), "id_column": "set"})
    assert alone(predictions).column_names == ["id", *OURS]
    assert joined(pa.table({"set": [1, 2, 3]}), predictions).column_names == [
        *("set", "prediction", "p_cup", "p_jug", "set_2", "present")
    ]


def test_bytes_stay_in_parquet_and_are_named_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    day = datetime.date(2026, 1, 2)
    held = {
        "photo": [b"\x89PNG", None, b"x"],
        "views": [[b"1"], [], None],
        "both": [{"bytes": b"1", "path": "a"}, None, None],
        "tags": [["a", "b"], [], None],
        "day": [day, None, day],
    }
    table = joined(pa.table(held), PREDICTIONS)
    write(table, tmp_path / "p.parquet", ".parquet")
    assert pq.read_table(tmp_path / "p.parquet").select(list(held)).to_pydict() == held
    assert not caplog.records
    for suffix in (".csv", ".jsonl"):
        write(table, tmp_path / f"p{suffix}", suffix)
        rows = read_back(tmp_path / f"p{suffix}")
        assert list(rows[0]) == ["tags", "day", *OURS]
    assert json.loads(read_back(tmp_path / "p.csv")[0]["tags"]) == ["a", "b"]
    assert read_back(tmp_path / "p.jsonl")[0]["tags"] == ["a", "b"]
    assert all("'photo', 'views', 'both'" in r.getMessage() for r in caplog.records)


def test_a_suffix_of_another_format_is_refused(tmp_path: Path) -> None:
    for name in ("pred.xlsx", "pred.json", "pred.txt"):
        with pytest.raises(GobelinError, match=r"no format for .*\.csv, \.tsv, \.parquet"):
            format_of(tmp_path / name)
    for name in ("pred", "pred.CSV"):
        assert format_of(tmp_path / name) == ".csv"


def test_half_a_character_is_written_as_an_escape(tmp_path: Path) -> None:
    """A lone surrogate, as of a file name that isn't UTF-8, reaches neither Arrow nor the file."""
    path = tmp_path / "p.jsonl"
    write(joined(pa.table({"a": ["é", "漢", "\u202e"]}), PREDICTIONS), path, ".jsonl")
    assert [row["a"] for row in read_back(path)] == ["é", "漢", "\u202e"]


def test_labels_are_names_and_a_frame_has_the_columns_of_the_file() -> None:
    assert PREDICTIONS.labels == ["cup", "jug", "cup"]
    frame = PREDICTIONS.to_frame()
    assert list(frame.columns) == ["sku", *OURS] and list(frame["prediction"]) == PREDICTIONS.labels
    several = Predictions(**{**vars(PREDICTIONS), "kind": "labels"})
    assert several.labels == [("cup",), ("jug",), ("cup", "jug")]
    number = Predictions(
        **{**vars(PREDICTIONS), "classes": (), "kind": "number", "values": np.ones(3)}
        | {"low": np.zeros(3), "high": np.full(3, 2.0), "sets": None}
    )
    assert list(number.to_frame().columns) == ["sku", "prediction", "low", "high", "present"]
    with pytest.raises(GobelinError, match="Use values"):
        _ = number.labels


def test_what_is_no_number_is_empty(tmp_path: Path) -> None:
    """JSON has no NaN: a strict reader would refuse the line."""
    nan, most = float("nan"), float("inf")
    held = {"a": [1.5, nan, most], "b": [[1.0, nan], [], None], "c": [b"1234"] * 3}
    types = [pa.float64(), pa.list_(pa.float64()), pa.binary(4)]
    arrays = [pa.array(v, kind) for v, kind in zip(held.values(), types, strict=True)]
    table = joined(pa.table(arrays, names=list(held)), PREDICTIONS)
    for suffix in (".csv", ".jsonl"):
        write(table, tmp_path / f"p{suffix}", suffix)
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in lines]
    assert [r["a"] for r in rows] == [1.5, None, "inf"] and "c" not in rows[0]
    assert [r["b"] for r in rows] == [[1.0, None], [], None]
    assert [r["a"] for r in read_back(tmp_path / "p.csv")] == ["1.5", "", "inf"]


def test_empty_sets_are_told() -> None:
    some = Predictions(**{**vars(PREDICTIONS), "sets": np.eye(3, 2, dtype=bool)})
    assert _without_classes(some).startswith("1 row has an empty set: no class is as probable")
    assert _without_classes(PREDICTIONS) == ""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_predicted_number_has_nine_digits(suffix: str, tmp_path: Path) -> None:
    values = np.array([14.396402966364754, 1234567.8912345, 2e-9 / 3, 12.0])
    found = Predictions(
        ("a", "b", "c", "d"),
        (),
        np.zeros((4, 0)),
        values,
        values - 1 / 3,
        values + 1 / 3,
        (),
        np.zeros((4, 0), bool),
        "number",
    )
    path = tmp_path / f"p{suffix}"
    write(alone(found), path, suffix)
    written = [float(row["prediction"]) for row in read_back(path)]
    assert written == pytest.approx(values, rel=1e-8)
    assert written[0] == 14.396403
    if suffix == ".csv":
        lines = path.read_text().splitlines()[1:]
        assert all(len(cell) <= 15 for line in lines for cell in line.split(","))
