"""The simulation with real training, `benchmarks/calibration.py`, at a size of seconds: two cells
hold, broken ones are seen.

Oracles: scikit-learn's ridge regression, a plain loop over rows, exact binomial intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import calibration
import numpy as np
import planted
import pytest
from sklearn.linear_model import Ridge

from gobelin.prediction.heads.job import Job

POINTS, STUDIES = 6000, 200
NULL = replace(calibration.NULL, runs=1, seeds=3)
CLUSTERS = replace(
    calibration.UNITS,
    name="clusters",
    rivals=(),
    seeds=3,
    train=(60, 60, 60),
    test=(200, 200, 200),
    rows_per_unit=20,
)


def found(cell: planted.Cell, studies: int = STUDIES) -> dict:
    return calibration.figures(cell, calibration.studies_of(cell, studies, POINTS), POINTS)


@pytest.mark.parametrize("cell", [NULL, CLUSTERS], ids=lambda c: c.name)
def test_a_cell_holds(cell: planted.Cell) -> None:
    one = found(cell)
    assert not one["why"] or one["conservative"], one
    assert one["narrowest_points"] > 0


def test_the_table_of_the_documentation_is_that_of_the_results() -> None:
    assert calibration.table() in calibration.DOCS.read_text(encoding="utf-8")


def test_rows_of_a_unit_as_if_independent_are_caught() -> None:
    one = found(replace(CLUSTERS, rows_alone=True))
    assert "covers too little" in one["why"], one


def test_perfect_scores_have_an_interval() -> None:
    (cell,) = [c for c in calibration.CELLS if c.name == "perfect scores"]
    one = found(cell, 10)
    assert (
        one["narrowest_points"] > 0
        and one["coverage"] == 1
        and one["said_helped"] == one["said_harmed"] == 0
    )


def test_heads_are_ridge_regressions_and_their_truth_is_counted_row_by_row() -> None:
    cell = NULL
    rows = planted.draw(cell, cell.train, np.random.default_rng(3))
    bench = planted.Bench(rows, {"test": rows}, seed=4)
    jobs = [
        Job(np.arange(len(rows.label)), np.ones(len(rows.label), np.float32), s, d)
        for s, d in ((0, 0.1), (1, 2.0))
    ]
    heads = planted.Heads(bench, jobs)
    for k, job in enumerate(jobs):
        weight = bench.luck(job.seed) / bench.luck(job.seed).sum()
        ridge = Ridge(alpha=job.decay).fit(rows.inputs()[:, :-1], np.eye(3)[rows.label], weight)
        assert np.allclose(heads.coefficients[k, :-1], ridge.coef_.T, atol=1e-4)
        assert np.array_equal(
            heads.hits("test")[k], ridge.predict(rows.inputs()[:, :-1]).argmax(1) == rows.label
        )
    fresh = planted.fresh(cell, 600)
    each = [
        np.mean(
            [
                np.mean((x @ heads.coefficients[k]).argmax(1) == label)
                for label, x in enumerate(fresh)
            ]
        )
        for k in range(2)
    ]
    assert np.allclose(planted.truth(cell, heads.coefficients, 600), each, atol=1e-3)


def test_generated_rows_miss_cells_as_their_parents_do_unless_the_protocol_is_broken() -> None:
    rng = np.random.default_rng(0)
    parents = planted.draw(NULL, NULL.train, rng)
    for kind in ("fresh", "noise", "copies", "classic", "mislabelled"):
        rows = planted.generated(kind, NULL, parents, rng)
        assert np.array_equal(rows.shown, parents.shown) and np.array_equal(
            rows.x[:, ~planted.IMAGE], parents.x[:, ~planted.IMAGE]
        )
    assert not planted.generated("noise", NULL, parents, rng, naive=True).shown[:, 1:].any()


def test_a_run_that_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """Oracle: the same studies in one go, equal to the last bit; the fourth line was cut short."""
    cell = [c for c in calibration.CELLS if c.name == "perfect scores"][0]
    whole = calibration.studies_of(cell, 7, 1000, keep=tmp_path)
    (file,) = tmp_path.iterdir()
    lines = file.read_text(encoding="utf-8").strip().split("\n")
    file.write_text("\n".join([*lines[:3], lines[3][:40]]), encoding="utf-8")
    again = calibration.studies_of(cell, 7, 1000, keep=tmp_path)
    assert [repr(one) for one in again] == [repr(one) for one in whole]
    assert len(file.read_text(encoding="utf-8").split("\n")) == 4 + 4  # the last four were made
