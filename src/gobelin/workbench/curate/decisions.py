"""The decision about every training row: its new label, that label's probability, its weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, load_arrays, save_arrays
from gobelin.data.fields import Schema
from gobelin.prediction.calibration import field_counts
from gobelin.prediction.cross_fit import cross_fit
from gobelin.quality import captions, labels
from gobelin.quality.labels import Curate
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.predictor import RunPredictor

STAGE = "curated"


@dataclass(frozen=True)
class Decisions:
    """The decisions about n training rows. The fields have the names of the stored arrays."""

    rows: np.ndarray  # int64 [n], row numbers
    given: np.ndarray  # int64 [n], the class before, -1 = none
    suggested: np.ndarray  # int64 [n], the class that a suspect looks like, -1 = no suspect
    likely: np.ndarray  # float64 [n], probability of the suggested class
    label: np.ndarray  # int64 [n], the class after, -1 = none
    chance: np.ndarray  # float64 [n], probability of the class after
    weight: np.ndarray  # float64 [n]
    together: np.ndarray  # [C, C], joint distribution of the given and the true class
    alike: np.ndarray  # int64 [n], near-duplicates share a number
    wrong: np.ndarray  # [4]: share of wrong labels, low, high, number of groups
    # [6]: confidence from which a label is given, share right, low, high, agreement, rows
    bar: np.ndarray
    borrowed: np.ndarray  # [k, 4]: row, donor of its caption, cosine, closeness


def refuse_target(predictor: RunPredictor) -> None:
    """Raises GobelinError for a target that isn't one class a row."""
    model = predictor.model
    if not model.exclusive:
        kind = "a number" if model.kind == "number" else "several labels a row"
        raise GobelinError(
            f"curate: target {model.target!r} is {kind}, one class a row was expected. Choose"
            " another."
        )


def key_of(run: Run) -> str:
    """Cache key of the decisions."""
    return fingerprint(
        run.predictor.fingerprint,
        resolved(run.settings.curate),
        run.settings.check.near,
        run.settings.data.fingerprint,
    )


def decisions(run: Run) -> Decisions:
    """The decisions, made once and stored as a stage of the run folder."""

    def make(stage: Path) -> None:
        save_arrays(stage / "rows.safetensors", vars(_decide(run.predictor, run.settings.curate)))

    def load(stage: Path) -> Decisions:
        return Decisions(**load_arrays(stage / "rows.safetensors"))

    return run.folder.kept(STAGE, key_of(run), make, load)


def caption_field(schema: Schema) -> str | None:
    """The first text field; None where there is none."""
    return next((f.name for f in schema.fields if f.kind == "text"), None)


def generated_rows(checked: CheckedRows) -> np.ndarray:
    """bool [N]: rows that claim to be real and hold a generated image. They are not used."""
    return np.isin(np.array(checked.rows.dataset.ids), checked.scan.marked)


def _decide(predictor: RunPredictor, settings: Curate) -> Decisions:
    rows, model, training = predictor.checked.rows, predictor.model, predictor.training
    # a wrong label may stand in the first rows too, so folds are drawn where the split is by time
    once = replace(training, settings=replace(training.settings, decays=(model.decay,)), order=None)
    fusion = catalog.build("fusion", predictor.fusion.name, predictor.fusion.settings)
    crossed = cross_fit(fusion, once)
    labelled, x = crossed.rows, training.embeddings
    label, groups = rows.target.values[labelled], [rows.groups[r] for r in labelled]

    def probabilities(scores: np.ndarray, which: np.ndarray) -> np.ndarray:
        """float64 [n, C]: calibrated, for the class frequencies of the labels."""
        return model.calibration.probabilities(
            scores.astype(np.float64), field_counts(x.present[which])
        )

    scores = probabilities(crossed.scores, labelled)
    together = labels.joint(scores, label, np.ones(len(labelled)))
    mixing = labels.transition(together, len(labelled))
    true = labels.unmixed(scores, mixing)
    suggested = labels.suspects(scores, label, together)
    seed = predictor.features.data.runtime.seed
    wrong = labels.wrong_labels(scores, label, groups, settings.draws, seed)
    line = labels.confidence_bar(true, label, mixing, groups, settings.precision)

    unlabelled = _unlabelled(predictor.checked, x.present)
    if len(unlabelled):
        scores_of_unlabelled = probabilities(model.predictor.scores(x.rows(unlabelled)), unlabelled)
        true = np.concatenate([true, labels.unmixed(scores_of_unlabelled, mixing)])
    none = np.full(len(unlabelled), -1)
    every = np.concatenate([labelled, unlabelled])
    given, suggested = np.concatenate([label, none]), np.concatenate([suggested, none])
    posterior, positions = labels.posterior(true, given, mixing), np.arange(len(every))
    likely = np.where(suggested >= 0, posterior[positions, suggested], 0.0)
    after = np.where(likely >= settings.sure, suggested, given)
    after = np.where((given < 0) & (true.max(1) >= line.confidence), true.argmax(1), after)
    chance = np.where(after >= 0, posterior[positions, after], 1.0)
    near = predictor.features.data.settings.check.near
    alike = labels.near_duplicate_groups(x, every, near) if settings.alike else positions
    right = line.right
    return Decisions(
        rows=every,
        given=given,
        suggested=suggested,
        likely=likely,
        label=after,
        chance=chance,
        weight=chance / np.bincount(alike)[alike] * rows.weights[every],
        together=together,
        alike=alike,
        wrong=np.array([wrong.value, wrong.low, wrong.high, wrong.n]),
        bar=np.array([line.confidence, right.value, right.low, right.high, line.agree, right.n]),
        borrowed=_captions(predictor, settings.caption),
    )


def _unlabelled(checked: CheckedRows, present: np.ndarray) -> np.ndarray:
    """int64 [n]: training rows without a label and with a field to predict it from. Generated rows
    are left out.
    """
    train, target = checked.rows.part("train"), checked.rows.target
    readable = present[train].any(1) & ~generated_rows(checked)[train]
    return train[~target.present[train] & readable]


def _captions(predictor: RunPredictor, closeness: float) -> np.ndarray:
    """float64 [k, 4]: the values of each `BorrowedCaption` that is near enough."""
    rows = predictor.checked.rows
    field = caption_field(rows.schema)
    if not field:
        return np.zeros((0, 4))
    borrowed = captions.borrowed_captions(
        predictor.space.shared, field, rows.part("train"), rows.groups
    )
    near = [(b.row, b.donor, b.cosine, b.closeness) for b in borrowed if b.closeness >= closeness]
    return np.array(near, float).reshape(-1, 4)
