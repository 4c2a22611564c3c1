"""A stranger's settings tree: however many mistakes it has and however long they are, few lines say
so. Oracle: counts, and lengths of what was planted."""

from __future__ import annotations

from typing import Any

import pytest

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.core.expectations import MOST_LINES
from gobelin.workbench.run.settings import Settings

LONG = "x" * 100_000
TREES: dict[str, dict[str, Any]] = {
    "unknown groups": {f"a{k}": {"b": 1} for k in range(5_000)},
    "unknown settings": {"reading": {f"a{k}": 1 for k in range(5_000)}},
    "wrong items": {"predict": {"decays": ["x"] * 5_000}},
    "wrong kinds": {"schema": {f"a{k}": [k] for k in range(5_000)}},
    "a long name": {LONG: 1},
    "a long value": {"reading": {"rows": LONG}},
    "a long list": {"reading": {"rows": [1] * 50_000}},
    "a long group": {"reading": LONG},
    "a long name of a column": {"schema": {LONG: [1]}},
    "a long choice": {"runtime": {"precision": LONG}},
}


@pytest.mark.parametrize("name", TREES)
def test_many_or_long_mistakes_are_few_short_lines(name: str) -> None:
    with pytest.raises(GobelinError) as caught:
        config.build(Settings, TREES[name], "settings")
    lines = str(caught.value).splitlines()
    assert 1 <= len(lines) <= MOST_LINES + 1 and max(map(len, lines)) < 1_500
    if "long" not in name:
        assert str(5_000 - MOST_LINES) in lines[-1] or name == "wrong items"


def test_few_mistakes_are_told_in_full() -> None:
    with pytest.raises(GobelinError) as caught:
        config.build(Settings, {"reading": {"rows": "x", "b": 1}}, "settings")
    assert len(str(caught.value).splitlines()) == 2 and "left out" not in str(caught.value)
