"""Drawn shapes with a planted truth: the small sample set of the tests and of the quick demo.

The class is the shape. A caption, in a share of the rows, names size, colour and shape. The table
holds the side in pixels, the hue and a column of pure noise. So the shape can be read from image
and caption, but not from the table.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image, ImageDraw

from gobelin.core.config import setting, settings_class
from gobelin.core.files import atomic_folder
from gobelin.core.machine import numpy_generator

COLOURS = {"red": 0.0, "yellow": 0.15, "green": 0.35, "blue": 0.62, "purple": 0.8}
SHAPES = ("circle", "square", "triangle", "cross")


@settings_class
class Shapes:
    """Settings of the sample set."""

    rows: int = setting(default=320, description="Number of rows.")
    size: int = setting(default=24, description="Side of the images in pixels.")
    captions: float = setting(default=0.6, description="Share of the rows that have a caption.")
    noise: float = setting(
        default=12.0, description="Standard deviation of the pixel noise, of 255."
    )
    balance: tuple[float, ...] = setting(
        default=(0.4, 0.3, 0.2, 0.1), description="Chance of each shape, one number a shape."
    )

    target: ClassVar[str] = "shape"
    credit: ClassVar[str] = "Drawn by Gobelin"

    def settings(self) -> Mapping[str, Any]:
        return {
            "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
            "align": {"width": 32, "steps": 60},
            "generator": {"size": 16},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"text": "a red circle"}, {"row": "side=20,hue=0.6"})

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        rng = numpy_generator(seed, "shapes")
        rows = []
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()
            for k in range(self.rows):
                shape = SHAPES[rng.choice(len(SHAPES), p=self.balance)]
                colour, hue = _colour(rng)
                side = int(rng.integers(self.size // 3, self.size - 2))
                captioned = rng.random() < self.captions
                name = f"images/{k:05d}.png"
                self._draw(shape, hue, side, rng).save(temporary / name)
                size = "small" if side < self.size * 0.6 else "large"
                rows.append(
                    {
                        "id": f"{k:05d}",
                        "image": name,
                        "shape": shape,
                        "side": side,
                        "hue": round(hue, 3),
                        "noise": round(float(rng.normal()), 3),
                        "caption": f"a {size} {colour} {shape}" if captioned else None,
                    }
                )
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def _draw(self, shape: str, hue: float, side: int, rng: np.random.Generator) -> Image.Image:
        image = Image.new("RGB", (self.size, self.size), "white")
        x, y = (int(v) for v in rng.integers(0, self.size - side, 2))
        fill = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.85, 0.85))
        draw, box = ImageDraw.Draw(image), (x, y, x + side, y + side)
        if shape == "circle":
            draw.ellipse(box, fill=fill)
        elif shape == "square":
            draw.rectangle(box, fill=fill)
        elif shape == "triangle":
            draw.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=fill)
        else:
            third = side // 3
            draw.rectangle((x + third, y, x + 2 * third, y + side), fill=fill)
            draw.rectangle((x, y + third, x + side, y + 2 * third), fill=fill)
        pixels = np.asarray(image, np.float64) + rng.normal(
            0, self.noise, (self.size, self.size, 3)
        )
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[str, float]:
    names = list(COLOURS)
    name = names[int(rng.integers(len(names)))]
    return name, float((COLOURS[name] + rng.normal(0, 0.015)) % 1.0)
