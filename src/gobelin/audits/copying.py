"""Are made images copies of training images?

Each image's distance to its nearest training image is divided by that to its nearest held-out image (after the
three-sample test of Meehan, Chaudhuri & Dasgupta 2020): near 0 for a copy, around 1 for a new image. An image is called a
copy when this ratio is, in every space, as small as that of copies which we planted. Real held-out images that are called
copies by the same rule are the null: data sets hold look-alikes, and a generator may be as near as they are, no nearer.

What this cannot show: that nothing was memorised. A crop, a restyled copy or one person's face in another picture can be far
in all of these spaces; and copies of held-out look-alikes hide behind the null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.audits import Material, Result
from gobelin.evidence import Finding, Interval, wilson
from gobelin.neighbours import nearest


@dataclass(frozen=True)
class Copying:
    """caught: the share of planted copies that sets the threshold in each space (on one half of them; the other half is the
    positive control)."""

    caught: float = 0.97

    def run(self, material: Material) -> Result:
        material.check("copying")
        spaces = list(material.train)
        half = np.arange(len(material.planted[spaces[0]])) % 2 == 0
        near = {name: np.ones(n, bool) for name, n in self._sizes(material, half).items()}
        worst, place = np.zeros(len(material.made_ids)), np.zeros(len(material.made_ids), np.int64)
        for space in spaces:
            train, holdout = material.train[space], material.holdout[space]
            planted, _ = ratios(material.planted[space], train, holdout)
            limit = float(np.quantile(planted[half], self.caught))
            made, place = ratios(material.made[space], train, holdout)
            null, _ = ratios(holdout, train, holdout, leave_out=True)
            near["planted"] &= planted[~half] <= limit
            near["made"] &= made <= limit
            near["holdout"] &= null <= limit
            worst = np.maximum(worst, made / max(limit, 1e-12))
        rows = tuple(
            {"made": i, "nearest": material.train_ids[int(p)], "ratio": float(w), "flagged": bool(f)}
            for i, p, w, f in zip(material.made_ids, place, worst, near["made"], strict=True)
        )
        return Result(self._findings(near), rows)

    @staticmethod
    def _sizes(material: Material, half: np.ndarray) -> dict[str, int]:
        space = next(iter(material.train))
        return {
            "planted": int((~half).sum()), "made": len(material.made[space]), "holdout": len(material.holdout[space]),
        }  # fmt: skip

    @staticmethod
    def _findings(near: dict[str, np.ndarray]) -> tuple[Finding, ...]:
        shares = {name: wilson(int(x.sum()), len(x)) for name, x in near.items() if len(x)}
        planted, null = shares["planted"], shares["holdout"]
        found = [
            planted.finding("planted_copies_caught", unit="share", better="higher", chance=null.value, source="audit",
                            note="positive control: training images, slightly changed; the rest of this audit means little "
                            "where few are caught"),
            null.finding("look_alikes_held_out", unit="share", source="audit",
                         note="the null: real images that were never trained on, called copies by the same rule"),
        ]  # fmt: skip
        if "made" in shares:
            found.append(_made(shares["made"], null, planted))
        return tuple(found)


def _made(made: Interval, null: Interval, planted: Interval) -> Finding:
    if planted.low < 0.5:
        word = "can't say: the planted copies were not caught"
    elif made.low > null.high:
        word = "copies training images"
    elif made.high <= null.high:
        word = "no more copies than among real images"
    else:
        word = "no evidence of copying"
    return Finding(
        "copies", value=made.value, low=made.low, high=made.high, level=made.level, method=made.method,
        unit="share", better="lower", chance=null.value, verdict=word, n=made.n, source="audit",
        note="share of made images that are as near to a training image as a planted copy",
    )  # fmt: skip


def ratios(
    images: np.ndarray, train: np.ndarray, holdout: np.ndarray, leave_out: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest training row over distance to the nearest held-out row, [n], and which training row, [n].

    leave_out: the images are the holdout itself, and none is its own neighbour.
    """
    to_train, place = nearest(images, train)
    to_holdout, _ = nearest(images, holdout[:, 0] if holdout.ndim == 3 else holdout, skip_self=leave_out)
    return to_train / np.maximum(to_holdout, 1e-12), place
