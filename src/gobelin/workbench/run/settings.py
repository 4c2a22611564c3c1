"""The settings of a run, all in one tree. Each group stands beside the code that it configures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gobelin.augmentation.settings import Augment
from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.machine import Runtime
from gobelin.data.splits import Split
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.schema import Choices, build_encoder
from gobelin.generation.sampling import Generation
from gobelin.prediction.cross_fit import Predict
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.fusion_choice import BEST_OF_ALL
from gobelin.prediction.tuning.tuner import Tune
from gobelin.quality.data import Check
from gobelin.quality.judge import Judge, image_encoder
from gobelin.quality.labels import Curate


@dataclass(frozen=True)
class Data:
    """path, target, root: as given to `fit`. order: the levels of an ordinal target, lowest first.
    fingerprint: of the data that the run was made from, written by the run. cited: a credit line
    for every picture shown."""

    path: str = ""
    target: str = ""
    order: tuple[str, ...] = ()
    root: str = ""
    fingerprint: str = ""
    cited: str = ""


@dataclass(frozen=True)
class Chosen:
    """A component by name with its own settings. The fusion 'all' becomes the best of them when the
    run is fitted."""

    name: str = "concat"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """schema, fields, encoders: see `schema.Choices`. leave_out: fields that prediction doesn't
    use; 'auto' are those whose presence gives the label away. The other groups are described where
    they are defined."""

    data: Data = field(default_factory=Data)
    schema: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ("auto",)
    split: Split = field(default_factory=Split)
    runtime: Runtime = field(default_factory=Runtime)
    check: Check = field(default_factory=Check)
    tune: Tune = field(default_factory=Tune)
    align: Align = field(default_factory=Align)
    predict: Predict = field(default_factory=Predict)
    fusion: Chosen = field(default_factory=Chosen)
    generator: Generation = field(default_factory=Generation)
    augment: Augment = field(default_factory=Augment)
    judge: Judge = field(default_factory=Judge)
    curate: Curate = field(default_factory=Curate)

    def __post_init__(self) -> None:
        """Component names and their settings are checked before any work."""
        self._fusion()
        generator = catalog.build("generators", self.generator.name, self.generator.settings)
        if self.generator.source and "source" not in generator.accepts:
            raise GobelinError(
                f"generator.source: {self.generator.name} starts from no image, found"
                f" {self.generator.source!r}. Leave it out, or choose --generator translate."
            )
        for name in self.augment.generators:
            catalog.find("generators", name)
        for rival in self.augment.rivals:
            catalog.find("rivals", rival)
        for audit in self.judge.audits:
            catalog.find("audits", audit)
        for metric in self.judge.metrics:
            catalog.find("metrics", metric)
        if self.judge.space:
            image_encoder(self.judge.space, self.judge.space_settings)

    def completed(self) -> Settings:
        """The same with every component's own settings spelled out, as settings.json holds them."""
        encoders: dict[str, Any] = {}
        defaults = [n for n in catalog.names("encoders") if catalog.find("encoders", n).default]
        if unknown := [
            f"encoders.{n}: no such group of settings.{nearest(n, defaults)}"
            for n in self.encoders
            if n not in defaults
        ]:
            raise GobelinError("\n".join(unknown))
        for kind in catalog.names("encoders"):
            if kind in defaults:
                name = str(self.encoders.get(kind, {}).get("name", kind))
                encoders[kind] = {"name": name, **resolved(build_encoder(name, self.choices))}
        fusion = self._fusion()
        generator = catalog.build("generators", self.generator.name, self.generator.settings)
        return replace(
            self,
            encoders=encoders,
            fusion=replace(self.fusion, settings=resolved(fusion) if fusion else {}),
            generator=replace(self.generator, settings=resolved(generator)),
        )

    def _fusion(self) -> Fusion | None:
        """None where all are to be compared; they are compared with their own defaults."""
        if self.fusion.name != BEST_OF_ALL:
            return catalog.build("fusion", self.fusion.name, self.fusion.settings)
        if self.fusion.settings:
            key = next(iter(self.fusion.settings))
            raise GobelinError(
                f"fusion.settings.{key}: all fusions are compared as they are. Choose one with"
                " --fusion NAME."
            )
        return None

    @property
    def choices(self) -> Choices:
        return Choices(self.schema, self.fields, self.encoders, self.data.order)


def check_names(names: tuple[str, ...], known: tuple[str, ...], where: str) -> None:
    """Every name must be a known field."""
    for name in names:
        if name != "auto" and name not in known:
            raise GobelinError(f"{where}: no field {name!r}.{nearest(name, known)}")
