"""Whether a whole number has more digits than a float keeps, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gobelin.embedding.number_remarks import _too_long

LONG = ["9" * 17, "1" + "0" * 20, "9" * 308, "9" * 309, "1" + "0" * 400, "0" * 40, "0" * 30 + "7"]


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("sign", ["", "-", "+"])
def test_digits_are_lost_where_the_float_is_another_number(text: str, sign: str) -> None:
    kept = len(text.lstrip("0")) < 309 and Fraction(float(text)) == Fraction(text)
    assert _too_long(sign + text) is not kept


@pytest.mark.parametrize(
    ("text", "lost"), [("9" * 5000, True), ("²" * 20, False), ("٣" * 20, False)]
)
def test_what_no_int_can_be_made_of(text: str, lost: bool) -> None:
    assert _too_long(text) is lost


def test_whole_numbers() -> None:
    assert not _too_long(2**60) and _too_long(2**60 + 1) and not _too_long(7)
