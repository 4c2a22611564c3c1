"""Generated meshes and their files. Oracles: trimesh, and the array that was written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from solids import sphere, torus

from gobelin.data.files import BadCell
from gobelin.data.image.images import Opening
from gobelin.data.media import medium
from gobelin.data.mesh.grid import grid_of
from gobelin.data.mesh.marks import LONGEST, marked_ply, ply_grid, ply_lineage
from gobelin.data.mesh.meshes import decode_mesh, open_mesh, ply_bytes
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.quality.data import Check, scan

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")
LINEAGE = {"generator": "flow", "seed": 3, "condition": {"words": "ä" * 2000}}


def test_other_programs_read_the_file() -> None:
    grid = grid_of(torus(), 24).values
    data = medium("mesh").marked(grid[..., None], LINEAGE)
    theirs = trimesh.load_mesh(io.BytesIO(data), file_type="ply")
    assert theirs.is_watertight and theirs.volume > 0
    header = data.partition(b"end_header")[0].decode()
    assert max(map(len, header.splitlines())) < LONGEST + 40
    assert read_lineage(io.BytesIO(data)) == LINEAGE == ply_lineage(data)
    assert np.array_equal(ply_grid(data), grid)
    mesh, note = decode_mesh(data)
    assert note == "" and len(mesh.faces) == len(theirs.faces)


def test_a_real_mesh_has_no_mark() -> None:
    data = ply_bytes(sphere())
    assert not is_marked(data) and ply_lineage(data) is None and ply_grid(data) is None
    with pytest.raises(BadCell, match="no grid"):
        medium("mesh").array(data)


def test_of_another_size_the_mesh_itself_is_looked_at(tmp_path: Path) -> None:
    of_kind, grid = medium("mesh"), grid_of(sphere(1, 4), 32).values[..., None]
    (tmp_path / "a.ply").write_bytes(of_kind.cell(grid))
    same = of_kind.opened("a.ply", tmp_path, Opening(), 32)
    half = of_kind.opened("a.ply", tmp_path, Opening(), 16)
    assert np.array_equal(same, grid) and half.shape == (16, 16, 16, 1)
    filled = (half[..., 0] > 127).mean()
    assert np.isclose(filled, np.pi / 6 * (14 / 16) ** 3, rtol=0.05)


def test_an_empty_grid_has_a_file() -> None:
    array = np.zeros((8, 8, 8, 1), np.uint8)
    array[2, 3, 4] = 9
    data = medium("mesh").marked(array, None)
    mesh, _ = decode_mesh(data)
    assert mesh.closed and np.array_equal(medium("mesh").array(data), array)
    assert medium("mesh").picture(array).shape == (64, 192, 3)


@pytest.mark.parametrize("grid", ["", "8", "x:AAAA", "8:!!!!", "999:eJw=", "8:eJwDAAAAAAE="])
def test_a_damaged_grid(grid: str) -> None:
    data = ply_bytes(sphere(), [f"gobelin_grid {grid}"])
    if ":" not in grid:
        assert ply_grid(data) is None
        return
    with pytest.raises(BadCell, match="its grid"):
        ply_grid(data)


def test_a_bomb_is_not_unpacked() -> None:
    mesh, bomb = sphere(1, 1), np.zeros((200,) * 3, np.uint8)
    data = marked_ply(mesh, bomb, None).replace(b"gobelin_grid 200:", b"gobelin_grid 8:")
    with pytest.raises(BadCell, match="another size"):
        ply_grid(data)


def test_a_marked_mesh_is_no_real_row(tmp_path: Path) -> None:
    """As for images and volumes: the row is set aside where it claims to be real."""
    from gobelin.data.read import read
    from gobelin.embedding.columns.schema import Choices, infer
    from gobelin.embedding.encoders import TrainingCells
    from gobelin.embedding.encoders.mesh import Mesh
    from gobelin.embedding.features import Embedder

    made = medium("mesh").marked(grid_of(torus(), 16).values[..., None], LINEAGE)
    for k in range(12):
        (tmp_path / f"{k}.ply").write_bytes(made if k == 5 else ply_bytes(sphere(1 + k, 1)))
    rows = "\n".join(f"{k}.ply,{k % 2}" for k in range(12))
    (tmp_path / "t.csv").write_text(f"thing,label\n{rows}\n")
    data = read(tmp_path / "t.csv")
    schema = infer(data, "label", Choices())
    settings = Mesh(network="pixels", views=2, pixels=16)
    cells = TrainingCells(data.cells(schema.field("thing")), root=data.root)
    from gobelin.core.machine import Runtime

    encoder = settings.fit(cells, schema.field("thing"), {}, Runtime())
    found = scan(Embedder(schema, {"thing": encoder}), data, Check())
    assert len(found.marked) == 1 and found.dataset.values("thing")[5] is None
    assert open_mesh("5.ply", tmp_path)[0].closed  # it is read well


def test_a_grid_of_other_letters_is_damaged() -> None:
    """Found by fuzzing: base64 raises another error for letters that are not ASCII."""
    with pytest.raises(BadCell, match="can't be unpacked"):
        ply_grid(b"ply\ncomment gobelin_grid 4:\xe4bcd\nend_header\n")
