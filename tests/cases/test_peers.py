"""Inputs that public issue trackers of other projects report, each with the right value here.

Oracle: what the reporters expected, or a line that names the cause.
"""

from __future__ import annotations

import datetime
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from coded_pictures import coded, pictures, table
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.split.part_names import as_words
from gobelin.data.split.splits import Split, assign
from gobelin.data.tables.frames import from_frame
from gobelin.data.targets import target_of
from gobelin.data.values.dates import days, undecided
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.workbench.bench import Workbench

N = 60
CAPTIONS = [f"a caption of {k} words" for k in range(N)]
CHOICES = Choices(encoders={"image": {"name": "pixels"}, "text": {"name": "characters"}})


# https://github.com/pytorch/vision/issues/2831: a hidden folder of a notebook becomes a class
def test_a_hidden_folder_is_no_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path, ["cat/1.png", "dog/1.png", "cat/.ipynb_checkpoints/1-checkpoint.png"])
    pictures(tmp_path, [".ipynb_checkpoints/2.png", "__MACOSX/cat/1.png"])
    assert read(tmp_path).values("class") == ["cat", "dog"]
    assert ".ipynb_checkpoints" in caplog.text and "__MACOSX" in caplog.text


# https://github.com/pytorch/vision/issues/4925: an empty class folder
def test_an_empty_class_folder_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path, ["cat/1.png", "dog/1.png"])
    (tmp_path / "fox").mkdir()
    assert read(tmp_path).values("class") == ["cat", "dog"]
    assert "class folder fox holds no image" in caplog.text


# https://github.com/fastai/course-v3/issues/117: folders of the parts, with the classes in them
@pytest.mark.parametrize("place", ["{part}/{name}", "{name}/{part}"])
def test_folders_that_name_parts_are_the_split(place: str, tmp_path: Path) -> None:
    places = [
        place.format(part=part, name=name) for part in ("Train", "val") for name in ("cat", "dog")
    ]
    pictures(tmp_path, [f"{folder}/1.png" for folder in places])
    data = read(tmp_path)
    pairs = set(zip(data.values("split"), data.values("class"), strict=True))
    assert pairs == {(part, name) for part in ("Train", "val") for name in ("cat", "dog")}
    assert schema.infer(data, "class", CHOICES).role("split") == "split"


@pytest.mark.parametrize("names", ["0123456789", "12345"])
def test_folders_named_by_numbers_are_classes(names: str, tmp_path: Path) -> None:
    """As of MNIST, and of stars (ImageFolder never reads a number in them). A user may."""
    for name in names:
        for k in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{k}.png").touch()
    found = read(tmp_path)
    column = schema.infer(found, "class", Choices()).column("class")
    assert (column.kind, column.role, column.remark) == ("category", "target", "")
    ages = schema.infer(found, "class", Choices(schema={"class": "number"})).column("class")
    assert ages.kind == "number"


def test_folders_that_hold_no_classes_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "a", ["train/1.png", "test/1.png"])
    with pytest.raises(GobelinError, match="name the parts of a split, and .* no class folder"):
        read(tmp_path / "a")
    pictures(tmp_path / "b", ["images/cat/1.png", "images/dog/1.png"])
    with pytest.raises(GobelinError, match="Are these the classes"):
        read(tmp_path / "b")


# https://github.com/huggingface/datasets/issues/6442: the table beside the images is not read
def test_a_table_beside_class_folders_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path, ["cat/1.png", "dog/1.png"])
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    read(tmp_path)
    assert "metadata.csv lies beside the class folders and is not read" in caplog.text
    pictures(tmp_path / "flat", ["1.png"])
    (tmp_path / "flat" / "metadata.jsonl").write_text("{}")
    with pytest.raises(GobelinError, match="give the table metadata.jsonl in it"):
        read(tmp_path / "flat")


