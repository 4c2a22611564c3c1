"""The command `forget`: a run without one group, as if it had never been there.

The group must be gone from the data already; a run never changes the files of its user. Then all
that was made from the group is removed, and what `fit` makes is made again from the other rows,
with the same parts and settings. A stage that was made from other rows alone stays: it is byte for
byte what a run without the group makes.

What this cannot show: that nobody copied the run, its images or its exports before. Images in
folders of the user stay (`lineage` names them), and so do exports that were changed. The number of
training steps stays as it was decided with the group.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from gobelin.core.arguments import typed
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import STAGE_RECORD, file_hash, fingerprint, read_json, write_json
from gobelin.core.printable import counted
from gobelin.core.progress import Progress, silent
from gobelin.core.stages import LOCK, RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.read import read
from gobelin.data.split.parts import RecordedParts, TrainedNames, group_name
from gobelin.embedding.columns import schema
from gobelin.evidence.findings import Finding
from gobelin.prediction.fusion_choice import AUTO, BEST_OF_ALL, POOL
from gobelin.workbench.bench import Workbench
from gobelin.workbench.opening import opened
from gobelin.workbench.run import data_files, kept_rows, lineage, parts, privacy_ledger
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.checked_rows import KEPT_ROWS
from gobelin.workbench.run.row_index import INDEX
from gobelin.workbench.run.rows import Rows, read_rows
from gobelin.workbench.run.settings import MARK, Chosen, Settings, record
from gobelin.workbench.users_files import refuse_users_files

# What is kept beside the stages that stay; `data` is the dataset of a demo.
KEPT = ("settings.json", MARK, "schema.json", "environment.json", parts.RECORD, lineage.RECORD)
PLAN = "forgetting.json"  # of a command that has not ended
KEPT_TOO = ("ledger.jsonl", privacy_ledger.LEDGER, LOCK, PLAN, "data")
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@typed()
def forget(
    run: str | Path,
    group: str,
    data: str | Path | Dataset | None = None,
    progress: Progress = silent,
) -> list[Finding]:
    """Take a group out of a run, and fit again what rests on it.

    group: its name; without a group column the id of a row; 'row ID' for a row whose group is
    missing. data: the data without the group; None = where they were. Findings: how many rows were
    forgotten, what was made again, what stayed. Raises GobelinError for a group that the run
    doesn't know, and for data that still hold it or lack another one, and where the run folder
    holds files of the user. A command that was killed is simply run again, and goes on where it
    stopped.
    """
    chain = opened(run, progress, None)
    folder, before = chain.folder, _record_of(chain.folder)
    group, plan = _named(folder, before, group)
    refuse_users_files(folder, (*KEPT, *KEPT_TOO))
    after = _without(chain, before, group)
    new, given = _settings(chain.settings, data)
    whole = read(new.data.path, new.data.root or None) if given is None else given
    rows = _rows(new, whole, after, group)
    if plan is None:
        plan = _planned(chain, rows, group, before.part_of[group])
    settings = chain.settings  # those of a command that was killed while it fitted
    if group in before.part_of:
        with folder.alone():
            plan = _begin(chain, group, plan)
            _remove(folder, plan.stay)
            settings = _begun(new, rows, plan.fusion)
            record(folder.folder, settings)
            write_json(folder.folder / "schema.json", schema.described(rows.schema))
            data_files.write(folder.folder, rows.dataset, rows.schema, chain.data.runtime.threads)
            _rekey(Run.of(folder, settings, progress, given), plan.stay)
            after.save(folder.folder / parts.RECORD)  # last: until then all of this is done again
    bench = Workbench.__new__(Workbench)
    bench.run = Run.of(folder, settings, progress, given)
    bench.fit(generator=any(s.startswith("generators/") for s in plan.stages))
    (folder.folder / PLAN).unlink(missing_ok=True)  # the same command at the same time was first
    return [_finding(plan, folder), *(_told(note) for note in plan.told)]


def _named(folder: RunFolder, before: RecordedParts, group: str) -> tuple[str, _Plan | None]:
    """The group as the run names it (the user may type an accent as two letters), and the plan of a
    command that was killed. Raises GobelinError for a group that the run does not know, and did not
    know when the plan was made."""
    plan, names = _Plan.stored(folder), (group, group_name(group))
    if plan is not None:
        for name in names:
            if plan.group == fingerprint(name):
                return name, plan
        raise GobelinError(
            f"--group {group!r}: a command that forgets another group was stopped in"
            f" {folder.folder}. Run that one again first."
        )
    for name in names:
        if name in before.part_of:
            return name, None
    raise GobelinError(
        f"--group {group!r}: {folder.folder} has no such group.{nearest(group, before.part_of)}"
    )


@dataclass(frozen=True)
class _Plan:
    """What `forget` has decided, kept beside the run until it has ended: what it is about to remove
    can't be looked at again. It holds no cell and no name of the group, only a hash of its name.
    """

    group: str  # its hash
    part: str
    rows: int  # of the group; 0 where nobody knows them
    stages: list[str]  # all that the run had
    stay: list[str]  # of these, those that hold nothing of the group
    fusion: str  # that has to be chosen again; '' where the fusion was named
    told: list[str]  # about exports

    @staticmethod
    def stored(folder: RunFolder) -> _Plan | None:
        """The plan of a command that was killed."""
        path = folder.folder / PLAN
        if not path.is_file():
            return None
        try:
            return _Plan(**read_json(path))
        except TypeError as error:
            raise GobelinError(
                f"{path}: is damaged. Fit the run again without the group."
            ) from error


def _planned(chain: Run, rows: Rows, group: str, part: str) -> _Plan:
    """What is to be done, after a look at all that the group is in. Nothing is changed."""
    folder, old = chain.folder, _kept(chain)
    alike = _alike(chain, old, rows, group)
    ids = () if old is None else _ids(old, group)
    stages = folder.stages()
    stay = list(lineage.staying(stages, part)) if alike else []
    fusion = ""
    if "fusions" in stages:
        fusion = AUTO if chain.settings.fusion.name == POOL else BEST_OF_ALL
    return _Plan(fingerprint(group), part, len(ids), stages, stay, fusion, [])


def _begin(chain: Run, group: str, plan: _Plan) -> _Plan:
    """Write the plan down, and take the group out of exports and the lineage. The plan with what is
    told of them. After a kill all of it is done again, as long as the rows are there; they are
    removed later than that."""
    folder = chain.folder
    try:
        old = _kept(chain)
        ids = _ids(old, group) if old is not None else None if not plan.rows else frozenset()
    except GobelinError:  # a kill while they were removed
        ids = frozenset()
    held, notes = _exports(folder, ids)
    plan = replace(plan, told=list(dict.fromkeys([*plan.told, *notes])))
    write_json(folder.folder / PLAN, asdict(plan))
    for file in held:
        file.unlink(missing_ok=True)
    _forget_lineage(folder, group, ids)
    return plan


def _record_of(folder: RunFolder) -> RecordedParts:
    """The recorded parts. Raises GobelinError for a run that has none, and a saved one."""
    if folder.saved:
        raise GobelinError(
            f"{folder.folder}: is a saved run, which can't be fitted. Forget the group in the run"
            " that it was saved from, and save it again."
        )
    found = parts.recorded(folder)
    if found is None:
        raise GobelinError(
            f"{folder.folder}: was made before parts were recorded. Fit it again without the group."
        )
    return found


def _without(chain: Run, before: RecordedParts, group: str) -> RecordedParts:
    """The recorded parts without the group. Raises GobelinError where another run, from which
    something was taken over, was trained on it."""
    named = {k: v for k, v in resolved(chain.settings).items() if k in parts.TAKING_OVER}
    for setting, base in parts.runs_named(named, chain.folder.folder):
        other = parts.recorded(base)
        if other is None or any(group in one.names for one in other.trained):
            raise GobelinError(
                f"{setting}: {base.folder} was trained on it too, or has no list of what it was"
                " trained on. Forget the group there first."
            )
    earlier = tuple(TrainedNames(one.naming, one.names - {group}) for one in before.earlier)
    part_of = {name: part for name, part in before.part_of.items() if name != group}
    return replace(before, part_of=part_of, earlier=tuple(e for e in earlier if e.names))


def _settings(
    settings: Settings, data: str | Path | Dataset | None
) -> tuple[Settings, Dataset | None]:
    """The settings of a start with the new data, and the data set that a program gave."""
    given = data if isinstance(data, Dataset) else None
    if given is not None:
        path = given.source
    else:
        path = settings.data.path if data is None else str(Path(str(data)).resolve())
    new = replace(settings.data, path=path, fingerprint="", parts="")
    return replace(settings, data=new), given


def _rows(settings: Settings, whole: Dataset, after: RecordedParts, group: str) -> Rows:
    """The rows of the new data, with the parts that they have in the run."""
    with tempfile.TemporaryDirectory() as folder:
        after.save(Path(folder) / parts.RECORD)
        rows = read_rows(settings, whole, RunFolder(Path(folder)))
    names = list(rows.named.by(after.naming))
    if held := names.count(group):
        raise GobelinError(
            f"{whole.source}: still has {counted(held, 'row', 'rows')} of {group!r} (first: row"
            f" {rows.dataset.ids[names.index(group)]}). Delete them there, with their files, and"
            " run the same command again; forget changes no file of yours."
        )
    missing, new = after.missing(rows.named), set(names) - set(after.part_of)
    if missing or new:
        what = "has " + counted(len(new), "new group", "new groups")
        if missing:
            what = "lacks " + counted(len(missing), "other group", "other groups")
        raise GobelinError(
            f"{whole.source}: {what} too. forget takes one group away and changes nothing else."
            " Give data that differ in it alone."
        )
    return rows


def _kept(chain: Run) -> Rows | None:
    """The rows of the run as they were, whatever the data file is now; None where they were not
    kept."""
    folder, record_ = chain.folder, parts.recorded(chain.folder)
    if record_ is None or not folder.has(KEPT_ROWS):
        return None
    root = chain.settings.data.root
    return folder.loaded(
        KEPT_ROWS,
        lambda at: kept_rows.read_rows(
            at, read_json(at / kept_rows.OTHERS)["mark"], chain.data.schema, record_, root
        ),
    )


def _alike(chain: Run, old: Rows | None, rows: Rows, group: str) -> bool:
    """Whether the other rows are as they were, and are read and divided in the same way: only then
    is a stage that was made from some of them the same without the group."""
    if old is None:
        return False
    others = np.flatnonzero(np.array(old.named.names) != group)
    folder, threads = chain.folder.folder, chain.data.runtime.threads
    same = (
        old.dataset.rows(others).fingerprint == rows.dataset.fingerprint
        and _plain(old.schema) == _plain(rows.schema)
        and (old.target.kind, old.target.classes) == (rows.target.kind, rows.target.classes)
        and np.array_equal(old.target.scored, rows.target.scored)
        and old.parts[others].tolist() == rows.parts.tolist()
        and data_files.unchanged(folder, old.dataset, rows.dataset, rows.schema, threads)
    )
    if not same:
        LOG.warning(
            "%s: without the group the other rows differ from before, or are read in another way."
            " All is made again.",
            rows.dataset.source,
        )
    return same


def _plain(known: Schema) -> Schema:
    """The schema without how sure it is, and why."""
    plain = known.without_cells()
    return replace(plain, columns=tuple(replace(c, confidence=1.0) for c in plain.columns))


def _ids(old: Rows, group: str) -> frozenset[str]:
    """The ids of the rows of the group."""
    pairs = zip(old.dataset.ids, old.named.names, strict=True)
    return frozenset(i for i, name in pairs if name == group)


def _remove(folder: RunFolder, stay: Sequence[str]) -> None:
    """Remove all but the stages that stay, and what holds no row."""
    if (folder.folder / INDEX).is_dir():
        LOG.warning(
            "%s: rows that were added by gobelin index are gone. Add them again.", folder.folder
        )
    _remove_below(folder.folder, "", {*KEPT, *KEPT_TOO, *stay})


def _remove_below(folder: Path, place: str, kept: set[str]) -> None:
    """Remove what is neither kept nor holds something that is. place: of `folder`, in names."""
    for path in sorted(folder.iterdir()):
        name = f"{place}{path.name}"
        if name in kept:
            continue
        if any(other.startswith(f"{name}/") for other in kept):
            _remove_below(path, f"{name}/", kept)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _exports(folder: RunFolder, ids: frozenset[str] | None) -> tuple[list[Path], list[str]]:
    """Exported training sets with a row of the group, or an image made from one, which are to be
    removed, and what is told of each; one that was changed is told and not removed."""
    content, held, told = lineage.stored(folder), list[Path](), list[str]()
    made = {
        one["id"]
        for e in content["made"]
        for one in e.get("images", ())
        if one["row"] in (ids or ())
    }
    for export in content["exports"]:
        file = Path(export["file"])
        if (ids is not None and not (ids | made) & set(export["rows"])) or not file.is_file():
            continue
        if file_hash(file) == export["hash"]:
            held.append(file)
            told.append(f"{file}: held it, and was removed. Export it again")
        else:
            told.append(f"{file}: was changed since it was exported. Remove it yourself")
    return held, told


def _told(note: str) -> Finding:
    return Finding(name="export_forgotten", note=note, source="forget")


def _forget_lineage(folder: RunFolder, group: str, ids: frozenset[str] | None) -> None:
    """Take the group and its rows out of lineage.json. Where nobody knows the ids of its rows, no
    row stays there."""
    if not (folder.folder / lineage.RECORD).is_file():
        return
    content, known = lineage.stored(folder), ids is not None
    gone = ids or frozenset()
    lineage.leave_group(content, group)
    content["keys"] = {k: row for k, row in content["keys"].items() if known and row not in gone}
    for entry in content["made"]:
        if "images" in entry:
            entry["images"] = [o for o in entry["images"] if known and o["row"] not in gone]
        else:
            entry["name"] = lineage.without_words(entry["name"])
    for export in content["exports"]:
        export["rows"] = [row for row in export["rows"] if known and row not in gone]
    content["exports"] = [e for e in content["exports"] if Path(e["file"]).is_file()]
    write_json(folder.folder / lineage.RECORD, content)


def _begun(settings: Settings, rows: Rows, fusion: str) -> Settings:
    """The settings of the run with the new data. fusion: chosen again; '' = it stays."""
    data = replace(settings.data, fingerprint=rows.dataset.fingerprint, parts=rows.parts_key)
    if fusion:
        settings = replace(settings, fusion=Chosen(name=fusion))
    return replace(settings, data=data)


def _rekey(run: Run, stay: Sequence[str]) -> None:
    """Give the stages that stay the keys that they have in a run without the group."""
    keys = run.keys()
    for stage in stay:
        if stage in keys:
            path = run.folder.folder / stage / STAGE_RECORD
            write_json(path, read_json(path) | {"key": keys[stage]})


def _finding(plan: _Plan, folder: RunFolder) -> Finding:
    again = [s for s in plan.stages if s not in plan.stay and folder.has(s)]
    gone = [s for s in plan.stages if not folder.has(s)]
    lists = (("made again", again), ("stayed", plan.stay), ("removed, run its verb again", gone))
    said = [f"{what}: {', '.join(stages)}" for what, stages in lists if stages]
    return Finding(
        name="forgotten_rows",
        value=float(plan.rows) if plan.rows else None,
        note="; ".join([f"they were in the part {plan.part}", *said]),
        source="forget",
    )
