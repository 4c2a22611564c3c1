"""Strips of views on a page. Oracle: the planes themselves, cut out of the strip again."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.data.image.images import png_bytes
from gobelin.data.media import medium
from gobelin.data.volume.pictures import plane
from gobelin.evidence.findings import Exhibit
from gobelin.report import page
from gobelin.report.pictures import MOST_VIEWS, views

SIDE = 12


def volume() -> np.ndarray:
    """uint8 [12, 12, 12, 1]: a bright box nearer to one end of each axis, on a slope."""
    out = np.broadcast_to(np.arange(SIDE) * 8, (SIDE,) * 3)[..., None].astype(np.uint8).copy()
    out[2:6, 3:8, 4:10] = 240
    return out


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one sheet of volumes."""
    folder, array, of_kind = tmp_path / "run", volume(), medium("volume")
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(png_bytes(of_kind.picture(array)))
    strips = []
    for name, (strip, count) in of_kind.views(array).items():
        (folder / "images" / f"{name}.png").write_bytes(png_bytes(strip))
        strips.append({"name": name, "strip": f"images/{name}.png", "count": count})
    group = {"label": "class: ball", "images": ["images/a.png"], "views": strips}
    files.write_json(folder / "sheet.json", {"title": "Volumes", "groups": [group]})
    exhibit = Exhibit("generate/contact_sheet", "sheet", "sheet.json", "Generated volumes.", "")
    files.write_lines(folder / "exhibits.jsonl", [exhibit.to_dict()])
    files.write_lines(folder / "findings.jsonl", [])
    return folder


def test_every_plane_is_on_the_page_and_no_script(run: Path) -> None:
    html = page.render(run)[0].read_text(encoding="utf-8")
    assert "<script" not in html and html.count('class="slider"') == 3
    drawn = views(run, files.read_json(run / "sheet.json")["groups"][0]["views"], "x")
    for axis, strip in enumerate(drawn):
        assert strip.uri in html and (strip.count, strip.middle) == (SIDE, SIDE // 2)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip.uri.split(",")[1]))))
        for k in range(SIDE):
            cut = pixels[:, k * SIDE : (k + 1) * SIDE]
            assert np.array_equal(cut, plane(volume(), axis, k))


def test_strips_that_are_none_are_left_out(run: Path) -> None:
    (run / "images" / "text.png").write_text("no image")
    for given in (
        {"name": "a", "strip": "images/gone.png", "count": 3},
        {"name": "a", "strip": "images/text.png", "count": 3},
        {"name": "a", "strip": "images/axial.png", "count": 0},
        {"name": "a", "strip": "images/axial.png", "count": MOST_VIEWS + 1},
    ):
        assert views(run, [given], "x") == []
    with pytest.raises(GobelinError, match="leaves the run folder"):
        views(run, [{"name": "a", "strip": "../x.png", "count": 3}], "x")
