"""Marks of volumes and meshes in `verify`, `check` and an exported training set. Oracle: files with
a mark and without."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gobelin.data.media import medium
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.data.volume.marks import marked_nifti, nifti_array
from gobelin.workbench.augment import export, influences
from gobelin.workbench.verify import UNREADABLE, UNSIGNED, verify


def test_volumes_are_not_signed_and_may_be_marked(tmp_path: Path) -> None:
    volume = np.arange(60, dtype=np.uint8).reshape(3, 4, 5, 1)
    made = marked_nifti(volume, {"seed": 1})
    plain = gzip.decompress(made).replace(b"trainedAlgorithmicMedia", b"x" * 23)
    (tmp_path / "made.nii.gz").write_bytes(made)
    (tmp_path / "real.nii.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "torn.nii.gz").write_bytes(made[:40])
    (tmp_path / "notes.txt").write_text("no volume")
    found = {f.scope["image"]: (f.verdict, f.note) for f in verify(tmp_path)}
    assert found["made.nii.gz"] == (UNSIGNED, "marked as generated")
    assert found["real.nii.gz"] == (UNSIGNED, "no mark says that it was generated")
    assert found["torn.nii.gz"][0] == UNREADABLE and len(found) == 3
    assert np.array_equal(nifti_array(made), volume)


@pytest.mark.parametrize("kind", ["volume", "mesh"])
def test_the_mark_stands_in_an_exported_training_set(kind: str) -> None:
    """A generated cell of a study gets its mark when it is exported, and the array stays."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    made = medium(kind)
    generator: Any = SimpleNamespace(medium=made, extent=16.0)
    lineage = {"generator": "flow", "seed": 3}
    exported = export._marked(made.cell(array, None, 16.0), lineage, None, generator)
    assert is_marked(exported) and read_lineage(io.BytesIO(exported)) == lineage
    assert np.array_equal(made.array(exported), array)
    assert not is_marked(made.cell(array, None, 16.0))


@pytest.mark.parametrize("kind", ["image", "volume"])
def test_what_helped_most_is_drawn(kind: str, tmp_path: Path) -> None:
    array = np.zeros((16,) * medium(kind).dimensions + (1,), np.uint8)
    images = SimpleNamespace(
        ids=["made"], pixels=[array], training=SimpleNamespace(name="flow"), lineage={}
    )
    run = SimpleNamespace(
        folder=SimpleNamespace(folder=tmp_path), generator=SimpleNamespace(medium=medium(kind))
    )
    study_set: Any = SimpleNamespace(images=[images], run=run)
    name = influences._written(study_set, {"batch": 0, "place": 0, "influence": 0.5})
    assert is_marked((tmp_path / name).read_bytes())
    with Image.open(tmp_path / name) as picture:
        assert picture.height >= 16
