"""Render the training signs of the sample set `transport`: images for the generator `imported`.

    python recipes/transport/render.py RUN/data/records.csv OUT --signs transport [--each 8]
        [--how boards photo] [--seed 0]

OUT gets one folder for each name, with `--each` images for each training drawing. Validation and
test drawings are never opened: only rows whose `part` is `train` are read.

What the renderer knows and the rows don't:

- `boards`: a country draws its own picture on its own board. A warning is a yellow diamond here and
  a white triangle with a red border there. The picture is cut out of the drawing and painted on
  another country's board for the same category.
- `photo`: a sign on a street is seen from the side, in some light, out of focus, in rain, snow or
  fog, with noise, and partly hidden.

It is an example: for your own signs, parts or products, change the boards or write a renderer of
your own. Gobelin only needs one folder of images for each class.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from gobelin.data.samples.transport import Transport

SIDE = 128  # pixels in which signs are cut and painted
Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (20, 20, 20)
RED, YELLOW, ORANGE = (215, 25, 32), (255, 213, 20), (245, 130, 30)
BLUE, GREEN = (20, 90, 170), (0, 130, 80)


@dataclass(frozen=True)
class Board:
    """shape: diamond, triangle, circle, square, tall or wide. ink: colour of the picture."""

    shape: str
    rim: Colour
    fill: Colour
    ink: Colour


# {category: boards}; a board that stands twice is drawn twice as often
BOARDS = {
    "warning": (
        *2 * [Board("diamond", BLACK, YELLOW, BLACK), Board("triangle", RED, WHITE, BLACK)],
        Board("triangle", RED, YELLOW, BLACK),
        Board("triangle", BLACK, YELLOW, BLACK),
        Board("diamond", BLACK, ORANGE, BLACK),
        Board("square", BLACK, YELLOW, BLACK),
    ),
    "prohibition": (
        *2 * [Board("circle", RED, WHITE, BLACK)],
        Board("circle", RED, YELLOW, BLACK),
        Board("square", BLACK, WHITE, BLACK),
    ),
    "regulatory": (
        *2 * [Board("circle", BLUE, BLUE, WHITE)],
        Board("circle", RED, WHITE, BLACK),
        Board("square", BLACK, WHITE, BLACK),
        Board("tall", BLACK, WHITE, BLACK),
    ),
    "information": (
        *2 * [Board("square", WHITE, BLUE, WHITE)],
        Board("tall", WHITE, BLUE, WHITE),
        Board("square", BLACK, WHITE, BLACK),
        Board("square", WHITE, GREEN, WHITE),
    ),
    "complementary": (
        *2 * [Board("wide", BLACK, WHITE, BLACK)],
        Board("square", BLACK, WHITE, BLACK),
        Board("wide", BLACK, YELLOW, BLACK),
        Board("wide", WHITE, BLUE, WHITE),
        Board("wide", BLACK, ORANGE, BLACK),
    ),
}
PROHIBITIONS = ("no-", "end-of", "maximum")  # how names of such regulatory signs begin
# where a picture lies on a board: left, top, right, bottom as shares of the side
INSIDE = {
    "diamond": (0.27, 0.27, 0.73, 0.73),
    "triangle": (0.30, 0.42, 0.70, 0.83),
    "circle": (0.20, 0.20, 0.80, 0.80),
    "square": (0.10, 0.10, 0.90, 0.90),
    "tall": (0.22, 0.10, 0.78, 0.90),
    "wide": (0.10, 0.24, 0.90, 0.76),
}


def picture(pixels: np.ndarray) -> np.ndarray | None:
    """bool [h, w]: the picture on a board, cut to its box; None where none is found.

    pixels: uint8 [H, W, 3], the outside white. The picture is dark on a light board, or white on a
    coloured or dark one; a border around the whole board is no part of it.
    """
    values = pixels.astype(int)
    white, dark = values.min(-1) > 200, values.max(-1) < 90
    parts = ndimage.label(white)[0]
    corners = {parts[0, 0], parts[0, -1], parts[-1, 0], parts[-1, -1]} - {0}
    board = ndimage.binary_fill_holes(~np.isin(parts, list(corners)))
    if not board.any():
        return None
    rows, columns = np.nonzero(board)
    size = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    inner = ndimage.binary_erosion(board, iterations=max(1, round(0.06 * max(size))))
    red, green, blue = (values[..., k] for k in range(3))
    cold = (blue > red + 40) | ((green > red + 40) & (green > blue))
    if (cold & board).sum() > 0.35 * board.sum() or (dark & board).sum() > 0.5 * board.sum():
        mask = without_border(white & inner, size)
    else:
        mask = without_border(dark & board, size)
        if mask.sum() <= 0.02 * board.sum():  # the picture is painted in another colour
            mask = without_border((values.mean(-1) < 150) & inner, size)
    if mask.sum() < 0.01 * board.sum():
        return None
    rows, columns = np.nonzero(mask)
    return mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def without_border(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask [H, W] without connected parts that span the board. size: of the board."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    out = np.zeros_like(mask)
    for k, (rows, columns) in enumerate(ndimage.find_objects(parts)):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if high <= 0.85 * size[0] or wide <= 0.85 * size[1]:
            out |= parts == k + 1
    return out


def painted(board: Board, rng: np.random.Generator) -> Image.Image:
    """An empty board on white."""
    image = Image.new("RGB", (SIDE, SIDE), WHITE)
    draw, rim, half = ImageDraw.Draw(image), SIDE * rng.uniform(0.05, 0.12), SIDE / 2
    if board.shape == "circle":
        draw.ellipse((1, 1, SIDE - 2, SIDE - 2), fill=board.rim)
        draw.ellipse((rim, rim, SIDE - rim, SIDE - rim), fill=board.fill)
        return image
    if board.shape == "triangle":
        high = SIDE * 3**0.5 / 2
        top = (SIDE - high) / 2
        corners = [(half, top), (SIDE - 1, top + high), (0, top + high)]
        middle, share = (half, top + high * 2 / 3), 1 - 3 * rim / high
        draw.polygon(corners, fill=board.rim)
        draw.polygon([between(middle, corner, share) for corner in corners], fill=board.fill)
        return image
    line = 0.03 * SIDE
    for inset, colour in ((0.0, board.fill), (line, board.rim), (1.7 * line, board.fill)):
        reach = half - 1 - inset
        if board.shape == "diamond":
            corners = [(half + reach, half), (half, half + reach)]
            corners += [(half - reach, half), (half, half - reach)]
            draw.polygon(corners, fill=colour)
        else:
            wide = reach - (0.18 * SIDE if board.shape == "tall" else 0)
            high = reach - (0.18 * SIDE if board.shape == "wide" else 0)
            box = (half - wide, half - high, half + wide, half + high)
            draw.rounded_rectangle(box, 0.06 * SIDE, fill=colour)
    return image


def between(
    start: tuple[float, float], end: tuple[float, float], share: float
) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def on_board(mask: np.ndarray, name: str, rng: np.random.Generator) -> Image.Image:
    """The picture [h, w] on a board of its category."""
    category, _, message = name.partition("--")
    forbids = category == "regulatory" and message.startswith(PROHIBITIONS)
    boards = BOARDS["prohibition" if forbids else category]
    board = boards[rng.integers(len(boards))]
    image = painted(board, rng)
    left, top, right, bottom = (SIDE * v for v in INSIDE[board.shape])
    shape = Image.fromarray(mask.astype(np.uint8) * 255)
    scale = min((right - left) / shape.width, (bottom - top) / shape.height)
    scale *= rng.uniform(0.85, 1.12)
    size = (max(1, round(shape.width * scale)), max(1, round(shape.height * scale)))
    shape = shape.resize(size, Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        shape = shape.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    x, y = (left + right) / 2, (top + bottom) / 2
    x, y = (v + rng.normal(0, 0.015 * SIDE) for v in (x, y))
    corner = (round(x - shape.width / 2), round(y - shape.height / 2))
    image.paste(Image.new("RGB", shape.size, board.ink), corner, shape)
    if forbids and not message.startswith("maximum") and rng.random() < 0.6:
        reach = SIDE * 0.32 * (1 if rng.random() < 0.7 else -1)
        ends = (SIDE / 2 - reach, SIDE / 2 - abs(reach), SIDE / 2 + reach, SIDE / 2 + abs(reach))
        colour = RED if message.startswith("no-") else BLACK
        ImageDraw.Draw(image).line(ends, fill=colour, width=round(SIDE * 0.07))
    return image


def seen_from_the_side(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random perspective. The corners of the image are taken from displaced places."""
    corners = np.array([(0, 0), (0, SIDE), (SIDE, SIDE), (SIDE, 0)], float)
    source = corners + rng.uniform(-0.14, 0.14, (4, 2)) * SIDE
    # eight equations for the eight numbers of the map (x, y) -> (ax+by+c, dx+ey+f) / (gx+hy+1)
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    numbers = np.linalg.solve(np.array(rows), np.array(values))
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        tuple(numbers),
        Image.Resampling.BICUBIC,
        fillcolor=WHITE,
    )


