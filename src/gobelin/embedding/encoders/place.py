"""Places on the earth (latitude, longitude) by GeoCLIP's location encoder.

Vivanco, Nayak & Shah 2023 (GeoCLIP, NeurIPS): coordinates are projected (Equal Earth; Savric,
Patterson & Jenny 2019), turned into random Fourier features at three scales (Tancik et al. 2020),
and each scale has a small network; the vector [512] is the sum of the three. The weights were
trained so that a place lies near CLIP's vectors of photographs taken there. They are read where
`pip install --no-deps geoclip` puts them (MIT); the package itself is not imported.

A place is one column ('48.86, 2.35', latitude first, or a list of two numbers) or two columns of
numbers. Their names tell which is the latitude, else the training values: a number above 90 is no
latitude. No column is taken for a place unless you say so: --set schema.lat=place --set
schema.lon=place. More than one place in a row: --set fields.origin=lat,lon and so on.

What this cannot show: whether latitude and longitude are exchanged where all numbers lie between
-90 and 90. And what is known of a place is what people photograph there, until 2023.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra, nearest
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.lazy import torch
from gobelin.core.machine import Runtime
from gobelin.core.shared import shared
from gobelin.core.stored_settings import as_stored
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell
from gobelin.data.values.numbers import number
from gobelin.embedding.encoders import Forward, Sample, TrainingCells

PACKAGE = "geoclip"
INSTALL = f"pip install --no-deps {PACKAGE}"
WEIGHTS = "model/weights/location_encoder_weights.pth"  # in the package
LATITUDE = re.compile(r"(^|[^a-z])(lat|latitude|breite)([^a-z]|$)", re.IGNORECASE)
LONGITUDE = re.compile(r"(^|[^a-z])(lon|lng|long|longitude|laenge)([^a-z]|$)", re.IGNORECASE)
# Equal Earth, equation 1 and its coefficients (Savric, Patterson & Jenny 2019, table 1)
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
DEGREES_A_UNIT = 66.50336 / 180  # of GeoCLIP: the longest half axis becomes 1
SWAPPED = "Are latitude and longitude exchanged?"


@settings_class
class Place:
    """Settings of the encoder of places."""

    model: str = setting(
        default="", description="File of the weights. Empty: where geoclip is installed."
    )

    kinds: ClassVar[tuple[str, ...]] = ("place",)
    flag: ClassVar[str] = "place"
    joined: ClassVar[bool] = True
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # numbers stay numbers unless the user says that they are a place

    def parse(self, text: str, field: Field) -> Cell:
        if "=" in text:
            return _facts(text, field)
        parts = [number(part) for part in text.split(",")]
        if len(parts) != 2 or None in parts:
            raise GobelinError(
                f"--place {text!r}: 'LATITUDE,LONGITUDE' was expected, as in 48.86,2.35."
            )
        if len(field.columns) == 1:
            return {field.columns[0]: text}
        named = by_name(field.columns)
        if named is None:
            raise GobelinError(
                f"--place {text!r}: the names {', '.join(field.columns)} don't tell which is the"
                " latitude. Give each column: --query COLUMN=VALUE."
            )
        return dict(zip(named, parts, strict=True))

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedPlace:
        columns = _columns(field, cells)
        return FittedPlace(self, columns, _network(self._file()))

    def load(self, folder: Path, runtime: Runtime) -> FittedPlace:
        """Raises a GobelinError where the file of weights is another one than at that time."""
        stored = read_json(folder / "config.json")
        there = config.build(Place, as_stored(stored["settings"], folder))
        settings = self if self.model else there
        fitted = FittedPlace(settings, tuple(stored["axes"]), _network(settings._file()))
        if fitted.weights != stored["weights"]:
            raise GobelinError(
                f"{folder}: the weights of places are others than those that the run was fitted"
                " with. Install that version of geoclip, or fit again."
            )
        return fitted

    def _file(self) -> Path:
        if self.model:
            if not Path(self.model).expanduser().is_file():
                raise GobelinError(
                    f"encoders.place.model: {self.model}: no such file. Give the file of weights,"
                    f" or leave it out and run: {INSTALL}"
                )
            return Path(self.model).expanduser()
        package = importlib.util.find_spec(PACKAGE)
        for folder in (package.submodule_search_locations or ()) if package else ():
            if (Path(folder) / WEIGHTS).is_file():
                return Path(folder) / WEIGHTS
        raise MissingExtra("GeoCLIP, the encoder of places,", command=INSTALL)


def _facts(text: str, field: Field) -> Cell:
    """The cell of 'column=value', several separated by commas unless the field has one column."""
    facts = [text] if len(field.columns) == 1 else text.split(",")
    cell: Cell = {}
    for name, _, value in (fact.partition("=") for fact in facts):
        if name.strip() not in field.columns:
            raise GobelinError(
                f"--place: no column {name.strip()!r}.{nearest(name.strip(), field.columns)}"
            )
        cell[name.strip()] = value.strip()
    return cell


def by_name(columns: Sequence[str]) -> tuple[str, str] | None:
    """The columns of latitude and longitude; None where their names don't tell."""
    latitudes = [c for c in columns if LATITUDE.search(c.replace("_", " "))]
    longitudes = [c for c in columns if LONGITUDE.search(c.replace("_", " "))]
    if len(latitudes) == len(longitudes) == 1 and latitudes != longitudes:
        return latitudes[0], longitudes[0]
    return None


