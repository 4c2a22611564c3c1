"""A finished run as a folder that somebody else can use without the data: written by `save`, looked
over by `check`.

In it: encoders, alignment, predictor, the generator of the first seed, schema and settings, what
was found, a model card, and the hash of every file; JSON and safetensors alone (an index: Lance's
files). Not in it: rows, images, texts, row ids, paths.

What still tells about the data: names of columns and classes, the categories of table columns and
the quantiles of numbers and dates (smallest and largest value included), the credit line, counts
and scores, a hash of the whole data set (whoever has it can see that it was this one), and whatever
the weights have memorised. With `index`, the rows' ids and their shared vectors too, and a vector
tells much of its row.

What the manifest cannot show: who wrote it. It guards against damage; whoever changes a file can
change its hash as well."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from gobelin.core import hub
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    atomic_folder,
    file_hash,
    read_json,
    tree_hash,
    write_json,
    write_lines,
)
from gobelin.core.machine import environment
from gobelin.core.stages import MANIFEST, RunFolder
from gobelin.data.provenance import read_lineage
from gobelin.embedding.index import INDEX_SUFFIXES
from gobelin.evidence.findings import Finding
from gobelin.networks.pipeline_folder import PICKLED
from gobelin.workbench import card
from gobelin.workbench.augment.generators import study_key, trainings_of
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained
from gobelin.workbench.run.settings import recorded
from gobelin.workbench.run.space import INDEX

SAVED_RUN_FORMAT, CARD = 1, "README.md"
SAVED_SUFFIXES = (
    ".json",
    ".jsonl",
    ".safetensors",
    ".md",
    ".png",
)  # all that a saved run consists of
PATTERNS = [
    *(f"*{suffix}" for suffix in SAVED_SUFFIXES),
    *(f"{INDEX}/*{suffix}" for suffix in INDEX_SUFFIXES),
]
NEVER = (
    *PICKLED,
    ".joblib",
    ".npy",
    ".npz",
    ".py",
    ".pyc",
    ".so",
    ".pyd",
    ".dll",
)  # code, or what can hold code
STAGES = ("encoders", "tuned", "alignment", "model", "generators", INDEX)
NEEDED = {"settings.json", "schema.json", "alignment/stage.json", "model/stage.json"}


def save(run: Run, findings: Sequence[Finding], folder: Path, index: bool = False) -> None:
    """Write what predicting and generating need into a new or empty folder, all at once.

    findings: of the run; those of an older generator are left out. index: the rows' ids and shared
    vectors too. Raises a GobelinError for a folder that is there and not empty, for a run whose
    predictor or generator isn't that of its settings, and where a path of this machine would be in
    a file."""
    source = run.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GobelinError(f"{folder}: is there already, and isn't empty. Choose another folder.")
    if source.saved:
        with atomic_folder(folder) as temporary:
            for name in [*check(source.folder), MANIFEST]:
                _copy(source.folder / name, temporary / name)
        return
    stages = _stages(run)
    trained = run.generator.sampler(0) if run.generator.stage(0) in stages else None
    current = _current(run, trained)
    kept = _without_places(run, [one for one in findings if one.source in current])
    with atomic_folder(folder) as temporary:
        for stage in stages:
            _copy_stage(source, stage, temporary)
        write_json(temporary / "settings.json", _settings(run))
        _copy(source.folder / "schema.json", temporary / "schema.json")
        write_lines(temporary / "findings.jsonl", [one.to_dict() for one in kept])
        if index:
            run.space.index.copy(temporary / INDEX)
        sampler = trained.sampler if trained else None
        page = card.render(run, folder.resolve().name, kept, sampler, index)
        (temporary / CARD).write_text(page, encoding="utf-8")
        _refuse_paths(run, temporary)
        files = {
            p.relative_to(temporary).as_posix(): p
            for p in sorted(temporary.rglob("*"))
            if p.is_file()
        }
        listed = {
            name: {"sha256": file_hash(path), "bytes": path.stat().st_size}
            for name, path in files.items()
        }
        write_json(
            temporary / MANIFEST,
            {"format": SAVED_RUN_FORMAT, "made with": environment()["versions"], "files": listed},
        )


def check(folder: Path) -> list[str]:
    """The files of a saved run, none changed since; a card that somebody edited is let pass.

    Raises a GobelinError of one line for a folder without a (whole) manifest, a file that is
    missing, changed or truncated, a file of a stage that isn't listed, and for anything that is
    code or can hold code."""
    where = folder / MANIFEST
    try:
        said = read_json(where)
        version, files = (
            said["format"],
            {str(k): (str(v["sha256"]), int(v["bytes"])) for k, v in said["files"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GobelinError(
            f"{folder}: is no saved run, {MANIFEST} is missing or damaged ({error}). Save it again."
        ) from error
    if version != SAVED_RUN_FORMAT:
        raise GobelinError(
            f"{where}: has format {version}, this version reads {SAVED_RUN_FORMAT}. Save it again."
        )
    there = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    there = [
        name
        for name in there
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
    ]
    if bad := next((name for name in there if PurePosixPath(name).suffix.lower() in NEVER), None):
        raise GobelinError(
            f"{folder}: holds {bad}, which is code or can hold code. Use a saved run without it."
        )
    for name in [*files, *sorted(NEEDED - set(files))]:
        path = PurePosixPath(name)
        known = INDEX_SUFFIXES if path.parts[0] == INDEX else SAVED_SUFFIXES
        if path.is_absolute() or ".." in path.parts or "\\" in name or path.suffix not in known:
            raise GobelinError(
                f"{where}: lists {name!r}, which is no part of a saved run. Save it again."
            )
        if name not in files or not (folder / name).is_file():
            raise GobelinError(f"{folder / name}: is missing. Save or download it again.")
    if stray := next(
        (name for name in there if name.split("/")[0] in STAGES and name not in files), None
    ):
        raise GobelinError(
            f"{folder / stray}: isn't listed in {MANIFEST}. Remove it, or save the run again."
        )
    for name, (digest, size) in files.items():
        if name != CARD and (
            (folder / name).stat().st_size != size or file_hash(folder / name) != digest
        ):
            raise GobelinError(
                f"{folder / name}: was changed or truncated since it was saved. Save or download it"
                " again."
            )
    return list(files)


def push(folder: Path, name: str, private: bool) -> str:
    """Send a saved run to OWNER/REPOSITORY on the hub: the files of its manifest, and that; its
    address there."""
    return hub.upload(
        folder, name, [*check(folder), MANIFEST], [f"{stage}/*" for stage in STAGES], private
    )


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a generator or of encoders without where their files are on this machine, and
    without leave to download."""
    return {k: True if k == "local_only" else _placeless(v) for k, v in settings.items()}


