"""Where the packages are installed, the counts of the golden file are those of the sample sets; and
recipe.toml reads the signs as the demo does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gobelin.core import catalog, config
from gobelin.core.errors import MissingExtra
from gobelin.workbench.run.rows import read_rows
from gobelin.workbench.run.settings import Settings

RECIPE = Path(__file__).resolve().parents[2] / "recipes/transport"
EXPECTED = json.loads((RECIPE / "expected.json").read_text(encoding="utf-8"))
SIGNS = os.environ.get("GOBELIN_SIGNS", "transport")  # where npm put them


@pytest.mark.parametrize("name", ["transport", "delays"])
def test_the_parts_are_those_of_the_golden_file(name: str, tmp_path: Path) -> None:
    folder = {"folder": SIGNS} if name == "transport" else {}
    sample = catalog.build("samples", name, folder)
    try:
        path = sample.write(tmp_path / "data", 0)
    except MissingExtra as error:
        pytest.skip(str(error))
    data = {"data": {"path": str(path), "target": sample.target}}
    parts = read_rows(config.build(Settings, config.merge(sample.settings(), data))).parts
    rows = {r["scope"]["split"]: r["value"] for r in EXPECTED if r["sample"] == name}
    assert {part: float((parts == part).sum()) for part in rows} == rows


def test_the_recipe_has_the_settings_of_the_demo() -> None:
    recipe = config.read(RECIPE / "recipe.toml")
    settings = catalog.build("samples", "transport").settings()
    assert recipe["schema"] == settings["schema"] and recipe["judge"] == settings["judge"]
    assert recipe["augment"] == settings["augment"]
    assert recipe["generator"]["name"] == "imported"
    config.build(Settings, recipe)
