"""Numbers, categories and dates of one row, together.

The vectors are robust to scale, skew, outliers and missing cells. A number becomes its rank among
the training values, mapped to a normal score (van der Waerden 1952) so that neither scale nor
outlier matters, beside its clipped robust z-score. Where that clips a part of the values, as of
incomes, the plain z-score within the outermost parts stands beside them. A category becomes one-hot
over the values that enough groups have (`TrainingCells`), in two training rows at least; any other
value is all zeros. A date becomes a number and the place in its year and week;
`gobelin.data.values.dates` reads it. Every column has an indicator of its absence. Only the rows
given to `fit` teach anything.

Of a number and a date no value is stored: a quantile is the mean of values of enough groups, the
smallest and the largest too (`embedding.part_means`).
"""

from __future__ import annotations

import datetime
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.core.printable import in_digits
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell
from gobelin.data.values.dates import days, is_date, undecided
from gobelin.data.values.numbers import COMMA, Writing, decimal_mark, is_code, means_none
from gobelin.data.values.spelling import spelled, usual
from gobelin.data.values.units import is_usual
from gobelin.embedding.columns.number_remarks import date_remark, number_remark
from gobelin.embedding.encoders import Far, Sample, TrainingCells, common
from gobelin.embedding.part_means import middle_and_scale, part_means

NORMAL = NormalDist()
FAR_RANGES, FAR_SHARE = 0.5, 0.1  # from the training values; of the cells that are told
MOST_SPREADS = 4.0  # of a number from the middle; further ones count as this


@settings_class
class Table:
    """Settings of the encoder of numbers, categories and dates."""

    knots: int = setting(
        default=65, ge=2, le=10_001, description="Quantiles kept of each number, at most."
    )
    categories: int = setting(
        default=64,
        ge=1,
        le=100_000,
        description="Values kept of each category, the most frequent ones.",
    )
    dates: Literal["auto", "day_first", "month_first"] = setting(
        default="auto",
        description="Whether day or month is first in 3/4/2026. auto: as the other values show.",
    )

    kinds: ClassVar[tuple[str, ...]] = ("number", "category", "date")
    flag: ClassVar[str] = "row"
    joined: ClassVar[bool] = True
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        values = [v for v in sample.values if not means_none(v)]
        if not values:
            return None
        different = len({spelled(v) for v in values})
        dates = float(np.mean([is_date(v) for v in values]))
        if dates > 0.9:
            return Bid("date", dates, f"{dates:.0%} read as dates", date_remark(values))
        writing = Writing.of(values)
        known = [v for v in values if not writing.means_none(v)]
        numbers = float(np.mean([writing.number(v) is not None for v in known]))
        repeats = 1 - different / len(values)
        codes = repeats > 0.2 and any(map(is_code, values))
        if numbers > 0.9 and not codes and not all(isinstance(v, bool) for v in values):
            if different <= 2 and len(values) > 20:
                return Bid("category", 0.6, f"{different} different numbers")
            remark = number_remark(sample.name, sample.values, writing)
            return Bid("number", numbers, f"{numbers:.0%} read as numbers", remark)
        if not all(isinstance(v, str | bool | int) for v in values):
            return None
        return (
            Bid("category", 0.3 + 0.65 * repeats, f"{different} different in {len(values)}")
            if repeats > 0.2
            else None
        )

    def parse(self, text: str, field: Field) -> Cell:
        cell: Cell = {}
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if not equals:
                raise GobelinError(
                    f"--row {text!r}: 'column=value,...' was expected, found {part!r}."
                )
            if name.strip() not in field.columns:
                raise GobelinError(
                    f"--row: no column {name.strip()!r}.{nearest(name.strip(), field.columns)}"
                )
            if name.strip() in cell:
                raise GobelinError(
                    f"--row {text!r}: {name.strip()!r} appears twice. Give each column once."
                )
            cell[name.strip()] = value.strip()
        return cell

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedTable:
        columns = {}
        read: Callable[[Any], float | None]
        writing: dict[str, Any]
        for name in field.columns:
            present = [(c[name], group) for c, group in cells.present() if name in c]
            if kinds[name] == "category":
                columns[name] = self._levels(present, cells.least_groups)
                continue
            values = [v for v, _ in present]
            if kinds[name] == "date":
                order = self._order(values, f"{field.name}, column {name!r}")
                read, writing = partial(days, order=order), {"order": order}
            else:
                written = Writing.of(values)
                read = written.number
                # of too few groups neither a word nor a unit of their own is kept
                if len({group for v, group in present if written.is_word(v)}) < cells.least_groups:
                    written = replace(written, word="")
                # what is stored changes the fingerprint: plain numbers store nothing
                writing = written.stored
                few = len({group for _, group in present}) < cells.least_groups
                if few and written.unit and not is_usual(written.unit):
                    writing = {**replace(written, unit="").stored, "hidden_unit": True}
            known = [(x, group) for v, group in present if (x := read(v)) is not None]
            columns[name] = {"kind": kinds[name], **_spread(known, self.knots, cells.least_groups)}
            columns[name] |= writing
            if kinds[name] == "number" and _long_tailed(columns[name]):
                columns[name]["tail"] = True
        return FittedTable(self, columns)

    def _levels(self, present: Sequence[tuple[Any, int]], least_groups: int) -> dict[str, Any]:
        """The levels of a category, the most frequent first, and the count of those too rare."""
        # each group counts once: one with many rows does not choose how a value is written
        written = usual(v for _, v, _ in dict.fromkeys((g, v, type(v)) for v, g in present))
        counts, rare = common(((written[spelled(v)], group) for v, group in present), least_groups)
        frequent = sorted((v for v, n in counts.items() if n > 1), key=lambda v: (-counts[v], v))
        return {"kind": "category", "values": frequent[: self.categories], "rare": rare}

    def _order(self, values: Sequence[Any], where: str) -> str:
        """day_first, month_first, or '' where the dates don't need it. Raises a GobelinError where
        they do, and neither the setting nor another date decides."""
        order, doubtful = undecided(values)
        if self.dates == "auto" and doubtful and not order:
            raise GobelinError(
                f"{where}: {doubtful[:40]!r} can be read with the day first and with the month"
                " first, and no other date says which. Say it with --set"
                " encoders.table.dates=day_first, or month_first."
            )
        return order if self.dates == "auto" else self.dates

    def load(self, folder: Path, runtime: Runtime) -> FittedTable:
        values = read_json(folder / "config.json")
        for column in values["columns"].values():
            _refuse_other_values(column)
        return FittedTable(Table(**values["settings"]), values["columns"])