def in_light(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, gamma, a tint, and a shade across. pixels: float [H, W, 3] in 0..1."""
    across, down = rng.uniform(-0.3, 0.3, 2)
    grid = np.linspace(-0.5, 0.5, SIDE)
    shade = 1 + across * grid[None, :, None] + down * grid[:, None, None]
    tint = rng.uniform(0.85, 1.1, 3) * rng.uniform(0.6, 1.15)
    return np.clip(pixels, 0, 1) ** rng.uniform(0.7, 1.4) * shade * tint


def in_weather(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rain, snow, fog, or none. pixels: float [H, W, 3] in 0..1."""
    kind = rng.choice(["rain", "snow", "fog", "none"])
    if kind == "fog":
        thick = rng.uniform(0.2, 0.6)
        return pixels * (1 - thick) + 0.75 * thick
    if kind == "none":
        return pixels
    layer = Image.new("L", (SIDE, SIDE), 0)
    draw = ImageDraw.Draw(layer)
    for x, y in rng.uniform(0, SIDE, (40, 2)):
        if kind == "rain":
            draw.line((x, y, x + 3, y + 12), fill=150, width=1)
        else:
            draw.ellipse((x, y, x + 3, y + 3), fill=230)
    cover = np.asarray(layer, float)[..., None] / 255
    return pixels * (1 - cover) + 0.9 * cover


def partly_hidden(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A branch, a post or a sticker in front of the sign, in half of the images."""
    if rng.random() < 0.5:
        return image
    image = image.copy()
    colour = tuple(int(v) for v in rng.uniform((40, 60, 30), (120, 140, 110)))
    x, y = rng.uniform(0, SIDE, 2)
    dx, dy = rng.uniform(-0.5, 0.5, 2) * SIDE
    ImageDraw.Draw(image).line((x, y, x + dx, y + dy), fill=colour, width=round(SIDE * 0.08))
    return image


def photographed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The sign as a camera on a street may see it."""
    image = partly_hidden(seen_from_the_side(image, rng), rng)
    pixels = in_weather(in_light(np.asarray(image, float) / 255, rng), rng)
    pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.06), pixels.shape)
    out = Image.fromarray(np.clip(255 * pixels, 0, 255).astype(np.uint8))
    return out.filter(ImageFilter.GaussianBlur(rng.uniform(0, SIDE / 50)))


