"""An arm (a training set) of a study as row numbers, its tuned settings, and a study's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gobelin.augmentation.rivals import Kind
from gobelin.core.files import load_arrays, read_json, save_arrays, write_json

BASELINE = "real"  # name of the arm of the real rows alone
CLASSIC = "classic"  # name of the arm with classic augmentation
# {kind of arm: the arm that it adds generated images to}
ADDS_TO: Mapping[Kind, str] = {"generated": BASELINE, "both": CLASSIC}


class ArmSettings(NamedTuple):
    """The settings of one arm that tuning chooses."""

    ratio: float  # added rows over real rows, 0 without added rows
    mix: float  # weight of an added row, where a real row has 1
    decay: float  # weight decay of the head


@dataclass(frozen=True)
class ArmRows:
    """An arm of n rows, as row numbers of a table that all arms share."""

    name: str
    rows: np.ndarray  # int64 [n]
    added: np.ndarray  # bool [n], False for the real rows
    weights: np.ndarray  # float32 [n]
    kind: Kind = "rival"
    generator_seed: int | None = None  # None for an arm without a generator
    order: np.ndarray | None = None  # int64 [n], see `Arm`; -1 for the real rows

    def at(self, ratio: float, most: float) -> np.ndarray:
        """int64 [k]: positions in `rows` of the real rows and of the first added rows.

        ratio: added rows over real rows. most: the largest ratio; it takes all added rows.
        """
        if ratio >= most or not self.added.any():
            return np.arange(len(self.rows))
        order = self.order
        if order is None:
            order = np.where(self.added, np.cumsum(self.added) - 1, -1)
        return np.flatnonzero(order < round(ratio * (~self.added).sum()))


@dataclass(frozen=True)
class Outcome:
    """Results of a study with R resamples, G generator trainings, S seeds and N test rows."""

    hits: Mapping[str, np.ndarray]  # {arm: float [R, G, S, N]}: 1 or 0, or the error
    chosen: Mapping[str, tuple[ArmSettings, ...]]  # {arm: one a resample}
    # {fields: hits where the model is given these fields alone}
    by_subset: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]
    # one a resample: {arm: {ratio: best score on validation rows}}
    curve: tuple[Mapping[str, Mapping[float, float]], ...] = ()
    # {arm with generated images: the arm that it adds them to}
    adds_to: Mapping[str, str] = field(default_factory=dict)
    # see `compare`; 1 where the resamples are bootstraps of one set of training rows
    reuse: float = 1.0

    @property
    def generated(self) -> list[str]:
        """The arms with generated images."""
        return [arm for arm in self.hits if arm in self.adds_to]

    @staticmethod
    def joined(outcomes: Sequence[Outcome]) -> Outcome:
        """The outcomes of R resamples, [1, G, S, N] each, as one of [R, G, S, N].

        A subset of fields counts only where every resample has it. A resample may have left
        another field out.
        """

        def stacked(hits: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
            return {arm: np.concatenate([h[arm] for h in hits]) for arm in hits[0]}

        first = outcomes[0]
        common = [s for s in first.by_subset if all(s in o.by_subset for o in outcomes)]
        return replace(
            first,
            hits=stacked([o.hits for o in outcomes]),
            chosen={arm: tuple(c for o in outcomes for c in o.chosen[arm]) for arm in first.chosen},
            by_subset={s: stacked([o.by_subset[s] for o in outcomes]) for s in common},
            curve=tuple(c for o in outcomes for c in o.curve),
        )

    def save(self, folder: Path) -> None:
        """Write hits.safetensors (hits by arm; by arm, tab, fields) and choices.json."""
        arrays = dict(self.hits)
        for fields, hits in self.by_subset.items():
            arrays |= {_array_name(arm, fields): h for arm, h in hits.items()}
        save_arrays(
            folder / "hits.safetensors",
            {n: np.ascontiguousarray(h, np.float64) for n, h in arrays.items()},
        )
        write_json(
            folder / "choices.json",
            {
                "chosen": {arm: [list(c) for c in cs] for arm, cs in self.chosen.items()},
                "subsets": [list(fields) for fields in self.by_subset],
                "curve": [
                    {arm: list(points.items()) for arm, points in curves.items()}
                    for curves in self.curve
                ],
                "adds_to": dict(self.adds_to),
            },
        )

    @staticmethod
    def load(folder: Path) -> Outcome:
        stored = read_json(folder / "choices.json")
        arrays = load_arrays(folder / "hits.safetensors")
        arms = list(stored["chosen"])
        return Outcome(
            hits={arm: arrays[arm] for arm in arms},
            chosen={
                arm: tuple(ArmSettings(*c) for c in cs) for arm, cs in stored["chosen"].items()
            },
            by_subset={
                tuple(fields): {arm: arrays[_array_name(arm, fields)] for arm in arms}
                for fields in stored["subsets"]
            },
            curve=tuple(
                {arm: dict(points) for arm, points in curves.items()} for curves in stored["curve"]
            ),
            adds_to=stored.get("adds_to") or _adds_to_by_name(stored),
        )


def _array_name(arm: str, fields: Sequence[str]) -> str:
    return f"{arm}\t{' '.join(map(repr, fields))}"


def _adds_to_by_name(stored: Mapping[str, Any]) -> dict[str, str]:
    """For outcomes stored before `adds_to` was: read from the names of the arms."""
    both = f"{CLASSIC} + generated"
    out = {arm: CLASSIC for arm in stored["chosen"] if arm.startswith(both)}
    return out | {arm: BASELINE for arm in stored["chosen"] if arm.startswith("generated")}
