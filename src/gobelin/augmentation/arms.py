"""An arm of a study as row numbers, the choices of its tuning, and what came out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gobelin.core.files import load_arrays, read_json, save_arrays, write_json

BASELINE, CLASSIC = "real", "classic"


class Choice(NamedTuple):
    """What tuning chooses. ratio: added rows over real ones, 0 without any. mix: weight of an added
    row. decay: of weights."""

    ratio: float
    mix: float
    decay: float


@dataclass(frozen=True)
class ArmRows:
    """A training set as rows of shared features. rows: int64 [n]; added: bool [n], False for the
    real rows; weights float32 [n]; order: int64 [n], when an added row enters as the ratio grows,
    -1 for the real rows; None: as they stand. generator_seed: None for an arm without a
    generator."""

    name: str
    rows: np.ndarray
    added: np.ndarray
    weights: np.ndarray
    generator_seed: int | None = None
    order: np.ndarray | None = None

    def at(self, ratio: float, most: float) -> np.ndarray:
        """int64 [k]: places of the real rows and the first added ones, `ratio` times as many; at
        `most` all of them."""
        if ratio >= most or not self.added.any():
            return np.arange(len(self.rows))
        order = (
            np.where(self.added, np.cumsum(self.added) - 1, -1)
            if self.order is None
            else self.order
        )
        return np.flatnonzero(order < round(ratio * (~self.added).sum()))


@dataclass(frozen=True)
class Outcome:
    """hits: {arm: float [R, G, S, N]} per test row. chosen: {arm: a choice for each resample}.
    by_subset: the same hits when only these fields are shown. curve: {arm: {ratio: best score on
    validation rows}}, a list of one a resample. reuse: as `compare` takes it, 1 where resamples are
    bootstraps of one set of training rows."""

    hits: Mapping[str, np.ndarray]
    chosen: Mapping[str, tuple[Choice, ...]]
    by_subset: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]
    curve: tuple[Mapping[str, Mapping[float, float]], ...] = ()
    reuse: float = 1.0

    @staticmethod
    def joined(each: Sequence[Outcome]) -> Outcome:
        """The resamples of one study, [1, G, S, N] each, as [R, G, S, N]."""
        first = each[0]
        return Outcome(
            {n: np.concatenate([o.hits[n] for o in each]) for n in first.hits},
            {n: tuple(c for o in each for c in o.chosen[n]) for n in first.chosen},
            {
                s: {n: np.concatenate([o.by_subset[s][n] for o in each]) for n in h}
                for s, h in first.by_subset.items()
            },
            tuple(c for o in each for c in o.curve),
        )

    def save(self, folder: Path) -> None:
        """hits.safetensors: hits by arm, and by arm and fields after a tab; choices.json."""
        arrays = dict(self.hits) | {
            f"{arm}\t{' '.join(map(_quoted, s))}": h
            for s, hits in self.by_subset.items()
            for arm, h in hits.items()
        }
        save_arrays(
            folder / "hits.safetensors",
            {n: np.ascontiguousarray(h, np.float64) for n, h in arrays.items()},
        )
        curve = [
            {a: [[r, v] for r, v in points.items()] for a, points in one.items()}
            for one in self.curve
        ]
        write_json(
            folder / "choices.json",
            {
                "chosen": {a: [list(c) for c in cs] for a, cs in self.chosen.items()},
                "subsets": [list(s) for s in self.by_subset],
                "curve": curve,
            },
        )

    @staticmethod
    def load(folder: Path) -> Outcome:
        said, arrays = read_json(folder / "choices.json"), load_arrays(folder / "hits.safetensors")
        arms = list(said["chosen"])
        return Outcome(
            {a: arrays[a] for a in arms},
            {a: tuple(Choice(*c) for c in cs) for a, cs in said["chosen"].items()},
            {
                tuple(s): {a: arrays[f"{a}\t{' '.join(map(_quoted, s))}"] for a in arms}
                for s in said["subsets"]
            },
            tuple(
                {a: {r: v for r, v in points} for a, points in one.items()} for one in said["curve"]
            ),
        )


def _quoted(field: str) -> str:
    return repr(field)


def base_of(arm: str, arms: Collection[str]) -> str:
    """What a generator arm adds to: the real rows, or the classic views where it holds them and
    they are an arm."""
    return CLASSIC if arm.startswith(f"{CLASSIC} + ") and CLASSIC in arms else BASELINE
