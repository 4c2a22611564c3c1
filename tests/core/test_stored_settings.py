"""A saved run whose files name a model elsewhere, or one to download. Oracles: a folder with a name
of its own, and what is asked of the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin.core import catalog, hub
from gobelin.core.errors import GobelinError
from gobelin.core.files import in_saved_run, save_arrays, write_json
from gobelin.core.machine import Runtime
from gobelin.data.mesh.shape import shape_width
from gobelin.embedding.encoders.volume import WIDTH
from gobelin.embedding.pictured import PICTURE, PICTURED_FORMAT
from gobelin.generation import sampling
from gobelin.generation.generators.pretrained import PRETRAINED_FORMAT

Place = Mapping[str, Any]
Load = Callable[[Path, Runtime], object]


def encoder(name: str) -> Load:
    return lambda folder, runtime: catalog.build("encoders", name).load(folder, runtime)


def hub_model(folder: Path, place: Place) -> None:
    write_json(folder / "config.json", {"settings": place, "weights": ""})


def place_of_weights(folder: Path, place: Place) -> None:
    stored = {"settings": {"model": place["model"]}, "axes": ["a", "b"], "weights": ""}
    write_json(folder / "config.json", stored)


def several_texts(folder: Path, place: Place) -> None:
    parts = {"of": ["text_model", "characters"], "parts": {"text_model": place}}
    write_json(folder / "config.json", parts)
    (folder / "text_model").mkdir()
    hub_model(folder / "text_model", place)


def pictured(width: int) -> Callable[[Path, Place], None]:
    def write(folder: Path, place: Place) -> None:
        settings = {"network": "image_model", "network_settings": place}
        write_json(folder / "config.json", {"format": PICTURED_FORMAT, "settings": settings})
        save_arrays(folder / "scales.safetensors", {"scales": np.ones((2, width), np.float32)})
        (folder / PICTURE).mkdir()
        hub_model(folder / PICTURE, place)

    return write


def pipeline(folder: Path, place: Place) -> None:
    config = {"format": PRETRAINED_FORMAT, "settings": place, "classes": [], "base": ""}
    write_json(folder / "config.json", config)
    write_json(
        folder / "space.json",
        {"settings": place, "generator": "pretrained", "space": "", "steps": 1},
    )


CASES: dict[str, tuple[Callable[[Path, Place], None], Load]] = {
    "image_model": (hub_model, encoder("image_model")),
    "text_model": (hub_model, encoder("text_model")),
    "audio_model": (hub_model, encoder("audio_model")),
    "texts": (several_texts, encoder("texts")),
    "place": (place_of_weights, encoder("place")),
    "volume": (pictured(WIDTH), encoder("volume")),
    "mesh": (pictured(shape_width(False, False)), encoder("mesh")),
    "pretrained": (
        pipeline,
        lambda folder, runtime: catalog.build("generators", "pretrained").load(folder, runtime),
    ),
    "pretrained by its space": (pipeline, sampling.load),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each question to the hub was for its cache alone. Every one fails."""
    asked: list[bool] = []

    def snapshot(
        name: str, patterns: object, revision: object, ignored: object, local_only: bool
    ) -> Path:
        asked.append(local_only)
        raise GobelinError(f"{name}: not there")

    monkeypatch.setattr(hub, "snapshot", snapshot)
    return asked


def folder_of(tmp_path: Path, saved: bool) -> Path:
    folder = tmp_path / "run" / "encoders" / "field"
    folder.mkdir(parents=True)
    write_json(tmp_path / "run" / "settings.json", {})
    listed = {"files": {"settings.json": {}}} if saved else {"files": ["an app of the web"]}
    write_json((tmp_path / "run" if saved else tmp_path) / "manifest.json", listed)
    write_json(tmp_path / "settings.json", {"theme": "dark"})
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_a_saved_run_names_nothing_elsewhere(
    name: str, asked: list[bool], runtime: Runtime, tmp_path: Path
) -> None:
    write, load = CASES[name]
    (tmp_path / "elsewhere" / "private").mkdir(parents=True)
    for saved in (False, True):
        folder = folder_of(tmp_path / str(saved), saved)
        write(folder, {"model": str(tmp_path / "elsewhere" / "private"), "local_only": False})
        with pytest.raises(GobelinError) as error:
            load(folder, runtime)
        told = str(error.value)
        if name != "text_model":  # which has a model of its own by default, and takes that
            assert ("elsewhere" in told) is not saved, told
    assert not asked


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("place", "text_model")])
def test_a_file_of_a_saved_run_downloads_nothing(
    name: str, asked: list[bool], runtime: Runtime, tmp_path: Path
) -> None:
    write, load = CASES[name]
    for saved in (False, True):
        folder = folder_of(tmp_path / str(saved), saved)
        write(folder, {"model": "somebody/model", "local_only": False})
        with pytest.raises(GobelinError):
            load(folder, runtime)
        assert asked.pop() is saved, "a run of one's own may download what was asked for"
        assert not asked


@pytest.mark.parametrize(
    ("manifest", "saved"),
    [
        (b'{"files": {"settings.json": {}}}', True),
        (b"{", True),  # damaged
        (b"", True),
        (b'{"files": {}}', False),
        (b'{"name": "an app of the web"}', False),
        (b"[]", False),
        (b"3", False),
        (b'{"files": null}', False),
    ],
)
def test_a_manifest_of_another_program_makes_no_saved_run(
    manifest: bytes, saved: bool, tmp_path: Path
) -> None:
    assert not in_saved_run(tmp_path / "encoders" / "field")
    (tmp_path / "manifest.json").write_bytes(manifest)
    assert not in_saved_run(tmp_path / "encoders" / "field")
    write_json(tmp_path / "settings.json", {})
    assert in_saved_run(tmp_path / "encoders" / "field") is saved
