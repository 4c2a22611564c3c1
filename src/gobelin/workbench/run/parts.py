"""The recorded parts of a run: read from its folder and from `split.parts_from`, and compared with
what another run was trained on where this run takes something over from it.

`parts.json` holds the names of the groups in plain text. It stays in the run folder; a saved run
has no such list.

What this cannot show: an overlap with a saved run, or with a run of before parts were recorded. A
warning says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.printable import counted
from gobelin.core.shell import shell_word
from gobelin.core.stages import RunFolder, holds_run
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.split.part_names import as_words
from gobelin.data.split.parts import (
    NamedRows,
    Naming,
    RecordedParts,
    TrainedNames,
    parts_of_groups,
    torn_groups,
    trained_rows,
)
from gobelin.data.split.splits import assign
from gobelin.workbench.run.settings import Settings

RECORD = "parts.json"  # name of the record in the run folder
# groups of settings that can name another run, or a file inside one
TAKING_OVER = ("encoders", "tune", "align", "fusion", "generator", "augment", "judge")
BASE = "align.base"  # the setting that names a run folder itself
OTHER_RUN = "choose another --run"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def recorded(folder: RunFolder | None) -> RecordedParts | None:
    """The recorded parts of a run; None for a run without. GobelinError for a damaged record, and
    where it is gone.
    """
    if folder is None:
        return None
    path = folder.folder / RECORD
    if path.is_file() or (not folder.saved and _stored_data(folder).get("parts")):
        return RecordedParts.load(path)
    return None


def made_before(folder: RunFolder | None, dataset: Dataset) -> bool:
    """Whether the run folder is of these data and of a version that recorded no parts: its rows
    keep the names and parts that its stages were made with.
    """
    data = {} if folder is None else _stored_data(folder)
    return data.get("fingerprint") == dataset.fingerprint and not data.get("parts")


def drawn_parts(
    settings: Settings,
    folder: RunFolder | None,
    named: NamedRows,
    known: Schema,
    target: Target,
    groups: Sequence[str],
) -> tuple[np.ndarray, RecordedParts]:
    """str [N], train, valid or test, and the record of it.

    Recorded groups keep their part, those of `split.parts_from` too. groups: N names. Raises
    GobelinError.
    """
    seed, before, whole = settings.runtime.seed, made_before(folder, named.dataset), named.dataset
    drawn = {**settings.split.drawn, "seed": seed}
    own = _own(folder, named)
    if own is not None and folder is not None and not _trained(folder):
        own = _unless_torn(own, named, groups)
    kept, earlier = _kept(settings, own, named, groups, drawn)
    split, time = known.role("split"), known.role("time")
    parts = assign(
        settings.split,
        target,
        groups,
        seed,
        as_words(split, whole.values(split)) if split else None,
        whole.values(time) if time else None,
        {} if before else kept,
        before,
    )
    _refuse_moved(dict(zip(groups, parts.tolist(), strict=True)), kept, settings.split.parts_from)
    part_of = dict(zip(named.names, parts.tolist(), strict=True))
    return parts, RecordedParts(named.naming, drawn, part_of).with_earlier(earlier)


def _own(folder: RunFolder | None, named: NamedRows) -> RecordedParts | None:
    """The recorded parts of the run; None where they are of other data, whose run `Run.begin`
    refuses.
    """
    own = recorded(folder)
    if own is None or folder is None or not own.missing(named):
        return own
    # a start with more rows may have been killed before it wrote the settings
    same = _stored_data(folder).get("fingerprint") == named.dataset.fingerprint
    return own if same else None


def _trained(folder: RunFolder) -> bool:
    """Whether more than `check` was done in the run folder, or its test rows were looked at."""
    made = [s for s in folder.stages() if s.split("/")[0] != "encoders" and s != "verbs/check"]
    return bool(made) or (folder.folder / "ledger.jsonl").exists()


def _unless_torn(
    own: RecordedParts, named: NamedRows, groups: Sequence[str]
) -> RecordedParts | None:
    """The recorded parts of a run in which nothing was trained; None, and a warning, where its
    groups are other ones now, so that the parts would tear some.
    """
    if not (torn := torn_groups(own.of_rows(named), groups)):
        return own
    LOG.warning(
        "%s: the groups are other ones than when it was checked, and %d of them would be in several"
        " parts. Nothing was trained yet: the parts are drawn again.",
        own.source,
        len(torn),
    )
    return None


def _kept(
    settings: Settings,
    own: RecordedParts | None,
    named: NamedRows,
    groups: Sequence[str],
    drawn: Mapping[str, Any],
) -> tuple[dict[str, str], tuple[TrainedNames, ...]]:
    """{group: recorded part}, and the groups that were trained on before. own: of this run."""
    kept: dict[str, str] = {}
    earlier: tuple[TrainedNames, ...] = ()
    if own is not None and dict(own.drawn) == dict(drawn):
        kept, earlier = (
            parts_of_groups(own.of_rows(named), groups, own.source, OTHER_RUN),
            own.earlier,
        )
    elif own is not None:  # another split on purpose; what was trained on is not forgotten
        earlier = own.trained
    if (place := settings.split.parts_from) and not set(groups) <= set(kept):
        other = _other(place)
        where = f"split.parts_from: {place}"
        taken = parts_of_groups(other.of_rows(named), groups, where, "leave it out")
        if not taken:
            raise GobelinError(
                f"split.parts_from: {place} has none of the groups of {named.dataset.source}. Leave"
                " it out, or give the rows the names that they have there."
            )
        _refuse_moved(kept, taken, place)
        _tell_missing("split.parts_from", f"of {place}", len(other.missing(named)), other.naming)
        kept = {**taken, **kept}
    return kept, earlier


def _refuse_moved(parts: Mapping[str, str], taken: Mapping[str, str], place: str) -> None:
    """Raises GobelinError where groups have another part here than in the run `place`."""
    if moved := [g for g, part in taken.items() if parts.get(g, part) != part]:
        raise GobelinError(
            f"split.parts_from: {place} has {len(moved)} groups in another part than this run"
            f" (first: {moved[0]!r}, in {taken[moved[0]]} and here in {parts[moved[0]]}). Choose"
            " another --run."
        )


def _other(place: str) -> RecordedParts:
    """The parts of the run that `split.parts_from` names."""
    folder = RunFolder(Path(place))
    other = recorded(folder)
    if other is not None:
        return other
    if folder.saved:
        raise GobelinError(
            f"split.parts_from: {place} was saved without its parts. Name the run that it was saved"
            " from."
        )
    if not folder.exists():
        raise GobelinError(f"split.parts_from: {place} is no run folder. Name one.")
    raise GobelinError(
        f"split.parts_from: {place} was made before parts were recorded. Run gobelin check on its"
        f" data with --run {shell_word(str(place))} once, which records them."
    )


def overlap(
    setting: str, base: RunFolder, named: NamedRows, parts: np.ndarray
) -> tuple[TrainedNames, ...]:
    """What the base run was trained on, if none of it is in validation or test here.

    setting: what names the base run, for messages. parts: str [N]. Logs a warning where nobody can
    tell. Raises GobelinError with the count of rows otherwise.
    """
    record = recorded(base)
    if record is None:
        why = (
            "is a saved run, which has no list of the rows that it was trained on"
            if base.saved
            else "was made before the rows that a run is trained on were recorded"
        )
        LOG.warning(
            "%s: %s %s. If validation or test rows are among them, scores are too good, and this"
            " can't be checked.",
            setting,
            base.folder,
            why,
        )
        return ()
    trained, dataset = record.trained, named.dataset
    if lacking := [name for one in trained for name in one.naming.lacking(dataset)]:
        LOG.warning(
            "%s: %s names its rows by the column %r, which %s lacks. Whether validation or test"
            " rows were trained on can't be checked.",
            setting,
            base.folder,
            lacking[0],
            dataset.source,
        )
    seen = trained_rows(trained, named)
    found = [one for one in trained if not one.naming.lacking(dataset)]
    missing = [(len(one.names.difference(named.by(one.naming))), one.naming) for one in found]
    if missing:
        whose = f"that {base.folder} was trained on"
        _tell_missing(setting, whose, *max(missing, key=lambda m: m[0]))
    counts = {part: int((seen & (parts == part)).sum()) for part in ("valid", "test")}
    if sum(counts.values()):
        first = dataset.ids[int(np.flatnonzero(seen & (parts != "train"))[0])]
        raise GobelinError(
            f"{setting}: {base.folder} was trained on {counts['valid']} validation rows and"
            f" {counts['test']} test rows of this run (first: row {first}). Take its parts over:"
            f" --parts-from {shell_word(str(base.folder))}."
        )
    return trained


def _tell_missing(setting: str, whose: str, missing: int, naming: Naming) -> None:
    """Warn of groups or rows of another run that are not among these: they may be here under
    another name. whose: 'that RUN was trained on'."""
    if not missing:
        return
    what = ("group", "groups") if naming.group else ("row", "rows")
    why = "One that has another name here counts as new, and can't be checked."
    if naming.content:
        why = "Rows are known by their cells: one with a changed cell counts as new, and can't be"
        why += " checked. Give the rows ids."
    LOG.warning(
        "%s: %s %s %s not found among these. %s",
        setting,
        counted(missing, *what),
        whose,
        "is" if missing == 1 else "are",
        why,
    )


def runs_named(settings: Mapping[str, Any], own: Path) -> Iterator[tuple[str, RunFolder]]:
    """(dotted name, run folder) of every setting that names another run, or a file inside one.

    settings: groups and values. own: this run's folder.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from runs_named({f"{name}.{k}": v for k, v in value.items()}, own)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from runs_named({name: item}, own)
        elif isinstance(value, str) and (
            (value and name == BASE) or "/" in value or os.sep in value
        ):
            run = _run_of(value)  # a word alone is the name of a component or a column
            if run is not None and run.resolve() != own.resolve():
                yield name, RunFolder(run)


