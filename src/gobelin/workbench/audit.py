"""The verb `audit`: are generated images copies, do they tell training rows, how good are they?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gobelin.augmentation.exhibits import membership as membership_bars
from gobelin.augmentation.exhibits import quality as quality_table
from gobelin.data.provenance.marks import save_png
from gobelin.evidence.findings import Finding
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.augment.arms import StudySet
from gobelin.workbench.augment.generators import GeneratorTraining
from gobelin.workbench.augment.study import Study
from gobelin.workbench.thumbnails import thumbnail

LEAST_SHOWN_PAIRS = 12  # nearest pairs that are shown, copies or not
MOST_SHOWN_PAIRS = 60  # pairs that are shown where more images are copies

Row = tuple[int, Mapping[str, object]]  # (number of the generator's training, audited image)


def audited(study: Study, exhibits: Exhibits) -> list[Finding]:
    """The findings of audits and metrics for every training of every generator."""
    study_set = study.own
    several = len(study.run.settings.augment.generators) > 1
    findings: list[Finding] = []
    measured: list[Finding] = []
    rows: list[Row] = []
    for number, results in enumerate(study_set.screening.audits):
        training = study_set.images[number].training
        scope = {"generator": training.name} if several else {}
        scope |= {"generator seed": str(training.seed)}

        def scoped(
            f: Finding, scope: Mapping[str, str] = scope, training: GeneratorTraining = training
        ) -> Finding:
            return replace(f, source="audit", scope={**f.scope, **scope}, generator=training.name)

        findings += [scoped(f) for result in results.values() for f in result.findings]
        scores = [scoped(f) for f in study_set.screening.quality(number)]
        findings, measured = findings + scores, measured + scores
        rows += [(number, row) for result in results.values() for row in result.rows]
    membership_bars(findings, exhibits)
    quality_table(measured, exhibits)
    _show(study_set, sorted(rows, key=lambda row: _ratio(row[1])), exhibits)
    return findings


def _show(study_set: StudySet, rows: list[Row], exhibits: Exhibits) -> None:
    """Add the nearest pairs of images, and a table of all copies. rows: the nearest first."""
    copies = [(number, row) for number, row in rows if row["flagged"]]
    shown = rows[: max(LEAST_SHOWN_PAIRS, min(len(copies), MOST_SHOWN_PAIRS))]
    pairs = [pair for number, row in shown if (pair := _pair(study_set, number, row)) is not None]
    if pairs:
        exhibits.pairs(
            "nearest",
            "The number is the distance ratio. Below 1.00 an image is nearer to a training image"
            " than unseen real images are: it is called a copy and left out of training. Beside the"
            " number stands the way of comparing.",
            "generated",
            "nearest training image",
            pairs,
            "Generated images that are nearest to a training image",
        )
    if copies:
        exhibits.table(
            "copies",
            "Every generated image that is called a copy, the nearest first.",
            ("generated image", "training row", "distance ratio", "way of comparing", "generator"),
            [
                (
                    row["made"],
                    row["nearest"],
                    f"{_ratio(row):.2f}",
                    row["seen"],
                    study_set.images[number].training.label(),
                )
                for number, row in copies
            ],
            "Copies, one by one",
        )


def _ratio(row: Mapping[str, object]) -> float:
    return float(str(row["ratio"]))


def _pair(study_set: StudySet, number: int, row: Mapping[str, object]) -> dict[str, str] | None:
    """A generated image beside its nearest training image; None where that has no file."""
    run, images = study_set.run, study_set.images[number]
    rows = run.checked.rows
    parent = rows.dataset.ids.index(str(row["nearest"]))
    right = thumbnail(run.folder.folder, rows, run.generator.field, parent)
    if right is None:
        return None
    left = f"images/audit/{row['made']}.png"
    lineage = {
        "generator": images.training.name,
        "generator seed": images.training.seed,
        "nearest training row": row["nearest"],
    }
    position = int(str(row["made"]).rsplit("-", 1)[1])
    picture = run.generator.medium.picture(images.pixels[position])
    save_png(run.folder.folder / left, picture, lineage)
    mark = " - near copy" if row["flagged"] else ""
    caption = f"{row['nearest']}: {_ratio(row):.2f}, {row['seen']}{mark}"
    return {"left": left, "right": right, "caption": caption}