# https://github.com/fastai/fastai/pull/2699: a column is_valid of 1 and 0
@pytest.mark.parametrize(
    ("name", "values", "parts"),
    [
        ("is_valid", [True, False], ["valid", "train"]),
        ("is_valid", ["1", "0"], ["valid", "train"]),
        ("is_test", [1.0, 0.0], ["test", "train"]),
        ("isTrain", ["yes", "no"], ["train", "test"]),
        ("in_validation", ["TRUE", "FALSE"], ["valid", "train"]),
    ],
)
def test_a_flag_may_name_a_part(name: str, values: list[Any], parts: list[str]) -> None:
    rows = [values[k // 2 % 2] for k in range(N)]
    data = Dataset(pa.table({"caption": CAPTIONS, name: pa.array(rows)}), Path(), "x.csv")
    assert schema.infer(data, None, CHOICES).role("split") == name
    assert as_words(name, [*values, None]) == [*parts, None]


@pytest.mark.parametrize(
    ("name", "values"),
    [("is_red", [1, 0]), ("valid", [1, 0]), ("is_valid", ["a", "b"]), ("split", ["a", "b"])],
)
def test_other_flags_are_features(name: str, values: list[Any]) -> None:
    rows = [values[k // 2 % 2] for k in range(N)]
    data = Dataset(pa.table({"caption": CAPTIONS, name: pa.array(rows)}), Path(), "x.csv")
    assert schema.infer(data, None, CHOICES).role("split") is None


LABELS = Target("y", "class", np.arange(N) % 3, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("words", "lacking"),
    [
        (("train", "test"), {"valid": 0.2 / 0.75}),
        (("Training set", "HOLD-OUT"), {"valid": 0.2 / 0.75}),
        (("train", "dev"), {"test": 0.25 / 0.8}),
        (("TRAIN", "Validierung"), {"test": 0.25 / 0.8}),
    ],
)
def test_a_part_that_is_lacking_is_drawn_from_training_rows(
    words: Sequence[str], lacking: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    given = [words[1] if k % 5 == 0 else words[0] for k in range(N)]
    groups = [str(k) for k in range(N)]
    parts = assign(Split(), LABELS, groups, 0, given)
    ((part, share),) = lacking.items()
    kept = [p for p, word in zip(parts.tolist(), given, strict=True) if word == words[1]]
    assert len(set(kept)) == 1 and kept[0] != part  # the user's rows stay where they are
    drawn = parts == part
    assert drawn.sum() == pytest.approx(share * 48, abs=2)
    for k in range(3):  # of each class its share
        assert drawn[LABELS.values == k].sum() == pytest.approx(share * 16, abs=1)
    assert f"{drawn.sum()} {'validation' if part == 'valid' else 'test'} rows" in caplog.text
    # the same rows again, also when they are recorded and in another order
    recorded = dict(zip(groups, parts.tolist(), strict=True))
    assert assign(Split(), LABELS, groups, 0, given, recorded=recorded).tolist() == parts.tolist()
    back = LABELS.rows(np.arange(N)[::-1])
    assert assign(Split(), back, groups[::-1], 0, given[::-1]).tolist() == parts[::-1].tolist()


# https://github.com/skrub-data/skrub/issues/746 and 768: mixed formats; 28/01 tells 04/07
def test_dates_of_mixed_formats_are_read_together() -> None:
    mixed = ["2022-10-15", "2021-12-25T00:00:00", "2019-10-15 12:00:00"]
    assert [days(v) for v in mixed] == [19280.0, 18986.0, 18184.5]
    order, _ = undecided(["28/01/2023", "04/07/2024"])
    assert days("04/07/2024", order) == (datetime.date(2024, 7, 4) - datetime.date(1970, 1, 1)).days


# https://github.com/autogluon/autogluon/issues/957, 3017 and 3238: types of pandas in a target
@pytest.mark.parametrize(
    "values",
    [
        pd.array(["1", "0", None] * 20, dtype="string"),
        pd.array([1, 0, None] * 20, dtype="Int64"),
        pd.array([1, 0, None] * 20, dtype=pd.ArrowDtype(pa.int8())),
        ["1", 0, None] * 20,
        [1.0, 0.0, np.nan] * 20,
        pd.array([True, False, None] * 20, dtype="boolean"),
    ],
    ids=["string", "Int64", "arrow", "mixed", "float", "boolean"],
)
def test_a_target_of_any_type_has_its_classes(values: Any) -> None:  # noqa: ANN401
    data = from_frame(pd.DataFrame({"caption": CAPTIONS, "label": values}))
    found = target_of(data, schema.infer(data, "label", CHOICES))
    names = ("False", "True") if data.values("label")[0] is True else ("0", "1")
    assert found.kind == "class" and found.classes == names and found.present.sum() == 40
    assert found.values[:3].tolist() == [1, 0, -1]


# https://github.com/roboflow/supervision/pull/2581: paths that Windows wrote; see test_dialects.py
# https://github.com/fastai/fastai/issues/1169: names of files without their suffix or folder
@pytest.mark.parametrize("name", ["000{}", "cat {} on a mat"])
def test_names_without_a_suffix_are_no_text(name: str, tmp_path: Path) -> None:
    names = [name.format(k) for k in range(10, 10 + N)]
    pictures(tmp_path, [f"train/{name}.jpg" for name in names], "JPEG")
    rows = table(tmp_path / "a.csv", {"id_code": names, "label": ["a", "b"] * (N // 2)})
    found = schema.infer(read(rows), None, CHOICES).column("id_code")
    assert found.kind == "file" and found.role != "cell"
    assert f"as 'train/{names[0]}.jpg'" in found.remark


def test_rows_that_are_numbered_as_files_are_keep_their_numbers(tmp_path: Path) -> None:
    pictures(tmp_path, [f"train/{k}.png" for k in range(N)])
    columns = {"size": list(range(N)), "caption": CAPTIONS}
    found = schema.infer(read(table(tmp_path / "a.csv", columns)), None, CHOICES)
    assert found.column("size").role == "cell" and not found.column("size").remark


# https://github.com/jimp-dev/jimp/issues/816: of several pages the first alone is read
@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_the_first_of_several_pages_is_told(kind: str) -> None:
    images = [Image.open(io.BytesIO(coded(k))) for k in range(3)]
    out = io.BytesIO()
    images[0].save(out, kind, save_all=True, append_images=images[1:])
    said = open_image(out.getvalue(), Path(), Opening())[1]
    assert said.endswith("the first of several pages or frames")
    assert "pages" not in open_image(coded(0, kind), Path(), Opening())[1]


# https://github.com/voxel51/fiftyone/issues/3778: how a photograph was held is in its metadata
def test_a_photograph_stands_upright() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(out, "JPEG", exif=exif, quality=95)
    shown = np.asarray(open_image(out.getvalue(), Path(), Opening())[0])
    assert shown.shape[:2] == (16, 8) and shown[:7].mean() > 200 > 60 > shown[9:].mean()


# https://github.com/apache/texera/issues/6279: rows after the sample are dropped without a word
def test_odd_cells_after_the_sample_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [f"{k}.5" for k in range(1200)]
    numbers[7] = "seven"
    numbers[901] = "many"
    columns = {"x": numbers, "label": [("a", "b")[k % 2] for k in range(1200)]}
    settings = {"encoders.text.name": "characters", "runtime.device": "cpu"}
    bench = Workbench(table(tmp_path / "a.csv", columns), "label", tmp_path / "run", settings)
    with caplog.at_level(logging.WARNING):
        found = bench.check()
    bad = bench.run.checked.scan.bad
    assert [(row, why) for row, _, why in bad] == [
        ("7", "'seven' is not a number"),
        ("901", "'many' is not a number"),
    ]
    assert any(f.name == "cells_set_aside" or "set_aside" in f.name for f in found)


# https://github.com/pandas-dev/pandas: an index with a name is no column
def test_an_index_with_a_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"caption": CAPTIONS, "patient": range(N)}).set_index("patient")
    assert from_frame(frame).column_names == ["caption"]
    assert "the index patient is not read" in caplog.text


# https://github.com/huggingface/datasets: an object with features and no `columns`
class Declared:
    """A table as the library datasets of Hugging Face has it."""

    column_names = ("caption", "label")
    shape = (N, 2)

    class Classes:
        names = ("cat", "dog")

    features: ClassVar[dict[str, Any]] = {"label": Classes()}

    def __getitem__(self, name: str) -> list[Any]:
        return CAPTIONS if name == "caption" else [-1, 0, 1] * 20


def test_declared_classes_of_an_object_have_their_names() -> None:
    data = read(Declared())  # type: ignore[arg-type]
    assert data.values("label")[:3] == [None, "cat", "dog"]
    with pytest.raises(GobelinError, match="a path or a data frame was expected"):
        read({"train": Declared()})  # type: ignore[arg-type]
