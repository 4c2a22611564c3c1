"""Slices of a brain that nobody learned from: `translate` from its label map, and back.

pip install --no-deps --target FOLDER nilearn; apt-get install mricron-data; python
benchmarks/brains.py [--nilearn FOLDER/nilearn/datasets/data] [--held-out colin27 inia19]
[--directions image labels] [--steps 500] [--threads 0] [--sheet FILE.png]

One of three brains is held out whole: a person (human fold) or the macaque (macaque fold). So
everything here is trained on two brains, and every line says so. Contenders for the image of a
label map: the mean brightness of each label among training pixels; the image of the training slice
of the same plane whose label map agrees in most pixels; a linear filter, the best linear function
of the labels of 7 x 7 pixels (ridge); `translate`. For the label map of an image: the most frequent
label of the pixel's brightness among training pixels; the nearest training slice by its image;
`translate`, whose colours are named by the nearest label colour.

PSNR and SSIM of pixels, and the Dice coefficient, the mean over the three tissues. Neighbouring
slices are nearly equal, so the units of the intervals are slabs of slices. All slabs are of one
brain: the interval is about other slabs of this brain, not about other brains."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import record
from fidelity import psnr, ssim
from translation import from_source

from gobelin.core.machine import Runtime
from gobelin.data.samples.medicine import COLOURS, PLANES, SPECIES, Medicine
from gobelin.data.volume.tissue import FLUID, TISSUES
from gobelin.evidence import intervals
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.generation.generators.translate import Translate

MEAN, NEAREST, FILTER = "mean of the label", "nearest training slice", "linear filter of labels"
BRIGHTNESS = "most frequent label of the brightness"
WINDOW, RIDGE = 7, 1.0  # of the linear filter: side in pixels, penalty
TRAINED = "two brains"
# every source is whole here, so nothing is hidden in training
HOW = Translate(
    width=32,
    batch=16,
    rate=1e-3,
    filter=WINDOW,
    masked=0.0,
    alone=0.0,
    early=4.0,
    half_life=70.0,
)


@dataclass(frozen=True)
class Slices:
    """N slices. image, labels: uint8 [N, S, S]. plane: int [N]. slab: str [N]."""

    image: np.ndarray
    labels: np.ndarray
    plane: np.ndarray
    slab: np.ndarray

    @staticmethod
    def of(sample: Medicine, brain: str) -> Slices:
        rows, image, labels = zip(*sample.cuts(brain), strict=True)
        plane = np.array([PLANES.index(row["plane"]) for row in rows])
        slabs = np.array([row["slab"] for row in rows])
        return Slices(np.stack(image), np.stack(labels), plane, slabs)

    def joined(self, other: Slices) -> Slices:
        both = [
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("image", "labels", "plane", "slab")
        ]
        return Slices(*both)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nilearn", default="")
    parser.add_argument("--held-out", nargs="*", default=["colin27", "inia19"])
    parser.add_argument("--directions", nargs="*", default=["image", "labels"])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="processor threads, 0 = 2")
    parser.add_argument("--sheet", type=Path, help="PNG of label map, image and every contender")
    given = parser.parse_args()
    sample = Medicine(nilearn=given.nilearn, size=given.size)
    brains = {brain: Slices.of(sample, brain) for brain in SPECIES}
    runtime = Runtime(given.seed, threads=given.threads).resolved()
    for brain in given.held_out:
        one, two = (slices for name, slices in brains.items() if name != brain)
        fold = Fold(brain, one.joined(two), brains[brain])
        for direction in given.directions:
            fold.run(direction, HOW, given.steps, runtime, given.sheet)


@dataclass(frozen=True)
class Fold:
    """A brain that is held out, and the slices of the two others."""

    brain: str
    train: Slices
    test: Slices

    def run(
        self, direction: str, how: Translate, steps: int, runtime: Runtime, sheet: Path | None
    ) -> None:
        """Write a line for each contender. direction: 'image' from labels, or 'labels' from the
        image."""
        start = time.perf_counter()
        outputs = self.image_rivals() if direction == "image" else self.label_rivals()
        spent = time.perf_counter() - start
        learned, seconds = self.translated(direction, how, steps, runtime)
        outputs |= learned
        scores = {
            name: self.image_scores(made) if direction == "image" else self.label_scores(made)
            for name, made in outputs.items()
        }
        rivals = [name for name in outputs if name not in learned]
        for name, own in scores.items():
            row: dict[str, Any] = {
                "cell": f"{direction} of {self.brain}: {name}",
                "made": direction,
                "fold": SPECIES[self.brain],
                "held_out": self.brain,
                "contender": name,
                "trained_on": TRAINED,
                "train_slices": len(self.train.image),
                "test_slices": len(self.test.image),
                "test_slabs": len(set(self.test.slab)),
                "pixels": self.test.image.shape[1],
                "seconds_of_rivals": round(spent, 1),
            }
            for key, values in own.items():
                found = intervals.mean(values, self.test.slab)
                row |= _with_ends(key, found)
            if name in learned:
                row |= {
                    "steps": steps,
                    "seconds_training": seconds,
                    "seed": runtime.seed,
                    "threads": runtime.threads,
                    "precision": runtime.precision,
                }
                for rival in rivals:
                    for key in own:
                        found = intervals.mean(own[key] - scores[rival][key], self.test.slab)
                        row |= _with_ends(f"{key}_gain_over_{rival}", found)
            record.append("brains", row)
        if sheet:
            pictures = [COLOURS[self.test.labels], grey(self.test.image)]
            pictures += [grey(m) if direction == "image" else COLOURS[m] for m in outputs.values()]
            draw(sheet.with_stem(f"{sheet.stem}_{self.brain}_{direction}"), pictures)

    def image_rivals(self) -> dict[str, np.ndarray]:
        """{contender: uint8 [N, S, S]} of the images that need no training by steps."""
        train, test = self.train, self.test
        means = np.array([train.image[train.labels == k].mean() for k in range(len(TISSUES))])
        near = nearest_slices(train.labels, train.plane, test.labels, test.plane)
        return {
            MEAN: np.round(means).astype(np.uint8)[test.labels],
            NEAREST: train.image[near],
            FILTER: linear_filter(train.labels, train.image, test.labels),
        }

    def label_rivals(self) -> dict[str, np.ndarray]:
        """{contender: uint8 [N, S, S]} of labels."""
        train, test = self.train, self.test
        counts = np.stack(
            [np.bincount(train.image[train.labels == k], minlength=256) for k in range(4)]
        )
        smooth = np.stack([np.convolve(c, np.ones(5), "same") for c in counts])
        near = nearest_images(train.image, train.plane, test.image, test.plane)
        return {
            BRIGHTNESS: smooth.argmax(0).astype(np.uint8)[test.image],
            NEAREST: train.labels[near],
        }

    def translated(
        self, direction: str, how: Translate, steps: int, runtime: Runtime
    ) -> tuple[dict[str, np.ndarray], float]:
        """{contender: uint8 [N, S, S]} with one evaluation and with the usual number, and the
        seconds of training."""

        def pairs(slices: Slices) -> tuple[np.ndarray, np.ndarray]:
            both = COLOURS[slices.labels], grey(slices.image)
            return both if direction == "image" else both[::-1]

        (source, target), (asked, wanted) = pairs(self.train), pairs(self.test)
        rows = ImageRows(target, from_source(source))
        held = ImageRows(wanted[:1], from_source(asked[:1]))
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            sampler = how.fit(rows, held, Context(runtime, Path(folder), steps, told))
        seconds = round(time.perf_counter() - start, 1)
        out = {}
        for evaluations in (1, how.evaluations):
            name = f"translate, {evaluations} evaluation{'s' if evaluations > 1 else ''}"
            blocks = sampler.sample(
                from_source(asked), range(len(asked)), Controls(steps=evaluations)
            )
            made = np.concatenate(list(blocks))
            out[name] = (
                np.round(made.mean(-1)).astype(np.uint8) if direction == "image" else named(made)
            )
        return out, seconds

    def image_scores(self, made: np.ndarray) -> dict[str, np.ndarray]:
        truth = self.test.image[..., None]
        return {"psnr_db": psnr(made[..., None], truth), "ssim": ssim(made[..., None], truth)}

    def label_scores(self, made: np.ndarray) -> dict[str, np.ndarray]:
        return {"dice": dice(made, self.test.labels)}


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S] -> [N, S, S, 3]."""
    return np.repeat(image[..., None], 3, -1)


