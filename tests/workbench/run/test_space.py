"""The shared space is made at its first use, and is the same whenever that is.

Oracle: the stages on disk, and the files of a second run that made its space before all else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError

SIDES = {side: tuple(f"{side}{k}" for k in range(4)) for side in ("left", "right")}
LIGHT: dict[str, Any] = {
    "fields": SIDES,
    "align": {"width": 16, "steps": 20},
    "predict": {"folds": 2, "decays": [0.01]},
    "fusion": {"name": "concat", "settings": {"steps": 5}},
    "runtime": processor.SETTINGS,
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """60 rows: two fields of one hidden number each, and a class."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=60)
    columns = {
        name: (hidden + rng.normal(scale=0.3, size=60)).tolist()
        for names in SIDES.values()
        for name in names
    }
    columns["label"] = ["high" if h > 0 else "low" for h in hidden]
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def fitted(table: Path, name: str, **settings: Any) -> Workbench:
    bench = Workbench(table, "label", table.parent / name, {**LIGHT, **settings})
    bench.fit()
    return bench


def made(bench: Workbench) -> bool:
    return (bench.folder / "alignment" / "stage.json").is_file()


def files(bench: Workbench) -> dict[str, bytes]:
    stage = bench.folder / "alignment"
    return {p.name: p.read_bytes() for p in stage.iterdir() if p.name != "stage.json"}


def test_fitting_evaluating_and_predicting_make_no_space(table: Path) -> None:
    late = fitted(table, "late")
    first, answers = late.evaluate(), late.predict(table)
    assert not made(late) and len(answers.ids) == 60
    again = Workbench.open(late.folder)
    hits = again.search(3, row="left0=1.0,left1=1.0")
    assert made(late)
    early = Workbench(table, "label", table.parent / "early", LIGHT)
    early.check()
    _ = early.run.space.alignment
    early.fit()
    assert files(early) == files(late)
    assert early.search(3, row="left0=1.0,left1=1.0") == hits
    # what was found without the space stands, and is found again with it
    assert again.fit() == Workbench.open(early.folder).findings("fit")
    assert [f.to_dict() for f in again.evaluate()] == [f.to_dict() for f in first]


def test_what_needs_the_space_makes_it(table: Path) -> None:
    saved = fitted(table, "saved")
    saved.save_pretrained(table.parent / "model")
    shared = fitted(table, "shared", predict={**LIGHT["predict"], "features": "shared"})
    described = fitted(table, "described")
    described.describe(3, row="left0=1.0")
    assert made(saved) and made(shared) and made(described)
    assert (table.parent / "model" / "alignment" / "stage.json").is_file()


def test_a_named_space_is_made_at_once_and_its_mistakes_are_told(table: Path) -> None:
    base = fitted(table, "base")
    parts = {"parts_from": str(base.folder)}
    named = {"align": {**LIGHT["align"], "base": str(base.folder)}, "split": parts}
    extra = pq.read_table(table).append_column("extra", pa.array(np.arange(60.0)))
    pq.write_table(extra, table.parent / "wider.parquet")
    second = fitted(table.parent / "wider.parquet", "second", **named)
    assert made(base) and made(second)
    other = {**named, "align": {**named["align"], "base": str(table.parent / "nothing")}}
    with pytest.raises(GobelinError, match=r"align\.base: .*nothing"):
        fitted(table, "third", **other)


def test_a_later_process_makes_the_space_without_the_data(table: Path) -> None:
    """A program's rows, and a file that is gone: the first search uses the rows that `fit` kept."""
    whole = fitted(table, "whole").search(4, row="left0=1.0")
    rows = pq.read_table(table).to_pandas()
    given = Workbench(rows, "label", table.parent / "given", LIGHT)
    given.fit()
    moved = fitted(table, "moved")
    table.unlink()
    for folder in (given.folder, moved.folder):
        hits = Workbench.open(folder).search(4, row="left0=1.0")
        assert [(h.id, h.score) for h in hits] == [(h.id, h.score) for h in whole]
