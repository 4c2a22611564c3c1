"""The verb `evaluate`: scores of the predictor on validation rows, or on other labelled rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_json
from gobelin.core.printable import counted
from gobelin.data.dataset import Dataset
from gobelin.data.fields import PATH_KINDS, Schema, Target
from gobelin.data.files import BadCell, cell_key
from gobelin.data.split.parts import Naming
from gobelin.data.targets import target_of
from gobelin.evidence.findings import Finding
from gobelin.prediction import abstention, evaluation, scoring
from gobelin.prediction.predictor import Model, Predictions
from gobelin.quality.data import Check
from gobelin.report import answer
from gobelin.report.exhibits import Exhibits
from gobelin.workbench import trades
from gobelin.workbench.evaluate.evaluation import Evaluation
from gobelin.workbench.evaluate.one_field import one_field
from gobelin.workbench.evaluate.scored_rows import MOST_MISTAKES, ScoredRows
from gobelin.workbench.predict.predict import new_rows
from gobelin.workbench.run.delivered import RunDelivered
from gobelin.workbench.run.parts import recorded
from gobelin.workbench.run.predictor import RunPredictor

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
ALL_FIELDS = "all together"


def evaluated(delivered: RunDelivered, exhibits: Exhibits) -> list[Finding]:
    """Scores with all fields, by class, and with some fields alone; calibration; mistakes.

    They are those of the judged predictor. The delivered one has its cross-fitted score.
    """
    predictor = delivered.judged
    whole = predictor.checked.rows
    rows = _validation_rows(predictor)
    target, groups = whole.target.rows(rows), [whole.groups[r] for r in rows]
    metric = predictor.features.data.settings.predict.metric
    chance = scoring.chance(metric, target, whole.target.values[whole.labelled("train")])
    x = predictor.inputs(predictor.features.embeddings.rows(rows))
    findings, predictions = evaluation.evaluate(predictor.model, x, target, groups, chance)
    left_out = predictor.features.data.settings.leave_out
    findings += one_field(predictor.model, x, predictions, target, groups, left_out)
    findings += trades.traded_rows(predictor, rows, predictions)
    scored = ScoredRows(whole.dataset, whole.schema, rows, target, predictions)
    _show_fields(findings, predictor.fields, chance, exhibits)
    if target.kind != "number":
        exhibits.confusion("confusion", scored.confusion())
    caption = f"On validation rows, the worst first; at most {MOST_MISTAKES}."
    what = "The worst errors" if target.kind == "number" else "The worst mistakes"
    exhibits.records("mistakes", caption, scored.mistakes(predictor.folder.folder), what)
    by_class = [f for f in findings if f.name in ("recall", "auroc")]
    exhibits.bars(
        "by_class", f"{_title(by_class)} of each class on validation rows.", by_class, "class"
    )
    if target.kind != "number":
        confidence, right, _ = evaluation.reliability(predictions, target)
        exhibits.curve(
            "reliability",
            "Are the probabilities honest? Honest ones lie on the line “calibrated”. The band is"
            " the 95 % interval of the share of right rows.",
            confidence,
            {"share right": right, "calibrated": confidence},
            "mean confidence",
            "share right",
            bands={"share right": evaluation.reliability_band(predictions, target, groups)},
        )
        _show_risk(predictions, target, groups, exhibits)
    return findings + [f for f in delivered.findings() if f.source == "evaluate"]


def _show_risk(
    predictions: Predictions, target: Target, groups: Sequence[str], exhibits: Exhibits
) -> None:
    """The risk-coverage curve: what is gained where the least confident rows are left to a
    person."""
    coverage, risks = abstention.curve(predictions.answers, target, groups)
    exhibits.curve(
        "risk_coverage",
        "The mean error of the most confident rows, by the share of rows that are answered. The"
        " band is its 95 % interval.",
        coverage,
        {"mean error": [risk.value for risk in risks]},
        "share of rows answered",
        "mean error",
        bands={"mean error": ([risk.low for risk in risks], [risk.high for risk in risks])},
    )


def _show_fields(
    findings: Sequence[Finding], fields: Sequence[str], chance: float | None, exhibits: Exhibits
) -> None:
    """Bars of all fields together and of each alone."""
    single = answer.alone(findings, fields)
    together = [replace(findings[0], scope={"fields": ALL_FIELDS})] if single else []
    exhibits.bars(
        "by_fields",
        f"{_title(findings)} with all fields, and where the model is given one field alone.",
        together + single,
        "fields",
        chance,
    )


def _title(findings: Sequence[Finding]) -> str:
    """The name of the first finding as the beginning of a sentence."""
    return findings[0].name.replace("_", " ").capitalize() if findings else ""


def _validation_rows(predictor: RunPredictor) -> np.ndarray:
    """int64 [n]: the validation rows that are scored."""
    whole = predictor.checked.rows
    return whole.target.scored_rows(whole.labelled("valid"))


def of_validation(predictor: RunPredictor, findings: Sequence[Finding]) -> Evaluation:
    """The evaluation on validation rows. findings: of `evaluated`.

    The rows behind it are those that `evaluated` has stored. A run of an earlier version stored
    none: they are predicted anew."""
    stage = predictor.folder.folder / "verbs/evaluate"
    paths = {name: stage / f"{name}.json" for name in ("confusion", "mistakes")}
    shown = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if "mistakes" not in shown:
        whole, rows = predictor.checked.rows, _validation_rows(predictor)
        x = predictor.inputs(predictor.features.embeddings.rows(rows))
        target, found = whole.target.rows(rows), predictor.model.predict(x)
        shown = ScoredRows(whole.dataset, whole.schema, rows, target, found).shown()
    return _evaluation(predictor, findings, shown, "validation rows")


def _evaluation(
    predictor: RunPredictor,
    findings: Sequence[Finding],
    shown: Mapping[str, Mapping[str, Any]],
    which: str,
) -> Evaluation:
    rows = f"{shown['mistakes']['count']} {which}"
    return Evaluation(findings, predictor.model.target, rows, predictor.fields, shown)


def evaluated_on(delivered: RunDelivered, dataset: Dataset, settings: Check) -> Evaluation:
    """The evaluation on other labelled rows, by the predictor that `predict` uses. Nothing of it is
    stored in the run folder.

    settings: of the cells that may be set aside. Rows without a label, or with one that was not
    learned, are left out, and a warning counts them; so it does those that the run knows. Raises
    GobelinError for rows without the target's column, and where no row can be scored."""
    predictor, model = delivered.judged, delivered.model
    features = predictor.features
    schema = features.data.schema
    if model.target not in dataset.column_names:
        raise GobelinError(
            f"evaluate: {dataset.source} has no column {model.target!r}, the truth to compare with."
            " Add it, or run gobelin predict."
        )
    _warn_of_known(predictor, dataset, delivered.refitted)
    rows = new_rows(features, dataset, settings, "evaluate").dataset
    target = _labelled(rows, schema, model)
    chosen = np.flatnonzero(target.present)
    x = predictor.inputs(features.embedder.embed(rows.rows(chosen), features.data.progress))
    group = schema.role("group") or ""
    names = rows.values(group) if group in rows.column_names else [None] * len(rows)
    groups = [rows.ids[k] if names[k] is None else str(names[k]) for k in chosen]
    truth = target.rows(chosen)
    chance = _guessing(predictor, truth)
    findings, predictions = evaluation.evaluate(model, x, truth, groups, chance)
    left_out = features.data.settings.leave_out
    findings += one_field(model, x, predictions, truth, groups, left_out)
    shown = ScoredRows(rows, schema, chosen, truth, predictions).shown()
    which = f"{'row' if len(chosen) == 1 else 'rows'} of {Path(dataset.source).name}"
    return _evaluation(predictor, findings, shown, which)


