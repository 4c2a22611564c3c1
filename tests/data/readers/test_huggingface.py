"""Folders that the library datasets saves: its names of classes, its files, its splits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.arrow_headers import unpacked_bytes
from gobelin.core.errors import GobelinError
from gobelin.data.budget import Reading, _process
from gobelin.data.read import read

FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "audio": {"_type": "Audio"},
    "words": {"dtype": "string", "_type": "Value"},
}
FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def rows(count: int) -> pa.Table:
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    columns = {
        "image": pa.array([{"bytes": png, "path": None}] * count, FILE),
        "label": pa.array([k % 2 if k else -1 for k in range(count)], pa.int64()),
        "audio": pa.array([{"bytes": b"RIFFxxxxWAVE" + bytes(9), "path": "a.wav"}] * count, FILE),
        "words": [f"word {k}" for k in range(count)],
    }
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def arrow(path: Path, table: pa.Table) -> dict[str, str]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return {"filename": path.name}


def saved(folder: Path, tables: list[pa.Table], chosen: list[int] | None = None) -> Path:
    """The folder that `save_to_disk` writes for these files of rows."""
    folder.mkdir(parents=True)
    state = {"_data_files": [arrow(folder / f"{k}.arrow", t) for k, t in enumerate(tables)]}
    if chosen is not None:
        indices = pa.table({"indices": pa.array(chosen, pa.uint64())})
        state["_indices_data_files"] = [arrow(folder / "indices.arrow", indices)]
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def test_rows_are_those_that_were_saved(tmp_path: Path) -> None:
    dataset = read(saved(tmp_path / "x", [rows(3), rows(2)]))
    assert dataset.values("label") == [None, "dog", "cat", None, "dog"]
    assert dataset.values("words") == ["word 0", "word 1", "word 2", "word 0", "word 1"]
    assert dataset.values("image")[0].startswith(b"\x89PNG")
    assert dataset.values("audio")[0].startswith(b"RIFF")


def test_a_choice_of_rows_is_kept(tmp_path: Path) -> None:
    dataset = read(saved(tmp_path / "x", [rows(5)], [4, 0, 2]))
    assert dataset.values("words") == ["word 4", "word 0", "word 2"]


def test_splits_are_a_column(tmp_path: Path) -> None:
    for name, count in (("train", 4), ("test", 2)):
        saved(tmp_path / "x" / name, [rows(count)])
    (tmp_path / "x" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    dataset = read(tmp_path / "x")
    assert dataset.values("split") == ["train"] * 4 + ["test"] * 2
    assert dataset.values("label") == [None, "dog", "cat", "dog", None, "dog"]


def test_bytes_stay_in_the_file(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([bytes(10**6)] * 30)})
    before = pa.total_allocated_bytes()
    dataset = read(saved(tmp_path / "x", [table]))
    assert len(dataset) == 30 and pa.total_allocated_bytes() - before < 2 * 10**6 + table.nbytes


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "_data_files was expected"),
        ({"_data_files": []}, "names no file of rows"),
        ({"_data_files": [{"filename": "../x.arrow"}]}, "is no name of a file"),
        ({"_data_files": [{"filename": "none.arrow"}]}, "can't be read"),
        ({"_data_files": [3]}, "is no name of a file"),
        ([1], "_data_files was expected"),
    ],
)
def test_a_damaged_state_is_one_line(state: object, reason: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "x", [rows(2)])
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(GobelinError, match=reason) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "/x", 3, None, "a\0b", "x" * 5000])
@pytest.mark.parametrize("what", ["split", "file"])
def test_no_name_leads_out_of_the_folder(what: str, name: object, tmp_path: Path) -> None:
    """`Path("..").name` is "..": a split of that name was the folder above."""
    above = saved(tmp_path / "x", [rows(2)])
    inside = above / "inside"
    if what == "split":
        inside.mkdir()
        (inside / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    else:
        saved(inside, [rows(2)])
        (inside / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(GobelinError, match=f"is no name of a {what}"):
        read(inside)


@pytest.mark.parametrize("what", ["split", "file", "indices"])
def test_no_link_leads_out_of_the_folder(what: str, tmp_path: Path) -> None:
    """What is behind it may be private; a link within the folder is followed."""
    other = saved(tmp_path / "private", [rows(3)])
    folder = saved(tmp_path / "x", [rows(2)], [0])
    if what == "split":
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
        link, outside, inside = folder / "train", other, saved(folder / "kept", [rows(1)])
    else:
        link = folder / ("0.arrow" if what == "file" else "indices.arrow")
        inside, outside = link.rename(folder / "kept"), other / "0.arrow"
    link.symlink_to(outside)
    with pytest.raises(GobelinError, match="is a link that leads out of"):
        read(folder)
    link.unlink()
    link.symlink_to(inside)
    assert len(read(folder)) == 1


@pytest.mark.parametrize("what", ["split", "_data_files", "_indices_data_files"])
def test_no_file_is_named_twice(what: str, tmp_path: Path) -> None:
    """A list of a megabyte could name a file 100,000 times."""
    folder = saved(tmp_path / "x", [rows(2)], [0])
    if what == "split":
        folder.rename(tmp_path / "train")
        (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"] * 3}))
        folder = tmp_path
    else:
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({**state, what: state[what] * 3}))
    with pytest.raises(GobelinError, match="stands there twice"):
        read(folder)


def test_two_columns_of_one_name_are_one_line(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a", "b"])] * 2, names=["text", "text"])
    with pytest.raises(GobelinError, match="column 'text' appears twice"):
        read(saved(tmp_path / "x", [table]))


@pytest.mark.parametrize("name", ["0.arrow", "indices.arrow", "state.json"])
def test_a_pipe_in_the_folder_is_not_opened(name: str, tmp_path: Path) -> None:
    """Opened, it would wait for ever for somebody who writes to it."""
    folder = saved(tmp_path / "x", [rows(2)], [0])
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(GobelinError) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packing", ["lz4", "zstd"])
@pytest.mark.parametrize("kind", ["numbers", "texts", "dictionary", "lists"])
def test_packed_rows_are_counted_before_they_are_unpacked(
    packing: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: what Arrow reserves for the rows, which is what their buffers promised."""
    columns = {
        "numbers": pa.array(np.zeros(400_000)),
        "texts": pa.array(["x" * 90] * 40_000),
        "dictionary": pa.array(["y" * 900 + str(k) for k in range(4_000)]).dictionary_encode(),
        "lists": pa.array([[0.0] * 40] * 10_000),
    }
    table = pa.table({"x": columns[kind]})
    folder = saved(tmp_path / "x", [table])
    assert unpacked_bytes(pa.py_buffer((folder / "0.arrow").read_bytes())) == 0
    options = pa.ipc.IpcWriteOptions(compression=packing)
    with pa.ipc.new_stream(str(folder / "0.arrow"), table.schema, options=options) as writer:
        writer.write_table(table)
    packed = (folder / "0.arrow").read_bytes()
    promised = unpacked_bytes(pa.py_buffer(packed))
    assert len(packed) < 0.3 * promised and promised == pytest.approx(table.nbytes, rel=0.01)
    monkeypatch.setattr(_process, "reading", Reading(table_mb=2))
    before = pa.total_allocated_bytes()
    with pytest.raises(GobelinError, match="reading.table_mb allows 2"):
        read(folder)
    assert pa.total_allocated_bytes() - before < promised / 2
    for name in "abc":
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": [*"abc"]}))
    monkeypatch.setattr(_process, "reading", Reading(table_mb=-(-promised // 10**6)))
    with pytest.raises(GobelinError, match="reading.table_mb allows"):
        read(tmp_path)  # one of the splits alone is within


def test_damaged_metadata_of_messages_are_one_line(tmp_path: Path) -> None:
    """Each of 150 flipped bytes ends in rows or in one line."""
    table = pa.table({"x": pa.array(np.zeros(4_000)), "y": ["ab"] * 4_000})
    folder = saved(tmp_path / "x", [table])
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(str(folder / "0.arrow"), table.schema, options=options) as writer:
        writer.write_table(table)
    sound, random = (folder / "0.arrow").read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(sound)
        broken[int(random.integers(len(sound)))] ^= 1 << int(random.integers(8))
        (folder / "0.arrow").write_bytes(broken)
        try:
            read(folder)
        except GobelinError as error:
            assert "\n" not in str(error)


def test_the_library_itself_saves_such_folders(tmp_path: Path) -> None:
    """Only where it is installed; the folders above are written as version 5 writes them."""
    library = pytest.importorskip("datasets")
    features = library.Features({"label": library.ClassLabel(names=["cat", "dog"])})
    whole = library.Dataset.from_dict({"label": [0, 1, 1]}, features=features)
    whole.save_to_disk(str(tmp_path / "x"))
    assert read(tmp_path / "x").values("label") == ["cat", "dog", "dog"]


def repeated(how: str) -> tuple[pa.Table, list[int] | None]:
    """Rows of one text of 100,000 letters, 40 times, that take its place once."""
    text, count = "z" * 100_000, 40
    once = pa.array([0] * count, pa.int32())
    if how == "dictionary":
        return pa.table({"x": pa.DictionaryArray.from_arrays(once, [text])}), None
    if how == "dictionary within lists":
        inside = pa.DictionaryArray.from_arrays(once, [text])
        offsets = pa.array(range(count + 1), pa.int32())
        return pa.table({"x": pa.ListArray.from_arrays(offsets, inside)}), None
    if how == "dictionary of structs":
        pair = pa.array([{"bytes": text.encode(), "path": None}], FILE)
        return pa.table({"x": pa.DictionaryArray.from_arrays(once, pair)}), None
    if how == "runs":
        ends = pa.array([count], pa.int32())
        return pa.table({"x": pa.RunEndEncodedArray.from_arrays(ends, [text])}), None
    if how == "views":
        view = np.array([len(text), 0x7A7A7A7A, 0, 0], np.int32).tobytes() * count
        buffers = [None, pa.py_buffer(view), pa.py_buffer(text.encode())]
        return pa.table({"x": pa.Array.from_buffers(pa.string_view(), count, buffers)}), None
    if how == "overlapping lists":
        items = pa.array(np.arange(12_500.0))
        lengths = pa.array([len(items)] * count, pa.int32())
        return pa.table({"x": pa.ListViewArray.from_arrays(once, lengths, items)}), None
    return pa.table({"x": [text, "a"]}), [0] * count  # rows that were chosen several times


@pytest.mark.parametrize(
    "how",
    [
        "dictionary",
        "dictionary within lists",
        "dictionary of structs",
        "runs",
        "views",
        "overlapping lists",
        "chosen rows",
    ],
)
def test_content_that_is_there_once_counts_as_often_as_rows_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    table, chosen = repeated(how)
    folder = saved(tmp_path / "x", [table], chosen)
    monkeypatch.setattr(_process, "reading", Reading(table_mb=3))
    with pytest.raises(GobelinError, match=r"has [45] MB of decoded cells; reading.table_mb"):
        read(folder)


def test_a_repeated_text_within_the_budget_is_read(tmp_path: Path) -> None:
    table, _ = repeated("dictionary")
    assert len(set(read(saved(tmp_path / "x", [table])).values("x"))) == 1