def drawing(path: Path) -> Image.Image:
    """A drawing (SVG) in the middle of a white square of SIDE pixels."""
    png = bytes(resvg_py.svg_to_bytes(svg_path=str(path), width=SIDE))
    with Image.open(io.BytesIO(png)) as opened:
        sign = opened.convert("RGBA")
    sign.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    image = Image.new("RGBA", (SIDE, SIDE), (*WHITE, 255))
    image.alpha_composite(sign, ((SIDE - sign.width) // 2, (SIDE - sign.height) // 2))
    return image.convert("RGB")


def renderings(
    sign: Image.Image, name: str, each: int, how: tuple[str, ...], rng: np.random.Generator
) -> list[Image.Image]:
    """So many images of one drawing. Without a picture that can be cut out, its own board stays, a
    little turned and scaled."""
    mask = picture(np.asarray(sign)) if "boards" in how else None
    out = []
    for _ in range(each):
        image = sign
        if mask is not None:
            image = on_board(mask, name, rng)
        elif "boards" in how:
            image = turned(sign, rng)
        out.append(photographed(image, rng) if "photo" in how else image)
    return out


def turned(sign: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The drawing turned and made smaller on white."""
    image, side = Image.new("RGB", sign.size, WHITE), round(SIDE * rng.uniform(0.75, 0.95))
    small = sign.resize((side, side), Image.Resampling.BICUBIC)
    small = small.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=WHITE)
    image.paste(small, tuple(int(v) for v in rng.integers(0, SIDE - side + 1, 2)))
    return image


def write(
    records: Path, out: Path, signs: Path, each: int, how: tuple[str, ...], seed: int, size: int
) -> tuple[int, int]:
    """Write OUT/NAME/ID-K.png. Returns the number of images, and of drawings without a picture."""
    count = lacking = 0
    with records.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "train"]
    for number, row in enumerate(rows):
        sign, rng = drawing(signs / f"{row['id']}.svg"), np.random.default_rng([seed, number])
        lacking += "boards" in how and picture(np.asarray(sign)) is None
        folder = out / row["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for k, image in enumerate(renderings(sign, row["name"], each, how, rng)):
            small = image.resize((size, size), Image.Resampling.BOX)
            small.save(folder / f"{row['id']}-{k}.png")
            count += 1
    return count, lacking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("records", type=Path, help="records.csv of the sample set")
    parser.add_argument("out", type=Path, help="folder for the images")
    parser.add_argument("--signs", default="transport", help="where npm put the drawings")
    parser.add_argument("--each", type=int, default=8, help="images of each training drawing")
    parser.add_argument("--how", nargs="+", choices=("boards", "photo"), default=["boards"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    said = parser.parse_args()
    signs = Transport(folder=said.signs).drawings()
    count, lacking = write(
        said.records, said.out, signs, said.each, tuple(said.how), said.seed, said.size
    )
    sys.stdout.write(
        f"{count} images in {said.out}; {lacking} training drawings hold no picture that can be"
        " cut out and keep their board\n"
    )


if __name__ == "__main__":
    main()