def _refuse_other_values(column: dict[str, Any]) -> None:
    """Raises TypeError or ValueError where a file holds what can't have been learned."""
    if column["kind"] == "category":
        if not all(isinstance(value, str | int | float) for value in column["values"]):
            raise TypeError("a value of a category is no text and no number")
        return
    numbers = [*column["quantiles"], column["middle"], column["scale"]]
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers):
        raise TypeError("a quantile, a middle or a scale is no number")
    if not all(math.isfinite(x) for x in numbers) or not column["scale"] > 0:
        raise ValueError("a quantile or a middle is not finite, or a scale is not above 0")


def _in_month(day: float) -> str:
    """The year and month of a day since 1970-01-01."""
    return f"{datetime.date(1970, 1, 1) + datetime.timedelta(days=day):%Y-%m}"


def _other_mark(values: Sequence[str], written: Writing) -> str:
    """The decimal mark that these values decide for, point or comma, where those of the column have
    the other one; '' for none."""
    mark, doubtful = decimal_mark(values)
    if mark and not written.mark:
        return COMMA
    decided = not doubtful and any("." in value for value in values)
    return "." if written.mark and not mark and decided else ""


def _spread(known: Sequence[tuple[float, int]], knots: int, least_groups: int) -> dict[str, Any]:
    """Quantiles, middle and scale of numbers, each with its group. Without enough groups there are
    no quantiles, and the column tells nothing."""
    x, group = np.array([v for v, _ in known], float), np.array([g for _, g in known], int)
    means = part_means(x, group, knots, least_groups)
    middle, scale = middle_and_scale(x, group, means, least_groups)
    return {"quantiles": means, "middle": middle, "scale": scale}


def _long_tailed(column: dict[str, Any]) -> bool:
    """Whether the outermost part of the values lies where the robust z-score is clipped."""
    ends = [column["quantiles"][k] for k in (0, -1) if column["quantiles"]]
    return any(abs(v - column["middle"]) > MOST_SPREADS * column["scale"] for v in ends)


def _plain_score(quantiles: Sequence[float], number: float) -> float:
    """The z-score of a number in the mean and standard deviation of the quantiles, within them."""
    unit = max(abs(quantiles[0]), abs(quantiles[-1]))  # so that nothing overflows
    knots = np.array(quantiles) / unit
    inside = min(max(number, quantiles[0]), quantiles[-1]) / unit
    return float((inside - knots.mean()) / knots.std())


