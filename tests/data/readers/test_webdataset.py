"""Shards of WebDataset: rows by name, contents by their place in the archive."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.files import (
    BadCell,
    cell_bytes,
    cell_key,
    content_key,
    file_head,
    statuses,
    untouched,
)
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.sound.sounds import open_sound
from gobelin.data.tar_members import member_of
from gobelin.data.volume.files import open_volume, volume_share
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.columns.schema import Choices, infer


def png(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def wav(seed: int) -> bytes:
    out = io.BytesIO()
    wave = np.random.default_rng(seed).normal(0, 0.1, 1600)
    soundfile.write(out, wave, 16_000, format="WAV", subtype="FLOAT")
    return out.getvalue()


def npy(seed: int) -> bytes:
    out = io.BytesIO()
    np.save(out, np.random.default_rng(seed).random((4, 5, 6)))
    return out.getvalue()


def shard(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def rows(first: int, count: int) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for k in range(first, first + count):
        out[f"a/{k:04d}.png"] = png(k)
        out[f"a/{k:04d}.txt"] = f"picture {k}\n".encode()
        out[f"a/{k:04d}.cls"] = str(k % 2).encode()
        out[f"a/{k:04d}.json"] = json.dumps(
            {"size": k / 2, "box": {"x": k}, "tags": ["a"]}
        ).encode()
        out[f"a/{k:04d}.wav"] = wav(k)
        out[f"a/{k:04d}.npy"] = npy(k)
    return out


def test_rows_equal_what_was_packed(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", rows(0, 4))
    shard(tmp_path / "train-1.tar", rows(4, 2))
    shard(tmp_path / "test-0.tar", rows(6, 3))
    dataset = read(tmp_path)
    order = [6, 7, 8, 0, 1, 2, 3, 4, 5]  # by the names of the shards
    assert dataset.values("split") == ["test"] * 3 + ["train"] * 6
    assert dataset.values("text") == [f"picture {k}" for k in order]
    assert dataset.values("class") == [k % 2 for k in order]
    assert dataset.values("size") == [k / 2 for k in order]
    assert dataset.values("box") == [json.dumps({"x": k}) for k in order]
    for k, image, sound, cube in zip(
        order,
        dataset.values("image"),
        dataset.values("sound"),
        dataset.values("npy"),
        strict=True,
    ):
        assert (
            cell_bytes(image, tmp_path) == png(k) and file_head(image, tmp_path)[:4] == png(k)[:4]
        )
        pixels = np.asarray(Image.open(io.BytesIO(png(k))))
        assert np.array_equal(open_image(image, tmp_path, Opening())[0], pixels)
        expected, _ = soundfile.read(io.BytesIO(wav(k)))
        assert np.allclose(open_sound(sound, tmp_path, 10)[0], expected)
        voxels = np.load(io.BytesIO(npy(k))).astype(np.float32)
        assert np.array_equal(
            open_volume(cube, tmp_path, VolumeOpening())[0].values[..., 0], voxels
        )
        assert content_key(image, tmp_path) == content_key(png(k), tmp_path)
    schema = infer(dataset, "class", Choices())
    kinds = {"image": "image", "sound": "audio", "text": "text"}
    assert {name: schema.kind(name) for name in kinds} == kinds
    assert [schema.column("class").kind, infer(dataset, None, Choices()).kind("class")] == [
        "category",
        "category",
    ]
    asked = infer(dataset, "class", Choices(schema={"class": "number"}))
    assert asked.column("class").kind == "number"
    assert volume_share(dataset.values("npy"), tmp_path) == 1


def test_one_archive_is_a_data_set(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", rows(0, 3))
    dataset = read(path)
    assert len(dataset) == 3 and dataset.root == tmp_path and "split" not in dataset.column_names


def test_a_changed_archive_is_noticed(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", rows(0, 3))
    cell = {"image": read(path).values("image")[0]}
    before = untouched(cell, str(tmp_path)), cell_key(cell, tmp_path)
    assert before[0] and statuses(cell["image"], str(tmp_path))[0].st_size == path.stat().st_size
    data = path.read_bytes()
    path.write_bytes(data.replace(png(0), png(0)[:-20] + bytes(20)))
    after = untouched(cell, str(tmp_path)), cell_key(cell, tmp_path)
    assert before[0] != after[0] and before[1] != after[1]


def test_what_is_left_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"1.png": png(0), "1.pkl": b"x", "._1.png": b"x", "README": b"x", "2.png": png(1)}
    dataset = read(shard(tmp_path / "x.tar", files))
    assert len(dataset) == 2 and dataset.column_names == ["image"]
    assert "1 file that could run any program (pickles) is left out" in caplog.text
    assert "2 files of no row (links, hidden files, names without a suffix) are left out" in (
        caplog.text
    )


def test_several_images_of_a_row_are_several_columns(tmp_path: Path) -> None:
    files = {f"{k}.{side}.png": png(k) for k in range(3) for side in ("left", "right")}
    assert read(shard(tmp_path / "x.tar", files)).column_names == ["left", "right"]


def test_other_archives_are_one_line(tmp_path: Path) -> None:
    whole = shard(tmp_path / "x.tar", rows(0, 3)).read_bytes()
    for data in (b"no archive" * 100, whole[:700], b""):
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(GobelinError) as caught:
            read(tmp_path / "x.tar")
        assert "\n" not in str(caught.value)


def test_a_cell_can_not_leave_the_folder(tmp_path: Path) -> None:
    shard(tmp_path / "x.tar", rows(0, 1))
    (tmp_path / "below").mkdir()
    for cell, reason in (
        ("../x.tar!0+9/a.png", "leaves the data folder"),
        ("none.tar!0+9/a.png", "no such file"),
    ):
        with pytest.raises(BadCell, match=reason):
            cell_bytes(cell, tmp_path / "below")
    with pytest.raises(BadCell, match="is cut short"):
        cell_bytes("x.tar!99999999+9/a.png", tmp_path)
    with pytest.raises(BadCell, match="MB"):
        cell_bytes("x.tar!0+99999999999999/a.png", tmp_path)
    assert member_of("photo.tar.png") is None and member_of(3) is None


@pytest.mark.parametrize("place", ["a.tar", "train/a.tar", "train"])
def test_no_link_leads_out_of_a_folder_of_shards(place: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    with tarfile.open(tmp_path / "private" / "a.tar", "w") as archive:
        member = tarfile.TarInfo("0.txt")
        member.size = 6
        archive.addfile(member, io.BytesIO(b"secret"))
    link = tmp_path / "shards" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "private" / ("a.tar" if place.endswith("tar") else ""))
    with pytest.raises(GobelinError, match="is a link that leads out of"):
        read(tmp_path / "shards")
    assert len(read(link)) == 1  # that a user names
