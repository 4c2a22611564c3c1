"""The frame of encoders that wrap a model of Hugging Face: its place, fingerprint, save, load.

An encoder's own file holds its settings, its network and its way to prepare cells. The model itself
is opened by `gobelin.networks.hub_model`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from torch import nn

from gobelin.core import config
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.core.shared import shared
from gobelin.core.stored_settings import as_stored
from gobelin.embedding.encoders import Forward
from gobelin.networks.hub_model import PLACE_SETTINGS, ModelSource


class HubSettings(Protocol):
    """The settings that every such encoder has, see `ModelSource`."""

    @property
    def model(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def local_only(self) -> bool: ...


SettingsT = TypeVar("SettingsT", bound=HubSettings)
NetworkT = TypeVar("NetworkT", bound=nn.Module)


class HubEncoder(Forward, Generic[SettingsT]):
    """A fitted encoder around a model: all but its network. Nothing is learned, so only the
    settings and a hash of the model's files are saved."""

    name: ClassVar[str]  # of the component
    kind: ClassVar[str]  # image, text or audio

    def __init__(self, settings: SettingsT, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.place = ModelSource(self.kind, settings.model, settings.revision, settings.local_only)

    def network(self, make: Callable[[], NetworkT]) -> NetworkT:
        """What `make` makes of the model, on the device of the run; one for all fields."""
        key = (self.name, self.place.fingerprint, self.runtime.device)
        return shared(key, lambda: make().eval().to(self.runtime.device))

    def fingerprint(self) -> str:
        """A hash of settings, precision and the model's files; their place doesn't matter."""
        chosen = {k: v for k, v in asdict(self.settings).items() if k not in PLACE_SETTINGS}  # type: ignore[call-overload]
        return fingerprint(self.name, chosen, self.runtime.precision, self.place.fingerprint)

    def save(self, folder: Path) -> None:
        stored = {"settings": asdict(self.settings), "weights": self.place.fingerprint}  # type: ignore[call-overload]
        write_json(folder / "config.json", stored)


EncoderT = TypeVar("EncoderT", bound=HubEncoder[Any])


def restored(
    settings: SettingsT,
    encoder: Callable[[SettingsT, Runtime], EncoderT],
    folder: Path,
    runtime: Runtime,
) -> EncoderT:
    """The encoder that was saved in `folder`. Its model is the one that `settings` name, else the
    one that was used then. Raises a GobelinError where the model's files have changed."""
    stored = read_json(folder / "config.json")
    there = as_stored(stored["settings"], folder)
    place = {k: getattr(settings, k) for k in PLACE_SETTINGS if settings.model}
    fitted = encoder(config.build(type(settings), there | place), runtime)
    fitted.place.check(stored["weights"], folder)
    return fitted