def _run_of(value: str) -> Path | None:
    """The run folder that a path is, or lies in; None for no path and for other paths."""
    try:
        path = Path(value).expanduser()
        if not path.exists():
            return None
    except (OSError, ValueError, RuntimeError):  # no path at all
        return None
    # as it is written and where links lead: a link must not hide the run that a file lies in
    places = [p for start in (path.absolute(), path.resolve()) for p in (start, *start.parents)]
    return next((p for p in places if holds_run(p) and (p / "encoders").is_dir()), None)


def write(folder: RunFolder, record: RecordedParts) -> None:
    """Write the record. What was trained on before stays remembered. Says how many groups change
    their part, after a change of the settings of the split.
    """
    before = recorded(folder)
    if before is not None:
        record = record.with_earlier(before.earlier)
        moved = [g for g, part in before.part_of.items() if record.part_of.get(g, part) != part]
        if moved:
            LOG.warning(
                "%s: %d of %d groups change their part, as the settings of the split were changed.",
                folder.folder,
                len(moved),
                len(before.part_of),
            )
    record.save(folder.folder / RECORD)


def remember(folder: RunFolder, taken: Sequence[TrainedNames]) -> None:
    """Add groups to those that the run was trained on."""
    record = recorded(folder)
    if record is None or record.with_earlier(taken) == record:
        return  # before the lock, because a finished run can be read-only
    with folder.alone():
        RecordedParts.load(folder.folder / RECORD).with_earlier(taken).save(folder.folder / RECORD)


def _stored_data(folder: RunFolder) -> dict[str, Any]:
    """The group `data` of settings.json; {} for a folder that is no run."""
    if not folder.exists():
        return {}
    stored = folder.stored("settings.json")
    data = stored.get("data") if isinstance(stored, dict) else None
    return data if isinstance(data, dict) else {}
