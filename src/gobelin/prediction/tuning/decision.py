"""Encoders trained on, kept only where training rows held back gain.

Every fifth group of training rows teaches nothing: it stops the training early, and at the end both
kinds of encoders are judged on it by the linear fusion, cross-fitted on their features. Training on
is kept where the right answer gets more of the calibrated probability by more than noise (lower
bound of the paired interval above 0) and no fewer rows are read right. In a small set hits alone
would show hardly any gain; and where nothing is shown the encoders stay as they came: their
features have seen no label, so everything after them is the more honest. Where it is kept, the rows
held back alone calibrate what is fitted on the features. Only the rows given here are seen, which
are labelled training rows.

What it cannot show: the rows held back chose the moment to stop as well, so the gain is a little
too high."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from torch import Tensor, nn

from gobelin.core import catalog, weights
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import (
    file_name,
    fingerprint,
    read_json,
    read_lines,
    write_json,
    write_lines,
)
from gobelin.core.machine import derived_seed
from gobelin.data.fields import Cell
from gobelin.embedding.encoders import FittedEncoder, Tunable
from gobelin.embedding.features import Reader
from gobelin.evidence import comparison
from gobelin.evidence.findings import Finding
from gobelin.networks import low_rank
from gobelin.networks import training as train
from gobelin.networks.watching import Watch
from gobelin.prediction import fusion_choice
from gobelin.prediction.calibration import temperature
from gobelin.prediction.cross_fit import (
    LEAST_ROWS,
    CrossFit,
    Training,
    balanced,
    cross_fit,
    folds_of,
)
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.neural import NeuralPredictor
from gobelin.prediction.tuning.tuner import Material, Tune, Tuning

FORMAT, SOURCE = 1, "fit"
LOOKS, PATIENCE = 10, 4  # at held-back rows, and looks without a gain before the training stops


class Tuned:
    """An encoder that was trained on: another name and other weights, the rest as it was."""

    def __init__(self, encoder: Tunable) -> None:
        self.encoder, self.width = encoder, encoder.width
        self.name = fingerprint("tuned", encoder.fingerprint(), weights.fingerprint(encoder.module))

    @property
    def module(self) -> nn.Module:
        return self.encoder.module

    def key(self, cell: Cell, root: Path) -> bytes:
        return self.encoder.key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[Any, str]:
        return self.encoder.decode(cell, root)

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return self.encoder.embed(batch)

    def forward(self, batch: Sequence[Any]) -> Tensor:
        return self.encoder.forward(batch)

    def fingerprint(self) -> str:
        return self.name

    def save(self, folder: Path) -> None:
        """The weights alone; the rest lies where the encoder was saved as it came."""
        weights.save(folder, {}, self.module, FORMAT)


def save(folder: Path, encoders: Mapping[str, Tuned], findings: Sequence[Finding]) -> None:
    """What `tuned` gives, as a stage of a run."""
    for name, encoder in encoders.items():
        encoder.save(folder / file_name(name))
    write_lines(folder / "findings.jsonl", [one.to_dict() for one in findings])


def said(folder: Path) -> list[Finding]:
    """The findings that `save` wrote; none where nothing was."""
    return [Finding.from_dict(row) for row in read_lines(folder / "findings.jsonl")]


def loaded(reader: Reader, folder: Path) -> Reader:
    """The reader with the encoders that were trained on and kept in `folder`; itself where none
    were."""
    found: dict[str, FittedEncoder] = {}
    for name, encoder in reader.encoders.items():
        place = folder / file_name(name)
        if place.is_dir() and isinstance(encoder, Tunable):
            own = copy.deepcopy(encoder)
            weights.fill(place, weights.config_of(place, FORMAT), own.module)
            found[name] = Tuned(own)
    return replace(reader, encoders={**reader.encoders, **found}) if found else reader


def check(settings: Tune, reader: Reader, used: Collection[str]) -> None:
    """Every field must be there, be used in prediction, and have an encoder that can be trained.
    used: those of prediction."""
    able = [
        name
        for name, encoder in reader.encoders.items()
        if isinstance(encoder, Tunable) and name in used
    ]
    for name in settings.fields:
        if name not in reader.encoders:
            raise GobelinError(f"tune.fields: no field {name!r}.{nearest(name, reader.encoders)}")
        if name not in able:
            why = (
                "is left out of prediction"
                if name not in used
                else (
                    f"is read by {reader.schema.field(name).encoder}, which has no network to train"
                )
            )
            raise GobelinError(
                f"tune.fields: {name!r} {why}. Can be tuned here: {', '.join(able) or 'none'}."
            )


def held_back(settings: Tune, training: Training) -> np.ndarray:
    """bool [n]: the rows of `training` that only judge: whole groups, classes spread evenly. A
    function of rows and seed."""
    seed = derived_seed(training.runtime.seed, "held back")
    folds = round(1 / settings.held_back)
    return folds_of(training.target, training.rows, training.groups, folds, seed) == 0


def tuned(
    settings: Tune, material: Material, work: Path | None, key: str = ""
) -> tuple[dict[str, Tuned], list[Finding]]:
    """The encoders that were trained on, none where that was not kept, and what was found. work,
    key: as in `trained`."""
    found, kept, findings = trained(settings, material, work, key)
    return (found if kept else {}), findings


def trained(
    settings: Tune, material: Material, work: Path | None, key: str = ""
) -> tuple[dict[str, Tuned], bool, list[Finding]]:
    """The encoders that were trained on, whether they are worth keeping, and what was found.

    work: where the training leaves its checkpoints. key: names data and settings, for those."""
    training = material.training
    held = held_back(settings, training)
    _enough(held, training)
    encoders = {name: _untouched(material.reader, name) for name in settings.fields}
    start = _start(training, held)
    task = Tuning(settings, material, encoders, start, held)
    steps = settings.steps or _steps(settings, material, start, held, work, key)
    marks = {steps * k // LOOKS: False for k in range(1, LOOKS + 1) if steps * k // LOOKS}
    watch = Watch("tune", marks, None, PATIENCE, task.held_out, _nothing)
    names = ", ".join(settings.fields)
    outcome = train.run(
        task,
        task.batch,
        _loop(steps, training.runtime.seed),
        work,
        key,
        training.progress,
        f"tune {names}",
        watch,
    )
    for name, module in task.modules.items():
        module.load_state_dict(outcome.averages[name])
    for encoder in encoders.values():
        low_rank.merge(encoder.module)
        encoder.module.requires_grad_(True)
    found = {name: Tuned(encoder) for name, encoder in encoders.items()}
    note = (
        f"{settings.how}, step {outcome.best_step} of {steps}; {int(held.sum())} training rows held"
        " back"
    )
    kept, findings = _judged(settings, material, found, held, note)
    return found, kept, findings


def steps_of(settings: Tune, material: Material, work: Path | None, key: str = "") -> int:
    """How many steps the minutes of the settings are on this machine, measured once for a key."""
    held = held_back(settings, material.training)
    _enough(held, material.training)
    return settings.steps or _steps(
        settings, material, _start(material.training, held), held, work, key
    )


def _untouched(reader: Reader, name: str) -> Tunable:
    """A copy of a field's encoder, so that the one that came stays as it is."""
    encoder = reader.encoders[name]
    assert isinstance(encoder, Tunable)  # `check` said so
    return copy.deepcopy(encoder)


