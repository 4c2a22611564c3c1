"""Images from random numbers alone: coloured noise fields, Julia sets, scenes of shapes.

Nothing is learned. A noise field has the power spectrum 1 / f^b (Field 1987: natural images have b
about 2). A Julia set colours the escape time of z -> z^2 + c (Julia 1918), with c near the edge of
the Mandelbrot set. A scene lays ellipses, rectangles and triangles over each other. An image is a
function of its seed alone. Such images are a control, and something to pretrain on.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image, ImageDraw

from gobelin.core import weights
from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, write_json
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.generation.generators import Condition, Context, Controls, ImageRows

PROCEDURAL_FORMAT = 2  # of the saved folder


@settings_class
class Procedural:
    """What is drawn."""

    kind: Literal["mixed", "noise", "fractal", "shapes"] = setting(
        default="mixed", description="Kind of image. mixed lets the seed choose."
    )
    slope: float = setting(default=2.0, description="Exponent b of the noise fields' spectrum.")
    shapes: int = setting(default=6, description="Shapes in a scene, at most.")

    accepts: ClassVar[frozenset[str]] = frozenset()
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns nothing"
    cost: ClassVar[str] = "no training, about a millisecond an image"
    least_steps: ClassVar[int] = 1

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """One: there is nothing to train."""
        return 1

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> ProceduralSampler:
        h, w, c = train.images.shape[1:]
        return ProceduralSampler(self, (h, w, c))

    def load(self, folder: Path, runtime: Runtime) -> ProceduralSampler:
        """The sampler that was saved in `folder`."""
        config = weights.config_of(folder, PROCEDURAL_FORMAT)
        h, w, c = config["size"]
        return ProceduralSampler(Procedural(**config["settings"]), (h, w, c))


class ProceduralSampler:
    """Draws images of `size` (H, W, C); it accepts no part of a condition."""

    accepts: frozenset[str] = frozenset()

    def __init__(self, settings: Procedural, size: tuple[int, int, int]) -> None:
        self.settings, self.size = settings, size

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        for start in range(0, len(seeds), controls.batch):
            yield np.stack([self.draw(seed) for seed in seeds[start : start + controls.batch]])

    def draw(self, seed: int) -> np.ndarray:
        """uint8 [H, W, C]."""
        rng = numpy_generator(seed, "procedural")
        drawers = {"noise": self._noise, "fractal": self._fractal, "shapes": self._scene}
        chosen = list(drawers)[int(rng.integers(len(drawers)))]
        image = drawers[chosen if self.settings.kind == "mixed" else self.settings.kind](rng)
        h, w, c = self.size
        if c == 1:
            image = image.mean(-1, keepdims=True)
        elif c == 4:
            image = np.concatenate([image, np.ones((h, w, 1))], axis=-1)
        return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """[H, W, 3] in 0..1: white noise shaped to the spectrum 1 / f^slope, its channels mixed by
        a random palette."""
        h, w, _ = self.size
        frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
        frequency[0, 0] = 1.0
        waves = np.fft.rfft2(rng.normal(size=(2, h, w))) * frequency ** (-self.settings.slope / 2)
        waves[:, 0, 0] = 0
        fields = np.fft.irfft2(waves, s=(h, w))
        fields /= np.abs(fields).max((1, 2), keepdims=True) + 1e-12
        base, first, second = (_colour(rng) for _ in range(3))
        return np.clip(
            base + 0.7 * fields[0][..., None] * first + 0.3 * fields[1][..., None] * second, 0, 1
        )

    def _fractal(self, rng: np.random.Generator, most: int = 48) -> np.ndarray:
        """[H, W, 3] in 0..1: smooth escape times of a Julia set between two colours."""
        h, w, _ = self.size
        turn, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.6)
        c = np.exp(1j * turn) / 2 - np.exp(2j * turn) / 4  # the edge of the main cardioid
        c *= rng.uniform(1.0, 1.08)
        y, x = np.mgrid[-zoom : zoom : h * 1j, -zoom : zoom : w * 1j]  # type: ignore[misc]
        z, escape = x + 1j * y, np.full((h, w), float(most))
        for step in range(most):
            z = np.where(np.abs(z) < 4, z * z + c, z)
            out = (np.abs(z) >= 4) & (escape == most)
            escape[out] = step + 1 - np.log2(np.log2(np.abs(z[out])))
        share = (np.clip(escape, 0, most) / most)[..., None] ** 0.7
        return _colour(rng) * (1 - share) + _colour(rng) * share

    def _scene(self, rng: np.random.Generator, finer: int = 4) -> np.ndarray:
        """[H, W, 3] in 0..1: shapes over a plain ground, drawn finer and averaged."""
        h, w, _ = self.size
        image = Image.new("RGB", (w * finer, h * finer), _bytes(0.5 + _colour(rng) / 2))
        draw = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(1, self.settings.shapes + 1))):
            x, y = rng.uniform(0, (w * finer, h * finer))
            a, b = rng.uniform(0.08, 0.35, 2) * min(h, w) * finer
            box, fill = (x - a, y - b, x + a, y + b), _bytes(_colour(rng))
            which = int(rng.integers(3))
            if which == 0:
                draw.ellipse(box, fill=fill)
            elif which == 1:
                draw.rectangle(box, fill=fill)
            else:
                draw.polygon(
                    [(x - a, y + b), (x + a, y + b), (x + rng.uniform(-a, a), y - b)], fill=fill
                )
        return np.asarray(image.resize((w, h), Image.Resampling.BOX), np.float64) / 255

    def fingerprint(self) -> str:
        return fingerprint("procedural", asdict(self.settings), list(self.size))

    def save(self, folder: Path) -> None:
        write_json(
            folder / "config.json",
            {
                "format": PROCEDURAL_FORMAT,
                "settings": asdict(self.settings),
                "size": list(self.size),
            },
        )


def _colour(rng: np.random.Generator) -> np.ndarray:
    """[3] in 0..1: a random hue, rather saturated."""
    return np.array(
        colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.4, 1.0), rng.uniform(0.35, 1.0))
    )


def _bytes(colour: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in np.clip(colour * 255, 0, 255))
    return r, g, b