class FittedTable:
    """columns: of each what was learned, {name: {kind, values, rare | quantiles, middle, scale}}.

    A category of an older folder has no `rare`, and its quantiles are values of single rows."""

    module = None

    def __init__(self, settings: Table, columns: dict[str, dict[str, Any]]) -> None:
        self.settings, self.columns = settings, columns
        self.width = sum(self._column_width(c) for c in columns.values())
        self._writings = {
            n: Writing(**{part: c[part] for part in ("mark", "unit", "word") if part in c})
            for n, c in columns.items()
            if c["kind"] == "number"
        }
        # of each category the places of its values: as they were written, and however written
        self._places = {
            n: (
                {v: k for k, v in enumerate(c.get("values", ()))},
                {spelled(v): k for k, v in reversed(list(enumerate(c.get("values", ()))))},
            )
            for n, c in columns.items()
            if c["kind"] == "category"
        }

    @staticmethod
    def _column_width(column: dict[str, Any]) -> int:
        widths = {"category": len(column.get("values", ())) + 1, "number": 3, "date": 7}
        return widths[column["kind"]] + column.get("tail", False)

    def places(self) -> dict[str, slice]:
        """As `EncodesColumns.places`."""
        ends = np.cumsum([self._column_width(c) for c in self.columns.values()]).tolist()
        return {
            name: slice(start, end)
            for name, start, end in zip(self.columns, [0, *ends], ends, strict=False)
        }

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint({k: str(v) for k, v in cell.items()}))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        return (
            np.concatenate([self._column(n, c, cell.get(n)) for n, c in self.columns.items()]),
            "",
        )

    def _column(self, name: str, column: dict[str, Any], value: Any) -> np.ndarray:  # noqa: ANN401
        out = np.zeros(self._column_width(column), np.float32)
        kind, written = column["kind"], self._writings.get(name, Writing())
        if kind != "category" and written.means_none(value):
            value = None
        if value is None:
            out[-1] = 1.0
        elif kind == "category":
            if (level := self._level(name, value)) is not None:
                out[level] = 1.0
        else:
            x = self._read(name, value)
            if x is None and column.get("hidden_unit"):
                return out  # a column of so few groups tells nothing, however it is written
            if x is None:
                raise BadCell(f"{str(value)[:40]!r} is not a {kind}", name)
            out[:2] = self._scores(column, x)
            if column.get("tail"):
                out[2] = _plain_score(column["quantiles"], x)
            if kind == "date":
                year, week = 2 * np.pi * (x % 365.2425) / 365.2425, 2 * np.pi * (x % 7) / 7
                out[2:6] = np.sin(year), np.cos(year), np.sin(week), np.cos(week)
        return out

    def _level(self, name: str, value: Any) -> int | None:  # noqa: ANN401
        """The place of a category's value among those that were kept; None for any other one."""
        places = self._places[name]
        place = places[0].get(str(value))
        return places[1].get(spelled(value)) if place is None else place

    def unseen(self, cells: Iterable[Cell | None]) -> dict[str, list[str]]:
        """As `NamesUnseen.unseen`."""
        out: dict[str, list[str]] = {}
        for cell in cells:
            for name in self._places:
                value = (cell or {}).get(name)
                if value is not None and self._level(name, value) is None:
                    out.setdefault(name, []).append(str(value))
        return out

    def far(self, cells: Iterable[Cell | None]) -> dict[str, Far]:
        """As `NamesFar.far`."""
        out, rows = {}, [cell for cell in cells if cell]
        for name, column in self.columns.items():
            knots = column.get("quantiles", ())
            if len(knots) < 2:
                continue
            values = [cell[name] for cell in rows if cell.get(name) is not None]
            known = [(str(v), x) for v in values if (x := self._read(name, v)) is not None]
            low, high = knots[0], knots[-1]
            reach = FAR_RANGES * (high - low) or np.inf
            found = [v for v, x in known if not low - reach <= x <= high + reach]
            if not found or len(found) < FAR_SHARE * len(known):
                continue
            if column["kind"] == "date":
                out[name] = Far(found, _in_month(low), _in_month(high), "Correct wrong dates")
                continue
            advice = "Convert them if they have another unit"
            if mark := _other_mark(list(map(str, values)), self._writings[name]):
                own = f"Their decimal mark is {mark!r}, and not that of training values"
                advice = f"{own}: change it"
            out[name] = Far(found, in_digits(low, 3), in_digits(high, 3), advice)
        return out

    def _read(self, name: str, value: Any) -> float | None:  # noqa: ANN401
        """The number, or the days of the date, in a cell; None for a value that is none."""
        if name in self._writings:
            return self._writings[name].number(value)
        return days(value, self.columns[name].get("order", ""))

    @staticmethod
    def _scores(column: dict[str, Any], number: float) -> tuple[float, float]:
        """The normal score of the value's rank, and the robust z-score clipped at 4."""
        knots = column["quantiles"]
        if not knots:
            return 0.0, 0.0
        below, upto = bisect_left(knots, number), bisect_right(knots, number)
        if below == upto and 0 < below < len(knots):  # between two knots
            rank = below - 1 + (number - knots[below - 1]) / (knots[below] - knots[below - 1])
        else:
            rank = (below + max(upto - 1, below)) / 2
        share = (min(rank, len(knots) - 1) + 0.5) / len(knots)
        robust = float((number - column["middle"]) / column["scale"])
        return NORMAL.inv_cdf(share), min(max(robust, -MOST_SPREADS), MOST_SPREADS)

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack(list(batch)).astype(np.float32)

    def rare(self) -> dict[str, tuple[int, int, str]]:
        """As `LeavesOut.rare`."""
        levels = {n: c for n, c in self.columns.items() if c.get("rare")}
        return {n: (c["rare"], c["rare"] + len(c["values"]), "values") for n, c in levels.items()}

    def fingerprint(self) -> str:
        return fingerprint("table", asdict(self.settings), self.columns)

    def save(self, folder: Path) -> None:
        write_json(
            folder / "config.json", {"settings": asdict(self.settings), "columns": self.columns}
        )
