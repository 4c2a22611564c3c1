"""Drawings (SVG). Oracles: planted colours and places; drawings that would cost too much."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gobelin.core.errors import MissingExtra
from gobelin.data.budget import Reading, _process
from gobelin.data.files import BadCell
from gobelin.data.image.formats import is_image
from gobelin.data.image.images import Opening, open_image
from gobelin.data.image.svg import MOST_SHAPES, is_svg
from gobelin.data.image.svg_process import SIDE

START = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
HALVES = (
    f'{START} viewBox="0 0 10 20"><rect width="10" height="10" fill="#ff0000"/>'
    '<rect y="10" width="10" height="10" fill="#0000ff"/></svg>'
)


def opened(text: str) -> tuple[np.ndarray, str]:
    image, how = open_image(text.encode(), Path(), Opening())
    return np.asarray(image), how


def drawing(inside: str) -> str:
    return f'{START} viewBox="0 0 10 10">{inside}</svg>'


@pytest.mark.parametrize("start", ["", "\ufeff", "\n  ", '<?xml version="1.0"?>\n<!-- made -->\n'])
def test_colours_stand_in_their_places(start: str) -> None:
    pytest.importorskip("resvg_py")
    text = start + HALVES
    assert is_svg(text.encode()) and is_image(text.encode())
    pixels, how = opened(text)
    assert pixels.shape == (SIDE, SIDE // 2, 3) and how.startswith("SVG")
    assert (pixels[10, 10] == [255, 0, 0]).all() and (pixels[-10, -10] == [0, 0, 255]).all()


def test_a_path_is_read_like_bytes(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    (tmp_path / "a.svg").write_text(HALVES)
    found, _ = open_image("a.svg", tmp_path, Opening())
    assert np.array_equal(np.asarray(found), opened(HALVES)[0])


def test_what_is_transparent_gets_the_background() -> None:
    pytest.importorskip("resvg_py")
    pixels, how = opened(drawing('<rect width="5" height="10"/>'))
    assert (pixels[5, 5] == 0).all() and (pixels[5, -5] == 255).all() and "alpha" in how


def test_texts_are_not_drawn_and_that_is_told() -> None:
    pytest.importorskip("resvg_py")
    pixels, how = opened(drawing('<text y="8">abc</text>'))
    assert how.startswith("SVG without its texts") and (pixels == 255).all()


def doubled(levels: int) -> str:
    """2^levels squares, each level uses the one before twice."""
    lines = ['<defs><g id="g0"><rect width="1" height="1"/></g>']
    for k in range(levels):
        both = f'<use xlink:href="#g{k}"/>' * 2
        lines.append(f'<g id="g{k + 1}">{both}</g>')
    return drawing("".join(lines) + f'</defs><use href="#g{levels}"/>')


PATTERNS = "".join(
    f'<pattern id="p{k + 1}" width="1" height="1"><g fill="url(#p{k})">'
    + "<rect/>" * 20
    + "</g></pattern>"
    for k in range(8)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (drawing('<image href="file:///etc/passwd"/>'), "names another file"),
        (drawing('<image xlink:href="other.png" width="1" height="1"/>'), "names another file"),
        (drawing('<feImage href="http://a.b/c.png"/>'), "names another file"),
        (drawing('<image href="data:image/svg+xml;base64,AA"/>'), "names another file"),
        (
            f'<!DOCTYPE svg [<!ENTITY a "b">]>{HALVES}'.replace(
                "<!DOCTYPE", '<?xml version="1.0"?><!DOCTYPE'
            ),
            "entities",
        ),
        (doubled(30), "shapes"),
        (drawing('<g id="a"><use href="#a"/></g>'), "deeper"),
        (drawing("<g>" * 200 + "</g>" * 200), "deeper"),
        (drawing(PATTERNS + '<rect fill="url(#p8)"/>'), "shapes"),
        (drawing("<rect/>" * (MOST_SHAPES + 1)), "shapes"),
        (drawing('<filter id="f"><feTurbulence numOctaves="99999999"/></filter>'), "noise"),
        (HALVES[:-20], "damaged"),
    ],
)
def test_what_names_files_or_costs_too_much_is_refused(text: str, told: str) -> None:
    pytest.importorskip("resvg_py")
    with pytest.raises(BadCell, match=told):
        opened(text)


def test_what_is_drawn_again_within_limits_is_read() -> None:
    pytest.importorskip("resvg_py")
    pixels, _ = opened(doubled(8))
    assert (pixels[5, 5] == 0).all()


def picture(side: int) -> str:
    """A white PNG of one bit a pixel."""
    out = io.BytesIO()
    Image.new("1", (side, side), 1).save(out, "PNG")
    data = base64.b64encode(out.getvalue()).decode()
    return f'<image width="10" height="10" href="data:image/png;base64,{data}"/>'


def filtered(primitives: str) -> str:
    return drawing(f'<filter id="f">{primitives}</filter><rect filter="url(#f)" {SQUARE}/>')


SQUARE = 'width="10" height="10"'
MATRIX = " ".join(["1"] * 150**2)
COSTLY = {
    "a picture within": drawing(picture(20_000)),
    "blurs": filtered('<feGaussianBlur stdDeviation="3"/>' * 20_000),
    "morphology": filtered('<feMorphology operator="dilate" radius="9"/>' * 20),
    "convolution": filtered(f'<feConvolveMatrix order="150" kernelMatrix="{MATRIX}"/>' * 20),
    "lights": filtered("<feDiffuseLighting><fePointLight/></feDiffuseLighting>" * 9_000),
    "layers": drawing(f'<g opacity=".9"><rect {SQUARE}/></g>' * 40_000),
}


def largest_child(resource: Any) -> int:
    return int(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


@pytest.mark.parametrize("name", COSTLY)
def test_what_takes_long_or_much_memory_is_set_aside(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resvg_py")
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(_process, "reading", Reading(seconds=1, cell_mb=200))
    before, largest = os.times().children_user, largest_child(resource)
    with pytest.raises(BadCell, match=r"reading.seconds.*200 MB \(reading.cell_mb\)"):
        opened(COSTLY[name])
    assert os.times().children_user - before < 4
    # of all children that ended, kB; before a child is another program it is as large as this one
    own = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert largest_child(resource) <= max(2**20, largest, own)
    assert (opened(HALVES)[0][10, 10] == [255, 0, 0]).all()  # the next one is drawn


def test_small_pictures_and_filters_are_drawn() -> None:
    pytest.importorskip("resvg_py")
    assert (opened(drawing(picture(100)))[0] == 255).all()
    soft = opened(filtered('<feGaussianBlur stdDeviation="1"/>'))[0]
    assert soft[SIDE // 2, SIDE // 2].max() == 0 < soft[1, 1].max()


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("resvg_py")
    red = opened(HALVES)[0]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Timer, "cancel", stopped)
        with pytest.raises(KeyboardInterrupt):
            opened(drawing(f"<rect {SQUARE}/>"))
    assert np.array_equal(opened(HALVES)[0], red)


def test_threads_get_their_own_drawings() -> None:
    pytest.importorskip("resvg_py")
    colours = [(k * 5, 0, 255 - k * 5) for k in range(40)]
    texts = [drawing(f'<rect {SQUARE} fill="rgb{c}"/>') for c in colours]
    with ThreadPoolExecutor(4) as pool:
        found = [tuple(pixels[5, 5]) for pixels, _ in pool.map(opened, texts)]
    assert found == colours


def test_the_process_that_reads_the_data_does_not_load_the_library() -> None:
    pytest.importorskip("resvg_py")
    code = (
        "import sys; from gobelin.data.image.svg import as_png\n"
        f"assert as_png({HALVES.encode()!r})[0].startswith(b'\\x89PNG')\n"
        "assert 'resvg_py' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtra, match=r"gobelin\[svg\].*|rsvg-convert"):
        opened(HALVES)
