"""From a table of meshes to a query and to generated meshes. Oracles: planted classes, the marks in
the files, trimesh's word on what is closed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from presets import SMALL
from solids import box, torus

from gobelin import Workbench
from gobelin.data.mesh.meshes import Mesh, ply_bytes
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.interfaces.cli import main

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")
SETTINGS = (
    *SMALL,
    "encoders.mesh.network=pixels",
    "encoders.mesh.views=2",
    "encoders.mesh.pixels=24",
    "generator.size=16",
    "generator.steps=20",
    "generator.settings.width=16",
)
SIDE, ROWS = 20.0, 64  # the longest side of a mesh, in the unit of the files


def planted(rng: np.random.Generator, label: int) -> Mesh:
    """A box, or a ring, with its longest side `SIDE`."""
    mesh = box(tuple(rng.uniform(0.5, 1, 3))) if label else torus(1, rng.uniform(0.3, 0.5), 16, 8)  # type: ignore[arg-type]
    return Mesh(mesh.vertices * (SIDE / np.ptp(mesh.vertices, axis=0).max()), mesh.faces)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("meshes"), np.random.default_rng(0)
    rows = [{"thing": f"{k}.ply", "kind": ("ring", "box")[k % 2]} for k in range(ROWS)]
    for k, row in enumerate(rows):
        (folder / row["thing"]).write_bytes(ply_bytes(planted(rng, k % 2)))
    (folder / "bad.stl").write_bytes(b"\0" * 80 + b"\xff" * 4)  # four billion faces
    rows.append({"thing": "bad.stl", "kind": "box"})
    with (folder / "things.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    words = ["fit", folder / "things.csv", "--target", "kind", "--run", folder / "run"]
    sets = [word for one in SETTINGS for word in ("--set", one)]
    main([*map(str, words), "--generator", "vaegan", *sets])
    return folder / "run"


def test_a_mesh_is_explained_as_a_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", str(run), "--row", "0"])
    said = capsys.readouterr().out
    assert "row 0: " in said and "; the data say ring" in said
    assert said.rstrip().endswith("thing: explained as a whole, nothing looks inside.")


def test_a_mesh_is_a_query(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = planted(np.random.default_rng(9), 0)
    theirs = trimesh.Trimesh(ring.vertices, ring.faces, process=False)
    (tmp_path / "q.glb").write_bytes(theirs.export(file_type="glb"))
    main(["search", str(run), "--mesh", str(tmp_path / "q.glb"), "-k", "5"])
    assert capsys.readouterr().out.count("kind: ring") == 5
    sheet = tmp_path / "sheet.png"
    main(["search", str(run), "--mesh", str(tmp_path / "q.glb"), "--sheet", str(sheet)])
    assert "can't" not in capsys.readouterr().err
    with Image.open(sheet) as picture:
        assert picture.height > 100
    main(["describe", str(run), "--mesh", str(tmp_path / "q.glb")])
    assert "class ring" in capsys.readouterr().out.splitlines()[0]


def test_the_bad_one_is_set_aside(run: Path) -> None:
    findings = Workbench.open(run).check()
    (cells,) = (f.cells for f in findings if f.name == "cells_set_aside")
    assert "promises 4294967295 faces and holds 0 bytes (bad.stl)" in str(cells)


def test_meshes_are_generated(run: Path, tmp_path: Path) -> None:
    made = Workbench.open(run).generate([0, 1, 2], "ring", out=tmp_path)
    assert [p.name[-11:] for p in made] == [f"-seed-{k}.ply" for k in range(3)]
    for k, path in enumerate(made):
        data = path.read_bytes()
        theirs = trimesh.load_mesh(io.BytesIO(data), file_type="ply")
        assert theirs.is_watertight and theirs.volume > 0
        assert np.ptp(theirs.vertices, axis=0).max() < 1.3 * SIDE  # the size of training meshes
        lineage = read_lineage(path)
        assert is_marked(data) and lineage is not None and lineage["seed"] == k
