"""The renderer of the transport recipe. Oracle: signs whose picture is known, and a table that has
validation and test rows whose drawings don't exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("resvg_py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "transport_render", ROOT / "recipes/transport/render.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["transport_render"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def sign(render: ModuleType, board: str, ink: tuple[int, int, int]) -> Image.Image:
    """A board with a bar of 40 x 16 pixels in its middle."""
    boards = {
        "diamond": render.Board("diamond", render.BLACK, render.YELLOW, ink),
        "circle": render.Board("circle", render.BLUE, render.BLUE, ink),
        "triangle": render.Board("triangle", render.RED, render.WHITE, ink),
    }
    image = render.painted(boards[board], np.random.default_rng(0))
    ImageDraw.Draw(image).rectangle((44, 72, 83, 87), fill=ink)
    return image


@pytest.mark.parametrize(
    ("board", "ink"),
    [("diamond", (20, 20, 20)), ("circle", (255, 255, 255)), ("triangle", (20, 20, 20))],
)
def test_the_picture_is_cut_out_without_the_border(
    render: ModuleType, board: str, ink: tuple[int, int, int]
) -> None:
    mask = render.picture(np.asarray(sign(render, board, ink)))
    assert mask is not None and mask.shape == (16, 40) and mask.mean() > 0.98


def test_an_empty_board_has_no_picture(render: ModuleType) -> None:
    empty = render.painted(
        render.Board("diamond", render.BLACK, render.YELLOW, render.BLACK),
        np.random.default_rng(0),
    )
    assert render.picture(np.asarray(empty)) is None
    assert render.picture(np.full((128, 128, 3), 255, np.uint8)) is None


def test_the_picture_stays_and_the_board_changes(render: ModuleType) -> None:
    mask = np.zeros((16, 40), bool)
    mask[:, ::2] = True
    rng = np.random.default_rng(1)
    fills = {
        np.asarray(render.on_board(mask, "warning--x", rng))[64, 20].tobytes() for _ in "1" * 40
    }
    assert len(fills) >= 3  # white, yellow and orange boards


def test_a_prohibition_is_crossed_out_in_red(render: ModuleType) -> None:
    red = []
    for k in range(40):
        image = render.on_board(np.ones((8, 8), bool), "regulatory--no-x", np.random.default_rng(k))
        red.append(tuple(np.asarray(image)[64, 64]) == render.RED)
    assert 0.4 < np.mean(red) < 0.8  # the line goes through the middle in six of ten


@pytest.mark.parametrize("how", [("boards",), ("photo",), ("boards", "photo")])
def test_only_training_drawings_are_read(
    render: ModuleType, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """The drawings of other rows don't exist: opening one would be an error."""
    (tmp_path / "warning--a--g1.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">'
        '<path fill="#ffd514" d="M12 0 L24 12 L12 24 L0 12z"/>'
        '<path fill="#141414" d="M9 9 H15 V15 H9z"/></svg>'
    )
    table = "id,image,name,category,part\n" + "".join(
        f"warning--a--g{k},x.png,warning--a,warning,{part}\n"
        for k, part in ((1, "train"), (2, "valid"), (3, "test"))
    )
    (tmp_path / "records.csv").write_text(table)
    arguments = (tmp_path, 3, how, 0, 32)
    assert render.write(tmp_path / "records.csv", tmp_path / "out", *arguments) == (3, 0)
    files = sorted((tmp_path / "out" / "warning--a").iterdir())
    assert [f.name for f in files] == [f"warning--a--g1-{k}.png" for k in range(3)]
    images = [np.asarray(Image.open(f)) for f in files]
    assert images[0].shape == (32, 32, 3) and (images[0] != images[1]).any()
    render.write(tmp_path / "records.csv", tmp_path / "again", *arguments)
    for file in files:
        assert (tmp_path / "again" / "warning--a" / file.name).read_bytes() == file.read_bytes()


def test_a_flat_sign_seen_from_the_front_stays(render: ModuleType) -> None:
    """The map of corners onto themselves is the identity."""

    class Still:
        def uniform(self, low: float, high: float, size: object) -> np.ndarray:
            return np.zeros((4, 2))

    image = sign(render, "diamond", (20, 20, 20))
    assert (
        np.asarray(render.seen_from_the_side(image, Still())) == np.asarray(image)
    ).mean() > 0.99
