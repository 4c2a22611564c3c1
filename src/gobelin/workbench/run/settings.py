"""All settings of a run in one tree. Each group stands beside the code that it configures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gobelin import __version__
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog, parse
from gobelin.core.config import build, resolved, setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.data.budget import Reading
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.data.split.splits import Split
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.columns.schema import (
    Choices,
    build_encoder,
    default_encoder,
    default_encoders,
)
from gobelin.generation.sampling import Generation
from gobelin.prediction.cross_fit import Predict
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.fusion_choice import AUTO, BEST_OF_ALL, WITHOUT_POOL
from gobelin.prediction.trading import Trade
from gobelin.prediction.tuning.settings import Tune
from gobelin.quality.data import Check
from gobelin.quality.judge import Judge, image_encoder
from gobelin.quality.labels import Curate

VERSION = 2  # of settings.json; a file without a version has version 1
MARK = "complete.json"  # beside settings.json: a hash of it
_CHECKED = ContextVar("_CHECKED", default=False)  # whether settings were checked before


@settings_class
class Data:
    """The data set of a run."""

    path: str = setting(default="", description="File or folder of the data set.")
    target: str = setting(default="", description="Column to predict.")
    order: tuple[str, ...] = setting(
        default=(), description="Levels of an ordinal target, lowest first."
    )
    missing: tuple[str, ...] = setting(
        default=(),
        description="Words of the target for a missing answer. Empty: nan, n/a, null and the like.",
    )
    root: str = setting(
        default="", description="Folder that relative paths start from and that none may leave."
    )
    fingerprint: str = setting(
        default="", description="Hash of the data that the run was made from. Written by the run."
    )
    parts: str = setting(
        default="", description="Hash of the parts of the rows. Written by the run."
    )
    cited: str = setting(default="", description="Credit line for every image shown.")
    least_groups: int = setting(
        default=LEAST_GROUPS,
        ge=1,
        le=1000,
        description="Groups that have a value before an encoder keeps it; 1 keeps all.",
    )


@settings_class
class Chosen:
    """The fusion component."""

    name: str = setting(
        default=AUTO,
        description="Fusion component. auto: a mean of heads that suit the rows; all: the best.",
    )
    settings: Mapping[str, Any] = setting(
        default_factory=dict,
        description="The fusion component's own settings; with auto those of concat.",
    )

    def __post_init__(self) -> None:
        if self.name == AUTO and self.settings:
            object.__setattr__(self, "name", WITHOUT_POOL)


@settings_class
class Settings:
    """All settings of a run."""

    data: Data = setting(default_factory=Data, description="The data set.")
    reading: Reading = setting(
        default_factory=Reading, description="What data may take of the machine."
    )
    schema: Mapping[str, str] = setting(
        default_factory=dict, description="Kind (image, text, number ...) or role of a column."
    )
    fields: Mapping[str, tuple[str, ...]] = setting(
        default_factory=dict, description="Fields that join several columns: FIELD=COLUMN,COLUMN."
    )
    encoders: Mapping[str, Mapping[str, Any]] = setting(
        default_factory=dict, description="Encoder of each kind, as name, and its own settings."
    )
    leave_out: tuple[str, ...] = setting(
        default=(),
        description="Fields and columns that prediction does not use. auto: fields whose presence"
        " gives the label away.",
    )
    refit: bool = setting(
        default=True,
        description="Whether predict, describe and save use a predictor of all labelled rows.",
    )
    split: Split = setting(default_factory=Split, description="Training, validation and test rows.")
    runtime: Runtime = setting(default_factory=Runtime, description="Seed, device and precision.")
    check: Check = setting(default_factory=Check, description="Checks before training.")
    tune: Tune = setting(default_factory=Tune, description="Training encoders further.")
    align: Align = setting(default_factory=Align, description="The shared space.")
    predict: Predict = setting(default_factory=Predict, description="The predictor.")
    trade: Trade = setting(default_factory=Trade, description="Acting on the predictions.")
    fusion: Chosen = setting(default_factory=Chosen, description="The fusion component.")
    generator: Generation = setting(default_factory=Generation, description="The run's generator.")
    augment: Augment = setting(default_factory=Augment, description="A study.")
    judge: Judge = setting(
        default_factory=Judge, description="Audits and metrics of generated images."
    )
    curate: Curate = setting(default_factory=Curate, description="Finding and mending labels.")

    def __post_init__(self) -> None:
        """Check the names and settings of all components, unless they were checked when they were
        written. Raises one GobelinError with all mistakes.
        """
        if _CHECKED.get():
            return
        named = {
            "generators": self.augment.generators,
            "rivals": self.augment.rivals,
            "audits": self.judge.audits,
            "metrics": self.judge.metrics,
        }
        checks: list[Callable[[], object]] = [self._fusion, self._generator]
        checks += [partial(catalog.find, slot, name) for slot in named for name in named[slot]]
        for name, values in self.augment.rival_settings.items():
            checks.append(partial(self._rival, name, values))
        if self.judge.space:
            checks.append(partial(image_encoder, self.judge.space, self.judge.space_settings))
        mistakes: list[str] = []
        for check in checks:
            try:
                check()
            except GobelinError as error:
                mistakes += error.args
        if mistakes:
            raise GobelinError(*mistakes)

    def completed(self) -> Settings:
        """The settings with those of every component written out, as settings.json holds them."""
        encoders: dict[str, Any] = {}
        defaults = default_encoders()
        if unknown := [
            f"encoders.{n}: no such group of settings.{nearest(n, defaults)}"
            for n in self.encoders
            if n not in defaults
        ]:
            raise GobelinError(*unknown)
        for kind in catalog.names("encoders"):
            if kind in defaults:
                name = str(self.encoders.get(kind, {}).get("name", kind))
                encoders[kind] = {"name": name, **resolved(build_encoder(name, self.choices))}
        fusion, generator = self._fusion(), self._generator()
        return replace(
            self,
            encoders=encoders,
            fusion=replace(self.fusion, settings=resolved(fusion) if fusion else {}),
            generator=replace(self.generator, settings=resolved(generator)),
        )

    def _fusion(self) -> Fusion | None:
        """The fusion component; None where fit has yet to choose it."""
        if self.fusion.name not in (AUTO, BEST_OF_ALL):
            return _component("fusion", "fusion", self.fusion)
        if self.fusion.settings:
            key = next(iter(self.fusion.settings))
            raise GobelinError(
                f"fusion.settings.{key}: all fusions are compared with their defaults. Choose"
                " one with --fusion NAME."
            )
        return None

    def _rival(self, name: str, values: Mapping[str, Any]) -> None:
        """Raises GobelinError for settings of a baseline method that the study does not run."""
        if name not in self.augment.rivals:
            raise GobelinError(
                f"augment.rival_settings.{name}: no baseline method of augment.rivals."
                f"{nearest(name, self.augment.rivals)}"
            )
        try:
            catalog.build("rivals", name, values)
        except GobelinError as error:
            lines = (line.removeprefix("rivals.") for line in error.args)
            raise GobelinError(*(f"augment.rival_settings.{line}" for line in lines)) from error

    def _generator(self) -> Any:  # noqa: ANN401 - any component
        generator = _component("generators", "generator", self.generator)
        if self.generator.source and "source" not in generator.accepts:
            raise GobelinError(
                f"generator.source: {self.generator.name} starts from no image, found"
                f" {self.generator.source!r}. Leave it out, or choose --generator translate."
            )
        return generator

    @property
    def choices(self) -> Choices:
        return Choices(
            self.schema,
            self.fields,
            self.encoders,
            self.data.order,
            self.data.missing,
            self.leave_out,
        )


def _component(slot: str, group: str, chosen: Chosen | Generation) -> Any:  # noqa: ANN401
    """The component of a group of settings. Raises GobelinError, also for a setting of the group
    among those of the component."""
    known, own, mistakes = {f.name for f in fields(chosen)}, dict(chosen.settings), []
    known -= {f.name for f in fields(catalog.find(slot, chosen.name))}
    for name in known & set(own):
        del own[name]
        mistakes.append(
            f"{group}.settings.{name}: is a setting of the group. Write {group}.{name}."
        )
    try:
        component = catalog.build(slot, chosen.name, own)
    except GobelinError as error:
        mistakes += error.args
    if mistakes:
        raise GobelinError(*sorted(mistakes))
    return component


def recorded(settings: Settings) -> dict[str, Any]:
    """The content of settings.json. Its version enters no cache key."""
    return {"version": VERSION, **resolved(settings)}


def record(folder: Path, settings: Settings) -> None:
    """Write settings.json into a run folder, and a mark that these settings are complete and were
    checked.
    """
    values = recorded(settings)
    write_json(folder / "settings.json", values)
    write_json(folder / MARK, {"complete": _mark(values)})


def reopened(folder: Path, values: Mapping[str, Any], where: str) -> Settings:
    """The complete settings of a run folder. values: its settings.json, without the version. where:
    the file, for messages.

    Settings that this version of Gobelin wrote complete are not checked again, as that loads every
    component, and torch with them.
    """
    try:
        marked = read_json(folder / MARK)
    except (OSError, ValueError):
        marked = None
    if marked != {"complete": _mark({"version": VERSION, **values})}:
        return build(Settings, values, where).completed()
    token = _CHECKED.set(True)
    try:
        return build(Settings, values, where)
    finally:
        _CHECKED.reset(token)


def _mark(values: Mapping[str, Any]) -> str:
    """A hash of the content of settings.json and of the version that wrote it."""
    return fingerprint(parse.json_value(json.dumps(values, default=str)), __version__)


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of any version, from a recipe or a settings.json, in the names of this version.

    Version 2 has the names of version 1. Raises GobelinError for a later version.
    """
    settings = dict(stored)
    version = settings.pop("version", 1)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise GobelinError(
            f"settings.version: {VERSION} or less was expected, found {version!r}. A newer Gobelin"
            " wrote these settings; install it to use them."
        )
    predict = settings.get("predict")
    if isinstance(predict, Mapping) and "metric" not in predict:
        # what was the default then is what no metric asks for now
        usual = {"balance": True, "threshold": 0.5}
        kept = {k: v for k, v in predict.items() if k not in usual or v != usual[k]}
        settings["predict"] = kept
    return settings