def named(images: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S]: the label whose colour is nearest, of uint8 [N, S, S, 3]."""
    away = (images[..., None, :].astype(np.int64) - COLOURS.astype(np.int64)) ** 2
    return away.sum(-1).argmin(-1).astype(np.uint8)


def dice(made: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float64 [N]: 2 |A and B| / (|A| + |B|) (Dice 1945), the mean over the tissues that either
    map has; 1 where neither has any. made, truth: uint8 [N, S, S]."""
    both, sizes = [], []
    for k in range(FLUID, len(TISSUES)):
        one, other = made == k, truth == k
        both.append(2.0 * (one & other).sum((1, 2)))
        sizes.append(one.sum((1, 2)) + other.sum((1, 2)))
    top, bottom = np.stack(both), np.stack(sizes)
    share = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    return np.nan_to_num(np.nanmean(share, 0), nan=1.0)


def nearest_slices(
    labels: np.ndarray, plane: np.ndarray, asked: np.ndarray, asked_plane: np.ndarray
) -> np.ndarray:
    """int [M]: the training slice of the same plane that has the same label in most pixels."""
    hot = [
        np.stack([(x == k).reshape(len(x), -1) for k in range(len(TISSUES))], 1)
        for x in (labels, asked)
    ]
    train, test = (h.reshape(len(h), -1).astype(np.float32) for h in hot)
    same = test @ train.T
    return np.where(asked_plane[:, None] == plane, same, -1).argmax(1)


