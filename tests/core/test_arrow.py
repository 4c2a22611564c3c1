"""Arrow arrays without pandas. Oracle: `pyarrow.array`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.arrow import array, texts, whole_numbers


@pytest.mark.parametrize(
    "values", [[], [None], ["", None, "a", "Straße 🍎"], ["x"] * 9, [None, *"abcdefgh"], ("a",)]
)
def test_texts_are_those_of_pyarrow(values: list[str | None]) -> None:
    found = texts(values)
    found.validate(full=True)
    assert found.equals(pa.array(values, pa.string())) and found.null_count == values.count(None)


def test_half_a_character_is_refused_in_the_same_way() -> None:
    for make in (texts, pa.array):
        with pytest.raises(UnicodeEncodeError):
            make(["\ud800"])


@pytest.mark.parametrize("values", [[], [3, -1], range(5), np.arange(6, dtype=np.int32)[::2]])
def test_whole_numbers_are_those_of_pyarrow(values: list[int]) -> None:
    found = whole_numbers(values)
    found.validate(full=True)
    assert found.equals(pa.array(list(map(int, values)), pa.int64()))


@pytest.mark.parametrize(
    "values", [[], ["a", "b"], [0.5, float("nan")], [1, 2], [1, 0.5], ["a", None], [None], [True]]
)
def test_values_are_those_of_pyarrow(values: list[object]) -> None:
    found, wanted = array(values), pa.array(values)
    found.validate(full=True)
    assert found.type == wanted.type and repr(found.to_pylist()) == repr(wanted.to_pylist())
