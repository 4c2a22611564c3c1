"""Tables as people have them, each with the right reading. Nothing is lost without a line."""

from __future__ import annotations

import codecs
import datetime
import json
import shlex
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Target
from gobelin.data.read import read
from gobelin.data.targets import target_of
from gobelin.data.values.dates import days
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import Table
from gobelin.workbench.bench import Workbench

N = 60
CAPTIONS = [f"{('a warm red thing', 'a cold blue thing')[k % 2]} {k}" for k in range(N)]
LABELS = ["red" if k % 2 else "blue" for k in range(N)]
QUICK = {
    "encoders.text.name": "characters",
    "align.steps": 0,
    "align.width": 8,
    "predict.folds": 2,
    "predict.decays": (0.01,),
    "fusion.settings.steps": 20,
    "runtime.device": "cpu",
}


def table(**columns: Sequence[Any]) -> Dataset:
    given = {"caption": CAPTIONS, "label": LABELS, **columns}
    return Dataset(pa.table({n: pa.array(list(v)) for n, v in given.items()}), Path(), "x.csv")


def column(data: Dataset, name: str, **chosen: Any) -> Column:  # noqa: ANN401
    found = schema.infer(data, "label", Choices(**chosen))
    return next(c for c in found.columns if c.name == name)


def target(values: Sequence[Any], **chosen: Any) -> tuple[Target, str]:  # noqa: ANN401
    """The target that these values are read as, and the line that says so."""
    data = table(label=values)
    found = schema.infer(data, "label", Choices(**chosen))
    lines = [line for line in schema.remarks(found) if line.startswith("column 'label'")]
    return target_of(data, found), " ".join(lines)


def written(path: Path, text: str, encoding: str = "utf-8") -> Dataset:
    path.write_bytes(text.encode(encoding))
    return read(path)


# the same value written otherwise


@pytest.mark.parametrize(
    ("learned", "new"),
    [
        (["0", "1"], [0.0, 1.0]),
        (["0", "1"], ["0.0", "1.00"]),
        ([0, 1], ["0 ", " 1"]),
        ([False, True], ["FALSE", "true"]),
        (["False", "True"], [0, 1]),
        (["1.5", "2.5"], ["1.50", "2.500"]),
        (["cafe\u0301", "the"], ["caf\u00e9", "the"]),
    ],
)
def test_a_value_is_one_category_however_it_is_written(learned: list[Any], new: list[Any]) -> None:
    cells = [{"x": learned[k % 2]} for k in range(40)]
    field = Field("table", "table", ("x",), "category")
    encoder = Table().fit(TrainingCells(cells), field, {"x": "category"}, Runtime())
    codes = [
        encoder.embed([encoder.decode({"x": v}, Path())[0]])[0].tolist() for v in (*learned, *new)
    ]
    assert codes[:2] == codes[2:] and codes[0] != codes[1]
    other = encoder.decode({"x": "01"}, Path())[0]
    assert not other.any(), "a code with a zero before it is another value"


def test_spellings_in_training_are_one_level() -> None:
    cells = [{"x": ("1", 1.0, True, "1 ", "TRUE", "0")[k % 6]} for k in range(60)]
    field = Field("table", "table", ("x",), "category")
    encoder = Table().fit(TrainingCells(cells), field, {"x": "category"}, Runtime())
    assert encoder.columns["x"]["values"] == ["1", "0"]


# targets


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "n/a", "NULL", "NaT"])
def test_a_word_for_nothing_is_no_class(word: str) -> None:
    read_as, line = target([word if k % 10 == 0 else v for k, v in enumerate(LABELS)])
    assert read_as.classes == ("blue", "red") and (~read_as.present).sum() == 6
    assert f"6 rows say {word!r}, read as missing" in line


@pytest.mark.parametrize("word", ["none", "NA", "None", "?"])
def test_a_word_among_the_levels_is_a_class(word: str) -> None:
    values = [word if k % 3 == 0 else ("crack", "dent")[k % 2] for k in range(N)]
    read_as, line = target(values)
    assert set(read_as.classes) == {word, "crack", "dent"} and read_as.present.all()
    assert f"--set {shlex.quote(f'data.missing={word}')}" in line
    without, line = target(values, missing=(word,))
    assert without.classes == ("crack", "dent") and (~without.present).sum() == 20 and not line


