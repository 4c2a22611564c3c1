"""A saved run: a folder that others can use without the data. `save` writes it, `check` checks it.

Contents: encoders, alignment, predictor, the generator of the first seed, schema, settings,
findings, a model card, and the hash of every file. All are JSON, Markdown or safetensors (an index
has Lance's files). Rows, images, texts, row ids and paths are not in it.

It still reveals of the data: names of columns and classes, the categories of table columns, the
quantiles of numbers and dates (smallest and largest value included), the credit line, counts and
scores, a hash of the whole data set (it identifies a copy of the data), and whatever the weights
have memorised. With `index` also the ids and shared vectors of rows, and a vector reveals much of
its row.

What the manifest cannot show: who wrote it. It shows damage; a person who changes a file can change
its hash too.
"""

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
    file_hash,
    read_json,
    tree_hash,
    write_json,
    write_lines,
)
from gobelin.core.machine import environment
from gobelin.core.output import output_folder
from gobelin.core.stages import MANIFEST, RunFolder
from gobelin.data.provenance import read_lineage
from gobelin.embedding.index import INDEX_SUFFIXES
from gobelin.evidence.findings import Finding
from gobelin.networks.pipeline_folder import PICKLED
from gobelin.workbench import card
from gobelin.workbench.augment.generators import study_key, trained_weights, trainings_of
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained
from gobelin.workbench.run.settings import recorded
from gobelin.workbench.run.space import INDEX

