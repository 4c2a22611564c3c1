"""A run and a saved run of the code of commit 2dac47b still open; no stage in them is made anew.

Oracle: the numbers and images of that commit (`expected.json`, `images/`, findings.jsonl), within
the differences of processors. They are not to be recorded anew to let a change pass.

What this cannot show: anything about the fusions and encoders that these two folders don't hold.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gobelin import Workbench, from_pretrained
from gobelin.core.stages import RunFolder as StageOwner  # it makes stages; `refused` patches it

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
RENAMED = json.loads((HERE / "renamed.json").read_text(encoding="utf-8"))
CLOSE = {"rtol": 0.0, "atol": 1e-4}
NUMBERS = ("value", "low", "high", "level", "chance", "floor", "n", "needed_n")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """No stage may be made, but those that a test adds to this set, and what later
    versions keep beside them for verbs about rows."""
    allowed = {"rows", "checked", "features"}
    original = StageOwner.making

    @contextmanager
    def making(self: StageOwner, name: str, key: str) -> Iterator[Path | None]:
        with original(self, name, key) as temporary:
            if temporary is not None and name not in allowed:
                raise AssertionError(f"{name} was made anew, though the folder has it")
            yield temporary

    monkeypatch.setattr(StageOwner, "making", making)
    return allowed


def stages(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each stage was written and what it says: the same check, without knowing the code."""
    found = folder.rglob("stage.json")
    return {p.relative_to(folder).as_posix(): (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


@pytest.fixture
def run(tmp_path: Path, refused: set[str]) -> Iterator[Path]:
    """A copy of the run folder, its data beside it."""
    shutil.copytree(HERE / "data", tmp_path / "data")
    shutil.copytree(HERE / "run_folder", tmp_path / "run")
    before = stages(tmp_path / "run")
    yield tmp_path / "run"
    after = stages(tmp_path / "run")
    assert {
        name: said for name, said in after.items() if name.rpartition("/")[0] not in refused
    } == {name: said for name, said in before.items() if name.rpartition("/")[0] not in refused}


@pytest.fixture
def saved(tmp_path: Path, refused: set[str]) -> Path:
    """A copy of the saved run."""
    return Path(shutil.copytree(HERE / "saved_run", tmp_path / "saved"))


def opened(run: Path, **settings: Any) -> Workbench:
    """The run, as a user opens one whose data moved: other times of files, the same content."""
    return Workbench.open(
        run, settings={"data": {"path": str(run.parent / "data" / "records.csv")}, **settings}
    )


def assert_same(found: list[Mapping[str, Any]], expected: list[Mapping[str, Any]]) -> None:
    """Findings of the same names, scopes and numbers, in the same order; without the new ones."""
    found = [row for row in found if row["name"] not in RENAMED["new"]]

    def name(row: Mapping[str, Any]) -> tuple[object, ...]:
        scopes = RENAMED["scopes"]
        scope = {
            scopes.get(key, key): scopes.get(value, value) for key, value in row["scope"].items()
        }
        finding = RENAMED["findings"].get(row["name"], row["name"])
        return finding, scope, scopes.get(row["comparator"], row["comparator"]), row["source"]

    assert [name(row) for row in found] == [name(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        for key in NUMBERS:
            assert (one[key] is None) == (other[key] is None), (name(one), key)
            assert one[key] is None or np.isclose(one[key], other[key], **CLOSE), (name(one), key)


def recorded(verb: str | None = None) -> list[dict[str, Any]]:
    lines = (HERE / "run_folder" / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if verb in (None, row["source"])]


def assert_predicts(bench: Workbench) -> None:
    found = bench.predict(HERE / "data" / "records.csv")
    assert list(found.ids) == EXPECTED["ids"] and list(found.classes) == EXPECTED["classes"]
    assert np.allclose(found.probabilities, EXPECTED["probabilities"], **CLOSE)
    for row, expected in zip(found.rows(), EXPECTED["rows"], strict=False):
        assert list(row) == list(expected)  # the headers of pred.csv
        for key in ("id", "prediction", "set", "present"):
            assert row[key] == expected[key]


def assert_hits(hits: list[Any], expected: list[tuple[str, float]]) -> None:
    assert [hit.id for hit in hits] == [name for name, _ in expected]
    assert np.allclose([hit.score for hit in hits], [score for _, score in expected], **CLOSE)


def assert_generates(bench: Workbench, name: str, folder: Path) -> None:
    own = EXPECTED["generators"][name]
    source = HERE / "data" / "images" / "outline-00000.png" if own.get("source") else None
    label = None if name == "procedural" else "circle"
    (path,) = bench.generate((3,), label=label, out=folder / name, source=source)
    with Image.open(path) as image, Image.open(HERE / "images" / f"{name}.png") as expected:
        found, wanted = np.asarray(image, np.float64), np.asarray(expected, np.float64)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 1 and np.abs(found - wanted).max() <= 16


def test_a_run_shows_and_evaluates_what_it_did(run: Path, refused: set[str]) -> None:
    refused.add("rows")  # a stage that folders of before don't have
    bench = opened(run)
    lines = "\n".join(bench.summary())
    for stage in (
        "alignment",
        "model",
        "index",
        *(f"generators/{name}-0" for name in EXPECTED["generators"]),
    ):
        assert stage in lines
    assert_same([one.to_dict() for one in bench.findings()], recorded())
    for verb, again in (
        ("check", bench.check),
        ("evaluate", bench.evaluate),
        ("search", bench.recall),
    ):
        assert_same([one.to_dict() for one in again()], recorded(verb))
    evaluation = bench.evaluate()  # of before the rows behind it were stored
    assert evaluation.mistakes and len(evaluation.lines()) <= 15
    bench.fit(generator=True)  # has all that it asks for


def test_a_run_evaluated_again_has_the_same_numbers(run: Path, refused: set[str]) -> None:
    """Computed by the present code from the stored weights, and not read back."""
    for verb in ("evaluate", "search"):
        shutil.rmtree(run / "verbs" / verb)
        refused.add(f"verbs/{verb}")
    bench = opened(run)
    assert_same([one.to_dict() for one in bench.evaluate()], recorded("evaluate"))
    assert_same([one.to_dict() for one in bench.recall()], recorded("search"))


def test_a_run_predicts_and_searches_as_it_did(run: Path) -> None:
    bench = opened(run)
    assert_predicts(bench)
    assert_hits(bench.search(5, **EXPECTED["query"]), EXPECTED["hits"])
    assert_hits(bench.search(3, "side > 6", text="a green square"), EXPECTED["hits_where"])


@pytest.mark.parametrize("name", EXPECTED["generators"])
def test_a_run_generates_the_images_that_it_did(run: Path, name: str) -> None:
    assert_generates(opened(run, generator=EXPECTED["generators"][name]), name, run.parent)


def test_a_saved_run_predicts_searches_and_generates_as_it_did(saved: Path) -> None:
    bench = from_pretrained(saved)
    assert "circle" in bench.card() and "alignment" in "\n".join(bench.summary())
    lines = (HERE / "saved_run" / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    assert_same([one.to_dict() for one in bench.findings()], list(map(json.loads, lines)))
    assert_predicts(bench)
    assert_hits(bench.search(5, **EXPECTED["query"]), EXPECTED["hits"])
    assert_generates(bench, "flow", saved.parent)


def test_no_place_of_the_machine_that_made_them_is_in_these_folders() -> None:
    for path in [HERE / "expected.json", *HERE.glob("*_*/**/*.json*"), *HERE.glob("images/*.png")]:
        assert b"/tmp" not in path.read_bytes() and b"/work/" not in path.read_bytes(), path
