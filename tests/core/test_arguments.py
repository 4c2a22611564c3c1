"""Arguments against annotations. Oracle: what each hint accepts, said by hand, and a value that no
function takes, given for every argument of every public method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import gobelin
from gobelin import Workbench
from gobelin.core.arguments import described, fits, typed
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, silent
from gobelin.data.tables.frames import Frame
from gobelin.workbench.query import Text, Texts

TAKEN: list[tuple[Any, list[Any], list[Any]]] = [  # hint, values that fit, values that don't
    (int, [0, np.int64(3)], ["1", 1.0, True, None, [1]]),
    (float, [0, 1.5, np.float32(2)], ["1", False, None]),
    (bool, [True], ["yes", 1]),
    (str, ["a", ""], [1, None, b"a", Path("a")]),
    (str | None, [None, "a"], [1]),
    (str | Path, [Path("a"), "a"], [3, ["a"]]),
    (Sequence[int], [[1], range(3), (), np.arange(2)], ["12", 1, [1.5], ["1"], {1: 2}]),
    (Sequence[str], [["a"], ("a",)], ["a", [1], b"a"]),
    (Iterable[str], [(c for c in "ab")], ["ab", 3]),
    (Mapping[str, float], [{}, {"a": 1}], [{"a": "1"}, {1: 1}, [("a", 1)], "a"]),
    (Mapping[str, Any], [{"a": object()}], ["a=1", ["a=1"]]),
    (Texts, [{"a": "b"}, {"a": ["b", 1]}, {"a": Path("b")}], ["green", {"a": None}]),
    (Text, ["a", 2, Path("x")], [None, {"a": 1}, Image.new("L", (2, 2))]),
    (Progress, [silent, print], [3, "x"]),
    (Callable[[int], int], [abs], [3]),
    (Frame | str, [pd.DataFrame({"a": [1]}), "a"], [np.zeros((2, 2)), {"a": [1]}, [{"a": 1}]]),
    (Any, [None, object()], []),
]


@pytest.mark.parametrize(("hint", "right", "wrong"), TAKEN, ids=lambda v: str(v)[:20])
def test_a_hint_takes_what_it_says(hint: Any, right: list[Any], wrong: list[Any]) -> None:
    assert [v for v in right if not fits(v, hint)] == []
    assert [v for v in wrong if fits(v, hint)] == []
    assert described(hint)


def public() -> list[tuple[Any, str]]:
    """Every argument of every public function and method that is annotated."""
    found = []
    for name, member in vars(Workbench).items():
        method = getattr(member, "__func__", member)
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            found.append(method)
    found += [gobelin.read, gobelin.from_pretrained, gobelin.push_to_hub]
    return [
        (function, name)
        for function in found
        for name in inspect.signature(function).parameters
        if name not in ("self", "cls")
    ]


class Nothing:
    """What no function takes."""


def call(function: Any, name: str, value: object) -> None:
    signature = inspect.signature(function)
    given: dict[str, Any] = {}
    for key, one in signature.parameters.items():
        if key in ("self", "cls"):
            given[key] = Workbench.__new__(Workbench) if key == "self" else Workbench
        elif key != name and one.default is one.empty and one.kind is not one.VAR_KEYWORD:
            given[key] = ["x"] if key == "queries" else "x"
    kind = signature.parameters[name].kind
    given["any"[: 3 * (kind is inspect.Parameter.VAR_KEYWORD)] or name] = value
    function(**given)


@pytest.mark.parametrize(("function", "name"), public(), ids=lambda v: getattr(v, "__name__", v))
def test_every_argument_of_the_library_is_checked(function: Any, name: str) -> None:
    """Before any work: the workbench has no run, and no path is there."""
    with pytest.raises(GobelinError, match=r"expected, found a Nothing\b") as told:
        call(function, name, Nothing())
    assert "\n" not in str(told.value)


def test_a_message_says_what_to_do(tmp_path: Path) -> None:
    bench = Workbench.__new__(Workbench)
    for said, act in (
        ("{'text': 'green'}", lambda: bench.search(text="lamp", without="green")),  # type: ignore
        ("Name the parts of a query", lambda: bench.search("a lamp")),  # type: ignore
        ("Give ['3']", lambda: bench.index(delete="3")),
        ("range(16)", lambda: bench.generate(3)),  # type: ignore
        ("pandas.DataFrame", lambda: bench.predict(np.zeros((40, 3)))),  # type: ignore
        ("ndarray of 40 x 3", lambda: Workbench(np.zeros((40, 3)), run=tmp_path)),  # type: ignore
        ("'align': {'steps': 0}", lambda: Workbench("x", settings="align.steps=0")),  # type: ignore
        ("Save the image", lambda: bench.search(image=Image.new("L", (2, 2)))),  # type: ignore
    ):
        with pytest.raises(GobelinError) as told:
            act()
        assert said in str(told.value)


def test_a_name_that_is_not_there_keeps_pythons_words() -> None:
    @typed()
    def count(rows: int) -> int:
        return rows

    assert count(3) == 3 == count(rows=3)
    with pytest.raises(TypeError, match=r"count\(\) got an unexpected keyword argument 'row'"):
        count(row=3)  # type: ignore[call-arg]
    with pytest.raises(GobelinError, match="count, rows: a whole number was expected, found '3'"):
        count("3")  # type: ignore[arg-type]


def test_an_empty_frame_is_refused_as_an_empty_file_is(tmp_path: Path) -> None:
    empty = pd.DataFrame({"a": []})
    for frame, what in ((empty, "row"), (pd.DataFrame(index=range(3)), "column")):
        with pytest.raises(GobelinError, match=f"data frame: holds no {what}"):
            Workbench(frame, "a", tmp_path / "run")
