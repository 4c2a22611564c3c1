"""The settings of an earlier start of a run: what it decided by a measurement is never measured
twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.stages import RunFolder

KEPT_BY_RUN = ("device", "precision", "threads")


def stored(folder: RunFolder) -> dict[str, Any]:
    """The settings of an earlier start, with all that a run writes into them."""
    said = folder.stored("settings.json")
    needed = {
        "data": ("path", "target", "fingerprint"),
        "runtime": KEPT_BY_RUN,
        "generator": ("name", "steps", "settings"),
        "fusion": ("name",),
    }
    for group, names in needed.items():
        there = said.get(group) if isinstance(said, dict) else None
        if not isinstance(there, dict) or not set(names) <= set(there):
            raise GobelinError(
                f"{folder.folder / 'settings.json'}: is damaged (nothing complete under {group!r})."
                " Delete it and run gobelin fit again."
            )
    return said


def replayed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new settings with what an earlier start of this run decided by a measurement: never
    measured twice."""
    out = dict(new)
    if any(not isinstance(new.get(group, {}), Mapping) for group in ("runtime", "generator")):
        return out  # a user's mistake, which `build` names
    kept = {k: old["runtime"][k] for k in KEPT_BY_RUN}
    out["runtime"] = {
        **kept,
        **{k: v for k, v in dict(new.get("runtime", {})).items() if v not in ("auto", 0)},
    }
    asked = dict(new.get("generator", {}))
    own = {**old["generator"], **old["generator"]["settings"]}
    wanted = {**{k: v for k, v in asked.items() if k != "settings"}, **asked.get("settings", {})}
    same = all(str(own.get(k)) == str(v) for k, v in wanted.items() if k not in ("steps", "seeds"))
    if same and not asked.get("steps"):
        asked["steps"] = old["generator"]["steps"]
    out["generator"] = asked
    return out


def without_replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings without what other settings put out of force: another component doesn't
    inherit the settings of the one before, nor a study the images by class of another one."""
    out = dict(old)
    for group in ("generator", "fusion"):
        over = new.get(group, {})
        if isinstance(over, Mapping) and over.get("name", old[group]["name"]) != old[group]["name"]:
            own = ("settings", "steps", "source")
            out[group] = {k: v for k, v in old[group].items() if k not in own}
    study = new.get("augment", {})
    if isinstance(study, Mapping) and {"per_class", "ratio"} & set(study):
        out["augment"] = {k: v for k, v in old.get("augment", {}).items() if k != "per_class"}
    return out
