"""The settings of an earlier start of a run, so that nothing is measured twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.stages import RunFolder
from gobelin.workbench.run.settings import upgraded

KEPT_BY_RUN = ("device", "precision", "threads")  # settings that stay as in the first start


def stored(folder: RunFolder) -> dict[str, Any]:
    """The settings of an earlier start, with the decisions of the run. Raises GobelinError for a
    damaged file.
    """
    settings = folder.stored("settings.json")
    needed = {
        "data": ("path", "target", "fingerprint"),
        "runtime": KEPT_BY_RUN,
        "generator": ("name", "steps", "settings"),
        "fusion": ("name",),
    }
    for group, names in needed.items():
        values = settings.get(group) if isinstance(settings, dict) else None
        if not isinstance(values, dict) or not set(names) <= set(values):
            raise GobelinError(
                f"{folder.folder / 'settings.json'}: is damaged (incomplete under {group!r})."
                " Delete it and run gobelin fit again."
            )
    return upgraded(settings)


def replayed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new settings with the measured decisions of an earlier start of the run."""
    out = dict(new)
    if any(not isinstance(new.get(group, {}), Mapping) for group in ("runtime", "generator")):
        return out  # a mistake of the user, which `build` reports
    fixed = {k: old["runtime"][k] for k in KEPT_BY_RUN}
    out["runtime"] = {
        **fixed,
        **{k: v for k, v in dict(new.get("runtime", {})).items() if v not in ("auto", 0)},
    }
    generator = dict(new.get("generator", {}))
    before = {**old["generator"], **old["generator"]["settings"]}
    after = {k: v for k, v in generator.items() if k != "settings"}
    after |= generator.get("settings", {})
    same = all(
        str(before.get(k)) == str(v) for k, v in after.items() if k not in ("steps", "seeds")
    )
    if same and not generator.get("steps"):
        generator["steps"] = old["generator"]["steps"]
    out["generator"] = generator
    return out


def without_replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The stored settings without those that new settings make void.

    Another component does not inherit the settings of the one before. A study with another ratio or
    number of images by class does not inherit the old number.
    """
    out = dict(old)
    for group in ("generator", "fusion"):
        over = new.get(group, {})
        if isinstance(over, Mapping) and over.get("name", old[group]["name"]) != old[group]["name"]:
            void = ("settings", "steps", "source")
            out[group] = {k: v for k, v in old[group].items() if k not in void}
    study = new.get("augment", {})
    if isinstance(study, Mapping) and {"per_class", "ratio"} & set(study):
        out["augment"] = {k: v for k, v in old.get("augment", {}).items() if k != "per_class"}
    return out