def _enough(held: np.ndarray, training: Training) -> None:
    """Refuse what could not be judged, before any work."""
    units = {str(training.groups[r]) for r in training.rows[held]}
    taught = int((~held).sum())
    label = training.target.values[training.rows[held]]
    if training.target.kind not in ("class", "number"):
        raise GobelinError(
            f"tune: learns classes and numbers, the target is {training.target.kind}. Leave"
            " tune.fields out."
        )
    pairs = (
        len(label) > 1 if training.target.kind == "number" else bool((np.bincount(label) > 1).any())
    )
    if taught < LEAST_ROWS or len(units) < 2 or not pairs:
        raise GobelinError(
            f"tune: {taught} training rows to learn from and {int(held.sum())} to judge by,"
            f" {LEAST_ROWS} and two of one class at least are needed. Add labels, or leave"
            " tune.fields out."
        )


def _start(training: Training, held: np.ndarray) -> NeuralPredictor:
    """The linear fusion of the features as they came, of the rows that are learned from."""
    rows = training.rows[~held]
    share = balanced(training.target, rows, training.weights[rows], training.settings.balance)
    fusion, job = catalog.build("fusion", "concat"), Job(rows, share, training.runtime.seed)
    found = fusion.fit(
        training.embeddings, training.target, [job], rows, training.runtime, training.progress
    )[0]
    assert isinstance(found, NeuralPredictor)
    return found


