"""Any bytes as a mesh, and as a saved folder of Hugging Face. Oracle: an undamaged file is read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fuzzing import REFUSED, damaged, outcome, tries
from hypothesis import given
from hypothesis import strategies as st
from solids import box, sphere

from gobelin.data.media import medium
from gobelin.data.mesh.marks import marked_ply
from gobelin.data.mesh.meshes import Mesh, decode_mesh, ply_bytes
from gobelin.data.mesh.shape import shape, shape_width
from gobelin.data.mesh.views import turntable, views
from gobelin.data.provenance.marks import read_lineage
from gobelin.data.read import read
from gobelin.data.volume.volumes import VolumeOpening

trimesh = pytest.importorskip("trimesh")
FOLDER = Path(tempfile.mkdtemp(prefix="gobelin-fuzz-meshes-"))


def files(mesh: Mesh) -> list[tuple[str, bytes]]:
    """One mesh in each format, with a suffix."""
    theirs = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    out = [("ply", ply_bytes(mesh))]
    for kind, more in (("obj", {}), ("stl", {}), ("stl_ascii", {}), ("glb", {})):
        data = theirs.export(file_type=kind, **more)
        out.append((kind.partition("_")[0], data.encode() if isinstance(data, str) else data))
    ascii_ply = theirs.export(file_type="ply", encoding="ascii")
    grid = np.full((4, 4, 4), 255, np.uint8)
    return [*out, ("ply", ascii_ply), ("ply", marked_ply(mesh, grid, {"seed": 1}))]


WHOLE = [one for mesh in (box((1, 2, 3)), sphere(1, 1)) for one in files(mesh)]


@st.composite
def meshes(draw: st.DrawFn) -> tuple[str, bytes]:
    suffix, data = draw(st.sampled_from(WHOLE))
    return draw(st.sampled_from([suffix, suffix, suffix, "", "stl", "obj"])), draw(
        damaged(st.just(data))
    )


def looked_at(suffix: str, data: bytes) -> bool:
    """Whether the mesh was read; then it is drawn, measured and made a grid."""
    name = f"a.{suffix}" if suffix else ""
    found = outcome(lambda: decode_mesh(data, name))
    path = FOLDER / (name or "a")
    path.write_bytes(data)
    grid = outcome(
        lambda: medium("mesh").opened(path.name, FOLDER, VolumeOpening(), 8),
    )
    if found is REFUSED:
        return False
    mesh = found[0]
    assert np.isfinite(mesh.vertices).all() and len(mesh.faces)
    assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)
    seen = outcome(lambda: views(mesh, turntable(2, 30), 16))
    assert seen is REFUSED or seen.shape == (2, 16, 16, 3)
    numbers = outcome(lambda: shape(mesh, False, False))
    assert numbers is REFUSED or np.isfinite(numbers).all() and len(numbers) == shape_width(0, 0)
    return grid is REFUSED or grid.shape == (8, 8, 8, 1)


def test_the_whole_files_are_read() -> None:
    assert all(looked_at(*one) for one in WHOLE)


@tries(120)
@given(one=meshes())
def test_any_bytes_as_a_mesh(one: tuple[str, bytes]) -> None:
    looked_at(*one)
    (FOLDER / "lineage.ply").write_bytes(one[1])
    if one[1].startswith(b"ply"):
        outcome(lambda: read_lineage(FOLDER / "lineage.ply"))


def saved() -> dict[str, bytes]:
    """The files of a saved folder."""
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    features |= {"words": {"dtype": "string", "_type": "Value"}}
    rows = pa.table({"label": pa.array([0, 1, -1], pa.int64()), "words": ["a", "b", None]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    rows, out = rows.replace_schema_metadata(metadata), pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_table(rows)
    return {
        "0.arrow": out.getvalue().to_pybytes(),
        "state.json": json.dumps({"_data_files": [{"filename": "0.arrow"}]}).encode(),
        "dataset_info.json": json.dumps({"features": features}).encode(),
    }


SAVED = saved()


@tries(100)
@given(name=st.sampled_from(sorted(SAVED)), data=st.data())
def test_any_bytes_as_a_saved_folder(name: str, data: st.DataObject) -> None:
    folder = FOLDER / "saved"
    folder.mkdir(exist_ok=True)
    for other, content in SAVED.items():
        (folder / other).write_bytes(content)
    (folder / name).write_bytes(data.draw(damaged(st.just(SAVED[name]))))

    def columns() -> None:
        found = read(folder)
        for column in found.column_names:
            found.values(column)

    outcome(columns)
