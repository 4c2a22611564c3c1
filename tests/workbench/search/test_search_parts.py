"""The parts of a search. Oracle: a row, and the same cells given as a query."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.workbench.explain import asked
from gobelin.workbench.search.parts import parts_of_row, search_parts

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A fitted run with images, captions and a table of facts."""
    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(GOLDEN / "data", folder / "data")
    run = shutil.copytree(GOLDEN / "run_folder", folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Workbench.open(run)


def test_a_row_has_the_parts_of_the_same_cells_as_a_query(bench: Workbench) -> None:
    space, rows, compared = bench.run.space, bench.run.checked.rows, set()
    for place in (0, 7, 30):
        (row,) = asked.of_run(bench.run, [place])
        of_row = parts_of_row(space, row.cells, row.embeddings)
        assert len(of_row) == len([f for f in row.cells if f in space.alignment.fields]) > 1
        for part in of_row:
            (field,) = (rows.schema.field(space.alignment.fields[k]) for k in part.fields)
            if field.kind == "image":
                continue  # a query names a file, the data hold its bytes
            compared.add(field.kind)
            given = [(c, str(v), 1.0) for c, v in row.cells[field.name].items()]
            (of_query,) = search_parts(space, given)
            np.testing.assert_allclose(part.vectors, of_query.vectors, atol=1e-5)
            assert (part.fields, part.weight, part.texts, part.text_columns, part.whole) == (
                *(of_query.fields, of_query.weight, of_query.texts, of_query.text_columns),
                of_query.whole,
            )
            values = [{c: f.value for c, f in p.facts.items()} for p in (part, of_query)]
            assert values[0] == values[1]
    assert compared == {"text", "number"}


def test_parts_that_cancel_are_refused(bench: Workbench) -> None:
    with pytest.raises(GobelinError, match="cancel each other"):
        search_parts(bench.run.space, [("text", "a", 1.0), ("text", "a", -1.0)])
    with pytest.raises(GobelinError, match="is empty"):
        search_parts(bench.run.space, [])
