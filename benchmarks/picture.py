"""docs/images/demo.png from a finished demo: made images with what they were made from, and the
comparisons.

python benchmarks/picture.py RUN"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gobelin import Workbench

OUT = Path(__file__).parent.parent / "docs" / "images" / "demo.png"
TILE, LABEL, ROW = 48, 250, 52
INK, GREY, BLUE = (30, 30, 30), (130, 130, 130), (40, 90, 170)


def main() -> None:
    run = Path(sys.argv[1])
    bench = Workbench.open(run)
    groups = json.loads(
        (run / "verbs" / "generate" / "contact_sheet.json").read_text(encoding="utf-8")
    )["groups"]
    groups = [g for g in groups if "source" not in g]
    lines = [f for f in bench.findings("augment") if f.comparator and f.name != "verdict"]
    lines = [f for f in lines if not {"class", "fields"} & set(f.scope)]
    height = 60 + ROW * len(groups) + 90 + 30 * len(lines) + 50
    page = Image.new("RGB", (LABEL + 8 * (TILE + 4) + 20, height), "white")
    draw, font, small = ImageDraw.Draw(page), ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text(
        (10, 14),
        "Made images, each row with what it was made from",
        INK,
        ImageFont.load_default(18),
    )
    for k, group in enumerate(groups):
        y = 50 + k * ROW
        draw.text((10, y + 14), group["label"][:32], INK, font)
        for n, name in enumerate(group["images"][:8]):
            tile = (
                Image.open(run / name).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)
            )
            page.paste(tile, (LABEL + n * (TILE + 4), y))
    forest(draw, lines, 60 + ROW * len(groups), page.width, font, small)
    draw.text(
        (10, height - 26),
        bench.run.settings.data.cited + "; the images above were made by Gobelin.",
        GREY,
        small,
    )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    page.save(OUT, optimize=True)
    sys.stdout.write(f"{OUT}\n")


def forest(draw, lines, top, width, font, small):
    """Differences of balanced accuracy on the test rows with their 95 % intervals."""
    title = "Did they help? Balanced accuracy on test rows, points, 95 % interval"
    draw.text((10, top + 10), title, INK, ImageFont.load_default(18))
    reach = max(max(abs(f.low), abs(f.high)) for f in lines) * 1.1
    left, right = LABEL + 40, width - 30

    def at(value: float) -> float:
        return left + (value + reach) / (2 * reach) * (right - left)

    bottom = top + 60 + 30 * len(lines)
    draw.line((at(0), top + 45, at(0), bottom), GREY)
    for k, f in enumerate(lines):
        y = top + 60 + 30 * k
        draw.text((10, y - 9), f"{f.scope['arm']} against {f.comparator}"[:38], INK, small)
        draw.line((at(f.low), y, at(f.high), y), BLUE, 3)
        draw.ellipse((at(f.value) - 5, y - 5, at(f.value) + 5, y + 5), fill=BLUE)
        draw.text((right - 40, y - 18), f"{100 * f.value:+.1f}", INK, small)
    draw.text((at(0) - 3, bottom), "0", GREY, small)


if __name__ == "__main__":
    main()
