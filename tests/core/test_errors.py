"""Lines that name what a file holds stay short, whatever it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.errors import GobelinError, nearest, some
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
