"""Tuned encoders, and whether they are used: only where held-back training rows gain.

A share of the groups of training rows is held back. These rows stop the training early. At the end
they judge the frozen and the tuned encoders: the linear fusion is cross-fitted on the features of
each. The tuned encoders are used where two things hold: the calibrated probability of the right
answer is larger by more than noise (lower bound of the paired interval above 0), and no fewer rows
are right. In a small dataset the count of right rows alone would hardly show any gain. Without a
gain the frozen encoders stay: their features depend on no label, which makes all later figures more
trustworthy. Where tuned encoders are used, the held-back rows alone calibrate the predictor. Only
labelled training rows are given to this module.

What it cannot show: the held-back rows also chose when to stop, so the gain is a little too high.
"""

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
    read_lines,
    write_lines,
)
from gobelin.core.machine import derived_seed
from gobelin.data.fields import Cell
from gobelin.embedding.encoders import FittedEncoder, Tunable
from gobelin.embedding.features import Embedder
from gobelin.evidence import comparison
from gobelin.evidence.findings import Finding
from gobelin.networks.pipelines import low_rank
from gobelin.networks.training import training
from gobelin.networks.training.limit import Pilot, steps_within
from gobelin.networks.training.watching import Watch
from gobelin.prediction import fusion_choice
from gobelin.prediction.cross_fit import (
    LEAST_LABELLED_ROWS,
    CrossFit,
    Training,
    balanced,
    cross_fit,
    folds_of,
)
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.neural import NeuralPredictor
from gobelin.prediction.temperatures import temperature
from gobelin.prediction.tuning.settings import Tune
from gobelin.prediction.tuning.tuner import Tuning, TuningData

TUNED_FORMAT = 1  # of the saved weights; another one is refused
# Steps by default: each row is seen about PASSES times, between bounds. A pretrained network needs
# few, and the held-back rows end it.
PASSES, FEWEST_STEPS, MOST_STEPS = 10, 100, 2000
LEAST_STEPS = 20  # with fewer, a check comes after one step or none and the rate hardly rises
CHECKS = 10  # of the held-back loss, spread evenly over the steps
CHECKS_BEFORE_STOP = 4  # without a smaller loss; then training stops


class Tuned:
    """A tuned encoder: it has other weights and another fingerprint, the rest is unchanged."""

    def __init__(self, encoder: Tunable) -> None:
        self.encoder, self.width = encoder, encoder.width
        self._fingerprint = fingerprint(
            "tuned", encoder.fingerprint(), weights.fingerprint(encoder.module)
        )

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
        return self._fingerprint

    def save(self, folder: Path) -> None:
        """The weights alone; the rest is in the folder of the frozen encoder."""
        weights.save(folder, {}, self.module, TUNED_FORMAT)


def save(folder: Path, encoders: Mapping[str, Tuned], findings: Sequence[Finding]) -> None:
    """Write the result of `tuned`. encoders: {field: its tuned encoder}."""
    for name, encoder in encoders.items():
        encoder.save(folder / file_name(name))
    write_lines(folder / "findings.jsonl", [finding.to_dict() for finding in findings])


def stored_findings(folder: Path) -> list[Finding]:
    """The findings that `save` wrote; none where there are none."""
    return [Finding.from_dict(row) for row in read_lines(folder / "findings.jsonl")]


def with_tuned_encoders(embedder: Embedder, folder: Path) -> Embedder:
    """The embedder with the tuned encoders that `folder` holds; the same object where it holds
    none."""
    tuned_encoders: dict[str, FittedEncoder] = {}
    for name, encoder in embedder.encoders.items():
        encoder_folder = folder / file_name(name)
        if encoder_folder.is_dir() and isinstance(encoder, Tunable):
            copied = copy.deepcopy(encoder)
            config = weights.config_of(encoder_folder, TUNED_FORMAT)
            weights.fill(encoder_folder, config, copied.module)
            tuned_encoders[name] = Tuned(copied)
    if not tuned_encoders:
        return embedder
    return replace(embedder, encoders={**embedder.encoders, **tuned_encoders})


def check(settings: Tune, embedder: Embedder, used: Collection[str]) -> None:
    """Raises GobelinError where a field of `tune.fields` does not exist, is not used in prediction,
    or has an encoder without a network. used: the fields of prediction."""
    able = [
        name
        for name, encoder in embedder.encoders.items()
        if isinstance(encoder, Tunable) and name in used
    ]
    for name in settings.fields:
        if name not in embedder.encoders:
            raise GobelinError(f"tune.fields: no field {name!r}.{nearest(name, embedder.encoders)}")
        if name not in able:
            why = (
                "is left out of prediction"
                if name not in used
                else (
                    f"is read by {embedder.schema.field(name).encoder}, which has no network to"
                    " train"
                )
            )
            raise GobelinError(
                f"tune.fields: {name!r} {why}. Can be tuned here: {', '.join(able) or 'none'}."
            )


