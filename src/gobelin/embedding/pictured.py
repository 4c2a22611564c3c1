"""The frame of encoders that look at pictures of a thing and measure it, too.

A mesh is drawn from twelve sides, a volume is cut and projected; an image encoder sees the
pictures, closed-form statistics stand beside. An encoder's own file says how a cell becomes
pictures and statistics. From the training rows the median and the spread of each statistic are
learned, and what the image encoder learns itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError, MissingExtra, nearest
from gobelin.core.files import (
    fingerprint,
    load_arrays,
    made_anew,
    read_json,
    save_arrays,
    write_json,
)
from gobelin.core.machine import Runtime
from gobelin.core.stored_settings import as_stored
from gobelin.data.fields import Cell, Field
from gobelin.data.image.images import png_bytes
from gobelin.embedding.encoders import Encoder, FittedEncoder, TrainingCells, reading
from gobelin.embedding.part_means import feature_scales, in_spreads

PICTURE = "picture"  # the only column of the cells that the image encoder gets
MEASURED_CELLS = 256  # training cells whose statistics set the scales, at most, evenly chosen
SHOWN_CELLS = 100  # training cells from whose pictures an image encoder learns, at most
PICTURED_FORMAT = 1  # of the saved folder


@dataclass(frozen=True)
class Look:
    """What an encoder takes from a cell.

    pictures: uint8 [k, S, S, 3]. statistics: float64 [D_s]. note: of what had to be converted.
    """

    pictures: np.ndarray
    statistics: np.ndarray
    note: str = ""


class PicturedSettings(Protocol):
    """The settings that every such encoder has."""

    kinds: ClassVar[tuple[str, ...]]

    @property
    def network(self) -> str: ...

    @property
    def network_settings(self) -> Mapping[str, Any]: ...


def check_network(encoder: str, settings: PicturedSettings) -> None:
    """Raises GobelinError where `network` names no image encoder, or its settings are wrong.
    encoder: whose setting it is."""
    able = reading("image")
    if settings.network not in able:
        raise GobelinError(
            f"encoders.{encoder}.network: {settings.network!r} reads no images."
            f"{nearest(settings.network, able)}"
        )
    if settings.network_settings:
        image_encoder(settings)


def image_encoder(settings: PicturedSettings) -> Encoder:
    """The image encoder that sees the pictures."""
    built: Encoder = catalog.build("encoders", settings.network, settings.network_settings)
    return built


def opened_network(encoder: str, make: Callable[[], FittedEncoder]) -> FittedEncoder:
    """The fitted image encoder. A package that it lacks is named with the setting that needs
    none."""
    try:
        return make()
    except MissingExtra as error:
        raise GobelinError(
            f"encoders.{encoder}.network: {error} Or choose one without weights: --set"
            f" encoders.{encoder}.network=pixels"
        ) from error


def picture_cell(pictures: np.ndarray) -> Cell:
    """Pictures, uint8 [k, S, S, 3], as a cell of the image encoder."""
    return {PICTURE: [png_bytes(picture) for picture in pictures]}


def fitted_network(
    encoder: str,
    settings: PicturedSettings,
    cells: TrainingCells,
    look: Callable[[Cell], Look],
    runtime: Runtime,
) -> FittedEncoder:
    """The image encoder; one that learns from files does so from pictures of training cells."""
    component = image_encoder(settings)
    field, kinds = Field(PICTURE, settings.network, (PICTURE,), "image"), {PICTURE: "image"}
    shown = _Shown(cells, look, runtime)
    return opened_network(encoder, lambda: component.fit(shown, field, kinds, runtime))


class _Shown(TrainingCells):
    """Pictures of training cells. They are made when an encoder reads them: a pretrained one
    doesn't."""

    def __init__(
        self, cells: TrainingCells, look: Callable[[Cell], Look], runtime: Runtime
    ) -> None:
        self.least_groups, self.root = cells.least_groups, cells.root
        self._make = lambda: cells.some(look, SHOWN_CELLS, runtime.threads)

    @cached_property
    def _made(self) -> list[tuple[Look, int]]:
        return self._make()

    @cached_property
    def cells(self) -> Sequence[Cell | None]:  # type: ignore[override]
        return [picture_cell(found.pictures) for found, _ in self._made]

    @cached_property
    def groups(self) -> np.ndarray:  # type: ignore[override]
        return np.array([group for _, group in self._made], int)


