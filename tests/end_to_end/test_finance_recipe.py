"""The recipe's comparison sees a finding that changed; where skfolio is installed, the counts of
the golden file are those of the sample set."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gobelin.core import config
from gobelin.data.samples.finance import Finance
from gobelin.workbench.run.rows import read_rows
from gobelin.workbench.run.settings import Settings

RECIPE = Path(__file__).parents[2] / "recipes/finance"
EXPECTED = json.loads((RECIPE / "expected.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("finance_compare", RECIPE / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_changed_finding_is_named(compare: ModuleType) -> None:
    found = {(r["name"], json.dumps(r["scope"], sort_keys=True)): dict(r) for r in EXPECTED}
    assert compare.differences(found, EXPECTED) == []
    ahead = next(row for (name, _), row in found.items() if name == "look_ahead")
    ahead["value"] = 1.0
    assert ["look_ahead" in line for line in compare.differences(found, EXPECTED)] == [True]
    found.pop(next(iter(found)))
    assert any("missing" in line for line in compare.differences(found, EXPECTED))


def test_the_golden_file_has_aggregates_alone_and_no_claim() -> None:
    keys = {"name", "scope", "value", "tolerance", "n", "verdict"}
    assert all(set(row) == keys for row in EXPECTED)
    words = {row["scope"].get("position"): row["verdict"] for row in EXPECTED}
    assert words["the predictor"] == "no evidence"


def test_the_recipe_reads_the_sample_as_the_demo_does(tmp_path: Path) -> None:
    if importlib.util.find_spec("skfolio") is None:
        pytest.skip("skfolio is not installed")
    sample = Finance(size=16)
    path = sample.write(tmp_path / "data", 0)
    recipe = config.read(RECIPE / "recipe.toml")
    parts = []
    for said in (recipe, sample.settings()):
        data = {"data": {"path": str(path), "target": sample.target}}
        parts.append(read_rows(config.build(Settings, config.merge(said, data))).parts)
    assert np.array_equal(*parts)
    counts = {row["scope"]["split"]: row["value"] for row in EXPECTED if row["name"] == "rows"}
    assert {part: float((parts[0] == part).sum()) for part in counts} == counts
