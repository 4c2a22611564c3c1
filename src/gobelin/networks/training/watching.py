"""Watching a training: looks at fixed steps, each a held-out score of the averaged weights and a
grid of samples. The best weights are chosen.

The steps of the looks are a function of the count of steps and of the cost of a look in steps,
never of the clock. So a training that was killed and goes on looks at the same steps and ends with
the same bits.

What it cannot show: scores of two generators can't be compared unless they are of one kind; a score
of a few hundred validation rows is noisy, and the best of twelve is a little too good.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.lazy import torch
from gobelin.data.media import medium_of
from gobelin.data.provenance.marks import save_png

MOST_LOOKS = 12
LOOK_SHARE = 0.025  # of the training's time for scores, and as much again for grids
LEAST_VALIDATION_ROWS = 16  # with fewer a generator's training is not watched
MOST_SCORED_ROWS = 256  # validation rows that a look scores
GRID_IMAGES = 16  # samples that a grid shows
BORDER_PIXELS = 2  # white pixels between the images of a grid
CELLS_A_SIDE = 8  # an image is pooled to 8 x 8 cells before it is scored
CELLS_A_VOLUME_SIDE = 4  # a volume to 4 x 4 x 4
PATIENCE = 4  # looks without a better score after which training stops


class Watch:
    """Looks at one training.

    name: of what is trained, for notes. steps: {step after which to look: whether to paint a grid
    then}. folder: for the grids; None where nothing is painted. patience: looks without a better
    score after which training stops, 0 = never. score: of the weights that the modules hold, lower
    is better. paint: samples of these weights, uint8 [n, H, W, C]. Both are called while the
    modules hold the averaged weights and are in evaluation mode. decides: whether the score chooses
    the weights and the end; otherwise it only goes into the history.
    """

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
        self.name, self.steps, self.folder = name, dict(steps), folder
        self.patience, self.decides = patience, decides
        self.score, self.paint = score, paint
        self.best: dict[str, Any] = {}  # of the best look: step, score, averages
        self.idle = 0  # looks since the best one

    def begin(self) -> None:
        """Remove the grids of an earlier training; other files in the folder stay."""
        for path in self.folder.glob("*.png") if self.folder else ():
            if path.stem.isdecimal():
                path.unlink()

    def identity(self) -> list[object]:
        """What a checkpoint must share with this watch."""
        return [sorted(self.steps), self.patience, self.decides]

    def state(self) -> dict[str, Any]:
        """The watch's part of a checkpoint. No object in it is ever changed in place."""
        return {"best": self.best, "idle": self.idle}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best, self.idle = dict(state["best"]), state["idle"]

    @property
    def over(self) -> bool:
        """Whether the training is to stop early."""
        return 0 < self.patience <= self.idle

    def look(
        self,
        step: int,
        modules: Mapping[str, torch.nn.Module],
        averages: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> list[dict[str, Any]]:
        """Look after `step` steps, if a look is due: its line of history, or none.

        modules: {name: module}; they are left as they were. averages: {name: state dict of averaged
        weights}. A score that is not finite is never the best; its line says None.
        """
        if step not in self.steps:
            return []
        with torch.no_grad():
            return self._looked(step, modules, averages)

    def _looked(
        self,
        step: int,
        modules: Mapping[str, torch.nn.Module],
        averages: Mapping[str, Mapping[str, torch.Tensor]],
    ) -> list[dict[str, Any]]:
        """The line of history of a look that is due."""
        training_weights = {
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
            for name, weights in training_weights.items():
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
        """Sentences for the user: that training stopped early, that the weights aren't the last.

        done: finished steps. total: planned steps.
        """
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
    """{step after which to look: whether to paint then}, evenly spread, the last step among them.

    steps: of the training. score, paint: cost of a score and of a grid, in steps. Scores take at
    most LOOK_SHARE of the training's time, and so do grids; there are at most MOST_LOOKS. The last
    look paints, whatever that costs.
    """
    count = min(MOST_LOOKS, steps, int(LOOK_SHARE * steps / score))
    if not count:
        return {}
    painted = min(count, max(1, int(LOOK_SHARE * steps / paint)))
    grid_looks = {count - int(k * count / painted) for k in range(painted)}
    return {steps * k // count: k in grid_looks for k in range(1, count + 1)}


def grid(images: np.ndarray) -> np.ndarray:
    """Images, uint8 [n, H, W, C], or pictures of volumes [n, D, H, W, C], as one image: a square of
    ceil(sqrt(n)) columns."""
    if images.ndim == 5:
        images = np.stack([medium_of(images).picture(volume) for volume in images])
    n, height, width, channels = images.shape
    across = math.ceil(math.sqrt(n))
    down = -(-n // across)
    out = np.full(
        (
            down * (height + BORDER_PIXELS) - BORDER_PIXELS,
            across * (width + BORDER_PIXELS) - BORDER_PIXELS,
            channels,
        ),
        255,
        np.uint8,
    )
    for k, image in enumerate(images):
        top, left = k // across * (height + BORDER_PIXELS), k % across * (width + BORDER_PIXELS)
        out[top : top + height, left : left + width] = image
    return out


def cells(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] -> float64 [n, D]: mean and standard deviation of each channel in each of
    8 x 8 cells (4 x 4 x 4 of volumes), from 0 to 1. Means describe where which colour is,
    deviations how sharp it is.
    """
    n, *sides, channels = images.shape
    count = CELLS_A_SIDE if len(sides) == 2 else CELLS_A_VOLUME_SIDE
    cuts = []
    for side in sides:
        ends = np.arange(count + 1) * side // count
        pairs = zip(ends[:-1], np.maximum(ends[1:], ends[:-1] + 1), strict=True)
        cuts.append([slice(low, high) for low, high in pairs])
    features = []
    for cut in itertools.product(*cuts):
        cell = images[(slice(None), *cut)].reshape(n, -1, channels) / 255
        features += [cell.mean(1), cell.std(1)]
    return np.concatenate(features, axis=1)


def energy(real: np.ndarray, generated: np.ndarray) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of rows [n, D] and [m, D], at least two each.

    The energy distance (Székely and Rizzo 2013, equation 5), unbiased: its expectation is 0 if and
    only if both come from one distribution, and it can be a little below 0.
    """

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.sqrt(np.maximum(squares, 0))

    within_means = [
        (d.sum() - np.trace(d)) / (len(d) * (len(d) - 1))
        for d in (distances(real, real), distances(generated, generated))
    ]
    return float(2 * distances(real, generated).mean() - sum(within_means))