def fitted_scales(
    cells: TrainingCells, measure: Callable[[Cell], np.ndarray], width: int, runtime: Runtime
) -> np.ndarray:
    """float64 [2, width], of the statistics that `measure` takes from a training cell."""
    found = cells.some(measure, MEASURED_CELLS, runtime.threads)
    groups = np.array([group for _, group in found], int)
    return feature_scales([x for x, _ in found], groups, width, cells.least_groups)


class FittedPictured:
    """An image encoder for the pictures and the scales of the statistics.

    parts: how many pictures of a cell are averaged at a time; their means stand side by side.
    scales: float64 [2, D_s]."""

    module = None
    name: ClassVar[str]  # of the component

    def __init__(
        self,
        settings: PicturedSettings,
        network: FittedEncoder,
        scales: np.ndarray,
        parts: Sequence[int],
    ) -> None:
        self.settings, self.network, self.scales = settings, network, scales
        self.parts = tuple(parts)
        self.width = len(self.parts) * network.width + scales.shape[1]

    def looks(self, cell: Cell, root: Path) -> Iterable[Look]:
        """One for each thing in the cell. Raises BadCell."""
        raise NotImplementedError

    def decode(self, cell: Cell, root: Path) -> tuple[tuple[list[Any], np.ndarray], str]:
        """(each part's pictures as the image encoder decodes them, float64 [D_s]), over all things
        in the cell, and a note."""
        looks = list(self.looks(cell, root))
        ends = np.cumsum(self.parts)[:-1]
        cuts = zip(*(np.split(look.pictures, ends) for look in looks), strict=True)
        pictures = [self._decoded(np.concatenate(part)) for part in cuts]
        statistics = np.mean([look.statistics for look in looks], axis=0)
        return (pictures, statistics), next((look.note for look in looks if look.note), "")

    def _decoded(self, pictures: np.ndarray) -> Any:  # noqa: ANN401 - as the image encoder has it
        return self.network.decode(picture_cell(pictures), Path())[0]

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f]: the mean vectors of the pictures of each part, then the statistics."""
        vectors = [
            self.network.embed([pictures[k] for pictures, _ in batch])
            for k in range(len(self.parts))
        ]
        statistics = in_spreads(np.stack([s for _, s in batch]), self.scales)
        return np.concatenate([*vectors, statistics], axis=1).astype(np.float32)

    def fingerprint(self) -> str:
        chosen = asdict(self.settings)  # type: ignore[call-overload]
        return fingerprint(
            self.name, PICTURED_FORMAT, chosen, self.network.fingerprint(), self.scales
        )

    def save(self, folder: Path) -> None:
        chosen = asdict(self.settings)  # type: ignore[call-overload]
        write_json(folder / "config.json", {"format": PICTURED_FORMAT, "settings": chosen})
        save_arrays(folder / "scales.safetensors", {"scales": self.scales})
        (folder / PICTURE).mkdir(parents=True, exist_ok=True)
        self.network.save(folder / PICTURE)


def restored(
    encoder: str, kind: type[Any], folder: Path, width: Callable[[Any], int], runtime: Runtime
) -> tuple[Any, FittedEncoder, np.ndarray]:
    """Settings, image encoder and scales of a saved folder. kind: class of the settings. width: of
    the statistics with these settings. Raises GobelinError."""
    stored = read_json(folder / "config.json")
    if stored.get("format") != PICTURED_FORMAT:
        raise GobelinError(
            f"{folder}: features of format {stored.get('format')}, this version makes"
            f" {PICTURED_FORMAT}. Fit again, in a new run folder."
        )
    settings = config.build(kind, as_stored(stored["settings"], folder))
    scales = load_arrays(folder / "scales.safetensors")["scales"]
    if scales.shape != (2, width(settings)):
        raise GobelinError(
            f"{folder}: scales of {width(settings)} features were expected, found"
            f" {' x '.join(map(str, scales.shape))}. {made_anew(folder)}"
        )
    component = image_encoder(settings)
    network = opened_network(encoder, lambda: component.load(folder / PICTURE, runtime))
    return settings, network, scales
