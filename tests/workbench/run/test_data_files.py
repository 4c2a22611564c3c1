"""Files that change under their names. Oracle: files written, touched, changed and put back by
hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import processor
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.core.files import load_arrays
from gobelin.data.fields import Column, Schema
from gobelin.data.read import read
from gobelin.data.samples.shapes import Shapes
from gobelin.workbench.run import data_files

SETTINGS = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 8, "steps": 0},
    "fusion": {"settings": {"steps": 5, "components": 8}},
}
SCHEMA = Schema(
    (Column("id", "number", "id"), Column("image", "image"), Column("caption", "text")), (), ()
)


def changed(path: Path) -> bytes:
    """Another picture of the same size in bytes: only its content tells."""
    before = path.read_bytes()
    path.write_bytes(before[:-20] + bytes(b ^ 1 for b in before[-20:-12]) + before[-12:])
    return before


def test_a_changed_file_is_refused_a_touched_one_is_not(tmp_path: Path) -> None:
    dataset = read(Shapes(rows=40).write(tmp_path / "data", seed=1))
    assert data_files.paths(dataset, SCHEMA) == sorted(dataset.values("image"))
    data_files.check(
        tmp_path, dataset, SCHEMA, 1
    )  # nothing was written down: nothing to compare with
    data_files.write(tmp_path, dataset, SCHEMA, 2)
    data_files.check(tmp_path, dataset, SCHEMA, 1)
    first = dataset.root / str(dataset.values("image")[0])
    os.utime(first, (1, 1))
    kept = load_arrays(tmp_path / data_files.RECORD)["stat"]
    data_files.check(tmp_path, dataset, SCHEMA, 1)
    assert (
        load_arrays(tmp_path / data_files.RECORD)["stat"] != kept
    ).any()  # not read again the next time
    before = changed(first)
    with pytest.raises(
        GobelinError,
        match=r"1 of 40 files changed since this run was made from them \(first: images/",
    ):
        data_files.check(tmp_path, dataset, SCHEMA, 1)
    first.write_bytes(before)
    data_files.check(tmp_path, dataset, SCHEMA, 1)
    first.unlink()
    with pytest.raises(GobelinError, match="1 of 40 files changed"):
        data_files.check(tmp_path, dataset, SCHEMA, 1)
    with pytest.raises(GobelinError, match="is of other data"):
        data_files.check(tmp_path, dataset.rows(np.arange(30)), SCHEMA, 1)


def test_every_later_command_of_a_run_notices(tmp_path: Path) -> None:
    path = Shapes(rows=120).write(tmp_path / "data", seed=1)

    def fresh() -> Workbench:
        return Workbench(path, target="shape", run=tmp_path / "run", settings=SETTINGS)

    fresh().fit()
    image = sorted((tmp_path / "data" / "images").iterdir())[7]
    before = image.read_bytes()
    with Image.open(image) as picture:
        Image.new("RGB", picture.size, "red").save(image)
    for verb in (
        fresh().fit,
        fresh().check,
        Workbench.open(tmp_path / "run").recall,
    ):
        with pytest.raises(
            GobelinError, match=r"1 of 120 files changed .*Put them back, or choose another --run"
        ) as error:
            verb()
        assert "\n" not in str(error.value)
    image.write_bytes(before)
    assert fresh().fit() and Workbench.open(tmp_path / "run").recall()