def _loop(steps: int, seed: int) -> train.TrainingSettings:
    return train.TrainingSettings(
        steps, seed, ("encoders", "head"), clip=1.0, warmup=max(1, steps // 20), cooldown=0.5
    )


def _steps(
    settings: Tune,
    material: Material,
    start: NeuralPredictor,
    held: np.ndarray,
    work: Path | None,
    key: str,
) -> int:
    """Minutes as steps, measured once: a run that was killed goes on with the same count."""
    note = work / "steps.json" if work else None
    if note and note.is_file() and (said := read_json(note))["key"] == key:
        return int(said["steps"])
    spent = Tuning(
        settings,
        material,
        {f: _untouched(material.reader, f) for f in settings.fields},
        start,
        held,
    )
    steps = train.steps_in(spent, spent.batch, settings.minutes, material.training.runtime)
    if note:
        write_json(note, {"key": key, "steps": steps})
    return steps


def _nothing() -> np.ndarray:
    return np.zeros((0, 1, 1, 1), np.uint8)  # no look paints


def _judged(
    settings: Tune, material: Material, found: Mapping[str, Tuned], held: np.ndarray, note: str
) -> tuple[bool, list[Finding]]:
    """Whether training on is kept, and both kinds of encoders on the rows held back."""
    training, reader = material.training, material.reader
    plain = replace(training, unseen=training.rows[held])
    features = (
        replace(reader, encoders=dict(found)).embed(material.dataset, training.progress).features
    )
    changed = replace(plain.embeddings, features={**plain.embeddings.features, **features})
    fusion = catalog.build("fusion", "concat")
    fits = [cross_fit(fusion, plain), cross_fit(fusion, replace(plain, embeddings=changed))]
    target, rows, scope = training.target, fits[0].rows, {"fields": " + ".join(settings.fields)}
    units = [training.groups[r] for r in rows]
    before, after = (fusion_choice.right_of(fit, target) for fit in fits)
    number = target.kind == "number"
    gain = fusion_choice.paired(before, after, target, rows, units)
    sure = (
        gain
        if number
        else comparison.compare(
            _sure(fits[0], training), _sure(fits[1], training), target.values[rows], units
        )
    )
    kept = sure.low > 0 and gain.value >= 0
    said = (
        "tuning was kept"
        if kept
        else "tuning was not kept, the encoders stay as they came: no gain above noise"
    )
    findings = [
        fusion_choice.own_score(hits, target, rows, units).finding(
            name,
            scope=scope,
            better="lower" if number else "higher",
            unit="" if number else "share",
            note=f"{'mean absolute error' if number else 'balanced accuracy'}; {note}",
            source=SOURCE,
        )
        for name, hits in (("score_frozen", before), ("score_tuned", after))
    ]
    verdict = "kept" if kept else "not kept"
    gains = (
        [("tuning_gain", gain)]
        if number
        else [("tuning_gain", gain), ("tuning_gain_in_probability", sure)]
    )
    for name, one in gains:
        finding = one.finding(
            "tuned", "frozen", verdict=verdict if one is sure else "", source=SOURCE
        )
        findings.append(
            replace(
                finding, name=name, scope=scope, note=said if one is sure else "", needed_n=None
            )
        )
    return kept, findings


def _sure(fit: CrossFit, training: Training) -> np.ndarray:
    """float64 [n]: the calibrated probability of the right class."""
    truth = training.target.values[fit.rows]
    return softmax(fit.scores / temperature(fit.scores, truth, fit.share), axis=1)[
        np.arange(len(truth)), truth
    ]
