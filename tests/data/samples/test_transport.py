"""Signs of many countries. Oracle: a hand-made package as npm leaves one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core.errors import MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.transport import DRAWINGS, SIGNS_PACKAGE, Transport, by_name

pytest.importorskip("resvg_py")
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="24">'
    '<rect width="{w}" height="24" fill="#{colour}"/></svg>'
)
VARIANTS = {"warning--bend": 3, "regulatory--stop": 4, "warning--elk": 2, "information--fuel": 6}


def package(folder: Path) -> Path:
    """Four names with 3, 4, 2 and 6 variants; a sign twice as high as wide, and a file that is no
    sign."""
    drawings = folder / "node_modules" / SIGNS_PACKAGE / DRAWINGS
    drawings.mkdir(parents=True)
    for name, count in VARIANTS.items():
        for k in range(1, count + 1):
            wide = 12 if name == "warning--bend" else 24
            text = DRAWING.format(w=wide, colour=f"{20 * k:02x}0000")
            (drawings / f"{name}--g{k}.svg").write_text(text)
    (drawings / "cursor.svg").write_text("<svg/>")
    return folder


def rows_of(folder: Path, **settings: object) -> dict[str, dict[str, str]]:
    """{id: row}"""
    table = Transport(str(package(folder / "npm")), size=16, **settings).write(folder / "out", 0)  # type: ignore[arg-type]
    data = read(table)
    columns = {c: data.values(c) for c in data.column_names}
    return {
        columns["id"][k]: {c: v[k] for c, v in columns.items()} | {"root": str(data.root)}
        for k in range(len(data))
    }


def test_one_variant_is_held_out_and_one_or_two_are_learned_from(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    parts = {
        name: Counter(row["part"] for row in rows.values() if row["name"] == name)
        for name in VARIANTS
    }
    assert parts == {
        "warning--bend": {"train": 1, "valid": 1, "test": 1},
        "regulatory--stop": {"train": 2, "valid": 1, "test": 1},
        "warning--elk": {},  # two variants are too few
        "information--fuel": {"train": 2, "valid": 1, "test": 1},
    }
    assert {row["category"] for row in rows.values()} == {"warning", "regulatory", "information"}


def test_images_are_the_drawings_in_a_white_square(tmp_path: Path) -> None:
    for sign, row in rows_of(tmp_path).items():
        pixels = np.asarray(Image.open(Path(row["root"]) / row["image"]))
        assert pixels.shape == (16, 16, 3)
        expected = (20 * int(sign.rpartition("--g")[2]), 0, 0)
        assert (pixels[:, 6:10] == expected).all()
        white = (pixels[:, [0, 15]] == 255).all()
        assert white == (row["name"] == "warning--bend")  # which is high and narrow


def test_exchanged_variants_were_training_variants_before(tmp_path: Path) -> None:
    before, after = rows_of(tmp_path / "a"), rows_of(tmp_path / "b", exchanged=True)
    assert before.keys() == after.keys()
    for sign, row in after.items():
        if row["part"] == "test":
            assert before[sign]["part"] == "train"
        if before[sign]["part"] == "valid":
            assert row["part"] == "valid"


def test_the_folder_of_drawings_may_be_named_itself(tmp_path: Path) -> None:
    drawings = package(tmp_path) / "node_modules" / SIGNS_PACKAGE / DRAWINGS
    assert {n: len(v) for n, v in by_name(drawings).items()} == VARIANTS
    for folder in (tmp_path, drawings, drawings.parent):
        assert Transport(str(folder)).drawings() == drawings


def test_without_the_package_it_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=f"npm install --prefix {tmp_path} {SIGNS_PACKAGE}"):
        Transport(str(tmp_path)).write(tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
