"""A contact sheet of rows that search found: one card a row, as a page or as an image.

The page holds everything that it shows: pictures and sounds are embedded, and its policy forbids
any other source. Every text of the data is escaped.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from gobelin.core.printable import printable
from gobelin.report.lettering import Font, font_of, unknown

SIDE = 200  # pixels of a picture, at most
CARD, GAP, LINE = 220, 16, 17  # pixels: width of a card, space between cards, height of a line
CARDS_IN_A_ROW, MOST_LINES = 5, 16  # of the image, and of the cells of one card
INK, GREY, LIGHT, MARK = "#1d2430", "#667085", "#e4e7ec", "#0b7a4b"
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
STYLE = f"""
body {{ font: 15px/1.45 system-ui, sans-serif; color: {INK}; margin: 24px; background: #fff; }}
h1 {{ font-size: 20px; margin: 0 0 4px; overflow-wrap: anywhere; }}
p {{ color: {GREY}; margin: 0 0 20px; max-width: 70ch; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 16px; }}
article {{ border: 1px solid {LIGHT}; border-radius: 8px; padding: 12px; }}
figure {{ margin: 0 0 8px; }}
img {{ display: block; max-width: 100%; max-height: {SIDE}px; margin: 0 auto 8px; }}
audio {{ width: 100%; height: 36px; }}
figcaption {{ color: {GREY}; font-size: 13px; }}
h2 {{ font-size: 15px; margin: 0; overflow-wrap: anywhere; }}
h2 + div {{ color: {GREY}; font-size: 13px; margin-bottom: 6px; }}
mark {{ background: none; color: {MARK}; font-weight: 600; }}
dl {{ margin: 0; font-size: 13px; overflow-wrap: anywhere; }}
dd {{ margin: 0; }}
dt {{ color: {GREY}; float: left; margin-right: 6px; }}
dt::after {{ content: ":"; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #14181f; color: #e7eaf0; }} article {{ border-color: #2c3440; }}
  mark {{ color: #58c796; }} p, dt, figcaption, h2 + div {{ color: #98a2b3; }}
}}
"""


@dataclass(frozen=True)
class Card:
    """What a sheet shows of one row, or of the query.

    note: below the title. equal: whether it has the very cell that was asked for. pictures: RGB or
    grey. sounds: (column, media type, bytes). waves: of the sounds, heights in 0 .. 1. cells:
    (column, text)."""

    title: str
    note: str = ""
    equal: bool = False
    pictures: list[Image.Image] = field(default_factory=list)
    sounds: list[tuple[str, str, bytes]] = field(default_factory=list)
    waves: list[list[float]] = field(default_factory=list)
    cells: list[tuple[str, str]] = field(default_factory=list)


def as_page(title: str, note: str, cards: Sequence[Card]) -> str:
    """The sheet as one HTML page."""
    body = "\n".join(_article(card) for card in cards)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{_text(title)}</h1>\n<p>{_text(note)}</p>\n<main>\n{body}\n</main></body></html>\n"
    )


def _article(card: Card) -> str:
    title = _text(card.title)
    shown = [
        f'<img alt="{title}" src="data:image/png;base64,{_png(picture)}">'
        for picture in card.pictures
    ]
    shown += [
        f"<figcaption>{_text(name)}</figcaption><audio controls"
        f' src="data:{_text(kind)};base64,{base64.b64encode(data).decode()}"></audio>'
        for name, kind, data in card.sounds
    ]
    figure = f"<figure>{''.join(shown)}</figure>" if shown else ""
    note = f"<mark>{_text(card.note)}</mark>" if card.equal else _text(card.note)
    cells = "".join(f"<dt>{_text(n)}</dt><dd>{_text(v)}</dd>" for n, v in card.cells)
    return f"<article>{figure}<h2>{title}</h2><div>{note}</div><dl>{cells}</dl></article>"


def _text(value: object) -> str:
    return html.escape(printable(value), quote=True)


def _png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def as_image(title: str, note: str, cards: Sequence[Card]) -> tuple[Image.Image, str]:
    """The sheet as one image, RGB; and the letters that stand in it as boxes, because no font here
    has them."""
    texts = [title, note, *(t for card in cards for t in (card.title, *sum(card.cells, ())))]
    written = "".join(texts)
    font, bold = font_of(written, 13), font_of(written, 15)
    many = max(1, min(CARDS_IN_A_ROW, len(cards)))
    width = GAP + max(3, many) * (CARD + GAP)
    blocks = [_lines(card, font) for card in cards]
    pictures = [_side_by_side(card) for card in cards]
    heights = [
        (p.height + 8 if p else 0) + LINE * (2 + len(lines)) + 2 * 10
        for p, lines in zip(pictures, blocks, strict=True)
    ]
    rows = [heights[start : start + many] for start in range(0, len(cards), many)]
    top = GAP + LINE * 3
    sheet = Image.new("RGB", (width, top + sum(max(r) + GAP for r in rows)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), _cut(title, bold, width - 2 * GAP), INK, bold)
    draw.text((GAP, GAP + LINE + 4), _cut(note, font, width - 2 * GAP), GREY, font)
    for k, (card, lines, picture) in enumerate(zip(cards, blocks, pictures, strict=True)):
        row, column = divmod(k, many)
        x = GAP + column * (CARD + GAP)
        y = top + sum(max(r) + GAP for r in rows[:row])
        draw.rectangle((x, y, x + CARD, y + max(rows[row])), outline=LIGHT)
        y += 10
        if picture:
            sheet.paste(picture, (x + (CARD - picture.width) // 2, y))
            y += picture.height + 8
        draw.text((x + 10, y), _cut(card.title, bold, CARD - 20), INK, bold)
        ink = MARK if card.equal else GREY
        draw.text((x + 10, y + LINE + 2), _cut(card.note, font, CARD - 20), ink, font)
        for n, line in enumerate(lines):
            draw.text((x + 10, y + (n + 2) * LINE + 4), line, INK, font)
    return sheet, unknown(written, font)


def _lines(card: Card, font: Font) -> list[str]:
    lines = [_cut(f"{name}: {value}", font, CARD - 20) for name, value in card.cells]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"and {more} more columns"] if more > 1 else lines


def _cut(text: str, font: Font, width: int) -> str:
    """The text in one line, with three dots where it would be wider."""
    text = printable(" ".join(text.split()))[:400]
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _side_by_side(card: Card) -> Image.Image | None:
    """The card's pictures and the curves of its sounds in one image; None for none."""
    shown = [p.copy() for p in card.pictures] + [_curve(w) for w in card.waves]
    if not shown:
        return None
    side = (CARD - 20) // len(shown)
    for picture in shown:
        picture.thumbnail((side, SIDE))
    height = max(p.height for p in shown)
    strip = Image.new("RGB", (sum(p.width for p in shown), height), "white")
    x = 0
    for picture in shown:
        strip.paste(picture.convert("RGB"), (x, (height - picture.height) // 2))
        x += picture.width
    return strip


def _curve(wave: Sequence[float]) -> Image.Image:
    image = Image.new("RGB", (CARD - 20, 60), "white")
    draw = ImageDraw.Draw(image)
    for k, height in enumerate(wave):
        x = k * (CARD - 20) // max(len(wave), 1)
        draw.line((x, 30 - 28 * height, x, 30 + 28 * height), GREY)
    return image
