"""Do images of different seeds differ? Their mean distance in pixels, beside that of training
images of the same condition.

What it cannot show: that images which differ are good ones, or that they differ in what matters.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.media import medium_of_file
from gobelin.generation.generators import Condition
from gobelin.workbench.run.chain import Run

LOG = logging.getLogger(__name__)
MOST_COMPARED = 16  # images of a side
LEAST_REAL = 4  # training images of a condition; fewer tell no distance
HARDLY = 0.5  # share of the training images' distance, below which a line is told


def spread(images: np.ndarray) -> float:
    """The mean over pairs of uint8 images [n, H, W, C], or volumes, of the root of their mean
    squared difference, from 0 to 255. At least two."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    squares = (flat**2).sum(1)
    products = flat @ flat.T
    distances = np.maximum(squares[:, None] + squares - 2 * products, 0) / flat.shape[1]
    above = np.triu_indices(len(flat), 1)
    return float(np.sqrt(distances[above]).mean())


def warning(made: np.ndarray, real: np.ndarray, what: str) -> str:
    """A line where the images of different seeds, uint8 [n, H, W, C], hardly differ beside training
    images of the same condition, uint8 [m, H, W, C]; '' else."""
    if len(made) < 2 or len(real) < LEAST_REAL or made.shape[1:] != real.shape[1:]:
        return ""
    ours, theirs = spread(made), spread(real)
    if not theirs or ours >= HARDLY * theirs:
        return ""
    where = f" {what}" if what else ""
    return (
        f"the images of {len(made)} seeds hardly differ{where}: by {ours:.0f} of 255 levels a"
        f" pixel, training images by {theirs:.0f}. Lower --guidance, train more steps"
        " (--set generator.steps=N), or give more training images."
    )


def tell_of_files(run: Run, condition: Condition, paths: Sequence[Path], what: str) -> bool:
    """Warn where images that were just written for one condition hardly differ; whether it did."""
    if len(paths) < 2 or run.folder.saved:
        return False
    of_kind = medium_of_file(paths[0])
    with_pixels = [_full(of_kind.array(p.read_bytes())) for p in paths[:MOST_COMPARED]]
    return tell(run, condition, np.stack(with_pixels), what)


def _full(array: np.ndarray) -> np.ndarray:
    """A grey image with three channels, as training images have; any other array as it is."""
    return np.repeat(array, 3, 2) if array.ndim == 3 and array.shape[2] == 1 else array


def tell(run: Run, condition: Condition, made: np.ndarray, what: str) -> bool:
    """Warn where these images of one condition, uint8 [n, H, W, C], hardly differ; whether it
    did."""
    try:
        rows = nearest_rows(run, condition)
        real = run.generator.images(rows).images if len(rows) >= LEAST_REAL else made[:0]
    except (GobelinError, OSError):  # the data are gone; the images themselves are written
        return False
    if line := warning(made, np.asarray(real), what):
        LOG.warning("%s", line)
    return bool(line)


def nearest_rows(run: Run, condition: Condition) -> np.ndarray:
    """int64 [n]: training rows with an image that fit a condition best: of its class, or nearest to
    its number, then nearest to its vectors."""
    rows = run.generator.with_image("train")
    target = run.checked.rows.target
    score = np.zeros(len(rows))
    asked = np.nan if condition.target is None else float(condition.target[0])
    if np.isfinite(asked) and not (target.exclusive and asked < 0):  # -1: no class
        values = np.asarray(target.values[rows], np.float64)
        if target.exclusive:
            rows = rows[values == asked]
            score = np.zeros(len(rows))
        else:
            score = -np.abs(values - asked)
    elif condition.vectors.shape[1] and bool(condition.present[0].any()):
        asked_vectors = condition.vectors[0].numpy()
        score = np.einsum("nfd,gd->n", run.space.shared.vectors[rows], asked_vectors)
    if not score.any():  # all alike: spread over the rows
        places = np.linspace(0, len(rows) - 1, min(len(rows), MOST_COMPARED)).round()
        return rows[places.astype(np.int64)] if len(rows) else rows
    return rows[np.argsort(-score, kind="stable")[:MOST_COMPARED]]
