"""Which intervals of a sound or a series moved the answer: Shapley values of spans of time.

The time is divided into equal intervals. A hidden interval of a sound is silent. One of a series is
a straight line between its neighbours that are shown, in every channel and column of the field; if
none is shown, the mean. Orders of the intervals are drawn. Of several sounds in a cell the first is
explained.

What this cannot show: anything shorter than an interval, and frequencies. Silence is a sign of its
own: an encoder that measures rhythm hears a pause. Samples of a series that were missing are filled
in, so its answer can differ a little from that of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.fields import Cell
from gobelin.data.files import file_values
from gobelin.data.series.windows import open_series
from gobelin.data.sound.sounds import RATE, open_sound, sound_bytes
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.shapley import shapley
from gobelin.prediction.explainers import Question

SECONDS = 30.0  # read of a sound, where the encoder does not say


@settings_class
class Intervals:
    """Shapley values of spans of time of one field."""

    count: int = setting(default=16, ge=2, le=200, description="Intervals of a sound or a series.")
    most: int = setting(default=7, ge=1, le=16, description="Intervals that are explained exactly.")
    orders: int = setting(
        default=10, ge=2, le=100_000, description="Drawn orders where there are more intervals."
    )

    kinds: ClassVar[tuple[str, ...]] = ("audio", "series")
    unit: ClassVar[str] = "interval"

    def parts(self, question: Question, field: str) -> Parts | None:
        cell = question.cells.get(field)
        if not cell:
            return None
        if question.embedder.schema.field(field).kind == "series":
            read = {name: open_series(value, question.root)[0] for name, value in cell.items()}
            return SeriesParts(question, field, self.count, read)
        settings = getattr(question.embedder.encoders[field], "settings", None)
        seconds = float(getattr(settings, "seconds", SECONDS))
        return SoundParts(question, field, self.count, seconds)

    def explain(self, parts: Parts, seed: int) -> Attribution:
        return shapley(parts, self.most, self.orders, seed)


def edges_of(samples: int, count: int) -> np.ndarray:
    """int [n + 1]: the edges of n equal intervals, `count` of them where there are samples
    enough."""
    return np.linspace(0, samples, min(count, samples) + 1).round().astype(int)


class SoundParts:
    """The first sound of a cell, in intervals."""

    def __init__(self, question: Question, field: str, count: int, seconds: float) -> None:
        self.question, self.field = question, field
        self.column = next(iter(question.cells[field]))
        first, *self.rest = file_values(question.cells[field])
        self.wave, _ = open_sound(first, question.root, seconds)
        self.edges = edges_of(len(self.wave), count)
        at = self.edges / RATE
        self.names = tuple(f"{a:.2f} to {b:.2f} s" for a, b in zip(at, at[1:], strict=False))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]."""
        lengths = np.diff(self.edges)
        cells: list[Cell] = []
        for mask in kept > 0.5:
            shown = self.wave * np.repeat(mask, lengths)
            cells.append({self.column: [sound_bytes(shown), *self.rest]})
        return self.question.with_cells(self.field, cells)[:, None]

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))


@dataclass(frozen=True, eq=False)
class SeriesParts:
    """The series of a cell, in intervals. read: {column: float64 [C, T]}."""

    question: Question
    field: str
    count: int
    read: Mapping[str, np.ndarray]

    @property
    def names(self) -> tuple[str, ...]:
        """In shares of the series, as columns may have other lengths."""
        count = min(self.count, *(x.shape[1] for x in self.read.values()))
        return tuple(f"{k / count:.0%} to {(k + 1) / count:.0%}" for k in range(count))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]."""
        cells = [{c: self._shown(x, mask) for c, x in self.read.items()} for mask in kept > 0.5]
        return self.question.with_cells(self.field, cells)[:, None]

    def _shown(self, x: np.ndarray, mask: np.ndarray) -> list[Any]:
        """The cell of a series [C, T] of which only some intervals are shown."""
        shown = np.repeat(mask, np.diff(edges_of(x.shape[1], len(mask))))
        at = np.arange(x.shape[1])
        out = x
        if not shown.all():
            out = np.stack(
                [
                    np.interp(at, at[shown], row[shown])
                    if shown.any()
                    else np.full(len(row), row.mean())
                    for row in x
                ]
            )
        return list(out.tolist() if len(out) > 1 else out[0].tolist())

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))
