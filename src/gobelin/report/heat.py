"""An image under the colours of its pixels' values: red raises the answer, blue lowers it.

What this cannot show: values above those of the strongest hundredth of pixels, which have the full
colour too."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from gobelin.evidence.findings import number
from gobelin.report.lettering import font_of, unknown, wrapped

SIDE = 256  # pixels of the longer side of the image
BAR, TEXT = 14, 62  # pixels: width of the colour bar, and of its numbers
LINE, SIZE = 16, 12  # pixels: height of a line and of a letter
STRONGEST = 0.99  # quantile of the absolute values that has the full colour
RED, BLUE = np.array([214.0, 39.0, 40.0]), np.array([31.0, 90.0, 200.0])
COVER = 0.75  # how much of the image the full colour covers
PLACES = (
    ("upper left corner", "upper edge", "upper right corner"),
    ("left edge", "middle", "right edge"),
    ("lower left corner", "lower edge", "lower right corner"),
)


def strongest(values: np.ndarray) -> float:
    """The absolute value that has the full colour. values: [H, W]."""
    return float(np.quantile(np.abs(values), STRONGEST)) or float(np.abs(values).max()) or 1.0


def overlay(image: np.ndarray, values: np.ndarray, caption: str = "") -> tuple[Image.Image, str]:
    """The image in grey under the colours, with a colour bar and a caption below; and the letters
    that stand in it as boxes, because no font here has them. image: [H, W, 3], 0 to 255. values:
    [H, W]."""
    full = strongest(values)
    share = np.clip(values / full, -1, 1)[..., None]  # [H, W, 1]
    grey = image.mean(-1, keepdims=True).repeat(3, -1)
    cover = COVER * np.abs(share)
    mixed = (1 - cover) * grey + cover * np.where(share > 0, RED, BLUE)
    picture = Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.NEAREST)
    font = font_of(caption, SIZE)
    below = wrapped(caption, font, size[0] + BAR + TEXT)
    page = Image.new("RGB", (size[0] + BAR + TEXT + 12, size[1] + LINE * len(below)), "white")
    page.paste(picture, (0, 0))
    _bar(page, size[0] + 6, size[1], full)
    pen = ImageDraw.Draw(page)
    for k, text in enumerate(below):
        pen.text((4, size[1] + LINE * k), text, fill=(90, 90, 90), font=font)
    return page, unknown(caption, font)


def _bar(page: Image.Image, left: int, height: int, full: float) -> None:
    """Draw the colour bar with its numbers."""
    share = np.linspace(1, -1, height)[:, None, None]
    colours = 255 - COVER * np.abs(share) * (255 - np.where(share > 0, RED, BLUE))
    strip = colours.round().astype(np.uint8).repeat(BAR, 1)
    page.paste(Image.fromarray(strip), (left, 0))
    pen, font = ImageDraw.Draw(page), font_of("", SIZE)
    for y, value in ((0, full), (height // 2 - 7, 0.0), (height - 15, -full)):
        text = number(float(f"{value:.2g}"), "", True) if value else "0"
        pen.text((left + BAR + 4, y), text, fill=(20, 20, 20), font=font)


def by_place(values: np.ndarray) -> dict[str, float]:
    """{place: its share of all absolute values}, of the nine parts of an image. values: [H, W]."""
    size = np.abs(values)
    total = float(size.sum()) or 1.0
    rows = np.array_split(np.arange(size.shape[0]), 3)
    columns = np.array_split(np.arange(size.shape[1]), 3)
    return {
        PLACES[i][j]: float(size[np.ix_(rows[i], columns[j])].sum()) / total
        for i in range(3)
        for j in range(3)
    }