def held_back(settings: Tune, train_set: Training) -> np.ndarray:
    """bool [n]: the training rows that only judge: whole groups, classes spread evenly. It depends
    on the rows and the seed alone."""
    seed = derived_seed(train_set.runtime.seed, "held back")
    folds = round(1 / settings.held_back)
    return folds_of(train_set.target, train_set.rows, train_set.groups, folds, seed) == 0


def tuned(
    settings: Tune, data: TuningData, work: Path | None, key: str = ""
) -> tuple[dict[str, Tuned], list[Finding]]:
    """{field: its tuned encoder}, empty where the held-back rows don't gain, and findings. The
    arguments and errors are those of `trained`."""
    encoders, gains, findings = trained(settings, data, work, key)
    return (encoders if gains else {}), findings


def trained(
    settings: Tune, data: TuningData, work: Path | None, key: str = ""
) -> tuple[dict[str, Tuned], bool, list[Finding]]:
    """{field: its tuned encoder}, whether the held-back rows gain, and findings.

    work: folder for checkpoints of the training. key: hash of data and settings; a checkpoint of
    another key is not used. Raises GobelinError for too few rows or another kind of target than
    class or number."""
    settings = replace(settings, steps=steps_of(settings, data, work, key))
    return _run(settings, data, work, key)


