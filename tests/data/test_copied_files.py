"""Files for an export: the same bytes, but of DICOM the picture or the volume alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_files import slices, write

from gobelin.data.copied_files import copied_bytes
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening

NAME = "Quorlene^Xanthippe"


def test_other_files_are_copied_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"anything")
    assert copied_bytes("a.bin", tmp_path) == b"anything" == copied_bytes(b"anything", tmp_path)


def test_a_picture_loses_its_header(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    path = write(tmp_path / "a.dcm", pixels, PatientName=NAME)
    for value in ("a.dcm", path.read_bytes()):
        data = copied_bytes(value, tmp_path)
        assert data.startswith(b"\x89PNG") and b"Quorlene" not in data
        before = open_image(value, tmp_path, Opening())[0]
        assert np.array_equal(open_image(data, tmp_path, Opening())[0], before)


def test_a_volume_keeps_its_values_and_its_spacing(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(0, 999, (4, 6, 8)).astype(np.int16)
    slices(tmp_path / "s", cube, PatientName=NAME)
    (alias,) = read(tmp_path).values("volume")
    for value in ("s", alias):
        data = copied_bytes(value, tmp_path, "volume")
        assert b"Quorlene" not in data
        before, _ = open_volume(value, tmp_path, VolumeOpening())
        after, _ = open_volume(data, tmp_path, VolumeOpening())
        assert np.array_equal(before.values, after.values) and before.spacing == after.spacing
