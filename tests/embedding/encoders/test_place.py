"""Places. Oracles: the cosines that the package's own class gives, that class itself where it is
installed, and the corners of the Equal Earth projection."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_places import weights_file

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.place import (
    PACKAGE,
    Place,
    coordinates,
    equal_earth,
)
from gobelin.networks.location import LocationNetwork, opened

CITIES = {
    "Paris": (48.85, 2.35),
    "Lyon": (45.76, 4.84),
    "London": (51.5, -0.12),
    "Tokyo": (35.6762, 139.6503),
    "Osaka": (34.6937, 135.5023),
    "Reykjavik": (64.1466, -21.9426),
}
# of the package's own class, geoclip 1.3.0, by another person; a hundredth of a degree changes .02
COSINES = {
    ("Paris", "Lyon"): 0.45,
    ("Paris", "London"): 0.38,
    ("Tokyo", "Osaka"): 0.54,
    ("Reykjavik", "Tokyo"): 0.12,
}


def fitted(place: Place, columns: tuple[str, ...], cells: list, runtime: Runtime):  # noqa: ANN201
    field = Field("place", "place", columns, "place")
    return place.fit(TrainingCells(cells), field, dict.fromkeys(columns, "place"), runtime)


def test_the_projection_has_equal_areas_and_known_corners() -> None:
    edges = equal_earth(np.array([[0, 180], [0, -180], [90, 0], [-90, 0], [0, 0]]))
    # half axes of the map for a sphere of radius 1: 2.7066 and 1.3173 (Savric et al. 2019)
    scale = 66.50336 / 180
    expected = np.array([[2.70663, 0], [-2.70663, 0], [0, 1.31734], [0, -1.31734], [0, 0]])
    assert np.allclose(edges, expected * scale, atol=1e-4)
    # the area of a cell of a degree is cos(latitude), whatever the longitude
    for latitude in (-70, 0, 35, 80):
        for longitude in (-120, 10, 170):
            h = 1e-3
            x, y, middle = equal_earth(
                np.array(
                    [[latitude, longitude + h], [latitude + h, longitude], [latitude, longitude]]
                )
            )
            (a, b), (c, d) = (x - middle) / np.deg2rad(h), (y - middle) / np.deg2rad(h)
            area = abs(a * d - b * c) / scale**2
            assert area == pytest.approx(np.cos(np.deg2rad(latitude)), rel=1e-3)


def test_the_network_is_the_formula_of_the_paper(tmp_path: Path, runtime: Runtime) -> None:
    path = weights_file(tmp_path)
    w = {k: v.double().numpy() for k, v in torch.load(path, weights_only=True).items()}
    v = equal_earth(np.array([[48.9, 2.4], [-33.0, 151.0]]))
    out = np.zeros((2, 6))
    for k in range(2):
        angle = 2 * np.pi * v @ w[f"LocEnc{k}.capsule.0.b"].T
        x = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        for layer in (1, 3, 5):
            x = np.maximum(
                x @ w[f"LocEnc{k}.capsule.{layer}.weight"].T + w[f"LocEnc{k}.capsule.{layer}.bias"],
                0,
            )
        out += x @ w[f"LocEnc{k}.head.0.weight"].T + w[f"LocEnc{k}.head.0.bias"]
    encoder = fitted(Place(str(path)), ("lat", "lon"), [{"lat": 48.9, "lon": 2.4}], runtime)
    assert encoder.width == 6
    cells = [{"lat": 48.9, "lon": 2.4}, {"lat": "-33.0", "lon": 151.0}]
    found = encoder.embed([encoder.decode(c, Path())[0] for c in cells])
    assert found.dtype == np.float32 and np.allclose(found, out, atol=1e-5)


def test_the_cosines_of_the_installed_weights(runtime: Runtime) -> None:
    try:
        encoder = fitted(Place(), ("where",), [], runtime)
    except MissingExtra as error:
        pytest.skip(str(error))
    names = list(CITIES)
    x = encoder.embed([np.array(CITIES[n]) for n in names])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert encoder.width == 512
    for (a, b), cosine in COSINES.items():
        assert x[names.index(a)] @ x[names.index(b)] == pytest.approx(cosine, abs=0.05)


def test_the_same_as_the_class_of_the_package(runtime: Runtime) -> None:
    """Its class is loaded with a stand-in for its package, whose __init__ wants torchvision."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("geoclip is not installed")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    stand_in = types.ModuleType("standin")
    stand_in.__path__ = [str(folder)]
    sys.modules["standin"] = stand_in
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of theirs: torch.jit.script
            theirs = importlib.import_module("standin.location_encoder").LocationEncoder().eval()
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "standin"]:
            del sys.modules[name]
    places = np.random.default_rng(0).uniform((-85, -180), (85, 180), (200, 2))
    with torch.inference_mode():
        expected = theirs(torch.tensor(places, dtype=torch.float32)).numpy()
    found = fitted(Place(), ("where",), [], runtime).embed(list(places))
    # they project in single precision, which the finest scale shows
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1)
    assert (cosine / np.linalg.norm(expected, axis=1)).min() > 0.9999


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        (("dest_lon", "dest_lat"), [{"dest_lon": 1, "dest_lat": 2}], ("dest_lat", "dest_lon")),
        (("Longitude", "Latitude"), [{"Longitude": 1, "Latitude": 2}], ("Latitude", "Longitude")),
        (("a", "b"), [{"a": 120, "b": 2}], ("b", "a")),  # only a longitude is above 90
        (("plate", "slogan"), [{"plate": 1, "slogan": -95}], ("plate", "slogan")),
    ],
)
def test_which_column_is_the_latitude(
    columns: tuple[str, ...],
    cells: list,
    expected: tuple[str, ...],
    tmp_path: Path,
    runtime: Runtime,
) -> None:
    encoder = fitted(Place(str(weights_file(tmp_path))), columns, cells, runtime)
    assert encoder.axes == expected


