"""The sheet of generated images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gobelin.data.provenance.marks import is_marked, read_lineage, save_png
from gobelin.workbench.generate import sheet


def images(folder: Path, count: int, side: int = 32) -> list[Path]:
    """Images of one flat colour each, as `generate` names them."""
    paths = [folder / f"red-12ab-seed-{k}.png" for k in range(count)]
    for k, path in enumerate(paths):
        save_png(path, np.full((side, side, 3), (10 * k + 5) % 250, np.uint8), {"seed": k})
    return paths


def test_every_image_stands_in_its_place(tmp_path: Path) -> None:
    place = sheet.write(images(tmp_path, 5))
    assert place == tmp_path / "red-12ab-sheet.png"
    with Image.open(place) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    width, height = 96 + sheet.GAP, 96 + sheet.GAP + sheet.LETTERS
    assert pixels.shape == (2 * height + sheet.GAP, 3 * width + sheet.GAP, 3)
    for k in range(5):
        y, x = sheet.GAP + k // 3 * height, sheet.GAP + k % 3 * width
        assert (pixels[y : y + 96, x : x + 96] == 10 * k + 5).all()
        assert (pixels[y + 96 : y + height - sheet.GAP, x : x + 96] < 250).any()  # its seed
    assert (
        pixels[height + sheet.GAP : height + sheet.GAP + 96, 2 * width + sheet.GAP :] == 255
    ).all()


def test_it_is_marked_as_generated_and_is_no_row(tmp_path: Path) -> None:
    place = sheet.write(images(tmp_path, 2))
    assert is_marked(place.read_bytes()) and read_lineage(place) is None


def test_of_many_images_the_first_are_shown(tmp_path: Path) -> None:
    with Image.open(sheet.write(images(tmp_path, sheet.MOST + 1, 200)[: sheet.MOST + 1])) as opened:
        assert opened.size == (10 * 204 + 4, 10 * 216 + 4)