def nearest_images(
    images: np.ndarray, plane: np.ndarray, asked: np.ndarray, asked_plane: np.ndarray
) -> np.ndarray:
    """int [M]: the training slice of the same plane with the smallest squared distance."""
    train, test = (x.reshape(len(x), -1).astype(np.float64) for x in (images, asked))
    away = (train**2).sum(1) - 2 * test @ train.T
    return np.where(asked_plane[:, None] == plane, away, np.inf).argmin(1)


def linear_filter(labels: np.ndarray, image: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """uint8 [M, S, S]: the ridge estimate of a pixel from the labels of WINDOW x WINDOW pixels
    about it, one number a label and place."""

    def windows(maps: np.ndarray) -> np.ndarray:
        half = WINDOW // 2
        hot = np.stack([maps == k for k in range(1, len(TISSUES))], -1).astype(np.float32)
        wide = np.pad(hot, ((0, 0), (half, half), (half, half), (0, 0)))
        parts = np.lib.stride_tricks.sliding_window_view(wide, (WINDOW, WINDOW), (1, 2))
        flat = parts.reshape(maps.size, -1)
        return np.concatenate([flat, np.ones((len(flat), 1), np.float32)], 1)

    width = WINDOW**2 * (len(TISSUES) - 1) + 1
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for block in np.array_split(np.arange(len(labels)), max(1, len(labels) // 20)):
        x = windows(labels[block])
        gram += x.T @ x
        moment += x.T @ image[block].reshape(-1).astype(np.float32)
    weights = np.linalg.solve(gram + RIDGE * np.eye(width), moment)
    made = [windows(m[None]) @ weights for m in asked]
    return np.round(np.stack(made)).clip(0, 255).astype(np.uint8).reshape(asked.shape)


def _with_ends(key: str, found: intervals.Interval) -> dict[str, float]:
    values = (found.value, found.low, found.high)
    ends = (key, f"{key}_low", f"{key}_high")
    return {name: round(float(v), 4) for name, v in zip(ends, values, strict=True)}


def draw(path: Path, columns: list[np.ndarray], rows: int = 8, scale: int = 2) -> None:
    """Some slices: the label map, the image, and every contender."""
    some = np.linspace(4, len(columns[0]) - 5, rows).astype(int)
    whole = np.concatenate([np.concatenate([c[k] for c in columns], 1) for k in some], 0)
    size = (whole.shape[1] * scale, whole.shape[0] * scale)
    Image.fromarray(whole).resize(size, Image.Resampling.NEAREST).save(path)


def told(what: str, done: int, total: int) -> None:
    if done % 100 == 0:
        sys.stderr.write(f"{what}: {done}/{total}\n")


if __name__ == "__main__":
    main()