def _columns(field: Field, cells: TrainingCells) -> tuple[str, ...]:
    """One column, or latitude and longitude, by name or by content. Raises GobelinError."""
    columns, where = field.columns, f"field {field.name!r}"
    if len(columns) == 1:
        return columns
    if len(columns) != 2:
        raise GobelinError(
            f"{where}: a place is a latitude and a longitude, found {len(columns)} columns"
            f" ({', '.join(columns)}). Join two for each place: --set fields.NAME=LAT,LON."
        )
    values = {
        c: [n for cell, _ in cells.present() if (n := number(cell.get(c))) is not None]
        for c in columns
    }
    beyond = {c: sum(abs(v) > 90 for v in values[c]) for c in columns}
    if named := by_name(columns):
        if 2 * beyond[named[0]] > len(values[named[0]]):
            raise GobelinError(
                f"{where}, column {named[0]!r}: {beyond[named[0]]} of {len(values[named[0]])}"
                f" values are no latitude, they are above 90. {SWAPPED}"
            )
        return named
    longitudes = [c for c in columns if beyond[c]]
    if len(longitudes) != 1:
        raise GobelinError(
            f"{where}: which of {columns[0]!r} and {columns[1]!r} is the latitude? Neither names"
            " nor values tell. Name them lat and lon."
        )
    latitude = next(c for c in columns if c not in longitudes)
    return latitude, longitudes[0]


def coordinates(cell: Mapping[str, Any], columns: Sequence[str]) -> tuple[float, float, str]:
    """Latitude, longitude, and a note of what was converted. columns: one, or latitude and
    longitude. Raises BadCell, which sets both columns aside."""
    if len(columns) == 1:
        whole = cell[columns[0]]
        parts = whole.split(",") if isinstance(whole, str) else whole
        if not isinstance(parts, list | tuple | np.ndarray) or len(parts) != 2:
            raise BadCell(f"{str(whole)[:40]!r} is no 'latitude, longitude'", columns[0])
        values = list(parts)
    else:
        lacking = [c for c in columns if cell.get(c) is None]
        if lacking:
            raise BadCell(f"has no {lacking[0]}, and a place needs both numbers")
        values = [cell[c] for c in columns]
    found = [number(value) for value in values]
    for value, read in zip(values, found, strict=True):
        if read is None:
            raise BadCell(f"{str(value)[:40]!r} is not a number of degrees")
    latitude, longitude = (float(v) for v in found if v is not None)
    if abs(latitude) > 90:
        raise BadCell(f"latitude {latitude:g} is not between -90 and 90. {SWAPPED}")
    if not -180 <= longitude <= 360:
        raise BadCell(f"longitude {longitude:g} is not between -180 and 180")
    if longitude > 180:
        return latitude, longitude - 360, "longitude from 0 to 360"
    return latitude, longitude, ""


def equal_earth(degrees: np.ndarray) -> np.ndarray:
    """float64 [n, 2]: x and y of the Equal Earth projection, in units of GeoCLIP. degrees: latitude
    and longitude [n, 2]."""
    latitude, longitude = np.deg2rad(np.asarray(degrees, np.float64)).T
    t = np.arcsin(np.sqrt(3) / 2 * np.sin(latitude))  # theta, the parametric latitude
    slope = 9 * A4 * t**8 + 7 * A3 * t**6 + 3 * A2 * t**2 + A1
    x = 2 * np.sqrt(3) * longitude * np.cos(t) / (3 * slope)
    y = A4 * t**9 + A3 * t**7 + A2 * t**3 + A1 * t
    return np.stack([x, y], axis=1) * DEGREES_A_UNIT


def _network(path: Path) -> torch.nn.Module:
    from gobelin.networks.location import opened  # it loads torch

    return opened(path, f"Run: {INSTALL}")


class FittedPlace(Forward):
    """axes: the columns of latitude and longitude, or one column with both."""

    def __init__(self, settings: Place, axes: tuple[str, ...], network: torch.nn.Module) -> None:
        self.settings, self.axes = settings, axes
        from gobelin.core import weights  # it loads torch

        self.weights = weights.fingerprint(network)
        self.network = shared(("place", self.weights), lambda: network)
        self.width = int(list(network.parameters())[-1].shape[0])

    @property
    def module(self) -> torch.nn.Module:
        return self.network

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint([str(cell.get(c)) for c in self.axes]))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """float64 [2], latitude and longitude in degrees."""
        latitude, longitude, note = coordinates(cell, self.axes)
        return np.array([latitude, longitude]), note

    def forward(self, batch: Sequence[Any]) -> torch.Tensor:
        # in double precision: the finest scale turns 256 times faster than the coarsest
        places = equal_earth(np.stack(list(batch)))
        return self.network(torch.from_numpy(places.astype(np.float32)))

    def fingerprint(self) -> str:
        return fingerprint("place", self.axes, self.weights)

    def save(self, folder: Path) -> None:
        stored = {"settings": {"model": self.settings.model}, "axes": self.axes}
        write_json(folder / "config.json", {**stored, "weights": self.weights})