def _labelled(rows: Dataset, schema: Schema, model: Model) -> Target:
    """The truth of other rows by the classes of the model; a warning counts those without."""
    target = target_of(rows, schema, model.classes)
    words = set(schema.column(model.target).missing)
    values = rows.values(model.target)
    empty = [v is None or (isinstance(v, str) and v.strip().lower() in words) for v in values]
    lines = []
    if target.kind == "labels":
        known = set(model.classes)
        if new := [name for name in target_of(rows, schema).classes if name not in known]:
            names = ", ".join(map(repr, new[:3])) + ", ..." * (len(new) > 3)
            count = counted(len(new), "label was", "labels were")
            lines.append(f"{count} not learned and count for nothing ({names})")
        held = (target.values == 1)[target.present]
        target = replace(target, scored=held.any(0) & ~held.all(0))
        if not target.scored.any():
            raise GobelinError(
                f"evaluate: {rows.source}, column {model.target!r}: no learned label is there in"
                " some rows and lacking in others. Add rows."
            )
    else:
        target = replace(target, scored=np.ones(len(model.classes), bool))
        blank = target.present | np.asarray(empty, bool)
        if len(unknown := np.flatnonzero(~blank)):
            first = str(values[int(unknown[0])])[:40]
            rows_have = counted(len(unknown), "row has", "rows have")
            lines.append(f"{rows_have} a class that was not learned (first: {first!r})")
        if without := int((~target.present & np.asarray(empty, bool)).sum()):
            lines.append(f"{counted(without, 'row has', 'rows have')} no {model.target}")
    if not target.present.any():
        why = f": {'; '.join(lines)}" if lines else ""
        raise GobelinError(
            f"evaluate: {rows.source}, column {model.target!r}: no row can be scored{why}. Give"
            " rows with known answers."
        )
    if lines:
        LOG.warning("%s: %s. They are left out.", rows.source, "; ".join(lines))
    return target


