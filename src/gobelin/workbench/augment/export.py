"""Export of the training set of a study: Parquet, with the lineage of every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.rivals import Arm
from gobelin.data.dataset import LINEAGE_COLUMN, Dataset
from gobelin.data.files import cell_bytes
from gobelin.data.provenance import records
from gobelin.workbench.augment.arms import numbered
from gobelin.workbench.augment.study import Study
from gobelin.workbench.export_folder import new_folder

TRAINING_SET = "train.parquet"


def exported(study: Study, folder: Path) -> Path:
    """Write the training set of the first arm with generated images alone, at the chosen ratio.

    The images are those of the first training of the generator. Returns the path of the Parquet
    file; images are PNG bytes inside it.
    """
    arm = next(a for a in study.own.arms if a.kind == "generated")
    dataset, note = _as_chosen(study, arm)
    table, column = dataset.table, study.run.generator.column
    images = [_bytes(v, dataset.root) for v in dataset.values(column)]
    position = table.column_names.index(column)
    table = table.set_column(position, column, pa.array(images, pa.binary()))
    origins = records(table[LINEAGE_COLUMN].to_pylist(), LINEAGE_COLUMN)
    generated = sum("generator" in origin for origin in origins)
    with new_folder(folder, TRAINING_SET) as temporary:
        pq.write_table(table, temporary / TRAINING_SET)
        (temporary / "README.md").write_text(
            f"# Training set with generated rows\n\n{len(table)} rows, {generated} of them"
            " generated; `gobelin_origin` and `gobelin_lineage` say which rows, and where they"
            f" come from. {note} Generated rows must never enter validation or test.\n",
            encoding="utf-8",
        )
    return folder / TRAINING_SET


def _as_chosen(study: Study, arm: Arm) -> tuple[Dataset, str]:
    """The rows of an arm at the chosen ratio, and a note on that choice.

    A study of the method has a ratio for each resample; it exports all rows.
    """
    settings, folder = study.run.settings.augment, study.run.folder
    if settings.study == "method":
        note = "All rows that passed screening are here. Each resample chose a ratio of its own."
        return arm.dataset, note
    (choice,) = folder.loaded("outcome", Outcome.load).chosen[arm.name]
    rows = numbered(arm, np.arange(len(arm.dataset)), arm.weights)
    return arm.dataset.rows(rows.at(choice.ratio, max(settings.sweep))), (
        f"Validation rows chose {choice.ratio:g} generated rows for each real row, as far as they"
        f" passed screening. In the study each had the weight {choice.mix:g}, a real row 1, before"
        " classes were balanced."
    )


def _bytes(value: object, root: Path) -> bytes | None:
    return cell_bytes(value, root) if isinstance(value, str | bytes) else None
