"""Drawings (SVG) as pixels, by resvg. It installs with the `svg` extra.

A drawing may come from a stranger. It may name no other file, declare no entity, and draw no more
than `MOST_SHAPES` shapes, those that are used again counted each time. It is drawn in a process of
its own (`svg_process.py`). Texts are not drawn: they would look otherwise on a machine with other
fonts.
"""

from __future__ import annotations

import re
from types import ModuleType
from xml.etree import ElementTree

from gobelin.core.errors import first_line
from gobelin.data.files import BadCell
from gobelin.data.image.svg_process import DRAWER, library_folder

MOST_BYTES = 5_000_000
MOST_SHAPES = 100_000
MOST_DEPTH = 100  # of shapes within shapes
MOST_OCTAVES = 10  # of a noise; each costs as much as all pixels
INSIDE = ("#", "data:image/png", "data:image/jpeg", "data:image/jpg", "data:image/gif")
ID = re.compile(r"url\(\s*['\"]?#([^)'\"]+)")
LOADING = {"image", "feImage", "use"}  # elements that draw what they name


def is_svg(head: bytes) -> bool:
    """Whether a file with these first bytes is a drawing."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start)


def resvg() -> ModuleType:
    """The package that draws, for drawings of our own. Raises MissingExtra."""
    library_folder()
    import resvg_py

    return resvg_py


def as_png(data: bytes) -> tuple[bytes, str]:
    """The drawing as the bytes of a PNG with a longer side of `SIDE` pixels, and what was changed.
    Raises BadCell, and MissingExtra without resvg."""
    folder = library_folder()
    if len(data) > MOST_BYTES:
        raise BadCell(f"is a drawing (SVG) of {len(data)} bytes; at most {MOST_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
        if "<!ENTITY" in text:
            raise BadCell("is a drawing (SVG) that declares entities")
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities nothing grows
    except (ValueError, ElementTree.ParseError) as error:
        raise BadCell(f"is a damaged drawing (SVG): {first_line(error, 60)}") from error
    _check(root)
    try:
        png = DRAWER.png(text, folder)
    except ValueError as error:
        raise BadCell(f"is a damaged drawing (SVG): {first_line(error, 60)}") from error
    texts = any(_name(element) == "text" for element in root.iter())
    return png, "SVG without its texts" if texts else "SVG"


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _check(root: ElementTree.Element) -> None:
    """Raises BadCell for a drawing that names other files or costs too much."""
    named = {str(e.get("id")): e for e in root.iter() if e.get("id")}
    in_styles = " ".join(e.text or "" for e in root.iter() if _name(e) == "style")
    size: dict[ElementTree.Element, int] = {}

    def shapes(element: ElementTree.Element, depth: int) -> int:
        """How many shapes an element draws, those that it draws again counted each time."""
        if depth > MOST_DEPTH:
            raise BadCell(f"is a drawing (SVG) deeper than {MOST_DEPTH} shapes within shapes")
        if element not in size:
            own = 1 + sum(shapes(child, depth + 1) for child in element)
            once, each = _targets(element)
            if element is root:
                each += ID.findall(in_styles)
            cost = {t: shapes(named[t], depth + 1) for t in {*once, *each} if _drawn(named.get(t))}
            total = own + sum(cost.get(t, 0) for t in once)
            size[element] = total + own * sum(cost.get(t, 0) for t in each)
        return size[element]

    for element in root.iter():
        if _name(element) == "feTurbulence" and _number(element.get("numOctaves")) > MOST_OCTAVES:
            raise BadCell("is a drawing (SVG) with a noise that costs too much")
    if (found := shapes(root, 0)) > MOST_SHAPES:
        raise BadCell(f"is a drawing (SVG) of {found} shapes; at most {MOST_SHAPES} are drawn")


def _drawn(target: ElementTree.Element | None) -> bool:
    """Whether what is named is there and is drawn; a gradient is a colour."""
    return target is not None and not _name(target).endswith("Gradient")


def _targets(element: ElementTree.Element) -> tuple[list[str], list[str]]:
    """The ids that an element draws once, and those that it draws with each shape in it (patterns
    and markers are inherited). Raises BadCell where it names a file."""
    once: list[str] = []
    each: list[str] = []
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == "href" and _name(element) in LOADING:
            value = value.strip()
            if not value.startswith(INSIDE):
                raise BadCell(f"is a drawing (SVG) that names another file ({value[:40]!r})")
            once += [value[1:]] if value.startswith("#") else []
        for part in value.split(";") if key == "style" else [f"{key}:{value}"]:
            inherited = part.strip().startswith(("fill", "stroke", "marker"))
            (each if inherited else once).extend(ID.findall(part))
    return once, each


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
