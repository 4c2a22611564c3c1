"""Whether a whole number has more digits than a float keeps, against exact fractions; times without
a zone, against pandas."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gobelin.data.values.dates import has_zone
from gobelin.embedding.columns.number_remarks import _too_long, date_remark

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


BARE = ["2026-01-02 10:00", "2026-01-02T10:00:00.5", "01/02/2026 10:00 PM", "2 Jan 2026 10:00:30"]
WITH_ZONE = [
    *("2026-01-02T10:00Z", "2026-01-02 10:00:00+02:00", "2026-01-02T10:00+0530"),
    *("2026-01-02 10:00 UTC", "2026-01-02 10:00:00.25-08:00", "01/02/2026 10:00 PM +01:00"),
]


@pytest.mark.parametrize("text", [*BARE, *WITH_ZONE])
def test_a_zone_is_seen_where_pandas_reads_one(text: str) -> None:
    """Second implementation: pandas; for a moment of Python, its own zone."""
    moment = pytest.importorskip("pandas").Timestamp(text)
    assert has_zone(text) is (moment.tzinfo is not None)
    assert has_zone(moment.to_pydatetime()) is (moment.tzinfo is not None)


@pytest.mark.parametrize("value", ["2026-01-02", "red: 10", "2026", 5, None, "ratio 3:4", ""])
def test_what_has_no_time_of_day_has_no_zone(value: object) -> None:
    assert has_zone(value) is None


@pytest.mark.parametrize("bare", BARE)
@pytest.mark.parametrize("zoned", [*WITH_ZONE, "2026-01-02 10:00 Europe/Berlin"])
def test_a_time_without_a_zone_among_others_is_told(bare: str, zoned: str) -> None:
    assert f"{bare!r} names no time zone" in date_remark([zoned, bare, zoned])
    assert "zone" not in date_remark([zoned, zoned]) + date_remark([bare, bare, "2026-01-03"])
