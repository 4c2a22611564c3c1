"""Watching a training: at fixed steps a held-out score of the averaged weights and a grid of
samples; the best ones are kept.

The steps of the looks are a function of the count of steps and of what a look costs in steps, never
of the clock, so a run that was killed and goes on looks at the same steps and ends with the same
bits.

What it cannot show: scores of two generators don't compare unless they are of one kind; a score of
a few hundred validation rows is noisy, and the best of twelve is a little too good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.data.provenance import save_png

LOOKS, SHARE, LEAST = (
    12,
    0.025,
    16,
)  # at most; of the training for scores, as much for grids; fewest validation rows
SCORED, SHOWN = 256, 16  # rows that are scored, images of a grid, at most
CELLS, BORDER = (
    8,
    2,
)  # cells a side that an image is pooled to, white pixels between images of a grid
PATIENCE = 4  # looks without a better score after which training stops


class Watch:
    """score: of the weights that the modules hold, lower is better. paint: uint8 [n, H, W, C] of
    them. Both are asked while the modules hold the averaged weights and are in evaluation mode.
    steps: after which to look, and whether to paint then. folder: for the grids; None where nothing
    is painted. decides: whether the score chooses the weights and the end; otherwise it is only
    written down."""

    def __init__(
        self,
        name: str,
        steps: Mapping[int, bool],
        folder: Path | None,
        patience: int,
        score: Callable[[], float],
        paint: Callable[[], np.ndarray],
        decides: bool = True,
    ) -> None:
        self.name, self.steps, self.folder, self.patience, self.decides = (
            name,
            dict(steps),
            folder,
            patience,
            decides,
        )
        self.score, self.paint = score, paint
        self.best: dict[str, Any] = {}  # step, score, averages
        self.idle = 0  # looks since then

    def begin(self) -> None:
        """Remove the grids of another training, and nothing else that may lie there."""
        for path in self.folder.glob("*.png") if self.folder else ():
            if path.stem.isdecimal():
                path.unlink()

    def identity(self) -> list[object]:
        return [sorted(self.steps), self.patience, self.decides]

    def state(self) -> dict[str, Any]:
        """What a restart needs; nothing in it is ever changed."""
        return {"best": self.best, "idle": self.idle}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.idle = dict(state["best"]), state["idle"]

    @property
    def over(self) -> bool:
        """Whether the training is to stop early."""
        return 0 < self.patience <= self.idle

    @torch.no_grad()
    def look(
        self,
        step: int,
        modules: Mapping[str, nn.Module],
        averages: Mapping[str, Mapping[str, Tensor]],
    ) -> list[dict[str, Any]]:
        """The line of history of a look after `step` steps, if there is one. The modules are left
        as they were."""
        if step not in self.steps:
            return []
        kept = {
            name: {k: v.clone() for k, v in modules[name].state_dict().items()} for name in averages
        }
        modes = {name: modules[name].training for name in averages}
        try:
            for name, average in averages.items():
                modules[name].eval().load_state_dict(average)
            score = self.score()
            if self.steps[step] and self.folder:
                lineage = {
                    "generator": self.name,
                    "step": step,
                    "condition": "the first validation rows",
                    "seeds": "0 ...",
                }
                save_png(self.folder / f"{step}.png", grid(self.paint()), lineage)
        finally:
            for name, weights in kept.items():
                modules[name].train(modes[name]).load_state_dict(weights)
        self.idle += self.decides
        if self.decides and math.isfinite(score) and (not self.best or score < self.best["score"]):
            copy = {
                name: {k: v.clone() for k, v in average.items()}
                for name, average in averages.items()
            }
            self.best, self.idle = {"step": step, "score": score, "averages": copy}, 0
        return [{"step": step, "held_out": score if math.isfinite(score) else None}]

    def notes(self, done: int, total: int) -> tuple[str, ...]:
        """What a reader must know: that training stopped early, that the weights aren't the
        last."""
        if not self.best:
            return ()
        best = (
            f"The weights are those of step {self.best['step']}, whose held-out score was the best."
        )
        if done < total:
            return (
                (
                    f"{self.name}: stopped after step {done} of {total}: {self.idle} looks without"
                    f" a better score. {best}"
                ),
            )
        return (f"{self.name}: {best}",) if self.best["step"] < done else ()


def looks(steps: int, score: float, paint: float) -> dict[int, bool]:
    """After which steps to look, and whether to paint then: evenly spread, the last step among
    them; as many as SHARE of the training buys, each of scores and of grids, 12 at most. The last
    look paints whatever it costs."""
    count = min(LOOKS, steps, int(SHARE * steps / score))
    if not count:
        return {}
    painted = min(count, max(1, int(SHARE * steps / paint)))
    marks = {count - int(k * count / painted) for k in range(painted)}
    return {steps * k // count: k in marks for k in range(1, count + 1)}


def grid(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] side by side as one image, as many in a row as there are rows."""
    n, height, width, channels = images.shape
    across = math.ceil(math.sqrt(n))
    down = -(-n // across)
    out = np.full(
        (down * (height + BORDER) - BORDER, across * (width + BORDER) - BORDER, channels),
        255,
        np.uint8,
    )
    for k, image in enumerate(images):
        top, left = k // across * (height + BORDER), k % across * (width + BORDER)
        out[top : top + height, left : left + width] = image
    return out


def cells(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] -> float64 [n, D]: mean and deviation of each of 8 x 8 cells and each
    channel, from 0 to 1. The means say where what colour is, the deviations how sharp it is."""
    n, height, width, channels = images.shape
    rows, columns = (np.arange(CELLS + 1) * side // CELLS for side in (height, width))
    parts = []
    for top, bottom in zip(rows, np.maximum(rows[1:], rows[:-1] + 1), strict=False):
        for left, right in zip(columns, np.maximum(columns[1:], columns[:-1] + 1), strict=False):
            cell = images[:, top:bottom, left:right].reshape(n, -1, channels) / 255
            parts += [cell.mean(1), cell.std(1)]
    return np.concatenate(parts, axis=1)


def energy(real: np.ndarray, made: np.ndarray) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of rows [n, D] and [m, D], at least two each: 0 in
    expectation if and only if both come from one distribution (Székely and Rizzo 2013, equation 5;
    unbiased, so it can be a little below 0)."""

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.sqrt(np.maximum(squares, 0))

    within = [
        (d.sum() - np.trace(d)) / (len(d) * (len(d) - 1))
        for d in (apart(real, real), apart(made, made))
    ]
    return float(2 * apart(real, made).mean() - sum(within))
