"""What is planted is found and named, what is innocent is not."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset, derived_rows
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.data.image.images import png_bytes
from gobelin.data.provenance.marks import save_png
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.quality.data import Check, Scan, counts, duplicates, scan
from gobelin.quality.few_rows import few_rows
from gobelin.quality.giveaways import giveaways

CLASSES = ("a", "b", "c", "d")
FIELDS = ("image", "notes", "table")
SCHEMA = Schema(
    (
        Column("y", "category", "target"),
        Column("image", "image"),
        Column("notes", "text"),
        Column("size", "number"),
        Column("site", "category"),
    ),
    (
        Field("image", "pixels", ("image",), "image"),
        Field("notes", "characters", ("notes",), "text"),
        Field("table", "table", ("size", "site"), "table"),
    ),
)


def data(seed: int, n: int = 480, leak: str = "") -> tuple[Dataset, Target, np.ndarray]:
    """Fields present by chance, a table that knows nothing; or one planted leak."""
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=[0.4, 0.25, 0.2, 0.15])
    present = rng.random((n, 3)) < [0.9, 0.6, 0.8]
    size, site = rng.normal(size=n).round(3), rng.choice(["x", "y", "z"], n).astype(object)
    d = label == 3
    if leak == "present":
        present[:, 1] = d & (rng.random(n) < 0.8)
    elif leak == "absent":
        present[:, 1] = ~d
    elif leak == "number":
        size = label * 10.0 + rng.normal(size=n) * 0.1
    elif leak == "category":
        site = np.array([f"code {(7 * v) % 4}" for v in label], object)
    table = pa.table(
        {
            "y": [CLASSES[v] for v in label],
            "image": [b"1" if p else None for p in present[:, 0]],
            "notes": ["words" if p else None for p in present[:, 1]],
            "size": [
                str(v) if p or leak == "number" else None
                for v, p in zip(size, present[:, 2], strict=True)
            ],
            "site": list(site),
        }
    )
    return Dataset(table, Path()), Target("y", "class", label, CLASSES, np.ones(4, bool)), present


SEEN = np.arange(400)


def found_in(seed: int, leak: str = "", how: Check | None = None) -> tuple[list, tuple[str, ...]]:
    dataset, target, present = data(seed, leak=leak)
    return giveaways(dataset, SCHEMA, target, present, FIELDS, SEEN, how or Check())


@pytest.mark.parametrize("seed", range(12))
def test_innocent_fields_are_left_alone(seed: int) -> None:
    assert found_in(seed) == ([], ())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("leak", ["present", "absent"])
def test_presence_that_names_a_class_is_found(leak: str, seed: int) -> None:
    found, out = found_in(seed, leak)
    assert out == ("notes",)
    (one,) = found
    assert one.scope == {"field": "notes"} and f"notes {leak} means class 'd'" in one.note
    _, target, present = data(seed, leak=leak)
    there = present[:400, 1] if leak == "present" else ~present[:400, 1]
    assert one.value == pytest.approx((target.values[:400][there] == 3).mean()) == 1.0
    assert one.chance == pytest.approx((target.values[:400] == 3).mean()) and one.n == there.sum()


def test_a_presence_that_only_leans_is_not_called_a_leak() -> None:
    """Three quarters of its rows are of one class: useful, and honest."""
    dataset, target, present = data(0)
    rng = np.random.default_rng(0)
    present[:, 1] = np.where(target.values == 3, rng.random(480) < 0.9, rng.random(480) < 0.06)
    assert giveaways(dataset, SCHEMA, target, present, FIELDS, SEEN, Check())[1] == ()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("leak", "column"), [("number", "size"), ("category", "site")])
def test_a_column_that_copies_the_label_is_named_and_kept(
    leak: str, column: str, seed: int
) -> None:
    found, out = found_in(seed, leak)
    assert out == () and [f.scope for f in found] == [{"column": column}]
    if leak == "category":
        assert (
            found[0].value == 1.0
            and found[0].chance == 0.25
            and f"--set leave_out={column}" in found[0].note
        )


def test_only_the_training_rows_are_looked_at() -> None:
    dataset, target, present = data(0)
    present[400:, 1] = target.values[400:] == 3  # a leak among the others alone
    assert giveaways(dataset, SCHEMA, target, present, FIELDS, SEEN, Check()) == ([], ())
    few = np.flatnonzero(target.values == 3)[:9]
    assert giveaways(dataset, SCHEMA, target, present, FIELDS, few, Check()) == ([], ())
    number = Target("y", "number", target.values.astype(float))
    assert giveaways(dataset, SCHEMA, number, present, FIELDS, SEEN, Check()) == ([], ())


def test_unlabelled_rows_are_not_a_class() -> None:
    dataset, target, present = data(0)
    hidden = replace(target, values=np.where(np.arange(480) % 3 == 0, -1, target.values))
    present[:, 1] = hidden.values == -1  # present where there is no label at all
    assert giveaways(dataset, SCHEMA, hidden, present, FIELDS, np.arange(480), Check()) == ([], ())


# duplicates


def embeddings(seed: int = 0) -> tuple[Embeddings, np.ndarray]:
    rng = np.random.default_rng(seed)
    parts = np.array(["train"] * 200 + ["valid"] * 50 + ["test"] * 50)
    features = {
        "image": rng.normal(size=(300, 24)) * rng.uniform(0.5, 3, 24) + 5,
        "notes": rng.normal(size=(300, 10)),
    }
    features = {f: v.astype(np.float32) for f, v in features.items()}
    return (
        Embeddings(
            ("image", "notes"), features, np.ones((300, 2), bool), tuple(map(str, range(300))), "s"
        ),
        parts,
    )


@pytest.mark.parametrize("seed", range(3))
def test_planted_twins_are_found_and_nothing_else(seed: int) -> None:
    x, parts = embeddings(seed)
    clean, twins = duplicates(x, parts, Check())
    assert [f.value for f in clean] == [0, 0] and twins == []
    planted = {(3, 210, 0.0), (50, 299, 0.0), (77, 260, 0.02)}
    image = x.features["image"]
    for left, right, noise in planted:
        image[right] = image[left] + noise * np.random.default_rng(right).normal(size=24)
    image[10] = image[11]  # both train: not across a split
    image[280] = image[281]  # neither trains
    found, twins = duplicates(x, parts, Check())
    assert {f.scope["field"]: f.value for f in found} == {"image": 3, "notes": 0}
    assert {(t.left, t.right) for t in twins} == {(a, b) for a, b, _ in planted} and {
        t.field for t in twins
    } == {"image"}
    assert [t.closeness for t in twins] == sorted(t.closeness for t in twins)
    for t in twins:
        assert (
            t.closeness == pytest.approx(0, abs=1e-3)
            if (t.left, t.right) != (77, 260)
            else 0 < t.closeness < 0.3
        )


def test_closeness_is_the_distance_over_the_median(seed: int = 0) -> None:
    x, parts = embeddings(seed)
    x.features["image"][250] = x.features["image"][4] + 0.05
    _, twins = duplicates(x, parts, Check(near=0.5))
    v = x.features["image"].astype(float)
    own = [min(np.linalg.norm(v[i] - v[j]) for j in range(200) if j != i) for i in range(200)]
    (twin,) = twins
    assert twin.closeness == pytest.approx(np.linalg.norm(v[250] - v[4]) / np.median(own), rel=1e-4)


@pytest.mark.parametrize("different", [1, 2, 50])
def test_equal_cells_of_a_field_with_few_values_are_not_counted(different: int) -> None:
    x, parts = embeddings()
    few = np.random.default_rng(0).normal(size=(different, 10)).astype(np.float32)
    x.features["notes"][:] = few[np.arange(300) % different]
    found, twins = duplicates(x, parts, Check())
    image, notes = found
    assert (image.value, notes.value, notes.n) == (0, None, 100) and twins == []
    assert f"200 training rows hold {different} different values" in notes.note


@pytest.mark.parametrize("copies", [2, 3])
def test_images_that_were_copied_into_other_parts_are_counted(copies: int) -> None:
    x, parts = embeddings()
    x.features["image"][:] = x.features["image"][np.arange(300) // copies]
    mixed = np.random.default_rng(1).permutation(parts)
    found, _ = duplicates(x, mixed, Check())
    number = np.arange(300) // copies
    twins = np.isin(number[mixed != "train"], number[mixed == "train"]).sum()
    assert found[0].value == twins > 50


def test_absent_cells_are_nobodys_twins() -> None:
    x, parts = embeddings()
    x.present[::2, 0] = False
    x.features["image"][::2] = 0
    found, twins = duplicates(x, parts, Check())
    assert found[0].n == 50 and found[0].value == 0 and twins == []


# cells that can't be used


def images(tmp_path: Path, n: int = 20) -> tuple[Dataset, Schema]:
    rng = np.random.default_rng(0)
    for k in range(n):
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(
            tmp_path / f"{k}.png"
        )
    table = pa.table(
        {
            "image": [f"{k}.png" for k in range(n)],
            "caption": [f"a red circle {k}" for k in range(n)],
        }
    )
    schema = Schema(
        (Column("image", "image"), Column("caption", "text")),
        (
            Field("image", "pixels", ("image",), "image"),
            Field("caption", "characters", ("caption",), "text"),
        ),
    )
    return Dataset(table, tmp_path, "given.csv"), schema


@pytest.fixture
def folder(tmp_path: Path, shapes_reader: Embedder) -> tuple[Dataset, Embedder, Path]:
    dataset, schema = images(tmp_path)
    return dataset, Embedder(schema, {"image": shapes_reader.encoders["image"]}), tmp_path


def test_bad_cells_are_listed_and_set_aside_up_to_a_share(
    folder: tuple[Dataset, Embedder, Path],
) -> None:
    dataset, reader, path = folder
    (path / "3.png").write_bytes(b"no image")
    (path / "7.png").unlink()
    found = scan(reader, dataset, Check(max_bad=0.1))
    assert {(i, c) for i, c, _ in found.bad} == {("3", "image"), ("7", "image")}
    assert found.lines()[0] == "row 3, column 'image': is not an image (3.png)"
    values = found.dataset.values("image")
    assert [k for k, v in enumerate(values) if v is None] == [3, 7] and found.dataset.values(
        "caption"
    ) == dataset.values("caption")
    (path / "9.png").write_bytes((path / "9.png").read_bytes()[:60])
    with pytest.raises(
        GobelinError, match=r"given.csv, column 'image': 3 of 20 cells can't be used .first: row 3"
    ) as error:
        scan(reader, dataset, Check(max_bad=0.1))
    allowed = float(str(error.value).split("--max-bad ")[1].rstrip("."))
    assert len(scan(reader, dataset, Check(max_bad=allowed)).bad) == 3


def test_the_share_is_of_the_cells_that_are_there(folder: tuple[Dataset, Embedder, Path]) -> None:
    dataset, reader, path = folder
    sparse = Dataset(pa.table({"image": [f"{k}.png" if k < 10 else None for k in range(20)]}), path)
    (path / "3.png").write_bytes(b"x")
    assert len(scan(reader, sparse, Check(max_bad=0.1)).bad) == 1
    (path / "4.png").write_bytes(b"x")
    with pytest.raises(GobelinError, match="2 of 10"):
        scan(reader, sparse, Check(max_bad=0.1))


def test_converted_cells_are_counted(folder: tuple[Dataset, Embedder, Path]) -> None:
    dataset, reader, path = folder
    image = Image.open(path / "0.png").convert("RGB")
    image.convert("P").save(path / "1.png")
    image.convert("P").save(path / "2.png")
    image.convert("RGBA").save(path / "5.png")
    table = dataset.table.set_column(
        0, "image", pa.array([*(f"{k}.png" for k in range(18)), "cmyk.jpg", "deep.png"])
    )
    image.convert("CMYK").save(path / "cmyk.jpg")
    Image.fromarray(np.full((4, 4), 60_000, np.uint16)).save(path / "deep.png")
    found = scan(reader, Dataset(table, path), Check())
    assert found.converted == {
        "image: palette": ["1", "2"],
        "image: alpha": ["5"],
        "image: CMYK": ["18"],
        "image: 16 bits, all pixels equal": ["19"],
    }
    parts, target = np.full(20, "train"), Target("", "class", np.full(20, -1))
    patients = ["a" if k in (1, 2, 5) else "b" for k in range(20)]
    said = {
        f.scope["what"]: (f.value, f.n)
        for f in counts(found.dataset, reader.schema, target, parts, found, Check(), patients)
        if f.name == "converted_cells"
    }
    assert said == {what: (len(ids), 1) for what, ids in found.converted.items()}


def marked(path: Path) -> bytes:
    save_png(path / "made.png", np.zeros((8, 8, 3), np.uint8), {"generator": "gan"})
    return (path / "made.png").read_bytes()


@pytest.mark.parametrize("form", ["path", "bytes", "list", "list of bytes"])
def test_images_marked_as_generated_are_set_aside(
    form: str, folder: tuple[Dataset, Embedder, Path]
) -> None:
    dataset, reader, path = folder
    made, real = marked(path), (path / "0.png").read_bytes()
    values = {
        "path": ["made.png" if k == 4 else f"{k}.png" for k in range(20)],
        "bytes": [made if k == 4 else real for k in range(20)],
        "list": [["0.png", "made.png"] if k == 4 else [f"{k}.png"] for k in range(20)],
        "list of bytes": [[real, made] if k == 4 else [real] for k in range(20)],
    }[form]
    found = scan(reader, Dataset(pa.table({"image": values}), path), Check())
    assert [(i, c) for i, c, _ in found.bad] == [
        ("4", "image")
    ] and "marked as generated" in found.bad[0][2]
    assert found.dataset.values("image")[4] is None


def test_a_row_that_says_that_it_was_made_may_hold_a_marked_image(
    folder: tuple[Dataset, Embedder, Path],
) -> None:
    dataset, reader, path = folder
    made = derived_rows(
        dataset.rows([0, 1]), {"image": [marked(path)] * 2}, ["m0", "m1"], "generated", [{}, {}]
    )
    found = scan(reader, dataset.join(made), Check())
    assert found.bad == () and len(found.dataset) == 22


# counts


def test_rows_classes_and_missing_cells_are_counted() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2, 3, -1], [40, 30, 30, 14, 6])
    parts = rng.choice(["train", "valid", "test"], 120, p=[0.6, 0.2, 0.2])
    parts[label == 3] = "train"
    target = Target("y", "class", label, CLASSES, np.array([True, True, True, False]))
    missing = rng.random(120) < 0.3
    table = pa.table(
        {
            "y": [CLASSES[v] if v >= 0 else None for v in label],
            "image": [b"1"] * 120,
            "notes": [None if m else "words" for m in missing],
            "size": ["1"] * 120,
            "site": ["x"] * 108 + [None] * 12,
        }
    )
    dataset = Dataset(table, Path())
    bad = tuple((str(k), "image", "is damaged") for k in range(7))
    found = counts(dataset, SCHEMA, target, parts, Scan(dataset, bad, {}), Check())
    by = {(f.name, *f.scope.values()): f for f in found}
    for part in ("train", "valid", "test"):
        assert by["rows", part].value == (parts == part).sum()
    assert by["unlabelled_rows",].value == 6
    for k, c in enumerate(CLASSES):
        assert by["training_rows", c].value == ((label == k) & (parts == "train")).sum()
    assert (
        by["missing_cells", "notes"].value == pytest.approx(missing.mean())
        and by["missing_cells", "image"].value == 0
    )
    # of the table one column lacks cells: the table itself is there in every row
    assert by["missing_cells", "table"].value == 0 and by["missing_cells", "site"].value == 0.1
    assert ("missing_cells", "size") not in by
    aside = by["cells_set_aside",]
    assert aside.value == 7 and aside.note == "the first 5" and len(aside.cells) == 5
    assert "not in every split" in by["training_rows", "d"].note


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((3, 6, 9), "y: 3 of 3 classes have fewer than 10 training rows (3 to 9)"),
        ((5, 40, 5), "y: 2 of 3 classes have fewer than 10 training rows (5)"),
        ((10, 10, 10), ""),
    ],
)
def test_classes_with_few_training_rows_are_cautioned_of(
    sizes: tuple[int, ...], words: str
) -> None:
    label = np.repeat([0, 1, 2, -1], [*sizes, 4])
    target = Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))
    parts = np.full(len(label), "train")
    line = few_rows(target, parts)
    assert line.startswith(words) and bool(line) == bool(words)
    more = Target("y", "class", np.concatenate([label, [0, 1, 2] * 20]), ("a", "b", "c"))
    others = np.concatenate([parts, np.full(60, "test")])
    assert few_rows(more, others) == line  # rows of other parts teach nothing
    dataset = Dataset(pa.table({"image": [b"1"] * len(label)}), Path())
    schema = Schema((Column("image", "image"),), (Field("image", "pixels", ("image",), "image"),))
    found = counts(dataset, schema, target, parts, Scan(dataset, (), {}), Check())
    notes = [f.note for f in found if f.name == "training_rows"]
    assert ["few:" in note for note in notes] == [size < 10 for size in sizes]
    assert few_rows(Target("y", "number", np.arange(9.0)), np.full(9, "train")) == ""


@pytest.mark.parametrize(("few", "said"), [(11, True), (12, False)])
def test_a_scarce_class_is_one_under_the_share_of_the_median(few: int, said: bool) -> None:
    label = np.repeat([0, 1, 2], [24, 24, few])
    target = Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))
    dataset = Dataset(pa.table({"image": [b"1"] * len(label)}), Path())
    schema = Schema((Column("image", "image"),), (Field("image", "pixels", ("image",), "image"),))
    found = counts(
        dataset, schema, target, np.full(len(label), "train"), Scan(dataset, (), {}), Check()
    )
    notes = {f.scope["class"]: f.note for f in found if f.name == "training_rows"}
    assert ("scarce" in notes["c"]) == said and notes["a"] == notes["b"] == ""


def test_png_bytes_carry_no_mark_of_their_own() -> None:
    """What is only written to be read again says nothing; `save_png` is what marks."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))), pixels)