def _guessing(predictor: RunPredictor, truth: Target) -> float | None:
    """The score of guessing; None for numbers and levels in a saved run, which has no training
    rows to take the guess of."""
    known, metric = np.zeros(0), predictor.model.settings.metric
    if truth.kind in ("number", "ordinal") and not predictor.folder.saved:
        rows = predictor.features.data.rows
        known = rows.target.values[rows.labelled("train")]
    return scoring.chance(metric, truth, known)


def _warn_of_known(predictor: RunPredictor, dataset: Dataset, refitted: bool) -> None:
    """Warn where rows are among those that the run was trained on, or are its test rows, which are
    then counted as looked at. refitted: the predictor has learned from validation and test rows
    too."""
    record = recorded(predictor.folder)
    if record is None:
        return
    if any(one.naming.lacking(dataset) for one in record.trained):
        LOG.warning(
            "%s: lacks columns by which the run names its rows. Whether training rows are among"
            " these can't be checked; scores on them would be too good.",
            dataset.source,
        )
        return
    of_rows = [record.part_of.get(name) for name in record.naming.names(dataset)]
    parts = np.array([part or "" for part in of_rows], dtype=str)
    parts[_of_other_files(predictor, dataset, record.naming, parts != "")] = ""
    for one in record.earlier:
        parts[np.isin(one.naming.names(dataset), list(one.names)) & (parts == "")] = "train"
    if count := int((parts == "train").sum()):
        LOG.warning(
            "%s: %d of %d rows are training rows of this run. Scores on them are too good: give"
            " rows that it has not seen.",
            dataset.source,
            count,
            len(dataset),
        )
    if refitted and (count := int(np.isin(parts, ("valid", "test")).sum())):
        LOG.warning(
            "%s: %d of %d rows are validation or test rows of this run, and the predictor that is"
            " scored here learned from all labelled rows. Scores on them are too good: give rows"
            " that it has not seen, or fit with --set refit=false.",
            dataset.source,
            count,
            len(dataset),
        )
    if count := int((parts == "test").sum()):
        names = sorted(np.asarray(record.naming.names(dataset))[parts == "test"])
        look = predictor.folder.look("evaluate", fingerprint("evaluate", names))
        LOG.warning(
            "%s: %s of this run. This is look %d at test rows; from the second one on, a study is"
            " exploratory.",
            dataset.source,
            counted(count, "row is a test row", "rows are test rows"),
            look,
        )


def _of_other_files(
    predictor: RunPredictor, dataset: Dataset, naming: Naming, known: np.ndarray
) -> np.ndarray:
    """bool [N]: the rows whose files are not those of the run's row of that name. Such a row is
    known by its cells, and they name files in another folder: `cat/1.png` of a folder of test
    images is not `cat/1.png` of the run.

    known: bool [N], rows whose name the run has. What can't be read counts as the same."""
    data = predictor.features.data
    found = np.zeros(len(dataset), bool)
    if not naming.content or not known.any() or data.gone:
        return found
    whole = data.rows.dataset
    paths = [c.name for c in data.schema.columns if c.kind in PATH_KINDS]
    if whole.root.resolve() == dataset.root.resolve() or not paths:
        return found
    place = {name: k for k, name in enumerate(naming.names(whole))}
    names, rows = naming.names(dataset), np.flatnonzero(known)
    here, there = ({c: d.values(c) for c in paths} for d in (dataset, whole))
    for row in rows:
        cells = [
            ({c: v for c in paths if (v := values[c][k]) is not None}, root)
            for values, k, root in (
                (here, row, dataset.root),
                (there, place[names[row]], whole.root),
            )
        ]
        with suppress(BadCell):
            found[row] = cell_key(*cells[0]) != cell_key(*cells[1])
    return found
