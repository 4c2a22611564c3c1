"""Planted columns must be recognised; what the user says wins; every mistake is named at once."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import Sample

N, FILE = 60, Path("schema.json")
WORDS = "red green small old wooden house tree bird river stone bright cold".split()
RNG = np.random.default_rng(0)


def sentences() -> list[str]:
    return [" ".join(RNG.choice(WORDS, 5)) + f" {WORDS[k % 12]}" for k in range(N)]


PLANTED: dict[str, tuple[str, list[Any]]] = {
    "sentence": ("text", sentences()),
    "translations": ("text", [[s, s.upper()] for s in sentences()]),
    "titles": ("text", [f"{RNG.choice(WORDS)} {RNG.choice(WORDS)}" for _ in range(N)]),
    "three_words": ("category", [["red", "green", "blue"][k % 3] for k in range(N)]),
    "codes": ("category", [f"A{k % 5}" for k in range(N)]),
    "flag": ("category", [k % 3 == 0 for k in range(N)]),
    "zero_one": ("category", [str(k % 2) for k in range(N)]),
    "price": ("number", [f"{x:.2f}" for x in RNG.normal(size=N)]),
    "with_holes": ("number", [None if k % 3 else "NA" if k % 2 else str(k) for k in range(N)]),
    "count": ("number", list(range(N))),
    "day": ("date", [str(np.datetime64("2020-01-30") + k) for k in range(N)]),
    "slashed": ("date", [f"2020/01/{k % 28 + 1:02d}" for k in range(N)]),
    "moment": ("date", [datetime.datetime(2020, 1, 1, k % 24) for k in range(N)]),
    "photo": ("image", [f"{k}.JPG" for k in range(N)]),
    "photos": ("image", [[f"{k}.png", f"{k}b.png"] for k in range(N)]),
    "pixels": ("image", [b"\x89PNG" + bytes([k]) for k in range(N)]),
    "web_pixels": ("image", [b"RIFF\x10\0\0\0WEBP" + bytes([k]) for k in range(N)]),
    "sound": ("audio", [f"{k}.wav" for k in range(N)]),
    "sounds": ("audio", [[f"{k}.ogg", f"{k}.FLAC"] for k in range(N)]),
    "waves": ("audio", [b"RIFF\x10\0\0\0WAVE" + bytes([k]) for k in range(N)]),
    "film": ("video", [f"{k}.mp4" for k in range(N)]),
    "numbers_in_lists": ("unknown", [[k, k + 1] for k in range(N)]),
    "things": ("unknown", [{"a": k} for k in range(N)]),
}


def planted(*names: str, **more: list[Any]) -> Dataset:
    columns = {n: PLANTED[n][1] for n in names} | more
    return Dataset(pa.table({n: pa.array(v) for n, v in columns.items()}), Path(), "x.csv")


def inferred(data: Dataset, target: str | None = None, **said: Any) -> Schema:  # noqa: ANN401
    return schema.infer(data, target, Choices(**said))


@pytest.mark.parametrize("name", PLANTED)
def test_kinds_are_recognised(name: str) -> None:
    found = inferred(planted(name, **{"anchor": list(range(N))}))
    assert found.kind(name) == PLANTED[name][0]
    (column,) = [c for c in found.columns if c.name == name]
    assert (
        column.role == ("ignore" if column.kind == "unknown" else "cell")
        and 0 <= column.confidence <= 1
    )
    assert (name in found.unread) == (column.kind == "video")


@pytest.mark.parametrize(
    "values",
    [(), ([1, 2],), ({"a": 1},), (b"x",), (True,), ("",), ([],), (None,), (1, "a", b"b", [None])],
)
def test_no_bid_fails_on_odd_values(values: tuple[Any, ...]) -> None:
    for name in catalog.names("encoders"):
        bid = catalog.find("encoders", name).bid(Sample("x", values, 10, Path()))
        assert bid is None or 0 <= bid.confidence <= 1


def test_roles_are_recognised_by_name_and_content() -> None:
    split = ["Train", "valid", "test"] * 20
    found = inferred(planted("price", ID=list(range(N)), split=split, key=[1] * 59 + [2]))
    assert (
        found.role("id") == "ID" and found.role("split") == "split" and found.role("group") is None
    )
    assert {c.name for c in found.columns if c.role == "cell"} == {"price", "key"}
    # another word is refused once the rows are split; the column is never a feature
    assert inferred(planted("price", split=[*split[:-1], "else"])).role("split") == "split"


def test_empty_and_constant_columns_are_ignored() -> None:
    found = inferred(
        planted(
            "price", none=[None] * N, blank=["  "] * N, same=["x"] * N, nearly=["x"] * 59 + [None]
        )
    )
    roles = {c.name: (c.kind, c.role) for c in found.columns}
    assert roles["none"] == roles["blank"] == ("empty", "ignore")
    assert roles["same"][1] == "ignore" and roles["nearly"][1] == "cell"


def test_what_the_user_says_wins() -> None:
    data = planted("price", "codes", "sentence", "day", "photo", "three_words")
    said = {
        "price": "category",
        "codes": "text",
        "sentence": "ignore",
        "day": "time",
        "three_words": "group",
    }
    found = inferred(data, schema=said)
    assert found.kind("price") == "category" and found.kind("codes") == "text"
    assert [found.role(r) for r in ("time", "group", "ignore")] == [
        "day",
        "three_words",
        "sentence",
    ]
    assert found.kind("day") == "date" and set(found.field_names) == {"codes", "photo", "table"}


def test_columns_of_a_table_are_one_field_and_others_one_each() -> None:
    found = inferred(
        planted("price", "sentence", "codes", "photo", "day", "titles", "sound", "film")
    )
    assert {f.name: (f.encoder, f.columns) for f in found.fields} == {
        "sentence": ("text", ("sentence",)),
        "photo": ("image", ("photo",)),
        "titles": ("text", ("titles",)),
        "table": ("table", ("price", "codes", "day")),
        "sound": ("audio", ("sound",)),
    }
    assert found.unread == ("film",)


def test_declared_fields_and_encoders() -> None:
    said = {
        "fields": {"words": ("sentence", "titles"), "money": ("price",)},
        "encoders": {"text": {"name": "characters"}},
    }
    found = inferred(planted("price", "sentence", "titles", "count"), **said)
    assert [(f.name, f.encoder, f.columns) for f in found.fields] == [
        ("words", "characters", ("sentence", "titles")),
        ("money", "table", ("price",)),
        ("table", "table", ("count",)),
    ]
    assert (
        schema.build_encoder(
            "characters", Choices(encoders={"text": {"name": "characters", "width": 7}})
        ).width
        == 7
    )
    with pytest.raises(
        GobelinError,
        match="fields.mixed: its columns are read by table, text; one encoder was expected",
    ):
        inferred(planted("price", "sentence"), fields={"mixed": ("price", "sentence")})
    with pytest.raises(GobelinError, match="fields.titles: two fields have this name"):
        inferred(planted("price", "titles"), fields={"titles": ("price",)})
    with pytest.raises(
        GobelinError, match="encoders.text.name: 'pixels' reads no text. Known: characters, text"
    ):
        inferred(planted("sentence"), encoders={"text": {"name": "pixels"}})


def test_all_mistakes_at_once() -> None:
    said = {
        "schema": {"pricee": "number", "price": "numbr"},
        "fields": {"f": ("codes", "cods")},
        "encoders": {"tabel": {}},
    }
    with pytest.raises(GobelinError) as caught:
        inferred(planted("price", "codes"), "cost", **said)
    assert str(caught.value).split("\n") == [
        "x.csv: no column 'cost' to be the target. Did you mean 'codes'?",
        "schema.pricee: x.csv has no such column. Did you mean 'price'?",
        "schema.price: no kind or role 'numbr'. Did you mean 'number'?",
        "fields.f: x.csv has no column 'cods'. Did you mean 'codes'?",
        "encoders.tabel: no such encoder. Did you mean 'table'?",
    ]


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(GobelinError, match=r"no column that an encoder reads: film \(video\)"):
        inferred(planted("film"))


def test_targets() -> None:
    data = planted("price", "count", y=[None if k % 4 == 0 else f"c{k % 3}" for k in range(N)])
    found = inferred(data, "y")
    target = target_of(data, found)
    assert target.classes == ("c0", "c1", "c2") and target.kind == "class"
    assert target.values.tolist() == [-1 if k % 4 == 0 else k % 3 for k in range(N)]
    assert target.present.tolist() == [k % 4 != 0 for k in range(N)]
    assert target_of(data, found, ("c1", "z")).values.tolist() == [
        0 if k % 4 and k % 3 == 1 else -1 for k in range(N)
    ]
    number = target_of(data, inferred(data, "price"))
    assert number.kind == "number" and number.values == pytest.approx(
        [float(v) for v in PLANTED["price"][1]]
    )
    assert target_of(data, inferred(data, "count", schema={"count": "category"})).kind == "class"
    assert not target_of(data, inferred(data)).present.any()
    with pytest.raises(GobelinError, match="row 1, column 'y': 'c1' is not a number"):
        target_of(data, inferred(data, "y", schema={"y": "number"}))


def test_too_many_classes() -> None:
    data = Dataset(
        pa.table({"y": [f"c{k}" for k in range(1001)], "x": list(range(1001))}), Path(), "x.csv"
    )
    with pytest.raises(GobelinError, match="1001 different classes, at most 1000"):
        target_of(data, inferred(data, "y"))


def test_written_and_read_again() -> None:
    found = inferred(
        planted("price", "sentence", "film", "day"), "price", fields={"s": ("sentence",)}
    )
    written = json.loads(json.dumps(schema.described(found)))
    assert schema.restored(written, FILE) == found
    assert all(set(field) == {"name", "encoder", "columns"} for field in written["fields"])
    kinds = {"s": "text", "table": "date"}  # `price` is the target: the table is dates alone
    assert {f.name: f.kind for f in schema.restored(written, FILE).fields} == kinds


def test_a_table_of_several_kinds_is_a_table() -> None:
    assert {f.kind for f in inferred(planted("price", "day")).fields} == {"table"}


def test_the_sample_set_is_read_as_planted(shapes_schema: Schema) -> None:
    kinds = {c.name: (c.kind, c.role) for c in shapes_schema.columns}
    assert kinds == {
        "id": ("number", "id"),
        "image": ("image", "cell"),
        "shape": ("category", "target"),
        "side": ("number", "cell"),
        "hue": ("number", "cell"),
        "noise": ("number", "cell"),
        "caption": ("text", "cell"),
    }


def test_weights_are_numbers_from_zero_up() -> None:
    table = pa.table(
        {"y": ["a", "b"] * 20, "x": [str(k) for k in range(40)], "w": ["2.5", None, "0", "1"] * 10}
    )
    data = Dataset(table, Path("."), "x.csv")
    found = schema.infer(data, "y", Choices(schema={"w": "weight"}))
    assert (
        schema.weights_of(data, found)[:4].tolist() == [2.5, 1.0, 0.0, 1.0]
        and "w" not in found.field_names
    )
    assert (
        schema.weights_of(data, schema.infer(data, "y", Choices(schema={"w": "ignore"}))).tolist()
        == [1.0] * 40
    )
    for bad in ("-1", "much", "inf"):
        broken = Dataset(table.set_column(2, "w", pa.array([bad] + ["1"] * 39)), Path("."), "x.csv")
        with pytest.raises(GobelinError, match=f"row 0, column 'w': '{bad}' is no weight"):
            schema.weights_of(broken, found)


@pytest.mark.parametrize("key", ["name", "kind", "role", "reason", "remark"])
@pytest.mark.parametrize("value", [None, 3, [], {"a": 1}])
def test_a_stored_schema_with_values_of_another_type_is_damaged(key: str, value: Any) -> None:
    table = pa.table({"a": ["x", "y"] * 30, "b": ["1.5", "2"] * 30})
    dataset = Dataset(table, Path(), "x.csv")
    stored = schema.described(schema.infer(dataset, "a", Choices()))
    assert schema.restored(json.loads(json.dumps(stored)), FILE)
    for inner, wrong in ((key, value), ("levels", [value]), ("missing", [value])):
        tree = json.loads(json.dumps(stored))
        tree["columns"][0][inner] = wrong
        with pytest.raises(GobelinError, match="is damaged"):
            schema.restored(tree, FILE)
    for field in ("name", "encoder"):
        tree = json.loads(json.dumps(stored))
        tree["fields"][0][field] = value
        with pytest.raises(GobelinError, match="is damaged"):
            schema.restored(tree, FILE)
