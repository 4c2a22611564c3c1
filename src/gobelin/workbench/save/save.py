"""The verb `save`: a folder that others can use without the data. `saved_run` checks it.

Contents: encoders, alignment, predictor, the generator of the first seed, schema, settings,
findings, a model card, and the hash of every file. All are JSON, Markdown or safetensors (an index
has Lance's files). Rows, images, texts, row ids and paths are not in it. Of the two predictors of
a run (`run.delivered`) it holds the delivered one, as the stage `model`.

`disclosure` lists what it promises not to tell and what it still reveals; besides that the credit
line and scores. The hash of the whole data set identifies a copy of the data. With `index` also the
ids and shared vectors of rows are in it, and a vector reveals much of its row.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gobelin.core import catalog, hub
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    MANIFEST,
    STAGE_RECORD,
    file_hash,
    read_json,
    read_lines,
    tree_hash,
    write_json,
    write_lines,
)
from gobelin.core.machine import environment
from gobelin.core.shell import shell_word
from gobelin.core.stages import WRONG_VALUES, RunFolder
from gobelin.core.stored_settings import portable
from gobelin.data.provenance.marks import read_lineage
from gobelin.embedding.columns import schema
from gobelin.evidence.findings import Finding
from gobelin.prediction.predictor import told
from gobelin.report.pictures import inside
from gobelin.workbench.augment.generators import study_key, trained_weights, trainings_of
from gobelin.workbench.export_folder import new_folder, refuse_used_folder
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.delivered import STAGE as DELIVERED
from gobelin.workbench.run.generator import Trained
from gobelin.workbench.run.row_index import INDEX
from gobelin.workbench.run.settings import recorded
from gobelin.workbench.save import card, disclosure, rare_answers
from gobelin.workbench.save.places import Places, names_of
from gobelin.workbench.save.saved_run import (
    CARD,
    SAVED_RUN_FORMAT,
    SAVED_SUFFIXES,
    STAGES,
    check,
)

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def save(run: Run, findings: Sequence[Finding], folder: Path, index: bool = False) -> None:
    """Write the files that predicting and generating need into a new or empty folder, all at once.

    findings: of the run; those of an older generator are left out. index: adds the ids and shared
    vectors of rows. Raises GobelinError for a folder that is not empty, for a run whose predictor
    or generator was made with other settings, for a saved run with an index where none is asked
    for, and where a file would hold a path of this machine.
    """
    source = run.folder
    if source.saved:
        _refuse_index(source, index)
        with new_folder(folder, MANIFEST, "") as temporary:
            for name in [*check(source.folder), MANIFEST]:
                _copy(source.folder / name, temporary / name)
        return
    refuse_used_folder(folder, MANIFEST, "")
    disclosure.refuse(source)
    least = disclosure.least_groups(source) or 1
    rare = rare_answers.of_run(run, least)
    if rare:
        LOG.warning("save: %s %s", rare, rare_answers.REMEDY)
    _ = run.space.alignment  # a saved run has one
    stages = _stages(run)
    trained = run.generator.sampler(0) if run.generator.stage(0) in stages else None
    current = _current(run, trained)
    places = Places(recorded(run.settings), source.folder)
    saved = disclosure.told([f for f in findings if f.source in current], least)
    with new_folder(folder, MANIFEST, "") as temporary:
        for stage in stages:
            _copy_stage(run, stage, temporary, places)
        write_json(temporary / "settings.json", _settings(run))
        write_json(temporary / "schema.json", schema.described(run.data.schema.without_cells()))
        write_lines(temporary / "findings.jsonl", [f.to_dict() for f in saved])
        if index:
            run.space.index.copy(temporary / INDEX)
        sampler = trained.sampler if trained else None
        page = card.render(run, folder.resolve().name, saved, sampler, index, rare)
        (temporary / CARD).write_text(page, encoding="utf-8")
        _refuse_paths(places, temporary)
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


def pushed(
    saved: Callable[[Path, bool], Path], folder: RunFolder, repo: str, private: bool, index: bool
) -> str:
    """Send a run to the hub; its address. saved: saves it in a folder, with the index or not."""
    hub.refuse_other_names(repo)
    if folder.saved:
        _refuse_index(folder, index)
        return push(folder.folder, repo, private)
    with tempfile.TemporaryDirectory() as parent:
        return push(saved(Path(parent) / repo.split("/")[-1], index), repo, private)


def push(folder: Path, name: str, private: bool) -> str:
    """Send a saved run to OWNER/REPOSITORY on the hub: the manifest and its files; the address."""
    return hub.upload(
        folder, name, [*check(folder), MANIFEST], [f"{stage}/*" for stage in STAGES], private
    )


def card_of(folder: RunFolder) -> str:
    """The model card of a saved run. Raises GobelinError for any other run."""
    if not folder.saved:
        raise GobelinError(
            f"{folder.folder}: is no saved run and has no card. Run gobelin save"
            f" {shell_word(str(folder.folder))} FOLDER."
        )
    return (folder.folder / CARD).read_text(encoding="utf-8")


def _stages(run: Run) -> list[str]:
    """The stages to save, with the first training of the generator if there is one.

    Raises GobelinError for a stage that was made with other settings.
    """
    stages, first = [], run.generator.stage(0)
    for stage, key in run.keys().items():
        if stage.startswith("generators/") and (stage != first or not run.folder.has(stage)):
            continue
        if stage == first and getattr(
            catalog.find("generators", run.settings.generator.name), "keeps_images", False
        ):
            raise GobelinError(
                f"{run.folder.folder}: {run.settings.generator.name} keeps images as they are,"
                " which may be training rows. Choose another --generator to save."
            )
        delivered = _source(run, stage) != stage
        if not run.folder.has(_source(run, stage), run.delivered.key if delivered else key):
            raise GobelinError(
                f"{run.folder.folder}: its {stage} was made with other settings. Run gobelin fit"
                " again."
            )
        stages.append(stage)
    return stages


def _current(run: Run, trained: Trained | None) -> set[str]:
    """The verbs whose findings concern the saved predictor and generator, not older ones."""
    folder, predictor = run.folder, run.predictor
    keys = {verb: predictor.key_of(verb) for verb in ("fit", "evaluate")}
    keys["search"] = predictor.fingerprint
    current = {verb for verb, key in keys.items() if folder.key(f"verbs/{verb}").startswith(key)}
    current.add("check")
    if trained is None:
        return current
    if all(training.stored for training in trainings_of(run)):  # saving trains nothing
        key = study_key(run, trained_weights(run))
        current |= {verb for verb in ("augment", "audit") if folder.has(f"verbs/{verb}", key)}
    if folder.has("verbs/generate"):  # its images name the weights that they come from
        sheet = folder.checked("verbs/generate") / "contact_sheet.json"
        try:
            groups = read_json(sheet)["groups"]
            images = [image for group in groups for image in group["images"]]
            first = inside(folder.folder, images[0]) if images else None
            lineage = (read_lineage(first) if first else None) or {}
        except (OSError, *WRONG_VALUES):  # a file is missing or damaged: unknown
            lineage = {}
        if lineage.get("weights") == trained.sampler.fingerprint()[:16]:
            current.add("generate")
    return current


def _settings(run: Run) -> dict[str, Any]:
    data = replace(run.settings.data, path="", root="", parts="")
    split = replace(run.settings.split, parts_from="")
    nowhere = replace(run.settings, data=data, split=split)
    return portable(recorded(nowhere), names_of(run.data.schema))


def _source(run: Run, stage: str) -> str:
    """The stage of the run whose files are saved under this name."""
    return DELIVERED if stage == "model" and run.delivered.refitted else stage


def _copy_stage(run: Run, stage: str, target: Path, places: Places) -> None:
    """Copy the files of a stage, without paths in settings and rows in findings."""
    source, names = run.folder.checked(_source(run, stage)), names_of(run.data.schema)
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
        copied = target / stage / path.relative_to(source)
        _copy(path, copied)
        if path.name == "findings.jsonl":
            found = [Finding.from_dict(row) for row in read_lines(path)]
            told_findings = disclosure.told(found, disclosure.least_groups(run.folder) or 1)
            write_lines(copied, [f.to_dict() for f in told_findings])
        elif path.suffix == ".json":
            content = read_json(path)
            if (stage, path.name) == ("model", "model.json") and disclosure.least_groups(
                run.folder
            ) != 1:
                content = told(content)
            write_json(copied, places.cut(content, names))
    marked = target / stage / STAGE_RECORD
    record = {k: v for k, v in read_json(marked).items() if k != "files"}  # times of this machine
    write_json(marked, record | {"hash": tree_hash(target / stage)})


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _refuse_index(folder: RunFolder, index: bool) -> None:
    """Raises GobelinError for a saved run that holds ids of rows, which nobody asked for."""
    if not index and (folder.folder / INDEX).exists():
        raise GobelinError(
            f"{folder.folder}: holds the ids of its rows and their vectors. Add --index to hand"
            " them on too, or save the run that it comes from anew."
        )


def _refuse_paths(places: Places, folder: Path) -> None:
    """Raises GobelinError where a saved file names a path of this machine."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix in SAVED_SUFFIXES):
        if places.found(path):
            name = path.relative_to(folder).as_posix()
            raise GobelinError(
                f"save: {name} would hold the path of the data on this machine. Take that path out"
                " of the settings."
            )