def test_none_among_few_numbers_is_a_class() -> None:
    """Faultless parts, among kinds of faults with numbers."""
    read_as, line = target(["none" if k % 5 else str(k % 3) for k in range(N)])
    assert read_as.kind == "class" and read_as.classes == ("0", "1", "2", "none")
    assert read_as.present.all() and "read as a class" in line
    measured, _ = target(["none" if k % 5 == 0 else f"{k}.5" for k in range(N)])
    assert measured.kind == "number" and measured.present.sum() == 48


@pytest.mark.parametrize(
    "codes", [("007", "07", "7", "70"), ("01", "02", "10"), ("1_0", "1_1"), ("00", "11")]
)
def test_codes_are_classes(codes: tuple[str, ...]) -> None:
    read_as, _ = target([codes[k % len(codes)] for k in range(N)])
    assert read_as.kind == "class" and read_as.classes == tuple(sorted(codes))


def test_few_whole_numbers_are_told_with_the_other_reading() -> None:
    read_as, line = target([k % 4 for k in range(N)])
    assert read_as.kind == "number" and "--set schema.label=category" in line
    assert target([k % 4 for k in range(N)], schema={"label": "category"})[1] == ""
    assert target([f"{k}.25" for k in range(N)])[1] == ""


@pytest.mark.parametrize("values", [(True, False), ("TRUE", "false"), ("True", "False")])
def test_truth_is_two_classes(values: tuple[Any, Any]) -> None:
    read_as, _ = target([values[k % 2] for k in range(N)])
    assert read_as.classes == tuple(sorted(map(str, values)))


# roles by name and content


