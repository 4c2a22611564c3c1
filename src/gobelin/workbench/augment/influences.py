"""Which generated rows of a study helped and which hurt: influence on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gobelin.augmentation import influence
from gobelin.augmentation.arms import BASELINE
from gobelin.core.files import read_lines
from gobelin.data.fields import Target
from gobelin.data.provenance.marks import save_png
from gobelin.evidence.findings import Finding
from gobelin.prediction.cross_fit import balanced
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.augment.arms import ArmTable, StudySet

SHOWN_EXTREMES = 8  # images a side: helped most, hurt most


def influence_rows(
    study_set: StudySet, table: ArmTable, target: Target, valid: np.ndarray
) -> list[dict[str, object]]:
    """{arm, batch, place, influence} of every generated row that passed screening.

    target: of the run's rows. valid: int64 [n], validation rows.
    """
    run, predict = study_set.run, study_set.run.settings.predict
    base = next(a for a in table.arms if a.name == BASELINE)
    real, labels = table.features.rows(base.rows), table.target.rows(base.rows)
    numeric = target.kind == "number"
    centre, scale = 0.0, 1.0
    if numeric:
        centre, scale = float(labels.values.mean()), float(labels.values.std()) or 1.0

    def weights(of: Target, rows: np.ndarray) -> np.ndarray:
        ones = np.ones(len(rows), np.float32)
        return balanced(of, rows, ones, predict.balanced, predict.weights)

    x = run.predictor.inputs(run.features.embeddings.rows(valid))
    held_out = influence.head_inputs(
        x, target.rows(valid), weights(target, valid), real, centre, scale
    )
    train = influence.head_inputs(
        real, labels, weights(table.target, base.rows), real, centre, scale
    )
    out: list[dict[str, object]] = []
    generated = [a for a in table.arms if a.kind == "generated"]
    for number, arm in enumerate(generated):
        added = arm.rows[arm.added]
        if not len(added):
            continue
        ones = np.ones(len(added), np.float32)
        features, answers = table.features.rows(added), table.target.rows(added)
        added_rows = influence.head_inputs(features, answers, ones, real, centre, scale)
        values = influence.influence(train, held_out, added_rows, numeric)
        positions = np.flatnonzero(study_set.screening.selected(number))
        out += [
            {"arm": arm.name, "batch": number, "place": int(p), "influence": float(v)}
            for p, v in zip(positions, values, strict=True)
        ]
    return out


def influence_findings(study_set: StudySet, exhibits: Exhibits) -> list[Finding]:
    """The share of generated rows that helped, by arm and by class; adds the extreme images."""
    rows = read_lines(study_set.run.folder.checked("outcome") / "influence.jsonl")
    target, findings = study_set.run.checked.rows.target, []
    for arm in dict.fromkeys(r["arm"] for r in rows):
        of_arm = [r for r in rows if r["arm"] == arm]
        values = np.array([r["influence"] for r in of_arm])
        scopes = [({"arm": arm}, np.ones(len(of_arm), bool))]
        if target.exclusive:
            label = study_set.parents.label[study_set.parents.places[[r["place"] for r in of_arm]]]
            scopes += [
                ({"arm": arm, "class": target.classes[c]}, label == c) for c in np.unique(label)
            ]
        findings += [
            Finding(
                name="made_rows_that_help",
                scope=scope,
                value=float((values[chosen] > 0).mean()),
                unit="share",
                better="higher",
                n=int(chosen.sum()),
                note="exploratory: share of generated rows on which a step of training lowers the"
                " loss on validation rows",
                source="augment",
            )
            for scope, chosen in scopes
        ]
        _show(study_set, arm, of_arm, values, exhibits)
    return findings


def _show(
    study_set: StudySet,
    arm: str,
    rows: Sequence[Mapping[str, Any]],
    values: np.ndarray,
    exhibits: Exhibits,
) -> None:
    """Add the images that helped most and that hurt most."""
    order = np.argsort(-values, kind="stable")
    extremes = (("helped most", order), ("hurt most", order[::-1]))
    exhibits.sheet(
        f"influence {arm}".replace(" ", "_"),
        "Generated images that helped most and hurt most: training on one lowers or raises the"
        " error on validation rows.",
        [
            {
                "label": word,
                "images": [_written(study_set, rows[int(k)]) for k in ranked[:SHOWN_EXTREMES]],
            }
            for word, ranked in extremes
        ],
        f"Which images mattered: {arm}",
    )


def _written(study_set: StudySet, row: Mapping[str, Any]) -> str:
    """Write the image of a row, or a picture of its volume, into the run folder. Returns its path
    there."""
    images, position = study_set.images[int(row["batch"])], int(row["place"])
    name = f"images/augment/{images.ids[position]}.png"
    lineage = {"generator": images.training.name, "influence": row["influence"]}
    array, of_kind = images.pixels[position], study_set.run.generator.medium
    picture = array if of_kind.dimensions == 2 else of_kind.picture(array)
    save_png(study_set.run.folder.folder / name, picture, lineage)
    return name
