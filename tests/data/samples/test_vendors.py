"""Pairs of two vendors. Oracle: a hand-made folder as npm leaves one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core.errors import MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.vendors import Vendors, _rows


def packages(folder: Path) -> Path:
    """Three emoji; one has two skin tones, one isn't drawn by the second vendor."""
    tones = {"1F3FB": {"image": "b-light.png"}, "1F3FB-1F3FF": {"image": "b-two.png"}}
    plain = {"category": "Things", "skin_variations": None}
    listed = [
        {"name": "RED BALL", "short_name": "ball", "image": "a.png", **plain},
        {
            "name": "HANDS",
            "short_name": "hands",
            "image": "b.png",
            "category": "People",
            "skin_variations": tones,
        },
        {"name": None, "short_name": "lost", "image": "c.png", **plain},
    ]
    for level, vendor in ((60, "google"), (200, "twitter")):
        package = folder / "node_modules" / f"emoji-datasource-{vendor}"
        (package / "img" / vendor / "64").mkdir(parents=True)
        (package / "emoji.json").write_text(json.dumps(listed), encoding="utf-8")
        for name in ("a", "b", "b-light", "b-two", "c"):
            if (vendor, name) != ("twitter", "c"):
                drawing = np.full((64, 64, 4), level, np.uint8)
                drawing[:8, :, 3] = 0  # see-through above
                drawing[8:, :, 3] = 255
                Image.fromarray(drawing).save(package / "img" / vendor / "64" / f"{name}.png")
    return folder


def test_pairs_are_those_that_both_vendors_draw(tmp_path: Path) -> None:
    table = Vendors(str(packages(tmp_path / "npm")), size=16).write(tmp_path / "out", 0)
    data = read(table)
    assert data.values("id") == ["ball", "hands", "hands 1f3fb", "hands 1f3fb-1f3ff"]
    assert data.values("family") == ["red ball", "hands", "hands", "hands"]
    assert (
        data.values("name")[0] == "red ball"
        and data.values("name")[3] == "hands, light and dark skin tone"
    )
    for vendor, level in (("google", 60), ("twitter", 200)):
        for path in data.values(vendor):
            pixels = np.asarray(Image.open(data.root / path))
            assert (
                pixels.shape == (16, 16, 3)
                and (pixels[:2] == 255).all()
                and (pixels[2:] == level).all()
            )


def test_without_the_packages_it_names_the_command(tmp_path: Path) -> None:
    where = tmp_path / "npm"
    command = f"npm install --prefix {where} emoji-datasource-google emoji-datasource-twitter"
    with pytest.raises(MissingExtra, match=command):
        Vendors(str(where)).write(tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("MAN RUNNING FACING RIGHT", "running"),
        ("Woman Running", "running"),
        ("KEYCAP 1", "keycap 1"),
        ("PERSON", "person"),
    ],
)
def test_persons_and_directions_of_one_emoji_are_one_family(name: str, family: str) -> None:
    (row,) = _rows({"name": name, "short_name": "x", "image": "x.png", "category": "c"})
    assert row["family"] == family
