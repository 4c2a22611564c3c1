"""The settings of an earlier start of a run, so that nothing is decided twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gobelin.core import config
from gobelin.core.config import COUNTED
from gobelin.core.errors import GobelinError
from gobelin.core.files import made_anew
from gobelin.core.stages import RunFolder
from gobelin.workbench.run.settings import upgraded

KEPT_BY_RUN = ("device", "precision", "threads")  # settings that stay as in the first start


def stored(folder: RunFolder) -> dict[str, Any]:
    """The settings of an earlier start, with the decisions of the run. Raises GobelinError for a
    damaged file.

    A run of before there were two predictors keeps the one that it has, until `fit` runs again.
    """
    settings, path = folder.stored("settings.json"), folder.folder / "settings.json"
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
                f"{path}: is damaged (incomplete under {group!r}). {made_anew(path, 'gobelin fit')}"
            )
    return {"refit": False, **upgraded(settings)}


def replayed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new settings with the decisions of an earlier start of the run."""
    out = dict(new)
    if any(not isinstance(new.get(group, {}), Mapping) for group in ("runtime", *COUNTED)):
        return out  # a mistake of the user, which `build` reports
    fixed = {k: old["runtime"][k] for k in KEPT_BY_RUN}
    out["runtime"] = {
        **fixed,
        **{k: v for k, v in dict(new.get("runtime", {})).items() if v not in ("auto", 0)},
    }
    for group in COUNTED:
        if group in old:
            out[group] = _with_steps(old[group], new.get(group, {}))
    return out


def _with_steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new settings of a training, with the old number of steps where nothing else changes."""
    out = dict(new)
    before = {**old, **old.get("settings", {})}
    after = {k: v for k, v in out.items() if k != "settings"} | dict(out.get("settings", {}))
    same = all(
        _same(before.get(k), v) for k, v in after.items() if k not in ("steps", "ended", "seeds")
    )
    if same and not out.get("steps"):
        out |= {name: old[name] for name in ("steps", "ended") if name in old}
    return out


def _same(old: object, new: object) -> bool:
    """Whether two values of a setting are equal, one from JSON and one as a user writes it."""
    texts = [",".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for v in (old, new)]
    try:
        return float(texts[0]) == float(texts[1])
    except ValueError:
        return texts[0] == texts[1]


def without_replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The stored settings without those that new settings make void.

    Another component does not inherit the settings of the one before. A study with another ratio or
    number of images by class does not inherit the old number.
    """
    out = config.limited(old, new)
    for group in ("generator", "fusion"):
        over = new.get(group, {})
        if isinstance(over, Mapping) and over.get("name", old[group]["name"]) != old[group]["name"]:
            void = ("settings", "steps", "ended", "source")
            out[group] = {k: v for k, v in old[group].items() if k not in void}
    study = new.get("augment", {})
    if isinstance(study, Mapping) and {"per_class", "ratio"} & set(study):
        out["augment"] = {k: v for k, v in old.get("augment", {}).items() if k != "per_class"}
    return out
