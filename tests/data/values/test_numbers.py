"""Numbers as people write them. Oracle: Python's own reading of the same number."""

from __future__ import annotations

import math

import pytest

from gobelin.data.values.numbers import LARGEST, numbers_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5e3", 1500.0),
        ("1,5e3", 1500.0),
        ("-2.5E-3", -0.0025),
        ("0E400", 0.0),
        ("0.0E999", 0.0),
        ("1.5e-400", 0.0),
        ("2.5e2 %", 2.5),
        ("(1.5e2)", -150.0),
        ("1.5e400", None),
        ("1,5e+400 %", None),
        ("$ 2.5e999", None),
        ("9.9e307", min(9.9e307, LARGEST)),
    ],
)
@pytest.mark.parametrize("beside", ["7.25", "7"])
def test_powers_of_ten(text: str, value: float | None, beside: str) -> None:
    found = numbers_of([text, beside, "3.5"])[0]
    assert found is None if value is None else math.isclose(found or 0.0, value)
