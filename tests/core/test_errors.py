"""Lines that name what a file holds stay short, whatever it holds."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.config import build
from gobelin.core.errors import GobelinError, nearest, some
from gobelin.data.budget import Reading
from gobelin.data.read import read
from gobelin.embedding.columns.schema import Choices, infer


def arrays(folder: Path) -> None:
    np.savez(folder / "x.npz", **{f"a{k}": np.zeros(3) for k in range(900)})
    read(folder / "x.npz")


def unknown_word(_: Path) -> None:
    raise GobelinError(f"x: no such id.{nearest('a', [str(k) * 10**5 for k in range(90)])}")


def columns(folder: Path) -> None:
    row = {f"{'c' * 90}{k}": {"x": [k]} for k in range(900)}
    (folder / "x.jsonl").write_text("\n".join([json.dumps({**row, "y": "a"})] * 3))
    infer(read(folder / "x.jsonl"), "y", Choices())


@pytest.mark.parametrize("harm", [arrays, unknown_word, columns])
def test_a_line_names_the_first_of_many(harm: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(GobelinError) as caught:
        harm(tmp_path)
    assert len(str(caught.value)) < 2500 and "\n" not in str(caught.value)


def test_some_names() -> None:
    assert some([]) == "" and some(["a", "b"]) == "a, b"
    assert some(map(str, range(21))) == ", ".join(map(str, range(20))) + " ..."
    assert some(["x" * 61]) == "x" * 60 + "..."


NAME = "one\n\x1b[2Kverdict: it helps\u2028"


def no_target(folder: Path) -> None:
    (folder / "x.jsonl").write_text("\n".join([json.dumps({NAME: "a", "b": 1})] * 3))
    infer(read(folder / "x.jsonl"), "y", Choices())


def no_row(_: Path) -> None:
    raise GobelinError(f"row {NAME}: not found.")


def no_setting(_: Path) -> None:
    build(Reading, {NAME: 1})


def no_numbers(folder: Path) -> None:
    (folder / "x.csv").write_text(f'"{NAME}",y\n' + "1,2,3\n" * 4)
    read(folder / "x.csv")


@pytest.mark.parametrize("harm", [no_target, no_row, no_setting, no_numbers])
def test_a_name_breaks_no_line(harm: Callable[[Path], None], tmp_path: Path) -> None:
    """Its second line would be read as a line of Gobelin."""
    with pytest.raises(GobelinError) as caught:
        harm(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.args)
    assert all(line.isprintable() and not line.startswith("verdict") for line in lines)
    copied = pickle.loads(pickle.dumps(caught.value))  # as another process hands it over
    assert str(copied) == str(caught.value)
