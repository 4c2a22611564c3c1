"""A run whose rows have places. Oracle: a planted truth, the north is warm, the south is cold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processor
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from tiny_places import weights_file

from gobelin.core.errors import GobelinError
from gobelin.workbench.bench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(-60, 60, 400), rng.uniform(-170, 170, 400)
    table = {
        "id": [f"r{k}" for k in range(400)],
        "lat": [None if k == 7 else round(float(v), 3) for k, v in enumerate(latitude)],
        "lon": [round(float(v), 3) for v in longitude],
        "noise": rng.normal(size=400).round(3).tolist(),
        "climate": ["warm" if v > 0 else "cold" for v in latitude],
    }
    table["lat"][11] = 95.0
    pa_csv.write_csv(pa.table(table), folder / "records.csv")
    settings = {
        "schema": {"id": "id", "lat": "place", "lon": "place", "climate": "category"},
        "encoders": {"place": {"model": str(weights_file(folder))}},
        "align": {"width": 8, "steps": 0},
        "fusion": {"name": "concat", "settings": {"steps": 300}},
        "predict": {"folds": 2, "decays": [0.01]},
        "runtime": processor.SETTINGS,
    }
    out = Workbench(folder / "records.csv", "climate", folder / "run", settings)
    out.fit()
    return out


def test_a_place_tells_what_depends_on_it(bench: Workbench) -> None:
    found = {f.sentence() for f in bench.evaluate()}
    score = bench.findings("evaluate")[0]
    assert score.low is not None and score.low > 0.5, found


def test_a_bad_place_is_named_and_its_row_kept(bench: Workbench) -> None:
    told = "\n".join(f.sentence() for f in bench.check())
    assert "latitude 95 is not between -90 and 90" in told
    assert "has no lat, and a place needs both numbers" in told


def test_rows_are_found_by_place(bench: Workbench) -> None:
    for query in ({"place": "40,20"}, {"lat": "40", "lon": "20"}):
        hits = bench.search(3, **query)
        assert len(hits) == 3
    with pytest.raises(GobelinError, match="latitude 95"):
        bench.search(3, place="95,10")
    with pytest.raises(GobelinError, match="has no lon"):
        bench.search(3, lat="40")


def test_a_run_is_opened_again(bench: Workbench) -> None:
    hits = [h.id for h in bench.search(3, place="40,20")]
    again = Workbench.open(bench.folder)
    assert [h.id for h in again.search(3, place="40,20")] == hits
    assert Path(bench.folder).is_dir()
