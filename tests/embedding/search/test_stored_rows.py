"""The stored rows: cosines as a loop gives them, and files that a stranger wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from gobelin.core.errors import GobelinError
from gobelin.embedding.search.nearness import Scale
from gobelin.embedding.search.stored_rows import (
    COLUMNS,
    VECTORS,
    Description,
    StoredRows,
    cosines,
    describe,
)

ROWS, FIELDS, WIDTH = 6, 2, 4


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ROWS, FIELDS, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[2, 1] = 0
    return {"fields": vectors, "present": vectors.any(-1).astype(np.uint8)}


def stored(folder: Path, written: dict[str, np.ndarray]) -> StoredRows:
    folder.mkdir()
    save_file(written, folder / VECTORS)
    columns = pa.table({"gobelin_id": [f"r{k}" for k in range(ROWS)]})
    scale = Scale.from_json({"mean": [[0.0, 0.0]] * 2, "deviation": [[0.5, 0.5]] * 2})
    describe(folder, Description(("image", "text"), scale), columns)
    return StoredRows(folder)


def test_cosines_are_those_of_a_loop(tmp_path: Path) -> None:
    rows, queries = stored(tmp_path / "rows", arrays()), np.eye(3, WIDTH, dtype=np.float32)
    expected = [[[float(v @ q) for q in queries] for v in row] for row in arrays()["fields"]]
    assert np.allclose(cosines(rows, queries), expected, atol=1e-6)
    assert rows.present.tolist() == [[True, True]] * 2 + [[True, False]] + [[True, True]] * 3


HARMS = {
    "fewer rows": (lambda v, p: {"fields": v[:4], "present": p[:4]}, f"other rows than {COLUMNS}"),
    "fewer marks": (lambda v, p: {"fields": v, "present": p[:4]}, "other rows than"),
    "no rows": (lambda v, p: {"fields": v[:0], "present": p[:0]}, "other rows than"),
    "another length": (lambda v, p: {"fields": v[..., :3], "present": p}, "of another length"),
    "flat": (lambda v, p: {"fields": v.reshape(ROWS, -1), "present": p}, "other arrays"),
    "no marks": (lambda v, p: {"fields": v}, "other arrays"),
    "no vectors": (lambda v, p: {"present": p}, "other arrays"),
    "marks that are vectors": (
        lambda v, p: {"fields": v, "present": p.astype(np.float32)},
        "another kind",
    ),
    "no number": (lambda v, p: {"fields": v * np.nan, "present": p}, "has no length"),
    "no bounds": (lambda v, p: {"fields": v * np.inf, "present": p}, "has no length"),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("harm", HARMS)
def test_vectors_that_were_not_written_end_in_one_line(harm: str, tmp_path: Path) -> None:
    change, why = HARMS[harm]
    whole = arrays()
    changed = change(whole["fields"], whole["present"])
    folder = tmp_path / "rows"
    rows = stored(folder, {name: np.ascontiguousarray(a) for name, a in changed.items()})
    with pytest.raises(GobelinError, match=why) as error:
        cosines(rows, np.eye(2, WIDTH, dtype=np.float32))
    assert str(error.value).startswith(f"{folder}: is damaged ({VECTORS}: ")
    assert "\n" not in str(error.value)