SAVED_RUN_FORMAT = 1
CARD = "README.md"
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
    """Write the files that predicting and generating need into a new or empty folder, all at once.

    findings: of the run; those of an older generator are left out. index: adds the ids and shared
    vectors of rows. Raises GobelinError for a folder that is not empty, for a run whose predictor
    or generator was made with other settings, and where a file would hold a path of this machine.
    """
    source = run.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GobelinError(f"{folder}: exists and is not empty. Choose another folder.")
    if source.saved:
        with output_folder(folder) as temporary:
            for name in [*check(source.folder), MANIFEST]:
                _copy(source.folder / name, temporary / name)
        return
    stages = _stages(run)
    trained = run.generator.sampler(0) if run.generator.stage(0) in stages else None
    current = _current(run, trained)
    saved = _without_places(run, [f for f in findings if f.source in current])
    with output_folder(folder) as temporary:
        for stage in stages:
            _copy_stage(source, stage, temporary)
        write_json(temporary / "settings.json", _settings(run))
        _copy(source.folder / "schema.json", temporary / "schema.json")
        write_lines(temporary / "findings.jsonl", [f.to_dict() for f in saved])
        if index:
            run.space.index.copy(temporary / INDEX)
        sampler = trained.sampler if trained else None
        page = card.render(run, folder.resolve().name, saved, sampler, index)
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
    """The names of the files of a saved run. The card may have been edited.

    Raises GobelinError for a folder without a complete manifest, for a file that is missing,
    changed or truncated, for a file of a stage that isn't listed, and for a file that is code or
    can hold code.
    """
    where = folder / MANIFEST
    try:
        manifest = read_json(where)
        version, files = (
            manifest["format"],
            {str(k): (str(v["sha256"]), int(v["bytes"])) for k, v in manifest["files"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GobelinError(
            f"{folder}: is no saved run, {MANIFEST} is missing or damaged ({error}). Save it again."
        ) from error
    if version != SAVED_RUN_FORMAT:
        raise GobelinError(
            f"{where}: has format {version}, this version reads {SAVED_RUN_FORMAT}. Save it again."
        )
    present = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    present = [
        name
        for name in present
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
    ]
    if bad := next((name for name in present if PurePosixPath(name).suffix.lower() in NEVER), None):
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
        (name for name in present if name.split("/")[0] in STAGES and name not in files), None
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
    """Send a saved run to OWNER/REPOSITORY on the hub: the manifest and its files; the address."""
    return hub.upload(
        folder, name, [*check(folder), MANIFEST], [f"{stage}/*" for stage in STAGES], private
    )


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a generator or of encoders without paths of this machine or downloads."""
    return {k: True if k == "local_only" else _placeless(v) for k, v in settings.items()}


def _placeless(value: object) -> object:
    """The value with every absolute path cut to its last name."""
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
    """The stages to save, with the first training of the generator if there is one.

    Raises GobelinError for a stage that was made with other settings.
    """
    stages, first = [], run.generator.stage(0)
    for stage, key in run.keys().items():
        if stage.startswith("generators/") and (stage != first or not run.folder.has(stage)):
            continue
        if not run.folder.has(stage, key):
            raise GobelinError(
                f"{run.folder.folder}: its {stage} was made with other settings. Run gobelin fit"
                " again."
            )
        stages.append(stage)
    return stages


def _current(run: Run, trained: Trained | None) -> set[str]:
    """The verbs whose findings concern the saved predictor and generator, not older ones."""
    folder, fitted = run.folder, run.predictor.fingerprint
    verbs = ("fit", "evaluate", "search")
    current = {verb for verb in verbs if folder.key(f"verbs/{verb}").startswith(fitted)}
    current.add("check")
    if trained is None:
        return current
    if all(training.stored for training in trainings_of(run)):  # saving trains nothing
        key = study_key(run, trained_weights(run))
        current |= {verb for verb in ("augment", "audit") if folder.has(f"verbs/{verb}", key)}
    if folder.has("verbs/generate"):  # its images name the weights that they come from
        sheet = read_json(folder.checked("verbs/generate") / "contact_sheet.json")
        images = [folder.folder / image for group in sheet["groups"] for image in group["images"]]
        try:
            lineage = (read_lineage(images[0]) if images else None) or {}
        except OSError:  # an image is missing or damaged: unknown
            lineage = {}
        if lineage.get("weights") == trained.sampler.fingerprint()[:16]:
            current.add("generate")
    return current


def _without_places(run: Run, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, without notes that name rows or paths."""
    places = _places(run)

    def hidden(finding: Finding) -> bool:
        return finding.name == "cells_set_aside" or any(p.search(finding.note) for p in places)

    return [replace(f, note="") if hidden(f) else f for f in findings]


def _settings(run: Run) -> dict[str, Any]:
    settings = recorded(replace(run.settings, data=replace(run.settings.data, path="", root="")))
    settings["generator"]["settings"] = portable(settings["generator"]["settings"])
    settings["encoders"] = portable(settings["encoders"])
    return settings


def _copy_stage(run: RunFolder, stage: str, target: Path) -> None:
    source = run.checked(stage)
    # images are only shown, no other file needs them
    for path in sorted(p for p in source.rglob("*") if p.is_file() and p.suffix != ".png"):
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
            config = read_json(path)
            if isinstance(config, dict) and isinstance(config.get("settings"), dict):
                write_json(path, config | {"settings": portable(config["settings"])})
    marked = target / stage / "stage.json"
    write_json(marked, read_json(marked) | {"hash": tree_hash(target / stage)})


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _places(run: Run) -> list[re.Pattern[str]]:
    """Patterns of the paths of the data and of the run on this machine."""
    data = run.settings.data
    known = {
        path
        for path in (data.path, data.root, str(run.folder.folder.resolve()))
        if len(path) > 1 and Path(path).is_absolute()
    }
    return [re.compile(rf"(?<![\w/.]){re.escape(path)}(?!\w)") for path in sorted(known)]


def _refuse_paths(run: Run, folder: Path) -> None:
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", ".md")):
        text = path.read_text(encoding="utf-8")
        if any(place.search(text) for place in _places(run)):
            name = path.relative_to(folder).as_posix()
            raise GobelinError(
                f"save: {name} would hold the path of the data on this machine. Take that path out"
                " of the settings."
            )
