"""One picture of all generated images, or of all volumes, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gobelin.core.output import output_file
from gobelin.data.media import medium_of_file, stem_of
from gobelin.data.provenance.c2pa import Signer
from gobelin.data.provenance.marks import marked_png

MOST = 100  # images on a sheet
LEAST_SIDE = 96  # pixels; smaller images are enlarged by a whole number
GAP, LETTERS = 4, 12  # pixels around an image, and of the line below it


def write(paths: Sequence[Path], signer: Signer | None = None) -> Path:
    """Write the first `MOST` of these files, which were generated in one call, as one file
    beside them, each with its seed below it. The file is marked as generated, as they are, and
    signed where they are."""
    shown = paths[:MOST]
    images = []
    for path in shown:
        of_kind = medium_of_file(path)
        images.append(Image.fromarray(of_kind.picture(of_kind.array(path.read_bytes()))))
    larger = max(1, math.ceil(LEAST_SIDE / max(max(image.size) for image in images)))
    width = larger * max(image.width for image in images) + GAP
    height = larger * max(image.height for image in images) + GAP + LETTERS
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS - 1)
    for k, (image, path) in enumerate(zip(images, shown, strict=True)):
        x, y = GAP + k % columns * width, GAP + k // columns * height
        size = (larger * image.width, larger * image.height)
        sheet.paste(image.resize(size, Image.Resampling.NEAREST), (x, y))
        seed = stem_of(path).rpartition("-")[2]
        draw.text((x, y + height - GAP - LETTERS), seed, (90, 90, 90), font)
    place = paths[0].with_name(f"{stem_of(paths[0]).rpartition('seed-')[0]}sheet.png")
    with output_file(place) as temporary:
        pixels = np.asarray(sheet)
        temporary.write_bytes(signer.png(pixels, {}) if signer else marked_png(pixels, None))
    return place
