"""Data frames against the same records in a file, and cells of every sort against what they
hold."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.data.sound.sounds import open_sound
from gobelin.data.tables.frames import Frame, from_frame
from gobelin.embedding.features import Embedder


def test_every_sort_of_cell_is_what_a_file_would_hold() -> None:
    frame = pd.DataFrame(
        {
            "number": [1, 2.5, np.nan],
            "category": pd.Categorical(["x", None, "y"]),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "date": pd.to_datetime(["2020-01-01", None, "2021-02-03"]),
            "mixed": ["t", None, 3],
            "list": [[1, 2], np.arange(3.0), None],
            "text": ["a", "b", None],
            0: [True, False, True],
            "path": [Path("a/b.png"), None, None],
        }
    )
    found = from_frame(frame)
    assert {name: found.values(name) for name in found.column_names} == {
        "number": [1, 2.5, None],
        "category": ["x", None, "y"],
        "whole": [1, None, 3],
        "date": [datetime.datetime(2020, 1, 1), None, datetime.datetime(2021, 2, 3)],
        "mixed": ["t", None, "3"],
        "list": [[1, 2], [0, 1, 2], None],
        "text": ["a", "b", None],
        "0": [True, False, True],
        "path": ["a/b.png", None, None],
    }


def test_pictures_and_sounds_become_files_in_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    wave = np.sin(np.arange(4000) / 20)
    frame = pd.DataFrame(
        {
            "picture": [Image.fromarray(pixels), pixels, "else.png", None],
            "grey": [pixels[..., 0], None, None, None],
            "sound": [
                {"array": wave, "sampling_rate": 16_000},
                {"path": "a.wav", "bytes": None},
                None,
                None,
            ],
            "several": [[pixels, Image.fromarray(pixels)], [], None, None],
        }
    )
    found = from_frame(frame)

    def opened(value: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(value)))

    pictures = found.values("picture")
    assert np.array_equal(opened(pictures[0]), pixels) and np.array_equal(
        opened(pictures[1]), pixels
    )
    assert pictures[2:] == ["else.png", None]
    assert np.array_equal(opened(found.values("grey")[0]), pixels[..., 0])
    heard, how = open_sound(found.values("sound")[0], Path(), 30)
    assert np.allclose(heard, wave, atol=1e-6) and how == "" and found.values("sound")[1] == "a.wav"
    several = found.values("several")
    assert all(np.array_equal(opened(v), pixels) for v in several[0]) and several[1:] == [
        None,
        None,
        None,
    ]


def test_a_frame_is_the_file_that_it_was_read_from(
    shapes_file: Path, shapes_reader: Embedder
) -> None:
    """The same features, from pandas and from Arrow."""
    same = shapes_reader.embed(read(shapes_file))
    for frame in (pd.read_csv(shapes_file), pa.table(pd.read_csv(shapes_file))):
        assert isinstance(frame, Frame)
        found = shapes_reader.embed(read(frame, shapes_file.parent))
        assert np.array_equal(found.present, same.present)
        assert all(np.allclose(found.features[f], same.features[f], atol=1e-6) for f in same.fields)


def within_itself() -> list[object]:
    out: list[object] = []
    out.append(out)
    return out


@pytest.mark.parametrize(
    "cell, said",
    [
        (np.zeros((4, 4)), "an array of float64 \\[4, 4\\] is no image"),
        ({"where": "there"}, "a mapping of where is no cell"),
        (1 + 2j, "complex is no cell"),
        (object(), "object is no cell"),
        (len, "builtin_function_or_method is no cell"),
        (within_itself, "function is no cell"),
        (iter([1, 2]), "list_iterator is no cell"),
    ],
)
def test_what_is_no_cell_is_said_in_one_line(cell: object, said: str) -> None:
    with pytest.raises(GobelinError, match=f"column 'x': {said}.*Give") as error:
        from_frame(pd.DataFrame({"x": [cell]}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [bytearray, memoryview, io.BytesIO])
def test_the_bytes_of_a_file_are_read_whatever_holds_them(kind: Callable[[bytes], object]) -> None:
    """Each was read as a text, such as its place in memory."""
    assert from_frame(pd.DataFrame({"x": [kind(b"P5 1 1 255 a"), None]})).values("x") == [
        b"P5 1 1 255 a",
        None,
    ]


@pytest.mark.parametrize(
    "cell",
    [
        Image.new("F", (5, 5)),
        Image.open(io.BytesIO(b"P5 9 9 255 cut")),
        within_itself(),
        10**400,
        10**5000,
        [1, [2, 10**400]],
    ],
    ids=["floats", "cut off", "within itself", "huge", "huger", "a huge one in lists"],
)
def test_a_cell_that_no_file_would_hold_is_said_in_one_line(cell: object) -> None:
    with pytest.raises(GobelinError, match="column 'x': a cell can't be read") as error:
        from_frame(pd.DataFrame({"x": [None, cell]}, dtype=object))
    assert "\n" not in str(error.value)


def test_a_column_that_stands_there_twice_is_said() -> None:
    with pytest.raises(GobelinError, match="column '1' appears twice"):
        from_frame(pd.DataFrame([[1, 2]], columns=[1, "1"]))
