"""A question reads the run folder and what was asked, nothing else. Oracles: what each process had
loaded when it ended; the same answers without the data; the formula of the predictor in torch."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import processor
import pytest
import torch

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.progress import counted, listened
from gobelin.core.softmax import log_softmax, softmax
from gobelin.prediction.heads.joins import SideBySide
from gobelin.workbench.run import data_files, kept_rows
from gobelin.workbench.run import rows as rows_module

ROOT = Path(__file__).parents[2]
LARGE = {"lancedb", "pandas", "scipy", "sklearn", "skops", "torch"}
LOADED = """
import json, sys
place = sys.argv.pop(1)
import atexit
atexit.register(lambda: open(place, "w").write(json.dumps(sorted(sys.modules))))
from gobelin.__main__ import start
start()
"""
QUICK = {
    # an image encoder with a network, which a question about texts or facts has no use for
    "encoders": {"image": {"name": "convolution", "pixels": 16, "filters": 16}},
    "fusion": {"settings": {"steps": 20, "components": 8}},
    "align": {"steps": 0, "width": 16, "landmarks": 0},
    "runtime": processor.SETTINGS,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shapes") / "data"
    return catalog.build("samples", "shapes", {"rows": 90}).write(place, 0)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = Workbench(data, "shape", tmp_path_factory.mktemp("runs") / "run", QUICK)
    bench.fit()
    return bench.folder


def asked(tmp_path: Path, *words: object) -> tuple[str, set[str]]:
    """What a command prints, and the large libraries that it loaded."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", LOADED, str(tmp_path / "loaded"), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    loaded = json.loads((tmp_path / "loaded").read_text())
    return done.stdout, {name.partition(".")[0] for name in loaded} & LARGE


def facts(data: Path, tmp_path: Path) -> tuple[str, Path]:
    """A row's facts as a query, and a file of that row without image and text."""
    with data.open(newline="") as file:
        row = next(csv.DictReader(file))
    known = {k: v for k, v in row.items() if k not in ("id", "shape", "image", "text", "caption")}
    known = {k: v for k, v in known.items() if v and "/" not in v and " " not in v}
    path = tmp_path / "one.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(known))
        writer.writeheader()
        writer.writerow(known)
    return ",".join(f"{k}={v}" for k, v in known.items()), path


def test_a_question_loads_no_large_library(run: Path, data: Path, tmp_path: Path) -> None:
    row, one = facts(data, tmp_path)
    Workbench.open(run).search(text="a red circle")  # the first one makes the space
    for words in (
        ("search", run, "--text", "a red circle"),
        ("search", run, "--row", row),
        ("predict", run, one, "--out", tmp_path / "pred.csv"),
    ):
        said, loaded = asked(tmp_path, *words)
        assert said and loaded == set(), words


def test_a_question_needs_no_data(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, one = facts(data, tmp_path)

    def answers() -> tuple[object, ...]:
        bench = Workbench.open(run)
        hits = [bench.search(5, text="a red circle"), bench.search(5, row=row)]
        return hits, bench.predict(one).rows()

    before = answers()

    def gone(*_: object) -> None:
        raise AssertionError("the data were read")

    monkeypatch.setattr(rows_module, "read", gone)
    assert answers() == before
    # nor is a file of the data looked at
    monkeypatch.setattr(kept_rows, "source_mark", gone)
    monkeypatch.setattr(data_files, "check", gone)
    assert answers() == before


def test_verbs_on_rows_read_the_kept_rows(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same without the kept rows, from the data."""
    copies = [shutil.copytree(run, tmp_path / name) for name in ("kept", "bare", "touched")]
    for stage in ("checked", "features"):
        assert (run / stage / "stage.json").is_file()
        shutil.rmtree(copies[1] / stage)
    reads: list[Path] = []
    whole = rows_module.read
    monkeypatch.setattr(rows_module, "read", lambda *a: reads.append(a[0]) or whole(*a))

    def answers(folder: Path) -> tuple[object, ...]:
        bench = Workbench.open(folder)
        rows = bench.run.checked.rows
        arrays = (rows.target.values, rows.target.scored, rows.parts, rows.weights)
        cells = [rows.dataset.cells(f) for f in rows.schema.fields]
        found = [f.to_dict() for f in (*bench.evaluate(), *bench.describe(3, text="a red circle"))]
        embeddings = bench.run.features.embeddings
        return (
            found,
            cells,
            [a.tolist() for a in arrays],
            (rows.groups, rows.named.names, rows.dataset.ids, rows.record, rows.parts_key),
            rows.dataset.openings,
            (embeddings.fingerprint, embeddings.ids, embeddings.groups),
        )

    kept = answers(copies[0])
    assert not reads
    assert answers(copies[1]) == kept and len(reads) == 1
    os.utime(data)  # a touched file is read, and found to be the same
    assert answers(copies[2]) == kept and len(reads) == 2
    first, second, *rest = data.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        data.write_text("".join([first, *rest, second]), encoding="utf-8")  # the same size
        with pytest.raises(GobelinError, match="was made from other data"):
            _ = Workbench.open(run).run.checked.rows
    finally:
        data.write_text("".join([first, second, *rest]), encoding="utf-8")


def test_a_linear_head_scores_as_in_torch() -> None:
    rng = np.random.default_rng(0)
    join, widths = SideBySide(0), (3, 5, 2)
    head = {n: rng.normal(size=shape) for n, shape in join.shapes(widths, 4).items()}
    features = [rng.normal(size=(7, w)) for w in widths]
    shown = (rng.random((7, 3)) < 0.6).astype(float)
    wanted = join.scores(
        {n: torch.from_numpy(w)[None] for n, w in head.items()},
        [torch.from_numpy(x)[None] for x in features],
        torch.from_numpy(shown)[None],
    )[0]
    np.testing.assert_allclose(
        join.scores_of_one(head, features, shown), wanted.numpy(), rtol=1e-12, atol=1e-12
    )


def test_torch_computes_on_the_threads_that_were_set_before_it_came() -> None:
    """The order of sums, and so what is trained, depends on their count."""
    code = """
import sys
from gobelin.core.machine import Runtime
Runtime(device="cpu", threads=2).apply()
assert "torch" not in sys.modules
import torch
print(torch.get_num_threads())
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]


def test_softmax_is_that_of_scipy() -> None:
    from scipy import special

    x = np.random.default_rng(0).normal(scale=300, size=(6, 5))
    for axis in (0, 1, None):
        np.testing.assert_array_equal(softmax(x, axis), special.softmax(x, axis))
        np.testing.assert_allclose(log_softmax(x, axis), special.log_softmax(x, axis), rtol=1e-15)


def test_a_loop_tells_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    with listened(lambda *said: told.append(said)):
        assert list(counted("count", "abc")) == ["a", "b", "c"]
        assert list(counted("some", iter("ab"), 2)) == ["a", "b"]
        assert list(counted("unknown", iter("ab"))) == ["a", "b"]
    list(counted("nobody", "a"))
    assert told == [
        *(("count", k, 3) for k in range(4)),
        *(("some", k, 2) for k in range(3)),
    ]