def group(name: str) -> tuple[str, type[Any]]:
    """The dotted prefix of the settings of a group, and the class of the group.

    name: '' for all settings, a group of a run (align), or a component (generators.flow). Raises
    GobelinError for another name.
    """
    if not name:
        return "", Settings
    groups = {f: s.default_factory for f, s in Settings.__dataclass_fields__.items()}
    groups = {f: cls for f, cls in groups.items() if is_dataclass(cls)}
    if name in groups:
        return name, groups[name]
    slot, dot, component = name.partition(".")
    if dot and slot in catalog.SLOTS:
        return _place(slot, component), catalog.find(slot, component)
    known = [*groups, *(f"{s}.{n}" for s in catalog.SLOTS for n in catalog.names(s))]
    raise GobelinError(
        f"settings: no group {name!r}.{nearest(name, known)} A component is SLOT.NAME, for example"
        " generators.flow."
    )


def _place(slot: str, name: str) -> str:
    """The dotted name of a component's settings in a run; empty where only Python sets them."""
    if slot == "encoders":
        return f"encoders.{default_encoder(catalog.find(slot, name).kinds[0]) or name}"
    places = {
        "generators": "generator.settings",
        "fusion": "fusion.settings",
        "rivals": f"augment.rival_settings.{name}",
    }
    return places.get(slot, "")


def unknown_names(names: tuple[str, ...], fields: tuple[str, ...], where: str) -> list[str]:
    """A message for each name that is no field. where: the setting that names them."""
    return [
        f"{where}: no field {name!r}.{nearest(name, fields)}"
        for name in names
        if name != "auto" and name not in fields
    ]
