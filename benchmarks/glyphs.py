"""Digits as a simulator would make them: fonts drawn at the size and blur of the scanned ones, one
folder a class.

    apt-get install fonts-breip fonts-humor-sans fonts-dkg-handwriting fonts-femkeklaver fonts-bwht
        fonts-klee \\ fonts-rufscript fonts-sjfonts fonts-yusei-magic fonts-dancingscript
        fonts-kaushanscript fonts-joscelyn fonts-comic-neue
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = Path("/usr/share/fonts")
HANDS = (
    "breip",
    "humor-sans",
    "fifthhorseman",
    "femkeklaver",
    "bwht",
    "klee",
    "rufscript",
    "sjfonts",
    "yusei-magic",
    "dancingscript",
    "kaushanscript",
    "joscelyn",
    "comic-neue",
)


def hands() -> list[Path]:
    """The handwriting fonts that are installed."""
    found = sorted(
        p for p in FONTS.glob("*/*/*") if p.suffix in (".ttf", ".otf") and p.parent.name in HANDS
    )
    if len(found) < 20:
        raise SystemExit(
            f"{FONTS}: {len(found)} fonts of handwriting, 20 were expected. Install those of"
            " glyphs.py."
        )
    return found


def write(folder: Path, each: int, size: int) -> Path:
    """folder/DIGIT/K.png, `each` of every digit: dark on white, 8 x 8 shades made larger, as the
    sample set has them."""
    fonts, rng = hands(), np.random.default_rng(0)
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for k in range(each):
            shades = Image.fromarray(
                np.round(255 * (1 - drawn(str(digit), fonts, rng))).astype(np.uint8)
            )
            shades.resize((size, size), Image.Resampling.BICUBIC).save(
                folder / str(digit) / f"{k}.png"
            )
    return folder


def drawn(text: str, fonts: list[Path], rng: np.random.Generator) -> np.ndarray:
    """float64 [8, 8] in 0..1: a glyph slanted, turned and squeezed a little, cut out, and counted
    in 4 x 4 cells of 32 x 32, as the scans were."""
    font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), 96)
    sheet = Image.new("L", (160, 160), 0)
    ImageDraw.Draw(sheet).text(
        (80, 80), text, font=font, fill=255, anchor="mm", stroke_width=int(rng.integers(0, 5))
    )
    slant, turn = rng.normal(0, 0.25), rng.normal(0, 8)
    sheet = sheet.rotate(turn).transform(
        sheet.size, Image.Transform.AFFINE, (1, slant, -80 * slant, 0, 1, 0)
    )
    box = sheet.point(lambda v: 255 * (v > 60)).getbbox() or (0, 0, 160, 160)
    sheet, high = sheet.crop(box), int(rng.integers(30, 33))
    wide = int(np.clip(sheet.width * high / sheet.height * rng.uniform(0.8, 1.15), 8, 32))
    cell = Image.new("L", (32, 32), 0)
    cell.paste(
        sheet.resize((wide, high), Image.Resampling.BICUBIC), ((32 - wide) // 2, (32 - high) // 2)
    )
    return (np.asarray(cell) > 110).reshape(8, 4, 8, 4).mean((1, 3))


if __name__ == "__main__":
    write(Path("glyphs"), 200, 32)
