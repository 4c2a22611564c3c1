"""Tux Paint's stamps. Oracle: a hand-made folder laid out as the package lays it out; where it is
installed, its counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core import config
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.tuxpaint import Tuxpaint
from gobelin.embedding.columns.schema import infer
from gobelin.workbench.run.settings import Settings

INSTALLED = Path(Tuxpaint().folder)
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="10mm" height="20mm" viewBox="0 0 1 2">'
    '<rect width="1" height="2" fill="#0000ff"/></svg>'
)


def picture(path: Path, level: int, alpha: int = 255) -> None:
    Image.fromarray(np.array([[[level, 0, 0, alpha]] * 8] * 8, np.uint8)).save(path)


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    """Five stamps: two of one caption, one without sounds, one both drawn and in pixels, one seen
    through."""
    folder = tmp_path / "stamps"
    for name, text in {
        "animals/birds/duck": (
            "A Duck.\nde.utf8=Eine Ente.\nfr.utf8=Un canard.\nbroken"
            " line\nxx.utf8=\nde.utf8=twice\n"
        ),
        "animals/birds/duck2": "A duck!\n",
        "animals/fish/v1.5/eel": "An eel.\nja.utf8=うなぎ\n",
        "vehicles/car": "A car, blue.\nes.utf8=Un coche = azul.\n",
        "vehicles/ghost": "...\n",
    }.items():
        path = folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        picture(path.with_suffix(".png"), 200, 0 if "ghost" in name else 255)
    (folder / "vehicles/car.svg").write_text(DRAWING, encoding="utf-8")
    picture(folder / "vehicles/car_mirror.png", 9)  # another side, with a text of its own
    (folder / "vehicles/car_mirror.txt").write_text("A car.", encoding="utf-8")
    picture(folder / "vehicles/no caption.png", 9)
    picture(folder / "loose.png", 9)  # in no category
    (folder / "loose.txt").write_text("Loose.", encoding="utf-8")
    for name in (
        "animals/birds/duck_desc_fr.ogg",
        "animals/birds/duck_desc.ogg",
        "animals/birds/duck.wav",
        "vehicles/car.ogg",
        "vehicles/car_desc_es.wav",
        "vehicles/car_fr.ogg",
        "animals/fish/v1.5/eel_desc_fr.ogg",
    ):
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_stamp_is_a_row(stamps: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    sample = Tuxpaint(str(stamps), size=16, voices=("fr", "en", "es"))
    data = read(sample.write(tmp_path / "out", 0))
    rows = {r["id"]: r for r in data.table.to_pylist()}
    assert list(rows) == [
        "animals/birds/duck",
        "animals/birds/duck2",
        "animals/fish/v1.5/eel",
        "vehicles/car",
        "vehicles/ghost",
    ]
    assert data.values("category") == ["animals"] * 3 + ["vehicles"] * 2
    assert data.values("leaf") == [
        "animals/birds",
        "animals/birds",
        "animals/fish/v1.5",
        "vehicles",
        "vehicles",
    ]
    assert data.values("family") == ["a duck", "a duck", "an eel", "a car blue", "..."]
    duck, car = rows["animals/birds/duck"], rows["vehicles/car"]
    assert [duck[f"name_{code}"] for code in ("en", "de", "fr", "es", "ja")] == [
        "A Duck.",
        "Eine Ente.",
        "Un canard.",
        None,
        None,
    ]
    assert (
        car["name_es"] == "Un coche = azul."
        and rows["animals/fish/v1.5/eel"]["name_ja"] == "うなぎ"
    )

    def sounds(name: str) -> dict[str, str]:
        return {
            r["id"]: (data.root / r[name]).read_bytes().decode() for r in rows.values() if r[name]
        }

    assert sounds("speech_fr") == {
        "animals/birds/duck": "animals/birds/duck_desc_fr.ogg",
        "animals/fish/v1.5/eel": "animals/fish/v1.5/eel_desc_fr.ogg",
    }
    assert sounds("speech_en") == {"animals/birds/duck": "animals/birds/duck_desc.ogg"}
    assert sounds("speech_es") == {"vehicles/car": "vehicles/car_desc_es.wav"}
    assert sounds("sound") == {
        "animals/birds/duck": "animals/birds/duck.wav",
        "vehicles/car": "vehicles/car.ogg",
    }

    def pixels(name: str) -> np.ndarray:
        return np.asarray(Image.open(data.root / rows[name]["image"]))

    assert (pixels("animals/birds/duck") == (200, 0, 0)).all() and (
        pixels("vehicles/ghost") == 255
    ).all()
    drawn = pixels("vehicles/car")  # twice as tall as wide: padded at both sides
    assert (
        drawn.shape == (16, 16, 3)
        and (drawn[2:14, 6:10] == (0, 0, 255)).all()
        and (drawn[:, [0, 1, 14, 15]] == 255).all()
    )


def test_the_fields_are_what_they_hold(stamps: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    sample = Tuxpaint(str(stamps), size=8)
    choices = config.build(Settings, sample.settings()).choices
    found = infer(read(sample.write(tmp_path / "out", 0)), sample.target, choices)
    assert found.role("group") == "family" and {"leaf"} == {
        c.name for c in found.columns if c.role == "ignore"
    } - {"name_de"}
    speech = found.field("speech")
    assert (speech.encoder, speech.columns) == ("audio", ("speech_fr",)) and found.field(
        "sound"
    ).encoder == "audio"
    queries = [next(iter(q.items())) for q in sample.queries()]
    assert dict(queries[2:]) == {
        "speech_fr": str(stamps / "animals/birds/duck_desc_fr.ogg"),
        "sound": str(stamps / "animals/birds/duck.wav"),
    }


def test_without_the_package_it_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="Run: sudo apt-get install tuxpaint-stamps-default"):
        Tuxpaint(str(tmp_path / "nothing")).write(tmp_path / "out", 0)
    assert (
        not (tmp_path / "out").exists() and len(Tuxpaint(str(tmp_path / "nothing")).queries()) == 2
    )


@pytest.mark.parametrize("said", [{"size": 0}, {"languages": ["de"]}, {"voices": []}])
def test_settings_that_cannot_be_are_refused(said: dict[str, object]) -> None:
    with pytest.raises(GobelinError, match="samples.tuxpaint"):
        config.build(Tuxpaint, said, "samples.tuxpaint")


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="tuxpaint-stamps-default is not installed")
def test_the_counts_of_the_package(tmp_path: Path) -> None:
    """Counted with find and the shell: 1,044 pictures, 11 of them mirrored, 83 names both drawn and
    in pixels."""
    data = read(Tuxpaint(size=8, voices=("fr", "ru")).write(tmp_path / "out", 0))
    assert len(data) == 1044 - 11 - 83 == 950
    different = {name: len(set(data.values(name))) for name in ("category", "leaf", "name_en")}
    assert different == {"category": 16, "leaf": 125, "name_en": 804}
    present = {
        name: sum(v is not None for v in data.values(name))
        for name in ("speech_fr", "speech_ru", "sound", "name_ja")
    }
    assert present == {"speech_fr": 925, "speech_ru": 918, "sound": 134, "name_ja": 950}
    for name in ("image", "speech_fr", "sound"):
        assert all((data.root / v).is_file() for v in data.values(name) if v is not None)
    shutil.rmtree(tmp_path / "out")
