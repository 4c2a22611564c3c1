"""Fonts of pictures: one that has the letters, or the letters that no font here has."""

from __future__ import annotations

from functools import cache
from textwrap import wrap

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# Files by their names, as systems install them: Latin, Greek and Cyrillic first, then those that
# also have Chinese, Japanese and Korean letters.
FONTS: tuple[str, ...] = (
    *("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc"),
    *("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf"),
    *("unifont.otf", "msyh.ttc", "YuGothM.ttc", "malgun.ttf"),
    *("Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc"),
)
NO_LETTER = "\U0010fffd"  # no font has it: what is drawn like it is a box
PROBE = 12  # pixels
SHOWN = 40  # letters in a message


def font_of(text: str, size: int) -> Font:
    """A font of so many pixels that has every letter of the text, or as many as any here."""
    name = min([*_installed(), ""], key=lambda one: len(unknown(text, _opened(one, PROBE))))
    return _opened(name, size)


def unknown(text: str, font: Font) -> str:
    """The letters of a text that the font draws as boxes, each once."""
    box = bytes(font.getmask(NO_LETTER))
    others = sorted({c for c in text if not c.isascii() and c.isprintable() and not c.isspace()})
    return "".join(c for c in others if bytes(font.getmask(c)) == box)


def told(where: object, letters: str, remedy: str) -> str:
    """A sentence on boxes in a picture. remedy: a sentence on what else shows them."""
    return (
        f"{where}: no font here has the letters {letters[:SHOWN]!r}; they stand as boxes. {remedy}"
    )


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """A text in lines of at most so many pixels; a word that is wider is cut."""
    letters = max(len(text), 1)
    while letters > 1 and any(font.getlength(line) > width for line in wrap(text, letters)):
        letters = letters * 9 // 10
    return wrap(text, letters)


@cache
def _installed() -> tuple[str, ...]:
    """The fonts of `FONTS` that are here."""
    return tuple(name for name in FONTS if _there(name))


def _there(name: str) -> bool:
    try:
        ImageFont.truetype(name, PROBE)
    except OSError:
        return False
    return True


def _opened(name: str, size: int) -> Font:
    """The font of a file; without a name Pillow's own."""
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