def _placeless(value: object) -> object:
    """The last name of every absolute path."""
    if isinstance(value, Mapping):
        return portable(value)
    if isinstance(value, list | tuple):
        return [_placeless(v) for v in value]
    if isinstance(value, str) and (
        value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute()
    ):
        return PureWindowsPath(value).name
    return value


def _stages(run: Run) -> list[str]:
    """The stages to save, the first training of the generator among them if it is there. An error
    for one that was made from other settings."""
    stages, first = [], run.generator.stage(0)
    for stage, key in run.keys().items():
        if stage.startswith("generators/") and (stage != first or not run.folder.has(stage)):
            continue
        if not run.folder.has(stage, key):
            raise GobelinError(
                f"{run.folder.folder}: its {stage} isn't that of these settings. Run gobelin fit"
                " again."
            )
        stages.append(stage)
    return stages


def _current(run: Run, trained: Trained | None) -> set[str]:
    """The verbs whose findings are about what is saved, and not about an older predictor or another
    generator."""
    folder, fitted = run.folder, run.predictor.fingerprint
    verbs = ("fit", "evaluate", "search")
    current = {verb for verb in verbs if folder.key(f"verbs/{verb}").startswith(fitted)}
    current.add("check")
    if trained is None:
        return current
    if all(folder.has(stage, key) for stage, key in run.keys().items()):
        key = study_key(run, trainings_of(run))
        current |= {verb for verb in ("augment", "audit") if folder.has(f"verbs/{verb}", key)}
    if folder.has("verbs/generate"):  # its images say by which weights they were made
        sheet = read_json(folder.checked("verbs/generate") / "contact_sheet.json")
        images = [folder.folder / image for group in sheet["groups"] for image in group["images"]]
        try:
            lineage = (read_lineage(images[0]) if images else None) or {}
        except OSError:  # gone or damaged: then nobody can tell
            lineage = {}
        if lineage.get("weights") == trained.sampler.fingerprint()[:16]:
            current.add("generate")
    return current


def _without_places(run: Run, findings: Sequence[Finding]) -> list[Finding]:
    """The findings without notes that name rows or places."""
    places = _places(run)

    def hidden(finding: Finding) -> bool:
        return finding.name == "cells_set_aside" or any(p.search(finding.note) for p in places)

    return [replace(f, note="") if hidden(f) else f for f in findings]


def _settings(run: Run) -> dict[str, Any]:
    said = recorded(replace(run.settings, data=replace(run.settings.data, path="", root="")))
    said["generator"]["settings"] = portable(said["generator"]["settings"])
    said["encoders"] = portable(said["encoders"])
    return said


def _copy_stage(run: RunFolder, stage: str, target: Path) -> None:
    source = run.checked(stage)
    for path in sorted(
        p for p in source.rglob("*") if p.is_file() and p.suffix != ".png"
    ):  # of pictures nothing depends
        if path.suffix == ".skops":
            raise GobelinError(
                f"{path}: scikit-learn's estimators may hold training rows. Fit with another"
                " --fusion to save."
            )
        if path.suffix not in SAVED_SUFFIXES:
            raise GobelinError(
                f"{path}: is neither JSON nor safetensors, and can't be saved. Leave {stage} out."
            )
        _copy(path, target / stage / path.relative_to(source))
    if stage.startswith(("generators/", "encoders/")):
        for path in (target / stage).glob("*.json"):
            said = read_json(path)
            if isinstance(said, dict) and isinstance(said.get("settings"), dict):
                write_json(path, said | {"settings": portable(said["settings"])})
    marked = target / stage / "stage.json"
    write_json(marked, read_json(marked) | {"hash": tree_hash(target / stage)})


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _places(run: Run) -> list[re.Pattern[str]]:
    """Where this machine keeps the data and the run, as they would stand in a text."""
    data = run.settings.data
    known = {
        one
        for one in (data.path, data.root, str(run.folder.folder.resolve()))
        if len(one) > 1 and Path(one).is_absolute()
    }
    return [re.compile(rf"(?<![\w/.]){re.escape(one)}(?!\w)") for one in sorted(known)]


def _refuse_paths(run: Run, folder: Path) -> None:
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", ".md")):
        text = path.read_text(encoding="utf-8")
        if any(place.search(text) for place in _places(run)):
            name = path.relative_to(folder).as_posix()
            raise GobelinError(
                f"save: {name} would tell where the data lie here. Take that path out of the"
                " settings."
            )
