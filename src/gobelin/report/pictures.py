"""Images of a run folder, embedded in a page: single ones, and strips of views that are looked at
one at a time.

A strip is an image of many views side by side, such as all planes of a volume. The page shows one
view in a narrow box that scrolls: its scroll bar is the slider, and no script is needed.

What this cannot show: an image larger than the page has room for; it is reduced.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image.images import Opening, upright

LARGEST_PIXELS = 256  # a larger image is reduced to this side before it is embedded
SMALL_PIXELS = 64  # an image up to this side is enlarged to it, with visible pixels
WIDEST_SHOWN = 128  # CSS pixels; no image is shown larger, but one with numbers in it:
NUMBERED = 384  # pixels and CSS pixels, in place of both
MOST_VIEWS = 256  # of a strip
LONGEST_STRIP = 2**14  # pixels


@dataclass(frozen=True)
class Picture:
    """One embedded image."""

    name: str
    link: str  # quoted path from the run folder
    alt: str  # text for readers who do not see the image
    uri: str = ""  # the image as a data URI; '' if it can't be shown
    width: int = SMALL_PIXELS  # CSS pixels
    height: int = SMALL_PIXELS  # CSS pixels
    pixelated: bool = False


@dataclass(frozen=True)
class Strip:
    """One embedded strip of `count` views side by side."""

    name: str  # of the views
    alt: str
    uri: str
    count: int
    middle: int  # the view that is shown first


def inside(folder: Path, relative: object) -> Path | None:
    """The file at the path `relative`, None if there is none. GobelinError for a path that leaves
    the run folder."""
    try:
        path = (folder / str(relative)).resolve()
        stays = ".." not in Path(str(relative)).parts and path.is_relative_to(folder.resolve())
        present = stays and path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name too long, a zero byte, a circle of links
        return None
    if not stays:
        raise GobelinError(
            f"{folder}: a path leaves the run folder, found {str(relative)!r}. "
            "Write paths of exhibits and images relative to the folder, and copy the files into it."
        )
    return path if present else None


def picture(folder: Path, relative: object, alt: str, numbered: bool = False) -> Picture:
    """The image, embedded. A small PNG is embedded byte for byte, with its provenance. Other images
    become plain PNG. numbered: it has numbers in it, which must be read."""
    largest, widest = (NUMBERED, NUMBERED) if numbered else (LARGEST_PIXELS, WIDEST_SHOWN)
    name = str(relative)
    missing = Picture(name, quote(name, safe="/", errors="replace"), alt)
    path = inside(folder, relative)
    if path is None:
        return missing
    try:
        raw = file_bytes(path)
        with upright(raw, Opening()) as image:
            if image.format != "PNG" or max(image.size) > largest:
                image.thumbnail((largest, largest))
                raw = _as_png(image)
            width, height = image.size
    except (BadCell, GobelinError, OSError, ValueError):
        return missing
    longest = max(width, height)
    ratio = (SMALL_PIXELS if longest <= SMALL_PIXELS else min(longest, widest)) / longest
    uri = "data:image/png;base64," + base64.b64encode(raw).decode()
    sizes = max(1, round(width * ratio)), max(1, round(height * ratio))
    return Picture(name, missing.link, alt, uri, *sizes, pixelated=longest <= SMALL_PIXELS)


def views(folder: Path, given: Iterable[Mapping[str, Any]], label: str) -> list[Strip]:
    """The strips of one exhibit: [{name, strip: path, count}]. One that can't be shown is left out:
    the picture of the same thing stands beside it."""
    out = []
    for view in given:
        name, count = str(view["name"]), int(view["count"])
        path = inside(folder, view["strip"])
        if path is None or not 0 < count <= MOST_VIEWS:
            continue
        try:
            raw = file_bytes(path)
            with upright(raw, Opening()) as image:
                usable = image.format == "PNG" and max(image.size) <= LONGEST_STRIP
        except (BadCell, GobelinError, OSError, ValueError):
            continue
        if usable:
            uri = "data:image/png;base64," + base64.b64encode(raw).decode()
            alt = f"{count} {name} views, {label}; scroll to see each"
            out.append(Strip(name, alt, uri, count, count // 2))
    return out


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    plain = (
        image
        if image.mode in ("L", "RGB", "RGBA")
        else image.convert("RGBA" if "A" in image.mode else "RGB")
    )
    plain.save(buffer, "PNG", exif=b"")
    return buffer.getvalue()