def _run(
    settings: Tune, data: TuningData, work: Path | None, key: str, pilot: Pilot | None = None
) -> tuple[dict[str, Tuned], bool, list[Finding]]:
    """`trained`, with a count of steps."""
    train_set, steps = data.training, settings.steps
    held = held_back(settings, train_set)
    encoders = {name: _copy(data.embedder, name) for name in settings.fields}
    start = _linear_start(train_set, held)
    task = Tuning(settings, data, encoders, start, held)
    marks = {steps * k // CHECKS: False for k in range(1, CHECKS + 1) if steps * k // CHECKS}
    watch = Watch("tune", marks, None, CHECKS_BEFORE_STOP, task.held_back_loss, _no_images)
    outcome = training.run(
        task,
        task.batch,
        _loop(steps, train_set.runtime.seed),
        work,
        key,
        train_set.progress,
        f"tune {', '.join(settings.fields)}",
        watch,
        pilot,
    )
    for name, module in task.modules.items():
        module.load_state_dict(outcome.averages[name])
    for encoder in encoders.values():
        low_rank.merge(encoder.module)
        encoder.module.requires_grad_(True)
    tuned_encoders = {name: Tuned(encoder) for name, encoder in encoders.items()}
    note = (
        f"{settings.how}, step {outcome.best_step} of {steps}; {int(held.sum())} training rows held"
        " back"
    )
    if steps < LEAST_STEPS:
        note += f"; fewer than {LEAST_STEPS} steps say little about tuning"
    gains, findings = _judged(settings, data, tuned_encoders, held, note)
    return tuned_encoders, gains, findings


def planned_steps(settings: Tune, data: TuningData) -> int:
    """The count of training steps without a limit: `tune.steps`, or by the rows that are learned
    from. Raises GobelinError as `trained` does."""
    held = held_back(settings, data.training)
    _check_enough(held, data.training)
    by_rows = PASSES * int((~held).sum()) // settings.batch
    return settings.steps or max(FEWEST_STEPS, min(MOST_STEPS, by_rows))


def steps_of(settings: Tune, data: TuningData, work: Path | None, key: str = "") -> int:
    """The same; where `tune.minutes` limit a count that is not set, the first tenth of the training
    decides. key: of the training with the planned count."""
    planned = planned_steps(settings, data)
    if settings.steps or settings.minutes is None:
        return planned
    counted = replace(settings, steps=planned)
    return steps_within(
        settings.minutes, planned, lambda pilot: _run(counted, data, work, key, pilot)
    )


def _copy(embedder: Embedder, name: str) -> Tunable:
    """A copy of a field's encoder, so that the frozen one stays unchanged."""
    encoder = embedder.encoders[name]
    assert isinstance(encoder, Tunable)  # ensured by `check`
    return copy.deepcopy(encoder)


def _check_enough(held: np.ndarray, train_set: Training) -> None:
    """Refuses, before any work, a target that can't be learned here and rows that can't judge."""
    target, units = train_set.target, {str(train_set.groups[r]) for r in train_set.rows[held]}
    learned = int((~held).sum())
    label = target.values[train_set.rows[held]]
    if target.kind not in ("class", "number"):
        raise GobelinError(
            f"tune: learns classes and numbers, the target is {target.kind}. Leave tune.fields out."
        )
    pairs = len(label) > 1 if target.kind == "number" else bool((np.bincount(label) > 1).any())
    if learned < LEAST_LABELLED_ROWS or len(units) < 2 or not pairs:
        raise GobelinError(
            f"tune: {learned} training rows to learn from and {int(held.sum())} to judge by,"
            f" {LEAST_LABELLED_ROWS} and two of one class at least are needed. Add labels, or leave"
            " tune.fields out."
        )


def _linear_start(train_set: Training, held: np.ndarray) -> NeuralPredictor:
    """The linear fusion of the frozen features, fitted on the rows that are learned from."""
    rows = train_set.rows[~held]
    share = balanced(train_set.target, rows, train_set.weights[rows], train_set.settings.balanced)
    predictor = catalog.build("fusion", "concat").fit(
        train_set.embeddings,
        train_set.target,
        [Job(rows, share, train_set.runtime.seed)],
        rows,
        train_set.runtime,
        train_set.progress,
    )[0]
    assert isinstance(predictor, NeuralPredictor)
    return predictor


def _loop(steps: int, seed: int) -> training.TrainingSettings:
    return training.TrainingSettings(
        steps, seed, ("encoders", "head"), clip=1.0, warmup=max(1, steps // 20), cooldown=0.5
    )


def _no_images() -> np.ndarray:
    """uint8 [0, 1, 1, 1]: this training has no images to show."""
    return np.zeros((0, 1, 1, 1), np.uint8)


def _judged(
    settings: Tune, data: TuningData, encoders: Mapping[str, Tuned], held: np.ndarray, note: str
) -> tuple[bool, list[Finding]]:
    """Whether the held-back rows gain by the tuned encoders, and findings on frozen and tuned
    ones."""
    train_set = data.training
    target, number = train_set.target, train_set.target.kind == "number"
    # The scores of the held-back rows alone are compared.
    frozen = replace(train_set, unseen=train_set.rows[held])
    tuned_embedder = replace(data.embedder, encoders=dict(encoders))
    features = tuned_embedder.embed(data.dataset, train_set.progress).features
    embeddings = replace(frozen.embeddings, features={**frozen.embeddings.features, **features})
    fusion = catalog.build("fusion", "concat")
    frozen_fit = cross_fit(fusion, frozen)
    tuned_fit = cross_fit(fusion, replace(frozen, embeddings=embeddings))
    rows = frozen_fit.rows
    units = [train_set.groups[r] for r in rows]
    before, after = (fusion_choice.row_results(fit, target) for fit in (frozen_fit, tuned_fit))
    gain = fusion_choice.paired(before, after, target, rows, units)
    deciding = gain
    if not number:
        before_p, after_p = (_probability(fit, train_set) for fit in (frozen_fit, tuned_fit))
        deciding = comparison.compare(before_p, after_p, target.values[rows], units)
    gains = deciding.low > 0 and gain.value >= 0
    scope = {"fields": " + ".join(settings.fields)}
    findings = [
        fusion_choice.score_interval(results, target, rows, units).finding(
            name,
            scope=scope,
            better="lower" if number else "higher",
            unit="" if number else "share",
            note=f"{'mean absolute error' if number else 'balanced accuracy'}; {note}",
            source="fit",
        )
        for name, results in (("score_frozen", before), ("score_tuned", after))
    ]
    verdict, explanation = (
        ("kept", "tuning was kept")
        if gains
        else (
            "not kept",
            "tuning was not kept, the encoders stay as they came: no gain above noise",
        )
    )
    compared = (
        [("tuning_gain", gain)]
        if number
        else [("tuning_gain", gain), ("tuning_gain_in_probability", deciding)]
    )
    for name, difference in compared:
        decides = difference is deciding
        finding = difference.finding(
            "tuned", "frozen", verdict=verdict if decides else "", source="fit"
        )
        note = explanation if decides else ""
        findings.append(replace(finding, name=name, scope=scope, note=note, needed_n=None))
    return gains, findings


def _probability(fit: CrossFit, train_set: Training) -> np.ndarray:
    """float64 [n]: the calibrated probability of the right class."""
    truth = train_set.target.values[fit.rows]
    t = temperature(fit.scores, truth, fit.share)
    return softmax(fit.scores / t, axis=1)[np.arange(len(truth)), truth]
