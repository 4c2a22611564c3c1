"""Sweet Home 3D's furniture. Oracle: a hand-made catalogue as Java writes it; where it is
installed, its counts."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core import config
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.sweethome import Sweethome, family
from gobelin.embedding.columns.schema import infer
from gobelin.workbench.run.settings import Settings

INSTALLED = Path(Sweethome().folder)
ENGLISH = """# A catalogue
id=Planted
name#1=Black table
tags#1=Blend Swap, Office , Desk
category#1=Office
icon#1=/planted/table.png
width#1=120
depth#1=60.5
height#1=75
movable#1=true
doorOrWindow#1=false
name#2=Bill 10\\u20ac
tags#2=scpts
category#2=Lights
icon#2=/planted/bill.png
width#2=12
depth#2=6
height#2=1
elevation#2=80.5
movable#2=true
lightSourceX#2=5.3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "furniture").mkdir()
    clear = io.BytesIO()
    Image.fromarray(np.array([[[200, 0, 0, 0]] * 4] * 4, np.uint8)).save(clear, "PNG")
    with zipfile.ZipFile(tmp_path / "furniture" / "Planted.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", ENGLISH.replace("\n", "\r\n"))
        archive.writestr(
            "PluginFurnitureCatalog_de.properties",
            "name#1=Schwarzer K\xfcchentisch\ntags#1=\n".encode("latin-1"),
        )
        for name in ("table", "bill"):
            archive.writestr(f"planted/{name}.png", clear.getvalue())
    return tmp_path / "furniture"


def test_a_piece_is_a_row(folder: Path, tmp_path: Path) -> None:
    data = read(
        Sweethome(folder=str(folder), size=8, languages=("en", "de")).write(tmp_path / "out", 0)
    )
    assert len(data) == 2
    assert data.values("name_en") == ["Black table", "Bill 10€"] and data.values("name_de") == [
        "Schwarzer Küchentisch",
        None,
    ]
    assert data.values("family") == ["table", "bill"]
    assert data.values("tags") == ["Desk", None]  # neither the category nor the catalogue
    assert [float(v) for v in data.values("log_height")] == pytest.approx(
        [math.log(75), 0], abs=1e-4
    )
    assert [float(v) for v in data.values("elevation")] == [0, 80.5]
    assert not {"doorOrWindow", "lightSourceX"} & set(data.column_names)
    with Image.open(data.root / data.values("image")[0]) as image:
        assert image.size == (8, 8) and np.asarray(image).min() == 255  # seen through: white


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="sudo apt-get install sweethome3d-furniture"):
        Sweethome(folder=str(tmp_path)).write(tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(GobelinError, match="en among the languages"):
        Sweethome(languages=("de",))


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("Wall type C plug", "plug"),
        ("Square type A plug", "plug"),
        ("Double French window 3 panes", "french window panes"),
        ("Sitting girl", "sitting"),
        ("Boy", "boy"),
        ("Oak chair", "chair"),
    ],
)
def test_variants_of_a_piece_are_one_family(name: str, of: str) -> None:
    assert family(name) == of


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="sweethome3d-furniture is not installed")
@pytest.mark.parametrize("predicts", ["category", "log_height"])
def test_the_catalogues_as_installed(predicts: str, tmp_path: Path) -> None:
    sample = Sweethome(predicts=predicts, size=4)  # type: ignore[arg-type]
    data = read(sample.write(tmp_path / "out", 0))
    assert len(data) == 820 and len(set(data.values("id"))) == 820
    counts = Counter(data.values("category"))
    assert len(counts) == 12 and counts["Living room"] == 147 and counts["Staircases"] == 2
    assert all(data.values(f"name_{code}").count(None) == 0 for code in sample.languages)
    found = infer(data, sample.target, config.build(Settings, sample.settings()).choices)
    assert (found.kind(predicts), found.role("target")) == (
        "category" if predicts == "category" else "number",
        predicts,
    )
    read_columns = {c for field in found.fields for c in field.columns}
    assert read_columns & {"category", "height", "log_height"} == (
        {"height"} if predicts == "category" else {"category"}
    )
    heights = np.array([float(v) for v in data.values("height")])
    assert np.allclose(np.exp([float(v) for v in data.values("log_height")]), heights, rtol=1e-3)


def test_a_piece_has_its_mesh_in_the_colours_of_its_materials(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    from gobelin.data.mesh.meshes import open_mesh

    path = folder / "Planted.sh3f"
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("table", "bill"):
            text = f"mtllib {name}.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl red\nf 1 2 3\n"
            archive.writestr(f"planted/{name}.obj", text)
            archive.writestr(f"planted/{name}.mtl", "newmtl red\nKd 1 0 0\n")
        text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
        names = "".join(f"model#{k}=/planted/{n}.obj\r\n" for k, n in ((1, "table"), (2, "bill")))
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(folder / "new.zip", "w") as new:
        for entry in old.namelist():
            own = entry == "PluginFurnitureCatalog.properties"
            new.writestr(entry, (text + names).encode("latin-1") if own else old.read(entry))
    (folder / "new.zip").replace(path)
    sample = Sweethome(folder=str(folder), size=8, languages=("en", "de"), meshes=True)
    data = read(sample.write(tmp_path / "out", 0))
    mesh, note = open_mesh(data.values("mesh")[1], data.root)
    assert mesh.colours is not None and mesh.colours.tolist() == [[255, 0, 0]]
    assert note == "not closed"
