"""Arrays in .npz files that another program packed: 2 kB of bzip2 took gigabytes before the header
was read, and a damaged LZMA one ended in a traceback.

Oracle: what numpy writes is read; of the others, the line and the memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell
from gobelin.data.readers.npz import Npz
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening

MOST = 2**23  # bytes that a refusal may take
PACKED = {"bzip2": zipfile.ZIP_BZIP2, "LZMA": zipfile.ZIP_LZMA}
ARRAYS = {"images": np.arange(60 * 8 * 8, dtype=np.uint8).reshape(60, 8, 8)}
LABELS = ARRAYS | {"labels": np.arange(60) % 2}


def npz(path: Path, arrays: dict[str, np.ndarray], how: dict[str, int], zeros: int = 0) -> Path:
    """An .npz file. how: of each array, deflated where none is named. zeros: behind each array."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            out = io.BytesIO()
            np.save(out, array)
            kind = how.get(name, zipfile.ZIP_DEFLATED)
            archive.writestr(f"{name}.npy", out.getvalue() + bytes(zeros), kind)
    return path


def damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[60:95] = b"\xff" * 35
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("form", ["bytes", "path"])
@pytest.mark.parametrize("array", ["a", "spacing"])
def test_a_volume_that_numpy_did_not_pack(kind: str, form: str, array: str, tmp_path: Path) -> None:
    arrays = {"a": ARRAYS["images"], "spacing": np.ones(3)}
    path = npz(tmp_path / "a.npz", arrays, {array: PACKED[kind]}, 2**25)
    value = path.read_bytes() if form == "bytes" else path.name
    tracemalloc.start()
    with pytest.raises(BadCell, match="packed as numpy packs nothing"):
        open_volume(value, tmp_path, VolumeOpening())
    assert tracemalloc.get_traced_memory()[1] < MOST
    tracemalloc.stop()
    plain = npz(tmp_path / "b.npz", arrays, {})
    assert open_volume(plain.name, tmp_path, VolumeOpening())[0].values.size == 60 * 64
    with pytest.raises(BadCell):
        open_volume(
            damaged(npz(path, arrays, {array: PACKED[kind]})).name, tmp_path, VolumeOpening()
        )


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("array", ["images", "labels"])
def test_a_data_set_that_numpy_did_not_pack(kind: str, array: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", LABELS, {array: PACKED[kind]}, 2**25)
    tracemalloc.start()
    with pytest.raises(GobelinError, match="packed as numpy packs nothing.*numpy.savez"):
        Npz().read(path)
    assert tracemalloc.get_traced_memory()[1] < MOST
    tracemalloc.stop()
    assert Npz().read(npz(path, LABELS, {}))[0].num_rows == 60
    with pytest.raises(GobelinError):
        Npz().read(damaged(npz(path, LABELS, {array: PACKED[kind]})))