@pytest.mark.parametrize(
    "name", ["split", "subset", "Partition", "data_split", "set", "train/test", "stage", "cv"]
)
@pytest.mark.parametrize(
    "words",
    [
        *[("training", "validation", "testing"), ("TRAIN", "dev", "Test"), ("train", "val")],
        *[("train set", "test set"), ("tr", "te"), ("Training", "PublicTest", "PrivateTest")],
    ],
)
def test_parts_by_name_and_words_are_the_split(name: str, words: tuple[str, ...]) -> None:
    data = table(**{name: [words[k // 2 % len(words)] for k in range(N)]})
    assert column(data, name).role == "split"


@pytest.mark.parametrize(
    ("name", "words"), [("split", ("pea", "bean")), ("weather", ("train", "test"))]
)
def test_neither_name_nor_words_alone_are_the_split(name: str, words: tuple[str, str]) -> None:
    data = table(**{name: [words[k // 2 % 2] for k in range(N)]})
    found = column(data, name)
    assert found.role == "cell"
    assert ("--set schema.weather=split" in found.remark) == (name == "weather")


def test_numbers_of_folds_are_told() -> None:
    found = column(table(fold=[k % 5 for k in range(N)]), "fold")
    assert found.role == "cell" and "--set schema.fold=ignore" in found.remark


SHUFFLED = np.random.default_rng(0).permutation(N).tolist()


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("__index_level_0__", SHUFFLED, "ignore"),
        ("Unnamed: 0", list(range(N)), "ignore"),
        ("Unnamed: 0", [f"car {k}" for k in range(N)], "ignore"),
        ("index", list(map(str, SHUFFLED)), "ignore"),
        ("row number", list(range(7, 7 + N)), "ignore"),
        ("rownames", list(range(1, N + 1)), "ignore"),
        ("S.No", list(range(1, N + 1)), "ignore"),
        ("Serial No.", SHUFFLED, "ignore"),
        ("V1", list(range(N)), "ignore"),
        ("V1", [k * 2 for k in range(N)], "cell"),
        ("PassengerId", list(range(N)), "id"),
        ("customer_id", [f"c{k * 7}" for k in range(N)], "id"),
        ("index", [k * 1.5 for k in range(N)], "cell"),
        ("count", list(range(N)), "cell"),
        ("humid", list(range(N)), "cell"),
        ("patient_id", [k // 4 for k in range(N)], "cell"),
        ("Unnamed: 0", [k % 5 for k in range(N)], "cell"),
    ],
)
def test_rows_are_numbered_only_by_name_and_content(
    name: str, values: list[Any], role: str
) -> None:
    data = table(**{name: values})
    found = schema.infer(data, "label", Choices())
    assert column(data, name).role == role
    said = [line for line in schema.remarks(found) if repr(name) in line]
    assert len(said) == (role != "cell")
    assert not said or "--set " + shlex.quote(f"schema.{name}=number")[:12] in said[0]


def test_what_pandas_writes_needs_no_repair(tmp_path: Path) -> None:
    frame = pd.DataFrame({"caption": CAPTIONS, "label": LABELS}).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    for path, name in (("a.csv", "Unnamed: 0"), ("a.parquet", "__index_level_0__")):
        data = read(tmp_path / path)
        assert column(data, name).role == "ignore"
        assert data.values("caption") == frame["caption"].tolist()


# numbers of the world


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,5", "-0,25", "3"], [1.5, -0.25, 3]),
        (["1.234,5", "2.000", "-3,25"], [1234.5, 2000, -3.25]),
        (["1,234.5", "2,000", "3"], [1234.5, 2000, 3]),
        (["1,234,567", "12,345", "9"], [1234567, 12345, 9]),
        (["1 234", "12\u202f345,5", "6,5"], [1234, 12345.5, 6.5]),
        (["1'234.50", "2’000", "3"], [1234.5, 2000, 3]),
        (["$1,200.50", "-$3", "($4.25)"], [1200.5, -3, -4.25]),
        (["3,50 €", "4 EUR", "€ 1.000,25"], [3.5, 4, 1000.25]),
        (["12 %", "3.5%", "-1%"], [0.12, 0.035, -0.01]),
        (["−5", "+2", "1e3"], [-5, 2, 1000]),
    ],
)
def test_numbers_are_read_as_they_are_written(texts: list[str], numbers: list[float]) -> None:
    several = [texts[k % len(texts)] for k in range(N)]
    assert column(table(width=several), "width").kind == "number"
    read_as, _ = target(several, schema={"label": "number"})
    assert read_as.values[: len(texts)] == pytest.approx(numbers)
    # the encoder learns the same as from plain numbers
    field = Field("table", "table", ("x",), "number")
    plain, other = (
        Table().fit(
            TrainingCells([{"x": v[k % len(v)]} for k in range(N)]),
            field,
            {"x": "number"},
            Runtime(),
        )
        for v in (numbers, texts)
    )
    for number, text in zip(numbers, texts, strict=True):
        assert other.decode({"x": text}, Path())[0] == pytest.approx(
            plain.decode({"x": number}, Path())[0]
        )


def test_a_comma_with_two_readings_is_told() -> None:
    found = column(table(people=[f"{k + 1},{k * 7 % 1000:03d}" for k in range(N)]), "people")
    assert found.kind == "number" and "'1,000' is read as 1000" in found.remark


@pytest.mark.parametrize("cells", ["5 kg", "3/4", "1.2.3", "10-20"])
def test_what_is_not_read_is_told(cells: str) -> None:
    found = column(table(odd=[f"{cells}{k}" for k in range(N)]), "odd")
    assert found.role == "ignore" and repr(cells + "0") in found.remark
    assert "--set schema.odd=" in found.remark


def test_columns_of_which_the_same_is_said_share_a_line() -> None:
    found = schema.infer(table(**{f"c{k}": ["x"] * N for k in range(9)}), "label", Choices())
    (line,) = schema.remarks(found)
    assert "'c4' and 4 more" in line and "every cell is the same" in line


# dialects

ROWS = list(zip(CAPTIONS, map(str, range(N)), LABELS, strict=True))


def body(mark: str, header: str = "caption,size,label") -> str:
    lines = [header.replace(",", mark), *(mark.join(row) for row in ROWS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sep=;\n" + body(";"), "utf-8"),
        ("SEP=|\r\n" + body("|"), "utf-8"),
        ("\ufeffsep=\t\n" + body("\t"), "utf-8"),
        (body(";"), "utf-16"),
        (body("\t"), "utf-16"),
        (body(","), "utf-8-sig"),
        (body("|"), "utf-8"),
        (codecs.BOM_UTF16_BE.decode("utf-16-be") + body(","), "utf-16-be"),
    ],
)
def test_dialects_are_read(text: str, encoding: str, tmp_path: Path) -> None:
    data = written(tmp_path / "a.csv", text, encoding)
    assert data.column_names == ["caption", "size", "label"]
    assert list(zip(*map(data.values, data.column_names), strict=True)) == ROWS


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_header_may_hold_other_delimiters(mark: str, tmp_path: Path) -> None:
    header = mark.join(["caption, in English, short, or long", "size", "label"])
    data = written(tmp_path / "a.csv", "\n".join([header, *(mark.join(r) for r in ROWS)]))
    assert data.values("label") == LABELS and len(data.column_names) == 3


def test_a_quoted_header_may_hold_the_delimiter(tmp_path: Path) -> None:
    text = body(",").replace("caption", '"caption; a; b; c"', 1)
    assert written(tmp_path / "a.csv", text).column_names[0] == "caption; a; b; c"


def test_broken_utf_16_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF16_LE + b"a\0,\0b\0\n\0\x00\xd8x\0")
    with pytest.raises(GobelinError, match="UTF-16"):
        read(tmp_path / "a.csv")


# Parquet and JSON lines

TYPES: dict[str, tuple[Callable[[], pa.Array], list[Any]]] = {
    "views": (lambda: pa.array(CAPTIONS, pa.string_view()), CAPTIONS),
    "dictionary of views": (lambda: pa.array(CAPTIONS).dictionary_encode(), CAPTIONS),
    "lists of views": (
        lambda: pa.array([[c, c] for c in CAPTIONS], pa.list_(pa.string_view())),
        [[c, c] for c in CAPTIONS],
    ),
    "durations": (
        lambda: pa.array([datetime.timedelta(milliseconds=k) for k in range(N)]),
        [k / 1000 for k in range(N)],
    ),
    "decimals": (
        lambda: pa.array([Decimal(k) / 4 for k in range(N)], pa.decimal128(8, 2)),
        [Decimal(k) / 4 for k in range(N)],
    ),
    "bytes as views": (
        lambda: pa.array([bytes([k + 128]) for k in range(N)], pa.binary_view()),
        [bytes([k + 128]) for k in range(N)],
    ),
}


@pytest.mark.parametrize("name", TYPES)
def test_types_of_parquet_are_read(name: str, tmp_path: Path) -> None:
    made, values = TYPES[name]
    pq.write_table(
        pa.table({"x": made(), "caption": CAPTIONS, "label": LABELS}), tmp_path / "a.parquet"
    )
    data = read(tmp_path / "a.parquet")
    assert data.values("x") == values
    assert data.rows([3, 1]).values("x") == [values[3], values[1]]
    expected = {"durations": "number", "decimals": "number", "bytes as views": "unknown"}
    assert column(data, "x").kind == expected.get(name, "text")


def classes_of(tmp_path: Path, numbers: list[int | None], declared: Any) -> Dataset:  # noqa: ANN401
    meta = {b"huggingface": json.dumps({"info": {"features": declared}}).encode()}
    made = pa.table({"caption": CAPTIONS, "label": numbers}).replace_schema_metadata(meta)
    pq.write_table(made, tmp_path / "a.parquet")
    return read(tmp_path / "a.parquet")


def test_declared_classes_have_their_names(tmp_path: Path) -> None:
    names = ["cat", "dog", "owl"]
    declared = {"label": {"names": names, "_type": "ClassLabel"}}
    data = classes_of(tmp_path, [-1 if k == 5 else k % 3 for k in range(N)], declared)
    assert data.values("label") == [None if k == 5 else names[k % 3] for k in range(N)]
    assert target_of(data, schema.infer(data, "label", Choices())).classes == tuple(names)


@pytest.mark.parametrize("large", [False, True])
def test_lists_of_declared_classes_have_their_names(large: bool, tmp_path: Path) -> None:
    names = ["cat", "dog", "owl"]
    rows = [None if k % 7 == 6 else list(range(k % 4)) for k in range(N)]
    kind = (pa.large_list if large else pa.list_)(pa.int64())
    declared = {"label": {"_type": "List", "feature": {"names": names, "_type": "ClassLabel"}}}
    meta = {b"huggingface": json.dumps({"info": {"features": declared}}).encode()}
    made = pa.table({"caption": CAPTIONS, "label": pa.array(rows, kind)})
    pq.write_table(made.replace_schema_metadata(meta), tmp_path / "a.parquet")
    labels = read(tmp_path / "a.parquet").table["label"].to_pylist()
    assert labels == [row and [names[k] for k in row] for row in rows]


@pytest.mark.parametrize(
    "declared",
    [
        {"label": {"names": ["cat"], "_type": "ClassLabel"}},  # fewer names than numbers
        {"label": {"dtype": "int64", "_type": "Value"}},
        {"other": {"names": ["cat"], "_type": "ClassLabel"}},
        {"label": {"_type": "ClassLabel"}},
        ["label"],
    ],
)
def test_other_declarations_change_nothing(declared: Any, tmp_path: Path) -> None:  # noqa: ANN401
    data = classes_of(tmp_path, [k % 3 for k in range(N)], declared)
    assert data.values("label") == [k % 3 for k in range(N)]


@pytest.mark.parametrize(
    ("escape", "read_as"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\ud83d and more", "\ufffd and more"),
        (r"\ud83d\ude00", "\N{GRINNING FACE}"),
        (r"\\ud83d", "\\ud83d"),
    ],
)
def test_half_an_emoji_costs_one_letter(
    escape: str, read_as: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f'{{"caption": "{escape if k == 5 else k}", "label": "a"}}' for k in range(9)]
    data = written(tmp_path / "a.jsonl", "\n".join(lines))
    assert data.values("caption")[5] == read_as
    assert ("first: line 6" in caplog.text) == ("\ufffd" in read_as)


# whole runs


def test_check_and_predict_say_in_a_line_what_they_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    flag = rng.integers(0, 2, N)
    frame = pd.DataFrame(
        {"flag": flag, "noise": rng.normal(size=N).round(3), "label": flag ^ (rng.random(N) < 0.1)}
    )
    frame["label"] = frame["label"].map({0: "no", 1: "yes"})
    frame.to_csv(tmp_path / "a.csv")
    bench = Workbench(tmp_path / "a.csv", "label", tmp_path / "run", QUICK)
    bench.fit()
    assert "column 'Unnamed: 0': an index of rows" in caplog.text
    same = pd.DataFrame({"flag": [0, 1] * 5, "noise": [0.0] * 10})
    expected = bench.predict(same).probabilities
    assert expected[0].argmax() != expected[1].argmax()
    caplog.clear()
    other = same.assign(flag=["0.0", "TRUE"] * 5)
    assert bench.predict(other).probabilities == pytest.approx(expected)
    assert not caplog.text
    bench.predict(same.assign(flag=["maybe", "1"] * 5, more=1).drop(columns="noise"))
    (line,) = [r.getMessage() for r in caplog.records]
    for part in (
        "1 column is missing ('noise')",
        "1 column is not known ('more')",
        "'flag': 5",
    ):
        assert part in line


def test_a_begun_run_keeps_its_reading(tmp_path: Path) -> None:
    """What was fitted rests on it: a later version may read a column in another way."""
    rows = {"caption": CAPTIONS, "size": range(N), "label": LABELS}
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    Workbench(tmp_path / "a.csv", "label", tmp_path / "run", QUICK).check()
    place = tmp_path / "run" / "schema.json"
    stored = json.loads(place.read_text())
    (size,) = [c for c in stored["columns"] if c["name"] == "size"]
    size.update(reason="of an earlier version")
    place.write_text(json.dumps(stored))
    for settings in ({}, {"schema": {"size": "category"}}):
        bench = Workbench(tmp_path / "a.csv", "label", tmp_path / "run", {**QUICK, **settings})
        found = bench.run.data.rows.schema.column("size")
        assert (found.reason == "of an earlier version") == (not settings)


# dates of the world


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24/12/2026 3:05 PM", "2026-12-24T15:05"),
        ("24/12/2026 12:05 am", "2026-12-24T00:05"),
        ("2026-12-24 11:30:10 P.M.", "2026-12-24T23:30:10"),
        ("2026-12-24 10:00:00 UTC", "2026-12-24T10:00"),
        ("2026-12-24T10:00:00Z", "2026-12-24T10:00"),
        ("2026-12-24 10:00:00+02:00", "2026-12-24T08:00"),
        ("24 Dec 2026 10:00 GMT", "2026-12-24T10:00"),
        ("24 Dec 2026 10:00 -0130", "2026-12-24T11:30"),
        ("24/12/26", "2026-12-24"),
        ("24.12.99", "1999-12-24"),
        ("24-Dec-68", "2068-12-24"),
        ("24/12/69 1:00 pm", "1969-12-24T13:00"),
    ],
)
def test_dates_are_read_as_they_are_written(text: str, moment: str) -> None:
    """Against numpy, in days since 1970-01-01."""
    expected = np.datetime64(moment, "s").astype(int) / 86400
    assert days(text, "day_first") == pytest.approx(expected, abs=1e-9)
    assert (
        column(
            table(
                day=[
                    text.replace("24", f"{k % 9 + 14}", 1)
                    if "2026-12-24" not in text
                    else text.replace("-24", f"-{k % 9 + 14}", 1)
                    for k in range(N)
                ]
            ),
            "day",
        ).kind
        == "date"
    )


@pytest.mark.parametrize(
    "text", ["24/12/2026 13:00 PM", "24/12/2026 0:30 am", "1.2.10", "12-24-26", "1.2.3.4", "5/26"]
)
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert days(text, "day_first") is None and days(text, "month_first") is None
