"""Export of the training set of a study: Parquet, with the lineage of every row.

The parents of a row are named by opaque keys. The table from key to row stays in the run folder
(`lineage.json`), so the export tells nobody else which patient a generated row comes from by its
lineage. Its other cells are those of the parent, but for a column of ids, where it has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.rivals import Arm
from gobelin.core.arrow import texts
from gobelin.core.errors import GobelinError
from gobelin.data.copied_files import copied_bytes
from gobelin.data.dataset import GENERATED, LINEAGE_COLUMN, Dataset
from gobelin.data.provenance.c2pa import Signer
from gobelin.data.provenance.marks import records
from gobelin.workbench.augment.arms import numbered
from gobelin.workbench.augment.study import Study
from gobelin.workbench.export_folder import new_folder, refuse_used_folder
from gobelin.workbench.run import lineage
from gobelin.workbench.run.generator import RunGenerator

TRAINING_SET = "train.parquet"


def refuse(folder: Path | None, signer: Signer | None) -> None:
    """Raises GobelinError for a folder that can't be written, and a signer without one."""
    if folder is not None:
        refuse_used_folder(folder, TRAINING_SET)
    elif signer is not None:
        raise GobelinError(
            "--sign: signs the images of an exported training set, found no --export. Give"
            " --export DIR too."
        )


def exported(study: Study, folder: Path, signer: Signer | None = None) -> Path:
    """Write the training set of the first arm with generated images alone, at the chosen ratio.

    The images are those of the first training of the generator. Returns the path of the Parquet
    file; images are PNG bytes inside it. signer: signs the generated ones.
    """
    arm = next(a for a in study.own.arms if a.kind == "generated")
    dataset, note = _as_chosen(study, arm)
    table, column = dataset.table, study.run.generator.column
    kind = study.run.data.schema.kind(column)
    images = [_bytes(v, dataset.root, kind) for v in dataset.values(column)]
    origins = records(table[LINEAGE_COLUMN].to_pylist(), LINEAGE_COLUMN)
    parents = {str(i) for origin in origins for i in origin.get("parents", ())}
    keys = lineage.keys_of(study.run.folder, sorted(parents))
    told = [_told(origin, keys) for origin in origins]
    generated = ["generator" in origin for origin in origins]
    images = [
        _marked(image, origin, signer, study.run.generator) if made and image else image
        for image, origin, made in zip(images, told, generated, strict=True)
    ]
    for name, cells in (
        (column, pa.array(images, pa.binary())),
        (LINEAGE_COLUMN, texts([json.dumps(o, sort_keys=True) if o else "" for o in told])),
    ):
        table = table.set_column(table.column_names.index(name), name, cells)
    if own := study.run.data.schema.role("id"):
        table = without_ids(table, own, generated)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), GENERATED: column.encode()}
    )
    with new_folder(folder, TRAINING_SET) as temporary:
        pq.write_table(table, temporary / TRAINING_SET)
        (temporary / "README.md").write_text(
            f"# Training set with generated rows\n\n{len(table)} rows, {sum(generated)} of them"
            " generated; `gobelin_origin` and `gobelin_lineage` say which rows, and where they"
            f" come from. {note} Generated rows must never enter validation or test.\n",
            encoding="utf-8",
        )
    lineage.record_export(study.run.folder, folder / TRAINING_SET, list(dataset.ids))
    return folder / TRAINING_SET


def without_ids(table: pa.Table, column: str, generated: Sequence[bool]) -> pa.Table:
    """The rows without the cell of a column of ids where they are generated: it names the parent.
    generated: of each row."""
    kept = pa.array([not made for made in generated])
    cells = pc.if_else(kept, table[column], pa.scalar(None, table[column].type))
    return table.set_column(table.column_names.index(column), table.schema.field(column), cells)


def _told(origin: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """A lineage for others: parents by their keys."""
    if "parents" not in origin:
        return dict(origin)
    return {**origin, "parents": [keys[str(parent)] for parent in origin["parents"]]}


def _marked(
    image: bytes, origin: Mapping[str, Any], signer: Signer | None, generator: RunGenerator
) -> bytes:
    """A generated image or volume with this lineage, signed where there is a signer."""
    pixels = generator.medium.array(image)
    if signer is not None:
        return signer.png(pixels, origin)
    return generator.medium.marked(pixels, origin, extent=generator.extent)


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


def _bytes(value: object, root: Path, kind: str) -> bytes | None:
    return copied_bytes(value, root, kind) if isinstance(value, str | bytes) else None