def test_columns_that_are_no_place_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    place = Place(str(weights_file(tmp_path)))
    with pytest.raises(GobelinError, match=r"which of 'a' and 'b' is the latitude"):
        fitted(place, ("a", "b"), [{"a": 1, "b": 2}], runtime)
    with pytest.raises(GobelinError, match=r"3 columns.*fields.NAME=LAT,LON"):
        fitted(place, ("a", "b", "c"), [{"a": 1, "b": 2, "c": 3}], runtime)
    with pytest.raises(GobelinError, match="2 of 3 values are no latitude.*exchanged"):
        swapped = [{"lat": v, "lon": 5} for v in (139, 135, 40)]
        fitted(place, ("lat", "lon"), swapped, runtime)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"lat": 91, "lon": 0}, "latitude 91 is not between -90 and 90. Are latitude"),
        ({"lat": 1, "lon": 361}, "longitude 361 is not between"),
        ({"lat": 1, "lon": -181}, "longitude -181 is not between"),
        ({"lat": 1}, "has no lon, and a place needs both"),
        ({"lon": 1, "lat": None}, "has no lat, and a place needs both"),
        ({"lat": "north", "lon": 1}, "'north' is not a number of degrees"),
    ],
)
def test_bad_places_are_named(cell: dict, said: str) -> None:
    with pytest.raises(BadCell, match=said):
        coordinates(cell, ("lat", "lon"))


def test_one_column_and_longitudes_to_360() -> None:
    assert coordinates({"where": "48.86, 2.35"}, ("where",)) == (48.86, 2.35, "")
    assert coordinates({"where": [48.86, 2.35]}, ("where",)) == (48.86, 2.35, "")
    assert coordinates({"lat": 1, "lon": 350}, ("lat", "lon")) == (
        1.0,
        -10.0,
        "longitude from 0 to 360",
    )
    for bad in ("48.86", "1, 2, 3", 7):
        with pytest.raises(BadCell, match="is no 'latitude, longitude'"):
            coordinates({"where": bad}, ("where",))


def test_queries() -> None:
    two, one = (Field("p", "place", c, "place") for c in (("to_lon", "to_lat"), ("where",)))
    assert Place().parse("48.86,2.35", two) == {"to_lat": 48.86, "to_lon": 2.35}
    assert Place().parse("48.86,2.35", one) == {"where": "48.86,2.35"}
    assert Place().parse("to_lat=1", two) == {"to_lat": "1"}
    assert Place().parse("to_lat=1,to_lon=2", two) == {"to_lat": "1", "to_lon": "2"}
    assert Place().parse("where=1,2", one) == {"where": "1,2"}
    with pytest.raises(GobelinError, match="no column 'to'"):
        Place().parse("to=1", two)
    with pytest.raises(GobelinError, match="LATITUDE,LONGITUDE"):
        Place().parse("Paris", two)


def test_another_file_is_refused(tmp_path: Path, runtime: Runtime) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(GobelinError, match="is no file of weights of GeoCLIP"):
        opened(tmp_path / "weights.pth", "Run: something")
    with pytest.raises(GobelinError, match="no such file"):
        fitted(Place(str(tmp_path / "none.pth")), ("where",), [], runtime)


def test_a_run_is_not_read_with_other_weights(tmp_path: Path, runtime: Runtime) -> None:
    path = weights_file(tmp_path)
    fitted(Place(str(path)), ("where",), [], runtime).save(tmp_path)
    network = Place().load(tmp_path, runtime).network
    assert isinstance(network, LocationNetwork)
    tensors = torch.load(path, weights_only=True)
    tensors["LocEnc0.head.0.bias"] += 1
    torch.save(tensors, path)
    with pytest.raises(GobelinError, match="others than those that the run was fitted with"):
        Place().load(tmp_path, runtime)
