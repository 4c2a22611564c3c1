"""The command `lineage`: which images came from a row or a group, and what rests on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core.arguments import typed
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.progress import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.evidence.findings import Finding
from gobelin.workbench.opening import opened
from gobelin.workbench.run import lineage as record
from gobelin.workbench.run.chain import Run

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
NAMED = 200  # images that a finding names


@typed()
def lineage(run: str | Path, name: str, progress: Progress = silent) -> list[Finding]:
    """What came from a row or a group of a run, and what must be made again without it.

    name: of a group, the id of a row, the key of a row in an export, or the id of an image of a
    study. Findings: images made from its cells, images made by weights that learned from it,
    exports that hold it, stages to make again. Raises GobelinError for a name that the run doesn't
    know.

    What this cannot show: see `workbench/run/lineage.py`.
    """
    chain = opened(run, progress, None)
    folder = chain.folder
    if folder.saved:
        raise GobelinError(
            f"{run}: is a saved run, which has no lineage. Use the run that it was saved from."
        )
    content = record.stored(folder)
    group, rows = resolved(chain, content, name)
    scope = {"group": group}
    return [
        *_images(content, scope, rows),
        *_of_weights(content, scope),
        *_exports(content, scope, rows),
        _stages(folder, scope, part_of(chain, group)),
    ]


def resolved(run: Run, content: Mapping[str, Any], name: str) -> tuple[str, tuple[str, ...]]:
    """The group that a name means, and the ids of its rows. content: of lineage.json. A row without
    a group column is a group of its own. Raises GobelinError for an unknown name."""
    rows = run.checked.rows
    made = [one for entry in content["made"] for one in entry.get("images", ())]
    parent = next((one["row"] for one in made if one["id"] == name), content["keys"].get(name))
    own = name in rows.named.names or name in rows.dataset.ids
    if own and parent not in (None, name):
        LOG.warning(
            "lineage: %r also names something made from row %r; the row is meant.", name, parent
        )
    row = name if own or parent is None else parent
    names = rows.named.names
    if row in names:
        group = row
    elif row in rows.dataset.ids:
        group = names[rows.dataset.ids.index(row)]
    else:
        raise GobelinError(
            f"{run.folder.folder}: has no group, row, key or image {name!r}."
            f"{nearest(name, {*names, *rows.dataset.ids})}"
        )
    return group, tuple(i for i, n in zip(rows.dataset.ids, names, strict=True) if n == group)


def part_of(run: Run, group: str) -> str:
    """train, valid or test: the part that a group is in."""
    rows = run.checked.rows
    return str(rows.parts[rows.named.names.index(group)])


def _images(
    content: Mapping[str, Any], scope: Mapping[str, str], rows: Sequence[str]
) -> list[Finding]:
    """Images whose condition is one of these rows."""
    found = []
    for entry in content["made"]:
        ids = [one["id"] for one in entry.get("images", ()) if one["row"] in rows]
        if ids:
            found.append(_finding("images_from_row", content, scope, entry, len(ids), ids))
    return found or [_none("images_from_row", scope, "no image was made from its cells")]


def _of_weights(content: Mapping[str, Any], scope: Mapping[str, str]) -> list[Finding]:
    """Images by weights that were trained on this group."""
    found = []
    for entry in content["made"]:
        about = content["weights"][entry["weights"]]
        if scope["group"] in content["groups"][about["groups"]]:
            images = entry.get("images", ())
            count = len(images) or int(entry["count"])
            found.append(_finding("images_by_its_weights", content, scope, entry, count, ()))
    return found or [
        _none("images_by_its_weights", scope, "no image was made by weights that learned from it")
    ]


def _finding(
    name: str,
    content: Mapping[str, Any],
    scope: Mapping[str, str],
    entry: Mapping[str, Any],
    count: int,
    ids: Sequence[str],
) -> Finding:
    about = content["weights"][entry["weights"]]
    said = [f"verb {entry['verb']}", f"weights {entry['weights']}", f"from {about['stage']}"]
    if about.get("epsilon") is not None:
        said.append(f"epsilon {about['epsilon']:g}")
    if "name" in entry:
        said.append(f"{entry['name']}* in {entry['folder']}, seeds {entry['seeds']}")
    if len(ids) > NAMED:
        said.append(f"the first {NAMED} are named")
    return Finding(
        name=name,
        scope=scope,
        value=float(count),
        rows=tuple(ids[:NAMED]),
        generator=str(about["generator"]),
        note="; ".join(said),
        source="lineage",
    )


def _exports(
    content: Mapping[str, Any], scope: Mapping[str, str], rows: Sequence[str]
) -> list[Finding]:
    """Exported files that hold its rows, or images made from them."""
    made = {
        one["id"]
        for entry in content["made"]
        for one in entry.get("images", ())
        if one["row"] in rows
    }
    found = []
    for export in content["exports"]:
        if inside := {*rows, *made} & set(export["rows"]):
            note = f"{export['file']}: its own rows and those with images made from it"
            found.append(_none("rows_exported", scope, note, float(len(inside))))
    return found


def _stages(folder: RunFolder, scope: Mapping[str, str], part: str) -> Finding:
    made = folder.stages()
    stay = record.staying(made, part)
    again = [stage for stage in made if stage not in stay]
    kept = f"; stay: {', '.join(stay)}" if stay else ""
    note = f"it is in the part {part}; to be made again without it: {', '.join(again)}{kept}"
    return _none("to_make_again", scope, note, float(len(again)))


def _none(name: str, scope: Mapping[str, str], note: str, value: float | None = 0.0) -> Finding:
    return Finding(name=name, scope=scope, value=value, note=note, source="lineage")
