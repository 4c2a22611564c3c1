"""`verify` on volumes: they have marks and no signature. Oracle: files with a mark and without."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from gobelin.data.volume_marks import marked_nifti, nifti_array
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
