"""Every reader that is found obeys the contract."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dicom_files import write as write_dicom

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.dicom.aliases import ALIAS
from gobelin.data.read import read
from gobelin.data.readers import TableReader

ROWS = [{"image": "a/1.png", "class": "a"}, {"image": "b/2.png", "class": "b"}]


def text(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


def folder(path: Path) -> Path:
    for row in ROWS:
        (path / row["image"]).parent.mkdir(parents=True)
        (path / row["image"]).touch()
    return path


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def hospital(path: Path) -> Path:
    for k, row in enumerate(ROWS):
        pixels = np.full((4, 4), 100 * k + 100, np.uint16)
        modality = {"a": "CT", "b": "MR"}[row["class"]]
        write_dicom(path / f"{k}.dcm", pixels, Modality=modality)
    return path


def saved(path: Path) -> Path:
    path.mkdir()
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path / "data.arrow"), "wb") as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (path / "dataset_info.json").write_text("{}")
    return path


def arrays(path: Path) -> Path:
    np.savez(path, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([[0], [1]]))
    return path


def shard(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for row in ROWS:
            stem = row["image"].removesuffix(".png")
            for suffix, data in (("png", b"\x89PNG"), ("cls", row["class"].encode())):
                member = tarfile.TarInfo(f"{stem}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


WRITERS: dict[
    str, Callable[[Path], Path]
] = {  # a new reader adds how these two rows look in its format
    "csv": lambda p: text(p / "x.csv", ["image,class", *[",".join(r.values()) for r in ROWS]]),
    "jsonl": lambda p: text(p / "x.jsonl", [json.dumps(r) for r in ROWS]),
    "parquet": lambda p: parquet(p / "x.parquet"),
    "folder": lambda p: folder(p / "x"),
    "dicom": lambda p: hospital(p / "x"),
    "huggingface": lambda p: saved(p / "x"),
    "npz": lambda p: arrays(p / "x.npz"),
    "webdataset": lambda p: shard(p / "x.tar"),
}
NAMES = catalog.names("readers")
# of formats that hold no paths: what stands in the column of images, and in the other
HELD: dict[str, tuple[str, str]] = {
    "dicom": (ALIAS, "modality"),
    "huggingface": ("", "class"),
    "npz": ("\x89PNG", "label"),
    "webdataset": ("x.tar!", "class"),
}


def test_every_reader_is_tested() -> None:
    assert set(NAMES) == set(WRITERS), "add a writer for the new reader"


@pytest.mark.parametrize("name", NAMES)
def test_reader(name: str, tmp_path: Path) -> None:
    reader, path = catalog.build("readers", name), WRITERS[name](tmp_path)
    assert isinstance(reader, runtime_checkable(TableReader))
    assert dataclasses.is_dataclass(reader) and type(reader).__dataclass_params__.frozen  # type: ignore[attr-defined]
    general = {n for n in NAMES if catalog.declared("readers", n, "general")}
    claiming = {n for n in NAMES if catalog.build("readers", n).claims(path)}
    assert claiming - general == {name} - general and (name in claiming)
    table, root = reader.read(path)
    assert table.to_pylist() == reader.read(path)[0].to_pylist() and root.is_dir()
    dataset = read(path)
    assert dataset.root == root
    begins, other = HELD.get(name, ("", "class"))
    if name in HELD:
        assert len(dataset) == 2 and len(set(dataset.values(other))) == 2
        cells = dataset.values("image")
        texts = [v[:4].decode("latin-1") if isinstance(v, bytes) else v for v in cells]
        assert all(v.startswith(begins) for v in texts)
        return
    assert table.to_pylist() == ROWS
    assert dataset.values("image") == [r["image"] for r in ROWS]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_source_is_one_line(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    if path.is_dir():
        for file in [p for p in path.rglob("*") if p.suffix in (".png", ".dcm", ".arrow")]:
            file.unlink()
    else:
        path.write_bytes(b"")
    with pytest.raises(GobelinError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
